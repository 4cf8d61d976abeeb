//! The quickstart, as README's tour goes through it.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{arrived, ids, post, start};
use crate::support::app::{hmac_sha256_base64, hmac_sha256_hex};
use crate::support::command::tidegate;
use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::{Delivery, Sink};

/// README's own request.
const ORDERS: &str = r#"{"events": [
  {"id": "o-1", "account": "acme", "total": 250.0, "items": [{"sku": "tea", "quantity": 2}]},
  {"id": "o-2", "account": "globex", "total": 12.5, "items": []}
]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_is_what_readme_says() {
    let readme = include_str!("../../../README.md");
    assert!(
        readme.contains(&format!("body='{ORDERS}'")),
        "README shows another request"
    );
    let sink = Sink::start().await;
    let mut dev = start("quickstart", &sink).await;

    let (status, answer) = order(&dev, ORDERS).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        answer,
        json!({"accepted": 2, "duplicates": 0, "deadLettered": 0, "ids": ["o-1", "o-2"]})
    );
    let shown = readme
        .lines()
        .find(|line| line.starts_with("{\"accepted\""));
    let shown: Value = serde_json::from_str(shown.unwrap()).unwrap();
    assert_eq!(answer, shown, "README shows another answer");
    let invoicing = arrived(&sink, "/invoicing", 2).await;
    assert_eq!(ids(&invoicing), ["o-1", "o-2"]);
    let first = invoicing
        .iter()
        .find(|delivery| delivery.id() == "o-1")
        .unwrap();
    assert_eq!(
        first.body,
        r#"{"id": "o-1", "account": "acme", "total": 250.0, "items": [{"sku": "tea", "quantity": 2}]}"#
    );
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-type", "com.example.shop.order.placed"),
        ("ce-source", "/shop/order-placed/acme"),
        ("ce-subject", "acme"),
        ("ce-customerid", "acme"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(first.header(name), value, "{name}");
    }
    signed_document(&arrived(&sink, "/acme", 1).await[0]);

    let (status, answer) = order(&dev, ORDERS).await;
    assert_eq!(
        (status, &answer["accepted"], &answer["duplicates"]),
        (StatusCode::ACCEPTED, &json!(0), &json!(2))
    );

    let [(name, value)] = in_shop(ORDERS);
    let changed = ORDERS.replace("12.5", "12.6");
    let (status, answer) = post(&dev, "/shop/orders", &[(name, &value)], &changed).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    assert_eq!(
        post(&dev, "/shop/orders", &[], ORDERS).await.0,
        StatusCode::UNAUTHORIZED
    );

    let (status, answer) = order(
        &dev,
        r#"{"events": [{"id": "o-3", "account": "acme", "items": []}]}"#,
    )
    .await;
    assert_eq!(
        (status, &answer["deadLettered"]),
        (StatusCode::ACCEPTED, &json!(1)),
        "{answer}"
    );
    let letters = dev.admin("/v1/dead-letters").await;
    let [letter] = &letters["items"].as_array().unwrap()[..] else {
        panic!("{letters}")
    };
    assert_eq!(letter["id"], "o-3");
    assert_eq!(letter["eventType"], "shop/order-placed");
    assert_eq!(letter["reasons"][0]["code"], "SchemaViolation");
    assert!(
        letter["reasons"][0]["message"]
            .as_str()
            .unwrap()
            .contains("total"),
        "{letter}"
    );
    let shown = tidegate(&["dead-letters", "--admin", &dev.admin_url("")]);
    assert!(
        shown.code == 0
            && shown.stdout.contains("SchemaViolation")
            && shown.stdout.contains("total"),
        "{shown:?}"
    );

    for metric in [
        "tidegate_requests_total{outcome=\"accepted\"} 3",
        "tidegate_delivery_attempts_total{outcome=\"delivered\"} 3",
    ] {
        eventually(&format!("it is counted: {metric}"), async || {
            let metrics = dev.client.get(dev.admin_url("/metrics")).send().await;
            metrics.unwrap().text().await.unwrap().contains(metric)
        })
        .await;
    }

    // Below the filter of acme-large-orders, at it, and another customer's.
    let more = r#"{"events": [
        {"id": "o-4", "account": "acme", "total": 99.99, "items": []},
        {"id": "o-5", "account": "acme", "total": 100.0, "items": []},
        {"id": "o-6", "account": "globex", "total": 900.0, "items": []}]}"#;
    assert_eq!(order(&dev, more).await.0, StatusCode::ACCEPTED);
    arrived(&sink, "/invoicing", 5).await;
    assert_eq!(ids(&arrived(&sink, "/acme", 2).await), ["o-1", "o-5"]);

    // Stop the sink, send an order, kill the gateway, start both again: the order arrives.
    let address = sink.address;
    drop(sink);
    let (status, _) = order(
        &dev,
        r#"{"events": [{"id": "o-7", "account": "globex", "total": 1.0, "items": []}]}"#,
    )
    .await;
    assert_eq!(status, StatusCode::ACCEPTED);
    dev.kill();
    let sink = restarted(address).await;
    dev.run().await;
    eventually("the order arrives", async || {
        sink.at("/invoicing").iter().any(|one| one.id() == "o-7")
    })
    .await;
}

fn in_shop(body: &str) -> [(&'static str, String); 1] {
    [(
        "x-shop-signature",
        format!(
            "sha256={}",
            hmac_sha256_hex("quickstart-secret", body.as_bytes())
        ),
    )]
}

async fn order(dev: &Dev, body: &str) -> (StatusCode, Value) {
    let [(name, value)] = in_shop(body);
    post(dev, "/shop/orders", &[(name, &value)], body).await
}

/// A stopped sink's port is free a moment later.
async fn restarted(address: std::net::SocketAddr) -> Sink {
    eventually("the sink's port is free", async || {
        tokio::net::TcpListener::bind(address).await.is_ok()
    })
    .await;
    Sink::start_at(address).await
}

/// A structured CloudEvent, signed as Standard Webhooks has it with the key of the example.
fn signed_document(delivery: &Delivery) {
    assert_eq!(
        delivery.header("content-type").split(';').next(),
        Some("application/cloudevents+json")
    );
    let document: Value = serde_json::from_slice(&delivery.body).unwrap();
    assert_eq!(document["specversion"], "1.0");
    assert_eq!(document["id"], "o-1");
    assert_eq!(document["subject"], "acme");
    assert_eq!(document["data"]["total"], 250.0);
    let (id, timestamp) = (
        delivery.header("webhook-id"),
        delivery.header("webhook-timestamp"),
    );
    let age = Timestamp::now().as_second() - timestamp.parse::<i64>().unwrap();
    assert!((-5..300).contains(&age), "{timestamp}");
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(&delivery.body);
    let expected = format!(
        "v1,{}",
        hmac_sha256_base64(b"quickstart-sink-signing-key", &signed)
    );
    assert_eq!(delivery.header("webhook-signature"), expected);
}
