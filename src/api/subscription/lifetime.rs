//! What is done with a registration over time: it is found again, renewed, changed for many customers
//! at a pace, and removed.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Expression, TimeSpan};
use super::{OutgoingRequest, Step};

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
