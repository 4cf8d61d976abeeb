//! What stands in a cluster: objects, records, and what the controller keeps for itself.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::support::api_server::ApiServer;
use crate::support::api_server::controller::{Controller, condition_of};
use crate::support::eventually;

/// Where the app is: nobody else listens there.
const APP: &str = "127.83.7.1:20918";

const KINDS: [&str; 5] = [
    "tidegate.dev/appeventtypes",
    "tidegate.dev/customers",
    "tidegate.dev/eventgateways",
    "tidegate.dev/eventsubscriptions",
    "tidegate.dev/upstreamsubscriptions",
];

const CUSTOMERS: [&str; 2] = ["acme", "globex"];

/// An app that takes note of what it is asked for.
#[derive(Clone, Default)]
struct App(Arc<Mutex<Vec<String>>>);

impl App {
    async fn start() -> Self {
        let app = Self::default();
        let router = axum::Router::new().fallback(answer).with_state(app.clone());
        let mut listener = None;
        eventually("the app's address is free", async || {
            listener = tokio::net::TcpListener::bind(APP).await.ok();
            listener.is_some()
        })
        .await;
        tokio::spawn(async move { axum::serve(listener.unwrap(), router).await });
        app
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn answer(State(app): State<App>, method: Method, uri: Uri) -> Response {
    let mut asked = app.0.lock().unwrap();
    asked.push(format!("{method} {}", uri.path()));
    if method == Method::POST {
        let body = json!({"id": format!("h_{}", asked.len())});
        return (StatusCode::CREATED, axum::Json(body)).into_response();
    }
    StatusCode::NO_CONTENT.into_response()
}

/// A controller in these namespaces that may call the app, not started yet.
async fn prepare(system: String, tenant: String, folder: &Path) -> Controller {
    let (host, port) = APP.split_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    let list = json!([{"host": host, "ports": [port], "namespaces": [tenant]}]);
    let path = folder.join("allow-list.yaml");
    std::fs::write(&path, list.to_string()).unwrap();
    let mut controller = Controller::prepare_in(system, vec![tenant]).await;
    controller.start_with(&["--allow-list".to_owned(), path.display().to_string()]);
    controller
}

async fn is_active(controller: &Controller) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/metrics", controller.metrics);
    let line = format!(
        "tidegate_provision_registrations{{state=\"Active\"}} {}\n",
        CUSTOMERS.len()
    );
    eventually("all registrations are known to stand", async || {
        let answer = client.get(&url).send().await.unwrap();
        answer.text().await.unwrap().contains(&line)
    })
    .await;
}

/// A type that was broken after it was good: what is kept of it goes on being served.
async fn is_served_as_before(controller: &Controller, tenant: &str) {
    let invalid = ("False", "Invalid");
    let object = controller
        .condition(tenant, "AppEventType", "orders", "Ready", invalid)
        .await;
    let message = condition_of(&object, "Stalled").unwrap()["message"].as_str();
    let expected = "last good form goes on being served";
    assert!(message.unwrap().contains(expected), "{object:#}");
    let uri = object["status"]["globalWebhookUri"].as_str().unwrap();
    assert!(uri.ends_with("/orders"), "{uri}");
}

fn manifests() -> String {
    let mut all = format!(
        "
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: contacts}}
spec:
  schema: {{type: object}}
  webhook: {{authentication: [{{hmac: {{keys: [{{signingSecret: {{}}}}], signature: \"request.headers['x']\"}}}}]}}
  subscription:
    signingSecret: {{generate: {{}}}}
    request:
      url: http://{APP}/$(customer.id)/hooks
      headers: {{Authorization: Bearer $(customer.fields.token)}}
      body: {{target: $(webhookUri), secret: $(signingSecret)}}
    response: {{id: response.body.id}}
    unsubscribe:
      steps:
        - name: delete
          request: {{method: DELETE, url: 'http://{APP}/$(customer.id)/hooks/$(subscription.id)'}}
---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: orders}}
spec:
  example: {{id: o_1, account: acme}}
  webhook: {{authentication: [{{none: {{}}}}]}}
  globalWebhook: {{path: orders, customer: item.account}}
"
    );
    for name in CUSTOMERS {
        all += &format!(
            "---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {{name: {name}}}
spec: {{fieldsFrom: [{{secretRef: {{name: {name}}}}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData: {{token: token of {name}}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: {name}}}
spec: {{eventTypeRef: {{name: contacts}}, customerRef: {{name: {name}}}, sink: {{uri: 'https://sink.example/{name}'}}}}
"
        );
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes what later versions are tested with"]
async fn record() {
    let app = App::start().await;
    let version = env!("CARGO_PKG_VERSION").replace('.', "-");
    let server = ApiServer::shared().await;
    let system = format!("golden-{version}-system");
    let tenant = format!("golden-{version}-tenant");
    for namespace in [&system, &tenant] {
        server.namespace_named(namespace).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut controller = prepare(system.clone(), tenant.clone(), folder.path()).await;
    let gateway = "{apiVersion: tidegate.dev/v1alpha1, kind: EventGateway, metadata: {name: default}, \
                   spec: {publicUrl: 'https://hooks.example.com'}}";
    controller.apply(&system, gateway).await;
    controller.run().await;
    controller.apply(&tenant, &manifests()).await;
    is_active(&controller).await;
    let broken = "{apiVersion: tidegate.dev/v1alpha1, kind: AppEventType, metadata: {name: orders}, spec: {\
                  example: {id: o_1, account: acme}, schema: {type: 7}, webhook: {authentication: [{none: {}}]}, \
                  globalWebhook: {path: orders, customer: item.account}}}";
    controller.apply(&tenant, broken).await;
    is_served_as_before(&controller, &tenant).await;
    for customer in CUSTOMERS {
        let objects = controller.ours(&tenant, "UpstreamSubscription");
        eventually("the object says that it stands", async || {
            let all = objects.list(&kube::api::ListParams::default()).await;
            all.unwrap().items.iter().any(|it| {
                it.data["spec"]["customerRef"]["name"] == customer
                    && it.data["status"]["state"] == "Active"
            })
        })
        .await;
    }
    assert_eq!(app.asked().len(), CUSTOMERS.len());
    assert!(controller.stop().await.success());

    let mut resources = KINDS.to_vec();
    resources.push("secrets");
    let stored = server.stored(&resources, &[&system, &tenant]).await;
    let entries = stored.iter().map(|(key, value)| {
        // Objects of ours are JSON, those of Kubernetes protobuf.
        match serde_json::from_slice::<Value>(value) {
            Ok(object) => json!({"key": key, "object": object}),
            Err(_) => json!({"key": key, "bytes": STANDARD.encode(value)}),
        }
    });
    let entries: Vec<_> = entries.collect();
    let golden = json!({"system": system, "tenant": tenant, "entries": entries});
    let folder = super::this_version();
    std::fs::create_dir_all(&folder).unwrap();
    let text = serde_json::to_string_pretty(&golden).unwrap();
    std::fs::write(folder.join("cluster.json"), text + "\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_an_earlier_version_is_taken_over_and_nothing_asked_for_again() {
    let app = App::start().await;
    for version in super::versions() {
        println!("{}", version.display());
        let text = std::fs::read_to_string(version.join("cluster.json")).unwrap();
        let golden: Value = serde_json::from_str(&text).unwrap();
        let name = |of: &str| golden[of].as_str().unwrap().to_owned();
        let (system, tenant) = (name("system"), name("tenant"));
        let server = ApiServer::shared().await;
        for namespace in [&system, &tenant] {
            server.namespace_named(namespace).await;
        }
        for entry in golden["entries"].as_array().unwrap() {
            let value = match &entry["object"] {
                Value::Null => STANDARD.decode(entry["bytes"].as_str().unwrap()).unwrap(),
                object => serde_json::to_vec(object).unwrap(),
            };
            server.store(entry["key"].as_str().unwrap(), &value).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut controller = prepare(system, tenant.clone(), folder.path()).await;
        controller.run().await;
        is_active(&controller).await;
        is_served_as_before(&controller, &tenant).await;
        // Long enough that anything that had been forgotten would have been asked for.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = app.asked();
        assert!(
            before.iter().all(|it| it.starts_with("DELETE ")),
            "{before:?}"
        );

        let customers = controller.ours(&tenant, "Customer");
        let parameters = DeleteParams::background();
        customers.delete("acme", &parameters).await.unwrap();
        eventually("what was registered by then is removed", async || {
            app.asked().len() > before.len()
        })
        .await;
        let removed = app.asked().split_off(before.len());
        assert!(
            removed[0].starts_with("DELETE /acme/hooks/h_"),
            "{removed:?}"
        );
        let objects = controller.ours(&tenant, "UpstreamSubscription");
        eventually("its object is gone, the other one stands", async || {
            let all = objects
                .list(&kube::api::ListParams::default())
                .await
                .unwrap();
            matches!(&all.items[..], [one] if one.data["spec"]["customerRef"]["name"] == "globex"
                && one.data["status"]["state"] == "Active")
        })
        .await;
        assert_eq!(app.asked().len(), before.len() + 1, "{:?}", app.asked());
    }
}
