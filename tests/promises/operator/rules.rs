//! Every rule that the CRDs carry, at a real API server: it lets pass what it should and refuses
//! what it is there for, with the message that `check` gives.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::api_server::ApiServer;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};

const CASES: &str = include_str!("../../data/rules.json");

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_accepts_and_refuses_what_the_rules_say() {
    let server = ApiServer::shared().await;
    let namespace = server.namespace("rules").await;
    let client = server.admin().await;
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let mut refused = BTreeSet::new();
    let mut accepted = 0;
    for (number, case) in cases.iter().enumerate() {
        let kind = case["kind"].as_str().unwrap();
        let resource = GroupVersionKind::gvk("tidegate.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk(&resource);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": kind,
            "metadata": {"name": format!("case-{number}")}, "spec": case["spec"],
        }))
        .unwrap();
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let answer = api.create(&parameters, &object).await;
        match case["message"].as_str() {
            None => {
                assert!(answer.is_ok(), "{case} is refused: {answer:?}");
                accepted += 1;
            }
            Some(message) => {
                let error = answer.expect_err(&format!("{case} is accepted"));
                let error = error.to_string();
                assert!(
                    error.contains(message),
                    "{case} is refused otherwise: {error}"
                );
                refused.insert(message);
            }
        }
    }
    assert!(
        accepted > 20 && refused.len() > 20,
        "{accepted} {refused:?}"
    );
}
