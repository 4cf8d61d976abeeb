//! The real process: `tidegate controller` against the test's API server.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use super::ApiServer;
use crate::support::dev::free_address;
use crate::support::eventually;

/// What the controller is called among writers.
const ACCOUNT: &str = "tidegate-controller";

/// A running `tidegate controller` that looks at its own namespaces only. Killed when dropped.
pub struct Controller {
    pub server: &'static ApiServer,
    /// A client that may do everything.
    pub admin: Client,
    /// The controller's own namespace; its default gateway is there, too.
    pub namespace: String,
    /// The others that it looks at.
    pub others: Vec<String>,
    pub metrics: std::net::SocketAddr,
    /// Where gateways' pods find their configuration.
    pub configuration: std::net::SocketAddr,
    kubeconfig: PathBuf,
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    child: Option<Child>,
    looks_at_all: bool,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Controller {
    /// A controller that is not started yet, in a new namespace, with so many others.
    pub async fn prepare(others: &[&str]) -> Self {
        let server = ApiServer::shared().await;
        let namespace = server.namespace("system").await;
        let mut names = Vec::new();
        for purpose in others {
            names.push(server.namespace(purpose).await);
        }
        Self::prepare_in(namespace, names).await
    }

    /// The same in these namespaces.
    pub async fn prepare_in(namespace: String, others: Vec<String>) -> Self {
        let server = ApiServer::shared().await;
        let kubeconfig = server.kubeconfig(&namespace, ACCOUNT).await;
        Self::prepare_at(server, namespace, others, kubeconfig).await
    }

    /// One that finds its API server and its rights by `kubeconfig`. Without others than its own it
    /// may be told to look at all namespaces: see [`Controller::look_at_all`].
    pub async fn prepare_at(
        server: &'static ApiServer,
        namespace: String,
        others: Vec<String>,
        kubeconfig: PathBuf,
    ) -> Self {
        Self {
            server,
            admin: server.admin().await,
            kubeconfig,
            namespace,
            others,
            metrics: free_address(),
            configuration: free_address(),
            arguments: Vec::new(),
            variables: BTreeMap::new(),
            child: None,
            looks_at_all: false,
            output: Arc::default(),
        }
    }

    /// From its next start on it looks at all namespaces.
    pub fn look_at_all(&mut self) {
        self.looks_at_all = true;
    }

    /// The same, started, and leading.
    pub async fn start(others: &[&str]) -> Self {
        let mut controller = Self::prepare(others).await;
        controller.run().await;
        controller
    }

    /// From its next start on it has these arguments beside its own.
    pub fn start_with(&mut self, arguments: &[String]) {
        self.arguments = arguments.to_vec();
    }

    /// Another process beside this one, not started yet.
    pub fn another(&self) -> Self {
        Self {
            server: self.server,
            admin: self.admin.clone(),
            namespace: self.namespace.clone(),
            others: self.others.clone(),
            metrics: free_address(),
            configuration: free_address(),
            kubeconfig: self.kubeconfig.clone(),
            arguments: self.arguments.clone(),
            variables: self.variables.clone(),
            child: None,
            looks_at_all: self.looks_at_all,
            output: Arc::default(),
        }
    }

    /// Starts the process and waits until it leads.
    pub async fn run(&mut self) {
        self.spawn();
        eventually("the controller leads", async || {
            assert!(
                !self.has_ended(),
                "the controller ended:\n{}",
                self.output()
            );
            self.readiness().await.as_deref() == Some("leading\n")
        })
        .await;
    }

    /// What it answers when it is asked whether it is ready, if it does.
    pub async fn readiness(&self) -> Option<String> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/readyz", self.metrics);
        let answer = client.get(url).send().await.ok()?;
        answer.text().await.ok()
    }

