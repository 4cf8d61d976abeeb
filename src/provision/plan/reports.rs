//! What the gateway's reports make of a record: what handshakes bring, notices, events.

use std::time::Duration;

use jiff::Timestamp;

use super::{making, removing, rules};
use crate::api::LifecycleAction;
use crate::configuration::{CaptureAnswer, Captured};
use crate::provision::record::{LeftBehind, Orphan, Phase, Record, Removed};

/// How far behind the time of the last event may be: it is not worth a write for every event.
const EVENT_TIME_STEP: Duration = Duration::from_hours(1);

/// A handshake gave something to keep for a registration.
///
/// The first value wins, the same again is taken again, another is refused. What is returned is to
/// be stored, and to be live in the gateway, before the answer is given; without a record there is
/// nothing to store.
#[must_use]
pub fn captured(
    record: &Record,
    number: u32,
    captured: &Captured,
    now: Timestamp,
) -> (CaptureAnswer, Option<Record>) {
    let Captured {
        signing_secret,
        expires_at,
    } = captured;
    let Some(registration) = record.registration(number) else {
        return (CaptureAnswer::Closed, None);
    };
    if !rules::capture_is_open(registration, now) {
        return (CaptureAnswer::Closed, None);
    }
    match (signing_secret, &registration.signing_secret) {
        (Some(new), _) if new.is_empty() => return (CaptureAnswer::Refused, None),
        (Some(new), Some(known)) if new != known => return (CaptureAnswer::Refused, None),
        (Some(_), Some(_)) | (None, _) if registration.captured_at.is_some() => {
            return (CaptureAnswer::Taken, None);
        }
        _ => {}
    }
    let mut next = record.clone();
    let Some(registration) = next.registration_mut(number) else {
        return (CaptureAnswer::Closed, None);
    };
    registration.captured_at = Some(now);
    if registration.signing_secret.is_none() {
        registration.signing_secret.clone_from(signing_secret);
    }
    if let Some(expires_at) = *expires_at {
        registration.expires_at = Some(expires_at);
        if let Some(since) = registration.since {
            registration.renew_at =
                rules::renew_at(&record.inputs.subscription, since, Some(expires_at), 0.0);
        }
    }
    let has_secret = registration.signing_secret.is_some();
    if has_secret && matches!(registration.phase, Phase::AwaitingSecret { .. }) {
        making::followed_up(&mut next, number, now);
    }
    (CaptureAnswer::Taken, Some(next))
}

/// The app gave notice about a registration. The record to store, if that changes anything.
#[must_use]
pub fn noticed(record: &Record, number: u32, action: LifecycleAction) -> Option<Record> {
    let registration = record.registration(number)?;
    let weight = |action: LifecycleAction| match action {
        LifecycleAction::Renew => 1,
        LifecycleAction::Resubscribe => 2,
        LifecycleAction::Gone => 3,
    };
    // What is being removed anyway, and what is not at the app yet, needs no notice.
    let stands = registration.leaving.is_none() && registration.since.is_some();
    let is_more = registration
        .notice
        .is_none_or(|known| weight(known) < weight(action));
    if !stands || !is_more {
        return None;
    }
    let mut next = record.clone();
    next.registration_mut(number)?.notice = Some(action);
    Some(next)
}

/// Somebody has removed at the app what was listed there until then. The record to store, if that is anything.
#[must_use]
pub fn orphans_removed(record: &Record, until: Timestamp, now: Timestamp) -> Option<Record> {
    let (removed, left): (Vec<Orphan>, Vec<Orphan>) = record
        .orphans
        .iter()
        .cloned()
        .partition(|orphan| orphan.since <= until);
    if removed.is_empty() {
        return None;
    }
    let mut next = record.clone();
    next.orphans = left;
    let is_removed = |number: u32| {
        let mut removed = removed.iter();
        removed.any(|orphan| (orphan.number..=orphan.last_number).contains(&number))
    };
    let (gone, left_behind): (Vec<LeftBehind>, Vec<LeftBehind>) = next
        .left_behind
        .drain(..)
        .partition(|left| is_removed(left.number));
    next.left_behind = left_behind;
    // What the app sends nevertheless is told that it is gone, as after any removal.
    next.removed.extend(gone.into_iter().map(|gone| Removed {
        number: gone.number,
        path: gone.path,
        at: now,
    }));
    removing::forget_old(&mut next, now);
    Some(next)
}

/// An authenticated request came in. The record to store, if the time it knows is too far behind.
#[must_use]
pub fn received(record: &Record, at: Timestamp) -> Option<Record> {
    if let Some(last) = record.last_event_at
        && at < super::backoff::later(last, EVENT_TIME_STEP)
    {
        return None;
    }
    let mut next = record.clone();
    next.last_event_at = Some(at);
    Some(next)
}
