//! An app, a sink and the real process between them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::installation::Installation;
use super::spec::Spec;
use crate::support::dev::{Dev, replace};
use crate::support::model_app::{Hook, ModelApp};
use crate::support::sink::Sink;

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

    /// The one registration of a customer as it is now.
    pub fn stands_now(&self, customer: &str) -> Hook {
        let mut live = self.app.live(customer);
        assert_eq!(live.len(), 1, "{live:?}");
        live.remove(0)
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
}

impl Installation for World {
    fn app(&self) -> &ModelApp {
        &self.app
    }

    fn spec(&self) -> &Spec {
        &self.spec
    }

    async fn declare(&mut self, change: impl FnOnce(&mut Spec)) {
        self.edit(change);
    }

    async fn spawn(&mut self) {
        self.dev.spawn();
    }

    async fn run(&mut self) {
        self.dev.run().await;
    }

    fn kill(&mut self) {
        self.dev.kill();
    }

    async fn subscription(&self, customer: &str) -> Option<Value> {
        let all = self.subscriptions().await;
        let of = |item: &Value| {
            item["customer"]
                .as_str()
                .is_some_and(|it| it.ends_with(customer))
        };
        all.into_iter().find(of)
    }

    async fn arrives(&mut self, customer: &str) {
        self.events += 1;
        let id = format!("{customer}-event-{}", self.events);
        assert!(self.app.send(customer, &id) > 0, "{customer} has none");
        self.wait(&format!("{id} is delivered"), async || {
            self.delivered(customer).contains(&id)
        })
        .await;
        self.wait(&format!("{id} is acknowledged"), async || {
            self.app.is_acknowledged(customer, &id)
        })
        .await;
    }

    fn output(&self) -> String {
        self.dev.output()
    }
}
