//! The record of one subscription: the only thing that counts, across every restart.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Inputs;
use crate::api::{ReceivedResponse, SentRequest};
use crate::configuration::Sensitive;
use crate::event::ObjectName;

/// What is known of one subscription at an app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The UpstreamSubscription that shows it.
    pub name: ObjectName,
    /// The unguessable part of its webhook URIs: `/h/<token>/<number>`. A global webhook's
    /// registrations are below that webhook's own path instead.
    pub token: String,
    /// The number of the next registration. None is ever used twice.
    pub next_number: u32,
    /// What its requests are made from; as of when they last changed.
    pub inputs: Inputs,
    /// The registrations there are, may be, or are being made or removed; oldest first.
    pub registrations: Vec<Registration>,
}

/// One registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// Its number.
    pub number: u32,
    /// Its webhook URI, whole; `None` where requests name `globalWebhookUri` and not `webhookUri`.
    pub webhook_uri: Option<String>,
    /// [`super::Desired::request_hash`] of the request that made it.
    pub request_hash: String,
    /// The attempt that makes or made it.
    pub attempt: Attempt,
    /// Its signing secret, once there is one.
    pub signing_secret: Option<Sensitive>,
    /// What steps found, by step and value (`steps.<name>.<value>`).
    pub steps: BTreeMap<String, BTreeMap<String, Value>>,
    /// The app's id of it.
    pub id: Option<String>,
    /// `subscription.values`.
    pub values: BTreeMap<String, Value>,
    /// When it was made.
    pub since: Option<Timestamp>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it is renewed next.
    pub renew_at: Option<Timestamp>,
    /// The request as it was sent last, masked.
    pub request: Option<SentRequest>,
    /// The answer to it, masked.
    pub response: Option<ReceivedResponse>,
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
}
