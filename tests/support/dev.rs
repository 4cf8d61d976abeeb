//! The real process: `tidegate dev` on a folder of manifests, which can be killed and started again.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::command::{spawn, while_nobody_spawns};
use super::eventually;

/// A running `tidegate dev`. It is killed when dropped.
pub struct Dev {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub manifests: PathBuf,
    pub data: PathBuf,
    pub client: reqwest::Client,
    arguments: Vec<String>,
    /// What `RUST_LOG` says, if anything.
    log: Option<String>,
    variables: Vec<(String, String)>,
    child: Option<Child>,
    output: Arc<Mutex<Vec<u8>>>,
    /// They read until the process has ended and everything is read.
    readers: Vec<JoinHandle<()>>,
    /// Folders that are removed in the end.
    _folders: Option<tempfile::TempDir>,
}

impl Dev {
    /// Starts on these manifests, with all else temporary, and waits until it is ready.
    pub async fn start(manifests: &str) -> Self {
        Self::start_with(manifests, &[]).await
    }

    /// The same with more arguments.
    pub async fn start_with(manifests: &str, arguments: &[&str]) -> Self {
        let mut dev = Self::prepare(manifests, arguments);
        dev.run().await;
        dev
    }

    /// Starts on these manifests and logs as much as `log` says.
    pub async fn start_logging(manifests: &str, log: &str) -> Self {
        let mut dev = Self::prepare(manifests, &[]);
        dev.log = Some(log.to_owned());
        dev.run().await;
        dev
    }

    fn prepare(manifests: &str, arguments: &[&str]) -> Self {
        let folders = tempfile::tempdir().unwrap();
        let path = folders.path().join("manifests");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("manifests.yaml"), manifests).unwrap();
        let mut dev = Self::new(path, folders.path().join("data"), arguments);
        dev._folders = Some(folders);
        dev
    }

    /// Starts on a copy of a folder of manifests in which every text `from` is `to`.
    pub async fn start_copy(folder: &Path, from: &str, to: &str) -> Self {
        let folders = tempfile::tempdir().unwrap();
        let path = folders.path().join("manifests");
        std::fs::create_dir(&path).unwrap();
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            std::fs::write(path.join(file.file_name()), text.replace(from, to)).unwrap();
        }
        let data = folders.path().join("data");
        let mut dev = Self::new(path, data, &[]);
        dev._folders = Some(folders);
        dev.run().await;
        dev
    }

    /// A process that is not started yet, with an empty folder of manifests.
    pub fn in_new_folders(arguments: &[&str]) -> Self {
        let folders = tempfile::tempdir().unwrap();
        let path = folders.path().join("manifests");
        std::fs::create_dir(&path).unwrap();
        let mut dev = Self::new(path, folders.path().join("data"), arguments);
        dev._folders = Some(folders);
        dev
    }

    /// From its next start on it logs so much.
    pub fn log_as(&mut self, log: &str) {
        self.log = Some(log.to_owned());
    }

    /// From its next start on it has this in its environment.
    pub fn variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// From its next start on it has these arguments beside its own.
    pub fn start_as(&mut self, arguments: &[String]) {
        self.arguments = arguments.to_vec();
    }

    /// A process that is not started yet.
    pub fn new(manifests: PathBuf, data: PathBuf, arguments: &[&str]) -> Self {
        Self {
            listen: free_address(),
            admin: free_address(),
            manifests,
            data,
            client: client(),
            arguments: arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect(),
            log: None,
            variables: Vec::new(),
            child: None,
            output: Arc::default(),
            readers: Vec::new(),
            _folders: None,
        }
    }

    /// Starts the process, at the same addresses as before, and waits until it is ready.
    pub async fn run(&mut self) {
        self.spawn();
        let url = self.admin_url("/readyz");
        let client = self.client.clone();
        eventually("the process is ready", async || {
            assert!(!self.has_ended(), "the process ended:\n{}", self.output());
            client
                .get(&url)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// Starts the process without waiting.
    pub fn spawn(&mut self) {
        // Connections to the process before are of no use any more, and it may take a moment until
        // a client knows.
        self.client = client();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .arg("dev")
            .arg(&self.manifests)
            .args(["--data-dir", self.data.to_str().unwrap()])
            .args([
                "--listen",
                &self.listen.to_string(),
                "--admin",
                &self.admin.to_string(),
            ])
            .args(&self.arguments)
            .envs(self.log.as_ref().map(|log| ("RUST_LOG", log)))
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        for mut stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let output = Arc::clone(&self.output);
            self.readers.push(std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    output.lock().unwrap().extend_from_slice(&buffer[..length]);
                }
            }));
        }
        self.child = Some(child);
    }

    /// SIGKILL, and waits until the process is gone and all that it printed is read.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.read_all();
    }

    fn read_all(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }

    /// SIGTERM, and waits until the process has drained and ended and all that it printed is read.
    pub async fn stop(&mut self) -> std::process::ExitStatus {
        let child = self.child.as_ref().unwrap();
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("the process ends", async || self.has_ended()).await;
        let status = self.child.take().unwrap().wait().unwrap();
        self.read_all();
        status
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

    /// Everything it printed, on stdout and stderr, over all starts.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// The URL of a path on the public listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// The URL of a path on the admin listener.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// The JSON at a path of the admin listener.
    pub async fn admin(&self, path: &str) -> serde_json::Value {
        let answer = self.client.get(self.admin_url(path)).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Writes a manifest as an editor does: a new file, renamed over the old one.
    pub fn edit(&self, file: &str, text: &str) {
        replace(&self.manifests.join(file), text);
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Replaces a file in one step.
pub fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("new~");
    std::fs::write(&temporary, text).unwrap();
    std::fs::rename(&temporary, path).unwrap();
}

/// A client that gives up idle connections long before the gateway does: a request into one that is
/// just being closed would fail.
fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    client
        .pool_idle_timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// An address that was free a moment ago, and stays so for a process that is killed and started
/// again: not among the ports that the system gives to outgoing connections, and another one each
/// time.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (first, count) = ports();
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        // Two runs of the tests at the same time begin at different places.
        let begin = std::process::id().wrapping_mul(97);
        let port = u16::try_from(first + begin.wrapping_add(next) % count).unwrap();
        // A child would hold on to the socket from when it is forked until it is another program.
        let listener = while_nobody_spawns(|| {
            TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr())
        });
        if let Ok(address) = listener {
            return address;
        }
    }
}

/// The first port of those that nobody is given unasked, and how many there are.
fn ports() -> (u32, u32) {
    const FIRST: u32 = 10_000;
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let given: Vec<u32> = range
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|port| port.parse().ok())
        .collect();
    match given[..] {
        [low, _] if low >= FIRST + 2_000 => (FIRST, low - FIRST),
        [_, high] if high <= 60_000 => (high + 1, 65_535 - high),
        // Where all may be given, chance has to do.
        _ => (FIRST, 20_000),
    }
}
