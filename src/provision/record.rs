//! The record of one subscription: the only thing that counts, across every restart.
//!
//! It is written before anything is sent, so after a crash it still says what may stand at the app.
//! What people see of it is made by `super::status`; which requests follow from it is decided by
//! `super::plan`. It holds every secret that the subscription needs, so whoever keeps it keeps it
//! as one.

mod file;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use file::{ReadError, read, write};

use super::Inputs;
use crate::api::{LifecycleAction, ReceivedResponse, SentRequest};
use crate::configuration::Sensitive;
use crate::event::ObjectName;

/// What is known of one subscription at an app.
///
/// A record outlives its last registration: for 30 days the URIs of removed registrations answer
/// 410, and a new wish within that time goes on in the same record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The UpstreamSubscription that shows it.
    pub name: ObjectName,
    /// The unguessable part of its webhook URIs: `/h/<token>/<number>`. A global webhook's
    /// registrations are below that webhook's own path instead.
    pub token: String,
    /// The number of the next registration. None is ever used twice.
    pub next_number: u32,
    /// What its requests are made from; as of when they last changed. Once nothing is left that
    /// could be requested, the sensitive values are taken out.
    pub inputs: Arc<Inputs>,
    /// The registrations there are, may be, or are being made or removed; oldest first.
    pub registrations: Vec<Registration>,
    /// The registrations that were removed, oldest first: their URIs answer 410. Not those that may
    /// still stand: see `left_behind`.
    #[serde(default)]
    pub removed: Vec<Removed>,
    /// What may stand at the app without our being able to remove it, for people to look after.
    #[serde(default)]
    pub orphans: Vec<Orphan>,
    /// The URIs of orphans, oldest first: they are served for as long as the app may call them.
    #[serde(default)]
    pub left_behind: Vec<LeftBehind>,
    /// Why no registration could be made yet; counted over all numbers, so that starting over does
    /// not start the backoff over.
    #[serde(default)]
    pub making: Option<Trouble>,
    /// The scheduled lookups (`lookup.every`).
    #[serde(default)]
    pub watch: Watch,
    /// When an event came in last; at most an hour behind.
    #[serde(default)]
    pub last_event_at: Option<Timestamp>,
}

/// One registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// Its number.
    pub number: u32,
    /// Where it stands.
    pub phase: Phase,
    /// Since when it is to go, and why. It is removed as soon as it is known what there is to remove.
    #[serde(default)]
    pub leaving: Option<Leaving>,
    /// The path of its webhook URI, below the public URL.
    pub path: String,
    /// While a request in place tells the app another path: the one that it knows so far. Both are served.
    #[serde(default)]
    pub former_path: Option<String>,
    /// Its webhook URI, whole; `None` where requests name `globalWebhookUri` and not `webhookUri`.
    pub webhook_uri: Option<String>,
    /// `globalWebhookUri` as of when it was made: a lookup must find it by what the app was told.
    #[serde(default)]
    pub global_webhook_uri: Option<String>,
    /// It stands at the URI of the registration of this other number, which stays: so the URI goes
    /// on being served after this one is removed.
    #[serde(default)]
    pub twin_of: Option<u32>,
    /// [`super::Desired::request_hash`] of the request that the app has carried out last. Empty
    /// where that is not known for certain.
    pub request_hash: String,
    /// The attempt that makes or made it.
    pub attempt: Attempt,
    /// Whether it is made, or sent again, because the request changed. Such work takes turns.
    #[serde(default)]
    pub is_change: bool,
    /// Its signing secret, once there is one.
    pub signing_secret: Option<Sensitive>,
    /// When a handshake gave something to keep.
    #[serde(default)]
    pub captured_at: Option<Timestamp>,
    /// What steps found, by step and value (`steps.<name>.<value>`).
    pub steps: BTreeMap<String, BTreeMap<String, Value>>,
    /// The app's id of it.
    pub id: Option<String>,
    /// `subscription.values`.
    pub values: BTreeMap<String, Value>,
    /// When it was made.
    pub since: Option<Timestamp>,
    /// When it was made or renewed last: its lifetime counts from here.
    #[serde(default)]
    pub renewed_at: Option<Timestamp>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it is renewed next.
    pub renew_at: Option<Timestamp>,
    /// What the app, or a lookup, said about it that has not been acted upon yet.
    #[serde(default)]
    pub notice: Option<LifecycleAction>,
    /// Why it could not be renewed, looked up or removed yet.
    #[serde(default)]
    pub trouble: Option<Trouble>,
    /// The request as it was sent last, masked.
    pub request: Option<SentRequest>,
    /// The answer to it, masked.
    pub response: Option<ReceivedResponse>,
}

