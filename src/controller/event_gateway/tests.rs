//! What an EventGateway becomes: YAML in, the objects' own words out.

mod statuses;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};

use super::plan::{Deviation, Expansion, HANDED_OVER, Observed, Plan, PlanError, plan};
use super::*;
use crate::configuration::stream::Retirement;

fn gateway(spec: Value) -> EventGateway {
    let mut whole = json!({"publicUrl": "https://hooks.example.com"});
    for (field, value) in spec.as_object().into_iter().flatten() {
        whole[field] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "EventGateway",
        "metadata": {"name": "default", "namespace": "tidegate", "uid": "uid-1", "generation": 3},
        "spec": whole,
    }))
    .unwrap()
}

fn settings() -> Settings {
    Settings {
        image: "registry.example/tidegate:1".to_owned(),
        image_pull_policy: None,
        image_pull_secrets: Vec::new(),
        configuration_url: "https://tidegate-controller.tidegate.svc:8443".to_owned(),
        ca: "-----BEGIN CERTIFICATE-----".to_owned(),
        environment: [("OTEL_TRACES_SAMPLER".to_owned(), "always_on".to_owned())].into(),
    }
}

fn planned(spec: Value, observed: &Observed) -> Plan {
    plan(&gateway(spec), &settings(), observed, &[7; 32]).unwrap()
}

fn first(spec: Value) -> Plan {
    planned(spec, &Observed::default())
}

/// What is there once a plan was carried out.
fn after(plan: &Plan) -> Observed {
    Observed {
        stateful_set: Some(plan.objects.stateful_set.clone()),
        claims: Vec::new(),
        has_key: true,
        ingress: plan.objects.ingress.clone(),
        http_route: plan.objects.http_route.clone(),
        retirements: Default::default(),
    }
}

fn replicas(plan: &Plan) -> i32 {
    let spec = plan.objects.stateful_set.spec.as_ref().unwrap();
    spec.replicas.unwrap()
}

fn as_json(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

fn claim(name: &str, storage: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"resources": {"requests": {"storage": storage}}},
    }))
    .unwrap()
}

#[test]
fn a_gateway_of_which_only_the_url_is_said_has_two_pods_with_a_volume_each() {
    let plan = first(json!({}));
    let set = as_json(&plan.objects.stateful_set);
    assert_eq!(set["metadata"]["name"], "tidegate-gateway-default");
    assert_eq!(set["metadata"]["namespace"], "tidegate");
    assert_eq!(set["spec"]["replicas"], 2);
    assert_eq!(set["spec"]["serviceName"], "tidegate-gateway-default-pods");
    assert_eq!(set["spec"]["podManagementPolicy"], "Parallel");
    assert_eq!(
        set["spec"]["persistentVolumeClaimRetentionPolicy"],
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
    );
    let claim = &set["spec"]["volumeClaimTemplates"][0];
    // 10 GiB, a quarter of it, and 256 MiB.
    assert_eq!(
        claim["spec"],
        json!({
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "13056Mi"}},
        })
    );
    assert_eq!(plan.deviations, []);
    assert_eq!(plan.expansions, []);
    assert!(!plan.remove_ingress && !plan.remove_http_route);
}

#[test]
fn every_object_belongs_to_the_gateway_and_is_labelled() {
    let plan = first(json!({"ingress": {}}));
    let route = first(json!({"httpRoute": {"parentRefs": [{"name": "public"}]}}));
    let objects = [
        as_json(&plan.objects.service_account),
        as_json(&plan.objects.ca),
        as_json(&plan.new_key),
        as_json(&plan.objects.public_service),
        as_json(&plan.objects.headless_service),
        as_json(&plan.objects.disruption_budget),
        as_json(&plan.objects.network_policy),
        as_json(&plan.objects.stateful_set),
        as_json(&plan.objects.ingress),
        as_json(&route.objects.http_route),
    ];
    for object in objects {
        assert_eq!(
            object["metadata"]["ownerReferences"],
            json!([{
                "apiVersion": "tidegate.dev/v1alpha1", "kind": "EventGateway", "name": "default",
                "uid": "uid-1", "controller": true, "blockOwnerDeletion": true,
            }]),
            "{object}"
        );
        assert_eq!(
            object["metadata"]["labels"],
            json!({
                "app.kubernetes.io/name": "tidegate-gateway",
                "app.kubernetes.io/instance": "default",
                "app.kubernetes.io/managed-by": "tidegate",
            }),
            "{object}"
        );
        assert_eq!(object["metadata"]["namespace"], "tidegate", "{object}");
    }
}

