//! A thousand edits under load, at least twenty a second: no request sees a mix of old and new, and
//! none gets a 404 or 5xx because of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::Sink;

const EDITS: usize = 1_000;

/// Every part of the type says which edit it is of: the type and two extensions that its events
/// get, and a header of the answer.
fn manifests(sink: &Sink, edit: usize) -> String {
    format!(
        r#"
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: edited}}
spec:
  schema: {{type: object}}
  webhook:
    authentication: [{{token: {{keys: [{{secretKeyRef: {{name: app, key: token}}}}]}}}}]
    events:
      type: '"edit-{edit}"'
      extensions: {{one: '"edit-{edit}"', two: '"edit-" + "{edit}"'}}
    respond: {{headers: {{X-Edit: "edit-{edit}"}}}}
  globalWebhook: {{path: edited}}
---
apiVersion: v1
kind: Secret
metadata: {{name: app}}
stringData: {{token: edits-token}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: all}}
spec: {{eventTypeRef: {{name: edited}}, sink: {{uri: "{}"}}}}
"#,
        sink.url("/")
    )
}

fn request(dev: &Dev) -> reqwest::RequestBuilder {
    dev.client
        .post(dev.url("/default/edited"))
        .bearer_auth("edits-token")
        .header("content-type", "application/json")
        .body("{}")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_sees_a_mix_of_old_and_new_or_fails_because_of_an_edit() {
    let sink = Sink::start().await;
    let dev = Arc::new(Dev::start(&manifests(&sink, 0)).await);
    let stop = Arc::new(AtomicBool::new(false));
    let accepted = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let (stop, accepted, dev) = (stop.clone(), accepted.clone(), dev.clone());
            tokio::spawn(async move {
                let mut answers: BTreeMap<StatusCode, usize> = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = request(&dev).send().await.unwrap();
                    *answers.entry(answer.status()).or_default() += 1;
                    accepted.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                answers
            })
        })
        .collect();

    let start = Instant::now();
    for edit in 1..=EDITS {
        dev.edit("manifests.yaml", &manifests(&sink, edit));
        // Twenty a second and more, however long one edit takes to write.
        let due = start + Duration::from_millis(40) * edit as u32;
        tokio::time::sleep_until(due.into()).await;
    }
    let rate = EDITS as f64 / start.elapsed().as_secs_f64();
    assert!(rate >= 20.0, "{rate} edits a second");

    let last = format!("edit-{EDITS}");
    eventually("the last edit is live", async || {
        let answer = request(&dev).send().await.unwrap();
        accepted.fetch_add(1, Ordering::Relaxed);
        answer
            .headers()
            .get("x-edit")
            .is_some_and(|edit| edit == last.as_str())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        let answers = sender.await.unwrap();
        assert_eq!(
            answers.keys().collect::<Vec<_>>(),
            [&StatusCode::ACCEPTED],
            "{answers:?}"
        );
    }
    let accepted = accepted.load(Ordering::Relaxed);
    eventually("every event is delivered", async || {
        sink.count() >= accepted
    })
    .await;
    let mut seen = BTreeSet::new();
    for delivery in sink.deliveries() {
        let edit = delivery.header("ce-type");
        assert_eq!(delivery.header("ce-one"), edit);
        assert_eq!(delivery.header("ce-two"), edit);
        seen.insert(edit.to_owned());
    }
    assert!(
        seen.len() > 20,
        "edits went live one after the other: {}",
        seen.len()
    );
}
