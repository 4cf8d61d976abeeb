//! How soon an edit is live in every pod of a gateway with 10,000 EventSubscriptions: from before the
//! request to the API server until each pod does as the edit says. It is asked again and again until
//! then, in turns; what that costs is in the figure.

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::objects::{api, create};
use crate::measure::disk::Disk;
use crate::measure::report::Report;
use crate::measure::runner::block_on;
use crate::pod::Pod;
use crate::support::api_server::controller::Controller;
use crate::support::dev::free_address;
use crate::support::eventually;

const TYPES: usize = 10;
const CUSTOMERS: usize = 1_000;
/// Edits of each kind.
const EDITS: usize = 100;
/// Seconds within which an edit is live.
const WITHIN: f64 = 1.0;
/// Between two looks at a pod.
const LOOK: Duration = Duration::from_millis(5);

/// A controller, its API server, and two pods.
struct World {
    controller: Controller,
    namespace: String,
    pods: Vec<Pod>,
    client: reqwest::Client,
}

pub fn run() {
    let disk = Disk::prepare("edits");
    let mut report = Report::new("edits", &disk, "this process");
    block_on(async {
        let world = World::start().await;
        let path = |number: usize| format!("/type-{}-{number}", number % TYPES);
        let types = world.edit("AppEventType", |number| Edit {
            name: format!("type-{}", number % TYPES),
            patch: json!({"spec": {"globalWebhook": {"path": &path(number)[1..]}}}),
            live: Live::accepts(&path(number), "token", "customer-0"),
        });
        figure(&mut report, "AppEventType", types.await);
        // Paths are as the last edits of types left them.
        let path = |of: usize| path(EDITS - TYPES + of);
        let customers = world.edit("Customer", |number| {
            let id = format!("edited-{number}");
            Edit {
                name: format!("customer-{}", 1 + number * 7),
                patch: json!({"spec": {"id": id}}),
                live: Live::accepts(&path(1), "token", &id),
            }
        });
        figure(&mut report, "Customer", customers.await);
        let subscriptions = world.edit("EventSubscription", |number| Edit {
            name: subscription_name(number),
            patch: json!({"spec": {"suspend": true}}),
            live: Live::Suspended(subscription_name(number)),
        });
        figure(&mut report, "EventSubscription", subscriptions.await);
        let secrets = world.edit("Secret", |number| {
            let token = format!("token-{number}");
            Edit {
                name: format!("key-{}", number % TYPES),
                patch: json!({"stringData": {"token": token}}),
                live: Live::accepts(&path(number % TYPES), &token, "customer-0"),
            }
        });
        figure(&mut report, "Secret", secrets.await);
    });
    report.finish();
}

fn figure(report: &mut Report<'_>, kind: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "  {kind}: live after {:?} (p50), {:?} (p99), {:?} at most",
        at(50),
        at(99),
        at(100)
    );
    let ratio = WITHIN / at(99).as_secs_f64();
    report.ratio(
        format!("1 s / p99 until an edited {kind} is live"),
        ratio,
        1.0,
    );
}

impl World {
    async fn start() -> Self {
        let mut controller = Controller::prepare(&[]).await;
        let namespace = controller.namespace.clone();
        let listens: Vec<_> = (0..2).map(|_| free_address()).collect();
        let gateway = json!({"spec": {"publicUrl": "https://hooks.example.com", "replicas": 2}});
        let one = |name: &str, content: Value| std::iter::once((name.to_owned(), content));
        let client = &controller.admin;
        create(client, &namespace, "EventGateway", one("default", gateway)).await;
        let secrets = (0..TYPES).map(|number| {
            (
                format!("key-{number}"),
                json!({"stringData": {"token": "token"}}),
            )
        });
        create(client, &namespace, "Secret", secrets).await;
        create(
            client,
            &namespace,
            "AppEventType",
            (0..TYPES).map(event_type),
        )
        .await;
        let customers =
            (0..CUSTOMERS).map(|number| (format!("customer-{number}"), json!({"spec": {}})));
        create(client, &namespace, "Customer", customers).await;
        let subscriptions = (0..TYPES * CUSTOMERS).map(subscription);
        create(client, &namespace, "EventSubscription", subscriptions).await;
        let began = Instant::now();
        controller.run().await;
        let mut pods = Vec::new();
        for (number, listen) in listens.into_iter().enumerate() {
            pods.push(Pod::start_one(&controller, "default", number, listen).await);
        }
        println!("  controller and pods ready after {:?}", began.elapsed());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let world = Self {
            controller,
            namespace,
            pods,
            client,
        };
        world.is_quiet().await;
        println!("  all statuses written after {:?}", began.elapsed());
        world
    }

