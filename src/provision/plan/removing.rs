//! Removing a registration, and listing what cannot be removed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::backoff::later;
use super::rules;
use crate::api::{DeletionPolicy, LifecycleAction};
use crate::provision::Inputs;
use crate::provision::record::{
    Departure, KnownOfOrphan, Leaving, LeftBehind, Orphan, OrphanReason, Phase, Record,
    Registration, Removed,
};

/// How long the URI of a removed registration answers 410.
pub(in crate::provision) const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// How many removed registrations are remembered at most. An app that fails for weeks takes a new
/// number every ten minutes; the oldest of them will not be called any more.
const MOST_REMEMBERED: usize = 1_000;

/// After so many failures in a row a removal no longer keeps a new registration from being made.
const UNBLOCKED_AFTER: u32 = 3;

/// So often removing is tried at least before it is given up: a process that was down for longer
/// than `giveUpAfter` has not tried for that long.
const FEWEST_TRIES: u32 = 3;

/// A registration is to go: at once where it is known what there is to remove.
pub(super) fn leave(record: &mut Record, number: u32, why: Departure, now: Timestamp) {
    let inputs = Arc::clone(&record.inputs);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    if registration.leaving.is_some() {
        return;
    }
    registration.leaving = Some(Leaving { since: now, why });
    registration.is_change = false;
    match registration.phase {
        // Nothing was sent that could have made it.
        Phase::Preparing { .. } | Phase::Waiting => drop(record, number, now),
        Phase::FollowingUp { .. } | Phase::AwaitingSecret { .. } | Phase::Active => {
            depart(record, number, now);
        }
        Phase::Unsure if !rules::removal_needs_answer(&inputs.subscription) => {
            depart(record, number, now);
        }
        // What there is to remove must be found out first.
        Phase::Subscribing | Phase::Unsure | Phase::Resolving(_) => {}
        Phase::Removing { .. } => {}
    }
}

/// A registration that is to go and that the app has, or may have: its removal begins, or it is listed.
pub(super) fn depart(record: &mut Record, number: u32, now: Timestamp) {
    let inputs = Arc::clone(&record.inputs);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    let why = registration.leaving.as_ref().map(|leaving| leaving.why);
    // What was set again since, with an answer that was lost, may be there all the same.
    let may_be_back = registration.request_hash.is_empty();
    if registration.notice == Some(LifecycleAction::Gone) && !may_be_back {
        drop(record, number, now);
    } else if why == Some(Departure::Unwanted) && inputs.deletion_policy == DeletionPolicy::Orphan {
        leave_behind(record, number, OrphanReason::Policy, now);
    } else if inputs.subscription.unsubscribe.is_none() {
        leave_behind(record, number, OrphanReason::NoUnsubscribe, now);
    } else {
        registration.trouble = None;
        registration.phase = Phase::Removing { next: 0 };
    }
}

/// Whether finding out about a registration that is to go, or removing it, was tried for too long.
pub(super) fn is_hopeless(record: &Record, number: u32, now: Timestamp) -> bool {
    let Some(registration) = record.registration(number) else {
        return false;
    };
    let Some(unsubscribe) = &record.inputs.subscription.unsubscribe else {
        return registration.trouble.is_some();
    };
    let give_up_after = unsubscribe.give_up_after().duration();
    let trouble = registration.trouble.as_ref();
    trouble.is_some_and(|trouble| {
        trouble.failures >= FEWEST_TRIES && later(trouble.since, give_up_after) <= now
    })
}

/// The end of a registration that is not at the app: its URI answers 410 from here on.
pub(super) fn drop(record: &mut Record, number: u32, now: Timestamp) {
    let Some(at) = record
        .registrations
        .iter()
        .position(|it| it.number == number)
    else {
        return;
    };
    let registration = record.registrations.remove(at);
    // The URI of a twin is that of another registration, and goes with that one.
    if registration.twin_of.is_none() && registration.webhook_uri.is_some() {
        record.removed.push(Removed {
            number,
            path: registration.path,
            at: now,
        });
    }
    forget_old(record, now);
}

