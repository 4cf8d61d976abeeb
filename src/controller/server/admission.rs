//! `POST /v1/admission`: what the API server asks before it takes an object. Every controller answers,
//! whoever leads, and whoever asks: nothing in the answer is anything but what was sent.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Json;
use serde_json::Value;

use super::super::admission;
use super::refusal::Refusal;
use super::{Shared, read_up_to};

/// Bytes of a review: the API server takes objects of up to 3 MiB, and sends the former one along.
const MOST_BYTES: usize = 7 << 20;

pub async fn review(State(shared): State<Arc<Shared>>, body: Body) -> Result<Json<Value>, Refusal> {
    // What is in memory, and how many cores are busy with it, is bounded.
    let _place = shared
        .admissions
        .acquire()
        .await
        .map_err(|_| Refusal::Body)?;
    let review: Value = read_up_to(body, MOST_BYTES, shared.bounds.header_timeout).await?;
    let answer = tokio::task::spawn_blocking(move || admission::review(&review)).await;
    let answer = answer.ok().flatten();
    answer.map(Json).ok_or(Refusal::Body)
}
