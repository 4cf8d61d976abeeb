//! An app that calls one URL for all of its customers, which is set by API: it is told once, told
//! again in place when something changes, never left without a URL, and freed of it in the end.

use std::time::Duration;

use serde_json::{Value, json};

use super::spec::documents;
use crate::support::dev::{Dev, replace};
use crate::support::eventually;
use crate::support::model_app::{End, Go, ModelApp, Op, Stage};
use crate::support::sink::Sink;

const APP: &str = "the-app";

fn manifests(app: &ModelApp, sink: &Sink, label: &str) -> String {
    let hook = format!("{}/{APP}/hook", app.url());
    let event_type = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "AppEventType", "metadata": {"name": "contacts"},
        "spec": {
            "schema": {"type": "object"},
            "app": {"fieldsFrom": [{"secretRef": {"name": "app"}}]},
            "webhook": {
                "authentication": [{"hmac": {
                    "keys": [{"signingSecret": {}}], "signature": "request.headers['x-signature']", "prefix": "sha256=",
                }}],
                "events": {"id": "item.id"},
            },
            "globalWebhook": {"path": "contacts", "customer": "item.tenant", "registration": {
                "signingSecret": {"generate": {}},
                "limits": {"timeout": "10s"},
                "defaults": {"headers": {"Authorization": "Bearer $(app.fields.token)"}},
                "request": {
                    "method": "PUT", "url": hook,
                    "body": {"target": "$(webhookUri)", "secret": "$(signingSecret)", "label": label},
                },
                "response": {"id": "response.body.data.id"},
                "unsubscribe": {"steps": [{"name": "delete", "request": {"method": "DELETE", "url": hook}}]},
            }},
        },
    });
    let all: Vec<Value> = std::iter::once(event_type).chain(rest(sink)).collect();
    documents(&all)
}

fn rest(sink: &Sink) -> [Value; 3] {
    [
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"},
            "stringData": {"token": format!("token-{APP}-of-all")},
        }),
        json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "Customer", "metadata": {"name": APP}, "spec": {},
        }),
        json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "EventSubscription", "metadata": {"name": "all"},
            "spec": {
                "eventTypeRef": {"name": "contacts"}, "sink": {"uri": sink.url("/events")},
                "delivery": {"backoff": {"initial": "50ms", "max": "500ms"}},
            },
        }),
    ]
}

async fn arrives(app: &ModelApp, sink: &Sink, id: &str) {
    assert_eq!(app.send(APP, id), 1);
    eventually(&format!("{id} is delivered"), async || {
        sink.deliveries()
            .iter()
            .any(|one| one.id() == id && one.header("ce-customerid") == APP)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_url_of_an_app_is_set_and_never_missing() {
    let (app, sink) = (ModelApp::start().await, Sink::start().await);
    let mut dev = Dev::in_new_folders(&[]);
    let file = dev.manifests.join("all.yaml");
    replace(&file, &manifests(&app, &sink, "first"));
    dev.run().await;
    let stands = async |count: usize| {
        eventually(&format!("the URL is set {count} times"), async || {
            app.count(APP, Op::Create) >= count && app.live(APP).len() == 1
        })
        .await;
    };
    stands(1).await;
    let uri = dev.url("/default/contacts/1");
    assert_eq!(app.live(APP)[0].target, uri);
    arrives(&app, &sink, "first").await;

    replace(&file, &manifests(&app, &sink, "second"));
    stands(2).await;
    arrives(&app, &sink, "second").await;

    let mut gate = app.gate(APP, Op::Create, Stage::Done);
    replace(&file, &manifests(&app, &sink, "third"));
    gate.reached().await;
    dev.kill();
    gate.go(Go::On);
    dev.run().await;
    stands(4).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        app.count(APP, Op::Create),
        4,
        "once more, because the answer was lost"
    );
    arrives(&app, &sink, "third").await;
    assert_eq!(app.count(APP, Op::Delete), 0);
    for hook in app.all(APP) {
        assert_eq!(hook.target, uri);
        assert!(
            hook.ended.is_none_or(|(_, why)| why == End::Replaced),
            "{hook:?}"
        );
    }

    replace(&file, &documents(&rest(&sink)));
    eventually("the URL is removed", async || app.live(APP).is_empty()).await;
    assert_eq!(app.count(APP, Op::Delete), 1);
    app.assert_unharmed();
}
