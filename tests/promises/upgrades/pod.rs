//! The volume of a gateway's pod.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::StatusCode;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tidegate::configuration::Configuration;
use tidegate::provision::store::Publish as _;

use super::super::configuration::entries::{
    KEY, delivering, path, registration, route, subscription,
};
use super::super::configuration::send;
use crate::support::controller::Controller;
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::sink::{Answer, Sink};

/// Where the recorded events go: nobody else listens there.
const SINK: &str = "127.83.7.1:20917";

/// A registration's secret.
const SECRET: &str = "the secret of a registration";

/// Until the end of all tests.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// How many events are recorded that one subscription has not got.
const RECORDED: usize = 50;

/// The leader's epoch when it was recorded.
const EPOCH: u64 = 3;

fn recorded() -> BTreeSet<String> {
    (0..RECORDED)
        .map(|number| format!("recorded-{number}"))
        .collect()
}

/// Two subscriptions, and events that never become too old.
fn configuration() -> Configuration {
    let mut configuration = delivering("");
    configuration.gateway.replay_retention = CENTURY;
    configuration.subscriptions = ["away", "taking"]
        .map(|name| {
            let mut entry = subscription(name, &format!("http://{SINK}/{name}"));
            std::sync::Arc::make_mut(&mut entry).delivery.max_age = CENTURY;
            entry
        })
        .into();
    configuration
}

fn taken(sink: &Sink, path: &str) -> BTreeSet<String> {
    let taken = sink.at(path).into_iter();
    taken
        .filter(|it| it.status == StatusCode::NO_CONTENT)
        .map(|it| it.id().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes what later versions are tested with"]
async fn record() {
    let sink = Sink::start_at(SINK.parse().unwrap()).await;
    sink.answer("/away", Answer::Status(StatusCode::SERVICE_UNAVAILABLE));
    let controller = Controller::start(EPOCH).await;
    let registered = vec![registration(1, Some(SECRET))];
    controller.hub().publish(registered).await.unwrap();
    controller.set(configuration());
    let mut pod = Gateway::start(&controller, "pod-0").await;
    eventually("all is taken", async || controller.is_taken_by(1)).await;
    for id in recorded() {
        let answer = send(&pod, "/shop/orders", KEY, &id).await;
        assert_eq!(answer, Some(StatusCode::ACCEPTED));
    }
    eventually("one consumer has all", async || {
        taken(&sink, "/taking") == recorded()
    })
    .await;
    let kept = pod.path("data").join("configuration.sealed");
    eventually("the configuration is kept", async || kept.is_file()).await;
    pod.kill();
    let folder = super::this_version().join("pod");
    let _ = std::fs::remove_dir_all(&folder);
    pack(&pod.path("data"), &folder);
}

fn pack(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            pack(&path, &to.join(name));
        } else {
            let file = std::fs::File::create(to.join(format!("{name}.gz"))).unwrap();
            let mut encoder = GzEncoder::new(file, Compression::best());
            encoder.write_all(&std::fs::read(&path).unwrap()).unwrap();
            encoder.finish().unwrap();
        }
    }
}

fn unpack(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            unpack(&path, &to.join(path.file_name().unwrap()));
        } else {
            let mut content = Vec::new();
            let file = std::fs::File::open(&path).unwrap();
            GzDecoder::new(file).read_to_end(&mut content).unwrap();
            let target = to.join(PathBuf::from(path.file_stem().unwrap()));
            std::fs::write(target, content).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_an_earlier_version_is_served_and_delivered_from_under_load() {
    for version in super::versions() {
        println!("{}", version.display());
        let sink = Sink::start_at(SINK.parse().unwrap()).await;
        let mut controller = Controller::start(EPOCH + 1).await;
        controller.stop().await;
        let mut pod = Gateway::new(&controller, "pod-0");
        unpack(&version.join("pod"), &pod.path("data"));
        // Nobody is there to tell it anything: what it serves is what it was told before.
        pod.spawn();
        pod.is_ready().await;
        let new: BTreeSet<String> = (0..200).map(|number| format!("new-{number}")).collect();
        for id in &new {
            let answer = send(&pod, "/shop/orders", KEY, id).await;
            assert_eq!(answer, Some(StatusCode::ACCEPTED), "{}", pod.output());
        }
        let registered = send(&pod, &path(1), SECRET, "registered").await;
        assert_eq!(registered, Some(StatusCode::ACCEPTED));
        let both: BTreeSet<String> = recorded().union(&new).cloned().collect();
        eventually("everything undelivered arrives", async || {
            taken(&sink, "/away") == both && taken(&sink, "/taking").is_superset(&new)
        })
        .await;

        // This version's controller is followed from there.
        let mut next = configuration();
        next.routes.push(route("/shop/since"));
        controller.set(next);
        controller.listen().await;
        eventually("the controller is followed", async || {
            controller.is_taken_by(1)
        })
        .await;
        let since = send(&pod, "/shop/since", KEY, "since").await;
        assert_eq!(since, Some(StatusCode::ACCEPTED));
        eventually("what came since arrives", async || {
            taken(&sink, "/away").contains("since") && taken(&sink, "/taking").contains("since")
        })
        .await;
        assert!(!pod.output().contains("ERROR"), "{}", pod.output());
    }
}
