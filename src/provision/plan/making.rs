//! Making a registration: its number, its attempts, and what becomes of it once the app has it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::backoff::{Failure, fail, later};
use super::{Context, removing, rules};
use crate::api::{LifecycleAction, Subscription};
use crate::provision::record::{
    Attempt, Departure, OrphanReason, Phase, Record, Registration, Search, TroubleKind, Watch,
};
use crate::provision::{Desired, Inputs, has_own_uri};

/// What an answer may take beyond the request's own timeout: connecting, and a clock that is a
/// little off.
const GRACE: Duration = Duration::from_secs(5);

/// How long the handshake that brings the secret may take after the app has said that the
/// registration is made. Apps that verify do so within seconds.
pub(super) const HANDSHAKE_WAIT: Duration = Duration::from_mins(5);

/// The beginning and the deadline of an attempt.
pub(super) fn window(subscription: &Subscription, now: Timestamp) -> (Timestamp, Timestamp) {
    let timeout = subscription.limits.timeout().duration();
    (now, later(now, timeout.saturating_add(GRACE)))
}

/// Whether an attempt that was stored may still be sent: its deadline covers a request that begins
/// now and takes its whole timeout.
pub(super) fn may_begin(attempt: &Attempt, now: Timestamp) -> bool {
    attempt.started_at <= now && now <= later(attempt.started_at, GRACE)
}

/// The first record of a subscription, its first attempt open.
pub(super) fn first(desired: &Desired, context: &Context<'_>) -> Record {
    let mut record = Record {
        name: desired.name.clone(),
        token: context.seeds.token.clone(),
        next_number: 1,
        inputs: Arc::clone(&desired.inputs),
        registrations: Vec::new(),
        removed: Vec::new(),
        orphans: Vec::new(),
        left_behind: Vec::new(),
        making: None,
        watch: Watch::default(),
        last_event_at: None,
    };
    create(&mut record, desired, context, false);
    record
}

/// A new registration with the next number. Without `prepare` its attempt is open at once.
pub(super) fn create(
    record: &mut Record,
    desired: &Desired,
    context: &Context<'_>,
    is_change: bool,
) {
    let number = record.next_number;
    record.next_number = number.saturating_add(1);
    removing::forget_old(record, context.now);
    let inputs = &record.inputs;
    let subscription = &inputs.subscription;
    let path = rules::path(inputs, &record.token, number);
    let secret = subscription.signing_secret.as_ref();
    let generate = secret.and_then(|secret| secret.generate.as_ref());
    let phase = if subscription.prepare.is_empty() {
        Phase::Subscribing
    } else {
        Phase::Preparing { next: 0 }
    };
    let registration = Registration {
        number,
        phase,
        leaving: None,
        webhook_uri: own_uri(inputs, &path),
        path,
        former_path: None,
        global_webhook_uri: rules::global_webhook_uri(inputs),
        twin_of: None,
        request_hash: String::new(),
        attempt: new_attempt(subscription, desired, context),
        is_change,
        signing_secret: generate.map(|how| rules::generated(how, &context.seeds.secret)),
        captured_at: None,
        steps: std::collections::BTreeMap::new(),
        id: None,
        values: std::collections::BTreeMap::new(),
        since: None,
        renewed_at: None,
        expires_at: None,
        renew_at: None,
        notice: None,
        trouble: None,
        request: None,
        response: None,
    };
    record.registrations.push(registration);
}

fn own_uri(inputs: &Inputs, path: &str) -> Option<String> {
    has_own_uri(&inputs.subscription).then(|| format!("{}{path}", inputs.public_url))
}

fn new_attempt(subscription: &Subscription, desired: &Desired, context: &Context<'_>) -> Attempt {
    let (started_at, deadline) = window(subscription, context.now);
    Attempt {
        id: context.seeds.attempt_id.clone(),
        started_at,
        deadline,
        request_hash: desired.request_hash.clone(),
        repeated: false,
    }
}

/// A new attempt under the same number: nothing of it is at the app, or it is sent again in place.
pub(super) fn reopen(record: &mut Record, number: u32, desired: &Desired, context: &Context<'_>) {
    let inputs = Arc::clone(&record.inputs);
    let path = rules::path(&inputs, &record.token, number);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    let stands = registration.since.is_some();
    // What stands is told another URI only where that is allowed.
    if !stands || desired.allow_re_registration {
        if stands && registration.path != path {
            registration.former_path = Some(registration.path.clone());
        }
        registration.webhook_uri = own_uri(&inputs, &path);
        registration.global_webhook_uri = rules::global_webhook_uri(&inputs);
        registration.path = path;
    }
    registration.attempt = new_attempt(&inputs.subscription, desired, context);
    registration.phase = Phase::Subscribing;
}

