//! Whatever is killed, what was acknowledged arrives, and a fault of ours is never a provider's fault.

use serde_json::{Value, json};

use super::support::load::Load;
use super::support::{Installation, orders, wait_for};

#[test]
fn no_acknowledged_event_is_lost_whatever_is_killed() {
    let installation = Installation::new("faults", "");
    installation.wait_until_it_serves();
    orders::declare(&installation);
    let rate = std::env::var("E2E_RATE").unwrap_or_else(|_| "100".to_owned());
    let url = orders::url(&installation);
    let arguments = [
        "--url",
        &url,
        "--token",
        orders::TOKEN,
        "--rate",
        &rate,
        "--seconds",
        "120",
    ];
    let load = Load::start(&installation, "load", &arguments);
    let whole = || {
        wait_for("two pods that take requests", || {
            let set = installation.try_get("statefulset/tidegate-gateway-default")?;
            let status = &set["status"];
            let is_whole = status["readyReplicas"] == 2
                && status["updatedReplicas"] == 2
                && status["observedGeneration"] == set["metadata"]["generation"];
            if is_whole {
                Ok(())
            } else {
                Err(status.to_string())
            }
        });
    };

    // What nobody takes is kept, through all of this.
    load.sink("down");
    installation.kubectl(&["delete", "pod", "tidegate-gateway-default-0"]);
    whole();
    let forced = ["--force", "--grace-period=0"];
    installation.kubectl(
        &[
            &["delete", "pod", "tidegate-gateway-default-1"],
            &forced[..],
        ]
        .concat(),
    );
    whole();
    let leader = leader(&installation);
    installation.kubectl(&[&["delete", "pod", leader.as_str()], &forced[..]].concat());
    wait_for("another leader", || match self::leader(&installation) {
        other if other != leader && !other.is_empty() => Ok(()),
        same => Err(format!("the leader is {same}")),
    });
    installation.kubectl(&["rollout", "restart", "statefulset/tidegate-gateway-default"]);
    installation.kubectl(&[
        "rollout",
        "status",
        "statefulset/tidegate-gateway-default",
        "--timeout=180s",
    ]);

    load.sink("up");
    let report = load.wait_until("all events to arrive", |report| report["missing"] == 0);
    println!("{report}");
    let statuses = report["statuses"].as_object().unwrap();
    for status in statuses.keys() {
        assert!(["202", "503"].contains(&status.as_str()), "{report}");
    }
    let of = |status: &str| statuses.get(status).and_then(Value::as_u64).unwrap_or(0);
    assert!(of("202") > 100 * of("503"), "{report}");
    installation.wait_for_condition("eventgateway/default", "Ready");
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
