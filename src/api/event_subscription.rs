//! EventSubscription: a consumer's interest in the events of a type, with a filter and a sink.
//!
//! Sinks are HTTP only; JetStream and Kafka are not here.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    EventTypeReference, Expression, KeyReference, LocalReference, TimeSpan, conditions_schema,
};

/// A consumer's interest in the events of a type: for one customer, some, or all; with a filter and a sink.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tidegate.dev",
    version = "v1alpha1",
    kind = "EventSubscription",
    plural = "eventsubscriptions",
    shortname = "esub",
    category = "tidegate",
    namespaced,
    status = "EventSubscriptionStatus",
    derive = "PartialEq",
    doc = "A consumer's interest in the events of a type: for one customer, some, or all; with a filter and a sink.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.eventTypeRef.name"),
    printcolumn(
        name = "Customer",
        type_ = "string",
        json_path = ".spec.customerRef.name"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Delivering",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Delivering\")].status"
    ),
    printcolumn(
        name = "Dead",
        type_ = "integer",
        json_path = ".status.deadLetters",
        description = "Dead letters"
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
    validation = Rule::new("!(has(self.customerRef) && has(self.customerSelector))").message("write at most one of customerRef and customerSelector; neither takes every event of the type")
)]
pub struct EventSubscriptionSpec {
    /// The type whose events are wanted.
    pub event_type_ref: EventTypeReference,
    /// The one Customer, of this namespace, whose events are wanted. Where the type has a `subscription`, this makes the
    /// app send them. Without it and without `customerSelector`: every event of the type, also those of no or an unknown
    /// customer, and no registration is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_ref: Option<LocalReference>,
    /// The Customers, of this namespace, whose events are wanted, by their labels. Example: `{matchLabels: {plan: pro}}`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_selector: Option<LabelSelector>,
    /// CEL: which events are wanted. Default: all. Example: `event.data.vip && event.type == "contact.created"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Expression>,
    /// Where the events go.
    pub sink: Sink,
    /// How the events are delivered.
    #[serde(default, skip_serializing_if = "Delivery::is_default")]
    pub delivery: Delivery,
    /// Holds deliveries while events are still received and kept. Default: `false`
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

/// Where events go: exactly one of `uri` and `service`, and how they are sent there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.uri) != has(self.service)").message("write exactly one of uri and service"),
    validation = Rule::new("!has(self.tls) || !has(self.uri) || self.uri.startsWith('https://')").message("tls needs a uri that begins with https://")
)]
pub struct Sink {
    /// An HTTP or HTTPS URL that takes events by POST. Example: `https://orders.example.com/events`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 2_048),
        regex(pattern = "^https?://[^\\s/?#@]+([/?][^\\s#]*)?$")
    )]
    pub uri: Option<String>,
    /// A Kubernetes Service of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSink>,
    /// How an event is written as an HTTP request: CloudEvents `Binary` (data in the body, attributes in headers),
    /// CloudEvents `Structured` (all in one JSON document), or `Raw` (the data alone).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Binary"))]
    pub format: Option<SinkFormat>,
    /// Headers to send, by name; each holds exactly one of `value` and `valueFrom`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub headers: BTreeMap<String, SinkHeader>,
    /// Signs each request as the Standard Webhooks specification says. Default: not signed
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<SinkSigning>,
    /// Trust and client certificate of HTTPS sinks. A `service` with it is called by HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SinkTls>,
}

impl Sink {
    /// `format`, by default CloudEvents in binary mode.
    #[must_use]
    pub fn format(&self) -> SinkFormat {
        self.format.unwrap_or(SinkFormat::Binary)
    }
}

/// A Kubernetes Service of the subscription's namespace. It is called by HTTP, or by HTTPS where the sink has `tls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSink {
    /// Name of the Service.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Port of the Service.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// Path, and query, of the request. Default: `/`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2_048), regex(pattern = "^/[^\\s#]*$"))]
    pub path: Option<String>,
}

impl ServiceSink {
    /// `path`, by default `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("/")
    }
}

/// How an event is written as an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SinkFormat {
    /// CloudEvents in binary mode: the data in the body, the attributes in `ce-` headers.
    Binary,
    /// CloudEvents in structured mode: one JSON document.
    Structured,
    /// The data alone.
    Raw,
}

/// The value of a header. Exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.value) != has(self.valueFrom)").message("write exactly one of value and valueFrom")
)]
pub struct SinkHeader {
    /// The value itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4_096))]
    pub value: Option<String>,
    /// Where a sensitive value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<SecretValue>,
}

