//! Dead letters can be read and replayed: one that was refused at the door becomes an event once
//! the type is mended or its customer declared; one that was given up is delivered again.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::{Answer, Sink};

fn manifests(sink: &Sink, required: &str) -> String {
    format!(
        r#"
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: bills}}
spec:
  schema: {{type: object, required: [{required}]}}
  webhook:
    authentication: [{{token: {{keys: [{{secretKeyRef: {{name: app, key: token}}}}]}}}}]
    events: {{id: item.id}}
  globalWebhook: {{path: bills, customer: item.account, customerField: number, onUnknownCustomer: DeadLetter}}
---
apiVersion: v1
kind: Secret
metadata: {{name: app}}
stringData: {{token: dead-letters-token}}
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {{name: acme}}
spec: {{fields: {{number: "1"}}}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: books}}
spec: {{eventTypeRef: {{name: bills}}, sink: {{uri: "{}"}}}}
"#,
        sink.url("/books")
    )
}

async fn send(dev: &Dev, body: Value) {
    let request = dev
        .client
        .post(dev.url("/default/bills"))
        .bearer_auth("dead-letters-token");
    assert_eq!(
        request.json(&body).send().await.unwrap().status(),
        StatusCode::ACCEPTED
    );
}

async fn letters(dev: &Dev) -> Vec<Value> {
    dev.admin("/v1/dead-letters").await["items"]
        .as_array()
        .unwrap()
        .clone()
}

/// Replays all dead letters, and tells what was said of those that stay.
async fn replay_all(dev: &Dev) -> Vec<String> {
    let ids: Vec<Value> = letters(dev)
        .await
        .iter()
        .map(|letter| letter["deadLetter"].clone())
        .collect();
    let request = dev
        .client
        .post(dev.admin_url("/v1/replays"))
        .json(&json!({"deadLetters": ids}));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let errors = answer["items"].as_array().unwrap().iter();
    errors
        .filter_map(|item| item["error"].as_str().map(str::to_owned))
        .collect()
}

fn delivered(sink: &Sink, id: &str) -> usize {
    let deliveries = sink.deliveries();
    deliveries
        .iter()
        .filter(|delivery| delivery.id() == id && delivery.status.is_success())
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_was_refused_at_the_door_is_taken_once_the_type_is_mended() {
    let sink = Sink::start().await;
    let dev = Dev::start(&manifests(&sink, "id, total")).await;
    send(&dev, json!({"id": "no-total", "account": "1"})).await;
    let refusal = replay_all(&dev).await;
    assert!(
        refusal[0].contains("still does not match the schema"),
        "{refusal:?}"
    );
    assert!(refusal[0].contains("total"), "{refusal:?}");

    dev.edit("manifests.yaml", &manifests(&sink, "id"));
    eventually("the mended schema takes the letter", async || {
        replay_all(&dev).await.is_empty()
    })
    .await;
    eventually("it is delivered", async || {
        delivered(&sink, "no-total") == 1
    })
    .await;
    assert_eq!(letters(&dev).await, [] as [Value; 0]);
    // The app sends it again: it is the same event.
    send(&dev, json!({"id": "no-total", "account": "1"})).await;
    send(&dev, json!({"id": "later", "account": "1"})).await;
    eventually("the later one is delivered", async || {
        delivered(&sink, "later") == 1
    })
    .await;
    assert_eq!(delivered(&sink, "no-total"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_an_unknown_customer_is_taken_once_the_customer_is_declared() {
    let sink = Sink::start().await;
    let dev = Dev::start(&manifests(&sink, "id")).await;
    send(&dev, json!({"id": "stranger", "account": "2"})).await;
    assert_eq!(
        replay_all(&dev).await,
        ["its customer is still not declared"]
    );
    dev.edit(
        "globex.yaml",
        "apiVersion: tidegate.dev/v1alpha1\nkind: Customer\nmetadata: {name: globex}\nspec: {fields: {number: \"2\"}}\n",
    );
    eventually("the customer is known", async || {
        replay_all(&dev).await.is_empty()
    })
    .await;
    eventually("it is delivered", async || {
        delivered(&sink, "stranger") == 1
    })
    .await;
    let delivery = sink
        .deliveries()
        .into_iter()
        .find(|delivery| delivery.id() == "stranger")
        .unwrap();
    assert_eq!(delivery.header("ce-subject"), "globex");
    assert_eq!(delivery.header("ce-customerid"), "globex");
    assert_eq!(delivery.header("ce-source"), "/default/bills/globex");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_was_given_up_is_delivered_again_with_the_same_id() {
    let sink = Sink::start().await;
    sink.answer("/books", Answer::Status(StatusCode::UNPROCESSABLE_ENTITY));
    let dev = Dev::start(&manifests(&sink, "id")).await;
    send(&dev, json!({"id": "refused", "account": "1"})).await;
    eventually("it is a dead letter", async || {
        !letters(&dev).await.is_empty()
    })
    .await;
    let letter = &letters(&dev).await[0];
    assert_eq!(letter["reasons"][0]["code"], "SinkRefused");
    assert_eq!(letter["subscription"], "default/books");
    sink.answer("/books", Answer::Status(StatusCode::NO_CONTENT));
    assert_eq!(replay_all(&dev).await, [] as [String; 0]);
    eventually("it is delivered", async || delivered(&sink, "refused") == 1).await;
    eventually("the letter is gone", async || {
        letters(&dev).await.is_empty()
    })
    .await;
}
