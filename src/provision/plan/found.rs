//! What a lookup says: pages, two empty answers, and registrations that were found.
//!
//! A URI of our own is unguessable, so whatever calls it is ours, and all that is found is kept or
//! removed. Without one only what the declaration vouches for is touched.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::backoff::{Failure, fail, later};
use super::{making, removing, rules};
use crate::api::LifecycleAction;
use crate::provision::record::{
    Departure, Leaving, Orphan, OrphanReason, Phase, Record, Registration, Round, Search,
    TroubleKind,
};
use crate::provision::{Inputs, Outcome};

/// A list of more pages is not read to its end: one that names itself as its next page has none.
const MOST_PAGES: u32 = 1_000;

/// What a round over all pages came to.
enum Verdict {
    /// There are more pages, or it must be asked again later.
    Open,
    /// These are there.
    There(Vec<String>),
    /// Nothing is there, for certain.
    NotThere,
}

/// The outcome of a lookup.
pub(super) fn looked(
    record: &mut Record,
    number: u32,
    outcome: &Outcome,
    now: Timestamp,
    jitter: f64,
) {
    let Some(registration) = record.registration(number) else {
        return;
    };
    match &registration.phase {
        Phase::Resolving(_) => resolving(record, number, outcome, now, jitter),
        Phase::Active => watching(record, number, outcome, now, jitter),
        _ => {}
    }
}

/// An attempt whose answer was lost.
fn resolving(record: &mut Record, number: u32, outcome: &Outcome, now: Timestamp, jitter: f64) {
    let inputs = Arc::clone(&record.inputs);
    let others = ids_of_others(record, number);
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    let trouble = &mut registration.trouble;
    let Phase::Resolving(search) = &mut registration.phase else {
        return;
    };
    match round(search, &inputs, outcome, &|id| others.contains(id), now) {
        Ok(Verdict::Open) => *trouble = None,
        Ok(Verdict::NotThere) => making::is_not_there(record, number, now),
        Ok(Verdict::There(ids)) => found(record, number, ids, now, jitter),
        Err(failure) => fail(trouble, &failure, now, jitter),
    }
}

/// A scheduled lookup.
fn watching(record: &mut Record, number: u32, outcome: &Outcome, now: Timestamp, jitter: f64) {
    let inputs = Arc::clone(&record.inputs);
    let others = ids_of_others(record, number);
    let Some(registration) = record.registration(number) else {
        return;
    };
    let id = registration.id.clone();
    let is_ours = |found: &String| id.as_ref().is_none_or(|id| id == found);
    let has_own_uri = registration.webhook_uri.is_some();
    let is_other = |found: &String| others.contains(found) && !is_ours(found);
    let watch = &mut record.watch;
    let verdict = round(&mut watch.search, &inputs, outcome, &is_other, now);
    let (ids, is_there) = match verdict {
        Ok(Verdict::Open) => {
            watch.trouble = None;
            return;
        }
        Err(failure) => {
            fail(&mut watch.trouble, &failure, now, jitter);
            return;
        }
        Ok(Verdict::There(ids)) => {
            let is_there = ids.iter().any(is_ours);
            (ids, is_there)
        }
        Ok(Verdict::NotThere) => (Vec::new(), false),
    };
    watch.trouble = None;
    watch.search = Search::default();
    if is_there {
        watch.found_at = Some(now);
    } else if let Some(registration) = record.registration_mut(number) {
        registration.notice = Some(LifecycleAction::Gone);
    }
    if has_own_uri && id.is_some() {
        let ids: Vec<String> = ids.into_iter().filter(|found| !is_ours(found)).collect();
        if ids.is_empty() || rules::removal_needs_answer(&inputs.subscription) {
            twins(record, number, ids, now);
        } else if !rules::is_in_place(&inputs.subscription)
            && let Some(registration) = record.registration_mut(number)
        {
            // What removes by the URI removes all that stand there, or any of them. So another one
            // takes over first, at a URI of its own, and then all that is here goes.
            registration.notice = Some(LifecycleAction::Resubscribe);
        }
    }
}

/// The ids that are known to be other registrations': a lookup may well list them too.
fn ids_of_others(record: &Record, number: u32) -> Vec<String> {
    let others = record
        .registrations
        .iter()
        .filter(|other| other.number != number);
    others.filter_map(|other| other.id.clone()).collect()
}

