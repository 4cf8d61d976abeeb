//! What the outcome of a request makes of the record.
//!
//! Everything that follows at once from an answer is in the record that comes out, so that an
//! ordinary subscription is stored twice: before its request and after it.

use std::sync::Arc;

use jiff::Timestamp;

use super::backoff::{Failure, fail, later};
use super::{found, making, removing, rules};
use crate::api::{LifecycleAction, ReceivedResponse, SentRequest, Step};
use crate::provision::record::{OrphanReason, Phase, Record, Registration, Search, TroubleKind};
use crate::provision::{Findings, Outcome, RequestKind};

/// So many refusals of a follow-up in a row mean that it fails for good.
const MOST_REFUSALS: u32 = 3;

/// A request and its answer as they may be shown, masked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// What was sent.
    pub request: Option<SentRequest>,
    /// What came back.
    pub response: Option<ReceivedResponse>,
}

/// The record once the outcome of a request that [`super::plan`] asked for is known.
///
/// `record` is the one that is stored now: while the request was open, a handshake or a notice may
/// have changed it. `jitter` is from 0 to 1, evenly spread.
#[must_use]
pub fn settle(
    record: &Record,
    number: u32,
    kind: &RequestKind,
    outcome: &Outcome,
    shown: Shown,
    now: Timestamp,
    jitter: f64,
) -> Record {
    let mut next = record.clone();
    match kind {
        RequestKind::Prepare(step) => prepared(&mut next, number, *step, outcome, now, jitter),
        RequestKind::Subscribe => subscribed(&mut next, number, outcome, shown, now, jitter),
        RequestKind::FollowUp(step) => followed_up(&mut next, number, *step, outcome, now, jitter),
        RequestKind::Lookup(_) => found::looked(&mut next, number, outcome, now, jitter),
        RequestKind::Renew => renewed(&mut next, number, outcome, now, jitter),
        RequestKind::Unsubscribe(step) => removed(&mut next, number, *step, outcome, now, jitter),
    }
    next
}

fn prepared(
    record: &mut Record,
    number: u32,
    step: usize,
    outcome: &Outcome,
    now: Timestamp,
    jitter: f64,
) {
    let inputs = Arc::clone(&record.inputs);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    if registration.phase != (Phase::Preparing { next: step }) {
        return;
    }
    let Outcome::Succeeded(findings) = outcome else {
        fail_making(record, outcome, now, jitter);
        return;
    };
    keep(
        registration,
        inputs.subscription.prepare.get(step),
        findings,
    );
    if step + 1 < inputs.subscription.prepare.len() {
        registration.phase = Phase::Preparing { next: step + 1 };
    } else {
        let attempt = &mut registration.attempt;
        (attempt.started_at, attempt.deadline) = making::window(&inputs.subscription, now);
        registration.phase = Phase::Subscribing;
    }
}

/// Keeps what a step found.
fn keep(registration: &mut Registration, step: Option<&Step>, findings: &Findings) {
    if let Some(step) = step
        && !findings.values.is_empty()
    {
        registration
            .steps
            .insert(step.name.clone(), findings.values.clone());
    }
    if findings.signing_secret.is_some() {
        registration
            .signing_secret
            .clone_from(&findings.signing_secret);
    }
}

fn subscribed(
    record: &mut Record,
    number: u32,
    outcome: &Outcome,
    shown: Shown,
    now: Timestamp,
    jitter: f64,
) {
    let inputs = Arc::clone(&record.inputs);
    let subscription = &inputs.subscription;
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    if registration.phase != Phase::Subscribing {
        return;
    }
    let Shown { request, response } = shown;
    if request.is_some() {
        registration.request = request;
        registration.response = response;
    }
    let stands = registration.since.is_some();
    let is_leaving = registration.leaving.is_some();
    let is_repeated = registration.attempt.repeated;
    let lacks_secret = |findings: &Findings| {
        rules::answer_holds_secret(subscription)
            && findings.signing_secret.is_none()
            && registration.signing_secret.is_none()
    };
    match outcome {
        Outcome::Succeeded(findings) if !lacks_secret(findings) => {
            stands_now(registration, &inputs, findings, now, jitter);
            if let Some(making) = &mut record.making {
                making.refusals = 0;
            }
            making::made(record, number, now);
        }
        Outcome::Conflict(_) => {
            fail_making(record, outcome, now, jitter);
            if stands {
                making::lost(record, number, now);
            } else if subscription.lookup.is_some() {
                resolve(record, number);
            } else {
                making::abandon(record, number, OrphanReason::Conflict, now);
            }
        }
        Outcome::Refused { .. } | Outcome::NotSent { .. } | Outcome::Gone => {
            fail_attempt(record, number, outcome, now, jitter);
            let Some(registration) = record.registration_mut(number) else {
                return;
            };
            if stands {
                registration.phase = Phase::Active;
            } else if is_repeated {
                // An earlier try of it may have been carried out all the same.
                registration.phase = Phase::Unsure;
            } else {
                making::is_not_there(record, number, now);
            }
        }
        Outcome::Succeeded(_) | Outcome::Found { .. } | Outcome::Unknown { .. } => {
            if Failure::of(outcome).is_some() {
                fail_attempt(record, number, outcome, now, jitter);
            } else {
                let error = "the answer does not hold the signing secret".to_owned();
                let unread = Outcome::Unknown {
                    error,
                    retry_after: None,
                };
                fail_attempt(record, number, &unread, now, jitter);
            }
            // With nothing to find it by, and no way to repeat it, only its deadline decides.
            if stands || rules::is_looked_for(subscription) || rules::is_repeatable(subscription) {
                making::lost(record, number, now);
            }
        }
    }
    if is_leaving && let Some(registration) = record.registration_mut(number) {
        // Sent again in place while it was no longer wanted: what stands is removed.
        if registration.phase == Phase::Active {
            removing::depart(record, number, now);
        }
    }
}

