//! The real `tidegate gateway` as the pod of a gateway: a Pod object for its token, and the files
//! that a kubelet would put there.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod as PodObject, Secret, ServiceAccount};
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::support::api_server::controller::Controller;
use crate::support::dev::free_address;
use crate::support::eventually;

/// A running pod. Killed when dropped.
pub struct Pod {
    pub listen: SocketAddr,
    /// The admin API.
    pub admin: SocketAddr,
    /// Probes and metrics.
    pub probes: SocketAddr,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Pod {
    /// The pod `<name>-0` of the gateway `name` in the controller's namespace, ready. What it needs
    /// is what the controller has made.
    pub async fn start(controller: &Controller, name: &str, listen: SocketAddr) -> Self {
        Self::start_one(controller, name, 0, listen).await
    }

    /// The same for the pod of this number.
    pub async fn start_one(
        controller: &Controller,
        name: &str,
        number: usize,
        listen: SocketAddr,
    ) -> Self {
        let mut pod = Self::prepare(controller, name, number, listen).await;
        pod.spawn();
        pod.is_ready().await;
        pod
    }

    async fn prepare(
        controller: &Controller,
        name: &str,
        number: usize,
        listen: SocketAddr,
    ) -> Self {
        let (client, namespace) = (&controller.admin, &controller.namespace);
        let account = format!("tidegate-gateway-{name}");
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let mut found = None;
        eventually("the controller makes what the pod needs", async || {
            let has_account = accounts.get_opt(&account).await.unwrap().is_some();
            let ca = config_maps.get_opt(&format!("{account}-ca")).await.unwrap();
            let key = secrets.get_opt(&format!("{account}-key")).await.unwrap();
            let ca = ca.and_then(|ca| ca.data?.remove("ca.crt"));
            let key = key.and_then(|key| key.data?.remove("key"));
            found = ca.filter(|ca| !ca.is_empty()).zip(key);
            has_account && found.is_some()
        })
        .await;
        let (ca, key) = found.unwrap();
        let pod_name = format!("{account}-{number}");
        let pods: Api<PodObject> = Api::namespaced(client.clone(), namespace);
        let object = json!({
            "metadata": {"name": pod_name},
            "spec": {
                "serviceAccountName": account,
                "containers": [{"name": "gateway", "image": "tidegate:test"}],
            },
        });
        let object = serde_json::from_value(object).unwrap();
        let object = pods.create(&PostParams::default(), &object).await.unwrap();
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec!["tidegate-configuration".to_owned()],
                expiration_seconds: Some(3_600),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(pod_name.clone()),
                    uid: object.metadata.uid,
                }),
            },
            ..TokenRequest::default()
        };
        let token = accounts
            .create_token_request(&account, &PostParams::default(), &request)
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let put = |file: &str, content: &[u8]| {
            std::fs::write(folder.path().join(file), content).unwrap();
        };
        put("ca.crt", ca.as_bytes());
        put("token", token.status.unwrap().token.as_bytes());
        put("key", &key.0);
        let path = |file: &str| folder.path().join(file).display().to_string();
        let (probes, admin) = (free_address(), free_address());
        let arguments = [
            (
                "--configuration-url",
                format!("https://{}", controller.configuration),
            ),
            ("--ca-file", path("ca.crt")),
            ("--token-file", path("token")),
            ("--snapshot-key-file", path("key")),
            ("--data-dir", path("data")),
            ("--listen", listen.to_string()),
            ("--probes", probes.to_string()),
            ("--admin", admin.to_string()),
            ("--gateway", format!("{namespace}/{name}")),
            ("--pod", pod_name),
            ("--log-capacity", (64 << 20).to_string()),
        ];
        let arguments = arguments
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        Self {
            listen,
            admin,
            probes,
            arguments: arguments.collect(),
            folder,
            child: None,
            output: Arc::default(),
        }
    }

    fn spawn(&mut self) {
        std::fs::create_dir_all(self.folder.path().join("data")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("gateway")
            .args(&self.arguments)
            // As in the image, where there are no certificates.
            .env("SSL_CERT_FILE", "/nowhere")
            .env("SSL_CERT_DIR", "/nowhere")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stream = child.stderr.take().unwrap();
        let output = Arc::clone(&self.output);
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                output.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        self.child = Some(child);
    }

    async fn is_ready(&mut self) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/readyz", self.probes);
        eventually("the pod is ready", async || {
            let child = self.child.as_mut().unwrap();
            assert!(
                child.try_wait().unwrap().is_none(),
                "the pod ended:\n{}",
                String::from_utf8_lossy(&self.output.lock().unwrap())
            );
            let answer = client.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// How many events a subscription has not got yet; `None`: there is no such subscription here.
    pub async fn undelivered(&self, subscription: &str) -> Option<u64> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/v1/subscriptions", self.admin);
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut items = list["items"].as_array().unwrap().iter();
        let found = items.find(|it| it["subscription"] == subscription)?;
        let count = found["undelivered"].as_u64();
        Some(count.unwrap_or_else(|| panic!("{text}")))
    }

    /// The URL of a path on the public listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let output = self.output.lock().unwrap();
            eprintln!("the pod's output:\n{}", String::from_utf8_lossy(&output));
        }
    }
}
