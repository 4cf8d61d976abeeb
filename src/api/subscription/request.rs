//! What is requested of an app: requests, the secrets and tokens in them, what their answers mean, and
//! how hard the app may be called.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::webhook::present;
use super::super::{Expression, Template, TimeSpan, free_form};

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