/// The same attempt again. `request_hash` is what it asks for now.
pub(super) fn repeat(record: &mut Record, number: u32, request_hash: Option<&str>, now: Timestamp) {
    let inputs = Arc::clone(&record.inputs);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    let attempt = &mut registration.attempt;
    (attempt.started_at, attempt.deadline) = window(&inputs.subscription, now);
    attempt.repeated = true;
    if let Some(hash) = request_hash {
        hash.clone_into(&mut attempt.request_hash);
    }
    registration.phase = Phase::Subscribing;
}

/// An attempt has no answer that says what happened: what is to be done to find out.
pub(super) fn lost(record: &mut Record, number: u32, now: Timestamp) {
    let inputs = Arc::clone(&record.inputs);
    let subscription = &inputs.subscription;
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    if registration.since.is_some() {
        // It stands, in one form or the other; which one is settled by sending it again.
        registration.phase = Phase::Active;
        registration.request_hash.clear();
        if registration.leaving.is_some() {
            removing::depart(record, number, now);
        }
    } else if rules::is_looked_for(subscription) {
        registration.phase = Phase::Resolving(Search::default());
    } else if registration.leaving.is_some() && !rules::removal_needs_answer(subscription) {
        // Whether it is there or not, the same requests remove it.
        removing::depart(record, number, now);
    } else if rules::is_repeatable(subscription) {
        registration.phase = Phase::Unsure;
    } else {
        abandon(record, number, OrphanReason::AnswerLost, now);
    }
}

/// A number that nothing more can be found out about: it goes on the orphan list.
pub(super) fn abandon(record: &mut Record, number: u32, why: OrphanReason, now: Timestamp) {
    removing::leave_behind(record, number, why, now);
}

/// Nothing of it is at the app, for certain.
pub(super) fn is_not_there(record: &mut Record, number: u32, now: Timestamp) {
    let inputs = Arc::clone(&record.inputs);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    let captured =
        registration.captured_at.is_some() && rules::awaits_handshake(&inputs.subscription);
    if registration.leaving.is_some() || captured {
        // The next try brings another secret, which this number would refuse.
        removing::drop(record, number, now);
    } else {
        registration.trouble = None;
        registration.phase = Phase::Waiting;
    }
}

/// The app has it. What is left to do before it is active?
pub(super) fn made(record: &mut Record, number: u32, now: Timestamp) {
    let inputs = Arc::clone(&record.inputs);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    registration.trouble = None;
    if registration.leaving.is_some() {
        removing::depart(record, number, now);
    } else if inputs.subscription.follow_ups.is_empty() {
        followed_up(record, number, now);
    } else {
        registration.phase = Phase::FollowingUp { next: 0 };
    }
}

/// All follow-ups are done: it is active, unless its secret is still to come.
pub(super) fn followed_up(record: &mut Record, number: u32, now: Timestamp) {
    let inputs = Arc::clone(&record.inputs);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    if rules::awaits_handshake(&inputs.subscription) && registration.signing_secret.is_none() {
        registration.phase = Phase::AwaitingSecret {
            until: later(now, HANDSHAKE_WAIT),
        };
        return;
    }
    registration.phase = Phase::Active;
    registration.is_change = false;
    record.making = None;
    record.watch = Watch::default();
    let older: Vec<u32> = record
        .registrations
        .iter()
        .filter(|other| other.number != number && other.leaving.is_none())
        .map(|other| other.number)
        .collect();
    for other in older {
        removing::leave(record, other, Departure::Replaced, now);
    }
}

/// The app has it, but it cannot be brought to work: it is removed, and another one made; in place
/// it is sent again.
pub(super) fn start_over(
    record: &mut Record,
    number: u32,
    error: &str,
    now: Timestamp,
    jitter: f64,
) {
    let failure = Failure {
        kind: TroubleKind::Unfinished,
        error,
        retry_after: None,
    };
    fail(&mut record.making, &failure, now, jitter);
    again(record, number, now);
}

/// As [`start_over`], where the failure is counted already.
pub(super) fn again(record: &mut Record, number: u32, now: Timestamp) {
    let inputs = Arc::clone(&record.inputs);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    if rules::is_in_place(&inputs.subscription) && registration.leaving.is_none() {
        registration.phase = Phase::Active;
        registration.request_hash.clear();
    } else {
        removing::leave(record, number, Departure::Failed, now);
    }
}

/// The app has lost it. It goes on being served until another one has taken over.
pub(super) fn gone(record: &mut Record, number: u32) {
    if let Some(registration) = record.registration_mut(number) {
        registration.notice = Some(LifecycleAction::Gone);
    }
}
