//! The charts without a cluster: `helm lint`, what templates come to, what values are refused. Needs `helm` alone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::support::command::{helm, try_helm};

/// The objects that the chart makes with the values, by kind and name.
fn template(values: &str) -> Vec<Value> {
    let arguments = [
        "template",
        "tidegate",
        "charts/tidegate",
        "--namespace",
        "tidegate",
        "--values",
        "-",
    ];
    objects(&helm(&arguments, values))
}

fn objects(text: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    documents
        .into_iter()
        .filter(|document| document.is_object())
        .collect()
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
}

/// Values that turn everything on.
const EVERYTHING: &str = r#"
image: {repository: registry.example/tidegate, tag: "1", pullPolicy: Always, pullSecrets: [registry]}
watchNamespaces: [crm, shop]
defaultGateway: {create: true, spec: {publicUrl: "https://hooks.example.com"}}
allowList: [{host: crm.internal.example, ports: [443, 8443], namespaces: [crm]}]
caBundle: |
  -----BEGIN CERTIFICATE-----
  AAAA
  -----END CERTIFICATE-----
env: {HTTPS_PROXY: "http://proxy.example:3128"}
traces: {endpoint: "http://collector.example:4318", sampler: traceidratio, samplerArgument: 0.1}
nodeSelector: {disk: ssd}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: high
podAnnotations: {a: b}
podLabels: {a: b}
commonLabels: {team: blue}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboard: {enabled: true}
validatingWebhook: {enabled: true}
"#;

#[test]
fn helm_finds_nothing_to_complain_about() {
    for chart in ["charts/tidegate-crds", "charts/tidegate"] {
        helm(&["lint", "--strict", chart], "");
    }
    helm(
        &["lint", "--strict", "charts/tidegate", "--values", "-"],
        EVERYTHING,
    );
}

#[test]
fn the_custom_resources_are_those_of_this_version_and_stay_on_uninstall() {
    let made = objects(&helm(
        &["template", "tidegate-crds", "charts/tidegate-crds"],
        "",
    ));
    let folder = format!("{}/crds", env!("CARGO_MANIFEST_DIR"));
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut expected: Value = serde_saphyr::from_str(&text).unwrap();
        expected["metadata"]["annotations"] = json!({"helm.sh/resource-policy": "keep"});
        expected["metadata"]["labels"] = json!({"app.kubernetes.io/name": "tidegate-crds", "app.kubernetes.io/part-of": "tidegate"});
        assert!(
            made.contains(&expected),
            "{}: run `make generate`",
            path.display()
        );
        files += 1;
    }
    assert_eq!(made.len(), files);
}

#[test]
fn pods_pass_the_restricted_standard() {
    for values in ["", EVERYTHING] {
        let made = template(values);
        let pods: Vec<_> = made
            .iter()
            .filter(|it| it["spec"]["template"]["spec"].is_object())
            .collect();
        assert!(!pods.is_empty());
        for owner in pods {
            let pod = &owner["spec"]["template"]["spec"];
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{owner}");
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
                "{owner}"
            );
            for container in pod["containers"].as_array().unwrap() {
                assert_eq!(
                    container["securityContext"],
                    json!({
                        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
                        "capabilities": {"drop": ["ALL"]},
                    }),
                    "{owner}"
                );
            }
        }
    }
}

/// Every rule of every role, with where it holds.
fn rules(made: &[Value]) -> Vec<(String, Value)> {
    let roles = made
        .iter()
        .filter(|it| it["kind"] == "Role" || it["kind"] == "ClusterRole");
    roles
        .flat_map(|role| {
            let place = match role["metadata"]["namespace"].as_str() {
                Some(namespace) => namespace.to_owned(),
                None => "everywhere".to_owned(),
            };
            let rules = role["rules"].as_array().cloned().unwrap_or_default();
            rules.into_iter().map(move |rule| (place.clone(), rule))
        })
        .collect()
}

