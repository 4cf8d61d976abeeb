//! What is known of one registration when a request about it is made or an answer to one is read.
//!
//! A view, so that requests can also be shown of registrations that there are not yet.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::record::Registration;
use crate::configuration::Sensitive;

/// What is known of one registration.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its number (`attempt.number`).
    pub number: u32,
    /// Its webhook URI, whole; `None` where it has none of its own.
    pub webhook_uri: Option<&'a str>,
    /// `globalWebhookUri` as the app was told it; `None`: as it is now.
    pub global_webhook_uri: Option<&'a str>,
    /// The id of the attempt that makes or made it.
    pub attempt_id: &'a str,
    /// Its signing secret, once there is one.
    pub signing_secret: Option<&'a Sensitive>,
    /// What steps found, by step and value.
    pub steps: &'a BTreeMap<String, BTreeMap<String, Value>>,
    /// The app's id of it.
    pub id: Option<&'a str>,
    /// `subscription.values`.
    pub values: &'a BTreeMap<String, Value>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

impl<'a> From<&'a Registration> for Known<'a> {
    fn from(registration: &'a Registration) -> Self {
        Self {
            number: registration.number,
            webhook_uri: registration.webhook_uri.as_deref(),
            global_webhook_uri: registration.global_webhook_uri.as_deref(),
            attempt_id: &registration.attempt.id,
            signing_secret: registration.signing_secret.as_ref(),
            steps: &registration.steps,
            id: registration.id.as_deref(),
            values: &registration.values,
            expires_at: registration.expires_at,
        }
    }
}
