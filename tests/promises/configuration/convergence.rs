//! A pod that is killed at random while a hundred edits are made has all of them in the end, and as
//! the controller has them.

use std::time::Duration;

use axum::http::StatusCode;
use tidegate::configuration::RegistrationChange;
use tidegate::provision::store::Publish as _;

use super::entries::{KEY, delivering, path, registration, route};
use super::send;
use crate::support::controller::{Controller, hub_of};
use crate::support::eventually;
use crate::support::gateway::Gateway;

const EDITS: u32 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_killed_during_a_hundred_edits_has_all_of_them() {
    let mut controller = Controller::start(1).await;
    let base = delivering("http://127.0.0.1:9/");
    controller.set(base.clone());
    let mut pod = Gateway::start(&controller, "pod-0").await;
    let mut configuration = base;
    let mut registered = Vec::new();
    let mut epoch = 1;
    for edit in 0..EDITS {
        // Comes and goes: of each three routes one is removed again.
        configuration.routes.push(route(&format!("/shop/{edit}")));
        if edit % 3 == 2 {
            let gone = format!("/shop/{}", edit - 1);
            configuration.routes.retain(|route| route.path != gone);
        }
        controller.set(configuration.clone());
        let secret = format!("secret-{edit}");
        let hub = controller.hub().clone();
        let mut changes = vec![registration(edit, Some(&secret))];
        if edit % 4 == 3 {
            changes.push(RegistrationChange::Remove {
                path: path(edit - 1),
            });
            registered.retain(|(number, _)| *number != edit - 1);
        }
        registered.push((edit, secret));
        // Whether the pod has taken it does not matter here.
        tokio::spawn(async move { hub.publish(changes).await });
        // At another moment of the pod's life each time.
        let moment = u64::from(edit) * 37 % 101;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        if edit % 7 == 3 {
            pod.kill();
            pod.spawn();
        }
        if edit % 25 == 24 {
            epoch += 1;
            let next = hub_of(epoch);
            let all = registered.iter();
            let all = all.map(|(number, secret)| registration(*number, Some(secret)));
            next.publish(all.collect()).await.unwrap();
            controller.lead(next);
            controller.set(configuration.clone());
        }
    }
    eventually("all is taken", async || controller.is_taken_by(1)).await;
    pod.is_ready().await;
    for edit in 0..EDITS {
        let path = format!("/shop/{edit}");
        let is_there = configuration.routes.iter().any(|route| route.path == path);
        let expected = match is_there {
            true => StatusCode::ACCEPTED,
            false => StatusCode::NOT_FOUND,
        };
        assert_eq!(
            send(&pod, &path, KEY, &path).await,
            Some(expected),
            "{path}"
        );
    }
    for number in 0..EDITS {
        let known = registered
            .iter()
            .find(|(registered, _)| *registered == number);
        let (secret, expected) = match known {
            Some((_, secret)) => (secret.as_str(), StatusCode::ACCEPTED),
            None => ("any", StatusCode::NOT_FOUND),
        };
        let path = path(number);
        assert_eq!(
            send(&pod, &path, secret, &path).await,
            Some(expected),
            "{path}"
        );
    }
}
