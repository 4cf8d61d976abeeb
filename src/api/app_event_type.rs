//! AppEventType: one kind of event that an app can emit.
//!
//! How requests are read is in `webhook`, how the app is made to send them in `subscription`.
//! Presets are not here.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Expression, FieldsSource, GatewayReference, GlobalWebhook, NamespacesFrom, Subscription,
    TextSource, Webhook, conditions_schema, free_form,
};

/// One kind of event that an app can emit: what it looks like, and how a request that carries it is read and trusted.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tidegate.dev",
    version = "v1alpha1",
    kind = "AppEventType",
    plural = "appeventtypes",
    shortname = "aet",
    category = "tidegate",
    namespaced,
    status = "AppEventTypeStatus",
    derive = "PartialEq",
    doc = "One kind of event that an app can emit: what it looks like, and how a request that carries it is read and trusted.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "URI", type_ = "string", json_path = ".status.globalWebhookUri"),
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".spec.type",
        priority = "1"
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
    validation = Rule::new("has(self.schema) || has(self.example) || has(self.schemaFrom) || has(self.exampleFrom)").message("say what the event looks like: write schema, example, schemaFrom or exampleFrom"),
    validation = Rule::new("!(has(self.schema) && has(self.schemaFrom))").message("write at most one of schema and schemaFrom"),
    validation = Rule::new("!(has(self.example) && has(self.exampleFrom))").message("write at most one of example and exampleFrom"),
    validation = Rule::new("!has(self.webhook.handshakes) || !self.webhook.handshakes.exists(one, has(one.capture)) || has(self.subscription) || (has(self.globalWebhook) && has(self.globalWebhook.registration))").message("a handshake's capture keeps something for a registration, so it needs subscription or globalWebhook.registration"),
    validation = Rule::new("!has(self.webhook.lifecycle) || self.webhook.lifecycle.size() == 0 || has(self.subscription) || (has(self.globalWebhook) && has(self.globalWebhook.registration))").message("webhook.lifecycle is about registrations, so it needs subscription or globalWebhook.registration"),
    validation = Rule::new("!has(self.webhook.lifecycle) || !self.webhook.lifecycle.exists(one, one.action == 'Renew') || (has(self.subscription) && has(self.subscription.renewal)) || (has(self.globalWebhook) && has(self.globalWebhook.registration) && has(self.globalWebhook.registration.renewal))").message("action: Renew needs renewal, which says how"),
    validation = Rule::new("!has(self.subscription) || !has(self.subscription.signingSecret) || !has(self.subscription.signingSecret.fromHandshake) || (has(self.webhook.handshakes) && self.webhook.handshakes.exists(one, has(one.capture) && has(one.capture.signingSecret)))").message("subscription.signingSecret: fromHandshake needs a handshake whose capture takes the signingSecret"),
    validation = Rule::new("!has(self.subscription) || !has(self.subscription.renewal) || !has(self.subscription.renewal.before) || (has(self.subscription.response) && has(self.subscription.response.expiresAt)) || (has(self.webhook.handshakes) && self.webhook.handshakes.exists(one, has(one.capture) && has(one.capture.expiresAt)))").message("subscription.renewal.before needs to know when a registration expires: write response.expiresAt or a handshake's capture.expiresAt, or else every"),
    validation = Rule::new("!has(self.globalWebhook) || !has(self.globalWebhook.registration) || !has(self.globalWebhook.registration.signingSecret) || !has(self.globalWebhook.registration.signingSecret.fromHandshake) || (has(self.webhook.handshakes) && self.webhook.handshakes.exists(one, has(one.capture) && has(one.capture.signingSecret)))").message("globalWebhook.registration.signingSecret: fromHandshake needs a handshake whose capture takes the signingSecret"),
    validation = Rule::new("!has(self.globalWebhook) || !has(self.globalWebhook.registration) || !has(self.globalWebhook.registration.renewal) || !has(self.globalWebhook.registration.renewal.before) || (has(self.globalWebhook.registration.response) && has(self.globalWebhook.registration.response.expiresAt)) || (has(self.webhook.handshakes) && self.webhook.handshakes.exists(one, has(one.capture) && has(one.capture.expiresAt)))").message("globalWebhook.registration.renewal.before needs to know when a registration expires: write response.expiresAt or a handshake's capture.expiresAt, or else every")
)]
pub struct AppEventTypeSpec {
    /// The EventGateway that receives these events. Default: the installation's default gateway
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ref: Option<GatewayReference>,
    /// What the event means, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4_096))]
    pub description: Option<String>,
    /// CloudEvents `type` of the events. Default: the name of this object. Example: `com.example.crm.contact.created`
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub type_: Option<String>,
    /// JSON Schema of the event's data, draft 2020-12 unless `$schema` names 2019-09 or 7; at most 256 KiB, no
    /// references to other documents. At least one of schema and example is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_form::object")]
    pub schema: Option<Map<String, Value>>,
    /// An example of the event's data. It must match the schema; without one, the schema is generated from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_form::object")]
    pub example: Option<Map<String, Value>>,
    /// The schema as text in a ConfigMap, instead of `schema`. kubectl drops nulls from inline values, but not from text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_from: Option<TextSource>,
    /// The example as text in a ConfigMap, instead of `example`. It may be any JSON, not only an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example_from: Option<TextSource>,
    /// What happens to an invalid event. `DeadLetter` keeps it with the reasons while the good ones flow; `Reject`
    /// answers 422 and stores nothing of the request; `Accept` waives the schema alone and marks the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "DeadLetter"))]
    pub on_invalid: Option<OnInvalid>,
    /// Other shapes of the same event. The first whose `when` is true counts; if none is, the fields above do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub variants: Vec<Variant>,
    /// What belongs to the app itself and not to a customer.
    #[serde(default, skip_serializing_if = "App::is_default")]
    pub app: App,
    /// How a request is read and trusted.
    pub webhook: Webhook,
    /// One URI for all customers. `{}` makes an unguessable URI whose events belong to no customer. Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_webhook: Option<GlobalWebhook>,
    /// How Tidegate makes the app send events, by a request to the app's own API for each customer. Default: it does not
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Subscription>,
    /// What happens to registrations at the app when they are no longer wanted. `Unsubscribe` removes them; `Orphan` leaves them.
    /// Default: `Unsubscribe`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Whose EventSubscriptions may use this type. They are trusted with its events. Default: the own namespace's
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<TypeNamespaces>,
}

