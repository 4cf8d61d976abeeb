//! 10,000 customers from cold at a local app API: how long until each is subscribed, and what the
//! process takes of memory. Unlike the others this runs `tidegate dev` itself, because manifests,
//! records and objects are most of the work.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::App;
use crate::support::disk::Disk;
use crate::support::report::Report;
use crate::support::runner::{block_on, peak_mebibytes};

const CUSTOMERS: usize = 10_000;
const CUSTOMERS_IN_A_FILE: usize = 1_000;
/// Seconds until all of them are subscribed.
const WITHIN: f64 = 60.0;
/// Mebibytes of memory at the most.
const MEBIBYTES: f64 = 300.0;
/// After so long it is no benchmark any more.
const PATIENCE: Duration = Duration::from_secs(600);

pub fn run() {
    let disk = Disk::prepare("subscribing");
    let mut report = Report::new("subscribing", &disk, "an app in this process");
    block_on(async {
        let app = App::start().await;
        let manifests = disk.folder.join("manifests");
        std::fs::create_dir(&manifests).expect("the folder is empty");
        for (number, text) in manifests_of(&format!("http://{}", app.address))
            .iter()
            .enumerate()
        {
            let path = manifests.join(format!("{number}.yaml"));
            std::fs::write(path, text).expect("the disk has room");
        }
        let start = Instant::now();
        let mut process = Process::start(&disk);
        // Looking at them takes the process' time, so only once there is something to see.
        while app.asked() < CUSTOMERS || process.active().await < CUSTOMERS {
            assert!(
                start.elapsed() < PATIENCE,
                "{} asked, {} active",
                app.asked(),
                process.active().await
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let took = start.elapsed().as_secs_f64();
        let mebibytes = peak_mebibytes(process.child.id());
        assert_eq!(app.asked(), CUSTOMERS, "one request each");
        println!("  subscribed after {took:.1} s, at most {mebibytes:.0} MiB of memory");
        report.ratio("60 s / time until subscribed", WITHIN / took, 1.0);
        report.ratio("300 MiB / memory", MEBIBYTES / mebibytes, 1.0);
        process.child.kill().expect("it runs");
    });
    report.finish();
}

/// The texts of all files. One file may hold so many values and no more.
fn manifests_of(app: &str) -> Vec<String> {
    let event_type = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "AppEventType", "metadata": {"name": "contacts"},
        "spec": {
            "schema": {"type": "object"},
            "webhook": {"authentication": [{"hmac": {"keys": [{"signingSecret": {}}], "signature": "request.headers['x']"}}]},
            "subscription": {
                "limits": {"requestsPerSecond": 10_000, "concurrency": 64},
                "signingSecret": {"generate": {}},
                "request": {
                    "url": format!("{app}/$(customer.id)/hooks"),
                    "headers": {"Authorization": "Bearer $(customer.fields.token)"},
                    "body": {"target": "$(webhookUri)", "secret": "$(signingSecret)"},
                },
                "response": {"id": "response.body.data.id"},
            },
        },
    });
    let all = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "EventSubscription", "metadata": {"name": "all"},
        "spec": {
            "eventTypeRef": {"name": "contacts"},
            "customerSelector": {"matchLabels": {"of": "bench"}},
            "sink": {"uri": "http://127.0.0.1:9/"},
        },
    });
    let mut files = vec![format!("{event_type}\n---\n{all}\n")];
    for number in 0..CUSTOMERS {
        if number % CUSTOMERS_IN_A_FILE == 0 {
            files.push(String::new());
        }
        let name = format!("customer-{number:05}");
        let customer = json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "Customer",
            "metadata": {"name": name, "labels": {"of": "bench"}},
            "spec": {"fieldsFrom": [{"secretRef": {"name": name}}]},
        });
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"token": format!("token-of-{name}")},
        });
        if let Some(text) = files.last_mut() {
            let _ = write!(text, "---\n{customer}\n---\n{secret}\n");
        }
    }
    files
}

struct Process {
    child: Child,
    admin: std::net::SocketAddr,
    client: reqwest::Client,
}

impl Process {
    fn start(disk: &Disk) -> Self {
        let free = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
            listener.local_addr().expect("it is bound")
        };
        let (listen, admin) = (free(), free());
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("dev")
            .arg(disk.folder.join("manifests"))
            .arg("--data-dir")
            .arg(disk.folder.join("data"))
            .args([
                "--listen",
                &listen.to_string(),
                "--admin",
                &admin.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        Self {
            child,
            admin,
            client: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    /// How many subscriptions stand, as far as the admin listener is there already.
    async fn active(&self) -> usize {
        let mut active = 0;
        let mut path = "/v1/subscriptions?limit=1000".to_owned();
        loop {
            let answer = self
                .client
                .get(format!("http://{}{path}", self.admin))
                .send()
                .await;
            let Ok(answer) = answer else { return active };
            let Ok(page) = answer.json::<Value>().await else {
                return active;
            };
            let items = page["items"].as_array().cloned().unwrap_or_default();
            active += items
                .iter()
                .filter(|item| item["state"] == "Active")
                .count();
            match page["next"].as_str() {
                Some(next) => path = format!("/v1/subscriptions?limit=1000&after={next}"),
                None => return active,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
