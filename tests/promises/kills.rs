//! Nothing is lost when the process is killed: with requests in flight and deliveries pending, at
//! any moment, many times in a row. Every acknowledged event is delivered.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use crate::support::app::hmac_sha256_hex;
use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::{Answer, Sink};

/// How often the process is killed.
const KILLS: usize = 30;

/// Senders that each always have a request open.
const SENDERS: usize = 48;

/// Requests that must have been open at each kill.
const IN_FLIGHT: usize = 32;

fn manifests(sink: &Sink) -> String {
    format!(
        r#"
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: ticks}}
spec:
  schema: {{type: object, required: [id], properties: {{id: {{type: string}}}}}}
  webhook:
    authentication:
    - hmac: {{keys: [{{secretKeyRef: {{name: app, key: key}}}}], signature: 'request.headers["x-signature"]'}}
    events: {{id: item.id}}
  globalWebhook: {{path: ticks}}
---
apiVersion: v1
kind: Secret
metadata: {{name: app}}
stringData: {{key: kills-key}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: steady}}
spec:
  eventTypeRef: {{name: ticks}}
  sink: {{uri: "{}"}}
  delivery: {{backoff: {{initial: 50ms, max: 500ms}}}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: shaky}}
spec:
  eventTypeRef: {{name: ticks}}
  sink: {{uri: "{}"}}
  delivery: {{backoff: {{initial: 50ms, max: 500ms}}}}
"#,
        sink.url("/steady"),
        sink.url("/shaky"),
    )
}

struct Load {
    url: String,
    next: AtomicUsize,
    open: AtomicUsize,
    stop: AtomicBool,
    acknowledged: Mutex<BTreeSet<String>>,
}

/// Sends one request after the other, whatever becomes of them, and notes what was acknowledged.
async fn send_for_ever(load: Arc<Load>, client: reqwest::Client) {
    while !load.stop.load(Ordering::Relaxed) {
        let id = format!("tick-{}", load.next.fetch_add(1, Ordering::Relaxed));
        let body = json!({"id": id}).to_string();
        let request = client
            .post(&load.url)
            .header("content-type", "application/json")
            .header("x-signature", hmac_sha256_hex("kills-key", body.as_bytes()))
            .timeout(Duration::from_secs(10))
            .body(body);
        load.open.fetch_add(1, Ordering::Relaxed);
        let answer = request.send().await;
        load.open.fetch_sub(1, Ordering::Relaxed);
        match answer {
            Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                load.acknowledged.lock().unwrap().insert(id);
            }
            Ok(answer) => assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE),
            // The process is gone: a connection that breaks off says nothing about the event.
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_event_is_delivered_though_the_process_is_killed_thirty_times() {
    let sink = Sink::start().await;
    // Something is always waiting for its next attempt.
    sink.answer("/shaky", Answer::Status(StatusCode::SERVICE_UNAVAILABLE));
    let mut dev = Dev::start(&manifests(&sink)).await;
    let load = Arc::new(Load {
        url: dev.url("/default/ticks"),
        next: AtomicUsize::new(0),
        open: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        acknowledged: Mutex::default(),
    });
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| tokio::spawn(send_for_ever(load.clone(), dev.client.clone())))
        .collect();
    for kill in 0..KILLS {
        let before = load.acknowledged.lock().unwrap().len();
        // At another moment of the process's life each time.
        tokio::time::sleep(Duration::from_millis(20 + (kill as u64 * 37) % 150)).await;
        eventually("requests are answered and enough are open", async || {
            load.open.load(Ordering::Relaxed) >= IN_FLIGHT
                && load.acknowledged.lock().unwrap().len() > before
        })
        .await;
        dev.kill();
        dev.run().await;
    }
    load.stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    sink.answer("/shaky", Answer::Status(StatusCode::NO_CONTENT));
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    assert!(
        acknowledged.len() > KILLS,
        "there was some load: {}",
        acknowledged.len()
    );
    for path in ["/steady", "/shaky"] {
        eventually(
            &format!("all acknowledged events are at {path}"),
            async || {
                let delivered: BTreeSet<String> = sink
                    .deliveries()
                    .iter()
                    .filter(|delivery| delivery.path == path && delivery.status.is_success())
                    .map(|delivery| delivery.id().to_owned())
                    .collect();
                acknowledged.is_subset(&delivered)
            },
        )
        .await;
    }
    let sent = load.next.load(Ordering::Relaxed);
    for delivery in sink.deliveries() {
        let number: usize = delivery
            .id()
            .strip_prefix("tick-")
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            number < sent,
            "nothing is delivered that was never sent: {}",
            delivery.id()
        );
    }
}
