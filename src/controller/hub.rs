//! What every gateway's pods are to serve, who of them is connected, and what each has taken.
//!
//! Whoever decides sets a gateway's configuration here as a whole, and changes registrations one
//! by one; the hub finds out what that means for whom, gives every change a revision, and knows
//! when it is live everywhere. It decides nothing and does no I/O: the server carries what it says
//! to the pods.
//!
//! **Invariant:** a pod gets entries of its own gateway only, and may tell of its own gateway's
//! registrations only.

mod authenticate;
mod gateway;
mod observation;
mod registrations;
mod session;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

pub use crate::configuration::stream::Served;
pub use authenticate::{Authenticate, AuthenticateError, Caller};
pub use observation::{GatewayObservation, Observations, PodObservation, Refused};
pub use session::{Next, Session, Teller};

use crate::configuration::stream::{Change, Partings};
use crate::configuration::{Configuration, NoReports, RegistrationChange, Reports};
use crate::event::ObjectName;
use crate::provision::store::{NotPublished, Publish};
use gateway::{Gateway, SessionId};
use registrations::Registrations;

/// The time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long a change of registrations waits for the connected pods.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long after a change of leader pods may still be on their way here. Until then a gateway
/// without pods is waited for: what a pod is not told before an app knows of it, it answers 503.
const PODS_ARRIVE: Duration = Duration::from_secs(10);

/// What a hub is made of. There is one hub for each time that this process becomes the leader.
pub struct Parts {
    /// How often the leadership has changed hands (`leaseTransitions`). Pods refuse a lower one
    /// than they have seen.
    pub epoch: u64,
    /// The time.
    pub clock: Clock,
}

/// What every connected pod gets. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    epoch: u64,
    clock: Clock,
    since: Instant,
    state: Mutex<State>,
    observations: watch::Sender<Arc<Observations>>,
}

struct State {
    gateways: BTreeMap<ObjectName, Gateway>,
    registrations: Registrations,
    reports: Arc<dyn Reports>,
    next_session: u64,
}

