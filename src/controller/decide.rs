//! From what is known to what is to be: what each gateway serves, what is wanted at apps, and what
//! is to be said about each object. Pure; the same compilation as of `check` and `dev`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::ObjectReference;
use crate::compile::{
    Installation, Kind, OfAllGateways, Verdict, WithLastGood, compile_all, in_cluster_url,
    with_last_good,
};
use crate::configuration::{Configuration, Sensitive};
use crate::event::ObjectName;
use crate::gateway::token;
use crate::outbound::PrivateAddresses;
use crate::provision::Desired;

use super::world::World;

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Used by types without a `gatewayRef`.
    pub default_gateway: ObjectName,
    /// At which private addresses sinks may be.
    pub private_addresses: PrivateAddresses,
    /// The key that the tokens of webhook URIs are made with.
    pub token_key: Sensitive,
}

/// What is to be.
#[derive(Debug, Default)]
pub struct Decision {
    /// What each gateway serves.
    pub configurations: BTreeMap<ObjectName, Arc<Configuration>>,
    /// What is to be said about each object that could be read at least once.
    pub verdicts: BTreeMap<ObjectReference, Verdict>,
    /// Which gateway each AppEventType belongs to.
    pub homes: BTreeMap<ObjectName, ObjectName>,
    /// Which gateways know the Customers of each namespace: all of one that can be used, or none.
    pub customers_at: BTreeMap<String, BTreeSet<ObjectName>>,
    /// Objects that are served in their last good form because the present one is broken.
    pub served_as_before: BTreeSet<ObjectReference>,
    /// What is wanted at apps.
    pub upstream: Vec<Arc<Desired>>,
    /// Of which it is merely not known what is wanted.
    pub held: BTreeSet<ObjectName>,
    /// Whether everything that is wanted of apps is known.
    pub is_complete: bool,
    /// Objects whose last good form is another than before.
    pub newly_good: Vec<ObjectReference>,
}

impl Decision {
    /// What is to be said about an object.
    pub fn verdict(&self, kind: Kind, name: &ObjectName) -> Option<&Verdict> {
        self.verdicts.get(&kind.reference(name))
    }
}

/// Decides from what is known now, and notes in `world` what turned out to be good. Call it only
/// once everything was listed.
pub fn decide(world: &mut World, settings: &Settings) -> Decision {
    let webhook_token =
        |name: &ObjectName| token::issue(&settings.token_key, &format!("global webhook {name}"));
    let WithLastGood {
        compiled,
        mut served_as_before,
        good,
    } = {
        let world = &*world;
        let identity = |kind: Kind, name: &ObjectName| world.identity(kind, name);
        let installation = Installation {
            default_gateway: settings.default_gateway.clone(),
            private_addresses: &settings.private_addresses,
            unusable_paths: &[],
            webhook_token: &webhook_token,
            service_url: &in_cluster_url,
            identity: &identity,
        };
        with_last_good(
            |as_before| compile_all(&world.resources(as_before), &installation),
            |key| world.has_former_form(key),
        )
    };
    let mut newly_good = Vec::new();
    for key in good {
        if world.judged_good(&key) {
            newly_good.push(key);
        }
    }
    let OfAllGateways {
        configurations,
        verdicts,
        mut upstream,
        held,
        homes,
    } = compiled;
    // Nobody can be subscribed for in a namespace that is being deleted.
    upstream.retain(|wish| {
        let namespace = world.namespace(&wish.name.namespace);
        namespace.is_none_or(|state| state.deleted_at.is_none())
    });
    let verdicts: BTreeMap<ObjectReference, Verdict> = verdicts
        .into_iter()
        .map(|verdict| (verdict.kind.reference(&verdict.name), verdict))
        .collect();
    served_as_before.extend(malformed(world));
    let customers_at = customers_at(&configurations);
    Decision {
        configurations: configurations
            .into_iter()
            .map(|(name, configuration)| (name, Arc::new(configuration)))
            .collect(),
        verdicts,
        homes,
        customers_at,
        served_as_before,
        upstream,
        held,
        is_complete: world.knows_every_subscription(),
        newly_good,
    }
}

fn customers_at(
    configurations: &BTreeMap<ObjectName, Configuration>,
) -> BTreeMap<String, BTreeSet<ObjectName>> {
    let mut known: BTreeMap<String, BTreeSet<ObjectName>> = BTreeMap::new();
    for (gateway, configuration) in configurations {
        let customers = configuration.customers.iter();
        let namespaces: BTreeSet<&str> = customers.map(|it| &*it.name.namespace).collect();
        for namespace in namespaces {
            let gateways = known.entry(namespace.to_owned()).or_default();
            gateways.insert(gateway.clone());
        }
    }
    known
}

/// Objects that cannot be read and could be once.
fn malformed(world: &World) -> Vec<ObjectReference> {
    let mut found = Vec::new();
    let mut add = |kind: Kind, name: &ObjectName, is_malformed: bool, was_good: bool| {
        if is_malformed && was_good {
            found.push(kind.reference(name));
        }
    };
    for (name, known) in world.event_types.iter() {
        let was_good = known.last_good.is_some();
        add(Kind::AppEventType, name, known.present.is_err(), was_good);
    }
    for (name, known) in world.customers.iter() {
        let was_good = known.last_good.is_some();
        add(Kind::Customer, name, known.present.is_err(), was_good);
    }
    for (name, known) in world.subscriptions.iter() {
        let was_good = known.last_good.is_some();
        let is_malformed = known.present.is_err();
        add(Kind::EventSubscription, name, is_malformed, was_good);
    }
    for (name, known) in world.gateways.iter() {
        let was_good = known.last_good.is_some();
        add(Kind::EventGateway, name, known.present.is_err(), was_good);
    }
    found
}