impl AppEventTypeSpec {
    /// `onInvalid`, by default `DeadLetter`.
    #[must_use]
    pub fn on_invalid(&self) -> OnInvalid {
        self.on_invalid.unwrap_or(OnInvalid::DeadLetter)
    }

    /// `deletionPolicy`, by default `Unsubscribe`.
    #[must_use]
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or(DeletionPolicy::Unsubscribe)
    }

    /// Which namespaces may use the type, by default its own.
    #[must_use]
    pub fn namespaces_from(&self) -> NamespacesFrom {
        self.allowed_namespaces
            .as_ref()
            .and_then(|allowed| allowed.from)
            .unwrap_or(NamespacesFrom::Same)
    }
}

/// Another shape of the same event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.schema) || has(self.example) || has(self.schemaFrom) || has(self.exampleFrom)").message("say what the variant looks like: write schema, example, schemaFrom or exampleFrom"),
    validation = Rule::new("!(has(self.schema) && has(self.schemaFrom))").message("write at most one of schema and schemaFrom"),
    validation = Rule::new("!(has(self.example) && has(self.exampleFrom))").message("write at most one of example and exampleFrom")
)]
pub struct Variant {
    /// CEL: which events have this shape. Example: `event.type == "com.example.crm.contact.merged"`
    pub when: Expression,
    /// JSON Schema of the event's data, as `spec.schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_form::object")]
    pub schema: Option<Map<String, Value>>,
    /// An example of the event's data, as `spec.example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_form::object")]
    pub example: Option<Map<String, Value>>,
    /// The schema as text in a ConfigMap, instead of `schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_from: Option<TextSource>,
    /// The example as text in a ConfigMap, instead of `example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example_from: Option<TextSource>,
    /// What happens to an invalid event of this shape. Default: what `spec.onInvalid` says
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_invalid: Option<OnInvalid>,
}

/// What belongs to the app itself. Requests to its API read it as `app.fields`, authentication takes keys from it (`appField`);
/// expressions about received requests do not read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// Values by name. Example: `{appId: "12345"}`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "free_form::fields")]
    pub fields: BTreeMap<String, Value>,
    /// Further values from Secrets (sensitive) and ConfigMaps. Later ones win over earlier ones, `fields` over all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub fields_from: Vec<FieldsSource>,
}

impl App {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens to an invalid event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnInvalid {
    /// It is kept as a dead letter with its reasons; the request is accepted.
    DeadLetter,
    /// The request is answered with 422 and nothing of it is stored.
    Reject,
    /// The schema alone is waived: the event carries `tidegateinvalid: true`. Any other fault makes a dead letter.
    Accept,
}

/// What happens to registrations at the app when they are no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They are removed at the app.
    Unsubscribe,
    /// They stay, and are listed as orphans.
    Orphan,
}

/// The namespaces whose EventSubscriptions may use a type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.selector) == (has(self.from) && self.from == 'Selector')").message("write selector with from: Selector, and only then")
)]
pub struct TypeNamespaces {
    /// `Same`, `All`, or `Selector` with `selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Same"))]
    pub from: Option<NamespacesFrom>,
    /// Which namespaces, by their labels; with `from: Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// What became of an AppEventType.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppEventTypeStatus {
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Stalled` and `Reconciling`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The schema that events are checked against, generated if the type has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_form::object")]
    pub schema: Option<Map<String, Value>>,
    /// The URI of the global webhook; an unguessable token is shown as `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_webhook_uri: Option<String>,
    /// How many UpstreamSubscriptions there are for this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_subscriptions: Option<u32>,
    /// How many of them are subscribed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u32>,
}
