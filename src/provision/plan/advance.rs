//! What becomes of the record without any request: new inputs, a changed wish, and the time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::backoff::{is_due, later};
use super::{Context, Turn, clock, is_same_try, making, removing, rules};
use crate::api::LifecycleAction;
use crate::provision::record::{Departure, OrphanReason, Phase, Record, Registration};
use crate::provision::{Desired, Inputs};

/// A registration that is younger than this is not replaced because of a notice: an app that gives
/// notice of every new registration would otherwise be asked without pause.
pub(super) const NOTICE_PAUSE: Duration = Duration::from_secs(60);

/// Brings the record up to date, as far as that needs no request. Called until nothing changes.
pub(super) fn advance(record: &mut Record, desired: Option<&Desired>, context: &Context<'_>) {
    let now = context.now;
    clock::mend(record, now);
    match desired {
        Some(desired) => follow(record, desired, context),
        None => {
            // Nobody waits for what orphans send, and their secrets are of no use any more.
            for left in &mut record.left_behind {
                left.known = None;
            }
            for number in numbers(record) {
                if let Some(registration) = record.registration(number)
                    && is_unsent(registration, context)
                    && !registration.attempt.repeated
                {
                    withdraw(record, number, now);
                }
                removing::leave(record, number, Departure::Unwanted, now);
            }
        }
    }
    for number in numbers(record) {
        pass_time(record, number, context);
    }
    match desired {
        Some(desired) => stand(record, desired, context),
        None => retire(record),
    }
}

fn numbers(record: &Record) -> Vec<u32> {
    record
        .registrations
        .iter()
        .map(|registration| registration.number)
        .collect()
}

/// Whether the attempt of a registration is stored, and surely not sent.
fn is_unsent(registration: &Registration, context: &Context<'_>) -> bool {
    registration.phase == Phase::Subscribing
        && context
            .unsent
            .is_some_and(|unsent| is_same_try(unsent, &registration.attempt))
}

/// An attempt that was not sent after all.
fn withdraw(record: &mut Record, number: u32, now: Timestamp) {
    if record
        .registration(number)
        .is_some_and(|registration| registration.since.is_some())
    {
        if let Some(registration) = record.registration_mut(number) {
            registration.phase = Phase::Active;
        }
    } else {
        making::is_not_there(record, number, now);
    }
}

/// Takes over what requests are made from. What was not sent yet asks for what is desired now.
fn follow(record: &mut Record, desired: &Desired, context: &Context<'_>) {
    if !Arc::ptr_eq(&record.inputs, &desired.inputs) && record.inputs != desired.inputs {
        record.inputs = Arc::clone(&desired.inputs);
    }
    for registration in &mut record.registrations {
        let is_unsent = is_unsent(registration, context)
            || matches!(registration.phase, Phase::Preparing { .. });
        if is_unsent && !registration.attempt.repeated {
            desired
                .request_hash
                .clone_into(&mut registration.attempt.request_hash);
        }
    }
}

/// What the time makes of one registration.
fn pass_time(record: &mut Record, number: u32, context: &Context<'_>) {
    let now = context.now;
    let inputs = Arc::clone(&record.inputs);
    let is_hopeless = removing::is_hopeless(record, number, now);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    let is_unsent = is_unsent(registration, context);
    match &registration.phase {
        Phase::Subscribing if is_unsent && !making::may_begin(&registration.attempt, now) => {
            let attempt = &mut registration.attempt;
            (attempt.started_at, attempt.deadline) = making::window(&inputs.subscription, now);
        }
        Phase::Subscribing if !is_unsent && registration.attempt.deadline <= now => {
            making::lost(record, number, now);
        }
        Phase::AwaitingSecret { until } if *until <= now => {
            let error = "the app did not send the handshake that brings the signing secret";
            making::start_over(record, number, error, now, context.seeds.jitter);
        }
        Phase::Unsure if registration.leaving.is_some() => {
            let is_due = is_due(registration.trouble.as_ref(), now);
            if is_hopeless {
                making::abandon(record, number, OrphanReason::GaveUp, now);
            } else if is_due {
                // Only the answer says what there is to remove.
                making::repeat(record, number, None, now);
            }
        }
        Phase::Resolving(_) | Phase::Removing { .. }
            if registration.leaving.is_some() && is_hopeless =>
        {
            making::abandon(record, number, OrphanReason::GaveUp, now);
        }
        _ => {}
    }
}

