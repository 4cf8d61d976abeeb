//! A full log refuses before anything is lost, says when to come again, and takes events again as
//! soon as there is space: nothing that was acknowledged is missing in the end.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::json;

use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::Sink;

/// Bytes of one event: some eighty of them fill the log.
const BYTES: usize = 200 << 10;

fn manifests(sink: &Sink, suspend: bool) -> String {
    format!(
        r#"
apiVersion: tidegate.dev/v1alpha1
kind: EventGateway
metadata: {{name: default, namespace: tidegate}}
spec: {{publicUrl: "https://hooks.example.com", storage: {{size: 16Mi}}, limits: {{undeliveredShare: 100}}}}
---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: bulky}}
spec:
  schema: {{type: object}}
  webhook:
    authentication: [{{token: {{keys: [{{secretKeyRef: {{name: app, key: token}}}}]}}}}]
    events: {{id: item.id}}
  globalWebhook: {{path: bulky}}
---
apiVersion: v1
kind: Secret
metadata: {{name: app}}
stringData: {{token: full-log-token}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: reader}}
spec: {{eventTypeRef: {{name: bulky}}, sink: {{uri: "{}"}}, suspend: {suspend}}}
"#,
        sink.url("/reader")
    )
}

/// Sends an event; the answer's status, and whether it says when to come again.
async fn send(dev: &Dev, id: &str) -> (StatusCode, bool) {
    let body = json!({"id": id, "filling": "x".repeat(BYTES)}).to_string();
    let request = dev
        .client
        .post(dev.url("/default/bulky"))
        .bearer_auth("full-log-token")
        .header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    (
        answer.status(),
        answer.headers().contains_key("retry-after"),
    )
}

async fn readiness(dev: &Dev) -> (StatusCode, String) {
    let answer = dev.client.get(dev.admin_url("/readyz")).send().await;
    let answer = answer.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_refuses_before_anything_is_lost_and_accepts_again_when_there_is_space() {
    let sink = Sink::start().await;
    let mut dev = Dev::start(&manifests(&sink, true)).await;
    let mut acknowledged = BTreeSet::new();
    let refused = loop {
        let id = format!("e-{:03}", acknowledged.len());
        match send(&dev, &id).await {
            (StatusCode::ACCEPTED, _) => acknowledged.insert(id),
            refused => break refused,
        };
        assert!(acknowledged.len() < 100, "more than the log can hold");
    };
    assert_eq!(refused, (StatusCode::SERVICE_UNAVAILABLE, true));
    assert!(acknowledged.len() > 40, "{}", acknowledged.len());
    eventually("it is not ready", async || {
        let (status, text) = readiness(&dev).await;
        status == StatusCode::SERVICE_UNAVAILABLE && text.contains("the event log is full")
    })
    .await;

    // Full as it is, a crash costs nothing and makes no room.
    dev.kill();
    dev.run().await;
    let mut number = 0;
    eventually("it is full again", async || {
        number += 1;
        let id = format!("again-{number}");
        let (status, comes_again) = send(&dev, &id).await;
        if status == StatusCode::ACCEPTED {
            acknowledged.insert(id);
        }
        status == StatusCode::SERVICE_UNAVAILABLE && comes_again
    })
    .await;
    assert_eq!(sink.count(), 0, "nothing was let go to make room");

    dev.edit("manifests.yaml", &manifests(&sink, false));
    eventually("it accepts again", async || {
        let accepted = send(&dev, "after").await.0 == StatusCode::ACCEPTED;
        accepted && readiness(&dev).await.0 == StatusCode::OK
    })
    .await;
    acknowledged.insert("after".to_owned());
    eventually("everything is delivered", async || {
        let delivered: BTreeSet<String> = sink
            .deliveries()
            .iter()
            .map(|delivery| delivery.id().to_owned())
            .collect();
        delivered == acknowledged
    })
    .await;
    let letters = dev.admin("/v1/dead-letters").await;
    assert_eq!(letters["items"], json!([]));
}
