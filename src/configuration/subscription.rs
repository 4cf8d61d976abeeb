//! The entry of one EventSubscription: everything the dispatcher needs to deliver for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Sensitive;
use crate::event::{CustomerKey, ObjectName};

/// One EventSubscription, its references resolved and its defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionEntry {
    /// The EventSubscription.
    pub name: ObjectName,
    /// Tells an object from an earlier one of the same name: `metadata.uid` in a cluster, made up
    /// and remembered by `dev`. Another uid starts with an empty queue.
    pub uid: String,
    /// The AppEventType whose events it wants.
    pub event_type: ObjectName,
    /// For which customers.
    pub customers: Customers,
    /// CEL over `event`; checked by `compile`. `None`: every event.
    pub filter: Option<String>,
    /// Where events go.
    pub sink: Sink,
    /// How they are sent.
    pub delivery: DeliverySettings,
    /// Hold deliveries, keep receiving.
    pub suspend: bool,
    /// Why nothing can be sent just now although events are kept, for example a Secret that is
    /// missing. Shown to people; holds no sensitive value.
    pub held: Option<String>,
}

/// Which customers' events a subscription gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Customers {
    /// Every event of the type: of any customer, of unknown ones and of none.
    All,
    /// Only events of these customers; resolved from `customerRef` or `customerSelector`.
    Only(Arc<BTreeSet<CustomerKey>>),
}

impl Customers {
    /// Whether an event of `customer` is wanted.
    pub fn admit(&self, customer: Option<&CustomerKey>) -> bool {
        match self {
            Self::All => true,
            Self::Only(customers) => customer.is_some_and(|customer| customers.contains(customer)),
        }
    }
}

/// Where events go and in what form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sink {
    /// An absolute `http` or `https` URL; Services are already resolved to one.
    pub uri: String,
    /// Whether the sink may be at a private address: a Service of its own namespace or a stand-in for one, or what an
    /// administrator allows.
    #[serde(rename = "in_cluster")]
    pub may_be_private: bool,
    /// The form of the request.
    pub format: Format,
    /// Headers added to every request.
    pub headers: Vec<Header>,
    /// Adds Standard Webhooks headers when present.
    pub signing: Option<SigningKey>,
    /// What the TLS connection needs beyond the public roots.
    pub tls: Tls,
}

/// CloudEvents HTTP protocol binding modes, and `Raw`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Attributes as `ce-` headers, the payload as the body.
    Binary,
    /// One JSON document (`application/cloudevents+json`).
    Structured,
    /// The payload alone, with its content type.
    Raw,
}

/// One header of every request to a sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The header's name.
    pub name: String,
    /// Its value; whether or not it came from a Secret it is not shown.
    pub value: Sensitive,
}

/// The key that signs requests to a sink: Standard Webhooks, symmetric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SigningKey(
    /// The key's bytes, already decoded from `whsec_` base64.
    pub Sensitive,
);

/// TLS options of a sink.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tls {
    /// PEM certificates that are trusted instead of the public roots.
    pub ca_bundle: Option<String>,
    /// The certificate shown to the sink.
    pub client_certificate: Option<ClientCertificate>,
}

/// A client certificate (`kubernetes.io/tls`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// PEM chain (`tls.crt`).
    pub certificate: String,
    /// PEM private key (`tls.key`).
    pub key: Sensitive,
}

/// How events are sent: `spec.delivery` with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliverySettings {
    /// Limit of one attempt, from connecting to the end of the answer.
    pub timeout: Duration,
    /// The first delay of the exponential backoff.
    pub backoff_initial: Duration,
    /// The longest delay of the exponential backoff.
    pub backoff_max: Duration,
    /// Attempts after which an event becomes a dead letter; 0: no limit but `max_age`.
    pub max_attempts: u32,
    /// Age since receipt after which an event becomes a dead letter.
    pub max_age: Duration,
    /// Requests open at the same time.
    pub max_in_flight: u32,
    /// Whether order is kept.
    pub ordering: Ordering,
}

/// Whether the events of one customer are delivered in the order they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ordering {
    /// No order is kept.
    None,
    /// One event in flight for each customer; a failing one holds back its customer.
    PerCustomer,
}
