//! From an EventGateway and what is there to what shall be there. Pure.
//!
//! The plan is whole every time: it does not matter what an earlier one got done. What the plan does not do although
//! the EventGateway says so, it says as a [`Deviation`]: a smaller number of pods, as long as the pods that would go have
//! not said that others have what they had; another storage class.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;

use super::names::{DATA, Names};
use super::stateful_set::{Claim, Shape, stateful_set};
use super::{Settings, exposure, metadata, network};
use crate::api::{ByteSize, EventGateway};
use crate::configuration::stream::Retirement;

/// Bytes beside the log whatever its size: cursors, retry schedule, the last configuration.
const BESIDE_THE_LOG: u64 = 256 << 20;

/// The unit of claims.
const MEBIBYTE: u64 = 1 << 20;

/// What is there of a gateway's objects, as far as a plan depends on it.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The StatefulSet of the gateway's name.
    pub stateful_set: Option<StatefulSet>,
    /// The claims of its pods.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Whether the Secret with the key of the last snapshot is there.
    pub has_key: bool,
    /// The Ingress of the gateway's name.
    pub ingress: Option<Ingress>,
    /// The HTTPRoute of the gateway's name.
    pub http_route: Option<DynamicObject>,
    /// How far pods are that are to go, by name: those that have said so.
    pub retirements: BTreeMap<String, Retirement>,
}

/// What shall be there, and what is to be done for it that is not server-side apply.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is applied.
    pub objects: Objects,
    /// The Secret with the key of the last snapshot, if it has to be made. Its value never changes.
    pub new_key: Option<Secret>,
    /// What is to be noted of claims before the StatefulSet is applied.
    pub notes: Vec<Note>,
    /// Claims that are to become larger.
    pub expansions: Vec<Expansion>,
    /// Whether the Ingress is one of ours that is not wanted any more.
    pub remove_ingress: bool,
    /// Whether the HTTPRoute is.
    pub remove_http_route: bool,
    /// What is not as the EventGateway says, and why.
    pub deviations: Vec<Deviation>,
}

/// The objects that are applied as a whole.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The account of the pods.
    pub service_account: ServiceAccount,
    /// The certificate authority of the configuration server.
    pub ca: ConfigMap,
    /// What apps' requests come in through.
    pub public_service: Service,
    /// What names the pods.
    pub headless_service: Service,
    /// How many pods may be away when nodes are emptied.
    pub disruption_budget: PodDisruptionBudget,
    /// Who may talk to the pods, and they to whom.
    pub network_policy: NetworkPolicy,
    /// The pods and their volumes.
    pub stateful_set: StatefulSet,
    /// The Ingress, if one is wanted.
    pub ingress: Option<Ingress>,
    /// The HTTPRoute, if one is wanted.
    pub http_route: Option<DynamicObject>,
}

/// The annotation of claims of whose volumes others have all that was not delivered.
pub const HANDED_OVER: &str = "tidegate.dev/handed-over";

/// What is to be noted of a claim, before the number of pods changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Name of the claim.
    pub claim: String,
    /// Whether others have what was on its volume; else a pod writes to it again.
    pub handed_over: bool,
}

/// A claim that is to become larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// Name of the claim.
    pub claim: String,
    /// What it asks for from now on.
    pub storage: String,
}

/// Something that is not as the EventGateway says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// There are more pods than wanted: those that are to go keep events that nobody else has yet.
    HandingOver {
        /// How many are wanted.
        wanted: i32,
        /// Those that are to go, with how much each has left; `None`: it has not said.
        pods: Vec<(String, Option<u64>)>,
    },
    /// The volumes are of another storage class; one cannot be changed.
    OtherStorageClass {
        /// The class that they are of; `None`: the default class of when they were made.
        there: Option<String>,
        /// The class that is wanted.
        wanted: Option<String>,
    },
}

