//! The entry of one registration's webhook URI, and what the gateway reports back about it.
//!
//! There is one for each number of an upstream subscription: its own URI, its own secret. So a
//! request tells by its URI alone whose it is, two registrations can overlap, and a secret can be
//! captured only for the one that is being made.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Sensitive;
use crate::api::LifecycleAction;
use crate::event::{CustomerKey, ObjectName};

/// One registration's webhook URI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistrationEntry {
    /// The UpstreamSubscription.
    pub subscription: ObjectName,
    /// The registration's number, the last segment of the path.
    pub number: u32,
    /// The path below the public URL: `/h/<token>/<number>`, or for a global webhook's registration
    /// that webhook's path and `/<number>`.
    pub path: String,
    /// The AppEventType whose events come in there. One that has no entry is answered 503.
    pub event_type: ObjectName,
    /// What the URI answers.
    pub state: RegistrationState,
}

/// A change of one registration's URI. Registrations come and go one by one, and apart from the
/// configuration: a new customer must not make a gateway read all others again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RegistrationChange {
    /// From now on the URI is served like this.
    Set(RegistrationEntry),
    /// Nothing is known of the path any more.
    Remove {
        /// [`RegistrationEntry::path`].
        path: String,
    },
}

/// What a registration's URI answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RegistrationState {
    /// Requests are taken.
    Live(Box<LiveRegistration>),
    /// It may still stand at the app, and nobody waits for what it sends: requests are acknowledged
    /// and nothing of them is kept.
    Orphaned,
    /// We have removed it at the app: 410, for 30 days.
    Removed,
}

/// What requests to a registration's URI are judged by, beside the type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveRegistration {
    /// Whose events come in there; `None`: a global webhook's registration, where `customer` of
    /// the global webhook decides for each event.
    pub customer: Option<RegistrationCustomer>,
    /// The app's id of it (`subscription.id`); `None` until it is known.
    pub id: Option<String>,
    /// What `response.values` kept (`subscription.values`).
    pub values: BTreeMap<String, Value>,
    /// The value of keys `{signingSecret: {}}`; `None` until it is known: what depends on it is
    /// answered 503.
    pub signing_secret: Option<Sensitive>,
    /// Whether a handshake's `capture` may still give it a secret. A closed capture's handshake
    /// does not match at all.
    pub capture_open: bool,
}

/// The customer of a registration's URI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistrationCustomer {
    /// Whose the events are; `customer.id`.
    pub key: CustomerKey,
    /// Those of its non-sensitive fields that expressions read, as `customer.fields.<name>`.
    pub fields: BTreeMap<String, Value>,
    /// The values of keys `{customerField: x}`, by field; a field that is missing or empty is not
    /// there: what depends on it is answered 503.
    pub keys: BTreeMap<String, Sensitive>,
}

/// Which of the customer's fields a type's `webhook` names; gateways get no others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookFields {
    /// Those that are keys (`{customerField: x}`, also of `signingSecret`).
    pub keys: BTreeSet<String>,
    /// Those that expressions read (`customer.fields.x`); none of them sensitive.
    pub shown: BTreeSet<String>,
}

/// What a handshake gave to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Captured {
    /// The signing secret.
    pub signing_secret: Option<Sensitive>,
    /// When the registration expires.
    pub expires_at: Option<Timestamp>,
}

/// What becomes of something to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaptureAnswer {
    /// It is stored, and live in every gateway; or the same was stored before.
    Taken,
    /// Another secret was captured first: 401.
    Refused,
    /// Nothing is to be captured for this registration any more: as if the handshake did not match.
    Closed,
    /// It could not be stored, or not be made live within 5 s: 503.
    Unavailable,
}

/// A notice could not be stored: 503, so that the app sends it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to store the notice")]
pub struct NotStored;

/// What the gateway tells whoever provisions.
pub trait Reports: Send + Sync {
    /// A handshake gave something to keep for a registration. The answer is given once it is
    /// stored and live.
    fn captured<'a>(
        &'a self,
        subscription: &'a ObjectName,
        number: u32,
        captured: Captured,
    ) -> BoxFuture<'a, CaptureAnswer>;

    /// The app gave notice about a registration. Done once it is stored, so that the request may
    /// then be acknowledged.
    fn noticed<'a>(
        &'a self,
        subscription: &'a ObjectName,
        number: u32,
        action: LifecycleAction,
    ) -> BoxFuture<'a, Result<(), NotStored>>;

    /// An authenticated request came in for a registration. Called for every one, so it must be
    /// cheap and never wait.
    fn received(&self, subscription: &ObjectName, number: u32, at: Timestamp);
}

/// Nobody provisions: nothing can be captured, notices wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReports;

impl Reports for NoReports {
    fn captured<'a>(
        &'a self,
        _: &'a ObjectName,
        _: u32,
        _: Captured,
    ) -> BoxFuture<'a, CaptureAnswer> {
        Box::pin(std::future::ready(CaptureAnswer::Unavailable))
    }

    fn noticed<'a>(
        &'a self,
        _: &'a ObjectName,
        _: u32,
        _: LifecycleAction,
    ) -> BoxFuture<'a, Result<(), NotStored>> {
        Box::pin(std::future::ready(Err(NotStored)))
    }

    fn received(&self, _: &ObjectName, _: u32, _: Timestamp) {}
}
