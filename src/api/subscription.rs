//! How Tidegate subscribes at an app's own API: `spec.subscription` and
//! `globalWebhook.registration` of an AppEventType, both in the same shape.
//!
//! Requests are templates, what is read from answers is CEL. What a missing field means stands in
//! methods beside the fields; what the parts do together is `crate::provision`'s. Here is the whole;
//! what is requested is in `request`, what is done with a registration over time in `lifetime`.

mod lifetime;
mod request;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use lifetime::{Lookup, OnFound, Renewal, RenewalMode, RenewalResponse, Rollout, Unsubscribe};
pub use request::{
    Credentials, FromHandshake, GeneratedSecret, OutgoingRequest, RequestDefaults, RequestLimits,
    ResponseRules, SecretEncoding, SigningSecret, Step, StepResponse,
};

use super::{TimeSpan, free_form};

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
