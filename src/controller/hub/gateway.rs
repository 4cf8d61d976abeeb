//! One gateway: what is published to its pods, and how far each of them is.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::observation::{GatewayObservation, PodObservation, Refused};
use crate::configuration::SubscriptionHealth;
use crate::configuration::stream::report::Acknowledgement;
use crate::configuration::stream::{Change, EntryKey, Partings, Published, Served, changes};
use crate::event::ObjectName;

/// Tells one stream from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// One gateway.
pub struct Gateway {
    /// `None`: pods of it wait, and nobody has said yet what it serves.
    served: Option<Served>,
    published: Published,
    pods: BTreeMap<SessionId, Pod>,
    /// Wakes the streams: the counter of what is published.
    pub changed: watch::Sender<u64>,
    /// Wakes whoever waits for pods: told whenever one has taken something, came or went.
    pub taken: watch::Sender<()>,
}

/// One connected pod.
struct Pod {
    name: String,
    observation: Arc<PodObservation>,
    /// The counter that it has taken last.
    taken: u64,
    heard: Instant,
}

impl Gateway {
    /// Nothing is known of it yet.
    pub fn new(epoch: u64) -> Self {
        Self {
            served: None,
            published: Published::new(epoch),
            pods: BTreeMap::new(),
            changed: watch::Sender::new(0),
            taken: watch::Sender::new(()),
        }
    }

    /// The counter of what is published; `None`: nobody has said yet what it serves.
    pub fn counter(&self) -> Option<u64> {
        self.served.as_ref()?;
        Some(self.published.revision().counter)
    }

    /// What is published.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// Whether nobody would miss it.
    pub fn is_idle(&self) -> bool {
        self.served.is_none() && self.pods.is_empty()
    }

    /// What it serves changes to this; `further` are its registrations that change with it.
    pub fn set(&mut self, served: Served, further: Vec<Change>) -> bool {
        let mut changes = changes(self.served.as_ref(), &served);
        let gone: Vec<ObjectName> = changes
            .iter()
            .filter_map(|change| match change {
                (EntryKey::Subscription(name), None) => Some(name.clone()),
                _ => None,
            })
            .collect();
        if !gone.is_empty() {
            self.forget_health(&gone);
        }
        changes.extend(further);
        let is_first = self.served.is_none();
        self.served = Some(served);
        self.change(changes) || is_first
    }

    /// What pods are to do with EventSubscriptions that they are not sent any more.
    pub fn part(&mut self, partings: Arc<Partings>) -> bool {
        match &self.served {
            Some(served) if served.partings != partings => {
                let served = Served {
                    partings,
                    ..served.clone()
                };
                self.set(served, Vec::new())
            }
            _ => false,
        }
    }

    /// Changes registrations only.
    pub fn change(&mut self, changes: Vec<Change>) -> bool {
        let is_changed = self.published.change(changes);
        if self.served.is_some() {
            self.changed.send_replace(self.published.revision().counter);
        }
        is_changed
    }

    /// A pod is connected. An earlier stream of the same pod ends.
    pub fn connect(&mut self, id: SessionId, name: String, now: Timestamp) {
        self.pods.retain(|_, pod| pod.name != name);
        let observation = Arc::new(PodObservation {
            name: name.clone(),
            since: now,
            acknowledged: None,
            refused: Arc::default(),
            further_refused: 0,
            retirement: None,
            unsent: Arc::default(),
            health: Arc::default(),
        });
        let pod = Pod {
            name,
            observation,
            taken: 0,
            heard: Instant::now(),
        };
        self.pods.insert(id, pod);
        self.changed.send_modify(|_| {});
        self.taken.send_replace(());
    }

    /// Whether a stream goes on.
    pub fn has(&self, id: SessionId) -> bool {
        self.pods.contains_key(&id)
    }

    /// Whether any pod is connected.
    pub fn has_pods(&self) -> bool {
        !self.pods.is_empty()
    }

