//! Another process leads: pods go on where they were, and no request notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::http::StatusCode;
use tidegate::controller::server::Leading;
use tidegate::provision::store::Publish as _;

use super::entries::{KEY, delivering, path, registration, route};
use super::send;
use crate::support::controller::{Controller, hub_of};
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::sink::Sink;

const SECRET: &str = "the registration's secret";

/// Leaders that follow each other.
const LEADERS: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_leader_is_not_noticed_by_requests() {
    let sink = Sink::start().await;
    let mut controller = Controller::start(1).await;
    let registrations = || vec![registration(1, Some(SECRET))];
    controller.hub().publish(registrations()).await.unwrap();
    controller.set(delivering(&sink.url("/")));
    let pod = Arc::new(Gateway::start(&controller, "pod-0").await);

    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let senders = [("/shop/orders".to_owned(), KEY), (path(1), SECRET)].map(|(path, key)| {
        let (pod, stop, sent) = (Arc::clone(&pod), Arc::clone(&stop), Arc::clone(&sent));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let id = sent.fetch_add(1, Ordering::Relaxed).to_string();
                let status = send(&pod, &path, key, &id).await;
                assert_eq!(status, Some(StatusCode::ACCEPTED), "{path}");
            }
        })
    });
    for epoch in 2..2 + LEADERS {
        eventually("the leader is followed", async || controller.is_taken_by(1)).await;
        let before = sent.load(Ordering::Relaxed);
        // Nobody leads for a moment; then another one does, who knows the registrations first.
        controller.leading.send_replace(Leading::Elsewhere(None));
        eventually("requests go on", async || {
            sent.load(Ordering::Relaxed) > before + 20
        })
        .await;
        if epoch.is_multiple_of(2) {
            controller.stop().await;
            controller.listen().await;
        }
        let next = hub_of(epoch);
        next.publish(registrations()).await.unwrap();
        controller.lead(next);
        let mut configuration = delivering(&sink.url("/"));
        configuration
            .routes
            .push(route(&format!("/shop/since-{epoch}")));
        controller.set(configuration);
    }
    eventually("the last one is followed", async || {
        controller.is_taken_by(1)
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    let newest = format!("/shop/since-{}", 1 + LEADERS);
    assert_eq!(
        send(&pod, &newest, KEY, "newest").await,
        Some(StatusCode::ACCEPTED)
    );
    let former = format!("/shop/since-{LEADERS}");
    assert_eq!(
        send(&pod, &former, KEY, "former").await,
        Some(StatusCode::NOT_FOUND)
    );
}
