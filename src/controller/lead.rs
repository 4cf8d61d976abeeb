//! What the leader does: takes in what happens, decides, and has it carried out.
//!
//! One task owns everything that is known, so nothing is ever decided from half of a change. What
//! takes time (reading, writing, sending) is done by others, who tell when they are done. Changes
//! that come together are decided together, a few milliseconds after the first.
//!
//! **Invariants:** nothing is served, sent or removed before everything was listed once and what
//! is referred to was read. The URIs that are recorded are live before anything else is served.

mod carry_out;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::attention::{Attention, Touched};
use super::decide::{Decision, Settings, decide};
use super::gateways::{Gateways, Looked};
use super::hub::Hub;
use super::last_good::LastGood;
use super::later::Later;
use super::metrics::Metrics;
use super::progress::Progress;
use super::records::Records;
use super::settling::Settling;
use super::shows::Shows;
use super::statuses::Written;
use super::upstream_objects::UpstreamObjects;
use super::upstream_subscription::is_withdrawn;
use super::watch::Fetcher;
use super::world::{Change, Effect, Scope, World, WrittenObject};
use super::write::Writer;
use crate::api::ObjectReference;
use crate::compile::Kind;
use crate::event::ObjectName;
use crate::provision::driver::Driver;

/// How long changes are gathered before they are decided on together.
const GATHER: Duration = Duration::from_millis(5);

/// How long reading what is newly referred to may hold up everything else.
const READING: Duration = Duration::from_secs(5);

/// How soon it is looked whether that was read, and how much later for each read.
const LOOK_AT_READS: Duration = Duration::from_millis(20);
const FOR_EACH_READ: Duration = Duration::from_micros(750);
const LOOK_AT_READS_AT_LEAST: Duration = Duration::from_millis(250);

/// How long what pods tell is gathered before statuses are made of it.
const GATHER_OBSERVATIONS: Duration = Duration::from_millis(100);

/// How long what merely counts is gathered.
const GATHER_COUNTS: Duration = Duration::from_secs(2);

/// Changes that are taken in at once.
const CHANGES_AT_ONCE: usize = 4_096;

/// What the leader works with.
pub struct Parts {
    /// What does not change.
    pub settings: Settings,
    /// Where watches look.
    pub scopes: Vec<Scope>,
    /// What pods get.
    pub hub: Hub,
    /// What provisions.
    pub driver: Driver,
    /// Its records.
    pub records: Arc<Records>,
    /// What it shows.
    pub shows: Arc<Shows>,
    /// Writes statuses.
    pub writer: Writer,
    /// Reads Secrets and ConfigMaps.
    pub fetcher: Fetcher,
    /// Writes UpstreamSubscriptions.
    pub objects: UpstreamObjects,
    /// Tells when a step of an UpstreamSubscription is over.
    pub steps_done: mpsc::UnboundedReceiver<ObjectName>,
    /// What happens.
    pub changes: mpsc::Receiver<Change>,
    /// Keeps last good forms.
    pub last_good: LastGood,
    /// Looks after the pods of gateways.
    pub gateways: Gateways,
    /// Tells what came of that.
    pub looked: mpsc::UnboundedReceiver<Looked>,
    /// The certificates that pods are to trust, as PEM.
    pub bundle: watch::Receiver<String>,
    /// What is counted.
    pub metrics: Metrics,
}

/// The leader at work.
pub struct Leader {
    parts: Parts,
    world: World,
    decision: Decision,
    progress: Progress,
    written: Written,
    /// UpstreamSubscriptions to look at now, and later.
    upstream_now: BTreeSet<ObjectName>,
    upstream_later: Later,
    /// Those of which nothing can be said yet.
    settling: Settling,
    decide_at: Option<Instant>,
    /// Since when reading holds up deciding.
    reading_since: Option<Instant>,
    attention: Attention,
    wish_at: Option<Instant>,
    /// Of which types and broken objects forms were kept last.
    kept_of: (usize, BTreeSet<ObjectReference>),
    is_started: bool,
}

/// What ended the leader's work.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// Provisioning cannot begin.
    #[error("failed to begin provisioning")]
    Driver(#[source] crate::provision::driver::StartError),
    /// Nobody tells what happens any more.
    #[error("all watches have ended")]
    Watches,
}

