//! What became of an EventGateway, as its status says it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::names::Names;
use super::plan::Deviation;
use crate::api::condition::{READY, RECONCILING, STALLED, reason};
use crate::api::{
    DeduplicationScope, EventGateway, EventGatewayStatus, MAX_LISTED_ORPHANS, OrphanStatus,
};
use crate::configuration::stream::Retirement;
use crate::provision::keep_transitions;

/// What is known of a gateway beside its objects.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What is wrong with the EventGateway itself, in one sentence: it is not applied then.
    pub invalid: Option<String>,
    /// The newest configuration that every connected pod has taken in.
    pub configuration_revision: Option<String>,
    /// What may stand at apps without our being able to remove it.
    pub orphans: Vec<OrphanStatus>,
    /// How far pods are that are to go, by name: those that have said so.
    pub retirements: BTreeMap<String, Retirement>,
}

/// Why an EventGateway could not be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened and what to do.
    pub message: String,
    /// Whether it stays so until somebody changes something.
    pub is_final: bool,
}

/// The status of `gateway` after its objects were applied, or could not be (`failure`).
pub fn status(
    gateway: &EventGateway,
    known: &Known,
    stateful_set: Option<&StatefulSet>,
    deviations: &[Deviation],
    failure: Option<&Failure>,
    now: Timestamp,
) -> EventGatewayStatus {
    let there = stateful_set.and_then(|it| it.status.as_ref());
    let mut orphans = known.orphans.clone();
    orphans.sort_by(|one, other| other.since.cmp(&one.since));
    orphans.truncate(MAX_LISTED_ORPHANS);
    let mut conditions: Vec<_> = judge(gateway, known, stateful_set, deviations, failure)
        .into_iter()
        .map(|judgement| Condition {
            type_: judgement.type_.to_owned(),
            status: if judgement.holds { "True" } else { "False" }.to_owned(),
            reason: judgement.reason.to_owned(),
            message: judgement.message,
            last_transition_time: Time(now),
            observed_generation: gateway.metadata.generation,
        })
        .collect();
    if let Some(before) = &gateway.status {
        keep_transitions(&before.conditions, &mut conditions);
    }
    EventGatewayStatus {
        observed_generation: gateway.metadata.generation,
        conditions,
        replicas: Some(there.map_or(0, |there| there.replicas)),
        ready_replicas: Some(there.and_then(|there| there.ready_replicas).unwrap_or(0)),
        selector: Some(Names::of(gateway).selector_text()),
        configuration_revision: known.configuration_revision.clone(),
        deduplication: Some(match gateway.spec.replicas() {
            1 => DeduplicationScope::PerGateway,
            _ => DeduplicationScope::PerPod,
        }),
        orphans,
    }
}

