//! The CRM, as README's tour goes through it: the app itself runs, as a user starts it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{arrived, example};
use crate::support::command::{spawn, tidegate};
use crate::support::dev::{Dev, free_address};
use crate::support::eventually;
use crate::support::sink::Sink;

/// The running app. It is killed when dropped.
struct Crm {
    child: Child,
    url: String,
    said: Arc<Mutex<Vec<String>>>,
}

impl Crm {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(built());
        let mut child = spawn(command.args(arguments).stdout(Stdio::piped()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let url = first.strip_prefix("the CRM is at ").unwrap().to_owned();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let more = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                more.lock().unwrap().push(line);
            }
        });
        Self { child, url, said }
    }

    fn count(&self, what: &str) -> usize {
        let said = self.said.lock().unwrap();
        said.iter().filter(|line| *line == what).count()
    }

    async fn says(&self, what: &str, count: usize) {
        eventually(&format!("the CRM says {what:?}"), async || {
            self.count(what) >= count
        })
        .await;
        assert_eq!(self.count(what), count, "{what}");
    }

    async fn create_contact(&self, dev: &Dev, tenant: &str, contact: Value) {
        let request = dev
            .client
            .post(format!("{}/tenants/{tenant}/contacts", self.url));
        let request = request.bearer_auth(format!("{tenant}-example-token"));
        let answer = request.body(contact.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 201);
    }
}

impl Drop for Crm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program. Cargo builds examples together with all tests, but not with one alone.
fn built() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let profile = tests.parent().unwrap().parent().unwrap();
    let program = profile.join("examples/crm");
    if !program.exists() {
        let cargo = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--locked",
                "--example",
                "crm",
                "--target-dir",
            ])
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(cargo.unwrap().success());
    }
    program
}

