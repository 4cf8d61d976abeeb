//! What may be left at an app is listed at the gateway, until somebody says that it was removed there.

use jiff::Timestamp;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::subscribing::World;
use crate::promises::subscribing::spec::Spec;
use crate::support::eventually;
use crate::support::model_app::{Fault, Op};

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_listed_until_somebody_says_that_it_was_removed() {
    let spec = Spec {
        give_up_after: Some("1s"),
        ..Spec::of(&["acme"])
    };
    let world = World::start(spec).await;
    let object = world.stands("acme").await;
    let id = object["status"]["registrations"][0]["id"].clone();
    for _ in 0..1_000 {
        world.app.next("acme", Op::Delete, Fault::Refused(401));
    }
    world.delete("EventSubscription", "acme").await;
    let listed = async || {
        let own = &world.controller.namespace;
        let gateway = world.controller.get(own, "EventGateway", "default").await;
        let orphans = gateway["status"]["orphans"].as_array().cloned();
        let of_it = orphans.into_iter().flatten();
        of_it.map(|it| it["id"].clone()).collect::<Vec<Value>>()
    };
    eventually("it is listed", async || {
        listed().await == std::slice::from_ref(&id)
    })
    .await;

    annotate(&world, "yesterday").await;
    eventually("that says nothing, which is told", async || {
        told(&world).await.iter().any(|note| {
            note.contains("orphans-removed-until")
                && note.contains("yesterday")
                && note.contains("2026-01-31T12:00:00Z")
        })
    })
    .await;
    assert_eq!(listed().await, [id]);

    annotate(&world, &Timestamp::now().to_string()).await;
    eventually("it is not listed any more", async || {
        listed().await.is_empty()
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/metrics", world.controller.metrics);
    let metrics = client.get(url).send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("tidegate_provision_orphans 0\n"),
        "{metrics}"
    );
}

async fn annotate(world: &World, until: &str) {
    let annotations = json!({"tidegate.dev/orphans-removed-until": until});
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let own = &world.controller.namespace;
    let api = world.controller.ours(own, "EventGateway");
    api.patch("default", &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// What was told of gateways.
async fn told(world: &World) -> Vec<String> {
    let own = &world.controller.namespace;
    let events: Api<k8s_openapi::api::events::v1::Event> =
        Api::namespaced(world.controller.admin.clone(), own);
    let all = events.list(&ListParams::default()).await.unwrap();
    all.items.into_iter().filter_map(|it| it.note).collect()
}