/// Where a registration stands.
///
/// There is no phase for renewing: renewing may be repeated, so it needs no intent, and it is
/// renewing while `renew_at` has passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    /// `prepare` is under way. Nothing of it is at the app.
    Preparing {
        /// The position of the next step.
        next: usize,
    },
    /// Nothing of it is at the app for certain; the Subscription Request is to be tried (again).
    Waiting,
    /// The Subscription Request is about to be sent, or was: the attempt is open. With `since` it
    /// is sent again in place.
    Subscribing,
    /// The answer was lost, and the same attempt is to be repeated: it is idempotent, or in place.
    Unsure,
    /// The answer was lost, or the app said that it exists already: it is looked for.
    Resolving(Search),
    /// `followUps` are under way. It is at the app.
    FollowingUp {
        /// The position of the next step.
        next: usize,
    },
    /// It is at the app, but the handshake that brings its secret has not come yet.
    AwaitingSecret {
        /// When waiting is given up.
        until: Timestamp,
    },
    /// The app sends events.
    Active,
    /// `unsubscribe.steps` are under way.
    Removing {
        /// The position of the next step.
        next: usize,
    },
}

/// A search for a registration, over pages and, where it finds nothing, twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// When all pages were seen and nothing was found. Once more, `settle` later, means: not there.
    pub empty_at: Option<Timestamp>,
    /// The pages of this round. Not stored: a search that was interrupted begins at the first page.
    #[serde(skip)]
    pub round: Round,
}

/// One round of a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Round {
    /// The URL of the next page; `None`: the first.
    pub page: Option<String>,
    /// How many pages were seen.
    pub pages: u32,
    /// The ids that were found on them, in order.
    pub found: Vec<String>,
}

/// The scheduled lookups of the registration that stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// When one last found it.
    pub found_at: Option<Timestamp>,
    /// The one that is under way.
    pub search: Search,
    /// Why it could not be looked up.
    pub trouble: Option<Trouble>,
}

/// That a registration is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: Departure,
}

/// Why a registration is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Departure {
    /// It is no longer wanted. Only here does `deletionPolicy` apply.
    Unwanted,
    /// A newer one has taken over.
    Replaced,
    /// It could not be brought to work, and another is made.
    Failed,
}

/// An attempt to make a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// A UUID; the same in every repetition (`attempt.id`).
    pub id: String,
    /// When it was stored, just before the request is sent.
    pub started_at: Timestamp,
    /// When an answer counts as lost.
    pub deadline: Timestamp,
    /// [`super::Desired::request_hash`] of what it asks for.
    #[serde(default)]
    pub request_hash: String,
    /// Whether it is a repetition of a request that may have been carried out: then a refusal does
    /// not mean that nothing was made.
    #[serde(default)]
    pub repeated: bool,
}

/// A registration that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its number.
    pub number: u32,
    /// The path of its webhook URI.
    pub path: String,
    /// When it was removed.
    pub at: Timestamp,
}

/// What may stand at the app without our being able to remove it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Orphan {
    /// The number of the registration.
    pub number: u32,
    /// The last number of several like it in a row: the same as `number` for one alone.
    pub last_number: u32,
    /// The app's id of it, if that is known.
    pub id: Option<String>,
    /// The request that made it, or may have, masked.
    pub request: Option<SentRequest>,
    /// Why it is here.
    pub why: OrphanReason,
    /// Since when.
    pub since: Timestamp,
}

