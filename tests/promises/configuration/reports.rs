//! What comes in at a pod is told: notices of the app before it is answered, when events came, and how
//! it goes with subscriptions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use futures_util::future::{BoxFuture, ready};
use jiff::Timestamp;
use serde_json::json;
use tidegate::api::LifecycleAction;
use tidegate::configuration::{CaptureAnswer, Captured, NotStored, Reports};
use tidegate::event::ObjectName;
use tidegate::provision::store::Publish as _;

use super::entries::{KEY, delivering, name, path, registration};
use super::send;
use crate::support::app::hmac_sha256_hex;
use crate::support::controller::Controller;
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::sink::{Answer, Sink};

const SECRET: &str = "the registration's secret";

/// Keeps what it is told.
#[derive(Default)]
struct Told {
    notices: Mutex<Vec<(ObjectName, u32, LifecycleAction)>>,
    received: Mutex<Vec<(ObjectName, u32)>>,
    failing: AtomicBool,
}

impl Reports for Told {
    fn captured<'a>(
        &'a self,
        _: &'a ObjectName,
        _: u32,
        _: Captured,
    ) -> BoxFuture<'a, CaptureAnswer> {
        Box::pin(ready(CaptureAnswer::Unavailable))
    }

    fn noticed<'a>(
        &'a self,
        subscription: &'a ObjectName,
        number: u32,
        action: LifecycleAction,
    ) -> BoxFuture<'a, Result<(), NotStored>> {
        if self.failing.load(Ordering::SeqCst) {
            return Box::pin(ready(Err(NotStored)));
        }
        let notice = (subscription.clone(), number, action);
        self.notices.lock().unwrap().push(notice);
        Box::pin(ready(Ok(())))
    }

    fn received(&self, subscription: &ObjectName, number: u32, _: Timestamp) {
        let mut received = self.received.lock().unwrap();
        received.push((subscription.clone(), number));
    }
}

async fn gone(pod: &Gateway) -> StatusCode {
    let body = json!({"id": "n", "gone": true}).to_string();
    let request = pod
        .client
        .post(pod.url(&path(1)))
        .header("content-type", "application/json")
        .header("x-signature", hmac_sha256_hex(SECRET, body.as_bytes()))
        .body(body);
    request.send().await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_at_a_pod_is_told() {
    let sink = Sink::start().await;
    sink.answer("/broken", Answer::Status(StatusCode::BAD_REQUEST));
    let controller = Controller::start(1).await;
    let told = Arc::new(Told::default());
    controller
        .hub()
        .report_to(Arc::clone(&told) as Arc<dyn Reports>);
    let registrations = vec![registration(1, Some(SECRET)), registration(2, Some(SECRET))];
    controller.hub().publish(registrations).await.unwrap();
    controller.set(delivering(&sink.url("/broken")));
    let pod = Gateway::start(&controller, "pod-0").await;

    // A notice that cannot be stored is not acknowledged.
    told.failing.store(true, Ordering::SeqCst);
    assert_eq!(gone(&pod).await, StatusCode::SERVICE_UNAVAILABLE);
    told.failing.store(false, Ordering::SeqCst);
    assert_eq!(gone(&pod).await, StatusCode::ACCEPTED);
    let notices = told.notices.lock().unwrap().clone();
    assert_eq!(notices, [(name("crm-acme"), 1, LifecycleAction::Gone)]);

    // Many events are one report.
    for id in 0..50 {
        let status = send(&pod, &path(2), SECRET, &id.to_string()).await;
        assert_eq!(status, Some(StatusCode::ACCEPTED));
    }
    let of = |number| {
        let received = told.received.lock().unwrap();
        received
            .iter()
            .filter(|it| **it == (name("crm-acme"), number))
            .count()
    };
    eventually("both are told", async || of(1) > 0 && of(2) > 0).await;
    assert_eq!((of(1), of(2)), (1, 1));

    // An event that its sink refuses is a dead letter, and the subscription's health says so.
    assert_eq!(
        send(&pod, "/shop/orders", KEY, "1").await,
        Some(StatusCode::ACCEPTED)
    );
    eventually("the dead letter is told", async || {
        let observed = controller.observed().unwrap();
        let health = observed.pods.first().map(|pod| Arc::clone(&pod.health));
        health.is_some_and(|health| {
            let invoicing = health.get(&name("invoicing"));
            invoicing.is_some_and(|health| health.dead_letters == 1)
        })
    })
    .await;
}
