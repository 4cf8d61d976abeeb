//! Whether what was decided is live: what pods have taken, against what they were sent. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attention::Touched;
use super::hub::{GatewayObservation, Observations, PodObservation};
use super::status::Programming;
use crate::compile::Kind;
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

    /// Takes in what is known of the pods now, and says which objects' statuses may be others for that.
    ///
    /// Each registration of a customer is a revision of its own, which every pod takes: among thousands of
    /// them, most of what pods tell is no news to any object.
    pub fn observe(&mut self, now: Arc<Observations>) -> Touched {
        let before = std::mem::replace(&mut self.observations, now);
        let now = &self.observations;
        let names = before.gateways.keys().chain(now.gateways.keys());
        let mut subscriptions = BTreeSet::new();
        for name in names {
            match (before.gateways.get(name), now.gateways.get(name)) {
                (Some(before), Some(now)) if Arc::ptr_eq(before, now) => {}
                (Some(before), Some(now)) => {
                    let wanted = self.wanted.get(name).copied();
                    if !is_as_live(before, now, wanted) {
                        return Touched::All;
                    }
                    add_changed_health(before, now, &mut subscriptions);
                }
                _ => return Touched::All,
            }
        }
        let keys = subscriptions.into_iter();
        Touched::These(keys.map(|name| (Kind::EventSubscription, name)).collect())
    }
}

/// Whether [`Progress::of`] says the same of every entry.
fn is_as_live(
    before: &GatewayObservation,
    now: &GatewayObservation,
    wanted: Option<Revision>,
) -> bool {
    fn refusing(one: &GatewayObservation) -> impl Iterator<Item = &Arc<PodObservation>> {
        one.pods.iter().filter(|pod| !pod.refused.is_empty())
    }
    let is_taken = |one: &GatewayObservation| {
        let taken = one.taken_by_all();
        wanted.is_some_and(|wanted| taken.is_some_and(|taken| taken >= wanted))
    };
    before.pods.is_empty() == now.pods.is_empty()
        && is_taken(before) == is_taken(now)
        && before.unsendable == now.unsendable
        && refusing(before).count() == refusing(now).count()
        && refusing(before)
            .zip(refusing(now))
            .all(|(before, now)| before.name == now.name && before.refused == now.refused)
}

/// Adds the subscriptions of which some pod tells something else than before.
fn add_changed_health(
    before: &GatewayObservation,
    now: &GatewayObservation,
    changed: &mut BTreeSet<ObjectName>,
) {
    let find = |one: &GatewayObservation, name: &str| -> Option<Arc<PodObservation>> {
        one.pods.iter().find(|pod| pod.name == name).cloned()
    };
    let pods = before.pods.iter().chain(&now.pods);
    let names: BTreeSet<&str> = pods.map(|pod| pod.name.as_str()).collect();
    for name in names {
        let (before, now) = (find(before, name), find(now, name));
        let before = before
            .map(|pod| Arc::clone(&pod.health))
            .unwrap_or_default();
        let now = now.map(|pod| Arc::clone(&pod.health)).unwrap_or_default();
        if Arc::ptr_eq(&before, &now) {
            continue;
        }
        let names = before.keys().chain(now.keys());
        let differ = names.filter(|name| before.get(*name) != now.get(*name));
        changed.extend(differ.cloned());
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
    use crate::configuration::SubscriptionHealth;
    use crate::controller::hub::Refused;
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

    fn health(message: &str) -> SubscriptionHealth {
        SubscriptionHealth {
            delivering: true,
            reason: "Delivering".into(),
            message: message.into(),
            undelivered: 0,
            oldest_undelivered: None,
            dead_letters: 0,
            last_delivered: None,
        }
    }

    fn with_health(pod: &PodObservation, health: &[(&str, &str)]) -> Arc<PodObservation> {
        let health = health.iter().map(|(name, message)| {
            let name = ObjectName::new("shop", *name);
            (name, self::health(message))
        });
        Arc::new(PodObservation {
            health: Arc::new(health.collect()),
            ..pod.clone()
        })
    }

    #[test]
    fn what_pods_tell_touches_those_it_is_about() {
        let gateway = ObjectName::new("tidegate", "default");
        let observed = |revision: u64, pods: &[Arc<PodObservation>]| {
            let observation = GatewayObservation {
                revision: Revision {
                    epoch: 1,
                    counter: revision,
                },
                pods: pods.to_vec(),
                unsendable: Vec::new(),
            };
            Arc::new(Observations {
                gateways: [(gateway.clone(), Arc::new(observation))].into(),
            })
        };
        let these = |names: &[&str]| {
            let key = |name: &&str| (Kind::EventSubscription, ObjectName::new("shop", *name));
            Touched::These(names.iter().map(key).collect())
        };
        let (a, b) = (pod("a", Some(7), false), pod("b", Some(8), false));
        let both = [Arc::clone(&a), Arc::clone(&b)];
        let ill = with_health(&a, &[("x", "ill"), ("y", "well")]);
        let well = with_health(&a, &[("x", "well"), ("y", "well")]);
        let cases = [
            ("the same", observed(9, &both), these(&[])),
            ("more is published", observed(10, &both), these(&[])),
            (
                "a pod has taken more",
                observed(10, &[pod("a", Some(8), false), Arc::clone(&b)]),
                these(&[]),
            ),
            (
                "a pod more that has taken all",
                observed(9, std::slice::from_ref(&a)),
                these(&[]),
            ),
            (
                "a pod has not taken what is wanted",
                observed(9, &[pod("a", Some(6), false), Arc::clone(&b)]),
                Touched::All,
            ),
            (
                "a pod refuses something",
                observed(9, &[pod("a", Some(7), true), Arc::clone(&b)]),
                Touched::All,
            ),
            ("no pod is there", observed(9, &[]), Touched::All),
            ("no gateway is there", Arc::default(), Touched::All),
            (
                "health is told",
                observed(9, &[Arc::clone(&ill), Arc::clone(&b)]),
                these(&["x", "y"]),
            ),
        ];
        for (what, now, touched) in cases {
            let mut progress = Progress {
                observations: observed(9, &both),
                wanted: [(
                    gateway.clone(),
                    Revision {
                        epoch: 1,
                        counter: 7,
                    },
                )]
                .into(),
            };
            assert_eq!(progress.observe(now.clone()), touched, "{what}");
            assert_eq!(progress.observations, now, "{what}");
        }
        let mut progress = Progress {
            observations: observed(9, &[ill]),
            ..Progress::default()
        };
        assert_eq!(progress.observe(observed(9, &[well])), these(&["x"]));
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
