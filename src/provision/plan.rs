//! What to do next about one subscription: decided from what is wanted, from its [`Record`] and
//! from the time.
//!
//! Pure, and the whole of the logic. [`plan`] says what comes next, [`settle`] what an answer makes
//! of the record, [`captured`], [`noticed`] and [`received`] what the gateway's reports make of it.
//! Whoever drives it carries actions out and knows nothing of subscriptions:
//!
//! 1. Call [`plan`] when something may be due: at start, after every change of what is wanted or of
//!    the record, and when the time of a [`Action::Wait`] has come. Never while a request of this
//!    record is open.
//! 2. [`Action::Store`]: store the record, make its entries live in the gateway, then plan again.
//!    If [`opened`] says that this opens an attempt, remember that one as unsent. A place among the
//!    requests to the host is better taken before storing, and the plan made again with the time
//!    then: an attempt that is older than 5 s is given a new time rather than sent.
//! 3. [`Action::Send`]: forget what was unsent, send, [`settle`], store what comes out of it unless
//!    [`Record::is_stored_like`] says that there is nothing to store; [`opened`] as before.
//!
//! An attempt is sent only by the process that stored it and has not sent it yet; after a crash
//! that is not known any more, and it counts as sent.
//!
//! Deliberately absent: I/O, clocks, randomness, and any word about other subscriptions; turns
//! (`rollout`) are granted from outside.

mod advance;
mod backoff;
mod clock;
mod found;
mod making;
mod removing;
mod reports;
mod requests;
mod rollout;
mod rules;
mod settle;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub(super) use removing::REMEMBERED;
pub use reports::{captured, noticed, orphans_removed, received};
pub use rollout::{RolloutResult, is_changing, needs_turn, rollout_result};
pub(super) use rules::{capture_is_open, expiring_soon_at, has_expired, is_readdressed};
pub use settle::{Shown, settle};

use super::record::{Attempt, Phase};
use super::{Desired, Record, RequestKind};

/// What [`plan`] needs to know beside the record.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// The attempt that this process has stored, and whose request it has not begun to send.
    pub unsent: Option<&'a Attempt>,
    /// Whether a change of a registration that stands may be carried out now.
    pub turn: Turn,
    /// Randomness.
    pub seeds: &'a Seeds,
}

/// Whether a change of a registration that stands may be carried out now (`rollout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// It may.
    Granted,
    /// Others come first.
    Waiting,
    /// Too many failed (`stopAfterFailures`).
    Stopped,
}

/// Fresh randomness for one call of [`plan`]; what is not needed is thrown away.
#[derive(Clone)]
pub struct Seeds {
    /// A UUID for an attempt.
    pub attempt_id: String,
    /// The token of a new record's webhook URIs, its MAC included.
    pub token: String,
    /// What a signing secret is made of.
    pub secret: [u8; 96],
    /// From 0 to 1, evenly spread.
    pub jitter: f64,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The record becomes this one; nothing else may happen before it is stored.
    Store(Box<Record>),
    /// A request is sent.
    Send {
        /// The registration that it is about.
        number: u32,
        /// Which one.
        kind: RequestKind,
        /// When its answer counts as lost. One that cannot be sent before is `Outcome::NotSent`.
        deadline: Timestamp,
    },
    /// There is nothing to do now.
    Wait {
        /// When there may be something to do; `None`: only after a change.
        until: Option<Timestamp>,
        /// What is waited for.
        because: Waiting,
    },
    /// The record is of no use any more.
    Forget,
    /// Nothing is wanted and nothing is there.
    Nothing,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// Another subscription's record has this name.
    NotOurs,
    /// An attempt may still be answered.
    Answer,
    /// It is tried again later.
    Retry,
    /// A turn in the rollout.
    Turn,
    /// The rollout was stopped.
    RolloutStopped,
    /// Lists of the app may lag behind.
    Settling,
    /// The handshake that brings the signing secret.
    Secret,
    /// The next renewal or scheduled lookup, if any: all is well.
    Due,
    /// Nothing is left but URIs that answer 410.
    Tombstone,
}

/// How often one call looks again at what it has just changed. Every change makes progress along
/// the phases, so a handful is enough; the bound is there so that a mistake cannot hang a process.
const MOST_PASSES: usize = 8;

/// What comes next for a subscription.
#[must_use]
pub fn plan(desired: Option<&Desired>, record: Option<&Record>, context: &Context<'_>) -> Action {
    let Some(record) = record else {
        return match desired {
            Some(desired) => Action::Store(Box::new(making::first(desired, context))),
            None => Action::Nothing,
        };
    };
    if desired.is_some_and(|desired| !is_of(record, desired)) {
        return Action::Wait {
            until: None,
            because: Waiting::NotOurs,
        };
    }
    // Everything that follows from the same facts is stored at once.
    let mut next = record.clone();
    for _ in 0..MOST_PASSES {
        let before = next.clone();
        advance::advance(&mut next, desired, context);
        if next == before {
            break;
        }
    }
    if next == *record {
        requests::next(record, desired, context)
    } else {
        Action::Store(Box::new(next))
    }
}

/// The attempt that is unsent once `after` is stored, where `before` was stored until then; `None`
/// where storing it opens none.
#[must_use]
pub fn opened<'a>(before: Option<&Record>, after: &'a Record) -> Option<&'a Attempt> {
    let is_open = |number: u32, attempt: &Attempt| {
        let registration = before.and_then(|before| before.registration(number));
        registration.is_some_and(|registration| {
            registration.phase == Phase::Subscribing && is_same_try(&registration.attempt, attempt)
        })
    };
    let mut open = after
        .registrations
        .iter()
        .filter(|registration| registration.phase == Phase::Subscribing)
        .filter(|registration| !is_open(registration.number, &registration.attempt));
    open.next().map(|registration| &registration.attempt)
}

/// Whether a record is that of what is desired: names are hashed, so two could clash.
#[must_use]
pub fn is_of(record: &Record, desired: &Desired) -> bool {
    let customer = |inputs: &super::Inputs| inputs.customer.as_ref().map(|it| it.name.clone());
    record.name == desired.name
        && record.inputs.event_type == desired.inputs.event_type
        && customer(&record.inputs) == customer(&desired.inputs)
}

/// Whether two attempts are the same sending. What is asked for may still differ: until it is sent
/// it follows what is desired.
fn is_same_try(one: &Attempt, other: &Attempt) -> bool {
    one.id == other.id && one.started_at == other.started_at
}
