//! How many pods there are: as many as the EventGateway says, but none goes that may keep events which nobody else has.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::api_server::controller::{Controller, condition_of};
use crate::support::eventually;

const NAME: &str = "tidegate-gateway-default";

fn gateway(replicas: u32) -> String {
    format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: EventGateway\nmetadata: {{name: default}}\n\
         spec: {{publicUrl: 'https://hooks.example.com', replicas: {replicas}}}\n"
    )
}

async fn has_replicas(sets: &Api<StatefulSet>, expected: i32) {
    eventually(
        &format!("the StatefulSet has {expected} pods"),
        async || {
            let set = sets.get_opt(NAME).await.unwrap();
            set.and_then(|set| set.spec?.replicas) == Some(expected)
        },
    )
    .await;
}

/// The condition `Reconciling`, as soon as it says so.
async fn says(controller: &Controller, words: &str) -> Value {
    let mut found = Value::Null;
    eventually(&format!("the gateway says {words:?}"), async || {
        let gateway = controller
            .get(&controller.namespace, "EventGateway", "default")
            .await;
        found = condition_of(&gateway, "Reconciling")
            .cloned()
            .unwrap_or_default();
        found["message"]
            .as_str()
            .is_some_and(|it| it.contains(words))
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_may_keep_events_stays_until_it_has_handed_them_over() {
    let controller = Controller::start(&[]).await;
    let namespace = &controller.namespace;
    let sets: Api<StatefulSet> = Api::namespaced(controller.admin.clone(), namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(controller.admin.clone(), namespace);
    controller.apply(namespace, &gateway(2)).await;
    has_replicas(&sets, 2).await;
    // As Kubernetes makes it for the second pod.
    let claim = json!({
        "metadata": {
            "name": format!("data-{NAME}-1"),
            "labels": {
                "app.kubernetes.io/name": "tidegate-gateway",
                "app.kubernetes.io/instance": "default",
            },
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "13Gi"}},
        },
    });
    let claim = serde_json::from_value(claim).unwrap();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    let phase = async |phase: &str| {
        let patch = Patch::Merge(json!({"status": {"phase": phase}}));
        let name = format!("data-{NAME}-1");
        claims
            .patch_status(&name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    };
    phase("Bound").await;

    controller.apply(namespace, &gateway(1)).await;
    let told = says(&controller, "spec.replicas is 1").await;
    assert_eq!(told["reason"], "HandingOver", "{told}");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("{NAME}-1 (it has not said what it has left")),
        "{message}"
    );
    has_replicas(&sets, 2).await;

    // Somebody tries to be faster.
    let patch = Patch::Merge(json!({"spec": {"replicas": 1}}));
    let parameters = PatchParams {
        field_manager: Some("somebody".to_owned()),
        ..PatchParams::default()
    };
    sets.patch(NAME, &parameters, &patch).await.unwrap();
    let is_patched = sets.get(NAME).await.unwrap().metadata.generation;
    eventually("that is set right", async || {
        let set = sets.get(NAME).await.unwrap();
        set.metadata.generation > is_patched && set.spec.unwrap().replicas == Some(2)
    })
    .await;

    // A volume that was never there keeps nothing.
    phase("Pending").await;
    controller.apply(namespace, &gateway(1)).await;
    has_replicas(&sets, 1).await;
}
