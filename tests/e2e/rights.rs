//! Who may do what: a gateway pod nothing at all, the controller what its chart says.

use super::support::command::{json, kubectl, try_kubectl};
use super::support::{Installation, orders};

#[test]
fn a_gateway_pod_may_do_nothing_at_the_api_server() {
    let installation = Installation::new("rights", "");
    installation.wait_until_it_serves();
    let account = "tidegate-gateway-default";

    // One for the API server gets in, so what is refused below is refused for its audience.
    let token = installation.kubectl(&["create", "token", account]);
    assert!(ask_as(&token, "/api").is_ok());
    // The token that is in the pod.
    let token = installation.kubectl(&[
        "create",
        "token",
        account,
        "--audience=tidegate-configuration",
    ]);
    for path in ["/api", "/apis/tidegate.dev/v1alpha1", "/api/v1/secrets"] {
        let error = ask_as(&token, path).unwrap_err();
        assert!(
            error.contains("Unauthorized") || error.contains("logged in"),
            "{error}"
        );
    }
    // One that is for the API server, if somebody made one.
    let namespace = &installation.namespace;
    let user = format!("--as=system:serviceaccount:{namespace}:{account}");
    for (verb, kind) in [
        ("get", "secrets"),
        ("list", "pods"),
        ("get", "configmaps"),
        ("list", "eventgateways.tidegate.dev"),
        ("create", "events.events.k8s.io"),
        ("create", "tokenreviews.authentication.k8s.io"),
    ] {
        let answer = try_kubectl(&["--namespace", namespace, "auth", "can-i", verb, kind, &user]);
        assert!(answer.is_err(), "may {verb} {kind}");
    }

    // And there is no other token in the pod.
    let pod = installation.get("pod/tidegate-gateway-default-0");
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let sources = volumes
        .iter()
        .filter_map(|volume| volume["projected"]["sources"].as_array());
    let tokens: Vec<_> = sources
        .flatten()
        .filter_map(|source| source["serviceAccountToken"]["audience"].as_str())
        .collect();
    assert_eq!(tokens, ["tidegate-configuration"], "{pod}");
}

#[test]
fn the_controller_gets_along_with_the_rights_of_one_namespace() {
    // Every installation here watches one namespace, so Roles are all that it has, but for what has no namespace.
    let installation = Installation::new("namespaced", "");
    installation.wait_until_it_serves();
    orders::declare(&installation);
    let role = format!("clusterrole/tidegate-controller-{}", installation.namespace);
    let role = json(&installation.kubectl(&["get", &role, "--output", "json"]));
    let rules = role["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 1, "{role}");
    assert_eq!(
        rules[0]["resources"],
        serde_json::json!(["tokenreviews"]),
        "{role}"
    );
    let pods = [
        "logs",
        "--selector=app.kubernetes.io/name=tidegate-controller",
        "--tail=-1",
    ];
    let log = installation.kubectl(&pods);
    assert!(!log.contains("forbidden"), "{log}");
}

/// Asks the API server with nothing but a token: a client certificate in the kubeconfig would win over it.
fn ask_as(token: &str, path: &str) -> Result<String, String> {
    let view = ["config", "view", "--raw", "--minify", "--output", "json"];
    let mut config = json(&kubectl(&view));
    let user = serde_json::json!({"token": token.trim()});
    config["users"][0]["user"] = user;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    let file = format!("--kubeconfig={}", file.path().display());
    try_kubectl(&[&file, "get", "--raw", path])
}
