//! Subscriptions at an app, from objects in a cluster: exactly one registration for each customer,
//! whenever the controller dies, and none when nobody wants it any more; whoever deletes what in
//! whatever order.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::super::documentation::documents_all_of;
use crate::promises::subscribing::spec::Spec;
use crate::support::api_server::controller::{Controller, condition_of};
use crate::support::eventually;
use crate::support::model_app::{End, Fault, Go, ModelApp, Op, Stage};

const KIND: &str = "UpstreamSubscription";

/// An app, a controller, and what is declared.
pub struct World {
    pub app: Arc<ModelApp>,
    pub controller: Controller,
    pub spec: Spec,
    /// Where everything but the gateway is.
    pub namespace: String,
    _folder: tempfile::TempDir,
}

impl World {
    async fn prepare(spec: Spec) -> Self {
        Self::prepare_at(spec, "https://hooks.example.com").await
    }

    /// The gateway is declared, which apps find at `public_url`; nothing is started.
    pub async fn prepare_at(spec: Spec, public_url: &str) -> Self {
        let app = Arc::new(ModelApp::start().await);
        let mut controller = Controller::prepare(&["tenant"]).await;
        let namespace = controller.others[0].clone();
        let spec = Spec {
            app: app.url().to_owned(),
            login: app.login_url(),
            sink: "https://sink.example/events".to_owned(),
            ..spec
        };
        // The app is on loopback, which an administrator has to allow.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("allow-list.yaml");
        let ports = [&spec.app, &spec.login].map(|url| -> u16 {
            let port = url.rsplit(':').next();
            port.unwrap().parse().unwrap()
        });
        let list = json!([{"host": "127.0.0.1", "ports": ports, "namespaces": [namespace]}]);
        std::fs::write(&path, list.to_string()).unwrap();
        controller.start_with(&["--allow-list".to_owned(), path.display().to_string()]);
        let gateway = json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "EventGateway",
            "metadata": {"name": "default"},
            "spec": {"publicUrl": public_url, "replicas": 1},
        });
        let own = controller.namespace.clone();
        controller.apply(&own, &gateway.to_string()).await;
        Self {
            app,
            controller,
            spec,
            namespace,
            _folder: folder,
        }
    }

    pub async fn start(spec: Spec) -> Self {
        let mut world = Self::prepare(spec).await;
        world.controller.run().await;
        world.apply().await;
        world
    }

    /// Applies what is declared, but for the gateway.
    pub async fn apply(&self) {
        let files = self.spec.files();
        let all: Vec<String> = files.into_iter().map(|(_, text)| text).collect();
        self.controller
            .apply(&self.namespace, &all.join("\n---\n"))
            .await;
    }

    /// The one registration of a customer, once it is the only one and known to the controller.
    pub async fn stands(&self, customer: &str) -> Value {
        let mut found = Value::Null;
        eventually(&format!("{customer} has one registration"), async || {
            let live = self.app.live(customer);
            let [hook] = &live[..] else { return false };
            let Some(object) = self.object(customer).await else {
                return false;
            };
            let is_known = object["status"]["registrations"][0]["id"] == *hook.id
                && object["status"]["state"] == "Active";
            found = object;
            is_known
        })
        .await;
        found
    }

    /// The UpstreamSubscription of a customer.
    pub async fn object(&self, customer: &str) -> Option<Value> {
        let api = self.controller.ours(&self.namespace, KIND);
        let all = api.list(&ListParams::default()).await.unwrap();
        let all = all
            .items
            .into_iter()
            .map(|it| serde_json::to_value(it).unwrap());
        let mut of = all.filter(|it| it["spec"]["customerRef"]["name"] == customer);
        of.next()
    }

    pub async fn delete(&self, kind: &str, name: &str) {
        let api = self.controller.ours(&self.namespace, kind);
        api.delete(name, &DeleteParams::background()).await.unwrap();
    }

    /// Nothing is left: no registration, no object, no record.
    async fn all_is_gone(&self) {
        eventually("nothing is left", async || {
            let live = self.spec.customers.iter().map(|it| self.app.live(it).len());
            let api = self.controller.ours(&self.namespace, KIND);
            let objects = api.list(&ListParams::default()).await.unwrap();
            live.sum::<usize>() == 0 && objects.items.is_empty()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_and_that_it_is_over_are_events_of_the_object() {
    let mut world = World::prepare(Spec::of(&["acme"])).await;
    // Until it was told: what is over before it is shown is no news.
    for _ in 0..1_000 {
        world.app.next("acme", Op::Create, Fault::Refused(403));
    }
    world.controller.run().await;
    world.apply().await;
    let events: Api<k8s_openapi::api::events::v1::Event> =
        Api::namespaced(world.controller.admin.clone(), &world.namespace);
    let told = async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        let of_it = all.items.into_iter().filter(|event| {
            let of = event.regarding.as_ref().and_then(|it| it.kind.as_deref());
            of == Some(KIND)
        });
        let mut told: Vec<_> = of_it.map(|event| (event.type_, event.reason)).collect();
        told.sort_unstable();
        told
    };
    let one = |kind: &str, reason: &str| (Some(kind.to_owned()), Some(reason.to_owned()));
    let refused = one("Warning", "AppRefused");
    eventually("the trouble is told", async || {
        told().await == [refused.clone()]
    })
    .await;
    world.app.recover();
    world.stands("acme").await;
    let over = one("Normal", "Subscribed");
    eventually("both are told", async || {
        told().await == [over.clone(), refused.clone()]
    })
    .await;
}

/// Their names come first, and there are more of them than are written at a time.
#[tokio::test(flavor = "multi_thread")]
async fn objects_that_cannot_be_written_do_not_stop_others() {
    let many: Vec<String> = (0..40).map(|number| format!("a-{number:02}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let world = World::prepare(Spec::of(&many)).await;
    let World {
        app,
        mut controller,
        spec,
        namespace,
        _folder,
    } = world;
    // The names of namespaces begin as they are told to, and decide the order.
    let full = controller.server.namespace("a-full").await;
    assert!(full < namespace);
    let port = app.address.port();
    let list = json!([{"host": "127.0.0.1", "ports": [port], "namespaces": ["*"]}]);
    std::fs::write(_folder.path().join("allow-list.yaml"), list.to_string()).unwrap();
    controller.others.push(full.clone());
    let quota = json!({"count/upstreamsubscriptions.tidegate.dev": "0"});
    let manifest = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": quota},
    });
    controller.apply(&full, &manifest.to_string()).await;
    // Nobody else computes it here.
    let quotas: Api<k8s_openapi::api::core::v1::ResourceQuota> =
        Api::namespaced(controller.admin.clone(), &full);
    let used = json!({"count/upstreamsubscriptions.tidegate.dev": "0"});
    let status = json!({"status": {"hard": quota, "used": used}});
    let parameters = PatchParams::default();
    let patch = Patch::Merge(status);
    let patched = quotas.patch_status("none", &parameters, &patch).await;
    patched.unwrap();
    for (namespace, spec) in [
        (&full, spec.clone()),
        (
            &namespace,
            Spec {
                customers: vec!["z".to_owned()],
                ..spec
            },
        ),
    ] {
        let files: Vec<String> = spec.files().into_iter().map(|(_, text)| text).collect();
        controller.apply(namespace, &files.join("\n---\n")).await;
    }
    controller.run().await;
    let shown = async |namespace: &str| {
        let api = controller.ours(namespace, KIND);
        api.list(&ListParams::default()).await.unwrap().items
    };
    eventually("the other one is shown", async || {
        matches!(&shown(&namespace).await[..], [one] if one.data["status"]["state"] == "Active")
    })
    .await;
    eventually("the many are subscribed, too", async || {
        spec_customers_live(&app, &many) == many.len()
    })
    .await;
    assert!(shown(&full).await.is_empty(), "the quota holds");
    assert!(
        controller
            .output()
            .contains("failed to write an UpstreamSubscription")
    );
}

fn spec_customers_live(app: &ModelApp, customers: &[&str]) -> usize {
    let live = customers.iter().filter(|name| app.live(name).len() == 1);
    live.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_subscribed_shown_and_unsubscribed() {
    let world = World::start(Spec::of(&["acme"])).await;
    let object = world.stands("acme").await;
    let customer = world
        .controller
        .get(&world.namespace, "Customer", "acme")
        .await;
    let metadata = &object["metadata"];
    assert_eq!(
        metadata["ownerReferences"][0]["uid"],
        customer["metadata"]["uid"]
    );
    assert_eq!(metadata["finalizers"], json!(["tidegate.dev/unsubscribe"]));
    let id = &object["status"]["registrations"][0]["id"];
    assert_eq!(&metadata["annotations"]["tidegate.dev/external-id"], id);
    assert_eq!(
        condition_of(&object, "Subscribed").unwrap()["status"],
        "True"
    );
    let secrets = [
        "token-acme-one".to_owned(),
        world.app.live("acme")[0].secret.clone(),
        world.app.live("acme")[0]
            .target
            .rsplit('/')
            .nth(1)
            .unwrap()
            .to_owned(),
    ];
    for secret in &secrets {
        assert!(
            !object.to_string().contains(secret),
            "{secret} in {object:#}"
        );
        assert!(
            !world.controller.output().contains(secret),
            "{secret} is logged"
        );
    }
    eventually("the type counts it", async || {
        let kind = world
            .controller
            .get(&world.namespace, "AppEventType", "contacts")
            .await;
        kind["status"]["upstreamSubscriptions"] == 1 && kind["status"]["ready"] == 1
    })
    .await;
    let url = format!("http://{}/metrics", world.controller.metrics);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let metrics = client.get(url).send().await.unwrap().text().await.unwrap();
    documents_all_of(&metrics);
    for line in [
        "tidegate_controller_leading 1",
        r#"tidegate_controller_objects{kind="Customer",state="Ready"} 1"#,
        r#"tidegate_controller_status_writes_total{kind="Customer",outcome="done"}"#,
        "tidegate_controller_decision_duration_seconds_count",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    world.delete("EventSubscription", "acme").await;
    world.all_is_gone().await;
    assert_eq!(world.app.all("acme").len(), 1);
    world.app.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_deleted_by_hand_is_made_anew() {
    let world = World::start(Spec::of(&["acme"])).await;
    let object = world.stands("acme").await;
    let first = world.app.live("acme").remove(0);
    let name = object["metadata"]["name"].as_str().unwrap();
    world.delete(KIND, name).await;
    eventually("the first one is removed", async || {
        let all = world.app.all("acme");
        all.iter()
            .any(|it| it.id == first.id && it.ended.is_some_and(|(_, end)| end == End::Deleted))
    })
    .await;
    let second = world.stands("acme").await;
    assert_eq!(second["metadata"]["name"], object["metadata"]["name"]);
    assert_ne!(second["metadata"]["uid"], object["metadata"]["uid"]);
    assert_eq!(world.app.all("acme").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_writes_moves_nothing() {
    let world = World::start(Spec::of(&["acme"])).await;
    let object = world.stands("acme").await;
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let api = world.controller.ours(&world.namespace, KIND);
    // A copy under another name, status and all.
    let mut copy = object.clone();
    copy["metadata"] = json!({
        "name": "forged", "finalizers": object["metadata"]["finalizers"],
        "annotations": object["metadata"]["annotations"],
    });
    let copy: DynamicObject = serde_json::from_value(copy).unwrap();
    api.create(&PostParams::default(), &copy).await.unwrap();
    let status =
        json!({"status": {"state": "Unsubscribing", "registrations": [{"number": 7, "id": "x"}]}});
    for of in ["forged", name.as_str()] {
        api.patch_status(of, &PatchParams::default(), &Patch::Merge(&status))
            .await
            .unwrap();
    }
    let not_ours = ("False", "NotOurs");
    world
        .controller
        .condition(&world.namespace, KIND, "forged", "Subscribed", not_ours)
        .await;
    // Ours is set right again.
    let again = world.stands("acme").await;
    assert_eq!(
        again["status"]["registrations"],
        object["status"]["registrations"]
    );
    world.delete(KIND, "forged").await;
    eventually("the forged one has gone", async || {
        api.get_opt("forged").await.unwrap().is_none()
    })
    .await;
    assert_eq!(world.app.count("acme", Op::Create), 1);
    assert_eq!(world.app.count("acme", Op::Delete), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_it_makes_exactly_one_registration() {
    let held = [
        ("lost", Stage::Received, Go::Nowhere),
        ("done", Stage::Received, Go::On),
        ("unanswered", Stage::Done, Go::On),
        ("answered", Stage::Answered, Go::On),
    ];
    let customers: Vec<&str> = held.iter().map(|(name, ..)| *name).collect();
    let mut world = World::prepare(Spec::of(&customers)).await;
    for op in [Op::Create, Op::Delete] {
        let mut gates = Vec::new();
        for (customer, stage, go) in held {
            gates.push((world.app.gate(customer, op, stage), go));
        }
        world.controller.spawn();
        if op == Op::Create {
            world.apply().await;
        } else {
            for customer in &customers {
                world.delete("EventSubscription", customer).await;
            }
        }
        for (gate, _) in &mut gates {
            gate.reached().await;
        }
        world.controller.kill();
        for (gate, go) in gates {
            gate.go(go);
        }
        world.controller.run().await;
        if op == Op::Create {
            for customer in &customers {
                world.stands(customer).await;
            }
            world.controller.kill();
        }
    }
    world.all_is_gone().await;
    for customer in &customers {
        // "lost" was never made the first time; of no other was there ever a second one.
        assert_eq!(world.app.all(customer).len(), 1, "{customer}");
    }
    world.app.assert_unharmed();
}

/// Each of them is asked for, and recorded with the others alone, when the controller is killed.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_many_are_recorded_together_it_makes_exactly_one_registration_each() {
    let customers: Vec<String> = (0..40).map(|number| format!("c-{number:02}")).collect();
    let customers: Vec<&str> = customers.iter().map(String::as_str).collect();
    let mut world = World::prepare(Spec::of(&customers)).await;
    let secrets: Api<Secret> =
        Api::namespaced(world.controller.admin.clone(), &world.controller.namespace);
    // How many are in a Secret of their own, and how many in the one that is for all.
    let recorded = async || {
        let alone = ListParams::default().labels("tidegate.dev/kept-by-controller=upstream-record");
        let alone = secrets.list(&alone).await.unwrap().items.len();
        let together = secrets
            .get_opt("tidegate-upstream-records-together")
            .await
            .unwrap();
        let data = together.and_then(|it| it.data).unwrap_or_default();
        // The keys of records have an underscore.
        (alone, data.keys().filter(|key| key.contains('_')).count())
    };
    let gates = customers
        .iter()
        .map(|it| world.app.gate(it, Op::Create, Stage::Done));
    let mut gates: Vec<_> = gates.collect();
    world.controller.run().await;
    // So long it waits for pods to arrive before it sends anything, and then it looks at the time anew.
    tokio::time::sleep(Duration::from_secs(11)).await;
    // Only with its type is anything of a customer wanted: of all of them at once.
    let files = world.spec.files();
    let all: Vec<String> = files.into_iter().map(|(_, text)| text).collect();
    let all = all.join("\n---\n");
    let (types, others): (Vec<&str>, Vec<&str>) = all
        .split("\n---\n")
        .partition(|text| text.contains("\"AppEventType\""));
    for part in [others, types] {
        let part = part.join("\n---\n");
        world.controller.apply(&world.namespace, &part).await;
    }
    for gate in &mut gates {
        gate.reached().await;
    }
    world.controller.kill();
    let (alone, together) = recorded().await;
    assert_eq!((alone, together), (0, customers.len()));
    for gate in gates {
        gate.go(Go::On);
    }
    world.controller.run().await;
    for customer in &customers {
        world.stands(customer).await;
    }
    eventually("each has a record of its own, and no other", async || {
        recorded().await == (customers.len(), 0)
    })
    .await;
    for customer in &customers {
        world.delete("EventSubscription", customer).await;
    }
    world.all_is_gone().await;
    for customer in &customers {
        assert_eq!(world.app.all(customer).len(), 1, "{customer}");
    }
    world.app.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_leaves_no_registration_behind() {
    let world = World::start(Spec::of(&["acme", "umbrella"])).await;
    for customer in ["acme", "umbrella"] {
        world.stands(customer).await;
    }
    delete_namespace(&world.controller, &world.namespace).await;
    eventually("no registration is left", async || {
        ["acme", "umbrella"]
            .iter()
            .all(|it| world.app.live(it).is_empty())
    })
    .await;
    world.app.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_app_does_not_hold_a_namespace_up_and_is_unsubscribed_from_later() {
    let world = World::start(Spec::of(&["acme"])).await;
    world.stands("acme").await;
    for _ in 0..1_000 {
        world.app.next("acme", Op::Delete, Fault::Refused(500));
    }
    delete_namespace(&world.controller, &world.namespace).await;
    assert_eq!(world.app.live("acme").len(), 1);
    world.app.recover();
    // From the record alone: Customer, Secret, type and object have gone.
    eventually("it is unsubscribed all the same", async || {
        world.app.live("acme").is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_takes_effect_and_registers_nobody_anew() {
    let mut world = World::start(Spec::of(&["acme"])).await;
    world.stands("acme").await;
    world.spec.token = "-two".to_owned();
    world.apply().await;
    world.spec.customers.push("umbrella".to_owned());
    world.apply().await;
    world.stands("umbrella").await;
    let asked = world.app.asked("umbrella");
    assert!(
        asked
            .iter()
            .all(|it| it.headers["authorization"] == "Bearer token-umbrella-two")
    );
    // The new one is what unsubscribing uses.
    world.delete("EventSubscription", "acme").await;
    eventually("it is removed", async || world.app.live("acme").is_empty()).await;
    let deletes = world.app.asked("acme");
    let delete = deletes.iter().find(|it| it.op == Op::Delete).unwrap();
    assert_eq!(delete.headers["authorization"], "Bearer token-acme-two");
    assert_eq!(world.app.count("acme", Op::Create), 1);
}

/// Deletes a namespace, and does what Kubernetes' own controller would: removes everything in it,
/// and lets it go once nothing is left. Waits for that.
async fn delete_namespace(controller: &Controller, name: &str) {
    let namespaces: Api<Namespace> = Api::all(controller.admin.clone());
    namespaces
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
    let kinds = ["AppEventType", "Customer", "EventSubscription", KIND];
    let everything = ListParams::default();
    let secrets: Api<Secret> = Api::namespaced(controller.admin.clone(), name);
    secrets
        .delete_collection(&DeleteParams::default(), &everything)
        .await
        .unwrap();
    eventually("the namespace is empty", async || {
        let mut left = 0;
        for kind in kinds {
            let api = controller.ours(name, kind);
            api.delete_collection(&DeleteParams::default(), &everything)
                .await
                .unwrap();
            left += api.list(&everything).await.unwrap().items.len();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        left == 0
    })
    .await;
    let mut namespace = serde_json::to_value(namespaces.get(name).await.unwrap()).unwrap();
    namespace["spec"]["finalizers"] = json!([]);
    let request = http::Request::put(format!("/api/v1/namespaces/{name}/finalize"))
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(&namespace).unwrap())
        .unwrap();
    let _: Namespace = controller.admin.request(request).await.unwrap();
}
