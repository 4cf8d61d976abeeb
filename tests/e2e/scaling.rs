//! How many pods there are: what the EventGateway says, and none goes with events that nobody else has.

use serde_json::Value;

use super::support::load::Load;
use super::support::{Installation, orders, wait_for};

const SET: &str = "statefulset/tidegate-gateway-default";

fn replicas(installation: &Installation, expected: i64) {
    wait_for(&format!("{expected} pods that take requests"), || {
        let set = installation.try_get(SET)?;
        let gateway = installation.try_get("eventgateway/default")?;
        let found = [
            &set["spec"]["replicas"],
            &set["status"]["readyReplicas"],
            &gateway["status"]["replicas"],
            &gateway["status"]["readyReplicas"],
        ];
        match found.iter().all(|found| **found == Value::from(expected)) {
            true => Ok(()),
            false => Err(format!("{found:?} {}", gateway["status"]["conditions"])),
        }
    });
}

#[test]
fn pods_are_added_and_a_statefulset_that_somebody_scaled_is_set_right() {
    let installation = Installation::new("scaling", "");
    installation.wait_until_it_serves();
    replicas(&installation, 2);
    installation.kubectl(&["scale", "eventgateway/default", "--replicas=3"]);
    replicas(&installation, 3);
    installation.kubectl(&["scale", SET, "--replicas=1"]);
    replicas(&installation, 3);
}

#[test]
fn a_pod_that_goes_hands_over_what_nobody_has_taken() {
    let installation = Installation::new("fewer", "");
    installation.wait_until_it_serves();
    orders::declare(&installation);
    let url = orders::url(&installation);
    // Over several connections, so that both pods get some.
    let arguments = [
        "--url",
        &url,
        "--token",
        orders::TOKEN,
        "--rate",
        "50",
        "--seconds",
        "4",
    ];
    let load = Load::start(&installation, "load", &arguments);
    load.sink("down");
    load.wait_until("everything to be sent", |_| true);
    installation.kubectl(&["scale", "eventgateway/default", "--replicas=1"]);
    replicas(&installation, 1);
    // Its volume stays, and says that others have what was on it.
    let claim = installation.get("persistentvolumeclaim/data-tidegate-gateway-default-1");
    let noted = &claim["metadata"]["annotations"]["tidegate.dev/handed-over"];
    assert_eq!(noted, "true", "{claim}");
    load.sink("up");
    let report = load.wait_until("all events to arrive", |report| report["missing"] == 0);
    println!("{report}");
    installation.kubectl(&["scale", "eventgateway/default", "--replicas=2"]);
    replicas(&installation, 2);
    let claim = installation.get("persistentvolumeclaim/data-tidegate-gateway-default-1");
    let noted = &claim["metadata"]["annotations"]["tidegate.dev/handed-over"];
    assert!(noted.is_null(), "{claim}");
}
