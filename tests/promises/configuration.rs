//! The configuration path: what is set at the controller is what gateway pods serve, whatever
//! happens to either of them or to what is between.

mod captures;
mod convergence;
pub mod entries;
mod hand_over;
mod latency;
mod leaders;
mod mistakes;
mod reports;
mod restarts;
mod serving;

use axum::http::StatusCode;
use serde_json::json;

use crate::support::app::hmac_sha256_hex;
use crate::support::gateway::Gateway;

/// Sends an event to a path, signed with a key; the status of the answer, `None` where there is none.
pub async fn send(pod: &Gateway, path: &str, key: &str, id: &str) -> Option<StatusCode> {
    let body = json!({"id": id}).to_string();
    let request = pod
        .client
        .post(pod.url(path))
        .header("content-type", "application/json")
        .header("x-signature", hmac_sha256_hex(key, body.as_bytes()))
        .timeout(std::time::Duration::from_secs(30))
        .body(body);
    request.send().await.ok().map(|answer| answer.status())
}