    /// When something was last heard of a pod.
    pub fn heard(&self, id: SessionId) -> Option<Instant> {
        self.pods.get(&id).map(|pod| pod.heard)
    }

    /// A stream has ended.
    pub fn disconnect(&mut self, id: SessionId) -> bool {
        let was_there = self.pods.remove(&id).is_some();
        if was_there {
            self.taken.send_replace(());
        }
        was_there
    }

    /// What a pod has taken. Whether that is news.
    pub fn acknowledge(&mut self, id: SessionId, acknowledgement: Acknowledgement) -> bool {
        let epoch = self.published.revision().epoch;
        let Some(pod) = self.pods.get_mut(&id) else {
            return false;
        };
        pod.heard = Instant::now();
        let Acknowledgement {
            revision,
            refused,
            further,
            retirement,
            unsent,
        } = acknowledgement;
        // What it had from an earlier leader says nothing of what this one sent.
        let revision = revision.filter(|revision| revision.epoch == epoch);
        let refused = refused.into_iter().map(|entry| Refused {
            key: EntryKey::parse(entry.kind, entry.name),
            problems: entry.problems,
        });
        let refused: Vec<Refused> = refused.collect();
        let before = &pod.observation;
        if before.acknowledged == revision
            && *before.refused == refused
            && before.further_refused == further
            && before.retirement == retirement
            && *before.unsent == unsent
        {
            return false;
        }
        let refused = match *before.refused == refused {
            true => Arc::clone(&before.refused),
            false => Arc::new(refused),
        };
        pod.observation = Arc::new(PodObservation {
            acknowledged: revision,
            refused,
            further_refused: further,
            retirement,
            unsent: Arc::new(unsent),
            ..(**before).clone()
        });
        pod.taken = revision.map_or(0, |revision| revision.counter);
        self.taken.send_replace(());
        true
    }

    /// How it goes with subscriptions at a pod. Only those that exist count.
    pub fn report_health(
        &mut self,
        id: SessionId,
        items: Vec<(ObjectName, SubscriptionHealth)>,
    ) -> bool {
        let Some(served) = &self.served else {
            return false;
        };
        let Some(pod) = self.pods.get_mut(&id) else {
            return false;
        };
        pod.heard = Instant::now();
        let told: HashSet<&ObjectName> = items.iter().map(|(name, _)| name).collect();
        let subscriptions = served.configuration.subscriptions.iter();
        let known = subscriptions.filter(|entry| told.contains(&entry.name));
        let known: HashSet<ObjectName> = known.map(|entry| entry.name.clone()).collect();
        let observation = Arc::make_mut(&mut pod.observation);
        let health = Arc::make_mut(&mut observation.health);
        let items = items.into_iter();
        health.extend(items.filter(|(name, _)| known.contains(name)));
        !known.is_empty()
    }

    fn forget_health(&mut self, gone: &[ObjectName]) {
        for pod in self.pods.values_mut() {
            if gone
                .iter()
                .any(|name| pod.observation.health.contains_key(name))
            {
                let observation = Arc::make_mut(&mut pod.observation);
                let health = Arc::make_mut(&mut observation.health);
                for name in gone {
                    health.remove(name);
                }
            }
        }
    }

    /// The pods that have not taken a counter yet.
    pub fn behind(&self, counter: u64) -> Vec<&str> {
        let behind = self.pods.values().filter(|pod| pod.taken < counter);
        behind.map(|pod| pod.name.as_str()).collect()
    }

    /// What people may know of it; `None`: nobody has said yet what it serves.
    pub fn observe(&self) -> Option<GatewayObservation> {
        self.served.as_ref()?;
        let mut pods: Vec<_> = self
            .pods
            .values()
            .map(|pod| Arc::clone(&pod.observation))
            .collect();
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        let unsendable = self.published.unsendable().map(|(key, error)| Refused {
            key: key.clone(),
            problems: vec![error.to_string()],
        });
        Some(GatewayObservation {
            revision: self.published.revision(),
            unsendable: unsendable.collect(),
            pods,
        })
    }
}
