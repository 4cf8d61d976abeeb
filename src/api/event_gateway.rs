//! EventGateway: what receives, stores and delivers events, and how its pods run.
//!
//! Where one process does everything (`tidegate dev`) there are no pods: `replicas`, `storageClassName`, `ingress`,
//! `httpRoute` and `pod` are checked there like anything else and count in a cluster.

mod exposure;
mod pod;
mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use exposure::{GatewayHttpRoute, GatewayIngress, ParentReference};
pub use pod::{GatewayPod, PodResources, Quantity};
pub use status::{DeduplicationScope, EventGatewayStatus, MAX_LISTED_ORPHANS, OrphanStatus};

use super::{ByteSize, NamespacesFrom, TimeSpan};

/// Pods where nothing is said: one may be away while the other takes its requests.
const DEFAULT_REPLICAS: u16 = 2;

/// Pods of one gateway at most.
pub const MOST_REPLICAS: u16 = 100;

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
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.publicUrl"),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".spec.replicas",
        description = "Pods that are wanted"
    ),
    printcolumn(
        name = "Ready Replicas",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Pods that take requests"
    ),
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
#[x_kube(
    validation = Rule::new("!(has(self.ingress) && has(self.httpRoute))").message("write at most one of ingress and httpRoute")
)]
pub struct EventGatewaySpec {
    /// Base of every webhook URI, and what signatures over URLs are computed with: scheme, host and perhaps a path,
    /// without a slash at the end. Example: `https://hooks.example.com`
    #[schemars(
        length(max = 1_024),
        regex(pattern = "^https?://[^\\s/?#@]+(/[^\\s/?#]+)*$")
    )]
    pub public_url: String,
    /// How many pods. Each keeps its own log, and recognises repeated events among its own. Where there shall be fewer, a pod
    /// goes once it has handed over to others what it has not delivered. Counts in a cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MOST_REPLICAS), extend("default" = DEFAULT_REPLICAS))]
    pub replicas: Option<u16>,
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
    /// Has an Ingress lead the host of `publicUrl` here. Default: none; what leads there is made by somebody else. Counts in a
    /// cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<GatewayIngress>,
    /// Has an HTTPRoute of the Gateway API lead the host of `publicUrl` here. Default: none. Counts in a cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<GatewayHttpRoute>,
    /// How the pods are run. Counts in a cluster only.
    #[serde(default, skip_serializing_if = "GatewayPod::is_default")]
    pub pod: GatewayPod,
}

/// Longest name of an EventGateway: the pods' StatefulSet is called after it, and its pods carry that name and a hash in
/// a label, which may have 63 characters.
const MAX_NAME_CHARACTERS: usize = 35;

impl EventGateway {
    /// Why an EventGateway cannot be called `name`, if so.
    #[must_use]
    pub fn name_problem(name: &str) -> Option<String> {
        if name.len() > MAX_NAME_CHARACTERS {
            return Some(format!(
                "has {} characters; an EventGateway's may have at most {MAX_NAME_CHARACTERS}, because its pods are called \
                 after it",
                name.len()
            ));
        }
        name.contains('.').then(|| {
            "has a dot in it; an EventGateway's may have none, because its Services are called after it".to_owned()
        })
    }
}

impl EventGatewaySpec {
    /// A gateway of which nothing is said but its public URL.
    #[must_use]
    pub fn new(public_url: String) -> Self {
        Self {
            public_url,
            replicas: None,
            storage: Storage::default(),
            limits: Limits::default(),
            trusted_proxies: Vec::new(),
            allowed_namespaces: None,
            ingress: None,
            http_route: None,
            pod: GatewayPod::default(),
        }
    }

    /// `replicas`, by default 2.
    #[must_use]
    pub fn replicas(&self) -> u16 {
        self.replicas.unwrap_or(DEFAULT_REPLICAS)
    }

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
    /// Capacity of the event log of each pod. Default: `10Gi`; `1Gi` where one process runs everything (`tidegate dev`).
    /// In a cluster each pod has a PersistentVolumeClaim for it, which asks for a quarter and 256Mi more: for dead letters,
    /// what stands beside the log, and the file system. A larger size expands the claims, where the storage class can; a
    /// smaller one leaves them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// Storage class of the PersistentVolumeClaims; it counts when the gateway is made. Default: the cluster's default class.
    /// Counts in a cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
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

    /// `size` in a cluster, by default 10 GiB.
    #[must_use]
    pub fn size(&self) -> ByteSize {
        self.size.clone().unwrap_or_else(|| ByteSize::gibibytes(10))
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
