//! EventGateway: what receives, stores and delivers events.
//!
//! How its pods run (replicas, ingress, pod) is not here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{ByteSize, NamespacesFrom, TimeSpan, conditions_schema};

/// What receives, stores and delivers events.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tidegate.dev",
    version = "v1alpha1",
    kind = "EventGateway",
    plural = "eventgateways",
    shortname = "egw",
    category = "tidegate",
    namespaced,
    status = "EventGatewayStatus",
    derive = "PartialEq",
    doc = "What receives, stores and delivers events.",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.publicUrl"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = "1"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct EventGatewaySpec {
    /// Base of every webhook URI, and what signatures over URLs are computed with: scheme, host and perhaps a path,
    /// without a slash at the end. Example: `https://hooks.example.com`
    #[schemars(
        length(max = 1_024),
        regex(pattern = "^https?://[^\\s/?#@]+(/[^\\s/?#]+)*$")
    )]
    pub public_url: String,
    /// Where events are kept.
    #[serde(default, skip_serializing_if = "Storage::is_default")]
    pub storage: Storage,
    /// Bounds for the gateway as a whole.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// Addresses, or networks in CIDR notation, of the proxies in front of the gateway. What they say about a client's
    /// address is believed. Default: none. Example: `[10.0.0.0/8]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 43), regex(pattern = "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"))
    )]
    pub trusted_proxies: Vec<String>,
    /// Whose AppEventTypes may use this gateway. Default: those of all namespaces
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<GatewayNamespaces>,
}

impl EventGatewaySpec {
    /// Which namespaces may use the gateway, by default all.
    #[must_use]
    pub fn namespaces_from(&self) -> NamespacesFrom {
        self.allowed_namespaces
            .as_ref()
            .and_then(|allowed| allowed.from)
            .unwrap_or(NamespacesFrom::All)
    }
}

/// Where events are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Capacity of the event log. Default: `10Gi`; `1Gi` where one process runs everything (`tidegate dev`)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// How long delivered events are kept for replay, as far as there is space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "72h"))]
    pub replay_retention: Option<TimeSpan>,
}

impl Storage {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `replayRetention`, by default 72 hours.
    #[must_use]
    pub fn replay_retention(&self) -> TimeSpan {
        self.replay_retention
            .clone()
            .unwrap_or_else(|| TimeSpan::hours(72))
    }
}

/// Bounds for a gateway as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Requests a second for each pod; what is over is answered with 429. Default: no limit
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: Option<u32>,
    /// Open connections for each pod, of which one client address holds at most half. Default: 10000
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: Option<u32>,
    /// How many percent of the log the undelivered events of one subscription may hold. What is over becomes dead letters,
    /// the oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100), extend("default" = 20))]
    pub undelivered_share: Option<u8>,
}

impl Limits {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `connections`, by default 10,000.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections.unwrap_or(10_000)
    }

    /// `undeliveredShare` in percent, by default 20.
    #[must_use]
    pub fn undelivered_share(&self) -> u8 {
        self.undelivered_share.unwrap_or(20)
    }
}

/// The namespaces whose AppEventTypes may use a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.selector) == (has(self.from) && self.from == 'Selector')").message("write selector with from: Selector, and only then")
)]
pub struct GatewayNamespaces {
    /// `Same`, `All`, or `Selector` with `selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "All"))]
    pub from: Option<NamespacesFrom>,
    /// Which namespaces, by their labels; with `from: Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

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
}