fn resolve(record: &mut Record, number: u32) {
    if let Some(registration) = record.registration_mut(number) {
        registration.phase = Phase::Resolving(Search::default());
    }
}

/// What the answer says about a registration that was made, or sent again in place.
fn stands_now(
    registration: &mut Registration,
    inputs: &crate::provision::Inputs,
    findings: &Findings,
    now: Timestamp,
    jitter: f64,
) {
    let Findings {
        id,
        expires_at,
        values,
        signing_secret,
    } = findings;
    // A handshake may have told the expiry while the request was open.
    let captured = registration
        .expires_at
        .filter(|_| registration.since.is_none());
    registration.expires_at = expires_at.or(captured);
    if id.is_some() {
        registration.id.clone_from(id);
    }
    registration.values.extend(values.clone());
    if signing_secret.is_some() {
        registration.signing_secret.clone_from(signing_secret);
    }
    registration
        .attempt
        .request_hash
        .clone_into(&mut registration.request_hash);
    registration.since.get_or_insert(now);
    registration.renewed_at = Some(now);
    registration.renew_at =
        rules::renew_at(&inputs.subscription, now, registration.expires_at, jitter);
    registration.notice = None;
    registration.former_path = None;
}

fn fail_making(record: &mut Record, outcome: &Outcome, now: Timestamp, jitter: f64) {
    if let Some(failure) = Failure::of(outcome) {
        fail(&mut record.making, &failure, now, jitter);
    }
}

/// Counts the failure of an attempt: against the making of registrations, or against the removal of
/// the one that it was repeated for.
fn fail_attempt(record: &mut Record, number: u32, outcome: &Outcome, now: Timestamp, jitter: f64) {
    let leaving = record
        .registration_mut(number)
        .filter(|it| it.leaving.is_some());
    match (Failure::of(outcome), leaving) {
        (Some(failure), Some(leaving)) => fail(&mut leaving.trouble, &failure, now, jitter),
        (Some(failure), None) => fail(&mut record.making, &failure, now, jitter),
        (None, _) => {}
    }
}

fn followed_up(
    record: &mut Record,
    number: u32,
    step: usize,
    outcome: &Outcome,
    now: Timestamp,
    jitter: f64,
) {
    let inputs = Arc::clone(&record.inputs);
    let subscription = &inputs.subscription;
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    if registration.phase != (Phase::FollowingUp { next: step }) {
        return;
    }
    match outcome {
        Outcome::Succeeded(findings) => {
            keep(registration, subscription.follow_ups.get(step), findings);
            if step + 1 < subscription.follow_ups.len() {
                registration.phase = Phase::FollowingUp { next: step + 1 };
            } else {
                making::followed_up(record, number, now);
            }
        }
        Outcome::Gone => {
            fail_making(record, outcome, now, jitter);
            making::gone(record, number);
            making::again(record, number, now);
        }
        Outcome::Refused { .. } | Outcome::Conflict(_) => {
            fail_making(record, outcome, now, jitter);
            let refusals = record.making.as_ref().map_or(0, |making| making.refusals);
            if refusals >= MOST_REFUSALS {
                if let Some(making) = &mut record.making {
                    making.kind = TroubleKind::Unfinished;
                }
                making::again(record, number, now);
            }
        }
        Outcome::NotSent { .. } | Outcome::Unknown { .. } | Outcome::Found { .. } => {
            fail_making(record, outcome, now, jitter);
        }
    }
}

fn renewed(record: &mut Record, number: u32, outcome: &Outcome, now: Timestamp, jitter: f64) {
    let inputs = Arc::clone(&record.inputs);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    if registration.phase != Phase::Active {
        return;
    }
    match outcome {
        Outcome::Succeeded(findings) => {
            // An app that does not say it again gives the same time again.
            let lifetime = registration.renewed_at.zip(registration.expires_at);
            let again = lifetime.map(|(from, to)| later(now, rules::between(from, to)));
            registration.expires_at = findings.expires_at.or(again);
            registration.values.extend(findings.values.clone());
            registration.renewed_at = Some(now);
            registration.renew_at =
                rules::renew_at(&inputs.subscription, now, registration.expires_at, jitter);
            registration.trouble = None;
            if registration.notice == Some(LifecycleAction::Renew) {
                registration.notice = None;
            }
        }
        Outcome::Gone => {
            registration.trouble = None;
            making::gone(record, number);
        }
        _ => {
            if let Some(failure) = Failure::of(outcome) {
                fail(&mut registration.trouble, &failure, now, jitter);
            }
        }
    }
}

fn removed(
    record: &mut Record,
    number: u32,
    step: usize,
    outcome: &Outcome,
    now: Timestamp,
    jitter: f64,
) {
    let inputs = Arc::clone(&record.inputs);
    let steps = inputs
        .subscription
        .unsubscribe
        .as_ref()
        .map_or(&[][..], |it| &it.steps);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    if registration.phase != (Phase::Removing { next: step }) {
        return;
    }
    match outcome {
        Outcome::Succeeded(_) | Outcome::Gone => {
            if let Outcome::Succeeded(findings) = outcome {
                keep(registration, steps.get(step), findings);
            }
            if step + 1 < steps.len() {
                registration.trouble = None;
                registration.phase = Phase::Removing { next: step + 1 };
            } else {
                removing::drop(record, number, now);
            }
        }
        _ => {
            if let Some(failure) = Failure::of(outcome) {
                fail(&mut registration.trouble, &failure, now, jitter);
            }
        }
    }
}