/// The webhook URI of an orphan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// The number of the registration.
    pub number: u32,
    /// The path of its webhook URI.
    pub path: String,
    /// What its requests are judged by. `None`: nobody waits for what it sends, because nothing is
    /// wanted any more, because another registration has taken over, or because what it signs with
    /// is not known. Then requests are acknowledged and nothing is kept.
    pub known: Option<KnownOfOrphan>,
}

/// What is known of an orphan whose events are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownOfOrphan {
    /// The app's id of it.
    pub id: Option<String>,
    /// `subscription.values`.
    pub values: BTreeMap<String, Value>,
    /// Its signing secret.
    pub signing_secret: Option<Sensitive>,
}

/// Why something is on the orphan list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrphanReason {
    /// The answer to the request that may have made it was lost, and nothing can find it.
    AnswerLost,
    /// The app said that it exists already, and nothing can find it.
    Conflict,
    /// No `unsubscribe` is declared.
    NoUnsubscribe,
    /// `deletionPolicy: Orphan`.
    Policy,
    /// It could not be removed within `giveUpAfter`.
    GaveUp,
    /// A lookup that does not tell registrations apart by their own URI found it.
    NotSurelyOurs,
}

/// Failures in a row, and when it is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// How many failures there were since the last success.
    pub failures: u32,
    /// How many of the last ones in a row were refusals.
    pub refusals: u32,
    /// When the first one was.
    pub since: Timestamp,
    /// When it is tried again.
    pub retry_at: Timestamp,
    /// What the last one was.
    pub kind: TroubleKind,
    /// What the last one was, in one sentence without anything sensitive.
    pub error: String,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TroubleKind {
    /// The app said no.
    Refused,
    /// The request never reached the app.
    NotSent,
    /// There was no answer, or none that says what has happened.
    NoAnswer,
    /// The app accepted the registration but it did not come to work: no secret, a failed follow-up.
    Unfinished,
}

impl Record {
    /// The registration of a number.
    #[must_use]
    pub fn registration(&self, number: u32) -> Option<&Registration> {
        let mut all = self.registrations.iter();
        all.find(|registration| registration.number == number)
    }

    /// The registration that stands for the subscription: the newest that is not to go.
    #[must_use]
    pub fn current(&self) -> Option<&Registration> {
        let mut newest_first = self.registrations.iter().rev();
        newest_first.find(|registration| registration.leaving.is_none())
    }

    /// The registration whose events count: the newest that the app has, and that is not to go.
    #[must_use]
    pub fn serving(&self) -> Option<&Registration> {
        let mut newest_first = self.registrations.iter().rev();
        newest_first
            .find(|registration| registration.leaving.is_none() && registration.since.is_some())
    }

    /// Whether two records are the same in everything that is stored. What is not, the pages of a
    /// search that is under way, needs no write.
    #[must_use]
    pub fn is_stored_like(&self, other: &Self) -> bool {
        self == other || self.without_rounds() == other.without_rounds()
    }

    fn without_rounds(&self) -> Self {
        let mut record = self.clone();
        record.watch.search.round = Round::default();
        for registration in &mut record.registrations {
            if let Phase::Resolving(search) = &mut registration.phase {
                search.round = Round::default();
            }
        }
        record
    }

    pub(super) fn registration_mut(&mut self, number: u32) -> Option<&mut Registration> {
        let mut all = self.registrations.iter_mut();
        all.find(|registration| registration.number == number)
    }
}

impl Registration {
    /// Whether it is at the app, as far as is known.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active && self.leaving.is_none()
    }

    /// Whether it is being made, so that a handshake may give it a secret.
    #[must_use]
    pub fn is_being_made(&self) -> bool {
        match self.phase {
            Phase::Subscribing
            | Phase::Unsure
            | Phase::Resolving(_)
            | Phase::FollowingUp { .. }
            | Phase::AwaitingSecret { .. } => true,
            Phase::Preparing { .. } | Phase::Waiting | Phase::Active | Phase::Removing { .. } => {
                false
            }
        }
    }
}
