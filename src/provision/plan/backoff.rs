//! How long to wait after a failure: exponential backoff with full jitter, and what the app asks for.

use std::time::Duration;

use jiff::Timestamp;

use crate::provision::Outcome;
use crate::provision::record::{Trouble, TroubleKind};

/// The least time between a failure and the next try.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time that we choose by ourselves: an app that is back is noticed within it.
const LONGEST: Duration = Duration::from_mins(10);
/// Where waiting begins after a refusal: the app understood, so the next answer will most likely
/// be the same until somebody changes something.
const FIRST_AFTER_REFUSAL: Duration = Duration::from_secs(30);
/// The longest time that an app may ask for: more would be a way to switch a subscription off.
pub(super) const LONGEST_ASKED: Duration = Duration::from_hours(1);

/// One failure.
pub(super) struct Failure<'a> {
    pub kind: TroubleKind,
    pub error: &'a str,
    pub retry_after: Option<Duration>,
}

impl<'a> Failure<'a> {
    /// The failure that an outcome is, if it is one.
    pub fn of(outcome: &'a Outcome) -> Option<Self> {
        let (kind, error, retry_after) = match outcome {
            Outcome::Succeeded(_) | Outcome::Found { .. } => return None,
            Outcome::Conflict(error) => (TroubleKind::Refused, error.as_str(), None),
            Outcome::Gone => (
                TroubleKind::Refused,
                "the app says that it is not there",
                None,
            ),
            Outcome::Refused { error, retry_after } => {
                (TroubleKind::Refused, error.as_str(), *retry_after)
            }
            Outcome::NotSent { error, retry_after } => {
                (TroubleKind::NotSent, error.as_str(), *retry_after)
            }
            Outcome::Unknown { error, retry_after } => {
                (TroubleKind::NoAnswer, error.as_str(), *retry_after)
            }
        };
        Some(Self {
            kind,
            error,
            retry_after,
        })
    }
}

/// Counts one more failure, and says when the next try is.
pub(super) fn fail(
    trouble: &mut Option<Trouble>,
    failure: &Failure<'_>,
    now: Timestamp,
    jitter: f64,
) {
    let failures = trouble
        .as_ref()
        .map_or(0, |trouble| trouble.failures)
        .saturating_add(1);
    // "Come back later" is a refusal too, but says nothing about the next try.
    let is_refusal = failure.kind == TroubleKind::Refused && failure.retry_after.is_none();
    let refusals = match trouble {
        Some(trouble) if is_refusal => trouble.refusals.saturating_add(1),
        _ => u32::from(is_refusal),
    };
    let since = trouble.as_ref().map_or(now, |trouble| trouble.since);
    let wait = wait(failures, is_refusal, failure.retry_after, jitter);
    *trouble = Some(Trouble {
        failures,
        refusals,
        since,
        retry_at: later(now, wait),
        kind: failure.kind,
        error: failure.error.to_owned(),
    });
}

/// Whether the next try is due.
pub(super) fn is_due(trouble: Option<&Trouble>, now: Timestamp) -> bool {
    trouble.is_none_or(|trouble| trouble.retry_at <= now)
}

fn wait(failures: u32, is_refusal: bool, asked: Option<Duration>, jitter: f64) -> Duration {
    let first = if is_refusal {
        FIRST_AFTER_REFUSAL
    } else {
        SHORTEST
    };
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    let most = first.saturating_mul(factor).min(LONGEST);
    let chosen = most.mul_f64(jitter.clamp(0.0, 1.0)).max(SHORTEST);
    match asked {
        // Many were told the same at the same moment, so they come back spread out.
        Some(asked) => asked
            .min(LONGEST_ASKED)
            .saturating_add(SHORTEST.mul_f64(jitter.clamp(0.0, 1.0)))
            .max(chosen),
        None => chosen,
    }
}

/// A time later on; the end of time where there is none.
pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}
