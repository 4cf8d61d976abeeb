//! Sending events as apps do: signed, tried again, and given up as real providers give up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Hook, Sent, Shared};
use crate::support::app::hmac_sha256_hex;

/// An event is tried so often.
const TRIES: u32 = 10;

/// Failures in a row that make the app give up a webhook, as Shopify does.
const FAILURES: u32 = 8;

/// 4xx in a row that do, as GitLab does.
const CLIENT_ERRORS: u32 = 4;

/// The pause after the first try; it doubles up to a second.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn send(shared: &Arc<Shared>, tenant: &str, event_id: &str) -> usize {
    let hooks = shared.state().ledger.live(tenant);
    let wanted: Vec<Hook> = hooks
        .into_iter()
        .filter(|hook| hook.is_enabled && hook.disabled.is_none())
        .collect();
    for hook in &wanted {
        let (shared, hook, event_id) = (Arc::clone(shared), hook.clone(), event_id.to_owned());
        *{ shared.state() }
            .on_their_way
            .entry(hook.tenant.clone())
            .or_default() += 1;
        tokio::spawn(async move {
            deliver(&shared, &hook, &event_id).await;
            *{ shared.state() }
                .on_their_way
                .get_mut(&hook.tenant)
                .unwrap() -= 1;
        });
    }
    wanted.len()
}

/// Tells every webhook of a tenant something about itself, once; the answers' statuses.
pub(super) async fn notify(shared: &Arc<Shared>, tenant: &str, what: &str) -> Vec<Option<u16>> {
    let hooks = shared.state().ledger.live(tenant);
    let mut statuses = Vec::new();
    for hook in hooks {
        let body = json!({"lifecycle": what}).to_string();
        let answer = signed(shared, &hook, body).send().await;
        statuses.push(answer.ok().map(|answer| answer.status().as_u16()));
    }
    statuses
}

fn signed(shared: &Shared, hook: &Hook, body: String) -> reqwest::RequestBuilder {
    let signature = hmac_sha256_hex(&hook.secret, body.as_bytes());
    let request = shared.client.post(&hook.target);
    let request = request.header("x-signature", format!("sha256={signature}"));
    request
        .header("content-type", "application/json")
        .body(body)
}

async fn deliver(shared: &Shared, hook: &Hook, event_id: &str) {
    let body = json!({"id": event_id, "tenant": hook.tenant}).to_string();
    let is_patient = shared.moods(&hook.tenant).is_patient;
    let mut tries = 0;
    while tries < TRIES {
        let pauses = shared.state().pauses;
        if pauses % 2 == 1 {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let request = signed(shared, hook, body.clone());
        let answer = request.send().await;
        let status = answer.ok().map(|answer| answer.status().as_u16());
        {
            let mut state = shared.state();
            state.ledger.note(Sent {
                tenant: hook.tenant.clone(),
                event_id: event_id.to_owned(),
                hook: hook.id.clone(),
                target: hook.target.clone(),
                at: Instant::now(),
                status,
            });
            state.ledger.expire();
            let is_cut_off = status.is_none() && state.pauses != pauses;
            let Some(hook) = state.ledger.get(&hook.id) else {
                return;
            };
            // Nobody is told of events that a removed webhook would have got.
            if hook.ended.is_some() {
                return;
            }
            if !is_cut_off {
                judge(hook, status);
                tries += 1;
            }
            if hook.disabled.is_some() || matches!(status, Some(200..300)) {
                return;
            }
        }
        let pause = if is_patient {
            PAUSE * 2u32.pow(tries)
        } else {
            (PAUSE * 2u32.pow(tries.saturating_sub(1).min(4))).min(Duration::from_secs(1))
        };
        tokio::time::sleep(pause).await;
    }
}

/// Takes note of an answer.
fn judge(hook: &mut Hook, status: Option<u16>) {
    match status {
        Some(200..300) => (hook.failures, hook.client_errors) = (0, 0),
        Some(400..500) => {
            hook.failures += 1;
            hook.client_errors += 1;
        }
        _ => {
            hook.failures += 1;
            hook.client_errors = 0;
        }
    }
    if matches!(status, Some(404 | 410)) {
        hook.disabled = Some(format!("it answered {status:?}"));
    } else if hook.client_errors >= CLIENT_ERRORS {
        hook.disabled = Some("four 4xx in a row".to_owned());
    } else if hook.failures >= FAILURES {
        hook.disabled = Some("eight failures in a row".to_owned());
    }
}