    /// Waits until the controller has had nothing to write for a while.
    async fn is_quiet(&self) {
        let mut before = 0;
        eventually("all statuses are written", async || {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let now = self.controller.writes_but_the_lease().len();
            std::mem::replace(&mut before, now) == now
        })
        .await;
    }

    /// Carries edits out one after the other; how long each took.
    async fn edit(&self, kind: &str, edit: impl Fn(usize) -> Edit) -> Vec<Duration> {
        let api = api(&self.controller.admin, &self.namespace, kind);
        let mut times = Vec::with_capacity(EDITS);
        for number in 0..EDITS {
            let Edit { name, patch, live } = edit(number);
            for pod in &self.pods {
                assert!(
                    !self.is_live(pod, &live).await,
                    "{kind} {name}: nothing to edit"
                );
            }
            let began = Instant::now();
            let parameters = PatchParams::default();
            let patched = api.patch(&name, &parameters, &Patch::Merge(patch)).await;
            patched.unwrap();
            for pod in &self.pods {
                while !self.is_live(pod, &live).await {
                    assert!(
                        began.elapsed() < crate::support::PATIENCE,
                        "{kind} {name}: not live"
                    );
                    tokio::time::sleep(LOOK).await;
                }
            }
            times.push(began.elapsed());
        }
        times
    }

    async fn is_live(&self, pod: &Pod, live: &Live) -> bool {
        match live {
            Live::Accepts {
                path,
                token,
                customer,
            } => {
                let url = pod.url(&format!("/{}{path}", self.namespace));
                let body = json!({"id": uuid::Uuid::new_v4().to_string(), "account": customer});
                let request = self.client.post(url).bearer_auth(token).json(&body);
                request.send().await.unwrap().status().as_u16() == 202
            }
            Live::Suspended(name) => {
                // Those that are edited are the first ones of the list.
                let url = format!("http://{}/v1/subscriptions?limit={EDITS}", pod.admin);
                let answer = self.client.get(url).send().await.unwrap();
                let list: Value = answer.json().await.unwrap();
                let name = format!("{}/{name}", self.namespace);
                let mut items = list["items"].as_array().unwrap().iter();
                let item = items.find(|it| it["subscription"] == name).unwrap();
                item["delivering"]["reason"] == "Suspended"
            }
        }
    }
}

/// One edit.
struct Edit {
    name: String,
    patch: Value,
    live: Live,
}

/// What a pod does once an edit is live, and not before.
enum Live {
    /// It accepts this webhook.
    Accepts {
        path: String,
        token: String,
        customer: String,
    },
    /// It says that the subscription is suspended.
    Suspended(String),
}

impl Live {
    fn accepts(path: &str, token: &str, customer: &str) -> Self {
        Self::Accepts {
            path: path.to_owned(),
            token: token.to_owned(),
            customer: customer.to_owned(),
        }
    }
}

fn event_type(number: usize) -> (String, Value) {
    let name = format!("type-{number}");
    let key = json!({"secretKeyRef": {"name": format!("key-{number}"), "key": "token"}});
    let content = json!({"spec": {
        "example": {"id": "o_1", "account": "acme"},
        "webhook": {"authentication": [{"token": {"keys": [key]}}], "events": {"id": "item.id"}},
        "globalWebhook": {"path": name, "customer": "item.account", "onUnknownCustomer": "Reject"},
    }});
    (name, content)
}

fn subscription(number: usize) -> (String, Value) {
    let content = json!({"spec": {
        "eventTypeRef": {"name": format!("type-{}", number % TYPES)},
        "customerRef": {"name": format!("customer-{}", number / TYPES)},
        "sink": {"uri": "https://sink.example/events"},
    }});
    (subscription_name(number), content)
}

fn subscription_name(number: usize) -> String {
    format!("subscription-{number:05}")
}
