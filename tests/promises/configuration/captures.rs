//! A secret that a handshake brings to one pod is live at the other before the app is answered: its
//! first event may come there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::http::StatusCode;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tidegate::api::LifecycleAction;
use tidegate::configuration::{CaptureAnswer, Captured, NotStored, Reports};
use tidegate::controller::hub::Hub;
use tidegate::event::ObjectName;
use tidegate::provision::store::Publish as _;

use super::entries::{captured, configuration, path, registration};
use super::send;
use crate::support::controller::Controller;
use crate::support::eventually;
use crate::support::gateway::Gateway;

/// Keeps what is captured, and has it made live, as whoever provisions does.
struct Provisioning {
    hub: Hub,
    kept: Mutex<HashMap<u32, String>>,
}

impl Provisioning {
    async fn capture(&self, number: u32, what: Captured) -> CaptureAnswer {
        let secret = what.signing_secret.unwrap();
        let secret = String::from_utf8(secret.expose().to_vec()).unwrap();
        let first = {
            let mut kept = self.kept.lock().unwrap();
            kept.entry(number).or_insert_with(|| secret.clone()).clone()
        };
        if first != secret {
            return CaptureAnswer::Refused;
        }
        match self.hub.publish(vec![captured(number, &secret)]).await {
            Ok(()) => CaptureAnswer::Taken,
            Err(_) => CaptureAnswer::Unavailable,
        }
    }
}

impl Reports for Provisioning {
    fn captured<'a>(
        &'a self,
        _: &'a ObjectName,
        number: u32,
        captured: Captured,
    ) -> BoxFuture<'a, CaptureAnswer> {
        Box::pin(self.capture(number, captured))
    }

    fn noticed<'a>(
        &'a self,
        _: &'a ObjectName,
        _: u32,
        _: LifecycleAction,
    ) -> BoxFuture<'a, Result<(), NotStored>> {
        Box::pin(std::future::ready(Err(NotStored)))
    }

    fn received(&self, _: &ObjectName, _: u32, _: Timestamp) {}
}

/// What a handshake that brings a secret is answered with.
async fn shake(pod: &Gateway, number: u32, secret: &str) -> StatusCode {
    let request = pod.client.post(pod.url(&path(number)));
    let answer = request
        .header("x-hook-secret", secret)
        .send()
        .await
        .unwrap();
    answer.status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_captured_at_one_pod_is_live_at_the_other_before_the_answer() {
    let mut controller = Controller::start(1).await;
    controller.hub().report_to(Arc::new(Provisioning {
        hub: controller.hub().clone(),
        kept: Mutex::default(),
    }));
    controller.set(configuration());
    let pods = [
        Gateway::start(&controller, "pod-0").await,
        Gateway::start(&controller, "pod-1").await,
    ];
    eventually("both have all", async || controller.is_taken_by(2)).await;
    let mut times = Vec::new();
    for number in 1..=100_u32 {
        let secret = format!("secret-{number}");
        let (here, there) = match number % 2 {
            0 => (&pods[0], &pods[1]),
            _ => (&pods[1], &pods[0]),
        };
        controller
            .hub()
            .publish(vec![registration(number, None)])
            .await
            .unwrap();
        // Nobody knows the secret yet: the fault is ours.
        let early = send(there, &path(number), &secret, "early").await;
        assert_eq!(early, Some(StatusCode::SERVICE_UNAVAILABLE));
        let began = Instant::now();
        assert_eq!(
            shake(here, number, &secret).await,
            StatusCode::OK,
            "{number}"
        );
        times.push(began.elapsed());
        let first = send(there, &path(number), &secret, "1").await;
        assert_eq!(first, Some(StatusCode::ACCEPTED), "{number}");
        let wrong = send(there, &path(number), "another", "2").await;
        assert_eq!(wrong, Some(StatusCode::UNAUTHORIZED));
    }
    times.sort();
    println!(
        "a capture took {:?} (p50), {:?} (p99)",
        times[50], times[98]
    );

    // A pod that does not take it: nothing is answered that does not hold everywhere.
    let frozen = rustix::process::Pid::from_raw(pods[1].pid().cast_signed()).unwrap();
    controller
        .hub()
        .publish(vec![registration(101, None)])
        .await
        .unwrap();
    rustix::process::kill_process(frozen, rustix::process::Signal::STOP).unwrap();
    // Its threads go on for a moment; it is told as stopped when none does.
    let stopped = rustix::process::WaitOptions::UNTRACED;
    let (_, status) = { rustix::process::waitpid(Some(frozen), stopped) }
        .unwrap()
        .unwrap();
    assert!(status.stopped(), "{status:?}");
    let answer = shake(&pods[0], 101, "late").await;
    rustix::process::kill_process(frozen, rustix::process::Signal::CONT).unwrap();
    assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
    eventually("it is taken once the other one can", async || {
        shake(&pods[0], 101, "late").await == StatusCode::OK
    })
    .await;

    // While nobody is there to keep it, nothing is captured.
    controller.stop().await;
    eventually("the pod knows that it may be behind", async || {
        shake(&pods[0], 102, "x").await == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
}
