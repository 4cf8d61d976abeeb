//! 10,000 customers from cold: how long until each is subscribed at an app, and how long until its
//! UpstreamSubscription says so, how many writes that takes, and what the controller takes of memory. Then nothing is
//! written for five minutes but the Lease.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

use super::objects::{api, create, metric};
use crate::measure::app::App;
use crate::measure::disk::Disk;
use crate::measure::report::Report;
use crate::measure::runner::{block_on, peak_mebibytes};
use crate::support::api_server::controller::Controller;

const CUSTOMERS: usize = 10_000;
/// Seconds until all of them are subscribed.
const WITHIN: f64 = 60.0;
/// Writes for each at the most.
const WRITES: f64 = 3.0;
/// Mebibytes of memory at the most.
const MEBIBYTES: f64 = 300.0;
/// After so long it is no benchmark any more.
const PATIENCE: Duration = Duration::from_secs(900);
/// How long nothing is written.
const QUIET: Duration = Duration::from_secs(300);

pub fn run() {
    let disk = Disk::prepare("cold");
    let mut report = Report::new("cold", &disk, "an app in this process");
    block_on(async {
        let app = App::start().await;
        let mut controller = Controller::prepare(&["tenant"]).await;
        let tenant = controller.others[0].clone();
        let list = disk.folder.join("allow-list.yaml");
        let allowed =
            json!([{"host": "127.0.0.1", "ports": [app.address.port()], "namespaces": [tenant]}]);
        std::fs::write(&list, allowed.to_string()).unwrap();
        controller.start_with(&["--allow-list".to_owned(), list.display().to_string()]);
        declare(&controller, &tenant, &format!("http://{}", app.address)).await;

        let began = Instant::now();
        controller.spawn();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let active = "tidegate_provision_registrations{state=\"Active\"}";
        while metric(&client, controller.metrics, active).await != Some(CUSTOMERS as f64) {
            let asked = app.asked();
            assert!(
                began.elapsed() < PATIENCE,
                "{asked} asked\n{}",
                controller.output()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let subscribed = began.elapsed().as_secs_f64();
        println!("  all registrations active, and recorded, after {subscribed:.1} s");
        let objects = api(&controller.admin, &tenant, "UpstreamSubscription");
        let all_say_so = tokio::time::timeout(PATIENCE, until_active(objects, CUSTOMERS)).await;
        all_say_so.expect("the objects do not say so");
        let shown = began.elapsed().as_secs_f64();
        println!("  all objects say so after {shown:.1} s");
        assert_eq!(app.asked(), CUSTOMERS, "one request each");

        let mut writes = controller.writes_but_the_lease();
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < QUIET {
            assert!(
                began.elapsed() < PATIENCE,
                "there is always something to write"
            );
            tokio::time::sleep(Duration::from_secs(5)).await;
            let now = controller.writes_but_the_lease();
            if now.len() != writes.len() {
                writes = now;
                quiet_since = Instant::now();
            }
        }
        println!("  then no writes but the Lease for {QUIET:?}");
        let kinds = by_kind(&writes);
        println!("  writes: {kinds:?}");
        let each = kinds
            .iter()
            .filter(|(kind, _)| kind.contains("upstreamsubscriptions") || kind.ends_with("secrets"))
            .map(|(_, count)| count)
            .sum::<usize>() as f64
            / CUSTOMERS as f64;
        let most = most_of_one(&writes, "upstreamsubscriptions")
            + most_of_one(&writes, "secrets tidegate-upstream-");
        let mebibytes = peak_mebibytes(controller.pid());
        println!(
            "  subscribed after {subscribed:.1} s, shown after {shown:.1} s, {most} writes for one at the most and {each:.2} each with what is written for all, at most {mebibytes:.0} MiB of memory"
        );
        report.ratio("60 s / time until subscribed", WITHIN / subscribed, 1.0);
        report.ratio("60 s / time until all objects say so", WITHIN / shown, 1.0);
        report.ratio("3 / writes for one at the most", WRITES / most as f64, 1.0);
        report.ratio(
            "3 / writes for each with what is written for all",
            WRITES / each,
            1.0,
        );
        report.ratio("300 MiB / memory", MEBIBYTES / mebibytes, 1.0);
    });
    report.finish();
}

async fn declare(controller: &Controller, tenant: &str, app: &str) {
    let client = &controller.admin;
    let one = |name: &str, content: Value| std::iter::once((name.to_owned(), content));
    let gateway = json!({"spec": {
        "publicUrl": "https://hooks.example.com",
        "allowedNamespaces": {"from": "All"},
    }});
    create(
        client,
        &controller.namespace,
        "EventGateway",
        one("default", gateway),
    )
    .await;
    let event_type = json!({"spec": {
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
    }});
    create(client, tenant, "AppEventType", one("contacts", event_type)).await;
    let all = json!({"spec": {
        "eventTypeRef": {"name": "contacts"},
        "customerSelector": {"matchLabels": {"of": "bench"}},
        "sink": {"uri": "https://sink.example/events"},
    }});
    create(client, tenant, "EventSubscription", one("all", all)).await;
    let names = || (0..CUSTOMERS).map(|number| format!("customer-{number:05}"));
    let secrets = names().map(|name| {
        let content = json!({"stringData": {"token": format!("token-of-{name}")}});
        (name, content)
    });
    create(client, tenant, "Secret", secrets).await;
    let customers = names().map(|name| {
        let content = json!({
            "metadata": {"labels": {"of": "bench"}},
            "spec": {"fieldsFrom": [{"secretRef": {"name": name}}]},
        });
        (name, content)
    });
    create(client, tenant, "Customer", customers).await;
}

/// Waits until so many of them say that they stand. They are watched, not listed again and again, which would
/// take the API server's time.
async fn until_active(objects: Api<DynamicObject>, count: usize) {
    let mut changed = pin!(watcher(objects, watcher::Config::default()).applied_objects());
    let mut active = BTreeSet::new();
    while active.len() < count {
        let object = changed.next().await.unwrap().unwrap();
        if object.data["status"]["state"] == "Active" {
            active.insert(object.metadata.name);
        }
    }
}

/// How often the object that was written most often was, of those whose resource and name begin like this. What is written
/// for all of them together does not count.
fn most_of_one(writes: &[String], beginning: &str) -> usize {
    let mut counts = BTreeMap::<&str, usize>::new();
    for write in writes {
        // `verb resource/subresource namespace/name`
        let (Some((_, resource)), Some((_, name))) = (
            write
                .rsplit_once(' ')
                .and_then(|(kind, _)| kind.split_once(' ')),
            write.rsplit_once('/'),
        ) else {
            continue;
        };
        let of = format!("{resource} {name}");
        if of.starts_with(beginning) && !name.ends_with("-together") {
            *counts.entry(name).or_default() += 1;
        }
    }
    counts.into_values().max().unwrap_or_default()
}

fn by_kind(writes: &[String]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for write in writes {
        let kind = write.rsplit_once(' ').map_or(&**write, |(kind, _)| kind);
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    kinds
}
