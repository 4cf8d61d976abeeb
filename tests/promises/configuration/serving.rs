//! What is set is served, and what is edited is live, everywhere and without a restart.

use std::sync::Arc;

use axum::http::StatusCode;

use super::super::documentation::documents_all_of;
use super::entries::{KEY, SINK_HEADER, configuration, delivering, orders, route, subscription};
use super::send;
use crate::support::controller::{Controller, served};
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::sink::Sink;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_at_the_controller_serves_and_delivers_and_edits_are_live() {
    let sink = Sink::start().await;
    let controller = Controller::start(3).await;
    let mut pod = Gateway::new(&controller, "pod-0");
    pod.spawn();

    // Nothing is set yet: the pod lives and is not ready, and nobody is told to give up.
    pod.says("connected to the controller").await;
    assert_eq!(pod.get(pod.probes, "/livez").await.0, StatusCode::OK);
    let (status, reasons) = pod.get(pod.probes, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        reasons.contains("there is no configuration yet"),
        "{reasons}"
    );
    let early = send(&pod, "/shop/orders", KEY, "early").await;
    assert_eq!(early, Some(StatusCode::SERVICE_UNAVAILABLE));

    controller.set(delivering(&sink.url("/one")));
    pod.is_ready().await;
    eventually("it says what it has taken", async || {
        controller.is_taken_by(1)
    })
    .await;
    assert_eq!(
        send(&pod, "/shop/orders", KEY, "1").await,
        Some(StatusCode::ACCEPTED)
    );
    eventually("it is delivered", async || sink.at("/one").len() == 1).await;
    let delivery = &sink.at("/one")[0];
    assert_eq!(
        (delivery.id(), delivery.header("x-secret")),
        ("1", SINK_HEADER)
    );
    let wrong = send(&pod, "/shop/orders", "another key", "2").await;
    assert_eq!(wrong, Some(StatusCode::UNAUTHORIZED));
    let unknown = send(&pod, "/shop/more", KEY, "3").await;
    assert_eq!(unknown, Some(StatusCode::NOT_FOUND));
    eventually("it says what it has taken", async || {
        controller.is_taken_by(1)
    })
    .await;

    // Another route, another sink, and the first route goes.
    let mut edited = delivering(&sink.url("/two"));
    edited.routes = vec![route("/shop/more")];
    controller.set(edited);
    eventually("the edit is taken", async || controller.is_taken_by(1)).await;
    assert_eq!(
        send(&pod, "/shop/more", KEY, "4").await,
        Some(StatusCode::ACCEPTED)
    );
    let gone = send(&pod, "/shop/orders", KEY, "5").await;
    assert_eq!(gone, Some(StatusCode::NOT_FOUND));
    eventually("it is delivered there", async || sink.at("/two").len() == 1).await;

    // Probes and metrics for everybody, people's matters on loopback only.
    let connected = pod.metric("tidegate_configuration_connected ").await;
    assert_eq!(connected.as_deref(), Some("1"));
    let epoch = pod.metric("tidegate_configuration_epoch ").await;
    assert_eq!(epoch.as_deref(), Some("3"));
    let revision = controller.observed().unwrap().revision.counter.to_string();
    let counted = pod.metric("tidegate_configuration_revision ").await;
    assert_eq!(counted, Some(revision));
    assert_eq!(
        pod.get(pod.probes, "/v1/events").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(pod.get(pod.admin, "/v1/events").await.0, StatusCode::OK);
    assert_eq!(
        pod.get(pod.admin, "/metrics").await.0,
        StatusCode::NOT_FOUND
    );
    documents_all_of(&pod.get(pod.probes, "/metrics").await.1);

    let status = pod.stop().await;
    assert!(status.success(), "{status}: {}", pod.output());
    let gone = || {
        controller
            .observed()
            .is_some_and(|observed| observed.pods.is_empty())
    };
    eventually("nobody is connected", async || gone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_cannot_take_comes_back_and_its_earlier_form_serves() {
    let sink = Sink::start().await;
    let controller = Controller::start(1).await;
    controller.set(delivering(&sink.url("/")));
    let pod = Gateway::start(&controller, "pod-0").await;
    let refused = || {
        let observed = controller.observed()?;
        let pod = observed.pods.first()?.clone();
        (pod.acknowledged == Some(observed.revision)).then(|| Arc::clone(&pod.refused))
    };
    eventually("all is taken", async || {
        refused().is_some_and(|it| it.is_empty())
    })
    .await;

    let mut broken = delivering(&sink.url("/"));
    broken.event_types = vec![orders("item.(")];
    broken
        .subscriptions
        .push(subscription("second", &sink.url("/second")));
    controller.set(broken);
    eventually("it is refused", async || {
        refused().is_some_and(|it| it.len() == 1)
    })
    .await;
    let entry = refused().unwrap()[0].clone();
    assert_eq!(entry.key.to_string(), "AppEventType shop/orders");
    assert!(entry.problems[0].contains("webhook.events.id"), "{entry:?}");
    // The earlier form serves, and what came with the broken one is live.
    assert_eq!(
        send(&pod, "/shop/orders", KEY, "1").await,
        Some(StatusCode::ACCEPTED)
    );
    eventually("both get it", async || sink.count() == 2).await;
    let counted = pod.metric("tidegate_configuration_refused_entries ").await;
    assert_eq!(counted.as_deref(), Some("1"));

    controller.set(delivering(&sink.url("/")));
    eventually("nothing is refused", async || {
        refused().is_some_and(|it| it.is_empty())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_gets_nothing_of_another() {
    let controller = Controller::start(1).await;
    let other = tidegate::event::ObjectName::new("tidegate", "other");
    controller
        .hub()
        .set(&other, served(delivering("http://127.0.0.1:9/")));
    controller.set(configuration());
    let mut pod = Gateway::start(&controller, "pod-0").await;
    eventually("all is taken", async || controller.is_taken_by(1)).await;
    let unknown = send(&pod, "/shop/orders", KEY, "1").await;
    assert_eq!(unknown, Some(StatusCode::NOT_FOUND));

    // It says that it is of the other one: its token decides.
    pod.stop().await;
    pod.gateway = other;
    std::fs::remove_dir_all(pod.path("data")).unwrap();
    pod.spawn();
    pod.says("the token is one of the EventGateway tidegate/default")
        .await;
    pod.says("check --gateway").await;
    let (status, _) = pod.get(pod.probes, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}