impl Leader {
    /// A leader that knows nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            world: World::default(),
            decision: Decision::default(),
            progress: Progress::default(),
            written: Written::default(),
            upstream_now: BTreeSet::new(),
            upstream_later: Later::default(),
            settling: Settling::default(),
            decide_at: None,
            reading_since: None,
            attention: Attention::default(),
            wish_at: None,
            kept_of: (usize::MAX, BTreeSet::new()),
            is_started: false,
        }
    }

    /// Works until it is dropped. `leading` is called once everything is served.
    ///
    /// # Errors
    /// When it cannot go on.
    pub async fn work(&mut self, leading: impl FnOnce()) -> Result<(), LeadError> {
        let mut leading = Some(leading);
        let mut observations = self.parts.hub.observations();
        loop {
            let wake = self.wake_at();
            tokio::select! {
                change = self.parts.changes.recv() => {
                    self.take_in(change.ok_or(LeadError::Watches)?);
                }
                Some(name) = self.parts.steps_done.recv() => {
                    // What came of the step was told before; without it the step would be taken again.
                    if let Ok(change) = self.parts.changes.try_recv() {
                        self.take_in(change);
                    }
                    self.upstream_now.insert(name);
                }
                Some(looked) = self.parts.looked.recv() => self.parts.gateways.finished(looked),
                Ok(()) = self.parts.bundle.changed() => {
                    let bundle = self.parts.bundle.borrow_and_update().clone();
                    self.parts.gateways.set_ca(bundle);
                }
                changed = observations.changed() => {
                    // The hub lives as long as this does.
                    if changed.is_ok() && self.is_started {
                        let observations = observations.borrow_and_update().clone();
                        let touched = self.progress.observe(observations);
                        if !touched.is_nothing() {
                            self.attention.look(touched, Instant::now() + GATHER_OBSERVATIONS);
                        }
                        self.parts.metrics.observed(&self.progress.observations);
                        for name in self.progress.observations.gateways.keys() {
                            self.parts.hub.part(name, Arc::new(self.partings(name)));
                        }
                        self.parts.gateways.look_at_all();
                    }
                }
                () = self.parts.shows.changed.notified() => self.see_shown(),
                () = tokio::time::sleep_until(wake) => {}
            }
            self.decide_if_due().await?;
            if self.is_started {
                if let Some(leading) = leading.take() {
                    leading();
                }
                self.wish_if_due();
                self.step_upstream();
                self.write_statuses_if_due();
                self.look_after_gateways();
            }
        }
    }

    fn wake_at(&self) -> Instant {
        let later = self.upstream_later.next().map(|at| {
            let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            Instant::now() + wait
        });
        let statuses_at = self.attention.next().filter(|_| self.is_started);
        let wish_at = self.wish_at.filter(|_| self.is_started);
        let all = [self.decide_at, statuses_at, wish_at, later];
        let next = all.into_iter().flatten().min();
        let gateways = match self.is_started {
            true => self.parts.gateways.wake_at(),
            false => Instant::now() + Duration::from_secs(60),
        };
        next.map_or(gateways, |next| next.min(gateways))
    }

    /// Takes in a change and all that are there already.
    fn take_in(&mut self, first: Change) {
        let mut next = Some(first);
        for _ in 0..CHANGES_AT_ONCE {
            let Some(change) = next else { return };
            self.take_in_one(change);
            next = self.parts.changes.try_recv().ok();
        }
        if let Some(change) = next {
            self.take_in_one(change);
        }
    }

    fn take_in_one(&mut self, change: Change) {
        use kube::runtime::watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let now = Instant::now();
        match &change {
            Change::Upstream(_, Apply(object) | Delete(object) | InitApply(object)) => {
                let name = name_of(object.meta());
                self.take_in_upstream(&name, change);
                self.upstream_now.insert(name);
                return;
            }
            Change::Upstream(_, Init | InitDone) => {
                let known = self.world.upstream.iter();
                self.upstream_now
                    .extend(known.map(|(name, _)| name.clone()));
            }
            Change::Written(written) if let WrittenObject::Upstream(object) = &**written => {
                // Looked at anew when the step is over, which is told apart.
                let name = name_of(object.meta());
                self.take_in_upstream(&name, change);
                return;
            }
            Change::Gateway(..) => self.parts.gateways.look_at_all(),
            _ => {}
        }
        let is_of_namespace = matches!(change, Change::Namespace(..));
        let key = change.key();
        match self.world.apply(change) {
            Effect::Nothing => {}
            Effect::Status => {
                let touched = Touched::These(key.into_iter().collect());
                self.attention.look(touched, now + GATHER_OBSERVATIONS);
            }
            Effect::Declared => {
                self.decide_at.get_or_insert(now + GATHER);
                if is_of_namespace {
                    let known = self.world.upstream.iter();
                    self.upstream_now
                        .extend(known.map(|(name, _)| name.clone()));
                }
            }
        }
    }

    /// It declares nothing: only that somebody deletes it, or has, changes what is wanted. The answer to a write of ours
    /// may be the first to tell of that.
    fn take_in_upstream(&mut self, name: &ObjectName, change: Change) {
        let is_withdrawn = |world: &World| is_withdrawn(world.upstream.get(name));
        let before = is_withdrawn(&self.world);
        self.world.apply(change);
        if before != is_withdrawn(&self.world) {
            self.wish_at.get_or_insert(Instant::now() + GATHER);
        }
    }

    fn see_shown(&mut self) {
        let changed = std::mem::take(&mut self.parts.shows.shown().changed);
        self.upstream_now.extend(changed);
        let types = self.world.event_types.iter();
        let types = types.map(|(name, _)| (Kind::AppEventType, name.clone()));
        let touched = Touched::These(types.collect());
        self.attention.look(touched, Instant::now() + GATHER_COUNTS);
        self.parts.gateways.look_at_all();
    }

    async fn decide_if_due(&mut self) -> Result<(), LeadError> {
        let now = Instant::now();
        if self.decide_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        if !self.world.is_listed(&self.parts.scopes) {
            // The end of the last list sets a time again.
            self.decide_at = None;
            return Ok(());
        }
        if !self.is_started {
            self.parts.last_good.restore(&mut self.world).await;
        }
        let (secrets, config_maps) = self.world.find_unread();
        if secrets.is_empty() && config_maps.is_empty() {
            self.reading_since = None;
        } else {
            let reads = u32::try_from(secrets.len() + config_maps.len()).unwrap_or(u32::MAX);
            self.parts.fetcher.fetch(secrets, config_maps);
            let since = *self.reading_since.get_or_insert(now);
            // In the beginning nothing may count as absent that is not; later what was read before
            // goes on counting.
            if !self.is_started || now < since + READING {
                let wait = LOOK_AT_READS + FOR_EACH_READ.saturating_mul(reads);
                self.decide_at = Some(now + wait.min(LOOK_AT_READS_AT_LEAST));
                return Ok(());
            }
        }
        self.decide_at = None;
        let began = Instant::now();
        self.decision =
            tokio::task::block_in_place(|| decide(&mut self.world, &self.parts.settings));
        self.parts.metrics.decided(&self.decision, began.elapsed());
        if !self.is_started {
            self.begin().await?;
        }
        self.carry_out();
        self.keep_last_good().await;
        self.attention.look(Touched::All, now);
        Ok(())
    }

    async fn keep_last_good(&mut self) {
        let decision = &self.decision;
        let of = (
            self.world.event_types.iter().count(),
            decision.served_as_before.clone(),
        );
        if !decision.newly_good.is_empty() || self.kept_of != of {
            self.parts.last_good.keep(&self.world, decision).await;
            self.kept_of = of;
        }
    }

    fn wish_if_due(&mut self) {
        if self.wish_at.is_some_and(|at| at <= Instant::now()) {
            self.wish_at = None;
            self.wish();
        }
    }

    /// The URIs of what is recorded first: until there are types, everything is answered 503, and
    /// never 404 for a URI that an app was told.
    async fn begin(&mut self) -> Result<(), LeadError> {
        let hub = self.parts.hub.clone();
        let started = self.parts.driver.start(Arc::new(hub)).await;
        for error in started.map_err(LeadError::Driver)? {
            tracing::error!("{error}");
        }
        self.parts
            .hub
            .report_to(Arc::new(self.parts.driver.clone()));
        self.is_started = true;
        let known = self.world.upstream.iter();
        self.upstream_now
            .extend(known.map(|(name, _)| name.clone()));
        Ok(())
    }
}

fn name_of(metadata: &ObjectMeta) -> ObjectName {
    ObjectName::new(
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}
