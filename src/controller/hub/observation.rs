//! What is known of the gateways' pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::configuration::SubscriptionHealth;
use crate::configuration::stream::{EntryKey, Retirement, Revision, Unsent};
use crate::event::ObjectName;

/// What is known of all gateways at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// By gateway; those that [`super::Hub::set`] was called for.
    pub gateways: BTreeMap<ObjectName, Arc<GatewayObservation>>,
}

/// What is known of one gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayObservation {
    /// What is being served to its pods.
    pub revision: Revision,
    /// What no pod can be sent, whatever its version. An earlier form of those is in force.
    pub unsendable: Vec<Refused>,
    /// The pods that are connected, by name.
    pub pods: Vec<Arc<PodObservation>>,
}

impl GatewayObservation {
    /// The revision that every connected pod has taken; `None` while one has not taken any, or
    /// none is connected.
    #[must_use]
    pub fn taken_by_all(&self) -> Option<Revision> {
        let acknowledged = self.pods.iter().map(|pod| pod.acknowledged);
        acknowledged.min().flatten()
    }
}

/// What is known of one connected pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodObservation {
    /// The pod's name.
    pub name: String,
    /// Since when it is connected.
    pub since: Timestamp,
    /// What it has taken last; `None`: nothing yet.
    pub acknowledged: Option<Revision>,
    /// What it could not take of that. An earlier form of those is in force, if there was one.
    pub refused: Arc<Vec<Refused>>,
    /// How many more there are than it has named.
    pub further_refused: usize,
    /// How far it is with going; `None`: it stays.
    pub retirement: Option<Retirement>,
    /// EventSubscriptions that it has and is not sent any more.
    pub unsent: Arc<Vec<Unsent>>,
    /// How it goes with its subscriptions, by name; those that it has told of.
    pub health: Arc<BTreeMap<ObjectName, SubscriptionHealth>>,
}

/// An entry that a pod could not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub key: EntryKey,
    /// Why, in sentences for people. Nothing in them is sensitive.
    pub problems: Vec<String>,
}
