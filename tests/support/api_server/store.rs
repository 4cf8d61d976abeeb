//! What stands in the API server's store, past the API server: with uids and versions as they are,
//! which no client could write. By etcd's JSON gateway.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ApiServer;

/// Where objects are.
const ROOT: &str = "/registry/";

impl ApiServer {
    /// Everything of these resources in these namespaces, by its key. A resource is named as in keys:
    /// `secrets`, `tidegate.dev/customers`.
    pub async fn stored(
        &self,
        resources: &[&str],
        namespaces: &[&str],
    ) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        for resource in resources {
            for namespace in namespaces {
                let prefix = format!("{ROOT}{resource}/{namespace}/");
                // The slash's successor ends the range.
                let end = format!("{ROOT}{resource}/{namespace}0");
                let request =
                    json!({"key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end)});
                let answer = self.ask_store("range", request).await;
                for item in answer["kvs"].as_array().into_iter().flatten() {
                    let bytes = |part: &str| STANDARD.decode(item[part].as_str().unwrap()).unwrap();
                    all.insert(String::from_utf8(bytes("key")).unwrap(), bytes("value"));
                }
            }
        }
        all
    }

    /// Puts something there, as it was read.
    pub async fn store(&self, key: &str, value: &[u8]) {
        let request = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
        self.ask_store("put", request).await;
    }

    async fn ask_store(&self, what: &str, request: Value) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/v3/kv/{what}", self.etcd);
        let answer = client.post(url).json(&request).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer.json().await.unwrap()
    }
}