    /// Starts the process without waiting.
    pub fn spawn(&mut self) {
        let mut namespaces = vec![self.namespace.clone()];
        namespaces.extend(self.others.iter().cloned());
        if self.looks_at_all {
            namespaces.clear();
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("controller")
            .args(["--namespace", &self.namespace])
            .args(["--watch-namespaces", &namespaces.join(",")])
            .args(["--image", "tidegate:test"])
            .args(["--configuration-listen", &self.configuration.to_string()])
            .args([
                "--configuration-url",
                &format!("https://{}", self.configuration),
            ])
            .args(["--metrics-listen", &self.metrics.to_string()])
            .args(&self.arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        for mut stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let output = Arc::clone(&self.output);
            std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    output.lock().unwrap().extend_from_slice(&buffer[..length]);
                }
            });
        }
        self.child = Some(child);
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits until the process has ended.
    pub async fn stop(&mut self) -> std::process::ExitStatus {
        let child = self.child.as_ref().unwrap();
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("the controller ends", async || self.has_ended()).await;
        self.child.take().unwrap().wait().unwrap()
    }

    fn has_ended(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Everything it printed, over all starts.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// What it has written so far.
    pub fn writes(&self) -> Vec<String> {
        self.server.writes(&self.namespace, ACCOUNT)
    }

    /// What it has written but to its Lease.
    pub fn writes_but_the_lease(&self) -> Vec<String> {
        let mut writes = self.writes();
        writes.retain(|write| !write.contains(" leases "));
        writes
    }

    /// Applies manifests in a namespace, as `kubectl apply --server-side` does.
    ///
    /// # Panics
    /// When the API server refuses one.
    pub async fn apply(&self, namespace: &str, manifests: &str) {
        for result in self.try_apply(namespace, manifests).await {
            result.unwrap();
        }
    }

    /// The same, and what came of each.
    pub async fn try_apply(
        &self,
        namespace: &str,
        manifests: &str,
    ) -> Vec<Result<DynamicObject, kube::Error>> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(manifests).unwrap();
        let mut results = Vec::new();
        for document in documents {
            let api = self.api_of(namespace, &document);
            let name = document["metadata"]["name"].as_str().unwrap().to_owned();
            let parameters = PatchParams::apply("tests").force();
            let patch = Patch::Apply(&document);
            results.push(api.patch(&name, &parameters, &patch).await);
        }
        results
    }

    fn api_of(&self, namespace: &str, document: &Value) -> Api<DynamicObject> {
        let kind = document["kind"].as_str().unwrap();
        let api_version = document["apiVersion"].as_str().unwrap();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.api(namespace, group, version, kind)
    }

    fn api(&self, namespace: &str, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk(&kind);
        Api::namespaced_with(self.admin.clone(), namespace, &resource)
    }

    /// Objects of a kind of ours in a namespace.
    pub fn ours(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        self.api(namespace, "tidegate.dev", "v1alpha1", kind)
    }

    /// An object of ours as JSON; null where it is not there.
    pub async fn get(&self, namespace: &str, kind: &str, name: &str) -> Value {
        let found = self.ours(namespace, kind).get_opt(name).await.unwrap();
        found.map_or(Value::Null, |object| serde_json::to_value(object).unwrap())
    }

    /// Waits until a condition of an object has this status and reason. The object.
    pub async fn condition(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        type_: &str,
        (status, reason): (&str, &str),
    ) -> Value {
        let mut last = Value::Null;
        let what = format!("{kind} {name} has {type_}={status} {reason}");
        let start = std::time::Instant::now();
        loop {
            let object = self.get(namespace, kind, name).await;
            if let Some(condition) = condition_of(&object, type_)
                && condition["status"] == status
                && condition["reason"] == reason
                && condition["observedGeneration"] == object["metadata"]["generation"]
            {
                return object;
            }
            if object != last {
                last = object;
            }
            assert!(
                start.elapsed() < crate::support::PATIENCE,
                "waited in vain until {what}: {last:#}\n{}",
                self.output()
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the controller's output:\n{}", self.output());
        }
    }
}

/// A condition of an object.
pub fn condition_of<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|it| it["type"] == type_)
}
