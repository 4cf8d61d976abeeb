//! How a request is read: `spec.webhook` of an AppEventType. Its trust is in [`super::authentication`].

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AuthenticationEntry, Expression, Subscription, Template, TimeSpan, free_form};

/// Largest body that `maxBodyBytes` may allow: 32 MiB.
pub const MAX_BODY_BYTES_LIMIT: u32 = 32 << 20;

/// How a request is read and trusted. A request passes handshakes, the method, authentication and splitting, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.authentication.size() == 1 || !self.authentication.exists(entry, has(entry.none))").message("none accepts every request, so it must be the only entry of authentication"),
    validation = Rule::new("!has(self.respond) || !has(self.respond.status) || self.respond.status < 300").message("respond.status must be 200 to 299, because it tells the app that its events are safe"),
    validation = Rule::new("!has(self.deduplication) || (has(self.deduplication.by) && self.deduplication.by == 'Content') || (has(self.events) && has(self.events.id))").message("deduplication by id needs events.id; without one write by: Content")
)]
pub struct Webhook {
    /// HTTP methods that make events. Handshakes take any. Default: every method but HEAD and OPTIONS
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 16),
        inner(length(max = 32), regex(pattern = "^[A-Z][A-Z-]*$"))
    )]
    pub methods: Option<Vec<String>>,
    /// Largest body in bytes, also after decompression; a larger one is answered with 413. At most 33554432 (32 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 33_554_432), extend("default" = 1_048_576))]
    pub max_body_bytes: Option<u32>,
    /// Most events in one request; more are answered with 413.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000), extend("default" = 1_000))]
    pub max_events: Option<u32>,
    /// How requests are trusted: one entry must pass, and all methods inside it.
    /// `[{none: {}}]` accepts every request and has to be written out.
    #[schemars(length(min = 1, max = 8))]
    pub authentication: Vec<AuthenticationEntry>,
    /// Requests that are answered and never turned into events, such as the check of a new URI. The first that matches answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub handshakes: Vec<Handshake>,
    /// How a request becomes events. Default: each element of a JSON array is an event, any other body is one event
    #[serde(default, skip_serializing_if = "Events::is_default")]
    pub events: Events,
    /// The app's own notices about a registration, told from events after authentication. The first that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub lifecycle: Vec<LifecycleNotice>,
    /// What a good request is answered. Default: 202 and a JSON object that counts the events
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond: Option<Response>,
    /// When an event counts as seen before. Default: for 24 hours by `events.id`, where that is given
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<Deduplication>,
}

impl Webhook {
    /// `maxBodyBytes`, by default 1 MiB.
    #[must_use]
    pub fn max_body_bytes(&self) -> u32 {
        self.max_body_bytes.unwrap_or(1 << 20)
    }

    /// `maxEvents`, by default 1,000.
    #[must_use]
    pub fn max_events(&self) -> u32 {
        self.max_events.unwrap_or(1_000)
    }

    /// `deduplication`, by default 24 hours by id. Without `events.id` only `Content` recognises anything.
    #[must_use]
    pub fn deduplication(&self) -> Deduplication {
        self.deduplication.clone().unwrap_or_default()
    }
}

/// A request that is answered and never turned into events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.authentication) || self.authentication.size() == 1 || !self.authentication.exists(entry, has(entry.none))").message("none accepts every request, so it must be the only entry of authentication")
)]
pub struct Handshake {
    /// CEL: whether a request is this handshake; an error means no.
    /// Example: `request.method == "POST" && "validationToken" in request.query`
    pub when: Expression,
    /// How such a request is trusted. Default: as every other request of the webhook
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub authentication: Option<Vec<AuthenticationEntry>>,
    /// The answer. Its status is 200 by default.
    pub respond: Response,
    /// What is kept of such a request; once, and only while the registration that it is about is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
}

/// What is kept of a handshake for the registration that is being made. At least one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.signingSecret) || has(self.expiresAt)").message("write signingSecret or expiresAt")
)]
pub struct Capture {
    /// CEL: the signing secret, which `subscription.signingSecret` takes by `fromHandshake`.
    /// Example: `request.headers["x-hook-secret"]`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<Expression>,
    /// CEL: when the registration expires, a timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Expression>,
}

/// A notice of the app about a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleNotice {
    /// CEL over each item: whether it is this notice; an error means no. Such an item makes no event.
    /// Example: `item.lifecycleEvent == "subscriptionRemoved"`
    pub when: Expression,
    /// What follows: `Renew` renews the registration now, `Resubscribe` makes a new one and removes this one, `Gone`
    /// says that the app has removed it, so that a new one is made and nothing removed.
    pub action: LifecycleAction,
}

/// What follows from a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LifecycleAction {
    /// The registration is renewed now.
    Renew,
    /// A new registration is made, then this one removed.
    Resubscribe,
    /// The app has removed it: a new one is made, nothing is removed.
    Gone,
}