/// Sees to it that a registration stands, or is being made, as it is desired.
fn stand(record: &mut Record, desired: &Desired, context: &Context<'_>) {
    let now = context.now;
    let Some(current) = record.current() else {
        if is_due(record.making.as_ref(), now) && !removing::blocks_making(record) {
            making::create(record, desired, context, false);
        }
        return;
    };
    let number = current.number;
    if current.phase == Phase::Active
        && needs_another(&record.inputs, current, desired, now).is_none()
        && record.making.is_some()
    {
        // What failed is not wanted any more.
        record.making = None;
        if let Some(registration) = record.registration_mut(number) {
            registration.is_change = false;
        }
        return;
    }
    let is_needless = current.since.is_none()
        && matches!(current.phase, Phase::Preparing { .. } | Phase::Waiting)
        && record.serving().is_some_and(|serving| {
            serving.phase == Phase::Active
                && needs_another(&record.inputs, serving, desired, now).is_none()
        });
    if is_needless {
        // The one that stands is what is wanted after all, and nothing of this one is at the app.
        removing::drop(record, number, now);
        return;
    }
    if !is_due(record.making.as_ref(), now) {
        return;
    }
    match &current.phase {
        Phase::Waiting => {
            let has_turn = !current.is_change || context.turn == Turn::Granted;
            if has_turn && !removing::blocks_making(record) {
                making::reopen(record, number, desired, context);
            }
        }
        Phase::Unsure => {
            let in_place = rules::is_in_place(&desired.inputs.subscription);
            if in_place || current.attempt.request_hash == desired.request_hash {
                making::repeat(record, number, Some(&desired.request_hash), now);
            } else {
                // The same id with another content is not the same request any more.
                making::abandon(record, number, OrphanReason::AnswerLost, now);
            }
        }
        Phase::Active => replace(record, number, desired, context),
        Phase::Preparing { .. }
        | Phase::Subscribing
        | Phase::Resolving(_)
        | Phase::FollowingUp { .. }
        | Phase::AwaitingSecret { .. }
        | Phase::Removing { .. } => {}
    }
}

/// Makes a new registration, or sends the request again in place, where the one that stands will
/// not do any more.
fn replace(record: &mut Record, number: u32, desired: &Desired, context: &Context<'_>) {
    let Some(current) = record.registration(number) else {
        return;
    };
    let is_change = match needs_another(&record.inputs, current, desired, context.now) {
        Some(Need::Change) if context.turn == Turn::Granted => true,
        Some(Need::Restore) => false,
        Some(Need::Change) | None => return,
    };
    if rules::is_in_place(&record.inputs.subscription) {
        making::reopen(record, number, desired, context);
        if let Some(registration) = record.registration_mut(number) {
            registration.is_change = is_change;
        }
    } else if !removing::blocks_making(record) {
        making::create(record, desired, context, is_change);
    }
}

/// Why another registration is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The one that stands does not, or will not for long.
    Restore,
    /// The request changed. This alone takes turns.
    Change,
}

/// Whether a registration that is active must be replaced, and why.
pub(super) fn needs_another(
    inputs: &Inputs,
    registration: &Registration,
    desired: &Desired,
    now: Timestamp,
) -> Option<Need> {
    let is_old_enough = registration
        .renewed_at
        .is_none_or(|renewed_at| later(renewed_at, NOTICE_PAUSE) <= now);
    let by_request = rules::renews_by_request(&inputs.subscription);
    let is_told = match registration.notice {
        Some(LifecycleAction::Gone | LifecycleAction::Resubscribe) => is_old_enough,
        Some(LifecycleAction::Renew) => !by_request && is_old_enough,
        None => false,
    };
    let has_expired = is_old_enough && rules::has_expired(registration, now);
    let is_recreated = !by_request && registration.renew_at.is_some_and(|at| at <= now);
    if is_told || has_expired || is_recreated {
        Some(Need::Restore)
    } else if rules::is_changed(desired, registration) {
        Some(Need::Change)
    } else {
        None
    }
}

/// Nothing is wanted: once nothing is left either, what could be requested with goes too.
fn retire(record: &mut Record) {
    if !record.registrations.is_empty() {
        return;
    }
    let inputs = &record.inputs;
    let sensitive = |fields: &crate::provision::Fields| !fields.sensitive.is_empty();
    let has_secrets = sensitive(&inputs.app)
        || inputs
            .customer
            .as_ref()
            .is_some_and(|customer| sensitive(&customer.fields));
    if has_secrets {
        let inputs = Arc::make_mut(&mut record.inputs);
        inputs.app.sensitive.clear();
        if let Some(customer) = &mut inputs.customer {
            customer.fields.sensitive.clear();
        }
    }
    record.making = None;
    record.watch = crate::provision::record::Watch::default();
}