/// The `restricted` Pod Security Standard, rule by rule, and what it does not ask for.
#[test]
fn the_pods_hold_no_rights() {
    let plan = first(json!({}));
    let account = as_json(&plan.objects.service_account);
    assert_eq!(account["automountServiceAccountToken"], false);
    let pod = as_json(&plan.objects.stateful_set)["spec"]["template"]["spec"].clone();
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["enableServiceLinks"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"],
        json!({"type": "RuntimeDefault"})
    );
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        assert_eq!(pod[forbidden], Value::Null, "{forbidden}");
    }
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    assert_eq!(
        containers[0]["securityContext"],
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"]},
        })
    );
    let ports = containers[0]["ports"].as_array().unwrap();
    assert!(ports.iter().all(|port| port["hostPort"] == Value::Null));
    // The one token in the pod is for the configuration server alone.
    let volumes = pod["volumes"].as_array().unwrap();
    let tokens: Vec<_> = (volumes.iter())
        .filter_map(|volume| volume["projected"]["sources"].as_array())
        .flatten()
        .collect();
    assert_eq!(
        tokens,
        [&json!({"serviceAccountToken": {
            "audience": "tidegate-configuration", "expirationSeconds": 3600, "path": "token",
        }})]
    );
    assert!(
        volumes
            .iter()
            .all(|volume| volume["hostPath"] == Value::Null)
    );
}

