//! One pod's connection: what it is to be sent next, and what it tells.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::gateway::SessionId;
use super::{Caller, Hub};
use crate::configuration::Reports;
use crate::configuration::stream::report::{Acknowledgement, HealthReport};
use crate::configuration::stream::{Batch, ContentHash};
use crate::event::ObjectName;

/// What a pod is told of, and tells, while it is connected. The connection ends when this is
/// dropped.
pub struct Session {
    hub: Hub,
    id: SessionId,
    caller: Caller,
    changed: watch::Receiver<u64>,
    at: At,
}

/// How far a pod was sent.
enum At {
    /// Nothing yet; this is what it said it has.
    Begin(Vec<ContentHash>),
    /// All up to this counter.
    Counter(u64),
}

/// What a session has to do next.
pub enum Next {
    /// The pod is to be sent this.
    Send(Batch),
    /// Nothing changed for so long.
    Nothing,
    /// The session is over: another one of the same pod has begun, its gateway is gone, or it is
    /// too far behind and must say anew what it has.
    Over,
}

/// What a pod tells, by the handle that its stream was given.
#[derive(Clone, Debug)]
pub struct Teller {
    pub(super) id: SessionId,
    /// Who it is.
    pub caller: Caller,
}

impl Hub {
    /// A pod is connected, and has this.
    #[must_use]
    pub fn connect(&self, caller: Caller, has: Vec<ContentHash>) -> Session {
        let (id, changed) = self.enter(&caller);
        Session {
            hub: self.clone(),
            id,
            caller,
            changed,
            at: At::Begin(has),
        }
    }

    /// A pod has taken a revision. `false`: its session is over.
    pub fn acknowledge(&self, teller: &Teller, acknowledgement: Acknowledgement) -> bool {
        self.with(&teller.caller.gateway, |gateway| {
            let is_there = gateway.has(teller.id);
            (gateway.acknowledge(teller.id, acknowledgement), is_there)
        })
    }

    /// How it goes with subscriptions at a pod. `false`: its session is over.
    pub fn report_health(&self, teller: &Teller, report: HealthReport) -> bool {
        self.with(&teller.caller.gateway, |gateway| {
            let is_there = gateway.has(teller.id);
            (gateway.report_health(teller.id, report.items), is_there)
        })
    }

    /// How long nothing was heard of a pod; `None`: its session is over.
    #[must_use]
    pub fn silence(&self, teller: &Teller) -> Option<Duration> {
        let state = self.state();
        let gateway = state.gateways.get(&teller.caller.gateway)?;
        Some(gateway.heard(teller.id)?.elapsed())
    }

    /// Whom a pod may tell of a registration; `None`: its session is over, or the registration is
    /// not one of its gateway.
    #[must_use]
    pub fn reports(
        &self,
        teller: &Teller,
        subscription: &ObjectName,
        number: u32,
    ) -> Option<Arc<dyn Reports>> {
        let state = self.state();
        let gateway = state.gateways.get(&teller.caller.gateway)?;
        let may = gateway.has(teller.id)
            && state
                .registrations
                .is_at(&teller.caller.gateway, subscription, number);
        may.then(|| Arc::clone(&state.reports))
    }
}

impl Session {
    /// By what the pod's acknowledgements and reports are known.
    #[must_use]
    pub fn teller(&self) -> Teller {
        Teller {
            id: self.id,
            caller: self.caller.clone(),
        }
    }

    /// Waits for what the pod is to be sent next, at most so long.
    pub async fn next(&mut self, most: Duration) -> Next {
        let until = Instant::now() + most;
        loop {
            self.changed.borrow_and_update();
            if let Some(next) = self.look() {
                return next;
            }
            match tokio::time::timeout_at(until, self.changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Next::Over,
                Err(_) => return Next::Nothing,
            }
        }
    }

    fn look(&mut self) -> Option<Next> {
        let state = self.hub.state();
        let gateway = state.gateways.get(&self.caller.gateway);
        let Some(gateway) = gateway.filter(|gateway| gateway.has(self.id)) else {
            return Some(Next::Over);
        };
        let counter = gateway.counter()?;
        let batch = match &self.at {
            At::Begin(has) => gateway.published().resume(has),
            At::Counter(at) if *at == counter => return None,
            At::Counter(at) => match gateway.published().since(*at) {
                Some(batch) => batch,
                None => return Some(Next::Over),
            },
        };
        self.at = At::Counter(counter);
        Some(Next::Send(batch))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.leave(&self.caller.gateway, self.id);
    }
}
