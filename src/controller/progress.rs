//! Whether what was decided is live: what pods have taken, against what they were sent. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::hub::{GatewayObservation, Observations};
use super::status::Programming;
use crate::configuration::stream::{EntryKey, Revision};
use crate::event::ObjectName;

/// How far a decision has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// What is known of the pods.
    pub observations: Arc<Observations>,
    /// The revision of each gateway that has what was decided last.
    pub wanted: BTreeMap<ObjectName, Revision>,
}

impl Progress {
    /// Whether an entry is live in a gateway.
    pub fn of(&self, gateway: &ObjectName, key: &EntryKey) -> Programming {
        let wanted = self.wanted.get(gateway).copied();
        match (self.observations.gateways.get(gateway), wanted) {
            (Some(observation), Some(wanted)) => of_one(observation, wanted, key),
            _ => Programming::NoPod,
        }
    }
}

fn of_one(observation: &GatewayObservation, wanted: Revision, key: &EntryKey) -> Programming {
    let mut refusals = Vec::new();
    for pod in &observation.pods {
        for refused in pod.refused.iter().filter(|it| it.key == *key) {
            refusals.push(format!("pod {}: {}", pod.name, refused.problems.join("; ")));
        }
    }
    // Whatever a pod could not even be sent.
    for refused in observation.unsendable.iter().filter(|it| it.key == *key) {
        refusals.push(refused.problems.join("; "));
    }
    if !refusals.is_empty() {
        return Programming::Refused(refusals.join("; "));
    }
    if observation.pods.is_empty() {
        return Programming::NoPod;
    }
    match observation.taken_by_all() {
        Some(taken) if taken >= wanted => Programming::Everywhere,
        _ => Programming::UnderWay,
    }
}

/// The worst of several.
pub fn worst(all: impl Iterator<Item = Programming>) -> Programming {
    let rank = |one: &Programming| match one {
        Programming::NotNeeded => 0,
        Programming::Everywhere => 1,
        Programming::NoPod => 2,
        Programming::UnderWay => 3,
        Programming::Refused(_) => 4,
    };
    all.max_by_key(rank).unwrap_or(Programming::NotNeeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::hub::{PodObservation, Refused};
    use jiff::Timestamp;

    fn pod(name: &str, acknowledged: Option<u64>, refuses: bool) -> Arc<PodObservation> {
        let refused = Refused {
            key: EntryKey::EventType(ObjectName::new("shop", "orders")),
            problems: vec!["too new".into()],
        };
        Arc::new(PodObservation {
            name: name.into(),
            since: Timestamp::UNIX_EPOCH,
            acknowledged: acknowledged.map(|counter| Revision { epoch: 1, counter }),
            refused: Arc::new(if refuses { vec![refused] } else { Vec::new() }),
            health: Arc::default(),
            further_refused: 0,
            retirement: None,
            unsent: Arc::default(),
        })
    }

    #[test]
    fn live_means_taken_by_every_pod_that_is_connected() {
        let gateway = ObjectName::new("tidegate", "default");
        let key = EntryKey::EventType(ObjectName::new("shop", "orders"));
        let check = |pods: Vec<Arc<PodObservation>>, expected: Programming| {
            let revision = Revision {
                epoch: 1,
                counter: 9,
            };
            let observation = GatewayObservation {
                revision,
                pods,
                unsendable: Vec::new(),
            };
            let observations = Observations {
                gateways: [(gateway.clone(), Arc::new(observation))].into(),
            };
            let wanted = Revision {
                epoch: 1,
                counter: 7,
            };
            let progress = Progress {
                observations: Arc::new(observations),
                wanted: [(gateway.clone(), wanted)].into(),
            };
            assert_eq!(progress.of(&gateway, &key), expected);
        };
        check(vec![], Programming::NoPod);
        check(vec![pod("a", None, false)], Programming::UnderWay);
        check(
            vec![pod("a", Some(7), false), pod("b", Some(6), false)],
            Programming::UnderWay,
        );
        check(
            vec![pod("a", Some(7), false), pod("b", Some(9), false)],
            Programming::Everywhere,
        );
        check(
            vec![pod("a", Some(7), false), pod("b", Some(9), true)],
            Programming::Refused("pod b: too new".into()),
        );
    }
}
