//! What a rollout needs to know: who needs a turn, who holds one, and how it went.
//!
//! Only changes of registrations that stand take turns; first registrations, renewals and
//! restorations do not. Which subscription gets a turn, and when a rollout stops, is decided
//! elsewhere.

use jiff::Timestamp;

use super::advance::{Need, needs_another};
use super::backoff::is_due;
use crate::provision::Desired;
use crate::provision::record::{Phase, Record};

/// How the change of a subscription went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RolloutResult {
    /// The changed registration is active.
    Succeeded,
    /// A try failed; it is tried again, with a turn.
    Failed,
}

/// Whether the subscription could begin, or try again, to change what stands, if it had a turn.
#[must_use]
pub fn needs_turn(record: &Record, desired: &Desired, now: Timestamp) -> bool {
    let Some(current) = record.current() else {
        return false;
    };
    if !is_due(record.making.as_ref(), now) {
        return false;
    }
    match current.phase {
        Phase::Waiting | Phase::Preparing { .. } => current.is_change,
        Phase::Active => {
            needs_another(&desired.inputs, current, desired, now) == Some(Need::Change)
        }
        _ => false,
    }
}

/// Whether the subscription is changing what stands, and so holds a turn. While it waits to try
/// again it holds none: a few that cannot be changed do not keep the others from it.
#[must_use]
pub fn is_changing(record: &Record, now: Timestamp) -> bool {
    record.current().is_some_and(|current| {
        current.is_change && current.phase != Phase::Active && is_due(record.making.as_ref(), now)
    })
}

/// What storing `after` in place of `before` means for the rollout.
#[must_use]
pub fn rollout_result(before: &Record, after: &Record) -> Option<RolloutResult> {
    let changing = before.current().filter(|current| current.is_change)?;
    let failures = |record: &Record| record.making.as_ref().map_or(0, |trouble| trouble.failures);
    let is_active = after
        .registration(changing.number)
        .is_some_and(|it| it.is_active() && !it.is_change);
    if is_active && after.making.is_none() {
        Some(RolloutResult::Succeeded)
    } else if failures(after) > failures(before) {
        Some(RolloutResult::Failed)
    } else {
        None
    }
}
