//! The real process: `tidegate gateway`, which can be killed and started again.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use reqwest::StatusCode;
use tidegate::event::ObjectName;

use super::controller::{Controller, gateway};
use super::dev::{free_address, replace};
use super::eventually;

/// A pod. It is killed when dropped.
pub struct Gateway {
    pub name: String,
    pub listen: SocketAddr,
    pub probes: SocketAddr,
    pub admin: SocketAddr,
    pub client: reqwest::Client,
    /// The EventGateway that it is told to belong to.
    pub gateway: ObjectName,
    controller: SocketAddr,
    folder: tempfile::TempDir,
    /// What `RUST_LOG` says, if anything.
    log: Option<&'static str>,
    child: Option<Child>,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Gateway {
    /// One that is not started yet, with a token of its own, and the controller's authorities.
    pub fn new(controller: &Controller, name: &str) -> Self {
        let pod = Self {
            name: name.to_owned(),
            listen: free_address(),
            probes: free_address(),
            admin: free_address(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            gateway: gateway(),
            controller: controller.address,
            folder: tempfile::tempdir().unwrap(),
            log: None,
            child: None,
            output: Arc::default(),
        };
        pod.put("ca.crt", &controller.certificates.bundle());
        pod.put("token", &controller.tokens.issue(&gateway(), name));
        pod.put("key", "0123456789abcdef0123456789abcdef");
        pod
    }

    /// One that is ready.
    pub async fn start(controller: &Controller, name: &str) -> Self {
        let mut pod = Self::new(controller, name);
        pod.spawn();
        pod.is_ready().await;
        pod
    }

    /// From its next start on it logs so much.
    pub fn log_as(&mut self, log: &'static str) {
        self.log = Some(log);
    }

    /// Writes one of its files.
    pub fn put(&self, file: &str, content: &str) {
        replace(&self.folder.path().join(file), content);
    }

    /// One of its files or folders.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Starts the process, at the same addresses as before, without waiting.
    pub fn spawn(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .arg("gateway")
            .args([
                "--configuration-url",
                &format!("https://localhost:{}", self.controller.port()),
            ])
            .arg("--ca-file")
            .arg(self.path("ca.crt"))
            .arg("--token-file")
            .arg(self.path("token"))
            .arg("--snapshot-key-file")
            .arg(self.path("key"))
            .arg("--data-dir")
            .arg(self.path("data"))
            .args(["--listen", &self.listen.to_string()])
            .args(["--probes", &self.probes.to_string()])
            .args(["--admin", &self.admin.to_string()])
            .args(["--gateway", &self.gateway.to_string()])
            .args(["--pod", &self.name])
            .args(["--log-format", "text"]);
        let mut child = command
            .envs(self.log.map(|log| ("RUST_LOG", log)))
            // As in the image, where there are no certificates.
            .env("SSL_CERT_FILE", "/nowhere")
            .env("SSL_CERT_DIR", "/nowhere")
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

    /// Waits until it is ready.
    pub async fn is_ready(&mut self) {
        let url = format!("http://{}/readyz", self.probes);
        let client = self.client.clone();
        eventually("the gateway is ready", async || {
            assert!(!self.has_ended(), "the process ended:\n{}", self.output());
            let answer = client.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// Waits until it has printed this.
    pub async fn says(&mut self, text: &str) {
        eventually(&format!("the gateway says {text:?}"), async || {
            assert!(!self.has_ended(), "the process ended:\n{}", self.output());
            self.output().contains(text)
        })
        .await;
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits until the process has drained and ended.
    pub async fn stop(&mut self) -> std::process::ExitStatus {
        let child = self.child.as_ref().unwrap();
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("the process ends", async || self.has_ended()).await;
        self.child.take().unwrap().wait().unwrap()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// Everything it printed, over all starts.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// The URL of a path on the public listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// What a listener says at a path.
    pub async fn get(&self, address: SocketAddr, path: &str) -> (StatusCode, String) {
        let url = format!("http://{address}{path}");
        let answer = self.client.get(url).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// What it counts under a name.
    pub async fn metric(&self, name: &str) -> Option<String> {
        let (status, text) = self.get(self.probes, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}
