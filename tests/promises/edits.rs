//! A thousand edits under load, at least twenty a second: no request sees a mix of old and new, and
//! none gets a 404 or 5xx because of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::Sink;

const EDITS: usize = 1_000;

/// So many edits in a row are counted together: they count where they came at the promised rate.
const ROUND: usize = 100;

/// As long as the edits of a round may take, at twenty a second.
const MOST: Duration = Duration::from_secs(5);

/// Edits that must have been seen live.
const SEEN: usize = 20;

/// Every part of the type says which edit it is of: the type and two extensions that its events
/// get, and a header of the answer. Events have the ids that their requests give them, so that an
/// answer can be compared with what was stored.
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
      id: item.id
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

/// Sends an event of this id; the status, and the edit that the answer says it is of.
async fn send(dev: &Dev, id: &str) -> (StatusCode, String) {
    let answer = dev
        .client
        .post(dev.url("/default/edited"))
        .bearer_auth("edits-token")
        .header("content-type", "application/json")
        .body(format!(r#"{{"id": "{id}"}}"#))
        .send()
        .await
        .unwrap();
    let edit = answer.headers().get("x-edit");
    let edit = edit.map_or_else(String::new, |edit| edit.to_str().unwrap().to_owned());
    (answer.status(), edit)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_sees_a_mix_of_old_and_new_or_fails_because_of_an_edit() {
    let sink = Sink::start().await;
    let dev = Arc::new(Dev::start(&manifests(&sink, 0)).await);
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let (stop, dev) = (stop.clone(), dev.clone());
            tokio::spawn(async move {
                let mut answered: BTreeMap<String, String> = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let id = format!("{sender}-{}", answered.len());
                    let (status, edit) = send(&dev, &id).await;
                    assert_eq!(status, StatusCode::ACCEPTED, "after {edit}");
                    answered.insert(id, edit);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                answered
            })
        })
        .collect();

    // On a busy machine some rounds are too slow to count; then there are more of them.
    let (mut edits, mut counted) = (0, 0);
    eventually("a thousand edits came at twenty a second", async || {
        let start = Instant::now();
        for number in 1..=ROUND {
            edits += 1;
            dev.edit("manifests.yaml", &manifests(&sink, edits));
            // Twenty a second and more, however long one edit takes to write.
            let due = start + Duration::from_millis(40) * number as u32;
            tokio::time::sleep_until(due.into()).await;
        }
        if start.elapsed() <= MOST {
            counted += ROUND;
        }
        let seen: BTreeSet<String> = (sink.deliveries().iter())
            .map(|delivery| delivery.header("ce-type").to_owned())
            .collect();
        counted >= EDITS && seen.len() > SEEN
    })
    .await;

    let last = format!("edit-{edits}");
    let mut answered: BTreeMap<String, String> = BTreeMap::new();
    eventually("the last edit is live", async || {
        let id = format!("last-{}", answered.len());
        let (status, edit) = send(&dev, &id).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        answered.insert(id, edit.clone());
        edit == last
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        answered.append(&mut sender.await.unwrap());
    }
    eventually("every event is delivered", async || {
        sink.count() >= answered.len()
    })
    .await;
    let mut seen = BTreeSet::new();
    for delivery in sink.deliveries() {
        let edit = delivery.header("ce-type");
        assert_eq!(delivery.header("ce-one"), edit);
        assert_eq!(delivery.header("ce-two"), edit);
        assert_eq!(answered[delivery.id()], edit, "what the answer said");
        seen.insert(edit.to_owned());
    }
    assert!(
        seen.len() > SEEN,
        "edits went live one after the other: {}",
        seen.len()
    );
}
