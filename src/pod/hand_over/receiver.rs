//! The side that takes over: a path beside the probes.
//!
//! A batch is stored and synced before it is answered. One that comes again, because its answer was
//! lost, is answered and not stored once more.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode};
use axum::routing::post;
use http_body_util::{BodyExt as _, Limited};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::batch::{self, LARGEST_BATCH};
use super::sealed::{HOLDS_MILLIS, Key, Ticket};
use crate::engine::Engine;
use crate::gateway::Leaving;

/// Where batches are sent to.
pub const PATH: &str = "/v1/hand-over";

/// The header with the ticket.
pub const TICKET: HeaderName = HeaderName::from_static("x-tidegate-ticket");

/// Batches that are taken at the same time: what is in memory of them is bounded.
const AT_ONCE: usize = 2;

/// Batches that are remembered: far more than come while a ticket holds.
const REMEMBERED: usize = 100_000;

/// Takes over what other pods of the gateway hand over.
pub struct Receiver {
    key: Arc<Key>,
    /// Set once it is there.
    engine: OnceLock<Weak<Engine>>,
    places: Semaphore,
    taken: Mutex<Taken>,
}

/// The batches that were taken, so that none is taken twice.
#[derive(Default)]
struct Taken {
    ids: HashSet<String>,
    by_age: VecDeque<String>,
}

impl Taken {
    fn add(&mut self, id: String) {
        if self.by_age.len() >= REMEMBERED
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.ids.remove(&oldest);
        }
        if self.ids.insert(id.clone()) {
            self.by_age.push_back(id);
        }
    }
}

impl Receiver {
    /// One that answers 503 until [`Receiver::begin`].
    #[must_use]
    pub fn new(key: Arc<Key>) -> Arc<Self> {
        Arc::new(Self {
            key,
            engine: OnceLock::new(),
            places: Semaphore::new(AT_ONCE),
            taken: Mutex::default(),
        })
    }

    /// From now on it takes batches.
    pub fn begin(&self, engine: &Arc<Engine>) {
        let _ = self.engine.set(Arc::downgrade(engine));
    }

    /// What serves it.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route(PATH, post(take))
            .with_state(Arc::clone(self))
    }

    /// Opens a ticket that holds.
    fn admit(&self, request: &Request, now: i64) -> Option<Ticket> {
        let text = request.headers().get(TICKET)?;
        let ticket = self.key.open_ticket(text.as_bytes()).ok()?;
        let holds = now.abs_diff(ticket.at) <= HOLDS_MILLIS.unsigned_abs();
        (holds && ticket.length <= LARGEST_BATCH).then_some(ticket)
    }

    async fn store(&self, ticket: &Ticket, body: Body) -> Result<(), StatusCode> {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let engine = self.engine.get().and_then(Weak::upgrade);
        let engine = engine.ok_or(unavailable)?;
        if engine.gateway().leaving() != Leaving::No {
            return Err(unavailable);
        }
        let _place = self.places.try_acquire().map_err(|_| unavailable)?;
        let length = usize::try_from(ticket.length).map_err(|_| unavailable)?;
        let body = Limited::new(body, length).collect().await;
        let mut sealed = body
            .map_err(|_| StatusCode::BAD_REQUEST)?
            .to_bytes()
            .to_vec();
        let opened = self.key.open_batch(ticket, &mut sealed);
        let opened = opened.map_err(|_| StatusCode::UNAUTHORIZED)?.to_vec();
        drop(sealed);
        let batch = batch::read(&opened.into()).map_err(|_| StatusCode::UNPROCESSABLE_ENTITY)?;
        let is_known = self.taken().ids.contains(&ticket.id);
        if is_known {
            return Ok(());
        }
        // Its configuration may be older than the other pod's.
        let delivery = engine.delivery();
        let mut events = batch.events.iter();
        if !events.all(|(subscription, _)| delivery.has_subscription(subscription)) {
            return Err(unavailable);
        }
        let (events, letters) = (batch.events.len(), batch.letters.len());
        // A task of its own: one that goes away in the middle would leave it unknown what is stored.
        let stored =
            tokio::spawn(async move { engine.take_over(batch.events, batch.letters).await });
        match stored.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(from = ticket.from, %error, "failed to take over what another pod hands over");
                return Err(unavailable);
            }
            Err(_) => return Err(unavailable),
        }
        tracing::info!(
            from = ticket.from,
            events,
            letters,
            "took over from another pod"
        );
        self.taken().add(ticket.id.clone());
        Ok(())
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(State(receiver): State<Arc<Receiver>>, request: Request) -> StatusCode {
    let now = Timestamp::now().as_millisecond();
    let Some(ticket) = receiver.admit(&request, now) else {
        return StatusCode::UNAUTHORIZED;
    };
    match receiver.store(&ticket, request.into_body()).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(status) => status,
    }
}
