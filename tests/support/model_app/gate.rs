//! Holding requests, so that a test knows how far they have come.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Op;

/// How long a request may take to come: some come only after a refused one is tried again.
const PATIENCE: Duration = Duration::from_secs(300);

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has come in, and nothing is done.
    Received,
    /// It is done, and not answered.
    Done,
    /// It is answered. Nothing is held there; the gate only tells.
    Answered,
}

/// What becomes of a request that was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// It goes on.
    On,
    /// The app loses it and does nothing, as if its process had died.
    Nowhere,
}

/// Holds one request.
pub struct Gate {
    what: String,
    arrived: oneshot::Receiver<()>,
    go: oneshot::Sender<Go>,
}

impl Gate {
    /// Waits until a request is held.
    pub async fn reached(&mut self) {
        let arrived = tokio::time::timeout(PATIENCE, &mut self.arrived).await;
        let arrived = arrived.unwrap_or_else(|_| panic!("waited in vain for {}", self.what));
        arrived.unwrap();
    }

    /// Lets it go. One that was never reached is held no more.
    pub fn go(self, go: Go) {
        let _ = self.go.send(go);
    }
}

struct Waiting {
    tenant: String,
    op: Op,
    stage: Stage,
    arrived: oneshot::Sender<()>,
    go: oneshot::Receiver<Go>,
}

#[derive(Default)]
pub(super) struct Gates {
    waiting: Mutex<Vec<Waiting>>,
}

impl Gates {
    pub(super) fn add(&self, tenant: &str, op: Op, stage: Stage) -> Gate {
        let (arrived, is_arrived) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        self.waiting.lock().unwrap().push(Waiting {
            tenant: tenant.to_owned(),
            op,
            stage,
            arrived,
            go: may_go,
        });
        Gate {
            what: format!("{op:?} of {tenant} to be {stage:?}"),
            arrived: is_arrived,
            go,
        }
    }

    /// Waits where a test holds this request.
    pub(super) async fn pass(&self, tenant: &str, op: Op, stage: Stage) -> Go {
        let waiting = {
            let mut all = self.waiting.lock().unwrap();
            // Who dropped a gate wants nothing held.
            all.retain(|one| !one.arrived.is_closed());
            let position = all
                .iter()
                .position(|one| one.tenant == tenant && one.op == op && one.stage == stage);
            position.map(|position| all.remove(position))
        };
        let Some(waiting) = waiting else {
            return Go::On;
        };
        let _ = waiting.arrived.send(());
        if stage == Stage::Answered {
            return Go::On;
        }
        waiting.go.await.unwrap_or(Go::On)
    }
}