#[test]
fn the_container_is_told_where_everything_is() {
    let plan = first(json!({"storage": {"size": "1Gi"}}));
    let container =
        as_json(&plan.objects.stateful_set)["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(container["image"], "registry.example/tidegate:1");
    assert_eq!(
        container["args"],
        json!([
            "gateway",
            "--gateway=tidegate/default",
            "--configuration-url=https://tidegate-controller.tidegate.svc:8443",
            "--ca-file=/etc/tidegate/ca/ca.crt",
            "--token-file=/var/run/tidegate/token/token",
            "--snapshot-key-file=/etc/tidegate/key/key",
            "--data-dir=/var/lib/tidegate",
            "--log-capacity=1073741824",
            "--listen=0.0.0.0:8080",
            "--probes=0.0.0.0:8081",
            "--admin=127.0.0.1:8082",
        ])
    );
    assert_eq!(
        container["env"],
        json!([
            {"name": "TIDEGATE_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "OTEL_TRACES_SAMPLER", "value": "always_on"},
        ])
    );
    let probes = ["startupProbe", "readinessProbe", "livenessProbe"];
    assert_eq!(
        probes.map(|probe| container[probe]["httpGet"]["path"]
            .as_str()
            .unwrap()
            .to_owned()),
        ["/livez", "/readyz", "/livez"]
    );
    assert_eq!(
        container["lifecycle"],
        json!({"preStop": {"sleep": {"seconds": 5}}})
    );
    assert_eq!(
        container["resources"],
        json!({"requests": {"cpu": "100m", "memory": "256Mi"}})
    );
}

#[test]
fn what_is_said_of_the_pods_is_taken_over_but_never_in_place_of_our_own_labels() {
    let plan = first(json!({
        "replicas": 3,
        "pod": {
            "resources": {"requests": {"cpu": 2}, "limits": {"memory": "1Gi"}},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "events", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "annotations": {"team": "blue"},
            "labels": {"team": "blue", "app.kubernetes.io/instance": "other"},
        },
    }));
    let set = as_json(&plan.objects.stateful_set);
    assert_eq!(set["spec"]["replicas"], 3);
    let template = &set["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"]["team"], "blue");
    assert_eq!(template["metadata"]["labels"]["team"], "blue");
    assert_eq!(
        template["metadata"]["labels"]["app.kubernetes.io/instance"],
        "default"
    );
    let pod = &template["spec"];
    assert_eq!(pod["nodeSelector"], json!({"disk": "ssd"}));
    assert_eq!(
        pod["tolerations"],
        json!([{"key": "events", "operator": "Exists"}])
    );
    assert_eq!(pod["affinity"], json!({"nodeAffinity": {}}));
    assert_eq!(pod["topologySpreadConstraints"], Value::Null);
    assert_eq!(
        pod["containers"][0]["resources"],
        json!({"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}})
    );
}

#[test]
fn there_are_as_many_pods_as_wanted_whoever_scaled_the_statefulset() {
    let check = |there: i32, wanted: i32, expected: i32, deviations: &[Deviation]| {
        let spec = json!({"replicas": wanted});
        let mut observed = after(&first(spec.clone()));
        let set: &mut StatefulSet = observed.stateful_set.as_mut().unwrap();
        set.spec.as_mut().unwrap().replicas = Some(there);
        let plan = planned(spec, &observed);
        assert_eq!(replicas(&plan), expected, "{there} -> {wanted}");
        assert_eq!(plan.deviations, deviations, "{there} -> {wanted}");
    };
    check(2, 2, 2, &[]);
    check(2, 3, 3, &[]);
    // Somebody scaled the StatefulSet itself down: that is set right.
    check(1, 2, 2, &[]);
    check(0, 2, 2, &[]);
}

#[test]
fn a_pod_goes_once_others_have_what_it_had_the_last_one_first() {
    let pod = |ordinal: u32| format!("tidegate-gateway-default-{ordinal}");
    let done = Retirement {
        members: 1,
        left: 0,
        is_done: true,
    };
    let busy = Retirement {
        left: 7,
        is_done: false,
        ..done
    };
    let of_before = Retirement { members: 2, ..done };
    let all = [0, 1, 2];
    let noted = |plan: &Plan| -> Vec<(String, bool)> {
        let notes = plan.notes.iter();
        notes
            .map(|note| (note.claim.clone(), note.handed_over))
            .collect()
    };
    let check =
        |said: &[(u32, Retirement)], volumes: &[u32], expected: i32, left: &[Option<u64>]| {
            let spec = json!({"replicas": 1});
            let mut observed = after(&first(spec.clone()));
            let set: &mut StatefulSet = observed.stateful_set.as_mut().unwrap();
            set.spec.as_mut().unwrap().replicas = Some(3);
            observed.claims = volumes
                .iter()
                .map(|ordinal| claim(&format!("data-{}", pod(*ordinal)), "1Gi"))
                .collect();
            observed.retirements = said.iter().map(|(at, it)| (pod(*at), *it)).collect();
            let plan = planned(spec, &observed);
            assert_eq!(replicas(&plan), expected, "{said:?}");
            let going = (1..).zip(left).map(|(at, left)| (pod(at), *left)).collect();
            let deviation = Deviation::HandingOver {
                wanted: 1,
                pods: going,
            };
            let expected = if left.is_empty() {
                vec![]
            } else {
                vec![deviation]
            };
            assert_eq!(plan.deviations, expected, "{said:?}");
            // It is noted of those that go before they do.
            let going = volumes.iter().map(|ordinal| *ordinal as i32);
            let going = going.filter(|ordinal| *ordinal >= replicas(&plan));
            let notes: Vec<_> = going
                .map(|ordinal| (format!("data-{}", pod(ordinal as u32)), true))
                .collect();
            assert_eq!(noted(&plan), notes, "{said:?}");
        };
    check(&[], &all, 3, &[None, None]);
    check(&[(1, busy), (2, busy)], &all, 3, &[Some(7), Some(7)]);
    check(&[(1, busy), (2, done)], &all, 2, &[Some(7)]);
    // A StatefulSet takes the last one away, whoever is done.
    check(&[(1, done), (2, busy)], &all, 3, &[Some(0), Some(7)]);
    check(&[(1, done), (2, done)], &all, 1, &[]);
    // What it said when there were to be more of them does not count.
    check(&[(1, done), (2, of_before)], &all, 3, &[Some(0), Some(0)]);
    // Without a volume it never kept anything.
    check(&[(1, busy)], &[0, 1], 2, &[Some(7)]);
    check(&[], &[0], 1, &[]);

    // Whoever took a pod away whose volume may keep events: it comes back.
    let spec = json!({"replicas": 1});
    let mut observed = after(&first(spec.clone()));
    observed.claims = all
        .map(|ordinal| claim(&format!("data-{}", pod(ordinal)), "1Gi"))
        .into();
    assert_eq!(replicas(&planned(spec.clone(), &observed)), 3);
    // Unless it was noted that others have it all.
    for claim in &mut observed.claims[1..] {
        claim.metadata.annotations = Some([(HANDED_OVER.to_owned(), "true".to_owned())].into());
    }
    let plan = planned(spec, &observed);
    assert_eq!((replicas(&plan), noted(&plan)), (1, vec![]));
    // A pod that is to write to it again takes the note back.
    let plan = planned(json!({"replicas": 2}), &observed);
    let expected = vec![(format!("data-{}", pod(1)), false)];
    assert_eq!((replicas(&plan), noted(&plan)), (2, expected));
}

#[test]
fn a_larger_log_expands_the_claims_and_leaves_the_template_alone() {
    let small = first(json!({"storage": {"size": "1Gi"}}));
    let mut observed = after(&small);
    let claims = [
        ("data-tidegate-gateway-default-0", "1536Mi"),
        ("data-tidegate-gateway-default-1", "100Gi"),
        // As an API server may write it, and as nobody should.
        ("data-tidegate-gateway-default-2", "1610612736"),
        ("data-tidegate-gateway-default-3", "1.5e9"),
    ];
    observed.claims = claims.map(|(name, storage)| claim(name, storage)).into();
    let larger = planned(json!({"storage": {"size": "2Gi"}}), &observed);
    let expansion = |ordinal: u32| Expansion {
        claim: format!("data-tidegate-gateway-default-{ordinal}"),
        storage: "2816Mi".to_owned(),
    };
    assert_eq!(larger.expansions, [expansion(0), expansion(2)]);
    let template =
        |plan: &Plan| as_json(&plan.objects.stateful_set)["spec"]["volumeClaimTemplates"].clone();
    assert_eq!(template(&larger), template(&small));
    assert!(
        as_json(&larger.objects.stateful_set)
            .to_string()
            .contains("--log-capacity=2147483648")
    );
    let smaller = planned(json!({"storage": {"size": "500Mi"}}), &observed);
    assert_eq!(smaller.expansions, []);
}

#[test]
fn another_storage_class_is_not_tried() {
    let observed = after(&first(json!({"storage": {"storageClassName": "fast"}})));
    let plan = planned(json!({"storage": {"storageClassName": "slow"}}), &observed);
    assert_eq!(
        plan.deviations,
        [Deviation::OtherStorageClass {
            there: Some("fast".to_owned()),
            wanted: Some("slow".to_owned()),
        }]
    );
    let set = as_json(&plan.objects.stateful_set);
    let class = &set["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"];
    assert_eq!(class, "fast");
}

#[test]
fn the_key_of_the_last_snapshot_is_made_once() {
    let plan = first(json!({}));
    let key = plan.new_key.as_ref().unwrap();
    assert_eq!(key.immutable, Some(true));
    assert_eq!(key.data.as_ref().unwrap()["key"].0, [7; 32]);
    assert!(planned(json!({}), &after(&plan)).new_key.is_none());
}

#[test]
fn what_belongs_to_somebody_else_is_left_alone() {
    let mut observed = after(&first(json!({"ingress": {}})));
    let mut stranger = gateway(json!({}));
    stranger.metadata.uid = Some("uid-2".to_owned());
    let error = plan(&stranger, &settings(), &observed, &[0; 32]).unwrap_err();
    assert_eq!(
        error,
        PlanError::NotOurs {
            kind: "StatefulSet",
            name: "tidegate-gateway-default".to_owned(),
        }
    );
    observed.stateful_set = None;
    let without = plan(&stranger, &settings(), &observed, &[0; 32]).unwrap();
    assert!(!without.remove_ingress);
    stranger.spec.ingress = Some(crate::api::GatewayIngress::default());
    let error = plan(&stranger, &settings(), &observed, &[0; 32]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the Ingress tidegate-gateway-default is there already")
    );
}

#[test]
fn an_ingress_leads_the_host_of_the_public_url_to_the_service() {
    let check = |url: &str, expected: Value| {
        let plan = first(json!({
            "publicUrl": url,
            "ingress": {"className": "public", "annotations": {"a": "b"}, "tlsSecretName": "hooks-tls"},
        }));
        let ingress = as_json(&plan.objects.ingress);
        assert_eq!(ingress["metadata"]["annotations"], json!({"a": "b"}));
        assert_eq!(ingress["spec"], expected, "{url}");
    };
    let rule = |path: &str| {
        json!({"paths": [{
            "path": path, "pathType": "Prefix",
            "backend": {"service": {"name": "tidegate-gateway-default", "port": {"name": "http"}}},
        }]})
    };
    check(
        "https://hooks.example.com",
        json!({
            "ingressClassName": "public",
            "tls": [{"hosts": ["hooks.example.com"], "secretName": "hooks-tls"}],
            "rules": [{"host": "hooks.example.com", "http": rule("/")}],
        }),
    );
    check(
        "https://hooks.example.com:8443/in",
        json!({
            "ingressClassName": "public",
            "tls": [{"hosts": ["hooks.example.com"], "secretName": "hooks-tls"}],
            "rules": [{"host": "hooks.example.com", "http": rule("/in")}],
        }),
    );
    // An address is no host that an Ingress can match.
    check(
        "http://192.0.2.1",
        json!({
            "ingressClassName": "public",
            "tls": [{"secretName": "hooks-tls"}],
            "rules": [{"http": rule("/")}],
        }),
    );
}

#[test]
fn an_http_route_takes_the_path_of_the_public_url_off() {
    let check = |url: &str, expected: Value| {
        let plan = first(json!({
            "publicUrl": url,
            "httpRoute": {"parentRefs": [{"name": "public", "namespace": "edge", "sectionName": "https", "port": 443}]},
        }));
        let route = as_json(&plan.objects.http_route);
        assert_eq!(route["apiVersion"], "gateway.networking.k8s.io/v1");
        assert_eq!(route["kind"], "HTTPRoute");
        assert_eq!(route["spec"]["hostnames"], json!(["hooks.example.com"]));
        assert_eq!(
            route["spec"]["parentRefs"],
            json!([{
                "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "edge",
                "sectionName": "https", "port": 443,
            }])
        );
        assert_eq!(route["spec"]["rules"], expected, "{url}");
    };
    let backends = json!([{"name": "tidegate-gateway-default", "port": 80}]);
    check(
        "https://hooks.example.com",
        json!([{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": backends}]),
    );
    check(
        "https://hooks.example.com/in",
        json!([{
            "matches": [{"path": {"type": "PathPrefix", "value": "/in"}}],
            "backendRefs": backends,
            "filters": [{
                "type": "URLRewrite",
                "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
            }],
        }]),
    );
}

#[test]
fn what_is_no_longer_asked_for_is_removed() {
    let route = json!({"httpRoute": {"parentRefs": [{"name": "public"}]}});
    let plan = planned(json!({}), &after(&first(json!({"ingress": {}}))));
    assert!(plan.remove_ingress && !plan.remove_http_route);
    let plan = planned(json!({}), &after(&first(route.clone())));
    assert!(!plan.remove_ingress && plan.remove_http_route);
    let plan = planned(route, &after(&first(json!({"ingress": {}}))));
    assert!(plan.remove_ingress && plan.objects.http_route.is_some());
}

#[test]
fn a_name_that_others_cannot_carry_is_refused() {
    let check = |name: &str, expected: Option<&str>| {
        let mut gateway = gateway(json!({}));
        gateway.metadata.name = Some(name.to_owned());
        let found = validate(&gateway);
        assert_eq!(found.is_some(), expected.is_some(), "{name}");
        let words = expected.unwrap_or_default();
        assert!(found.unwrap_or_default().contains(words), "{name}");
    };
    check("default", None);
    check(&"a".repeat(35), None);
    check(&"a".repeat(36), Some("at most 35"));
    check("a.b", Some("dot"));
}
