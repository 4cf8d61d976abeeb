//! Which request is due, and what is waited for where none is.
//!
//! The record is as it should be without requests; nothing here changes it. One request at a time:
//! making comes before renewing, renewing before removing, looking comes last.

use std::time::Duration;

use jiff::Timestamp;

use super::advance::NOTICE_PAUSE;
use super::backoff::{is_due, later};
use super::{Action, Context, Turn, Waiting, is_same_try, making, removing, rollout, rules};
use crate::api::LifecycleAction;
use crate::provision::record::{Phase, Record, Registration, Search, Trouble};
use crate::provision::{Desired, RequestKind};

/// What one part of a subscription needs next.
enum Next {
    Send(u32, RequestKind),
    Wait(Option<Timestamp>, Waiting),
}

/// The request that is due, or what is waited for.
pub(super) fn next(record: &Record, desired: Option<&Desired>, context: &Context<'_>) -> Action {
    if record.registrations.is_empty() && desired.is_none() {
        return tombstone(record, context.now);
    }
    let mut waits = Vec::new();
    for needed in parts(record, desired, context) {
        match needed {
            Next::Send(number, kind) => return send(record, number, kind, context.now),
            Next::Wait(until, because) => waits.push((until, because)),
        }
    }
    Action::Wait {
        until: waits.iter().filter_map(|(until, _)| *until).min(),
        because: waits.first().map_or(Waiting::Due, |(_, because)| *because),
    }
}

fn send(record: &Record, number: u32, kind: RequestKind, now: Timestamp) -> Action {
    let attempt = record
        .registration(number)
        .map(|registration| &registration.attempt);
    let deadline = match (&kind, attempt) {
        (RequestKind::Subscribe, Some(attempt)) => attempt.deadline,
        _ => making::window(&record.inputs.subscription, now).1,
    };
    Action::Send {
        number,
        kind,
        deadline,
    }
}

/// What every part needs, the most urgent first.
fn parts(record: &Record, desired: Option<&Desired>, context: &Context<'_>) -> Vec<Next> {
    let now = context.now;
    let all = &record.registrations;
    let mut parts = Vec::new();
    if let Some(desired) = desired {
        parts.extend(held_back(record, desired, context));
    }
    parts.extend(
        all.iter()
            .rev()
            .filter_map(|it| to_make(record, it, context)),
    );
    let active = || {
        all.iter()
            .rev()
            .filter(|registration| registration.is_active())
    };
    parts.extend(active().filter_map(|it| to_renew(record, it, now)));
    parts.extend(all.iter().filter_map(|it| to_remove(it, now)));
    parts.extend(
        active()
            .next()
            .and_then(|it| to_look_after(record, it, now)),
    );
    parts.extend(active().flat_map(|it| worth_a_look(record, it, now)));
    parts
}

/// Why another registration is not being made, although one is needed.
fn held_back(record: &Record, desired: &Desired, context: &Context<'_>) -> Option<Next> {
    let retry = record
        .making
        .as_ref()
        .filter(|_| !is_due(record.making.as_ref(), context.now));
    if let Some(retry) = retry {
        return Some(Next::Wait(Some(retry.retry_at), Waiting::Retry));
    }
    if rollout::needs_turn(record, desired, context.now) {
        return match context.turn {
            Turn::Granted => None,
            Turn::Waiting => Some(Next::Wait(None, Waiting::Turn)),
            Turn::Stopped => Some(Next::Wait(None, Waiting::RolloutStopped)),
        };
    }
    None
}

/// What the making of a registration needs.
fn to_make(record: &Record, registration: &Registration, context: &Context<'_>) -> Option<Next> {
    let now = context.now;
    let number = registration.number;
    match &registration.phase {
        Phase::Preparing { next } => {
            if registration.is_change && context.turn != Turn::Granted {
                return None;
            }
            Some(due(
                record.making.as_ref(),
                now,
                number,
                RequestKind::Prepare(*next),
            ))
        }
        Phase::Subscribing => {
            let unsent = context
                .unsent
                .filter(|unsent| is_same_try(unsent, &registration.attempt));
            Some(if unsent.is_some() {
                Next::Send(number, RequestKind::Subscribe)
            } else {
                Next::Wait(Some(registration.attempt.deadline), Waiting::Answer)
            })
        }
        Phase::Unsure if registration.leaving.is_some() => {
            let retry_at = registration
                .trouble
                .as_ref()
                .map(|trouble| trouble.retry_at);
            Some(Next::Wait(retry_at, Waiting::Retry))
        }
        Phase::Resolving(search) => Some(look(
            record,
            registration,
            search,
            registration.trouble.as_ref(),
            now,
        )),
        Phase::FollowingUp { next } => Some(due(
            record.making.as_ref(),
            now,
            number,
            RequestKind::FollowUp(*next),
        )),
        Phase::AwaitingSecret { until } => Some(Next::Wait(Some(*until), Waiting::Secret)),
        Phase::Waiting | Phase::Unsure | Phase::Active | Phase::Removing { .. } => None,
    }
}

