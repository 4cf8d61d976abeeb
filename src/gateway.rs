//! The public listener, the ingest handler and the admin listener.
//!
//! A request comes in over [`listener`], is answered by [`ingest`], and what it brought is on disk
//! when it is told so. The gateway knows what its [`Configuration`] says and nothing else: it
//! holds no credentials and asks nobody while it answers.
//!
//! **Invariants:** a 2xx means that every event of the request is on disk, synced, or repeats one
//! that is. A fault of ours is a 503. Everything a stranger can send is bounded in size, time and
//! number, and a panic ends one request.
//!
//! Judging a request is not here but in `webhook`, and nothing here delivers.

mod admin;
mod body;
mod bounds;
mod client_address;
mod deduplication;
#[cfg(test)]
mod fixtures;
mod ingest;
mod leaving;
mod listener;
mod metrics;
mod outcome;
mod path;
mod places;
mod problem;
mod registrations;
mod request_log;
mod restore;
mod snapshot;
mod store;
mod storing;
pub mod token;
mod workers;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::Router;
use bytes::Bytes;
use governor::{Quota, RateLimiter};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

pub use bounds::Bounds;
pub use leaving::Leaving;
pub use snapshot::RefusedEntry;

use admin::Admin;
use body::BodyMemory;
use deduplication::Deduplication;
use ingest::Ingest;
use listener::{Listening, Serve, listen};
use metrics::Metrics;
use places::{Full as NoPlace, Place, Places};
use registrations::Registrations;
use request_log::RequestLog;
use snapshot::Snapshot;
use store::{Durable, Store};
use workers::Workers;

use crate::configuration::{Configuration, RegistrationChange, Reports, Sensitive};
use crate::delivery::Delivery;
use crate::delivery::dead_letters::DeadLetters;
use crate::event::{Event, ObjectName};
use crate::event_log::{EventLog, ReadError};

/// Log lines a second that requests of strangers can cause; the rest is counted.
const LOG_LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// File descriptors that connections leave to the event log and everything else.
const DESCRIPTORS_FOR_OTHERS: u64 = 256;

/// Connections to the admin listener: people and their scrapers.
const ADMIN_CONNECTIONS: usize = 128;

/// What a gateway is made of.
pub struct Parts {
    /// Where requests come in; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where probes and metrics are; `None`: at `admin`.
    pub probes: Option<SocketAddr>,
    /// Where the admin API is; never public.
    pub admin: SocketAddr,
    /// The limits.
    pub bounds: Bounds,
    /// The key that the tokens of webhook URIs are issued with ([`token::issue`]). An empty one has
    /// issued none.
    pub token_key: Sensitive,
    /// Who is told what comes in for registrations.
    pub reports: Arc<dyn Reports>,
    /// Where events go.
    pub log: EventLog,
    /// Where events go that are refused at the door.
    pub dead_letters: DeadLetters,
    /// What becomes of events; shown by the admin API.
    pub delivery: Delivery,
    /// The metrics of the other parts; the gateway adds its own and serves all of them.
    pub registry: Registry,
    /// What else is served beside probes and metrics.
    pub beside_probes: Router,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The event log could not be read.
    #[error("failed to read the event log for duplicates")]
    Restore(#[source] ReadError),
}

/// What is known of subscriptions at apps, where the same process makes them: for the admin API.
pub trait UpstreamSubscriptions: Send + Sync + 'static {
    /// At most so many, those after a name, in the order of names: nothing in them is sensitive.
    fn page(&self, after: Option<&ObjectName>, most: usize)
    -> Vec<(ObjectName, serde_json::Value)>;
}

/// A gateway that is running.
pub struct Gateway {
    ingest: Arc<Ingest>,
    connections: Arc<Places>,
    most_connections: usize,
    public_address: SocketAddr,
    probes_address: SocketAddr,
    admin_address: SocketAddr,
    draining: Arc<AtomicBool>,
    upstream: Arc<OnceLock<Arc<dyn UpstreamSubscriptions>>>,
    /// Configurations are applied one after the other.
    applying: Mutex<()>,
    /// The public one first.
    listening: Mutex<Vec<Listening>>,
}

