//! What became of a request, as metrics, logs and the admin API name it.
//!
//! The names are the gateway's own and few: nothing a request carried ever becomes a label.

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use serde::{Serialize, Serializer};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its events are on disk, or nothing of it had to be.
    Accepted,
    /// A handshake was answered.
    Handshake,
    /// No such URI.
    NotFound,
    /// A token of ours that this pod has not heard of yet.
    TokenNotHereYet,
    /// The URI of a registration that may still stand at the app, and that nobody waits for:
    /// acknowledged, and nothing kept.
    Orphaned,
    /// The URI of a registration that we have removed.
    Removed,
    /// A method that the type does not list.
    MethodNotAllowed,
    /// No entry of `authentication` passed.
    Unauthenticated,
    /// A body that does not parse, or a handshake that cannot be answered.
    Malformed,
    /// An event is invalid or of an unknown customer, and the type rejects such requests.
    Rejected,
    /// Too many bytes or events.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// The body broke off.
    Incomplete,
    /// A content coding we do not read.
    UnsupportedCoding,
    /// Over `limits.requestsPerSecond`, or more open requests than one client may have.
    RateLimited,
    /// More open requests or bodies than the process has room for.
    Overloaded,
    /// There is no configuration yet.
    NotConfigured,
    /// This pod goes, and takes nothing more.
    Leaving,
    /// The event type has never been good.
    TypeUnusable,
    /// A key of ours is missing.
    KeyMissing,
    /// A registration, or its customer, lacks what its type reads.
    RegistrationIncomplete,
    /// What a handshake gave to keep, or a notice, was not stored.
    NotReported,
    /// The event log is full.
    StorageFull,
    /// The event log, or that of the dead letters, failed.
    StorageFailed,
    /// A fault of ours.
    Failed,
    /// The client went away before the answer.
    Abandoned,
}

impl Outcome {
    /// The name as metrics, logs and the admin API show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Handshake => "handshake",
            Self::NotFound => "not_found",
            Self::TokenNotHereYet => "token_not_here_yet",
            Self::Orphaned => "orphaned",
            Self::Removed => "removed",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unauthenticated => "unauthenticated",
            Self::Malformed => "malformed",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Incomplete => "incomplete",
            Self::UnsupportedCoding => "unsupported_coding",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::NotConfigured => "not_configured",
            Self::Leaving => "leaving",
            Self::TypeUnusable => "type_unusable",
            Self::KeyMissing => "key_missing",
            Self::RegistrationIncomplete => "registration_incomplete",
            Self::NotReported => "not_reported",
            Self::StorageFull => "storage_full",
            Self::StorageFailed => "storage_failed",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether somebody who runs the gateway has to do something about it.
    pub fn is_our_fault(self) -> bool {
        match self {
            Self::TypeUnusable
            | Self::KeyMissing
            | Self::RegistrationIncomplete
            | Self::NotReported
            | Self::StorageFull
            | Self::StorageFailed
            | Self::Overloaded
            | Self::Failed => true,
            Self::Accepted
            | Self::Handshake
            | Self::NotFound
            | Self::TokenNotHereYet
            | Self::Orphaned
            | Self::Removed
            | Self::MethodNotAllowed
            | Self::Unauthenticated
            | Self::Malformed
            | Self::Rejected
            | Self::TooLarge
            | Self::TooSlow
            | Self::Incomplete
            | Self::UnsupportedCoding
            | Self::RateLimited
            | Self::NotConfigured
            | Self::Leaving
            | Self::Abandoned => false,
        }
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How many events of a request came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventCounts {
    /// Stored.
    pub accepted: u64,
    /// Recognised as stored before.
    pub duplicates: u64,
    /// Kept as dead letters.
    pub dead_lettered: u64,
    /// Not wanted: `events.when` is false.
    pub skipped: u64,
    /// Not authenticated, while others of the request were.
    pub refused: u64,
}
