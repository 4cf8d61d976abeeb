//! The requests of a subscription, and what an answer to one means.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::configuration::Sensitive;

/// One request of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestKind {
    /// `prepare`, by its position.
    Prepare(usize),
    /// The Subscription Request.
    Subscribe,
    /// `followUps`, by its position.
    FollowUp(usize),
    /// `lookup`: its first page, or the one at the URL that the page before named.
    Lookup(Option<String>),
    /// `renewal.request`.
    Renew,
    /// `unsubscribe.steps`, by its position.
    Unsubscribe(usize),
}

impl RequestKind {
    /// The name as metrics and traces show it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Prepare(_) => "Prepare",
            Self::Subscribe => "Subscribe",
            Self::FollowUp(_) => "FollowUp",
            Self::Lookup(_) => "Lookup",
            Self::Renew => "Renew",
            Self::Unsubscribe(_) => "Unsubscribe",
        }
    }
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It did what it was for.
    Succeeded(Findings),
    /// A page of a lookup.
    Found {
        /// The ids of registrations that are ours.
        ids: Vec<String>,
        /// The URL of the next page.
        next: Option<String>,
    },
    /// `conflict`: such a registration exists already.
    Conflict(String),
    /// What it was about does not exist any more: a status of `gone`, or a 404 or 410 for a renewal.
    Gone,
    /// The app said no, and did nothing: it may be tried again, but not at once.
    Refused {
        /// Why, in one sentence without anything sensitive.
        error: String,
        /// How long the app asks to wait.
        retry_after: Option<Duration>,
    },
    /// It surely never reached the app: our own templates, guard or limits, a name that does not
    /// resolve, a connection that was refused.
    NotSent {
        /// Why, in one sentence without anything sensitive.
        error: String,
        /// How long to wait at least.
        retry_after: Option<Duration>,
    },
    /// It may have done what it was for, or not: no answer, a 5xx, an answer that could not be read.
    Unknown {
        /// Why, in one sentence without anything sensitive.
        error: String,
        /// How long the app asks to wait.
        retry_after: Option<Duration>,
    },
}

impl Outcome {
    /// The name as metrics and traces show it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded(_) | Self::Found { .. } => "Succeeded",
            Self::Conflict(_) => "Conflict",
            Self::Gone => "Gone",
            Self::Refused { .. } => "Refused",
            Self::NotSent { .. } => "NotSent",
            Self::Unknown { .. } => "Unknown",
        }
    }
}

/// What was read from the answer to a request that succeeded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// `response.id`.
    pub id: Option<String>,
    /// `response.expiresAt`.
    pub expires_at: Option<Timestamp>,
    /// `response.values`, or those of a step.
    pub values: BTreeMap<String, Value>,
    /// `signingSecret.fromResponse`, or that of a step.
    pub signing_secret: Option<Sensitive>,
}
