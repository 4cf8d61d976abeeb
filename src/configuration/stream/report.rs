//! What a pod tells the controller, beside the stream: what it has taken, what handshakes and
//! notices brought, when events came, how it goes with subscriptions. Each is the body of a request
//! of its own, so that an answer can be waited for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::members::Retirement;
use super::partings::Unsent;
use super::revision::Revision;
use crate::api::LifecycleAction;
use crate::configuration::{CaptureAnswer, Captured, Sensitive, SubscriptionHealth};
use crate::event::ObjectName;

/// Refused entries that one acknowledgement names; more are counted only.
pub const MOST_REFUSED: usize = 1_000;

/// Registrations, or subscriptions, of one report.
pub const MOST_REPORTED: usize = 1_000;

/// What a pod has taken. Sent after every revision, and again now and then as a sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The revision; `None`: none yet.
    pub revision: Option<Revision>,
    /// What it could not take of that: all of it, not only of the last change.
    pub refused: Vec<RefusedEntry>,
    /// How many more there are.
    pub further: usize,
    /// How far it is with going; `None`: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retirement: Option<Retirement>,
    /// EventSubscriptions that it has and is not sent any more, at most [`MOST_REPORTED`]; others are
    /// named when these are dealt with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsent: Vec<Unsent>,
}

/// An entry that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEntry {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why, for people; nothing in them is sensitive.
    pub problems: Vec<String>,
}

/// A handshake gave something to keep.
#[derive(Debug, Serialize, Deserialize)]
pub struct CapturedReport {
    /// The UpstreamSubscription.
    pub subscription: ObjectName,
    /// The registration's number.
    pub number: u32,
    /// [`Captured::signing_secret`].
    pub signing_secret: Option<Sensitive>,
    /// [`Captured::expires_at`].
    pub expires_at: Option<Timestamp>,
}

impl From<CapturedReport> for Captured {
    fn from(report: CapturedReport) -> Self {
        let CapturedReport {
            subscription: _,
            number: _,
            signing_secret,
            expires_at,
        } = report;
        Self {
            signing_secret,
            expires_at,
        }
    }
}

/// What became of what a handshake gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedAnswer {
    /// The answer.
    pub answer: CaptureAnswer,
}

/// The app gave notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticedReport {
    /// The UpstreamSubscription.
    pub subscription: ObjectName,
    /// The registration's number.
    pub number: u32,
    /// What follows from it.
    pub action: LifecycleAction,
}

/// When requests came in for registrations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedReport {
    /// At most [`MOST_REPORTED`].
    pub items: Vec<Received>,
}

/// When a request came in for one registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The UpstreamSubscription.
    pub subscription: ObjectName,
    /// The registration's number.
    pub number: u32,
    /// When.
    pub at: Timestamp,
}

/// How it goes with subscriptions: those with which it goes otherwise than last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// At most [`MOST_REPORTED`].
    pub items: Vec<(ObjectName, SubscriptionHealth)>,
}
