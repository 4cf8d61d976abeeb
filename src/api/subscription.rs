//! How Tidegate subscribes at an app's own API: `spec.subscription` and
//! `globalWebhook.registration` of an AppEventType, both in the same shape.
//!
//! Requests are templates, what is read from answers is CEL. What a missing field means stands in
//! methods beside the fields; what the parts do together is `crate::provision`'s.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::webhook::present;
use super::{Expression, Template, TimeSpan, free_form};

/// How to subscribe at the app's own API for one customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.lookup) || !has(self.lookup.onFound) || self.lookup.onFound != 'Adopt' || !has(self.signingSecret) || !has(self.signingSecret.fromResponse)").message("lookup.onFound must not be Adopt where signingSecret is fromResponse, because the secret of a registration that was found is not known; write Replace"),
    validation = Rule::new("!has(self.lookup) || !has(self.lookup.onFound) || self.lookup.onFound != 'Replace' || has(self.unsubscribe)").message("lookup.onFound: Replace removes what was found, so it needs unsubscribe"),
    validation = Rule::new("!has(self.quietPeriod) || duration(self.quietPeriod) > duration('0s')").message("quietPeriod must be longer than nothing")
)]
pub struct Subscription {
    /// What a changed request means. `Overlap` makes a new registration first and then removes the old one; `InPlace`
    /// sends the request again under the same number, URI and secret. Default: `InPlace` where the request is a PUT,
    /// else `Overlap`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// How hard the app's API may be called.
    #[serde(default, skip_serializing_if = "RequestLimits::is_default")]
    pub limits: RequestLimits,
    /// Hosts that requests may go to, each a name or `*.` and a domain. Needed where a URL's host is a placeholder.
    /// Default: the hosts written out in the URLs. Example: `["*.crm.example"]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "free_form::hosts")]
    pub hosts: Vec<String>,
    /// The secret that the app signs its webhooks with, one for each registration; `signingSecret` in expressions and keys.
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<SigningSecret>,
    /// An access token that is obtained first, and cached until it expires; `credentials.accessToken` in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// What every request below has, unless it says otherwise.
    #[serde(default, skip_serializing_if = "RequestDefaults::is_default")]
    pub defaults: RequestDefaults,
    /// Steps before the request, once for each registration. Their results are `steps.<name>.<value>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub prepare: Vec<Step>,
    /// The Subscription Request, sent the first time an EventSubscription selects a customer for this type.
    pub request: OutgoingRequest,
    /// What the answer to the request means.
    #[serde(default, skip_serializing_if = "ResponseRules::is_default")]
    pub response: ResponseRules,
    /// Steps after the request, such as verifying or enabling. They may be repeated, after a crash for example. If one
    /// fails for good, the registration is removed and made anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub follow_ups: Vec<Step>,
    /// Finds a registration at the app when the answer to the request was lost. Without it such a request is repeated,
    /// and the registration that may have been made is listed as an orphan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<Lookup>,
    /// Keeps a registration from expiring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// Removes a registration. Without it, a registration that is no longer wanted is listed as an orphan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<Unsubscribe>,
    /// How a change that makes many customers register anew is carried out.
    #[serde(default, skip_serializing_if = "Rollout::is_default")]
    pub rollout: Rollout,
    /// When nothing was received for so long, a condition and an Event say so. Default: never
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_period: Option<TimeSpan>,
}

impl Subscription {
    /// `change`, by default `InPlace` for a PUT and `Overlap` for anything else.
    #[must_use]
    pub fn change(&self) -> Change {
        self.change.unwrap_or(match self.request.method.as_deref() {
            Some("PUT") => Change::InPlace,
            _ => Change::Overlap,
        })
    }

