//! What every gateway's pods are to serve, who of them is connected, and what each has taken.
//!
//! Whoever decides sets a gateway's configuration here as a whole, and changes registrations one
//! by one; the hub finds out what that means for whom, gives every change a revision, and knows
//! when it is live everywhere. It decides nothing and does no I/O: the server carries what it says
//! to the pods.
//!
//! **Invariant:** a pod gets entries of its own gateway only. A registration belongs to the gateway
//! that serves its event type.

mod authenticate;
mod observation;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;

pub use authenticate::{Authenticate, AuthenticateError, Caller};
pub use observation::{GatewayObservation, Observations, PodObservation, Refused};

use crate::configuration::stream::Revision;
use crate::configuration::{Configuration, NoReports, RegistrationChange, Reports, Sensitive};
use crate::event::ObjectName;
use crate::provision::store::{NotPublished, Publish};

/// The time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a hub is made of. There is one hub for each time that this process becomes the leader.
pub struct Parts {
    /// How often the leadership has changed hands (`leaseTransitions`). Pods refuse a lower one
    /// than they have seen.
    pub epoch: u64,
    /// The time.
    pub clock: Clock,
}

/// What one gateway serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// Its configuration.
    pub configuration: Arc<Configuration>,
    /// The key of the tokens in its webhook URIs.
    pub token_key: Sensitive,
    /// Bytes that the log of one pod may take.
    pub log_capacity: u64,
}

/// What every connected pod gets. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    epoch: u64,
    clock: Clock,
    state: Mutex<State>,
    observations: watch::Sender<Arc<Observations>>,
}

struct State {
    gateways: BTreeMap<ObjectName, Gateway>,
    /// All registrations, by path.
    registrations: HashMap<String, RegistrationChange>,
    reports: Arc<dyn Reports>,
}

struct Gateway {
    served: Served,
    counter: u64,
}

impl Hub {
    /// A hub that serves nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { epoch, clock } = parts;
        Self(Arc::new(Inner {
            epoch,
            clock,
            state: Mutex::new(State {
                gateways: BTreeMap::new(),
                registrations: HashMap::new(),
                reports: Arc::new(NoReports),
            }),
            observations: watch::Sender::new(Arc::default()),
        }))
    }

    /// From now on the gateway's pods serve this. It answers at once; whether it is live is among
    /// the [`Hub::observations`].
    ///
    /// The first call for a gateway lets its pods have what is here, in place of what they had from
    /// an earlier leader. So the registrations that are recorded must have been published before,
    /// and `served` must be complete.
    pub fn set(&self, gateway: &ObjectName, served: Served) {
        let mut state = self.state();
        match state.gateways.get_mut(gateway) {
            Some(known) if known.served == served => return,
            Some(known) => {
                known.served = served;
                known.counter += 1;
            }
            None => {
                let counter = 1;
                state
                    .gateways
                    .insert(gateway.clone(), Gateway { served, counter });
            }
        }
        self.observe(&state);
    }

    /// There is no such gateway any more. Pods of it that still run go on with what they have.
    pub fn remove(&self, gateway: &ObjectName) {
        let mut state = self.state();
        if state.gateways.remove(gateway).is_some() {
            self.observe(&state);
        }
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

    fn observe(&self, state: &State) {
        let gateways = state.gateways.iter().map(|(name, gateway)| {
            let observation = GatewayObservation {
                revision: Revision {
                    epoch: self.0.epoch,
                    counter: gateway.counter,
                },
                pods: Vec::new(),
            };
            (name.clone(), Arc::new(observation))
        });
        let observations = Observations {
            gateways: gateways.collect(),
        };
        self.0.observations.send_replace(Arc::new(observations));
    }
}

impl Publish for Hub {
    fn publish(&self, changes: Vec<RegistrationChange>) -> BoxFuture<'_, Result<(), NotPublished>> {
        let mut state = self.state();
        for change in changes {
            match &change {
                RegistrationChange::Set(entry) => {
                    state.registrations.insert(entry.path.clone(), change);
                }
                RegistrationChange::Remove { path } => {
                    state.registrations.remove(path);
                }
            }
        }
        // No pod is connected that it could not be live at.
        Box::pin(std::future::ready(Ok(())))
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = (self.0.clock)();
        write!(formatter, "Hub {{ epoch: {}, now: {now} }}", self.0.epoch)
    }
}
