//! The accept loop under both listeners: who may connect, how long a connection may stand idle or
//! half open, and how it ends.
//!
//! It is our own because `axum::serve` has no header timeout. A watchdog per connection looks at
//! two facts, when bytes last began to arrive outside of a request and when the last request
//! ended; so it also ends what hyper's own timers do not see: a client that connects and says
//! nothing before the protocol is known, and one that does not read its answers. There is no TLS
//! here: the ingress ends it.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::bounds::Bounds;
use super::places::{Full, Place};

/// What a listener serves.
pub trait Serve: Send + Sync + 'static {
    /// The body of the answers.
    type Body: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static;

    /// Takes a place for a connection from `peer`, or says why there is none.
    ///
    /// # Errors
    /// When there is no place, in all or for this client.
    fn admit(&self, peer: IpAddr) -> Result<Place, Full>;

    /// Answers a request.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A listener that is running.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens; the port is the one that was given out where 0 was asked for.
    pub address: SocketAddr,
    stage: watch::Sender<Stage>,
    /// Ends when the last connection has.
    ended: mpsc::Receiver<Infallible>,
    drain_timeout: Duration,
}

/// How a listener comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    /// No new connections; open requests are finished.
    Draining,
    /// Whatever is still open is cut off.
    Closed,
}

impl Listening {
    /// Stops accepting, lets open requests finish, and cuts off what is still there after the
    /// drain timeout.
    pub async fn drain(mut self) {
        self.stage.send_replace(Stage::Draining);
        if timeout(self.drain_timeout, self.ended.recv())
            .await
            .is_err()
        {
            self.stage.send_replace(Stage::Closed);
            self.ended.recv().await;
        }
    }
}

/// Starts serving on a bound socket.
///
/// # Errors
/// When the socket has no address.
pub fn listen<S: Serve>(
    listener: TcpListener,
    serve: Arc<S>,
    bounds: Bounds,
) -> io::Result<Listening> {
    let address = listener.local_addr()?;
    let (stage, stages) = watch::channel(Stage::Open);
    let (alive, ended) = mpsc::channel(1);
    let drain_timeout = bounds.drain_timeout;
    tokio::spawn(accept(listener, serve, bounds, stages, alive));
    Ok(Listening {
        address,
        stage,
        ended,
        drain_timeout,
    })
}

async fn accept<S: Serve>(
    listener: TcpListener,
    serve: Arc<S>,
    bounds: Bounds,
    mut stages: watch::Receiver<Stage>,
    alive: mpsc::Sender<Infallible>,
) {
    /// The first wait after an error that the next accept would meet again (no descriptors).
    const SHORTEST_WAIT: Duration = Duration::from_millis(5);
    const LONGEST_WAIT: Duration = Duration::from_secs(1);
    let builder = Arc::new(protocols(&bounds));
    let bounds = Arc::new(bounds);
    let mut wait = SHORTEST_WAIT;
    loop {
        let accepted = tokio::select! {
            biased;
            () = reached(&mut stages, Stage::Draining) => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if concerns_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection; waiting before the next");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                continue;
            }
        };
        wait = SHORTEST_WAIT;
        let peer = peer.ip().to_canonical();
        let place = match serve.admit(peer) {
            Ok(place) => place,
            Err(_) => {
                turn_away(&stream);
                continue;
            }
        };
        // A delayed answer for want of a packet to share is no answer within the deadline.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            serve: Arc::clone(&serve),
            builder: Arc::clone(&builder),
            bounds: Arc::clone(&bounds),
            stages: stages.clone(),
            peer,
        };
        let alive = alive.clone();
        tokio::spawn(async move {
            connection.run(stream).await;
            drop((place, alive));
        });
    }
}

