//! What the promises are tested with: the real process, sinks that behave as told, an app that
//! signs its requests.

#![allow(dead_code, reason = "not every promise needs every helper")]

pub mod api_server;
pub mod app;
pub mod collector;
pub mod command;
pub mod controller;
pub mod dev;
pub mod gateway;
pub mod model_app;
pub mod signatures;
pub mod sink;

use std::time::{Duration, Instant};

/// How long anything that must happen may take on a busy machine, where everything may stand still
/// for a while. What vanished at an app is made anew a minute after it was made at the soonest.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within [`PATIENCE`]; `what` says what was waited for.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
