//! What the requests of one subscription are made from.
//!
//! The record keeps a copy, so that a registration can be removed after the type, the customer and
//! the Secrets are gone. The copy is replaced whenever one of them changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{DeletionPolicy, Subscription};
use crate::configuration::Sensitive;
pub use crate::configuration::WebhookFields;
use crate::event::ObjectName;

/// What the requests of one subscription are made from: what it says, and the values it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// The AppEventType.
    pub event_type: ObjectName,
    /// CloudEvents `type` of its events (`eventType` in expressions).
    pub type_: String,
    /// Whether `subscription` is a global webhook's `registration`.
    pub global: bool,
    /// How to subscribe: the type's `subscription`, or its global webhook's `registration`. All
    /// customers of a type share it.
    pub subscription: Arc<Subscription>,
    /// What happens when it is no longer wanted.
    pub deletion_policy: DeletionPolicy,
    /// The base of webhook URIs, without a slash at its end.
    pub public_url: String,
    /// The path of the type's global webhook, if it has one: below `public_url` it is
    /// `globalWebhookUri`, and the registrations of that webhook are at `<path>/<number>`.
    pub global_webhook_path: Option<String>,
    /// Which of the customer's fields requests to the webhook URI are judged by.
    pub webhook_fields: WebhookFields,
    /// `app.fields`.
    pub app: Fields,
    /// `customer`; `None` for a global webhook's registration.
    pub customer: Option<CustomerInputs>,
}

/// What is wanted of one subscription: that it stands at the app, as `inputs` say.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The UpstreamSubscription: [`super::subscription_name`].
    pub name: ObjectName,
    /// What its requests are made from.
    pub inputs: Arc<Inputs>,
    /// What tells a changed request from the same one: a hash over method, URL and body of the
    /// Subscription Request and of `followUps`, rendered with everything left out that changes
    /// by itself (webhook URI, `now`, `attempt`, `signingSecret`, sensitive values, steps, credentials).
    pub request_hash: String,
    /// Whether another public URL may make it register anew.
    pub allow_re_registration: bool,
}

/// One customer, as requests see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomerInputs {
    /// The Customer object.
    pub name: ObjectName,
    /// `customer.id`.
    pub id: String,
    /// `customer.fields`.
    pub fields: Fields,
}

/// Values by name, apart by whether they may be shown. No name is in both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fields {
    /// What may be shown.
    pub plain: BTreeMap<String, Value>,
    /// What comes from Secrets.
    pub sensitive: BTreeMap<String, Sensitive>,
}
