//! `dev` deletes carefully: what editors and git do to files, a broken file and an unreadable
//! folder lose no undelivered event; only a subscription that has surely gone loses them.

use std::time::Duration;

use axum::http::StatusCode;

use crate::support::dev::Dev;
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

/// Runs `disturb` while an event is undelivered, and tells whether the event still arrives when
/// the sink recovers.
async fn survives(disturb: impl AsyncFnOnce(&mut Dev, &str)) -> bool {
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
    disturb(&mut dev, &subscription).await;
    // Whatever was going to be deleted is deleted by now.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let tried = sink.count();
    sink.answer("/reader", Answer::Status(StatusCode::NO_CONTENT));
    dev.edit("subscription.yaml", &subscription);
    for _ in 0..100 {
        let arrived = |delivery: &crate::support::sink::Delivery| {
            delivery.id() == "waiting" && delivery.status.is_success()
        };
        if sink.deliveries()[tried..].iter().any(arrived) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_that_removes_the_file_and_writes_it_again_loses_nothing() {
    let survived = survives(async |dev: &mut Dev, text: &str| {
        let file = dev.manifests.join("subscription.yaml");
        for _ in 0..3 {
            std::fs::remove_file(&file).unwrap();
            tokio::time::sleep(Duration::from_millis(700)).await;
            std::fs::write(&file, text).unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        std::fs::rename(&file, dev.manifests.join("renamed.yaml")).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        std::fs::rename(dev.manifests.join("renamed.yaml"), &file).unwrap();
    })
    .await;
    assert!(survived);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_loses_nothing_and_says_where_it_is_broken() {
    let survived = survives(async |dev: &mut Dev, _: &str| {
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
    })
    .await;
    assert!(survived);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_field_leaves_the_last_good_form_serving() {
    let survived = survives(async |dev: &mut Dev, text: &str| {
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
    })
    .await;
    assert!(survived);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_goes_away_for_a_while_loses_nothing() {
    let survived = survives(async |dev: &mut Dev, _: &str| {
        let away = dev.manifests.with_extension("away");
        std::fs::rename(&dev.manifests, &away).unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        dev.kill();
        dev.spawn();
        tokio::time::sleep(Duration::from_secs(3)).await;
        dev.kill();
        std::fs::rename(&away, &dev.manifests).unwrap();
        dev.run().await;
    })
    .await;
    assert!(survived);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_of_another_branch_loses_nothing_while_it_is_under_way() {
    let survived = survives(async |dev: &mut Dev, text: &str| {
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
    })
    .await;
    assert!(survived);
}

/// A subscription outlives what it refers to: nobody deleted it, so nothing of it may be dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_deleted_and_comes_back_loses_nothing_of_its_subscriptions() {
    let survived = survives(async |dev: &mut Dev, _: &str| {
        let file = dev.manifests.join("manifests.yaml");
        std::fs::remove_file(&file).unwrap();
        eventually("it is deleted", async || {
            dev.output().contains("AppEventType default/notes: deleted")
        })
        .await;
        dev.kill();
        dev.run().await;
        std::fs::write(&file, TYPE).unwrap();
    })
    .await;
    assert!(survived);
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
    let survived = survives(async |dev: &mut Dev, _: &str| {
        std::fs::remove_file(dev.manifests.join("subscription.yaml")).unwrap();
        eventually("it is deleted", async || {
            dev.output()
                .contains("EventSubscription default/reader: deleted")
        })
        .await;
    })
    .await;
    assert!(!survived);
}