    /// `lookup.onFound`: by default `Replace` where the signing secret is only in the answer to the request or in a
    /// handshake, because neither comes again, else `Adopt`.
    #[must_use]
    pub fn on_found(&self) -> OnFound {
        let lost = self.signing_secret.as_ref().is_some_and(|secret| {
            secret.from_response.is_some() || secret.from_handshake.is_some()
        });
        let written = self.lookup.as_ref().and_then(|lookup| lookup.on_found);
        written.unwrap_or(match lost {
            true => OnFound::Replace,
            false => OnFound::Adopt,
        })
    }
}

/// What a changed request means for the registrations there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Change {
    /// A new registration is made first, then the old one is removed.
    Overlap,
    /// The request is sent again with the same number, URI and secret; nothing is removed.
    InPlace,
}

/// How hard an app's API may be called.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) > duration('0s')").message("timeout must be longer than nothing")
)]
pub struct RequestLimits {
    /// Requests a second to one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000), extend("default" = 20))]
    pub requests_per_second: Option<u32>,
    /// Requests to one host at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256), extend("default" = 8))]
    pub concurrency: Option<u32>,
    /// How long an answer may take. Default: `30s`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
}

impl RequestLimits {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `requestsPerSecond`, by default 20.
    #[must_use]
    pub fn requests_per_second(&self) -> u32 {
        self.requests_per_second.unwrap_or(20)
    }

    /// `concurrency`, by default 8.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.concurrency.unwrap_or(8)
    }

    /// `timeout`, by default 30 seconds.
    #[must_use]
    pub fn timeout(&self) -> TimeSpan {
        self.timeout
            .clone()
            .unwrap_or_else(|| TimeSpan::seconds(30))
    }
}

/// Where a registration's signing secret comes from. Exactly one of the fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.generate), has(self.fromResponse), has(self.fromHandshake), has(self.customerField)].exists_one(one, one)").message("write exactly one of generate, fromResponse, fromHandshake and customerField")
)]
pub struct SigningSecret {
    /// Tidegate makes a random one for each registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<GeneratedSecret>,
    /// CEL: the app says it in its answer to the request. Example: `response.body.secret`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_response: Option<Expression>,
    /// The app says it in a handshake whose `capture` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_handshake: Option<FromHandshake>,
    /// Name of a field of the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub customer_field: Option<String>,
}

/// Written as `fromHandshake: {}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct FromHandshake {}

/// How a signing secret is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedSecret {
    /// How many random bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 96), extend("default" = 32))]
    pub bytes: Option<u32>,
    /// How they are written as text. `Whsec` is `whsec_` and Base64, as Standard Webhooks writes secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Hex"))]
    pub encoding: Option<SecretEncoding>,
}

impl GeneratedSecret {
    /// `bytes`, by default 32.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        self.bytes.unwrap_or(32)
    }

    /// `encoding`, by default hexadecimal.
    #[must_use]
    pub fn encoding(&self) -> SecretEncoding {
        self.encoding.unwrap_or(SecretEncoding::Hex)
    }
}

/// How random bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SecretEncoding {
    /// Hexadecimal, lower case.
    Hex,
    /// Base64 with padding.
    Base64,
    /// `whsec_` and Base64 with padding.
    Whsec,
}

/// An access token that is obtained before other requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The request that obtains it. `defaults` do not apply to it.
    pub request: OutgoingRequest,
    /// CEL: whether the request succeeded. Default: a 2xx status
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Expression>,
    /// CEL: the token. Example: `response.body.access_token`
    pub access_token: Expression,
    /// CEL: how long it lasts, a duration. Default: it is used for 5 minutes.
    /// Example: `duration(string(response.body.expires_in) + "s")`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Expression>,
}

/// What every request has, unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestDefaults {
    /// Headers: templates by name. Example: `{Authorization: Bearer $(customer.fields.token)}`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub headers: BTreeMap<String, Template>,
}

