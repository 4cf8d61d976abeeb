//! The examples do what README and their own comments promise, in the real process; and the
//! commands that README shows do their work on them.

mod commands;
mod crm;
mod customer_tokens;
mod github;
mod quickstart;

use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use serde_json::Value;

use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::{Delivery, Sink};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// The example as it stands, but for the address of its sinks.
async fn start(name: &str, sink: &Sink) -> Dev {
    Dev::start_copy(&example(name), "http://127.0.0.1:9090", &sink.url("")).await
}

async fn post(dev: &Dev, path: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, Value) {
    let mut request = dev
        .client
        .post(dev.url(path))
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body.to_owned()).send().await.unwrap();
    let status = answer.status();
    (
        status,
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(),
    )
}

/// Ids at a path of the sink, sorted.
fn ids(deliveries: &[Delivery]) -> Vec<String> {
    let mut ids: Vec<String> = deliveries
        .iter()
        .map(|delivery| match delivery.id() {
            "" => serde_json::from_slice::<Value>(&delivery.body).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned(),
            id => id.to_owned(),
        })
        .collect();
    ids.sort();
    ids
}

/// Waits until a path of the sink has got this many, and that nothing more comes with them.
async fn arrived(sink: &Sink, path: &str, count: usize) -> Vec<Delivery> {
    eventually(&format!("{path} has {count}"), async || {
        sink.at(path).len() >= count
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let deliveries = sink.at(path);
    assert_eq!(deliveries.len(), count, "{path}: {:?}", ids(&deliveries));
    deliveries
}
