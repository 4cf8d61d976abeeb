//! `dev` deletes carefully: what editors and git do to files, a broken file and an unreadable
//! folder lose no undelivered event; only a subscription that has surely gone loses them.

use std::time::{Duration, Instant};

use axum::http::StatusCode;

use crate::support::dev::{Dev, replace};
use crate::support::eventually;
use crate::support::sink::{Answer, Sink};

const TYPE: &str = r#"
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: notes}
spec:
  schema: {type: object}
  webhook:
    authentication: [{token: {keys: [{secretKeyRef: {name: app, key: token}}]}}]
    events: {id: item.id}
  globalWebhook: {path: notes}
---
apiVersion: v1
kind: Secret
metadata: {name: app}
stringData: {token: dev-state-token}
"#;

fn subscription(sink: &Sink) -> String {
    format!(
        r#"
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: reader}}
spec:
  eventTypeRef: {{name: notes}}
  sink: {{uri: "{}"}}
  delivery: {{backoff: {{initial: 100ms, max: 300ms}}}}
"#,
        sink.url("/reader")
    )
}

async fn send(dev: &Dev, id: &str) -> StatusCode {
    let request = dev
        .client
        .post(dev.url("/default/notes"))
        .bearer_auth("dev-state-token");
    let body = format!(r#"{{"id": "{id}"}}"#);
    request
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .unwrap()
        .status()
}

/// Runs `disturb` while an event is undelivered.
struct Disturbed {
    sink: Sink,
    /// Requests that came to the sink while it was sick.
    tried: usize,
    dev: Dev,
}

/// How often something that has to be quick is tried.
const TRIES: usize = 30;

/// An object that was gone for less than this does not count as deleted.
const SURELY_GONE: Duration = Duration::from_secs(2);

/// Runs `disturb` while an event is undelivered. It tells whether it was as quick as it had to be;
/// on a machine that stands still in between it is not, and all is done anew.
async fn disturbed(disturb: impl AsyncFn(&mut Dev, &str) -> bool) -> Disturbed {
    for _ in 0..TRIES {
        let sink = Sink::start().await;
        sink.answer("/reader", Answer::Status(StatusCode::SERVICE_UNAVAILABLE));
        let mut dev = Dev::start(TYPE).await;
        let subscription = subscription(&sink);
        dev.edit("subscription.yaml", &subscription);
        eventually("the subscription is live", async || {
            dev.output().contains("default/reader: ready")
        })
        .await;
        assert_eq!(send(&dev, "waiting").await, StatusCode::ACCEPTED);
        eventually("delivery was tried", async || sink.count() > 0).await;
        if !disturb(&mut dev, &subscription).await {
            continue;
        }
        // Whatever was going to be deleted is deleted by now.
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        let tried = sink.count();
        sink.answer("/reader", Answer::Status(StatusCode::NO_CONTENT));
        dev.edit("subscription.yaml", &subscription);
        return Disturbed { sink, tried, dev };
    }
    panic!("this machine was never quick enough");
}

impl Disturbed {
    /// Whether an event has arrived since the sink recovered.
    fn has(&self, id: &str) -> bool {
        self.sink.deliveries()[self.tried..]
            .iter()
            .any(|delivery| delivery.id() == id && delivery.status.is_success())
    }
}

/// Sees that the event that was undelivered while `disturb` ran arrives when the sink recovers.
async fn survives(disturb: impl AsyncFn(&mut Dev, &str) -> bool) {
    let disturbed = disturbed(disturb).await;
    eventually("what waited arrives", async || disturbed.has("waiting")).await;
}

/// Waits until everything was read that stands in the manifests now.
async fn is_read(dev: &Dev, mark: &str) {
    let customer = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: Customer\nmetadata: {{name: {mark}}}\nspec: {{}}\n"
    );
    dev.edit(&format!("{mark}.yaml"), &customer);
    eventually("the manifests are read", async || {
        dev.output().contains(&format!("default/{mark}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_that_removes_the_file_and_writes_it_again_loses_nothing() {
    survives(async |dev: &mut Dev, text: &str| {
        let file = dev.manifests.join("subscription.yaml");
        for round in 0..3 {
            let since = Instant::now();
            std::fs::remove_file(&file).unwrap();
            tokio::time::sleep(Duration::from_millis(700)).await;
            replace(&file, text);
            if since.elapsed() >= SURELY_GONE {
                return false;
            }
            // One that is missed three times in a row may have been gone all the time.
            is_read(dev, &format!("round-{round}")).await;
        }
        let renamed = dev.manifests.join("renamed.yaml");
        let since = Instant::now();
        std::fs::rename(&file, &renamed).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        std::fs::rename(&renamed, &file).unwrap();
        since.elapsed() < SURELY_GONE
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_loses_nothing_and_says_where_it_is_broken() {
    survives(async |dev: &mut Dev, _: &str| {
        dev.edit(
            "subscription.yaml",
            "apiVersion: tidegate.dev/v1alpha1\nkind: [EventSubscription\n",
        );
        eventually("the fault is told", async || {
            dev.output().contains("subscription.yaml:")
        })
        .await;
        assert_eq!(send(dev, "while-broken").await, StatusCode::ACCEPTED);
        tokio::time::sleep(Duration::from_secs(3)).await;
        // A restart in between must not forget it either.
        dev.kill();
        dev.run().await;
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_field_leaves_the_last_good_form_serving() {
    survives(async |dev: &mut Dev, text: &str| {
        dev.edit(
            "subscription.yaml",
            &text.replace("eventTypeRef:", "eventTypRef:"),
        );
        eventually("the fault is told", async || {
            dev.output().contains("subscription.yaml:6:3")
        })
        .await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        dev.edit("manifests.yaml", &TYPE.replace("id: item.id", "id: item.("));
        eventually("the fault is told", async || {
            dev.output().contains("manifests.yaml:9:")
        })
        .await;
        assert_eq!(send(dev, "served-as-before").await, StatusCode::ACCEPTED);
        dev.kill();
        dev.run().await;
        assert_eq!(send(dev, "after-a-restart").await, StatusCode::ACCEPTED);
        dev.edit("manifests.yaml", TYPE);
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_goes_away_for_a_while_loses_nothing() {
    survives(async |dev: &mut Dev, _: &str| {
        let away = dev.manifests.with_extension("away");
        std::fs::rename(&dev.manifests, &away).unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        dev.kill();
        dev.spawn();
        tokio::time::sleep(Duration::from_secs(3)).await;
        dev.kill();
        std::fs::rename(&away, &dev.manifests).unwrap();
        dev.run().await;
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_of_another_branch_loses_nothing_while_it_is_under_way() {
    survives(async |dev: &mut Dev, text: &str| {
        let lock = dev.manifests.join(".git/index.lock");
        std::fs::create_dir(dev.manifests.join(".git")).unwrap();
        std::fs::write(&lock, "").unwrap();
        std::fs::remove_file(dev.manifests.join("subscription.yaml")).unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        // The other branch has it in another file.
        std::fs::write(dev.manifests.join("other.yaml"), text).unwrap();
        std::fs::remove_file(lock).unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        std::fs::rename(
            dev.manifests.join("other.yaml"),
            dev.manifests.join("subscription.yaml"),
        )
        .unwrap();
        true
    })
    .await;
}

/// A subscription outlives what it refers to: nobody deleted it, so nothing of it may be dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_deleted_and_comes_back_loses_nothing_of_its_subscriptions() {
    survives(async |dev: &mut Dev, _: &str| {
        let file = dev.manifests.join("manifests.yaml");
        std::fs::remove_file(&file).unwrap();
        eventually("it is deleted", async || {
            dev.output().contains("AppEventType default/notes: deleted")
        })
        .await;
        dev.kill();
        dev.run().await;
        std::fs::write(&file, TYPE).unwrap();
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_deleted_and_comes_back_loses_nothing_that_waits_for_delivery() {
    let sink = Sink::start().await;
    sink.answer("/reader", Answer::Status(StatusCode::SERVICE_UNAVAILABLE));
    let customer = "path: notes, customer: '\"acme\"'";
    let text = TYPE.replace("path: notes", customer)
        + "---"
        + &subscription(&sink).replace(
            "eventTypeRef: {name: notes}",
            "eventTypeRef: {name: notes}\n  customerRef: {name: acme}",
        );
    let mut dev = Dev::start(&text).await;
    let acme =
        "apiVersion: tidegate.dev/v1alpha1\nkind: Customer\nmetadata: {name: acme}\nspec: {}\n";
    dev.edit("customer.yaml", acme);
    eventually("the subscription is live", async || {
        dev.output().contains("default/reader: ready")
    })
    .await;
    assert_eq!(send(&dev, "waiting").await, StatusCode::ACCEPTED);
    eventually("delivery was tried", async || sink.count() > 0).await;

    std::fs::remove_file(dev.manifests.join("customer.yaml")).unwrap();
    eventually("the customer is deleted", async || {
        dev.output().contains("Customer default/acme: deleted")
    })
    .await;
    // Nobody's events are for the subscription now, and it does not try the one that it has.
    assert_eq!(send(&dev, "meanwhile").await, StatusCode::ACCEPTED);
    let statuses = dev.admin("/v1/subscriptions").await;
    assert_eq!(statuses["items"][0]["undelivered"], 1, "{statuses}");
    assert_eq!(statuses["items"][0]["delivering"]["reason"], "Held");
    dev.kill();
    dev.run().await;

    sink.answer("/reader", Answer::Status(StatusCode::NO_CONTENT));
    dev.edit("customer.yaml", acme);
    eventually("it arrives", async || {
        let deliveries = sink.deliveries();
        deliveries
            .iter()
            .any(|one| one.id() == "waiting" && one.status.is_success())
    })
    .await;
    assert!(sink.deliveries().iter().all(|one| one.id() == "waiting"));
}

/// The counterpart: without it the tests above would pass if nothing were ever deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_has_surely_gone_loses_its_undelivered_events() {
    let disturbed = disturbed(async |dev: &mut Dev, _: &str| {
        std::fs::remove_file(dev.manifests.join("subscription.yaml")).unwrap();
        eventually("it is deleted", async || {
            dev.output()
                .contains("EventSubscription default/reader: deleted")
        })
        .await;
        true
    })
    .await;
    // The one of its name that is there now gets what comes now, and nothing that waited: that would
    // have been tried every 300 ms.
    let mut later = Vec::new();
    eventually("it is live again", async || {
        let id = format!("later-{}", later.len());
        assert_eq!(send(&disturbed.dev, &id).await, StatusCode::ACCEPTED);
        later.push(id);
        later.iter().any(|id| disturbed.has(id))
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!disturbed.has("waiting"));
}
