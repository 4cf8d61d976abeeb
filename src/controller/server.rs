//! The listener that gateway pods get their configuration from, over TLS.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/stream` with a ServiceAccount token, saying what the pod has | frames, for as long as both sides live |
//! | `POST /v1/acknowledgement`, `/v1/captured`, `/v1/noticed`, `/v1/received`, `/v1/health` with the stream's secret | once it is known, or stored |
//! | `POST /v1/admission` of the API server's | whether an object would work |
//!
//! HTTP/2 only: all that a pod says goes over the one connection that its stream is on, and so to the
//! same process, however many stand behind the Service's address.
//!
//! Only the leader answers; others say who leads. What a pod is sent is the hub's to say, and whose
//! a token is [`Authenticate`]'s.

mod admission;
mod bounds;
mod identity;
mod refusal;
mod reports;
mod sessions;
mod streams;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http_body_util::{BodyExt as _, Limited};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub use bounds::Bounds;
pub use identity::{Identity, IdentityError};
pub use refusal::Refusal;

use super::hub::{Authenticate, Hub, Teller};
use sessions::Sessions;

/// Who leads.
#[derive(Clone, Debug)]
pub enum Leading {
    /// This process does, with this hub.
    Here(Hub),
    /// Another one does, by its identity where that is known.
    Elsewhere(Option<String>),
}

/// What a server is made of.
pub struct Parts {
    /// Where pods connect to; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate.
    pub identity: Identity,
    /// Who leads. When it changes, streams end.
    pub leading: watch::Receiver<Leading>,
    /// Whose a token is.
    pub authenticate: Arc<dyn Authenticate>,
    /// The limits.
    pub bounds: Bounds,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address could not be listened on.
    #[error("failed to listen on {address} for gateway pods")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The library refuses its own defaults.
    #[error("failed to set up TLS for gateway pods")]
    Tls(#[source] rustls::Error),
}

/// A server that is running. It stops when dropped, or in an orderly way by [`Server::stop`].
pub struct Server {
    address: SocketAddr,
    stopping: watch::Sender<bool>,
    /// Ends when the last connection has.
    ended: mpsc::Receiver<std::convert::Infallible>,
    drain: Duration,
}

/// What all requests share.
struct Shared {
    leading: watch::Receiver<Leading>,
    authenticate: Arc<dyn Authenticate>,
    authentications: Semaphore,
    hellos: Semaphore,
    /// Objects that are looked at for the API server at the same time.
    admissions: Semaphore,
    sessions: Sessions,
    stopping: watch::Receiver<bool>,
    bounds: Bounds,
}

impl Server {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts {
            listen,
            identity,
            leading,
            authenticate,
            bounds,
        } = parts;
        let failed = |source| StartError::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let config = identity.server_config().map_err(StartError::Tls)?;
        let (stopping, stops) = watch::channel(false);
        let (alive, ended) = mpsc::channel(1);
        let drain = bounds.drain;
        let shared = Arc::new(Shared {
            leading,
            authenticate,
            authentications: Semaphore::new(bounds.authentications),
            hellos: Semaphore::new(bounds.hellos),
            admissions: Semaphore::new(ADMISSIONS),
            sessions: Sessions::default(),
            stopping: stops,
            bounds,
        });
        tokio::spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            shared,
            alive,
        ));
        Ok(Self {
            address,
            stopping,
            ended,
            drain,
        })
    }

    /// Where it really listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the streams, lets other requests finish within the drain time, and cuts off the rest.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        let _ = timeout(self.drain, self.ended.recv()).await;
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    alive: mpsc::Sender<std::convert::Infallible>,
) {
    /// After an error that the next accept would meet again (no descriptors).
    const WAIT: Duration = Duration::from_millis(100);
    let places = Arc::new(Semaphore::new(shared.bounds.connections));
    let mut stopping = shared.stopping.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            // Also when the server was dropped.
            _ = stopping.changed() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection of a gateway pod");
                tokio::time::sleep(WAIT).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // Dropped: whoever it is comes again, and nobody else is made to wait.
            continue;
        };
        let (acceptor, shared, alive) = (acceptor.clone(), Arc::clone(&shared), alive.clone());
        tokio::spawn(async move {
            connection(stream, acceptor, shared).await;
            drop((place, alive));
        });
    }
    // The address is free again before anybody is told that the server has stopped.
    drop(listener);
    drop(alive);
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    // Frames are small, and somebody waits for each.
    let _ = stream.set_nodelay(true);
    let bounds = &shared.bounds;
    let stream = match timeout(bounds.header_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake of the configuration listener failed");
            return;
        }
        Err(_) => return,
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_REQUESTS)
        .max_header_list_size(16 << 10)
        .keep_alive_interval(bounds.header_timeout)
        .keep_alive_timeout(bounds.header_timeout);
    let link = Arc::new(Link::default());
    let service = TowerToHyperService::new(router(Arc::clone(&shared), Arc::clone(&link)));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut stopping = shared.stopping.clone();
    tokio::select! {
        result = connection.as_mut() => {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection of the configuration listener ended");
            }
            return;
        }
        () = link.cut.notified() => return,
        () = link.is_nobodys(bounds) => return,
        _ = stopping.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(bounds.drain, connection).await;
}

