//! How many pods there are: what the EventGateway says, and never fewer than may keep events.

use serde_json::Value;

use super::support::{Installation, condition_of, wait_for};

const SET: &str = "statefulset/tidegate-gateway-default";

#[test]
fn pods_are_added_and_a_statefulset_that_somebody_scaled_is_set_right() {
    let installation = Installation::new("scaling", "");
    installation.wait_until_it_serves();
    let replicas = |expected: i64| {
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
                false => Err(format!("{found:?}")),
            }
        });
    };
    replicas(2);
    installation.kubectl(&["scale", "eventgateway/default", "--replicas=3"]);
    replicas(3);
    installation.kubectl(&["scale", SET, "--replicas=1"]);
    replicas(3);
}

#[test]
fn pods_that_may_keep_events_stay_and_the_gateway_says_so() {
    let installation = Installation::new("fewer", "");
    installation.wait_until_it_serves();
    installation.kubectl(&["scale", "eventgateway/default", "--replicas=1"]);
    installation.wait_for_condition("eventgateway/default", "Stalled");
    let gateway = installation.get("eventgateway/default");
    let stalled = condition_of(&gateway, "Stalled").unwrap();
    assert_eq!(stalled["reason"], "NotAsSpecified", "{gateway}");
    let message = stalled["message"].as_str().unwrap();
    assert!(
        message.contains("write spec.replicas: 2 again"),
        "{message}"
    );
    let ready = condition_of(&gateway, "Ready").unwrap();
    assert_eq!(ready["status"], "True", "{gateway}");
    assert_eq!(installation.get(SET)["spec"]["replicas"], 2);
    installation.kubectl(&["scale", "eventgateway/default", "--replicas=2"]);
    wait_for("the gateway not to be stalled any more", || {
        let gateway = installation.try_get("eventgateway/default")?;
        match condition_of(&gateway, "Stalled") {
            None => Ok(()),
            Some(stalled) => Err(stalled.to_string()),
        }
    });
}
