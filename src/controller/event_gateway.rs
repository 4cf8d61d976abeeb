//! An EventGateway in a cluster: its pods, their volumes, and what leads to them.
//!
//! Five steps, as everywhere: what is there is read (`apply::observe`), the object is checked ([`validate`]), the plan is
//! made (`plan`, pure), carried out (`apply::apply`), and told (`status`, pure). What the pods serve is not made here: they
//! get their configuration from the controller over a stream of its own.
//!
//! Every object has the EventGateway as its owner, so that deleting the EventGateway removes them; the volumes stay,
//! because they may keep events that were acknowledged and not delivered.

mod apply;
mod exposure;
pub mod names;
mod network;
pub mod plan;
mod stateful_set;
pub mod status;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Client, Resource};

pub use apply::{ApplyError, FIELD_MANAGER};
pub use names::Names;
pub use status::Known;

use crate::api::{EventGateway, EventGatewayStatus};
use plan::Observed;

/// What all gateways of an installation have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The image of the pods: the controller's own.
    pub image: String,
    /// When it is pulled: `Always`, `IfNotPresent` or `Never`. `None`: as Kubernetes does by itself.
    pub image_pull_policy: Option<String>,
    /// Secrets, in each gateway's namespace, with credentials for the image's registry.
    pub image_pull_secrets: Vec<String>,
    /// Where pods get their configuration, such as `https://tidegate-controller.tidegate.svc:8443`.
    pub configuration_url: String,
    /// The certificate authority of the configuration server, as PEM.
    pub ca: String,
    /// What pods get of the controller's own environment.
    pub environment: BTreeMap<String, String>,
}

/// What is wrong with an EventGateway that the API server let through, in one sentence.
#[must_use]
pub fn validate(gateway: &EventGateway) -> Option<String> {
    let problem = EventGateway::name_problem(gateway.metadata.name.as_deref().unwrap_or_default())?;
    Some(format!("metadata.name {problem}"))
}

/// What came of [`reconcile`].
#[derive(Debug)]
pub struct Reconciled {
    /// The status that the EventGateway then has.
    pub status: EventGatewayStatus,
    /// The generation of its StatefulSet, as it was applied: another one later is somebody else's work.
    pub stateful_set: Option<i64>,
    /// What the API server refused. It stands in the status, too; whoever called tries again.
    pub error: Option<ApplyError>,
}

/// Makes `gateway`'s objects what it says. `new_key` is 32 random bytes, for the key of the last snapshot if there is none
/// yet.
pub async fn reconcile(
    client: &Client,
    gateway: &EventGateway,
    settings: &Settings,
    mut known: Known,
    new_key: &[u8; 32],
    now: Timestamp,
) -> Reconciled {
    known.invalid = known.invalid.or_else(|| validate(gateway));
    let told = |there: Option<&StatefulSet>, failure: Option<status::Failure>, error| Reconciled {
        status: status::status(gateway, &known, there, &[], failure.as_ref(), now),
        stateful_set: None,
        error,
    };
    let observed = match apply::observe(client, gateway).await {
        Ok(observed) => Observed {
            retirements: known.retirements.clone(),
            ..observed
        },
        Err(error) => return told(None, Some(failure(&error)), Some(error)),
    };
    let there = observed.stateful_set.as_ref();
    if known.invalid.is_some() {
        return told(there, None, None);
    }
    let plan = match plan::plan(gateway, settings, &observed, new_key) {
        Ok(plan) => plan,
        Err(error) => {
            let failure = status::Failure {
                message: error.to_string(),
                is_final: true,
            };
            return told(there, Some(failure), None);
        }
    };
    match apply::apply(client, &Names::of(gateway), &plan).await {
        Ok(applied) => Reconciled {
            status: status::status(gateway, &known, Some(&applied), &plan.deviations, None, now),
            stateful_set: applied.metadata.generation,
            error: None,
        },
        Err(error) => told(there, Some(failure(&error)), Some(error)),
    }
}

/// What a look at a gateway's objects says.
#[derive(Debug)]
pub struct Look {
    /// The status that the EventGateway has now.
    pub status: EventGatewayStatus,
    /// The generation of its StatefulSet.
    pub stateful_set: Option<i64>,
    /// Whether there shall be more or fewer pods than there are: volumes were emptied, or somebody scaled.
    pub is_to_scale: bool,
}

/// Looks at what there is of `gateway`; nothing is written.
///
/// # Errors
/// When what is there cannot be read.
pub async fn look(
    client: &Client,
    gateway: &EventGateway,
    settings: &Settings,
    mut known: Known,
    now: Timestamp,
) -> Result<Look, ApplyError> {
    known.invalid = known.invalid.or_else(|| validate(gateway));
    let mut observed = apply::observe(client, gateway).await?;
    observed.retirements = known.retirements.clone();
    let there = observed.stateful_set.as_ref();
    // The key is made by `reconcile` alone; that a plan would have another is nothing to tell.
    let plan = plan::plan(gateway, settings, &observed, &[0; 32]).ok();
    let plan = plan.filter(|_| known.invalid.is_none());
    let deviations = plan.as_ref().map_or(&[][..], |plan| &plan.deviations);
    let replicas = |set: &StatefulSet| set.spec.as_ref().and_then(|spec| spec.replicas);
    let planned = plan
        .as_ref()
        .and_then(|it| replicas(&it.objects.stateful_set));
    Ok(Look {
        status: status::status(gateway, &known, there, deviations, None, now),
        stateful_set: there.and_then(|it| it.metadata.generation),
        is_to_scale: planned.is_some() && planned != there.and_then(replicas),
    })
}

/// The whole chain in one sentence: conditions are all that many people ever see of an error.
fn failure(error: &ApplyError) -> status::Failure {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    status::Failure {
        message,
        is_final: error.is_final(),
    }
}

/// The metadata of an object that `gateway` owns.
fn metadata(gateway: &EventGateway, name: String) -> ObjectMeta {
    let names = Names::of(gateway);
    ObjectMeta {
        name: Some(name),
        namespace: Some(names.namespace().to_owned()),
        labels: Some(names.labels()),
        owner_references: Some(vec![owner(gateway)]),
        ..ObjectMeta::default()
    }
}

fn owner(gateway: &EventGateway) -> OwnerReference {
    OwnerReference {
        api_version: EventGateway::api_version(&()).into_owned(),
        kind: EventGateway::kind(&()).into_owned(),
        name: gateway.metadata.name.clone().unwrap_or_default(),
        uid: gateway.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