/// Objects that are looked at for the API server at the same time.
const ADMISSIONS: usize = 4;

/// Requests at the same time on one connection: handshakes that wait, mostly.
const MOST_REQUESTS: u32 = 256;

/// One connection, for what is done on it.
#[derive(Default)]
struct Link {
    /// Ends it.
    cut: Notify,
    /// Whether a stream has begun on it.
    is_known: AtomicBool,
}

impl Link {
    /// Ends when a connection has stood too long without anybody having said who it is.
    async fn is_nobodys(&self, bounds: &Bounds) {
        // One who is known may be waiting for its token to be checked, and for its turn to speak.
        let most = bounds.header_timeout + bounds.authentication_timeout + bounds.body_timeout;
        tokio::time::sleep(most).await;
        if self.is_known.load(Ordering::Relaxed) {
            // From then on it is as old as streams may become, and somebody is listened for.
            tokio::time::sleep(bounds.stream).await;
        }
    }
}

/// `link` is the connection that the router serves.
fn router(shared: Arc<Shared>, link: Arc<Link>) -> Router {
    Router::new()
        .route("/v1/stream", post(streams::stream))
        .route("/v1/acknowledgement", post(reports::acknowledgement))
        .route("/v1/captured", post(reports::captured))
        .route("/v1/noticed", post(reports::noticed))
        .route("/v1/received", post(reports::received))
        .route("/v1/health", post(reports::health))
        .route("/v1/admission", post(admission::review))
        .route("/livez", get(|| async { "ok\n" }))
        .layer(Extension(link))
        .with_state(shared)
}

impl Shared {
    fn hub(&self) -> Result<Hub, Refusal> {
        match &*self.leading.borrow() {
            Leading::Here(hub) => Ok(hub.clone()),
            Leading::Elsewhere(leader) => Err(Refusal::NotLeading(leader.clone())),
        }
    }

    /// Whose acknowledgement or report it is.
    fn teller(&self, headers: &HeaderMap) -> Result<(Hub, Teller), Refusal> {
        let hub = self.hub()?;
        let secret = streams::bearer(headers).ok_or(Refusal::NoSession)?;
        let teller = self.sessions.find(&secret).ok_or(Refusal::NoSession)?;
        Ok((hub, teller))
    }
}

async fn read<T: DeserializeOwned>(body: Body, bounds: &Bounds) -> Result<T, Refusal> {
    read_up_to(body, bounds.report_bytes, bounds.body_timeout).await
}

async fn read_up_to<T: DeserializeOwned>(
    body: Body,
    most: usize,
    within: Duration,
) -> Result<T, Refusal> {
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::TooLarge);
    }
    let collected = timeout(within, Limited::new(body, most).collect()).await;
    let collected = collected.map_err(|_| Refusal::TooSlow)?;
    let bytes = collected.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            Refusal::TooLarge
        } else {
            Refusal::Body
        }
    })?;
    serde_json::from_slice(&bytes.to_bytes()).map_err(|_| Refusal::Body)
}
