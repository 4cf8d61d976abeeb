//! What the leader has done once it has decided: pods are served, apps told, UpstreamSubscriptions, statuses and the
//! objects of gateways written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use tokio::time::Instant;

use super::{GATHER_OBSERVATIONS, Leader};
use crate::api::{AppEventType, Customer, MOST_REPLICAS};
use crate::compile::Kind;
use crate::configuration::stream::{Members, Partings};
use crate::controller::app_event_type::Counts;
use crate::controller::event_gateway::Names;
use crate::controller::hub::Served;
use crate::controller::orphans;
use crate::controller::partings::partings;
use crate::controller::statuses;
use crate::controller::upstream_objects::present;
use crate::controller::upstream_subscription::{Facts, Step, is_settling, is_withdrawn, step};
use crate::event::ObjectName;
use crate::provision::driver::{View, Wishes};

/// `storage.size` where an EventGateway says none: 10 GiB.
const DEFAULT_LOG_CAPACITY: u64 = 10 << 30;

impl Leader {
    /// Has the decision served, and apps told what is wanted of them.
    pub(super) fn carry_out(&mut self) {
        let hub = &self.parts.hub;
        for (name, configuration) in &self.decision.configurations {
            let gateway = self.world.gateways.get(name);
            let form = gateway.and_then(|it| it.present.as_ref().ok().or(it.last_good.as_ref()));
            let size = form.and_then(|it| it.spec.storage.size.as_ref());
            // As long as nobody knows how many pods there shall be, all of them stay.
            let replicas = form.map_or(MOST_REPLICAS, |it| it.spec.replicas());
            let addresses = Names::new(name.clone()).addresses(replicas);
            let served = Served {
                configuration: Arc::clone(configuration),
                members: Arc::new(Members { addresses }),
                partings: Arc::new(self.partings(name)),
                token_key: self.parts.settings.token_key.clone(),
                log_capacity: size.map_or(DEFAULT_LOG_CAPACITY, |size| size.bytes()),
            };
            hub.set(name, served);
        }
        for name in self.progress.wanted.keys() {
            let is_known = self.world.gateways.get(name).is_some();
            if !is_known && !self.decision.configurations.contains_key(name) {
                hub.remove(name);
            }
        }
        self.progress.observations = hub.observations().borrow().clone();
        let gateways = self.progress.observations.gateways.iter();
        self.progress.wanted = gateways
            .map(|(name, observation)| (name.clone(), observation.revision))
            .collect();
        self.wish();
        self.parts.gateways.look_at_all();
    }

    /// What a gateway's pods are to do with what they are not sent any more.
    pub(super) fn partings(&self, gateway: &ObjectName) -> Partings {
        let observations = &self.progress.observations;
        let observation = observations.gateways.get(gateway);
        partings(
            gateway,
            observation.map(|it| &**it),
            &self.world,
            &self.decision,
        )
    }

    /// Tells the driver what is wanted. What somebody deletes is not wanted until it has gone.
    pub(super) fn wish(&self) {
        let world = &self.world;
        let is_wanted = |name: &ObjectName| !is_withdrawn(world.upstream.get(name));
        let decision = &self.decision;
        let desired = decision.upstream.iter();
        let held = decision.held.iter();
        self.parts.driver.apply(Wishes {
            desired: desired
                .filter(|wish| is_wanted(&wish.name))
                .cloned()
                .collect(),
            held: held.filter(|name| is_wanted(name)).cloned().collect(),
            is_complete: decision.is_complete,
        });
    }

    /// Has happen what is to happen to UpstreamSubscriptions that something changed about.
    pub(super) fn step_upstream(&mut self) {
        let now = Timestamp::now();
        self.upstream_now.extend(self.upstream_later.take_due(now));
        while let Some(name) = self.upstream_now.pop_first() {
            self.upstream_later.remove(&name);
            let view = self.parts.driver.view(&name);
            let known = self.world.upstream.get(&name);
            let owner = view.as_ref().and_then(|view| self.owner(view));
            let not_made_until = if known.is_none() && view.as_ref().is_some_and(is_settling) {
                Some(self.settling.until(&name, now))
            } else {
                self.settling.settled(&name);
                None
            };
            let step = step(Facts {
                view: view.as_ref(),
                has_record: self.parts.records.has(&name),
                known,
                namespace: self.world.namespace(&name.namespace),
                owner: owner.as_ref(),
                not_made_until,
                now,
            });
            if let Step::Nothing(Some(at)) = &step {
                self.upstream_later.insert(name, *at);
                continue;
            }
            if !self.parts.objects.carry_out(&name, present(known), step) {
                // The others wait, too: until a step is over.
                self.upstream_now.insert(name);
                break;
            }
        }
        let is_crowded = !self.upstream_now.is_empty();
        self.parts.writer.set_crowded(is_crowded);
    }

    /// Who owns the object of a subscription: its Customer, or the type.
    fn owner(&self, view: &View) -> Option<OwnerReference> {
        let owner = match &view.customer {
            Some((name, _)) => {
                let uid = self.world.customers.get(name)?.metadata().uid.clone()?;
                (Customer::kind(&()), name, uid)
            }
            None => {
                let name = &view.event_type;
                let uid = self.world.event_types.get(name)?.metadata().uid.clone()?;
                (AppEventType::kind(&()), name, uid)
            }
        };
        let (kind, name, uid) = owner;
        Some(OwnerReference {
            api_version: Customer::api_version(&()).into_owned(),
            kind: kind.into_owned(),
            name: name.name.clone(),
            uid,
            controller: Some(true),
            block_owner_deletion: Some(false),
        })
    }

    pub(super) fn write_statuses_if_due(&mut self) {
        let start = Instant::now();
        let Some(touched) = self.attention.take_due(start) else {
            return;
        };
        let now = Timestamp::now();
        let counts = match touched.concerns(Kind::AppEventType) {
            true => self.counts(),
            false => BTreeMap::new(),
        };
        let facts = statuses::Facts {
            world: &self.world,
            decision: &self.decision,
            progress: &self.progress,
            counts: &counts,
            now,
        };
        let due = statuses::due(facts, &touched, &mut self.written);
        for write in due.writes {
            self.parts.writer.write(write);
        }
        if let Some((at, objects)) = due.look_again {
            let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            let at = start + wait.max(GATHER_OBSERVATIONS);
            self.attention.look_again(objects, at);
        }
    }

    fn counts(&self) -> BTreeMap<ObjectName, Counts> {
        let mut counts: BTreeMap<ObjectName, Counts> = BTreeMap::new();
        for one in self.parts.shows.shown().all.values() {
            let counts = counts.entry(one.event_type.clone()).or_default();
            counts.all += 1;
            counts.ready += u32::from(one.is_subscribed);
        }
        counts
    }

    pub(super) fn look_after_gateways(&mut self) {
        let orphaned = self.parts.shows.shown().orphaned.clone();
        let driver = &self.parts.driver;
        self.parts
            .gateways
            .look(&self.world, &self.decision, &self.progress, || {
                let views = orphaned.iter().filter_map(|name| driver.view(name));
                let views: Vec<View> = views.collect();
                let now = Timestamp::now();
                for (name, until) in orphans::removed(&views, &self.decision, &self.world, now) {
                    driver.orphans_removed(&name, until);
                }
                views
            });
    }
}
