//! What became of an EventGateway: how many pods there are, what they have taken in, and what may be left at apps.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{EventTypeReference, conditions_schema};

/// Most orphans that are listed. Further ones are counted by a metric, and each is in the status of its
/// UpstreamSubscription as long as there is one.
pub const MAX_LISTED_ORPHANS: usize = 100;

/// What became of an EventGateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventGatewayStatus {
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Stalled` and `Reconciling`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// How many pods there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How many of them take requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Which pods are the gateway's, as a label selector; for the `scale` subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The newest configuration that every connected pod has taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_revision: Option<String>,
    /// What a repeated event is compared with: the events of the same pod, or those of the whole gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<DeduplicationScope>,
    /// Registrations that may stand at an app without our being able to remove them, the newest 100. Somebody has to look
    /// after them there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_LISTED_ORPHANS))]
    pub orphans: Vec<OrphanStatus>,
}

/// What a repeated event is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeduplicationScope {
    /// The events of the same pod: a repetition that reaches another pod is a second event with the same id.
    PerPod,
    /// All events of the gateway, which has one pod.
    PerGateway,
}

/// A registration that may stand at an app without our being able to remove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrphanStatus {
    /// The AppEventType.
    pub event_type_ref: EventTypeReference,
    /// Name of the Customer; absent for a global webhook's registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Namespace of the UpstreamSubscription, which is the Customer's.
    pub namespace: String,
    /// The number of the registration.
    pub number: u32,
    /// The last number of several like it in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_number: Option<u32>,
    /// The app's id of it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why it was left, in one word.
    pub reason: String,
    /// Since when, RFC 3339.
    pub since: String,
}
