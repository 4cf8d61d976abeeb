//! The admin listener: probes, metrics, and what a person needs to find out why an event did not
//! arrive. Never public.
//!
//! It has no users and no passwords: who reaches it may use it, as with a kubelet's local ports.
//! So `/v1` guards against the one stranger who could reach a loopback port, a web page in the
//! user's own browser: it answers only to the host names of this machine, which defeats DNS
//! rebinding, and changes anything only for `application/json`, which a page of another origin
//! may not send.
//!
//! In a pod probes and metrics are on the pod's address, and `/v1` on loopback alone.

mod guard;
mod lists;
mod replays;
mod shown;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::UpstreamSubscriptions;
use super::ingest::Ingest;
use super::leaving::Leaving;
use super::problem::{Problem, harden};
use super::store::StoreError;
use crate::delivery::Delivery;
use crate::delivery::dead_letters::DeadLetters;

/// What the admin API tells of.
pub struct Admin {
    /// The ingest side.
    pub ingest: Arc<Ingest>,
    /// The delivery side.
    pub delivery: Delivery,
    /// What was not delivered.
    pub dead_letters: DeadLetters,
    /// All metrics of the process.
    pub registry: Registry,
    /// Whether the gateway is being shut down.
    pub draining: Arc<AtomicBool>,
    /// The subscriptions at apps, where this process makes them.
    pub upstream: Arc<OnceLock<Arc<dyn UpstreamSubscriptions>>>,
}

/// Largest body of a request to the admin API.
const MOST_BODY_BYTES: usize = 256 * 1024;

/// Probes and metrics: what a kubelet and a scraper ask for, under whatever host name.
pub fn probes(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// What is for people. `address` is the listener's own, as a `Host` that is accepted.
pub fn api(admin: Arc<Admin>, address: SocketAddr) -> Router {
    Router::new()
        .route("/v1/requests", get(lists::requests))
        .route("/v1/events", get(lists::events))
        .route("/v1/dead-letters", get(lists::letters))
        .route("/v1/dead-letters/{id}", get(lists::letter))
        .route("/v1/subscriptions", get(lists::subscriptions))
        .route("/v1/event-types", get(lists::event_types))
        .route("/v1/replays", post(replays::begin).get(replays::list))
        .layer(from_fn(guard::only_json))
        .layer(from_fn_with_state(address, guard::own_host))
        .with_state(admin)
}

/// What a listener of one of the above, or both, serves.
pub fn hardened(router: Router) -> Router {
    router
        .fallback(|| async {
            refused(Problem::new(
                StatusCode::NOT_FOUND,
                "the admin API has nothing here",
            ))
        })
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(map_response(harden_answer))
}

async fn harden_answer(mut response: Response) -> Response {
    harden(response.headers_mut());
    response
}

/// A refusal as an answer of this router.
fn refused(problem: Problem) -> Response {
    problem.into_response().into_response()
}

/// Why the gateway cannot take requests, in words.
fn reasons(admin: &Admin) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if admin.draining.load(Ordering::Relaxed) {
        reasons.push("the gateway is shutting down");
    }
    if admin.ingest.leaving.now() != Leaving::No {
        reasons.push("this pod hands over what it has, and goes");
    }
    if admin.ingest.snapshot.load().is_none() {
        reasons.push("there is no configuration yet");
    }
    match admin.ingest.store.trouble() {
        None => {}
        Some(StoreError::Full | StoreError::TooLarge) => reasons.push("the event log is full"),
        Some(StoreError::Failed) => {
            reasons
                .push("the storage failed; the gateway must be restarted on a storage that works");
        }
    }
    reasons
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    #[derive(Serialize)]
    struct Readiness {
        ready: bool,
        reasons: Vec<&'static str>,
    }
    let reasons = reasons(&admin);
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Readiness { ready, reasons })).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut text = String::with_capacity(16 * 1024);
    if prometheus_client::encoding::text::encode(&mut text, &admin.registry).is_err() {
        let detail = "the metrics could not be written";
        return refused(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail));
    }
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, openmetrics)], text).into_response()
}