impl RequestDefaults {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A request to the app's API. At most one of `body`, `form` and `text`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("not" = {"anyOf": [{"required": ["body", "form"]}, {"required": ["body", "text"]}, {"required": ["form", "text"]}]}))]
pub struct OutgoingRequest {
    /// HTTP method, in capitals. Default: POST
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = "^[A-Z][A-Z-]*$"))]
    pub method: Option<String>,
    /// Template of the URL. Values in the host must be host names, values in the path are percent-encoded.
    /// Example: `https://$(customer.fields.domain)/api/v2/webhooks`
    #[schemars(length(min = 1))]
    pub url: Template,
    /// Query parameters: templates by name. A list repeats the parameter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub query: BTreeMap<String, Template>,
    /// Headers: templates by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub headers: BTreeMap<String, Template>,
    /// The body as a JSON tree whose texts are templates. Example: `{target: $(webhookUri), secret: $(signingSecret)}`
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    #[schemars(schema_with = "free_form::template_tree")]
    pub body: Option<Value>,
    /// The body as a form: templates by name. A list repeats the name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub form: BTreeMap<String, Template>,
    /// Template of the body as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Template>,
    /// Whether sending it twice does what sending it once does. Default: true for PUT, GET, HEAD and DELETE. Write true
    /// where the app recognises a repetition, by an idempotency key of `$(attempt.id)` for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
}

impl OutgoingRequest {
    /// `method`, by default POST.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("POST")
    }

    /// `idempotent`, by default what RFC 9110 §9.2.2 says of the method.
    #[must_use]
    pub fn idempotent(&self) -> bool {
        self.idempotent
            .unwrap_or(matches!(self.method(), "PUT" | "GET" | "HEAD" | "DELETE"))
    }
}

/// What the answer to a Subscription Request means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResponseRules {
    /// CEL: whether it succeeded. Default: a 2xx status. Example: `response.status == 200 && size(response.body.errors) == 0`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Expression>,
    /// CEL: whether such a registration exists already; `lookup` then finds it. Example: `response.status == 422`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Expression>,
    /// CEL: the app's id of the registration; `subscription.id` in later requests. Example: `response.body.data.id`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Expression>,
    /// CEL: when it expires, a timestamp. Example: `timestamp(response.body.data.expires)`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Expression>,
    /// CEL by name: values kept for later requests, as `subscription.values`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub values: BTreeMap<String, Expression>,
}

impl ResponseRules {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One request of several, with what is taken from its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its name in `steps.<name>`; unique in the whole subscription.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z][a-zA-Z0-9]*$"))]
    pub name: String,
    /// The request.
    pub request: OutgoingRequest,
    /// What its answer means.
    #[serde(default, skip_serializing_if = "StepResponse::is_default")]
    pub response: StepResponse,
}

/// What the answer to a step means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepResponse {
    /// CEL: whether it succeeded. Default: a 2xx status
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Expression>,
    /// CEL by name: values for later requests, as `steps.<name>.<value>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub values: BTreeMap<String, Expression>,
    /// CEL: the signing secret, where this step's answer holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<Expression>,
}

impl StepResponse {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Finds a registration at the app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.every) || duration(self.every) > duration('0s')").message("every must be longer than nothing")
)]
pub struct Lookup {
    /// The request that lists registrations.
    pub request: OutgoingRequest,
    /// CEL: the ids of those that are ours: one, a list, or nothing.
    /// Example: `response.body.data.filter(w, w.target == webhookUri).map(w, w.id)`
    pub id: Expression,
    /// CEL: the URL of the next page, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Expression>,
    /// How long lists may lag behind. Two empty answers that far apart mean that there is no registration. Default: `30s`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<TimeSpan>,
    /// What happens to a registration that was found: `Adopt` keeps it, `Replace` removes it and makes another.
    /// Default: `Replace` where the signing secret is only in the answer to the request or in a handshake, else `Adopt`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_found: Option<OnFound>,
    /// Also looks this often whether the registration is still there, and restores it if not. Default: never
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<TimeSpan>,
}

impl Lookup {
    /// `settle`, by default 30 seconds.
    #[must_use]
    pub fn settle(&self) -> TimeSpan {
        self.settle.clone().unwrap_or_else(|| TimeSpan::seconds(30))
    }
}