struct Judgement {
    type_: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

fn judge(
    gateway: &EventGateway,
    known: &Known,
    stateful_set: Option<&StatefulSet>,
    deviations: &[Deviation],
    failure: Option<&Failure>,
) -> Vec<Judgement> {
    let judgement = |type_, holds, reason, message: &str| Judgement {
        type_,
        holds,
        reason,
        message: message.to_owned(),
    };
    if let Some(message) = &known.invalid {
        return vec![
            judgement(READY, false, reason::INVALID, message),
            judgement(STALLED, true, reason::INVALID, message),
        ];
    }
    if let Some(Failure { message, is_final }) = failure {
        let type_ = if *is_final { STALLED } else { RECONCILING };
        return vec![
            judgement(READY, false, reason::NOT_APPLIED, message),
            judgement(type_, true, reason::NOT_APPLIED, message),
        ];
    }
    let mut judgements = Vec::new();
    let handing_over = deviations.iter().find_map(|it| match it {
        Deviation::HandingOver { wanted, pods } => Some((*wanted, pods)),
        Deviation::OtherStorageClass { .. } => None,
    });
    // Those that go take no requests, and are not waited for.
    let going = handing_over.map_or(0, |(_, pods)| pods.len());
    let waiting = pods_waited_for(stateful_set, i32::try_from(going).unwrap_or_default());
    match &waiting {
        None => {
            let pods = match handing_over {
                Some((wanted, _)) => wanted,
                None => stateful_set.and_then(wanted).unwrap_or_default(),
            };
            let message = match pods {
                1 => "1 pod takes requests".to_owned(),
                pods => format!("{pods} pods take requests"),
            };
            judgements.push(judgement(READY, true, reason::PROGRAMMED, &message));
        }
        Some(message) => {
            judgements.push(judgement(READY, false, reason::PODS_NOT_READY, message));
        }
    }
    // What needs somebody to do something says so as Stalled, although pods go on serving: `spec` is not what is there.
    let stalled: Vec<_> = deviations
        .iter()
        .filter_map(|it| explain(gateway, it))
        .collect();
    if !stalled.is_empty() {
        let message = stalled.join("; ");
        judgements.push(judgement(STALLED, true, reason::NOT_AS_SPECIFIED, &message));
    } else if let Some((wanted, pods)) = handing_over {
        let message = progress(wanted, pods);
        judgements.push(judgement(RECONCILING, true, reason::HANDING_OVER, &message));
    } else if let Some(message) = &waiting {
        judgements.push(judgement(
            RECONCILING,
            true,
            reason::PODS_NOT_READY,
            message,
        ));
    }
    judgements
}

fn wanted(stateful_set: &StatefulSet) -> Option<i32> {
    stateful_set.spec.as_ref()?.replicas
}

/// How far the pods are that are to go.
fn progress(wanted: i32, pods: &[(String, Option<u64>)]) -> String {
    let pods: Vec<String> = pods
        .iter()
        .map(|(name, left)| match left {
            Some(left) => format!("{name} ({left} left)"),
            None => format!(
                "{name} (it has not said what it has left: it must run, and be of this version)"
            ),
        })
        .collect();
    format!(
        "spec.replicas is {wanted}: before they go, pods hand over to the others what they have not delivered: {}",
        pods.join(", ")
    )
}

/// What is not ready yet, in one sentence. `going` pods are not waited for.
fn pods_waited_for(stateful_set: Option<&StatefulSet>, going: i32) -> Option<String> {
    let Some(stateful_set) = stateful_set else {
        return Some("no pod was made yet".to_owned());
    };
    let wanted = wanted(stateful_set).unwrap_or_default() - going;
    let nothing = StatefulSetStatus::default();
    let status = stateful_set.status.as_ref().unwrap_or(&nothing);
    let name = stateful_set.metadata.name.as_deref().unwrap_or_default();
    if status.observed_generation.unwrap_or_default()
        < stateful_set.metadata.generation.unwrap_or_default()
    {
        return Some(format!("the StatefulSet {name} is being updated"));
    }
    let ready = status.ready_replicas.unwrap_or_default();
    if ready < wanted {
        return Some(format!(
            "{ready} of {wanted} pods take requests; if it stays so, see `kubectl describe pods -l \
             app.kubernetes.io/instance={}`",
            name.trim_start_matches(super::names::PREFIX)
        ));
    }
    let updated = status.updated_replicas.unwrap_or_default();
    (status.update_revision != status.current_revision && updated < wanted)
        .then(|| format!("{updated} of {wanted} pods are of the newest form"))
}

/// What somebody has to do about it, if that is what it takes.
fn explain(gateway: &EventGateway, deviation: &Deviation) -> Option<String> {
    match deviation {
        Deviation::HandingOver { .. } => None,
        Deviation::OtherStorageClass { there, wanted } => {
            let class = |class: &Option<String>| match class {
                Some(class) => class.clone(),
                None => "the default class".to_owned(),
            };
            Some(format!(
                "the volumes are of {} and not of {}: a volume's class cannot be changed; write \
                 spec.storage.storageClassName as it was, or make another EventGateway and move the types to it (this is {})",
                class(there),
                class(wanted),
                gateway.metadata.name.as_deref().unwrap_or_default(),
            ))
        }
    }
}