/// The end of a registration that may still stand at the app: it is listed, and its URI goes on
/// being served. It was not removed, so an app that calls it is told nothing else.
///
/// Its events count while nothing else brings them: an attempt whose answer was lost may be the only
/// one that stands for a while. What they bring twice, once another one stands, is recognised by
/// their ids as in an overlap.
pub(super) fn leave_behind(record: &mut Record, number: u32, why: OrphanReason, now: Timestamp) {
    list_orphan(record, number, why, now);
    let Some(at) = record
        .registrations
        .iter()
        .position(|it| it.number == number)
    else {
        return;
    };
    if why == OrphanReason::Conflict && !record.registrations[at].attempt.repeated {
        // This number made nothing.
        drop(record, number, now);
        return;
    }
    let registration = record.registrations.remove(at);
    if registration.webhook_uri.is_none() {
        return;
    }
    let known = counts(&record.inputs, &registration).then(|| KnownOfOrphan {
        id: registration.id.clone(),
        values: registration.values.clone(),
        signing_secret: registration.signing_secret.clone(),
    });
    for path in registration
        .former_path
        .into_iter()
        .chain([registration.path])
    {
        record.left_behind.push(LeftBehind {
            number,
            path,
            known: known.clone(),
        });
    }
    let too_many = record.left_behind.len().saturating_sub(MOST_REMEMBERED);
    record.left_behind.drain(..too_many);
}

/// Whether what an orphan sends is wanted, and can be told from what anybody else sends.
fn counts(inputs: &Inputs, registration: &Registration) -> bool {
    let is_over = registration
        .leaving
        .as_ref()
        .is_some_and(|leaving| matches!(leaving.why, Departure::Unwanted | Departure::Replaced));
    let secret = inputs.subscription.signing_secret.as_ref();
    let from_app = secret
        .is_some_and(|secret| secret.from_response.is_some() || secret.from_handshake.is_some());
    !is_over && (!from_app || registration.signing_secret.is_some())
}

/// Forgets the removed registrations whose time is over, and the oldest of too many.
pub(super) fn forget_old(record: &mut Record, now: Timestamp) {
    record
        .removed
        .retain(|removed| now < later(removed.at, REMEMBERED));
    let too_many = record.removed.len().saturating_sub(MOST_REMEMBERED);
    record.removed.drain(..too_many);
}

/// Lists what stands at the app, or may, and cannot be removed. Several in a row whose answers were
/// lost are one entry: an app that fails for weeks does not make the list endless.
pub(super) fn list_orphan(record: &mut Record, number: u32, why: OrphanReason, now: Timestamp) {
    let Some(registration) = record.registration(number) else {
        return;
    };
    let id = registration.id.clone();
    if why == OrphanReason::Conflict && !registration.attempt.repeated {
        // The first request for this number was refused, so this number made nothing: what exists
        // is something older. One entry tells of it.
        if record
            .orphans
            .iter()
            .any(|orphan| orphan.why == why && orphan.id.is_none())
        {
            return;
        }
    }
    let request = registration.request.clone();
    if let Some(last) = record.orphans.last_mut()
        && id.is_none()
        && last.id.is_none()
        && last.why == why
        && last.last_number.checked_add(1) == Some(number)
    {
        last.last_number = number;
        return;
    }
    record.orphans.push(Orphan {
        number,
        last_number: number,
        id,
        request,
        why,
        since: now,
    });
}

/// Whether what is to go keeps a new registration from being made: one after the other, unless
/// removing does not succeed. In place always, because removing could undo what is then made.
pub(super) fn blocks_making(record: &Record) -> bool {
    let in_place = rules::is_in_place(&record.inputs.subscription);
    let mut leaving = record
        .registrations
        .iter()
        .filter(|registration| registration.leaving.is_some());
    leaving.any(|registration| {
        let trouble = registration.trouble.as_ref();
        let is_stuck = matches!(registration.phase, Phase::Removing { .. })
            && trouble.is_some_and(|trouble| trouble.failures >= UNBLOCKED_AFTER);
        in_place || !is_stuck
    })
}