fn protocols(bounds: &Bounds) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The watchdog ends slow heads; this is the bound behind it, and also ends idle ones.
        .header_read_timeout(bounds.idle_timeout + bounds.header_timeout)
        .max_headers(bounds.headers)
        .max_buf_size(bounds.header_bytes.max(8 * 1024))
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(u32::try_from(bounds.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(bounds.header_timeout);
    builder
}

/// Ends when the listener has come to `stage`, or is gone.
async fn reached(stages: &mut watch::Receiver<Stage>, stage: Stage) {
    let _ = stages.wait_for(|current| *current >= stage).await;
}

/// Errors of `accept` that are about the connection and not about us (accept(2)).
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Tells a client that there is no room: without waiting, so with whatever the socket takes now.
fn turn_away(stream: &TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n\
        content-length: 0\r\nconnection: close\r\n\r\n";
    // Closing with bytes unread would reset the connection before the answer is read.
    let mut unread = [0; 4096];
    let _ = stream.try_read(&mut unread);
    let _ = stream.try_write(ANSWER);
}

struct Connection<S> {
    serve: Arc<S>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    bounds: Arc<Bounds>,
    stages: watch::Receiver<Stage>,
    peer: IpAddr,
}

impl<S: Serve> Connection<S> {
    async fn run(self, stream: TcpStream) {
        /// How long an orderly end may take where the client is not cooperating.
        const GOODBYE: Duration = Duration::from_secs(1);
        let Self {
            serve,
            builder,
            bounds,
            mut stages,
            peer,
        } = self;
        let activity = Arc::new(Activity::new());
        let io = TokioIo::new(Watched {
            stream,
            activity: Arc::clone(&activity),
        });
        let service = {
            let activity = Arc::clone(&activity);
            service_fn(move |request| {
                let open = OpenRequest::new(&activity);
                let serve = Arc::clone(&serve);
                async move {
                    let response = serve.answer(request, peer).await;
                    drop(open);
                    Ok::<_, Infallible>(response)
                }
            })
        };
        let connection = builder.serve_connection(io, service);
        tokio::pin!(connection);
        tokio::select! {
            // What has come counts, even where this machine was too busy to look until the time
            // was over.
            biased;
            // An error is the client's doing (reset, nonsense, too slow) and is not ours to report.
            _ = connection.as_mut() => return,
            () = activity.overdue(&bounds) => {
                connection.as_mut().graceful_shutdown();
                let _ = timeout(GOODBYE, connection).await;
                return;
            }
            () = reached(&mut stages, Stage::Draining) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            () = activity.overdue(&bounds) => {}
            () = reached(&mut stages, Stage::Closed) => {}
        }
    }
}

/// What the watchdog of a connection knows. Times are milliseconds since `start`, plus one, so
/// that 0 can mean "not".
#[derive(Debug)]
struct Activity {
    start: Instant,
    open: AtomicU32,
    /// When bytes began to arrive while no request was open: the begin of a request's head.
    head_began: AtomicU64,
    /// When the last request ended.
    idle_since: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            open: AtomicU32::new(0),
            // A connection is opened in order to send a request now.
            head_began: AtomicU64::new(1),
            idle_since: AtomicU64::new(1),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn bytes_arrived(&self) {
        if self.open.load(Ordering::Relaxed) == 0 && self.head_began.load(Ordering::Relaxed) == 0 {
            self.head_began.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Ends when the client has kept the connection without a request for too long.
    async fn overdue(&self, bounds: &Bounds) {
        loop {
            let at = |time: u64, limit: Duration| {
                self.start + Duration::from_millis(time.saturating_sub(1)) + limit
            };
            let deadline = if self.open.load(Ordering::Relaxed) > 0 {
                // Requests have their own deadlines; look again when one could have ended.
                Instant::now() + bounds.header_timeout
            } else {
                match self.head_began.load(Ordering::Relaxed) {
                    0 => at(self.idle_since.load(Ordering::Relaxed), bounds.idle_timeout)
                        .min(Instant::now() + bounds.header_timeout),
                    began => at(began, bounds.header_timeout),
                }
            };
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

/// Counts a request as open until its answer is there, or the client has gone.
struct OpenRequest(Arc<Activity>);

impl OpenRequest {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Ordering::Relaxed);
        activity.head_began.store(0, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that tells the watchdog when bytes arrive.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes_arrived();
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
