//! UpstreamSubscription: the registration at an app's API, made and owned by Tidegate.
//!
//! It is for people: nothing in it is ever read back to decide anything. What counts is the record
//! that `crate::provision` keeps.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EventTypeReference, LocalReference, conditions_schema, free_form};

/// The registration at an app's API that makes the app call a webhook URI for one customer. Tidegate makes and owns it;
/// deleting it means: unsubscribe and register again.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tidegate.dev",
    version = "v1alpha1",
    kind = "UpstreamSubscription",
    plural = "upstreamsubscriptions",
    shortname = "upsub",
    category = "tidegate",
    namespaced,
    status = "UpstreamSubscriptionStatus",
    derive = "PartialEq",
    doc = "The registration at an app's API that makes the app call a webhook URI for one customer. Tidegate makes and owns it; deleting it means: unsubscribe and register again.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.eventTypeRef.name"),
    printcolumn(
        name = "Customer",
        type_ = "string",
        json_path = ".spec.customerRef.name"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(
        name = "Expires",
        type_ = "date",
        json_path = ".status.registrations[0].expiresAt"
    ),
    printcolumn(
        name = "Error",
        type_ = "string",
        json_path = ".status.lastError",
        priority = "1"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamSubscriptionSpec {
    /// The type whose events the app is to send.
    pub event_type_ref: EventTypeReference,
    /// The customer, of this namespace; absent for a global webhook's registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_ref: Option<LocalReference>,
}

/// What stands at the app, as Tidegate knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamSubscriptionStatus {
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Subscribed`, `Stalled` and `Reconciling`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Where it stands, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SubscriptionState>,
    /// The registrations at the app: one, and two while a new one takes over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub registrations: Vec<RegistrationStatus>,
    /// The webhook URI of the newest registration; its token is shown as `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_uri: Option<String>,
    /// The last Subscription Request; what is sensitive in it is `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<SentRequest>,
    /// The answer to it; what is sensitive in it is `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ReceivedResponse>,
    /// The attempt that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<RegistrationAttempt>,
    /// What went wrong last, in one sentence; absent once it goes well again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When an event came in last, RFC 3339; at most an hour behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_time: Option<String>,
}

/// Where a subscription at an app stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SubscriptionState {
    /// It waits: for something it needs, for its turn in a rollout, or to be tried again.
    Pending,
    /// A registration is being made.
    Subscribing,
    /// The app sends events.
    Active,
    /// The app sends events, and the registration is being renewed.
    Renewing,
    /// The registrations are being removed.
    Unsubscribing,
    /// It cannot be made until something changes.
    Failed,
}

/// A registration at the app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationStatus {
    /// Its number, the last segment of its webhook URI.
    pub number: u32,
    /// The app's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it expires, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it is renewed next, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<String>,
    /// What `response.values` kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "free_form::fields")]
    pub values: BTreeMap<String, Value>,
}

/// A request as it was sent, masked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentRequest {
    /// The HTTP method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub headers: BTreeMap<String, String>,
    /// The body as text, at most 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// When it was sent, RFC 3339.
    pub sent_at: String,
}

/// An answer as it was received, masked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub headers: BTreeMap<String, String>,
    /// The body as text, at most 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// When it was received, RFC 3339.
    pub received_at: String,
}

/// An attempt to make a registration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationAttempt {
    /// Its id, the same in every repetition.
    pub id: String,
    /// The registration's number.
    pub number: u32,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When its answer counts as lost, RFC 3339.
    pub deadline: String,
}