impl Gateway {
    /// Listens on its addresses. Until [`Gateway::apply`] every request is answered 503.
    ///
    /// Must be called within a tokio runtime of several threads; blocking while it reads the end of
    /// the event log, so that no event is accepted twice because of the restart.
    ///
    /// # Errors
    /// When an address is taken or the event log cannot be read.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts {
            listen: public_asked,
            probes,
            admin,
            bounds,
            token_key,
            reports,
            log,
            dead_letters,
            delivery,
            mut registry,
            beside_probes,
        } = parts;
        let public_socket = bind(public_asked).await?;
        let admin_socket = bind(admin).await?;
        let probes_socket = match probes {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let deduplication = Deduplication::new(bounds.deduplication_keys);
        let now = jiff::Timestamp::now().as_second();
        let restored = tokio::task::block_in_place(|| {
            restore::restore(&deduplication, &log, bounds.deduplication_keys, now)
        });
        let records = restored.map_err(StartError::Restore)?;
        tracing::debug!(
            records,
            keys = deduplication.keys(),
            "read the event log for duplicates"
        );

        let most_connections = bounds.connections.min(descriptors());
        let connections = Places::new(most_connections);
        let store = Arc::new(Durable {
            log,
            dead_letters: dead_letters.clone(),
        });
        let ingest = ingest(
            store,
            deduplication,
            token_key,
            reports,
            &bounds,
            &connections,
            &mut registry,
        );
        let public = Arc::new(Public {
            ingest: Arc::clone(&ingest),
            connections: Arc::clone(&connections),
        });
        let draining = Arc::new(AtomicBool::new(false));
        let upstream = Arc::new(OnceLock::new());
        let listen_failed = |address| move |source| StartError::Listen { address, source };
        let admin_address = admin_socket.local_addr().map_err(listen_failed(admin))?;
        let shown = Arc::new(Admin {
            ingest: Arc::clone(&ingest),
            delivery,
            dead_letters,
            registry,
            draining: Arc::clone(&draining),
            upstream: Arc::clone(&upstream),
        });
        let api = admin::api(Arc::clone(&shown), admin_address);
        let probes_router = admin::probes(shown).merge(beside_probes);
        let mut private = match probes_socket {
            Some(socket) => vec![(socket, probes_router), (admin_socket, api)],
            None => vec![(admin_socket, probes_router.merge(api))],
        }
        .into_iter()
        .map(|(socket, router)| {
            let private = Arc::new(Private {
                router: admin::hardened(router),
                connections: Places::new(ADMIN_CONNECTIONS),
            });
            listen(socket, private, bounds.clone()).map_err(listen_failed(admin))
        })
        .collect::<Result<Vec<_>, _>>()?;
        let probes_address = private.first().map_or(admin_address, |first| first.address);
        let mut listening =
            vec![listen(public_socket, public, bounds).map_err(listen_failed(public_asked))?];
        let public_address = listening[0].address;
        listening.append(&mut private);
        Ok(Self {
            ingest,
            connections,
            most_connections,
            public_address,
            probes_address,
            admin_address,
            draining,
            upstream,
            applying: Mutex::new(()),
            listening: Mutex::new(listening),
        })
    }

    /// Where requests come in.
    pub fn public_address(&self) -> SocketAddr {
        self.public_address
    }

    /// Where probes and metrics are.
    pub fn probes_address(&self) -> SocketAddr {
        self.probes_address
    }

    /// Where the admin API is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves another configuration from now on, as a whole. Answers the entries that could not be
    /// taken; an earlier good form of those goes on serving, and one that was never good answers
    /// 503.
    ///
    /// It compiles what changed, so it is not for a thread that serves requests. Apply the same
    /// configuration to delivery first, so that no event comes in that nobody is there for.
    pub fn apply(&self, configuration: &Configuration) -> Vec<RefusedEntry> {
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = self.ingest.snapshot.load_full();
        let (snapshot, refused) = Snapshot::build(previous.as_deref(), configuration);
        let connections = configuration.gateway.connections as usize;
        self.connections
            .resize(connections.min(self.most_connections));
        self.ingest
            .open
            .resize(connections.min(self.most_connections));
        self.ingest.snapshot.store(Some(Arc::new(snapshot)));
        refused
    }

    /// Changes what the URIs of registrations answer, each change from the next request on. It
    /// costs what the changes cost, however many registrations there are, and can be called from
    /// any thread; changes of the same registration must come one after the other.
    ///
    /// They are kept apart from the configuration: a registration whose event type is not in the
    /// configuration is answered 503, and [`Gateway::apply`] leaves all of them as they are.
    pub fn set_registrations(&self, changes: Vec<RegistrationChange>) {
        self.ingest.registrations.change(changes);
    }

    /// From now on tokens are verified with this key.
    pub fn set_token_key(&self, key: Sensitive) {
        self.ingest.token_key.store(Arc::new(key));
    }

    /// Whether what is served may be older than what apps were told: then a path that is not known
    /// is answered 503 and not 404, because it may have been given out since.
    pub fn may_be_behind(&self, behind: bool) {
        self.ingest.behind.store(behind, Ordering::Relaxed);
    }

    /// How far this pod is with going.
    pub fn leave(&self, leaving: Leaving) {
        self.ingest.leaving.set(leaving);
    }

    /// How far this pod is with going.
    pub fn leaving(&self) -> Leaving {
        self.ingest.leaving.now()
    }

    /// Requests that are being answered. Once it was 0 while the gateway was [`Leaving::Closed`],
    /// nothing more is stored.
    pub fn open_requests(&self) -> usize {
        self.ingest.open.taken()
    }

    /// These events were stored by another way than a request: their redelivery is a duplicate.
    pub fn remember<'e>(&self, events: impl Iterator<Item = &'e Event>) {
        let now = jiff::Timestamp::now().as_second();
        for event in events {
            if let Some(key) = &event.attributes.deduplication {
                self.ingest.deduplication.restore(key, now, now);
            }
        }
    }

    /// Shows subscriptions at apps in the admin API, beside those of consumers. Only the first call
    /// counts.
    pub fn show_upstream(&self, subscriptions: Arc<dyn UpstreamSubscriptions>) {
        let _ = self.upstream.set(subscriptions);
    }

    /// Ends in an orderly way: says that it is not ready, stops accepting connections, finishes
    /// open requests within the drain timeout. The second call does nothing.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        let listening = {
            let mut listening = self
                .listening
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *listening)
        };
        for listening in listening {
            listening.drain().await;
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

/// Puts the handler of requests together.
fn ingest(
    store: Arc<dyn Store>,
    deduplication: Arc<Deduplication>,
    token_key: Sensitive,
    reports: Arc<dyn Reports>,
    bounds: &Bounds,
    connections: &Arc<Places>,
    registry: &mut Registry,
) -> Arc<Ingest> {
    let memory = BodyMemory::new(bounds.body_memory);
    Arc::new(Ingest {
        snapshot: ArcSwapOption::empty(),
        registrations: Registrations::new(),
        reports,
        store,
        metrics: Metrics::register(registry, connections, &memory, &deduplication),
        deduplication,
        token_key: ArcSwap::from_pointee(token_key),
        behind: AtomicBool::new(false),
        leaving: leaving::Stage::staying(),
        memory,
        requests: RequestLog::new(bounds.request_log),
        open: Places::new(bounds.connections),
        workers: Workers::for_all_cores(),
        log_lines: RateLimiter::direct(Quota::per_second(LOG_LINES_PER_SECOND)),
        bounds: bounds.clone(),
    })
}

/// How many connections the process may have descriptors for, after raising its own limit as far
/// as it is allowed to.
fn descriptors() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // `None` is no limit at all.
    let for_connections = current
        .unwrap_or(u64::MAX)
        .saturating_sub(DESCRIPTORS_FOR_OTHERS);
    usize::try_from(for_connections)
        .unwrap_or(usize::MAX)
        .max(16)
}

/// What the public listener serves.
struct Public {
    ingest: Arc<Ingest>,
    connections: Arc<Places>,
}

impl Serve for Public {
    type Body = Full<Bytes>;

    fn admit(&self, peer: IpAddr) -> Result<Place, NoPlace> {
        let snapshot = self.ingest.snapshot.load();
        let is_proxy = snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.trusted.contains(peer));
        let place = self.connections.take((!is_proxy).then_some(peer));
        place.inspect_err(|full| self.ingest.metrics.connection_refused(*full))
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        self.ingest.answer(request, peer).await
    }
}

/// What the admin listener serves.
struct Private {
    router: Router,
    connections: Arc<Places>,
}

impl Serve for Private {
    type Body = axum::body::Body;

    fn admit(&self, _: IpAddr) -> Result<Place, NoPlace> {
        self.connections.take(None)
    }

    async fn answer(&self, request: Request<Incoming>, _: IpAddr) -> Response<axum::body::Body> {
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
