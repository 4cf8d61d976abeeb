//! Clocks that were set back: what the record says of the past must not lie in the future, or a
//! wait would last as long as the clock was wrong.
//!
//! Renewals and expiries are the app's times, so they stay as they are.

use std::time::Duration;

use jiff::Timestamp;

use super::backoff::{LONGEST_ASKED, later};
use super::making::{HANDSHAKE_WAIT, window};
use crate::provision::Record;
use crate::provision::record::{Phase, Search, Trouble};

/// The longest wait that a failure can have led to, and a little for the jitter.
const LONGEST_RETRY: Duration = LONGEST_ASKED.saturating_add(Duration::from_secs(60));

/// Moves what lies in an impossible future to where it can be waited for.
pub(super) fn mend(record: &mut Record, now: Timestamp) {
    let inputs = record.inputs.clone();
    trouble(&mut record.making, now);
    trouble(&mut record.watch.trouble, now);
    search(&mut record.watch.search, now);
    past(&mut record.watch.found_at, now);
    past(&mut record.last_event_at, now);
    for removed in &mut record.removed {
        removed.at = removed.at.min(now);
    }
    for registration in &mut record.registrations {
        trouble(&mut registration.trouble, now);
        past(&mut registration.since, now);
        past(&mut registration.renewed_at, now);
        if let Some(leaving) = &mut registration.leaving {
            leaving.since = leaving.since.min(now);
        }
        match &mut registration.phase {
            // When it began stays as it is: it is what tells one sending from another.
            Phase::Subscribing => {
                let latest = window(&inputs.subscription, now).1;
                registration.attempt.deadline = registration.attempt.deadline.min(latest);
            }
            Phase::Resolving(it) => search(it, now),
            Phase::AwaitingSecret { until } => *until = (*until).min(later(now, HANDSHAKE_WAIT)),
            _ => {}
        }
    }
}

fn trouble(trouble: &mut Option<Trouble>, now: Timestamp) {
    if let Some(trouble) = trouble {
        trouble.since = trouble.since.min(now);
        if trouble.retry_at > later(now, LONGEST_RETRY) {
            trouble.retry_at = now;
        }
    }
}

fn search(search: &mut Search, now: Timestamp) {
    past(&mut search.empty_at, now);
}

fn past(time: &mut Option<Timestamp>, now: Timestamp) {
    if let Some(time) = time {
        *time = (*time).min(now);
    }
}
