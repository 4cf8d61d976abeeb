//! Every gateway of an installation, each compiled for by itself, and one verdict on each object.
//!
//! A gateway's configuration holds what belongs to that gateway and nothing else: no credential
//! goes where it is not needed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Compiled, Environment, Identity, Judged, Kind, Others, State, Verdict, compile, name_of,
};
use crate::api::{EventGateway, ObjectReference, Resources};
use crate::configuration::Configuration;
use crate::event::ObjectName;
use crate::outbound::PrivateAddresses;
use crate::provision::Desired;

/// What is the same for all gateways. See [`Environment`].
pub struct Installation<'a> {
    /// Used by types without a `gatewayRef`.
    pub default_gateway: ObjectName,
    /// [`Environment::private_addresses`].
    pub private_addresses: &'a PrivateAddresses,
    /// [`Environment::unusable_paths`].
    pub unusable_paths: &'a [(ObjectName, String)],
    /// [`Environment::webhook_token`].
    pub webhook_token: &'a dyn Fn(&ObjectName) -> String,
    /// [`Environment::service_url`].
    pub service_url: &'a dyn Fn(&ObjectName, u16, bool) -> Result<String, String>,
    /// [`Environment::identity`].
    pub identity: &'a dyn Fn(Kind, &ObjectName) -> Identity,
}

/// What comes of all gateways.
#[derive(Debug, Default)]
pub struct OfAllGateways {
    /// What each gateway is to serve.
    pub configurations: BTreeMap<ObjectName, Configuration>,
    /// One for each object.
    pub verdicts: Vec<Verdict>,
    /// [`Compiled::upstream`].
    pub upstream: Vec<Arc<Desired>>,
    /// [`Compiled::held`].
    pub held: BTreeSet<ObjectName>,
    /// Which gateway each AppEventType that has one belongs to.
    pub homes: BTreeMap<ObjectName, ObjectName>,
}

impl Judged for OfAllGateways {
    fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    fn set_verdicts(&mut self, verdicts: Vec<Verdict>) {
        self.verdicts = verdicts;
    }
}

/// Compiles for every EventGateway that there is. Where there is none, verdicts are all that comes
/// of it.
pub fn compile_all(resources: &Resources, installation: &Installation<'_>) -> OfAllGateways {
    let mut gateways: Vec<(ObjectName, Option<&str>)> = resources
        .gateways
        .iter()
        .map(|gateway| {
            (
                name_of::<EventGateway>(gateway),
                Some(gateway.spec.public_url.as_str()),
            )
        })
        .collect();
    gateways.sort();
    if gateways.is_empty() {
        gateways.push((installation.default_gateway.clone(), None));
    }
    let mut all = OfAllGateways::default();
    let mut verdicts: BTreeMap<ObjectReference, Verdict> = BTreeMap::new();
    for (position, (gateway, public_url)) in gateways.into_iter().enumerate() {
        let environment = Environment {
            public_url: public_url.unwrap_or_default(),
            gateway: gateway.clone(),
            default_gateway: installation.default_gateway.clone(),
            others: Others::LeftOut {
                speaks_of_homeless: position == 0,
            },
            private_addresses: installation.private_addresses,
            unusable_paths: installation.unusable_paths,
            webhook_token: installation.webhook_token,
            service_url: installation.service_url,
            identity: installation.identity,
        };
        let Compiled {
            configuration,
            verdicts: found,
            upstream,
            held,
        } = compile(resources, &environment);
        for verdict in found {
            match verdicts.entry(verdict.kind.reference(&verdict.name)) {
                Entry::Vacant(place) => {
                    place.insert(verdict);
                }
                Entry::Occupied(mut known) => add(known.get_mut(), verdict),
            }
        }
        all.upstream.extend(upstream);
        all.held.extend(held);
        if public_url.is_some() {
            let types = configuration.event_types.iter();
            let routed = configuration.routes.iter().map(|route| &route.event_type);
            let names = types.map(|entry| &entry.name).chain(routed);
            all.homes
                .extend(names.map(|name| (name.clone(), gateway.clone())));
            all.configurations.insert(gateway, configuration);
        }
    }
    for wish in &all.upstream {
        all.held.remove(&wish.name);
    }
    all.verdicts = verdicts.into_values().collect();
    all
}

/// What several gateways say of the same object, a Customer: everything, and the worst counts.
fn add(known: &mut Verdict, other: Verdict) {
    for problem in other.problems {
        if !known.problems.contains(&problem) {
            known.problems.push(problem);
        }
    }
    match (&known.state, &other.state) {
        (State::Invalid, _) | (_, State::Ready) => {}
        (State::Ready, _) | (State::Waiting { .. }, State::Invalid) => known.state = other.state,
        (State::Waiting { .. }, State::Waiting { .. }) => {}
    }
}

#[cfg(test)]
mod tests;