impl Hub {
    /// A hub that serves nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { epoch, clock } = parts;
        Self(Arc::new(Inner {
            epoch,
            clock,
            since: Instant::now(),
            state: Mutex::new(State {
                gateways: BTreeMap::new(),
                registrations: Registrations::default(),
                reports: Arc::new(NoReports),
                next_session: 1,
            }),
            observations: watch::Sender::new(Arc::default()),
        }))
    }

    /// How often the leadership has changed hands.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// Whether they are one and the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// From now on the gateway's pods serve this. It answers at once; whether it is live is among
    /// the [`Hub::observations`].
    ///
    /// The first call for a gateway lets its pods have what is here, in place of what they had from
    /// an earlier leader. So the registrations that are recorded must have been published before,
    /// and `served` must be complete.
    pub fn set(&self, name: &ObjectName, served: Served) {
        let mut state = self.state();
        let types = event_types(&served.configuration);
        let mut moved = by_gateway(state.registrations.serve(name, Some(types)));
        let epoch = self.0.epoch;
        let gateways = &mut state.gateways;
        let gateway = gateways
            .entry(name.clone())
            .or_insert_with(|| Gateway::new(epoch));
        let further = moved.remove(name).unwrap_or_default();
        let mut affected = Vec::new();
        if gateway.set(served, further) {
            affected.push(name.clone());
        }
        self.carry_out(&mut state, moved, &mut affected);
        self.observe(&state, &affected);
    }

    /// What the gateway's pods are to do from now on with EventSubscriptions that they are not sent any
    /// more.
    pub fn part(&self, name: &ObjectName, partings: Arc<Partings>) {
        self.with(name, |gateway| (gateway.part(partings), ()));
    }

    /// There is no such gateway any more. Pods of it that still run go on with what they have.
    pub fn remove(&self, name: &ObjectName) {
        let mut state = self.state();
        let moved = by_gateway(state.registrations.serve(name, None));
        state.gateways.remove(name);
        let mut affected = vec![name.clone()];
        self.carry_out(&mut state, moved, &mut affected);
        self.observe(&state, &affected);
    }

    /// Who is told what comes in at the pods. Before the first call nothing can be captured.
    pub fn report_to(&self, reports: Arc<dyn Reports>) {
        self.state().reports = reports;
    }

    /// What is known of the pods, whenever it changes.
    #[must_use]
    pub fn observations(&self) -> watch::Receiver<Arc<Observations>> {
        self.0.observations.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes changes of registrations in the gateways that they are for; the counters that they
    /// have then.
    fn carry_out(
        &self,
        state: &mut State,
        changes: BTreeMap<ObjectName, Vec<Change>>,
        affected: &mut Vec<ObjectName>,
    ) -> Vec<(ObjectName, u64)> {
        let mut counters = Vec::new();
        for (name, changes) in changes {
            let Some(gateway) = state.gateways.get_mut(&name) else {
                continue;
            };
            if gateway.change(changes) {
                affected.push(name.clone());
            }
            if let Some(counter) = gateway.counter() {
                counters.push((name, counter));
            }
        }
        counters
    }

    /// Tells what is now known of these gateways.
    fn observe(&self, state: &State, gateways: &[ObjectName]) {
        if gateways.is_empty() {
            return;
        }
        let mut observations = (**self.0.observations.borrow()).clone();
        for name in gateways {
            match state.gateways.get(name).and_then(Gateway::observe) {
                Some(observation) => {
                    let observation = Arc::new(observation);
                    observations.gateways.insert(name.clone(), observation);
                }
                None => {
                    observations.gateways.remove(name);
                }
            }
        }
        self.0.observations.send_replace(Arc::new(observations));
    }

    fn enter(&self, caller: &Caller) -> (SessionId, watch::Receiver<u64>) {
        let mut state = self.state();
        let id = SessionId(state.next_session);
        state.next_session += 1;
        let epoch = self.0.epoch;
        let gateways = &mut state.gateways;
        let gateway = gateways
            .entry(caller.gateway.clone())
            .or_insert_with(|| Gateway::new(epoch));
        gateway.connect(id, caller.pod.clone(), (self.0.clock)());
        let changed = gateway.changed.subscribe();
        self.observe(&state, std::slice::from_ref(&caller.gateway));
        (id, changed)
    }

    fn leave(&self, name: &ObjectName, id: SessionId) {
        let mut state = self.state();
        let Some(gateway) = state.gateways.get_mut(name) else {
            return;
        };
        let was_there = gateway.disconnect(id);
        if gateway.is_idle() {
            state.gateways.remove(name);
        }
        if was_there {
            self.observe(&state, std::slice::from_ref(name));
        }
    }

    /// Does something with a gateway that answers whether there is news, and something else.
    fn with<T: Default>(
        &self,
        name: &ObjectName,
        work: impl FnOnce(&mut Gateway) -> (bool, T),
    ) -> T {
        let mut state = self.state();
        let Some(gateway) = state.gateways.get_mut(name) else {
            return T::default();
        };
        let (is_news, answer) = work(gateway);
        if is_news {
            self.observe(&state, std::slice::from_ref(name));
        }
        answer
    }

    /// Waits until every pod of a gateway has taken a counter.
    async fn taken(
        &self,
        name: &ObjectName,
        counter: u64,
        until: Instant,
    ) -> Result<(), NotPublished> {
        let arrive = self.0.since + PODS_ARRIVE;
        loop {
            let (mut taken, look_again) = {
                let state = self.state();
                let Some(gateway) = state.gateways.get(name) else {
                    return Ok(());
                };
                let behind = gateway.behind(counter);
                let may_arrive = !gateway.has_pods() && Instant::now() < arrive;
                if behind.is_empty() && !may_arrive {
                    return Ok(());
                }
                if Instant::now() >= until {
                    // Pods that are only on their way are not waited for any longer.
                    return match behind.is_empty() {
                        true => Ok(()),
                        false => Err(NotPublished(format!(
                            "the gateway's pods {} have not taken it within {} s",
                            behind.join(", "),
                            LONGEST_WAIT.as_secs()
                        ))),
                    };
                }
                let look_again = if may_arrive { arrive.min(until) } else { until };
                (gateway.taken.subscribe(), look_again)
            };
            // Ended either by news or by time; both are looked at above.
            let _ = timeout_at(look_again, taken.changed()).await;
        }
    }
}

impl Publish for Hub {
    fn publish(&self, changes: Vec<RegistrationChange>) -> BoxFuture<'_, Result<(), NotPublished>> {
        let counters = {
            let mut state = self.state();
            let changes = changes
                .into_iter()
                .flat_map(|change| state.registrations.change(change));
            let changes = by_gateway(changes.collect());
            let mut affected = Vec::new();
            let counters = self.carry_out(&mut state, changes, &mut affected);
            self.observe(&state, &affected);
            counters
        };
        Box::pin(async move {
            let until = Instant::now() + LONGEST_WAIT;
            for (name, counter) in counters {
                self.taken(&name, counter, until).await?;
            }
            Ok(())
        })
    }
}

/// The event types whose requests a configuration receives, usable or not.
fn event_types(configuration: &Configuration) -> HashSet<ObjectName> {
    let types = configuration.event_types.iter().map(|entry| &entry.name);
    let routes = configuration.routes.iter().map(|route| &route.event_type);
    let mut all: HashSet<ObjectName> = types.cloned().collect();
    for name in routes {
        if !all.contains(name) {
            all.insert(name.clone());
        }
    }
    all
}

fn by_gateway(changes: registrations::Changes) -> BTreeMap<ObjectName, Vec<Change>> {
    let mut all: BTreeMap<ObjectName, Vec<Change>> = BTreeMap::new();
    for (gateway, change) in changes {
        all.entry(gateway).or_default().push(change);
    }
    all
}

impl fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hub {{ epoch: {} }}", self.0.epoch)
    }
}