/// What happens to a registration that a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnFound {
    /// It is kept.
    Adopt,
    /// It is removed, and another one made.
    Replace,
}

/// Keeps a registration from expiring: `before` its expiry, or `every` so often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.before) != has(self.every)").message("write exactly one of before and every"),
    validation = Rule::new("has(self.request) == (!has(self.mode) || self.mode == 'Update')").message("mode Update, the default, needs request; Recreate has none"),
    validation = Rule::new("!has(self.response) || !has(self.mode) || self.mode == 'Update'").message("response is about the answer to request, so mode Recreate has none"),
    validation = Rule::new("!has(self.before) || duration(self.before) > duration('0s')").message("before must be longer than nothing"),
    validation = Rule::new("!has(self.every) || duration(self.every) > duration('0s')").message("every must be longer than nothing")
)]
pub struct Renewal {
    /// How long before it expires, but not before half of its lifetime. Example: `12h`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<TimeSpan>,
    /// How often, for registrations whose app does not say when they expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<TimeSpan>,
    /// `Update` sends `request`; `Recreate` makes a new registration and then removes the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Update"))]
    pub mode: Option<RenewalMode>,
    /// The request that renews it; with `mode: Update`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<OutgoingRequest>,
    /// What its answer means: `success`, `expiresAt` and `values`. Default: what `subscription.response` says
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<RenewalResponse>,
}

impl Renewal {
    /// `mode`, by default `Update`.
    #[must_use]
    pub fn mode(&self) -> RenewalMode {
        self.mode.unwrap_or(RenewalMode::Update)
    }
}

/// How a registration is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RenewalMode {
    /// By a request that prolongs it.
    Update,
    /// By a new registration, after which the old one is removed.
    Recreate,
}

/// What the answer to a renewal means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenewalResponse {
    /// CEL: whether it succeeded. Default: a 2xx status
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Expression>,
    /// CEL: when it expires now, a timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Expression>,
    /// CEL by name: values that replace those of `subscription.values`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub values: BTreeMap<String, Expression>,
}

/// Removes a registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.giveUpAfter) || duration(self.giveUpAfter) > duration('0s')").message("giveUpAfter must be longer than nothing; to leave registrations where they are, write deletionPolicy: Orphan")
)]
pub struct Unsubscribe {
    /// The requests, one after the other.
    #[schemars(length(min = 1, max = 16))]
    pub steps: Vec<Step>,
    /// Statuses that mean that it is already gone, which is success. Default: 404 and 410
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(range(min = 100, max = 599)))]
    pub gone: Option<Vec<u16>>,
    /// How long it is tried. After that the registration is listed as an orphan, so that a dead token blocks no deletion.
    /// Default: `1h`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give_up_after: Option<TimeSpan>,
}

impl Unsubscribe {
    /// `gone`, by default 404 and 410.
    #[must_use]
    pub fn gone(&self) -> &[u16] {
        self.gone.as_deref().unwrap_or(&[404, 410])
    }

    /// `giveUpAfter`, by default 1 hour.
    #[must_use]
    pub fn give_up_after(&self) -> TimeSpan {
        self.give_up_after
            .clone()
            .unwrap_or_else(|| TimeSpan::hours(1))
    }
}

/// How a change that makes many customers register anew is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// How many customers register anew at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000), extend("default" = 10))]
    pub max_concurrent: Option<u32>,
    /// After so many failures without a success between them the change stops until the type is edited again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000), extend("default" = 5))]
    pub stop_after_failures: Option<u32>,
}

impl Rollout {
    /// Whether nothing is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `maxConcurrent`, by default 10.
    #[must_use]
    pub fn max_concurrent(&self) -> u32 {
        self.max_concurrent.unwrap_or(10)
    }

    /// `stopAfterFailures`, by default 5.
    #[must_use]
    pub fn stop_after_failures(&self) -> u32 {
        self.stop_after_failures.unwrap_or(5)
    }
}