/// Takes one page into a search.
fn round<'a>(
    search: &mut Search,
    inputs: &Inputs,
    outcome: &'a Outcome,
    is_other: &dyn Fn(&String) -> bool,
    now: Timestamp,
) -> Result<Verdict, Failure<'a>> {
    let Outcome::Found { ids, next } = outcome else {
        // Whatever page it was: the URL of a page may be good for a while only.
        search.round = Round::default();
        return Err(Failure::of(outcome).unwrap_or(Failure {
            kind: TroubleKind::NoAnswer,
            error: "the answer is not that of a lookup",
            retry_after: None,
        }));
    };
    let round = &mut search.round;
    for id in ids {
        if !is_other(id) && !round.found.contains(id) {
            round.found.push(id.clone());
        }
    }
    round.pages = round.pages.saturating_add(1);
    if next.is_some() {
        if round.pages >= MOST_PAGES || round.page == *next {
            search.round = Round::default();
            return Err(Failure {
                kind: TroubleKind::NoAnswer,
                error: "the list of registrations has no end",
                retry_after: None,
            });
        }
        round.page.clone_from(next);
        return Ok(Verdict::Open);
    }
    let found = std::mem::take(round).found;
    if !found.is_empty() {
        return Ok(Verdict::There(found));
    }
    let lookup = inputs.subscription.lookup.as_ref();
    let settle = lookup.map_or(Duration::ZERO, |lookup| lookup.settle().duration());
    match search.empty_at {
        Some(empty_at) if later(empty_at, settle) <= now => Ok(Verdict::NotThere),
        Some(_) => Ok(Verdict::Open),
        None => {
            search.empty_at = Some(now);
            Ok(Verdict::Open)
        }
    }
}

/// A registration that was made, or may have been, was found; and perhaps more than one of it.
fn found(record: &mut Record, number: u32, mut ids: Vec<String>, now: Timestamp, jitter: f64) {
    let inputs = Arc::clone(&record.inputs);
    let subscription = &inputs.subscription;
    let Some(registration) = record.registration_mut(number) else {
        return;
    };
    let has_own_uri = registration.webhook_uri.is_some();
    // Apps list the oldest first more often than not; either is as good.
    let first = ids.remove(0);
    if !has_own_uri && !rules::is_exact_without_uri(subscription) {
        let request = registration.request.clone();
        record.orphans.push(Orphan {
            number,
            last_number: number,
            id: Some(first),
            request,
            why: OrphanReason::NotSurelyOurs,
            since: now,
        });
        removing::drop(record, number, now);
        return;
    }
    registration.id = Some(first);
    // What removes by the URI removes all that stand there, or any of them: then none can be kept.
    let can_be_alone = ids.is_empty() || rules::removal_needs_answer(subscription);
    if registration.leaving.is_some() {
        removing::depart(record, number, now);
    } else if can_be_alone && rules::is_adoptable(subscription, registration) {
        adopt(registration, &inputs, now, jitter);
        making::made(record, number, now);
    } else {
        registration.leaving = Some(Leaving {
            since: now,
            why: Departure::Failed,
        });
        removing::depart(record, number, now);
    }
    if has_own_uri {
        twins(record, number, ids, now);
    } else {
        strays(record, number, ids, now);
    }
}

/// Further registrations that a lookup found where they share one URI: one of them may be ours from
/// an attempt whose answer was lost, another somebody else's of the same name. None is touched.
fn strays(record: &mut Record, number: u32, ids: Vec<String>, now: Timestamp) {
    for id in ids {
        if record.orphans.iter().any(|it| it.id.as_ref() == Some(&id)) {
            continue;
        }
        record.orphans.push(Orphan {
            number,
            last_number: number,
            id: Some(id),
            request: None,
            why: OrphanReason::NotSurelyOurs,
            since: now,
        });
    }
}

fn adopt(registration: &mut Registration, inputs: &Inputs, now: Timestamp, jitter: f64) {
    registration
        .attempt
        .request_hash
        .clone_into(&mut registration.request_hash);
    registration.since = Some(now);
    registration.renewed_at = Some(now);
    registration.notice = None;
    let subscription = &inputs.subscription;
    registration.renew_at = rules::renew_at(subscription, now, registration.expires_at, jitter);
    // Nobody said when it expires; a renewal will.
    let by_expiry = subscription
        .renewal
        .as_ref()
        .is_some_and(|renewal| renewal.before.is_some());
    if by_expiry && registration.expires_at.is_none() {
        registration.renew_at = Some(now);
    }
}

/// Further registrations at the URI of `number`: each is removed as one of its own.
fn twins(record: &mut Record, number: u32, ids: Vec<String>, now: Timestamp) {
    // Where `number` itself was dropped at once, so are they.
    let Some(original) = record.registration(number).cloned() else {
        for id in ids {
            record.orphans.push(Orphan {
                number,
                last_number: number,
                id: Some(id),
                request: None,
                why: OrphanReason::NoUnsubscribe,
                since: now,
            });
        }
        return;
    };
    for id in ids {
        let twin = Registration {
            number: record.next_number,
            twin_of: Some(number),
            leaving: Some(Leaving {
                since: now,
                why: Departure::Failed,
            }),
            id: Some(id),
            // What is known belongs to the other one.
            values: std::collections::BTreeMap::new(),
            expires_at: None,
            renew_at: None,
            notice: None,
            trouble: None,
            is_change: false,
            phase: Phase::Active,
            ..original.clone()
        };
        let number = twin.number;
        record.next_number = number.saturating_add(1);
        // Before the original: the newest is the one that stands.
        record.registrations.insert(0, twin);
        removing::depart(record, number, now);
    }
}
