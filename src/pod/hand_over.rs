//! A pod that goes hands over what it has: events that were not delivered, each for the
//! subscriptions that have not got it yet, and dead letters.
//!
//! In this order: wait until one of the pods that stay takes requests; be unready, so that nobody
//! new is sent here; take no more requests; pause delivery; hand over; record that nothing is left;
//! say so. Only then the controller lets the pod go. Every step can be taken back until it has gone,
//! and all of it begins anew after a restart.
//!
//! **Invariants:** an event leaves this pod's queue after another pod has it on disk, synced. A pod
//! that says that it is done takes nothing more until it is told to stay.

mod batch;
mod receiver;
mod sealed;
mod sender;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

pub use receiver::Receiver;
pub use sealed::Key;

use crate::configuration::stream::report::Acknowledgement;
use crate::configuration::stream::{Members, Retirement};
use crate::delivery::dead_letters::{DeadLetterId, Filter, PageRequest};
use crate::engine::Engine;
use crate::gateway::Leaving;
use sender::Sender;

/// How long requests are taken although the pod is not ready: until whoever sends has heard of it.
/// A kubelet asks every 2 s and wants two answers, then proxies follow.
const LINGER: Duration = Duration::from_secs(10);

/// How often something is looked at that nobody tells of.
const LOOK: Duration = Duration::from_millis(50);

/// How long to wait when no pod takes anything.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it is told how much is left.
const TELL: Duration = Duration::from_secs(1);

/// Dead letters in a batch. Each may be as large as a request.
const LETTERS: usize = 50;

/// Hands over, whenever the pod is none of the members.
pub struct HandOver {
    pod: String,
    engine: Arc<Engine>,
    key: Arc<Key>,
    /// Who there shall be; `None`: nobody has said, so the pod stays.
    members: watch::Receiver<Option<Arc<Members>>>,
    acknowledgement: watch::Sender<Acknowledgement>,
    told: Option<Instant>,
}

/// The members are others now: everything begins anew.
struct Changed;

impl HandOver {
    /// The one of this pod.
    pub fn new(
        pod: String,
        engine: Arc<Engine>,
        key: Arc<Key>,
        members: watch::Receiver<Option<Arc<Members>>>,
        acknowledgement: watch::Sender<Acknowledgement>,
    ) -> Self {
        Self {
            pod,
            engine,
            key,
            members,
            acknowledgement,
            told: None,
        }
    }

    /// Does so, as long as the process lives.
    pub async fn run(mut self) {
        loop {
            let members = self.members.borrow_and_update().clone();
            match members.filter(|members| !members.include(&self.pod)) {
                None => self.stay(),
                Some(members) => {
                    if let Err(Changed) = self.go(&members).await {
                        continue;
                    }
                }
            }
            if self.members.changed().await.is_err() {
                return;
            }
        }
    }

    fn stay(&mut self) {
        let gateway = self.engine.gateway();
        if gateway.leaving() != Leaving::No {
            tracing::info!("the pod stays");
            self.engine.delivery().pause(false);
            gateway.leave(Leaving::No);
        }
        self.tell(None);
    }

    async fn go(&mut self, members: &Members) -> Result<(), Changed> {
        let sender = Sender::new(&self.pod, Arc::clone(&self.key), members);
        self.tell_progress(members, true);
        tracing::info!(
            members = members.addresses.len(),
            "the pod goes: it hands over what it has"
        );
        // Else nobody would take requests while this one does not any more.
        while !sender.somebody_is_ready().await {
            self.tell_progress(members, false);
            self.pause(AGAIN).await?;
        }
        let engine = Arc::clone(&self.engine);
        let gateway = engine.gateway();
        if gateway.leaving() != Leaving::Closed {
            gateway.leave(Leaving::Unready);
            let until = Instant::now() + LINGER;
            while Instant::now() < until {
                self.tell_progress(members, false);
                self.pause(TELL.min(until - Instant::now())).await?;
            }
        }
        gateway.leave(Leaving::Closed);
        while gateway.open_requests() > 0 {
            self.pause(LOOK).await?;
        }
        engine.delivery().pause(true);
        self.hand_over_events(members, &sender).await?;
        self.hand_over_letters(members, &sender).await?;
        while let Err(error) = engine.delivery().record().await {
            tracing::error!(error, "failed to record that nothing is left; trying again");
            self.pause(AGAIN).await?;
        }
        tracing::info!("the pod has nothing left");
        self.tell(Some(Retirement {
            members: members.addresses.len(),
            left: 0,
            is_done: true,
        }));
        Ok(())
    }

