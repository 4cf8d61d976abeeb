//! Many objects at an API server.

use futures_util::StreamExt;
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// Requests at the same time.
const AT_A_TIME: usize = 16;

/// Objects of a kind, as JSON.
pub fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = if kind == "Secret" {
        ("", "v1")
    } else {
        ("tidegate.dev", "v1alpha1")
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Creates objects of one kind.
pub async fn create(
    client: &Client,
    namespace: &str,
    kind: &str,
    objects: impl Iterator<Item = (String, Value)>,
) {
    let api = api(client, namespace, kind);
    let group_version = if kind == "Secret" {
        "v1"
    } else {
        "tidegate.dev/v1alpha1"
    };
    futures_util::stream::iter(objects)
        .for_each_concurrent(AT_A_TIME, |(name, content)| {
            let api = &api;
            async move {
                let mut object = json!({
                    "apiVersion": group_version, "kind": kind, "metadata": {"name": name},
                });
                merge(&mut object, content);
                let object: DynamicObject = serde_json::from_value(object).unwrap();
                api.create(&PostParams::default(), &object).await.unwrap();
            }
        })
        .await;
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// One sample of a metric in the text format, by its name and labels as they are printed.
pub async fn metric(
    client: &reqwest::Client,
    address: std::net::SocketAddr,
    name: &str,
) -> Option<f64> {
    let answer = client.get(format!("http://{address}/metrics")).send().await;
    let text = answer.ok()?.text().await.ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?
        .parse()
        .ok()
}