/// Why there can be no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// An object of the gateway's name belongs to somebody else.
    #[error(
        "the {kind} {name} is there already and not this EventGateway's; remove it, or call the EventGateway otherwise"
    )]
    NotOurs {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

/// What shall be there of `gateway`, which came from the API server and so has a UID. `new_key` is used for the last
/// snapshot if there is no key yet.
pub fn plan(
    gateway: &EventGateway,
    settings: &Settings,
    observed: &Observed,
    new_key: &[u8; 32],
) -> Result<Plan, PlanError> {
    let names = Names::of(gateway);
    let check = |kind, metadata: Option<&ObjectMeta>| match metadata {
        Some(metadata) if !is_ours(metadata, gateway) => Err(PlanError::NotOurs {
            kind,
            name: names.shared(),
        }),
        _ => Ok(()),
    };
    let spec = &gateway.spec;
    let there = observed.stateful_set.as_ref();
    check("StatefulSet", there.map(|it| &it.metadata))?;
    if spec.ingress.is_some() {
        check("Ingress", observed.ingress.as_ref().map(|it| &it.metadata))?;
    }
    if spec.http_route.is_some() {
        let route = observed.http_route.as_ref();
        check("HTTPRoute", route.map(|it| &it.metadata))?;
    }

    let mut deviations = Vec::new();
    let replicas = replicas(gateway, observed, &mut deviations);
    let wanted = Claim {
        storage: claim_storage(&spec.storage.size()),
        class: spec.storage.storage_class_name.clone(),
    };
    let claim = match there.and_then(claim_of) {
        Some(existing) => {
            if existing.class != wanted.class {
                deviations.push(Deviation::OtherStorageClass {
                    there: existing.class.clone(),
                    wanted: wanted.class.clone(),
                });
            }
            existing
        }
        None => wanted.clone(),
    };
    Ok(Plan {
        objects: Objects {
            service_account: network::service_account(gateway),
            ca: ConfigMap {
                metadata: metadata(gateway, names.ca()),
                data: Some([("ca.crt".to_owned(), settings.ca.clone())].into()),
                ..ConfigMap::default()
            },
            public_service: network::public_service(gateway),
            headless_service: network::headless_service(gateway),
            disruption_budget: network::disruption_budget(gateway),
            network_policy: network::network_policy(gateway),
            stateful_set: stateful_set(gateway, settings, &Shape { replicas, claim }),
            ingress: (spec.ingress.as_ref()).map(|wanted| exposure::ingress(gateway, wanted)),
            http_route: (spec.http_route.as_ref())
                .map(|wanted| exposure::http_route(gateway, wanted)),
        },
        new_key: (!observed.has_key).then(|| Secret {
            metadata: metadata(gateway, names.key()),
            data: Some([("key".to_owned(), k8s_openapi::ByteString(new_key.to_vec()))].into()),
            immutable: Some(true),
            ..Secret::default()
        }),
        notes: notes(gateway, observed, replicas),
        expansions: expansions(&observed.claims, &wanted),
        remove_ingress: spec.ingress.is_none()
            && is_there_and_ours(observed.ingress.as_ref().map(|it| &it.metadata), gateway),
        remove_http_route: spec.http_route.is_none()
            && is_there_and_ours(observed.http_route.as_ref().map(|it| &it.metadata), gateway),
        deviations,
    })
}

/// What a volume for a log of `size` asks for: a tenth of it for dead letters, the rest for the file system.
pub fn claim_storage(size: &ByteSize) -> String {
    let log = size.bytes();
    let bytes = log.saturating_add(log / 4).saturating_add(BESIDE_THE_LOG);
    format!("{}Mi", bytes.div_ceil(MEBIBYTE))
}

fn is_ours(metadata: &ObjectMeta, gateway: &EventGateway) -> bool {
    let owners = metadata.owner_references.iter().flatten();
    let mut uids = owners.map(|owner| owner.uid.as_str());
    uids.any(|uid| Some(uid) == gateway.metadata.uid.as_deref())
}

fn is_there_and_ours(metadata: Option<&ObjectMeta>, gateway: &EventGateway) -> bool {
    metadata.is_some_and(|metadata| is_ours(metadata, gateway))
}

/// How many pods there are to be: a pod goes when nothing of what it has acknowledged is with it alone, and the last one
/// first, as a StatefulSet does. A volume that may keep events gets its pod back, whoever has taken that away.
fn replicas(gateway: &EventGateway, observed: &Observed, deviations: &mut Vec<Deviation>) -> i32 {
    let names = Names::of(gateway);
    let wanted = i32::from(gateway.spec.replicas());
    let set = observed.stateful_set.as_ref();
    let running = set.and_then(|it| it.spec.as_ref()?.replicas).unwrap_or(0);
    let volumes = observed.claims.iter().filter(|claim| may_keep(claim));
    let volumes = volumes.filter_map(|claim| names.ordinal(claim.metadata.name.as_deref()?));
    let last = volumes.max().map_or(0, |ordinal| ordinal + 1);
    let mut there = running.max(wanted).max(last);
    while there > wanted && has_nothing(&names, there - 1, observed, gateway.spec.replicas()) {
        there -= 1;
    }
    if there > wanted {
        let pods = (wanted..there).map(|ordinal| {
            let pod = names.pod(ordinal);
            let left = observed.retirements.get(&pod).map(|it| it.left);
            (pod, left)
        });
        let pods = pods.collect();
        deviations.push(Deviation::HandingOver { wanted, pods });
    }
    there
}

/// Whether others have all that a pod had, as it says or as was noted, or it never had a volume to keep anything on.
fn has_nothing(names: &Names, ordinal: i32, observed: &Observed, wanted: u16) -> bool {
    let retirement = observed.retirements.get(&names.pod(ordinal));
    if retirement.is_some_and(|it| it.is_done && it.members == usize::from(wanted)) {
        return true;
    }
    let name = names.claim(ordinal);
    let mut claims = observed.claims.iter();
    let claim = claims.find(|claim| claim.metadata.name.as_deref() == Some(&name));
    claim.is_none_or(|claim| !may_keep(claim))
}

/// Whether the volume of a claim may keep events that nobody else has.
fn may_keep(claim: &PersistentVolumeClaim) -> bool {
    let phase = claim.status.as_ref().and_then(|it| it.phase.as_deref());
    phase != Some("Pending") && !is_noted(claim)
}

fn is_noted(claim: &PersistentVolumeClaim) -> bool {
    let annotations = claim.metadata.annotations.as_ref();
    annotations.is_some_and(|it| it.contains_key(HANDED_OVER))
}

/// What is to be noted of claims when there are `there` pods.
fn notes(gateway: &EventGateway, observed: &Observed, there: i32) -> Vec<Note> {
    let names = Names::of(gateway);
    let note = |claim: &PersistentVolumeClaim| {
        let name = claim.metadata.name.clone()?;
        let ordinal = names.ordinal(&name)?;
        let is_needed = match is_noted(claim) {
            true => ordinal < i32::from(gateway.spec.replicas()),
            false => ordinal >= there && may_keep(claim),
        };
        is_needed.then(|| Note {
            claim: name,
            handed_over: !is_noted(claim),
        })
    };
    observed.claims.iter().filter_map(note).collect()
}

fn claim_of(stateful_set: &StatefulSet) -> Option<Claim> {
    let templates = stateful_set
        .spec
        .as_ref()?
        .volume_claim_templates
        .as_ref()?;
    let template = templates
        .iter()
        .find(|claim| claim.metadata.name.as_deref() == Some(DATA))?;
    Some(Claim {
        storage: requested(template)?.to_owned(),
        class: template.spec.as_ref()?.storage_class_name.clone(),
    })
}

fn requested(claim: &PersistentVolumeClaim) -> Option<&str> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    Some(&requests.get("storage")?.0)
}

/// Claims that ask for less than is wanted. What cannot be read as a size is left alone: somebody wrote it on purpose.
fn expansions(claims: &[PersistentVolumeClaim], wanted: &Claim) -> Vec<Expansion> {
    let bytes = |text: &str| text.parse::<ByteSize>().ok().map(|size| size.bytes());
    let is_smaller = |claim: &&PersistentVolumeClaim| {
        requested(claim)
            .and_then(bytes)
            .zip(bytes(&wanted.storage))
            .is_some_and(|(there, wanted)| there < wanted)
    };
    let smaller = claims.iter().filter(is_smaller);
    smaller
        .filter_map(|claim| {
            Some(Expansion {
                claim: claim.metadata.name.clone()?,
                storage: wanted.storage.clone(),
            })
        })
        .collect()
}
