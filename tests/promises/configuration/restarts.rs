//! A pod that starts while nobody is there to tell it anything serves what it had, and no copy of
//! its volume tells anybody a secret.

use std::path::Path;

use axum::http::StatusCode;
use tidegate::configuration::RegistrationChange;
use tidegate::controller::server::Leading;
use tidegate::gateway::token;
use tidegate::provision::store::Publish as _;

use super::super::no_secrets::search::encodings;
use super::entries::{KEY, SINK_HEADER, delivering, path, registration};
use super::send;
use crate::support::controller::{Controller, TOKEN_KEY, hub_of};
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::sink::Sink;

const SECRET: &str = r#"cap>?tured"\/&=%+-11"#;

/// Waits until a kept configuration is another one than `before`.
async fn kept(pod: &Gateway, before: &[u8]) -> Vec<u8> {
    let file = pod.path("data").join("configuration.sealed");
    let mut now = Vec::new();
    eventually("the configuration is kept", async || {
        now = std::fs::read(&file).unwrap_or_default();
        !now.is_empty() && now != before
    })
    .await;
    now
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_killed_serves_again_while_the_controller_is_away() {
    let sink = Sink::start().await;
    let mut controller = Controller::start(4).await;
    controller
        .hub()
        .publish(vec![registration(1, Some(SECRET))])
        .await
        .unwrap();
    controller.set(delivering(&sink.url("/")));
    let mut pod = Gateway::new(&controller, "pod-0");
    pod.log_as("trace");
    pod.spawn();
    pod.is_ready().await;
    let file = kept(&pod, &[]).await;
    controller.stop().await;
    pod.says("failed to connect to the controller").await;
    assert_eq!(
        send(&pod, "/shop/orders", KEY, "1").await,
        Some(StatusCode::ACCEPTED)
    );

    for round in 2..5 {
        pod.kill();
        pod.spawn();
        pod.is_ready().await;
        let id = round.to_string();
        assert_eq!(
            send(&pod, "/shop/orders", KEY, &id).await,
            Some(StatusCode::ACCEPTED)
        );
        let registered = send(&pod, &path(1), SECRET, &id).await;
        assert_eq!(registered, Some(StatusCode::ACCEPTED));
    }
    eventually("all are delivered", async || {
        let mut ids: Vec<_> = sink
            .deliveries()
            .iter()
            .map(|it| it.id().to_owned())
            .collect();
        ids.sort();
        ids.dedup();
        ids == ["1", "2", "3", "4"]
    })
    .await;
    // What was given out since is not known here: nobody shall give up because of that.
    let since = send(&pod, "/shop/since", KEY, "5").await;
    assert_eq!(since, Some(StatusCode::SERVICE_UNAVAILABLE));
    let token = token::issue(&TOKEN_KEY.into(), "a later one");
    let since = send(&pod, &format!("/h/{token}/1"), KEY, "6").await;
    assert_eq!(since, Some(StatusCode::SERVICE_UNAVAILABLE));
    let connected = pod.metric("tidegate_configuration_connected ").await;
    assert_eq!(connected.as_deref(), Some("0"));

    // It comes back, and knows more.
    let gone = RegistrationChange::Remove { path: path(1) };
    controller.hub().publish(vec![gone]).await.unwrap();
    controller.listen().await;
    eventually("it has all", async || controller.is_taken_by(1)).await;
    eventually("an unknown path is unknown again", async || {
        send(&pod, "/shop/since", KEY, "7").await == Some(StatusCode::NOT_FOUND)
    })
    .await;
    let removed = send(&pod, &path(1), SECRET, "8").await;
    assert_eq!(removed, Some(StatusCode::NOT_FOUND));
    kept(&pod, &file).await;

    let secrets = [KEY, SINK_HEADER, SECRET, TOKEN_KEY].map(str::as_bytes);
    let secrets = secrets.iter().flat_map(|secret| encodings(secret));
    let secrets: Vec<Vec<u8>> = secrets.collect();
    for path in files(&pod.path("data")) {
        let content = std::fs::read(&path).unwrap();
        let found = secrets.iter().find(|secret| contains(&content, secret));
        assert!(found.is_none(), "{} in {}", shown(found), path.display());
    }
    let output = pod.output();
    let found = secrets
        .iter()
        .find(|secret| contains(output.as_bytes(), secret));
    assert!(found.is_none(), "{} in the log", shown(found));
}

fn contains(content: &[u8], text: &[u8]) -> bool {
    // JSON writes bytes as numbers.
    content.windows(text.len()).any(|window| window == text)
}

fn shown(secret: Option<&Vec<u8>>) -> String {
    String::from_utf8_lossy(secret.map_or(&[], Vec::as_slice)).into_owned()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_leader_is_refused_also_after_a_restart() {
    let sink = Sink::start().await;
    let mut controller = Controller::start(9).await;
    controller.set(delivering(&sink.url("/")));
    let mut pod = Gateway::start(&controller, "pod-0").await;
    kept(&pod, &[]).await;
    let serves = async |pod: &Gateway, id: &str| {
        assert_eq!(
            send(pod, "/shop/orders", KEY, id).await,
            Some(StatusCode::ACCEPTED)
        );
    };

    // One that led before has not noticed yet, and serves nothing.
    let refused = "offers a configuration of epoch 8, but 9 was served before";
    controller.lead(hub_of(8));
    controller.set(super::entries::configuration());
    pod.says(refused).await;
    serves(&pod, "1").await;
    pod.kill();
    let told = pod.output().matches(refused).count();
    pod.spawn();
    pod.is_ready().await;
    eventually("it is refused again", async || {
        pod.output().matches(refused).count() > told
    })
    .await;
    serves(&pod, "2").await;
    assert_eq!(controller.observed().unwrap().taken_by_all(), None);

    // It notices; then the next one leads.
    controller
        .leading
        .send_replace(Leading::Elsewhere(Some("the-other-one".into())));
    controller.lead(hub_of(10));
    controller.set(super::entries::configuration());
    eventually("the next one is followed", async || {
        controller.is_taken_by(1)
    })
    .await;
    let gone = send(&pod, "/shop/orders", KEY, "3").await;
    assert_eq!(gone, Some(StatusCode::NOT_FOUND));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_and_cannot_be_read_is_told_and_left_behind() {
    let controller = Controller::start(1).await;
    controller.set(delivering("http://127.0.0.1:9/"));
    let mut pod = Gateway::start(&controller, "pod-0").await;
    kept(&pod, &[]).await;
    pod.stop().await;
    pod.put("key", "another key of 32 bytes in all..");
    pod.spawn();
    pod.says("failed to decrypt the last configuration").await;
    pod.is_ready().await;
    assert_eq!(
        send(&pod, "/shop/orders", KEY, "1").await,
        Some(StatusCode::ACCEPTED)
    );
}