    async fn hand_over_events(
        &mut self,
        members: &Members,
        sender: &Sender,
    ) -> Result<(), Changed> {
        let engine = Arc::clone(&self.engine);
        let delivery = engine.delivery();
        loop {
            self.tell_progress(members, false);
            let events = delivery
                .oldest_undelivered(batch::MOST_ITEMS, batch::ENOUGH_BYTES)
                .await;
            if events.is_empty() {
                if delivery.is_at_rest() && delivery.undelivered() == 0 {
                    return Ok(());
                }
                // What is under way ends, or is found here.
                self.pause(LOOK).await?;
                continue;
            }
            // All of them are of one subscription. Once that is deleted nobody wants them any more.
            let subscription = events[0].subscription.clone();
            let is_wanted = || delivery.has_subscription(&subscription);
            self.send(sender, batch::of_events(&events), is_wanted)
                .await?;
            delivery.handed_over(&events);
        }
    }

    async fn hand_over_letters(
        &mut self,
        members: &Members,
        sender: &Sender,
    ) -> Result<(), Changed> {
        let engine = Arc::clone(&self.engine);
        let all = engine.dead_letters();
        let page = PageRequest {
            after: None,
            limit: LETTERS,
        };
        loop {
            self.tell_progress(members, false);
            let listed = match all.list(Filter::default(), page).await {
                Ok(listed) => listed,
                Err(error) => {
                    tracing::error!(%error, "failed to read dead letters; trying again");
                    self.pause(AGAIN).await?;
                    continue;
                }
            };
            if listed.items.is_empty() && listed.next.is_none() {
                return Ok(());
            }
            let mut letters = Vec::with_capacity(listed.items.len());
            let ids: Vec<DeadLetterId> = listed.items.iter().map(|letter| letter.id).collect();
            for id in &ids {
                // One that is damaged is told of by whoever reads it, and not there for anybody.
                if let Ok(Some(letter)) = all.get(*id).await {
                    letters.push(letter);
                }
            }
            // The oldest first, as they came.
            letters.reverse();
            self.send(sender, batch::of_letters(&letters), || true)
                .await?;
            while let Err(error) = all.remove(&ids).await {
                tracing::error!(%error, "failed to remove dead letters that another pod has; trying again");
                self.pause(AGAIN).await?;
            }
        }
    }

    /// Sends a batch until a pod has taken it, or nobody wants it. A batch that is being sent is sent to its end, so that
    /// it is known what became of it.
    async fn send(
        &mut self,
        sender: &Sender,
        batch: Vec<u8>,
        is_wanted: impl Fn() -> bool,
    ) -> Result<(), Changed> {
        if batch.is_empty() {
            return Ok(());
        }
        let id = uuid::Uuid::new_v4().to_string();
        while is_wanted() && !sender.send(&id, &batch, Timestamp::now()).await {
            self.pause(AGAIN).await?;
        }
        Ok(())
    }

    /// Waits for a time, unless the members change.
    async fn pause(&mut self, time: Duration) -> Result<(), Changed> {
        match timeout(time, self.members.changed()).await {
            Ok(Ok(())) => Err(Changed),
            // Nobody tells any more: the process ends.
            Ok(Err(_)) => {
                sleep(time).await;
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    fn tell_progress(&mut self, members: &Members, at_once: bool) {
        if !at_once && self.told.is_some_and(|at| at.elapsed() < TELL) {
            return;
        }
        self.told = Some(Instant::now());
        let letters = self.engine.dead_letters().counts().total;
        self.tell(Some(Retirement {
            members: members.addresses.len(),
            left: self.engine.delivery().undelivered() + letters,
            is_done: false,
        }));
    }

    fn tell(&self, retirement: Option<Retirement>) {
        self.acknowledgement.send_if_modified(|it| {
            let is_news = it.retirement != retirement;
            it.retirement = retirement;
            is_news
        });
    }
}