#[test]
fn no_rule_is_a_wildcard_and_none_gives_rights_away() {
    for values in ["", EVERYTHING] {
        for (place, rule) in rules(&template(values)) {
            let text = rule.to_string();
            assert!(!text.contains('*'), "{place}: {text}");
            for word in [
                "escalate",
                "bind",
                "impersonate",
                "clusterroles",
                "pods/exec",
                "customresourcedefinitions",
            ] {
                assert!(!text.contains(&format!("\"{word}\"")), "{place}: {text}");
            }
        }
    }
}

#[test]
fn with_namespaces_given_there_are_rights_in_those_alone() {
    let mut watched = rules(&template(
        "watchNamespaces: [crm, shop]\nuserRoles: {create: false}\n",
    ));
    watched.sort_by(|one, other| one.0.cmp(&other.0));
    let mut places: Vec<_> = watched.iter().map(|(place, _)| place.as_str()).collect();
    places.dedup();
    assert_eq!(places, ["crm", "everywhere", "shop", "tidegate"]);
    let everywhere: Vec<_> = watched
        .iter()
        .filter(|(place, _)| place == "everywhere")
        .collect();
    assert_eq!(everywhere.len(), 1);
    assert_eq!(everywhere[0].1["resources"], json!(["tokenreviews"]));
    let made = template("watchNamespaces: [crm, shop]\n");
    let deployment = find(&made, "Deployment", "tidegate-controller").unwrap();
    assert!(
        deployment
            .to_string()
            .contains("--watch-namespaces=crm,shop,tidegate")
    );
}

#[test]
fn users_may_look_at_upstream_subscriptions_and_delete_them_and_nothing_else() {
    let made = template("");
    let mut verbs: Vec<String> = Vec::new();
    for role in [
        "tidegate-view-tidegate",
        "tidegate-edit-tidegate",
        "tidegate-admin-tidegate",
    ] {
        let role = find(&made, "ClusterRole", role).unwrap();
        let labels = role["metadata"]["labels"].to_string();
        assert!(labels.contains("aggregate-to-admin"), "{role}");
        for rule in role["rules"].as_array().unwrap() {
            if rule["resources"]
                .to_string()
                .contains("upstreamsubscriptions")
            {
                let found = rule["verbs"].as_array().unwrap();
                verbs.extend(found.iter().filter_map(Value::as_str).map(str::to_owned));
            }
        }
    }
    assert_eq!(verbs, ["get", "list", "watch", "delete"]);
}