fn due(trouble: Option<&Trouble>, now: Timestamp, number: u32, kind: RequestKind) -> Next {
    match trouble {
        Some(trouble) if !is_due(Some(trouble), now) => {
            Next::Wait(Some(trouble.retry_at), Waiting::Retry)
        }
        _ => Next::Send(number, kind),
    }
}

/// The next page of a search, or the first one once lists have settled.
fn look(
    record: &Record,
    registration: &Registration,
    search: &Search,
    trouble: Option<&Trouble>,
    now: Timestamp,
) -> Next {
    if let Some(empty_at) = search.empty_at
        && search.round.page.is_none()
    {
        let lookup = record.inputs.subscription.lookup.as_ref();
        let settle = lookup.map_or(Duration::ZERO, |lookup| lookup.settle().duration());
        let settled_at = later(empty_at, settle);
        if now < settled_at {
            return Next::Wait(Some(settled_at), Waiting::Settling);
        }
    }
    let kind = RequestKind::Lookup(search.round.page.clone());
    due(trouble, now, registration.number, kind)
}

/// The renewal of a registration, where a request renews it.
fn to_renew(record: &Record, registration: &Registration, now: Timestamp) -> Option<Next> {
    if !rules::renews_by_request(&record.inputs.subscription) {
        return None;
    }
    let told_at = (registration.notice == Some(LifecycleAction::Renew)).then(|| {
        registration
            .renewed_at
            .map_or(now, |renewed_at| later(renewed_at, NOTICE_PAUSE))
    });
    let at = match (registration.renew_at, told_at) {
        (Some(at), Some(told_at)) => at.min(told_at),
        (at, told_at) => at.or(told_at)?,
    };
    // What has expired, or is not there any more, is made anew instead.
    let is_over = rules::has_expired(registration, now)
        || matches!(
            registration.notice,
            Some(LifecycleAction::Gone | LifecycleAction::Resubscribe)
        );
    if is_over {
        return None;
    }
    if now < at {
        return Some(Next::Wait(Some(at), Waiting::Due));
    }
    Some(due(
        registration.trouble.as_ref(),
        now,
        registration.number,
        RequestKind::Renew,
    ))
}

/// The next step of a removal.
fn to_remove(registration: &Registration, now: Timestamp) -> Option<Next> {
    let Phase::Removing { next } = registration.phase else {
        return None;
    };
    let kind = RequestKind::Unsubscribe(next);
    Some(due(
        registration.trouble.as_ref(),
        now,
        registration.number,
        kind,
    ))
}

/// The scheduled lookup of the registration that stands.
fn to_look_after(record: &Record, registration: &Registration, now: Timestamp) -> Option<Next> {
    let lookup = record.inputs.subscription.lookup.as_ref()?;
    let every = lookup.every.as_ref()?.duration();
    if record.current() != Some(registration) || registration.notice.is_some() {
        return None;
    }
    let watch = &record.watch;
    if watch.search == Search::default() {
        let from = watch.found_at.or(registration.since)?;
        // A little earlier for each subscription, and always the same, so that those that were made
        // at once are not looked up at once.
        let at = later(from, every.mul_f64(1.0 - spread(record) / 10.0));
        if now < at {
            return Some(Next::Wait(Some(at), Waiting::Due));
        }
    }
    Some(look(
        record,
        registration,
        &watch.search,
        watch.trouble.as_ref(),
        now,
    ))
}

/// A number from 0 to 1 that is always the same for one record, and another for every other.
fn spread(record: &Record) -> f64 {
    let hash = crc32fast::hash(record.token.as_bytes());
    f64::from(hash) / f64::from(u32::MAX)
}

/// When what people see changes by itself, or what stands needs to be made anew.
fn worth_a_look(record: &Record, registration: &Registration, now: Timestamp) -> Vec<Next> {
    let subscription = &record.inputs.subscription;
    let quiet_at = subscription.quiet_period.as_ref().and_then(|period| {
        let last = record.last_event_at.max(registration.since)?;
        Some(later(last, period.duration()))
    });
    let pause_ends = registration
        .notice
        .and(registration.renewed_at)
        .map(|at| later(at, NOTICE_PAUSE));
    let times = [
        quiet_at,
        rules::expiring_soon_at(registration),
        registration.expires_at,
        registration.renew_at,
        pause_ends,
    ];
    let ahead = times.into_iter().flatten().filter(|at| now < *at);
    ahead.map(|at| Next::Wait(Some(at), Waiting::Due)).collect()
}

/// Nothing is left but URIs that answer 410, and orphans.
fn tombstone(record: &Record, now: Timestamp) -> Action {
    let ends = record
        .removed
        .iter()
        .map(|removed| later(removed.at, removing::REMEMBERED));
    let ends = ends.filter(|at| now < *at).max();
    if ends.is_none() && record.orphans.is_empty() {
        return Action::Forget;
    }
    Action::Wait {
        until: ends,
        because: Waiting::Tombstone,
    }
}