/// A value in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretValue {
    /// A key of a Secret in the same namespace.
    pub secret_key_ref: KeyReference,
}

/// How each request is signed: with the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SinkSigning {
    /// The signing key in a Secret of the same namespace: base64, with or without `whsec_`.
    pub secret_key_ref: KeyReference,
}

/// Trust and client certificate of an HTTPS sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.caBundleFrom) || has(self.clientCertificateFrom)").message("write caBundleFrom, clientCertificateFrom or both")
)]
pub struct SinkTls {
    /// Certificate authorities, in PEM, that are trusted instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_from: Option<CaBundleSource>,
    /// The client certificate: a Secret of type `kubernetes.io/tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_from: Option<ClientCertificateSource>,
}

/// Where certificate authorities come from. Exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.configMapKeyRef) != has(self.secretKeyRef)").message("write exactly one of configMapKeyRef and secretKeyRef")
)]
pub struct CaBundleSource {
    /// A key of a ConfigMap in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
    /// A key of a Secret in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
}

/// Where a client certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificateSource {
    /// A Secret of the same namespace with the keys `tls.crt` and `tls.key`.
    pub secret_ref: LocalReference,
}

/// How events are delivered. An event that is not delivered in time becomes a dead letter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) > duration('0s')").message("timeout must be longer than nothing"),
    validation = Rule::new("!has(self.maxAge) || duration(self.maxAge) > duration('0s')").message("maxAge must be longer than nothing")
)]
pub struct Delivery {
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "15s"))]
    pub timeout: Option<TimeSpan>,
    /// How long to wait between attempts: twice as long each time, with full jitter.
    #[serde(default, skip_serializing_if = "Backoff::is_default")]
    pub backoff: Backoff,
    /// How often an event is tried. 0: until `maxAge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 0))]
    pub max_attempts: Option<u32>,
    /// How long an event is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "24h"))]
    pub max_age: Option<TimeSpan>,
    /// How many requests may be open at once, 1 to 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_024), extend("default" = 16))]
    pub max_in_flight: Option<u32>,
    /// Whether a customer's events keep their order. With `PerCustomer` one request per customer is open, and an event
    /// that fails holds back the later ones of its customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "None"))]
    pub ordering: Option<Ordering>,
}

impl Delivery {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `timeout`, by default 15 seconds.
    #[must_use]
    pub fn timeout(&self) -> TimeSpan {
        self.timeout
            .clone()
            .unwrap_or_else(|| TimeSpan::seconds(15))
    }

    /// `maxAttempts`, by default 0: until `maxAge`.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts.unwrap_or(0)
    }

    /// `maxAge`, by default 24 hours.
    #[must_use]
    pub fn max_age(&self) -> TimeSpan {
        self.max_age.clone().unwrap_or_else(|| TimeSpan::hours(24))
    }

    /// `maxInFlight`, by default 16.
    #[must_use]
    pub fn max_in_flight(&self) -> u32 {
        self.max_in_flight.unwrap_or(16)
    }

    /// `ordering`, by default none.
    #[must_use]
    pub fn ordering(&self) -> Ordering {
        self.ordering.unwrap_or(Ordering::None)
    }
}

/// How long to wait between attempts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.initial) || duration(self.initial) > duration('0s')").message("initial must be longer than nothing"),
    validation = Rule::new("!has(self.initial) || !has(self.max) || duration(self.initial) <= duration(self.max)").message("initial must not be longer than max")
)]
pub struct Backoff {
    /// Upper bound of the first wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "1s"))]
    pub initial: Option<TimeSpan>,
    /// Upper bound of every wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "10m"))]
    pub max: Option<TimeSpan>,
}

impl Backoff {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `initial`, by default 1 second.
    #[must_use]
    pub fn initial(&self) -> TimeSpan {
        self.initial.clone().unwrap_or_else(|| TimeSpan::seconds(1))
    }

    /// `max`, by default 10 minutes.
    #[must_use]
    pub fn max(&self) -> TimeSpan {
        self.max.clone().unwrap_or_else(|| TimeSpan::minutes(10))
    }
}

/// Whether events keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Ordering {
    /// No order.
    None,
    /// The order in which the events of each customer were received.
    PerCustomer,
}

/// What became of an EventSubscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventSubscriptionStatus {
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Delivering`, `Stalled` and `Reconciling`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// How many Customers the subscription selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customers: Option<i64>,
    /// How many of its events are dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<i64>,
    /// When its oldest undelivered event was received, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_undelivered: Option<String>,
}
