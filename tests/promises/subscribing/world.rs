//! An app, a sink and the real process between them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::spec::Spec;
use crate::support::dev::{Dev, replace};
use crate::support::model_app::{Hook, ModelApp};
use crate::support::sink::Sink;

/// How long it may take until all is well again after a kill: an attempt's deadline, two lookups
/// and a refused try are waited for, and many tests run on few cores.
const LONG: Duration = Duration::from_secs(300);

/// An app, a sink and the real process between them.
pub struct World {
    pub app: Arc<ModelApp>,
    pub sink: Sink,
    pub dev: Dev,
    pub spec: Spec,
    events: usize,
}

impl World {
    /// The manifests are written, nothing is started.
    pub async fn prepare(spec: Spec) -> Self {
        let app = Arc::new(ModelApp::start().await);
        let sink = Sink::start().await;
        let spec = Spec {
            app: app.url().to_owned(),
            login: app.login_url(),
            sink: sink.url("/events"),
            ..spec
        };
        let world = Self {
            app,
            sink,
            dev: Dev::in_new_folders(&[]),
            spec,
            events: 0,
        };
        world.write();
        world
    }

    /// Writes the manifests as they are meant to be now, and removes those that are not.
    pub fn write(&self) {
        let files = self.spec.files();
        for (name, text) in &files {
            let path = self.dev.manifests.join(name);
            if std::fs::read_to_string(&path).ok().as_ref() != Some(text) {
                replace(&path, text);
            }
        }
        for file in std::fs::read_dir(&self.dev.manifests).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            if !files.iter().any(|(known, _)| *known == name) {
                std::fs::remove_file(file.path()).unwrap();
            }
        }
    }

    /// Changes the manifests.
    pub fn edit(&mut self, change: impl FnOnce(&mut Spec)) {
        change(&mut self.spec);
        self.write();
    }

    /// Every customer's name.
    pub fn customers(&self) -> Vec<String> {
        self.spec.customers.clone()
    }

    /// What the process says about subscriptions.
    pub async fn subscriptions(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut path = "/v1/subscriptions?limit=1000".to_owned();
        loop {
            let page = self.dev.admin(&path).await;
            let items = page["items"].as_array().unwrap();
            let of_apps = |item: &&Value| item["kind"] == "UpstreamSubscription";
            all.extend(items.iter().filter(of_apps).cloned());
            match page["next"].as_str() {
                Some(next) => path = format!("/v1/subscriptions?limit=1000&after={next}"),
                None => return all,
            }
        }
    }

    /// The same, also while the process is not ready yet: then nothing.
    pub async fn subscriptions_quietly(&self) -> Vec<Value> {
        let url = self.dev.admin_url("/readyz");
        let answer = self.dev.client.get(url).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => self.subscriptions().await,
            _ => Vec::new(),
        }
    }

    /// What it says about one customer's.
    pub async fn subscription(&self, customer: &str) -> Option<Value> {
        let all = self.subscriptions().await;
        let of = |item: &Value| {
            item["customer"]
                .as_str()
                .is_some_and(|it| it.ends_with(customer))
        };
        all.into_iter().find(of)
    }

    /// Waits until a customer has exactly one registration at the app, and Tidegate knows it.
    pub async fn stands(&self, customer: &str) -> Hook {
        self.wait(&format!("{customer} has one registration"), async || {
            let live = self.app.live(customer);
            let [hook] = &live[..] else { return false };
            hook.is_enabled && self.is_known(customer, hook).await
        })
        .await;
        self.app.live(customer).remove(0)
    }

    /// The one registration of a customer as it is now.
    pub fn stands_now(&self, customer: &str) -> Hook {
        let mut live = self.app.live(customer);
        assert_eq!(live.len(), 1, "{live:?}");
        live.remove(0)
    }

    /// Whether Tidegate says that this is what stands.
    pub async fn is_known(&self, customer: &str, hook: &Hook) -> bool {
        let shown = self.subscription(customer).await.unwrap_or_default();
        let registrations = shown["registrations"].as_array();
        let ids: Vec<&Value> = registrations
            .into_iter()
            .flatten()
            .map(|registration| &registration["id"])
            .collect();
        shown["state"] == "Active" && ids == [hook.id.as_str()]
    }

    /// Waits until a customer has none at the app, and Tidegate is through with it.
    pub async fn is_gone(&self, customer: &str) {
        self.wait(&format!("{customer} has no registration"), async || {
            let shown = self.subscription(customer).await.unwrap_or_default();
            let registrations = shown["registrations"].as_array();
            self.app.live(customer).is_empty() && registrations.is_none_or(Vec::is_empty)
        })
        .await;
    }

    /// Sends an event to all of a customer's registrations and waits until it is delivered, as that
    /// customer's.
    pub async fn arrives(&mut self, customer: &str) {
        self.events += 1;
        let id = format!("{customer}-event-{}", self.events);
        assert!(self.app.send(customer, &id) > 0, "{customer} has none");
        self.wait(&format!("{id} is delivered"), async || {
            self.delivered(customer).contains(&id)
        })
        .await;
        self.wait(&format!("{id} is acknowledged"), async || {
            let sent = self.app.sent(customer);
            sent.iter()
                .any(|sent| sent.event_id == id && matches!(sent.status, Some(200..300)))
        })
        .await;
    }

    /// The app tells a customer's one webhook something about itself, again where the answer is that
    /// it could not be stored in time, as apps do.
    pub async fn tell(&self, customer: &str, what: &str) {
        self.wait(&format!("{customer} is told {what}"), async || {
            match self.app.notify(customer, what).await[..] {
                [202] => true,
                [503] => false,
                ref other => panic!("{other:?}"),
            }
        })
        .await;
    }

    /// The ids of the events of a customer that were delivered.
    pub fn delivered(&self, customer: &str) -> BTreeSet<String> {
        let all = self.sink.deliveries();
        let of = all
            .iter()
            .filter(|one| one.header("ce-customerid") == customer);
        of.map(|one| one.id().to_owned()).collect()
    }

    /// Where the records are.
    pub fn records(&self) -> PathBuf {
        self.dev.data.join("secrets/upstream")
    }

    /// Waits for long until something holds; tells what the app and the process say otherwise.
    pub async fn wait(&self, what: &str, holds: impl AsyncFnMut() -> bool) {
        self.wait_for(what, LONG, holds).await;
    }

    /// The same, and how long at most.
    pub async fn wait_for(&self, what: &str, most: Duration, mut holds: impl AsyncFnMut() -> bool) {
        /// Of so many customers at most it is told what they asked.
        const TOLD: usize = 50;
        let start = Instant::now();
        while !holds().await {
            if start.elapsed() > most {
                let all = self.subscriptions().await;
                let shown: Vec<String> = all.iter().take(TOLD).map(Value::to_string).collect();
                let asked: Vec<String> = self
                    .spec
                    .customers
                    .iter()
                    .take(TOLD)
                    .flat_map(|customer| self.app.asked(customer))
                    .map(|asked| {
                        format!("{:?} {} {:?}", asked.at - start, asked.line, asked.status)
                    })
                    .collect();
                let output = self.dev.output();
                let tail = output.len().saturating_sub(4000);
                let tail = output.get(tail..).unwrap_or(&output);
                panic!(
                    "waited in vain until {what}\nshown:\n{}\nasked:\n{}\noutput:\n{tail}",
                    shown.join("\n"),
                    asked.join("\n"),
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
