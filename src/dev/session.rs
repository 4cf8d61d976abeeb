//! From what was read to what is served: the memory of objects, compiled, with the last good form
//! of what is broken. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::memory::{Changes, Memory, Reading};
use super::object::Object;
use crate::api::{EventGateway, ObjectReference, Resources};
use crate::compile::{
    Compiled, Environment, Identity, Kind, Others, WithLastGood, compile, name_of, with_last_good,
};
use crate::event::ObjectName;
use crate::outbound::PrivateAddresses;

/// What never changes while `dev` runs, and functions that compilation needs.
pub struct Settings {
    /// `--public-url`, which wins over the EventGateway's.
    pub public_url: Option<String>,
    /// What serves as the public URL where nothing names one: the listener's own address.
    pub listener_url: String,
    /// The token of a type's unguessable URI.
    pub webhook_token: Box<dyn Fn(&ObjectName) -> String + Send + Sync>,
    /// `--service NAME=URL`: what stands in for Services, by `name` or `namespace/name`.
    pub services: BTreeMap<String, String>,
}

/// What is served now, and what there is to say about it.
pub type Outcome = WithLastGood<Compiled>;

/// Everything that `dev` knows of the manifests.
pub struct Session {
    settings: Settings,
    memory: Memory,
    /// Objects that are there but broken in themselves.
    invalid: BTreeSet<ObjectReference>,
    /// The webhook paths of types among them, as far as they can be made out.
    unusable_paths: Vec<(ObjectName, String)>,
}

impl Session {
    /// Goes on from what was remembered.
    pub fn new(settings: Settings, memory: Memory) -> Self {
        Self {
            settings,
            memory,
            invalid: BTreeSet::new(),
            unusable_paths: Vec::new(),
        }
    }

    /// What is to be remembered.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What the gateway that runs here says of the log's size, in bytes. It counts at start only.
    pub fn storage_size(&self) -> Option<u64> {
        let resources = self.resources(&BTreeSet::new());
        let name = default_gateway(&resources);
        let gateway = resources
            .gateways
            .iter()
            .find(|gateway| name_of::<EventGateway>(gateway) == name)?;
        Some(gateway.spec.storage.size.as_ref()?.bytes())
    }

    /// Takes in what was read between `began` and `now`. `unusable_paths` are the webhook paths of the types among the broken
    /// objects, as far as they can be made out.
    pub fn update(
        &mut self,
        reading: Reading,
        unusable_paths: Vec<(ObjectName, String)>,
        began: Timestamp,
        now: Timestamp,
        new_uid: &mut dyn FnMut() -> String,
    ) -> Changes {
        self.invalid = reading.broken.iter().map(|(key, _)| key.clone()).collect();
        self.unusable_paths = unusable_paths;
        self.memory.update(reading, began, now, new_uid)
    }

    /// Whether there is no EventSubscription of which nothing but the name is known. Whatever such
    /// a one wants of an app must not count as unwanted.
    pub fn knows_every_subscription(&self) -> bool {
        let kind = Kind::EventSubscription.as_str();
        let mut invalid = self.invalid.iter();
        !invalid.any(|key| key.kind == kind && self.memory.get(key).is_none())
    }

    /// Compiles what is remembered now.
    pub fn compile(&mut self) -> Outcome {
        let outcome = with_last_good(
            |as_before| self.compile_with(as_before),
            |key| {
                let known = self.memory.get(key);
                known.is_some_and(|known| {
                    let good = known.last_good.as_ref();
                    good.is_some_and(|good| *good != known.object)
                })
            },
        );
        for key in &outcome.good {
            self.memory.judged_good(key);
        }
        outcome
    }

    fn compile_with(&self, as_before: &BTreeSet<ObjectReference>) -> Compiled {
        let resources = self.resources(as_before);
        let default_gateway = default_gateway(&resources);
        let public_url = self.public_url(&resources, &default_gateway);
        let identity = |kind: Kind, name: &ObjectName| match self.memory.get(&kind.reference(name))
        {
            Some(known) => Identity {
                uid: known.uid.clone(),
                since: known.since,
            },
            None => Identity {
                uid: String::new(),
                since: Timestamp::UNIX_EPOCH,
            },
        };
        let service_url = |service: &ObjectName, _port: u16, _by_https: bool| {
            let by_name = self.settings.services.get(&service.to_string());
            by_name
                .or_else(|| self.settings.services.get(&service.name))
                .cloned()
                .ok_or_else(|| {
                    format!(
                        "nothing stands in for Service {service}: start with --service {}=URL",
                        service.name
                    )
                })
        };
        compile(
            &resources,
            &Environment {
                public_url: &public_url,
                gateway: default_gateway.clone(),
                default_gateway,
                others: Others::Told,
                private_addresses: &PrivateAddresses::All,
                unusable_paths: &self.unusable_paths,
                webhook_token: &*self.settings.webhook_token,
                service_url: &service_url,
                identity: &identity,
            },
        )
    }

    fn public_url(&self, resources: &Resources, gateway: &ObjectName) -> String {
        let declared = resources
            .gateways
            .iter()
            .find(|one| name_of::<EventGateway>(one) == *gateway);
        let url = (self.settings.public_url.as_deref())
            .or_else(|| declared.map(|gateway| gateway.spec.public_url.as_str()))
            .unwrap_or(&self.settings.listener_url);
        url.trim_end_matches('/').to_owned()
    }

    fn resources(&self, as_before: &BTreeSet<ObjectReference>) -> Resources {
        let mut resources = Resources::default();
        for (key, known) in self.memory.objects() {
            let object = match &known.last_good {
                Some(good) if as_before.contains(key) => good,
                _ => &known.object,
            };
            Object::clone(object).add_to(&mut resources);
        }
        let never_good = self
            .invalid
            .iter()
            .filter(|key| self.memory.get(key).is_none());
        resources.invalid.extend(never_good.cloned());
        resources
    }
}

/// The gateway that runs here: the one named `default`, else the only one, else one that nobody
/// declared.
fn default_gateway(resources: &Resources) -> ObjectName {
    let names: Vec<ObjectName> = resources.gateways.iter().map(|it| name_of(&**it)).collect();
    let named = names.iter().find(|name| name.name == "default");
    named
        .or(names.first())
        .cloned()
        .unwrap_or_else(|| ObjectName::new("tidegate", "default"))
}