#[test]
fn everything_that_can_be_turned_on_is_there() {
    let made = template(EVERYTHING);
    let deployment = find(&made, "Deployment", "tidegate-controller").unwrap();
    let text = deployment.to_string();
    for words in [
        "--image=registry.example/tidegate:1",
        "--default-gateway=tidegate/default",
        "--allow-list=/etc/tidegate/allow-list.yaml",
        "--ca-bundle=/etc/tidegate/ca-bundle.pem",
        "--webhook-configuration=tidegate-tidegate",
        "--configuration-url=https://tidegate-controller.tidegate.svc:8443",
        r#"{"name":"HTTPS_PROXY","value":"http://proxy.example:3128"}"#,
        r#"{"name":"OTEL_TRACES_SAMPLER_ARG","value":"0.1"}"#,
        r#""imagePullSecrets":[{"name":"registry"}]"#,
        r#""priorityClassName":"high""#,
        r#""nodeSelector":{"disk":"ssd"}"#,
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let files = find(&made, "ConfigMap", "tidegate-controller").unwrap();
    let list: Value =
        serde_saphyr::from_str(files["data"]["allow-list.yaml"].as_str().unwrap()).unwrap();
    assert_eq!(
        list,
        json!([{"host": "crm.internal.example", "ports": [443, 8443], "namespaces": ["crm"]}])
    );
    for (kind, name) in [
        ("EventGateway", "default"),
        ("ServiceMonitor", "tidegate-controller"),
        ("PodMonitor", "tidegate-gateways"),
        ("PrometheusRule", "tidegate"),
        ("ConfigMap", "tidegate-dashboard"),
        ("ValidatingWebhookConfiguration", "tidegate-tidegate"),
    ] {
        assert!(find(&made, kind, name).is_some(), "{kind} {name}");
    }
    for object in &made {
        assert_eq!(object["metadata"]["labels"]["team"], "blue", "{object}");
    }
    // None of it without asking.
    let plain = template("");
    for kind in [
        "EventGateway",
        "ServiceMonitor",
        "PodMonitor",
        "PrometheusRule",
        "ConfigMap",
        "ValidatingWebhookConfiguration",
    ] {
        assert!(plain.iter().all(|object| object["kind"] != kind), "{kind}");
    }
}

/// The names of metrics in a text, without what a histogram's series add to them.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let words = text.split(|it: char| !is_name(it));
    words
        .filter(|word| word.starts_with("tidegate_"))
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word).to_owned())
        .collect()
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_are_documented() {
    let documentation = format!("{}/docs/observability.md", env!("CARGO_MANIFEST_DIR"));
    let documentation = std::fs::read_to_string(documentation).unwrap();
    let documented = metrics(&documentation);
    let made = template(EVERYTHING);
    let dashboard = find(&made, "ConfigMap", "tidegate-dashboard").unwrap();
    let dashboard: Value =
        serde_json::from_str(dashboard["data"]["tidegate.json"].as_str().unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets
            .into_iter()
            .map(|target| target["expr"].as_str().unwrap().to_owned())
    });
    let expressions: Vec<String> = expressions.collect();
    assert!(expressions.len() > 15, "{expressions:?}");
    let rules = find(&made, "PrometheusRule", "tidegate").unwrap();
    let rules = rules["spec"]["groups"][0]["rules"].as_array().unwrap();
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        assert!(
            documentation.contains(&format!("`{name}`")),
            "{name} is not documented"
        );
        assert!(
            rule["labels"]["severity"].is_string() && rule["for"].is_string(),
            "{rule}"
        );
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].is_string(), "{rule}");
        }
    }
    let alerts = rules
        .iter()
        .map(|rule| rule["expr"].as_str().unwrap().to_owned());
    for expression in expressions.into_iter().chain(alerts) {
        for metric in metrics(&expression) {
            assert!(documented.contains(&metric), "{metric} in {expression}");
        }
    }
}

#[test]
fn wrong_values_are_refused() {
    let check = |values: &str, words: &str| {
        let arguments = ["template", "tidegate", "charts/tidegate", "--values", "-"];
        let error = try_helm(&arguments, values).expect_err(values);
        assert!(error.contains(words), "{values}: {error}");
    };
    check("replica: 3", "replica");
    check("replicas: 0", "minimum");
    check("image: {pullPolicy: Sometimes}", "pullPolicy");
    check("watchNamespaces: [Crm]", "watchNamespaces");
    check("allowList: [{ports: [443], namespaces: [crm]}]", "host");
    check("allowList: [{host: crm.example}]", "ports");
    check("defaultGateway: {create: true}", "publicUrl");
}

/// Values as they are documented: each has a comment above it in values.yaml and a description in the schema.
#[test]
fn every_value_is_documented() {
    let read = |name: &str| {
        let path = format!("{}/charts/tidegate/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let text = read("values.yaml");
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let mut count = 0;
    for (name, value) in values.as_object().unwrap() {
        let property = &schema["properties"][name];
        assert!(property["description"].is_string(), "{name}");
        for (nested, _) in value.as_object().into_iter().flatten() {
            let known = property["properties"].as_object();
            if let Some(nested) = known.and_then(|known| known.get(nested)) {
                assert!(nested["description"].is_string(), "{name}");
            }
        }
        count += 1;
    }
    assert!(count > 15, "{count}");
    let mut before = "";
    for line in text.lines() {
        let is_value = line
            .trim_start()
            .chars()
            .next()
            .is_some_and(char::is_alphabetic);
        if is_value && line.starts_with(char::is_alphabetic) {
            assert!(
                before.trim_start().starts_with('#'),
                "{line} has no comment above it"
            );
        }
        before = line;
    }
}
