//! What gateways' pods are to do with EventSubscriptions that they have and are not sent any more.
//! Pure.

use std::collections::BTreeSet;

use super::decide::Decision;
use super::hub::GatewayObservation;
use super::world::World;
use crate::api::condition::reason;
use crate::compile::{Kind, State};
use crate::configuration::stream::{Partings, Unsent};
use crate::event::ObjectName;

/// What the pods of `gateway` are to do with what they say they have. Call it only once everything
/// was listed: what is not known counts as deleted.
#[must_use]
pub fn partings(
    gateway: &ObjectName,
    observation: Option<&GatewayObservation>,
    world: &World,
    decision: &Decision,
) -> Partings {
    let mut partings = Partings::default();
    let pods = observation.iter().flat_map(|it| &it.pods);
    let unsent: BTreeSet<&Unsent> = pods.flat_map(|pod| pod.unsent.iter()).collect();
    if unsent.is_empty() {
        return partings;
    }
    let served = decision.configurations.get(gateway);
    let served = served.iter().flat_map(|it| &it.subscriptions);
    let served: BTreeSet<&ObjectName> = served.map(|entry| &entry.name).collect();
    for Unsent { name, uid } in unsent {
        if served.contains(name) {
            continue;
        }
        let known = world.subscriptions.get(name);
        let Some(known) = known.filter(|known| known.uid() == uid) else {
            partings.gone.push(name.clone());
            continue;
        };
        let verdict = decision.verdict(Kind::EventSubscription, name);
        match verdict.map(|verdict| &verdict.state) {
            _ if known.present.is_err() => {}
            Some(State::Waiting { reason, .. }) if *reason == reason::NOT_ALLOWED => {
                partings.gone.push(name.clone());
            }
            Some(State::Ready | State::Waiting { .. }) => partings.draining.push(name.clone()),
            // As long as it is broken it goes on as it was.
            Some(State::Invalid) | None => {}
        }
    }
    partings.gone.dedup();
    partings.draining.dedup();
    partings
}