/// An answer to the app. At most one of `text` and `body`; without either it is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("not" = {"required": ["text", "body"]}))]
pub struct Response {
    /// HTTP status, 200 to 599. Default: 200 for a handshake, else 202. What accepts events is a 2xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<u16>,
    /// Headers: templates by name. Example: `{Content-Type: text/plain}`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub headers: BTreeMap<String, Template>,
    /// Template of the body as text. Example: `$(request.query["validationToken"][0])`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Template>,
    /// The body as a JSON tree whose texts are templates. Example: `{challenge: $(request.body.challenge)}`
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    #[schemars(schema_with = "free_form::template_tree")]
    pub body: Option<Value>,
}

/// Keeps an explicit null apart from an absent field: `body: null` is the JSON document `null`.
pub(super) fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// How a request becomes events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// Where the events are: a path, or a list of paths of which each starts from the elements of the one before
    /// (`item`). Names and `["…"]`, nothing else. An empty list found there is acknowledged.
    /// Default: the elements of a body that is an array, else the whole body.
    /// Example: `[request.body.entry, item.changes]`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_form::paths")]
    pub from: Option<Paths>,
    /// CEL: which items are events of this type. The others are acknowledged and counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
    /// CEL: what a valid event fulfils. The others are treated as `onInvalid` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<Expression>,
    /// CEL: the CloudEvents `type`. Default: `spec.type`. Example: `"com.example." + item.type`
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<Expression>,
    /// CEL: the id by which a repeated event is recognised. Default: a random id, and no deduplication
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Expression>,
    /// CEL: when it happened, a timestamp or RFC 3339 text. Default: when the request arrived
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Expression>,
    /// CEL: what the event's data is; the schema is checked against the result. Default: the item's own bytes, unchanged
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Expression>,
    /// CEL: CloudEvents extension attributes by name: 1 to 20 lower-case letters and digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub extensions: BTreeMap<String, Expression>,
}

impl Events {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One path, or one path for each level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Paths {
    /// One level.
    One(String),
    /// Several levels, outermost first.
    Many(Vec<String>),
}

impl Paths {
    /// The paths, outermost first.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }
}

/// When an event counts as seen before, and is acknowledged without being stored again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deduplication {
    /// What is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Id"))]
    pub by: Option<DeduplicationKey>,
    /// How long an event is remembered. Default: `24h` by id, `5m` by content
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<TimeSpan>,
}

impl Deduplication {
    /// `by`, by default the id.
    #[must_use]
    pub fn by(&self) -> DeduplicationKey {
        self.by.unwrap_or(DeduplicationKey::Id)
    }

    /// `window`, by default 24 hours by id, and 5 minutes by content because equal content may be meant.
    #[must_use]
    pub fn window(&self) -> TimeSpan {
        self.window.clone().unwrap_or_else(|| match self.by() {
            DeduplicationKey::Id => TimeSpan::hours(24),
            DeduplicationKey::Content => TimeSpan::minutes(5),
        })
    }
}

/// What two events are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeduplicationKey {
    /// The result of `events.id`.
    Id,
    /// The bytes of the event.
    Content,
}

/// One URI for all customers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.customerField) || has(self.customer)").message("customerField says what the result of customer is compared with, so it needs customer"),
    validation = Rule::new("!has(self.registration) || !has(self.registration.signingSecret) || !has(self.registration.signingSecret.customerField)").message("registration belongs to no customer, so its signingSecret cannot be a customerField")
)]
pub struct GlobalWebhook {
    /// Served at `<publicUrl>/<namespace>/<path>`. Default: an unguessable token. Example: `contacts`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 256),
        regex(pattern = "^[A-Za-z0-9_~-][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$")
    )]
    pub path: Option<String>,
    /// CEL for each event: whose it is, a text or a list of texts (one event for each). Nothing makes the event invalid.
    /// Default: events belong to no customer. Example: `string(item.portalId)`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Expression>,
    /// The field of a Customer that the result of `customer` is compared with, as text. Default: the Customer's id
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub customer_field: Option<String>,
    /// What happens to an event of a customer that nobody declared. `Store` keeps it for the subscriptions that take
    /// all customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Store"))]
    pub on_unknown_customer: Option<OnUnknownCustomer>,
    /// How Tidegate makes the app call this URI, for apps whose one URL is set by API: as `spec.subscription`, but
    /// without `customer`. Default: the app is told the URI by hand
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Box<Subscription>>,
}

impl GlobalWebhook {
    /// `onUnknownCustomer`, by default `Store`.
    #[must_use]
    pub fn on_unknown_customer(&self) -> OnUnknownCustomer {
        self.on_unknown_customer.unwrap_or(OnUnknownCustomer::Store)
    }
}

/// What happens to an event of a customer that nobody declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnUnknownCustomer {
    /// It is kept, and delivered to the subscriptions that take all customers.
    Store,
    /// It is kept as a dead letter.
    DeadLetter,
    /// The request is answered with 422 and nothing of it is stored.
    Reject,
}