/// The example's files with other addresses.
fn copy(dev: &Dev, crm: &Crm, sink: &Sink) {
    for file in ["app.yaml", "customers.yaml", "consumers.yaml"] {
        let text = std::fs::read_to_string(example("crm").join(file)).unwrap();
        let text = text.replace("http://127.0.0.1:9091", &crm.url);
        let text = text.replace("http://127.0.0.1:9090", &sink.url(""));
        dev.edit(file, &text.replace("every: 1m", "every: 2s"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crm_is_what_readme_says() {
    let sink = Sink::start().await;
    // One that nobody else is given while the app starts again.
    let port = free_address().port().to_string();
    let crm = Crm::start(&["--port", &port]);
    let mut dev = Dev::in_new_folders(&[]);
    copy(&dev, &crm, &sink);
    dev.run().await;
    crm.says("acme: wh_1 is registered", 1).await;
    crm.says("globex: wh_1 is registered", 1).await;
    let is_active = async |customer: &str| {
        let all = dev.admin("/v1/subscriptions").await;
        let all = all["items"].as_array().unwrap().clone();
        all.iter().any(|one| {
            one["kind"] == "UpstreamSubscription"
                && one["state"] == "Active"
                && one["customer"]
                    .as_str()
                    .is_some_and(|name| name.ends_with(customer))
        })
    };
    for customer in ["acme", "globex"] {
        eventually(&format!("{customer} is active"), async || {
            is_active(customer).await
        })
        .await;
    }
    eventually("it says who may be called", async || {
        let said = "Sinks and apps may be at private addresses here";
        dev.output().contains(said)
    })
    .await;
    // The objects for people are written a moment after what they show is known elsewhere.
    let folder = dev.data.join("upstream-subscriptions/crm");
    let mut objects = Vec::new();
    eventually("both objects are written, as they stand", async || {
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let files = files.map(|file| file.path());
        let files = files.filter(|path| path.extension().is_some_and(|it| it == "yaml"));
        objects = files
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .collect();
        objects
            .iter()
            .filter(|text| text.contains("Active"))
            .count()
            == 2
    })
    .await;
    for text in objects {
        assert!(
            text.contains("***") && text.contains("contact.created"),
            "{text}"
        );
        assert!(!text.contains("-example-token"), "{text}");
    }

    crm.create_contact(
        &dev,
        "acme",
        json!({"email": "ada@example.com", "vip": true}),
    )
    .await;
    crm.create_contact(&dev, "globex", json!({"email": "bob@example.com"}))
        .await;
    arrived(&sink, "/acme-vips", 1).await;
    let pro = arrived(&sink, "/pro", 2).await;
    let customers: Vec<&str> = pro.iter().map(|one| one.header("ce-customerid")).collect();
    assert!(
        customers.contains(&"acme") && customers.contains(&"globex"),
        "{customers:?}"
    );
    let event: Value = serde_json::from_slice(&pro[0].body).unwrap();
    assert_eq!(event["eventId"], pro[0].id());

    // Another event than there is: the CRM says no, the old webhooks stay, and it is told why.
    let app = std::fs::read_to_string(dev.manifests.join("app.yaml")).unwrap();
    let broken = app.replace("event: contact.created", "event: [contact.created]");
    assert_ne!(broken, app);
    dev.edit("app.yaml", &broken);
    let refused = async || {
        let all = dev.admin("/v1/subscriptions").await;
        let all = all["items"].as_array().unwrap().clone();
        let of_apps = all
            .iter()
            .filter(|one| one["kind"] == "UpstreamSubscription");
        let why = |one: &Value| {
            one["lastError"]
                .as_str()
                .unwrap_or_default()
                .contains("422")
        };
        of_apps
            .filter(|one| why(one) && one["response"].to_string().contains("must be texts"))
            .count()
    };
    eventually("lastError tells why", async || refused().await == 2).await;
    for customer in ["acme", "globex"] {
        assert_eq!(crm.count(&format!("{customer}: wh_1 is removed")), 0);
        assert_eq!(crm.count(&format!("{customer}: wh_2 is registered")), 0);
    }
    crm.create_contact(&dev, "globex", json!({"email": "meanwhile@example.com"}))
        .await;
    arrived(&sink, "/pro", 3).await;
    dev.edit("app.yaml", &app);
    for customer in ["acme", "globex"] {
        eventually(&format!("{customer} is active again"), async || {
            is_active(customer).await
        })
        .await;
    }
    eventually("nothing is wrong any more", async || refused().await == 0).await;

    // Another customer joins the plan, and one goes with all that is known of it.
    let customers = std::fs::read_to_string(dev.manifests.join("customers.yaml")).unwrap();
    let joined = customers.replace("plan: free", "plan: pro");
    dev.edit("customers.yaml", &joined);
    crm.says("initech: wh_1 is registered", 1).await;
    let without: Vec<&str> = joined
        .split("---\n")
        .filter(|one| !one.contains("globex"))
        .collect();
    dev.edit("customers.yaml", &without.join("---\n"));
    crm.says("globex: wh_1 is removed", 1).await;
    eventually("initech is active", async || is_active("initech").await).await;

    // Killed, and the app forgets: registered anew.
    dev.kill();
    let before = dev.output().len();
    dev.run().await;
    let rows = async || {
        let output = dev.output();
        let table = output[before..].split_once("UPSTREAM SUBSCRIPTION");
        let rows = table.map_or("", |(_, rows)| {
            rows.split_once("\n\n").unwrap_or_default().0
        });
        let rows = rows.lines().skip(1).map(str::to_owned);
        rows.collect::<Vec<String>>()
    };
    eventually("the table is shown", async || rows().await.len() == 2).await;
    let rows = rows().await;
    for customer in ["acme", "initech"] {
        let is_active = |row: &String| {
            let cells: Vec<&str> = row.split_whitespace().collect();
            cells.contains(&customer) && cells.last() == Some(&"active")
        };
        assert!(rows.iter().any(is_active), "{customer}: {rows:?}");
    }
    assert_eq!(crm.count("acme: wh_1 is registered"), 1);
    drop(crm);
    let crm = Crm::start(&["--port", &port]);
    crm.says("acme: wh_1 is registered", 1).await;
    crm.says("initech: wh_1 is registered", 1).await;
    crm.create_contact(&dev, "acme", json!({"email": "eve@example.com"}))
        .await;
    arrived(&sink, "/pro", 4).await;
    assert!(dev.stop().await.success());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        crm.count("acme: wh_1 is removed"),
        0,
        "stopping removes nothing"
    );
}

#[test]
fn render_shows_what_would_be_sent_without_secrets() {
    let ran = tidegate(&["render", "examples/crm", "contact-created", "initech"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for expected in [
        "POST http://127.0.0.1:9091/tenants/initech/api/v2/webhooks",
        "contact.created",
        "***",
        "DELETE",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    assert!(
        !ran.stdout.contains("initech-example-token"),
        "{}",
        ran.stdout
    );
    for (arguments, code) in [
        (["render", "examples/crm", "contact-created", "nobody"], 1),
        (["render", "examples/crm", "no-such-type", "acme"], 1),
        (["render", "examples/quickstart", "order-placed", "acme"], 1),
    ] {
        let ran = tidegate(&arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
    }
}
