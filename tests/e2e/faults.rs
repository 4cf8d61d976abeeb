//! Whatever is killed, what was acknowledged arrives, and a fault of ours is never a provider's fault.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::load::Load;
use super::support::windows::Windows;
use super::support::{Installation, next_image, orders, wait_for};

/// How many requests are sent a second; `E2E_RATE` says another number.
const RATE: &str = "500";

/// How long that goes on at least.
const AT_LEAST: Duration = Duration::from_secs(120);

/// Seconds that the API server is away.
const API_SERVER_AWAY: Duration = Duration::from_secs(20);

#[test]
fn no_acknowledged_event_is_lost_whatever_is_killed() {
    let installation = Installation::new("faults", "");
    installation.wait_until_it_serves();
    orders::declare(&installation);
    let rate = std::env::var("E2E_RATE").unwrap_or_else(|_| RATE.to_owned());
    let url = orders::url(&installation);
    // It is stopped long before that.
    let arguments = [
        "--url",
        &url,
        "--token",
        orders::TOKEN,
        "--rate",
        &rate,
        "--seconds",
        "1800",
        "--connections",
        "64",
    ];
    let load = Load::start(&installation, "load", &arguments);
    let began = Instant::now();
    let mut windows = Windows::of(&load);
    let forced = ["--force", "--grace-period=0"];

    // What nobody takes is kept, through all of this.
    load.sink("down");
    windows.during("a pod is deleted", || {
        installation.kubectl(&["delete", "pod", "tidegate-gateway-default-0"]);
        wait_for_pods(&installation, 2);
    });
    windows.during("a pod is killed", || {
        installation.kubectl(
            &[
                &["delete", "pod", "tidegate-gateway-default-1"],
                &forced[..],
            ]
            .concat(),
        );
        wait_for_pods(&installation, 2);
    });
    windows.during("the leader is killed", || {
        let leader = leader(&installation);
        installation.kubectl(&[&["delete", "pod", leader.as_str()], &forced[..]].concat());
        wait_for("another leader", || match self::leader(&installation) {
            other if other != leader && !other.is_empty() => Ok(()),
            same => Err(format!("the leader is {same}")),
        });
    });
    if let Some(api_server) = ApiServer::from_environment() {
        windows.during("the API server is away", || {
            api_server.stop();
            std::thread::sleep(API_SERVER_AWAY);
            api_server.start();
            wait_for_pods(&installation, 2);
        });
    }
    windows.during("all pods are replaced", || {
        installation.kubectl(&["rollout", "restart", SET]);
        installation.kubectl(&["rollout", "status", SET, "--timeout=180s"]);
    });
    windows.during("the release is upgraded", || {
        installation.upgrade(&next_image())
    });
    windows.during("a pod is added", || scale(&installation, 3));
    windows.during("pods hand over what they have and go", || {
        scale(&installation, 1)
    });

    std::thread::sleep(AT_LEAST.saturating_sub(began.elapsed()));
    load.stop();
    load.sink("up");
    let report = load.wait_until("all events to arrive", |report| report["missing"] == 0);
    println!("{report}");
    windows.judge(&report);
    installation.wait_for_condition("eventgateway/default", "Ready");
}

const SET: &str = "statefulset/tidegate-gateway-default";

fn scale(installation: &Installation, replicas: i64) {
    installation.kubectl(&[
        "scale",
        "eventgateway/default",
        &format!("--replicas={replicas}"),
    ]);
    wait_for_pods(installation, replicas);
}

/// Waits until there are so many pods of the gateway, no more, and all take requests.
fn wait_for_pods(installation: &Installation, replicas: i64) {
    wait_for(&format!("{replicas} pods that take requests"), || {
        let set = installation.try_get(SET)?;
        let status = &set["status"];
        let counts = ["replicas", "readyReplicas", "updatedReplicas"];
        let is_whole = counts.iter().all(|count| status[count] == replicas)
            && status["observedGeneration"] == set["metadata"]["generation"];
        if is_whole {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
}

/// Commands that stop and start the cluster's API server, which no cluster can be asked for: `E2E_STOP_API_SERVER` and
/// `E2E_START_API_SERVER`. Where they are not given, it goes on; the test says so.
struct ApiServer {
    stop: String,
    start: String,
}

impl ApiServer {
    fn from_environment() -> Option<Self> {
        let (stop, start) = ("E2E_STOP_API_SERVER", "E2E_START_API_SERVER");
        match (std::env::var(stop), std::env::var(start)) {
            (Ok(stop), Ok(start)) => Some(Self { stop, start }),
            _ => {
                println!(
                    "the API server is not stopped: {stop} and {start} say with which commands that is done"
                );
                None
            }
        }
    }

    fn stop(&self) {
        run(&self.stop);
    }

    fn start(&self) {
        run(&self.start);
    }
}

fn run(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command}: {status}");
}

#[test]
fn a_change_is_live_after_the_leader_is_killed() {
    let installation = Installation::new("leader", "");
    installation.wait_until_it_serves();
    orders::declare(&installation);
    let first = leader(&installation);
    installation.kubectl(&["delete", "pod", &first, "--force", "--grace-period=0"]);
    // Another token counts from now on, and the old one no more.
    let patch = json!({"stringData": {"token": "another-token"}}).to_string();
    installation.kubectl(&["patch", "secret", "shop", "--type=merge", "-p", &patch]);
    wait_for("another leader", || match leader(&installation) {
        other if other != first && !other.is_empty() => Ok(()),
        same => Err(format!("the leader is {same}")),
    });
    let url = orders::url(&installation);
    let arguments = [
        "--url",
        &url,
        "--token",
        "another-token",
        "--rate",
        "10",
        "--seconds",
        "60",
    ];
    let load = Load::start(&installation, "load", &arguments);
    wait_for("an event with the new token", || {
        let report = load.report()?;
        match report["received"].as_u64() {
            Some(1..) => Ok(()),
            _ => Err(report.to_string()),
        }
    });
}

/// The name of the controller's pod that leads: the holder of the Lease is called after it.
fn leader(installation: &Installation) -> String {
    let leases = installation.get("leases");
    let items = leases["items"].as_array().unwrap();
    let mut holders = items
        .iter()
        .filter_map(|lease| lease["spec"]["holderIdentity"].as_str());
    let holder = holders.next().unwrap_or_default();
    let pods = installation.get("pods");
    let names = pods["items"].as_array().unwrap().iter();
    let mut names = names.filter_map(|pod| pod["metadata"]["name"].as_str());
    let name = names.find(|name| holder.starts_with(name));
    name.unwrap_or_default().to_owned()
}
