//! How soon an edit is live in a pod among very many entries. The times are printed and not judged:
//! machines differ. That each edit is live in the end, and by itself, is what is tested.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tidegate::configuration::Configuration;

use super::entries::{KEY, delivering, route, subscription};
use super::send;
use crate::support::controller::{Controller, gateway, hub_of};
use crate::support::eventually;
use crate::support::gateway::Gateway;

const EDITS: usize = 100;

/// Edits one thing after the other; how long each took until the pod said that it is live.
async fn edit(
    controller: &Controller,
    configuration: &mut Configuration,
    edit: impl Fn(&mut Configuration, usize),
) -> Vec<Duration> {
    let mut times = Vec::with_capacity(EDITS);
    let mut observations = controller.hub().observations();
    for number in 0..EDITS {
        edit(configuration, number);
        let began = Instant::now();
        controller.set(configuration.clone());
        let taken = observations.wait_for(|all| {
            let observed = all.gateways.get(&gateway());
            observed.is_some_and(|it| it.taken_by_all() == Some(it.revision))
        });
        let taken = tokio::time::timeout(crate::support::PATIENCE, taken).await;
        assert!(matches!(taken, Ok(Ok(_))), "edit {number} is not live");
        times.push(began.elapsed());
    }
    times.sort();
    times
}

fn print(what: &str, times: &[Duration]) {
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: live after {:?} (p50), {:?} (p99)", at(50), at(99));
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_among_ten_thousand_subscriptions_are_live() {
    let controller = Controller::start(1).await;
    let mut configuration = delivering("http://127.0.0.1:9/");
    let names = (0..10_000).map(|number| format!("subscription-{number}"));
    let subscriptions = names.map(|name| subscription(&name, "http://127.0.0.1:9/"));
    configuration.subscriptions = subscriptions.collect();
    controller.set(configuration.clone());
    let _pod = Gateway::start(&controller, "pod-0").await;
    eventually("all is taken", async || controller.is_taken_by(1)).await;
    let times = edit(&controller, &mut configuration, |configuration, number| {
        let place = number * 97;
        let sink = format!("http://127.0.0.1:9/{number}");
        let name = format!("subscription-{place}");
        configuration.subscriptions[place] = subscription(&name, &sink);
    });
    print("one of 10,000 subscriptions", &times.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_among_a_hundred_thousand_routes_are_live_also_of_another_leader() {
    let mut controller = Controller::start(1).await;
    let mut configuration = delivering("http://127.0.0.1:9/");
    let routes = (0..100_000).map(|number| route(&format!("/shop/route-{number}")));
    configuration.routes = routes.collect();
    controller.set(configuration.clone());
    let pod = Gateway::start(&controller, "pod-0").await;
    eventually("all is taken", async || controller.is_taken_by(1)).await;
    let times = edit(&controller, &mut configuration, |configuration, number| {
        let place = number * 997;
        configuration.routes[place] = route(&format!("/shop/edited-{number}"));
    });
    print("one of 100,000 routes", &times.await);
    for number in 0..EDITS {
        let edited = send(&pod, &format!("/shop/edited-{number}"), KEY, "edited").await;
        assert_eq!(edited, Some(StatusCode::ACCEPTED));
        let before = format!("/shop/route-{}", number * 997);
        assert_eq!(
            send(&pod, &before, KEY, "before").await,
            Some(StatusCode::NOT_FOUND)
        );
    }
    // Another one leads, who has seen one more edit.
    configuration.routes[1] = route("/shop/of-the-next-leader");
    let began = Instant::now();
    controller.lead(hub_of(2));
    controller.set(configuration);
    eventually("the next leader is followed", async || {
        controller.is_taken_by(1)
    })
    .await;
    println!(
        "a change of leader with 100,000 routes: live after {:?}",
        began.elapsed()
    );
    let path = "/shop/of-the-next-leader";
    let since = send(&pod, path, KEY, "since").await;
    assert_eq!(since, Some(StatusCode::ACCEPTED));
}
