//! The way of a request: find the URI, read the body within its limits, let the type judge it,
//! store what it brought, answer.
//!
//! What a request is worth is `webhook`'s to say, and whether it is on disk `event_log`'s. Here is
//! what lies between: the order of the steps, the bounds, and which answer each end gets. The rule
//! behind the answers: a fault or a want of ours is a 503, so that no sender gives up because of
//! us, and no answer holds anything that a request carried.

mod answers;
mod record;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use http_body::Body;
use http_body_util::Full;
use jiff::Timestamp;

use self::answers::{counted, listed, not_stored, rejected, rendered};
use self::record::Running;
use super::body::{self, BodyError, BodyMemory, ReadBody};
use super::bounds::Bounds;
use super::deduplication::Deduplication;
use super::metrics::Metrics;
use super::outcome::{EventCounts, Outcome};
use super::places::{Full as NoPlace, Place, Places};
use super::problem::Problem;
use super::request_log::RequestLog;
use super::snapshot::{Good, ServedType, Snapshot};
use super::store::Store;
use super::storing;
use super::workers::{Ending, Workers};
use super::{path, token};
use crate::configuration::Sensitive;
use crate::webhook::{self, Verdict};

/// Bodies larger than this are judged among the workers: up to here it takes at most a few
/// milliseconds, and a thread that serves connections can spare those.
const JUDGED_IN_PLACE: usize = 64 * 1024;

/// Everything the handler needs; shared by all requests.
pub struct Ingest {
    /// What is served; nothing before the first configuration.
    pub snapshot: ArcSwapOption<Snapshot>,
    /// Where events go.
    pub store: Arc<dyn Store>,
    /// Which events were seen before.
    pub deduplication: Arc<Deduplication>,
    /// The key of the URIs' tokens.
    pub token_key: Sensitive,
    /// Memory for bodies.
    pub memory: BodyMemory,
    /// The limits.
    pub bounds: Bounds,
    /// The counts.
    pub metrics: Metrics,
    /// What came in.
    pub requests: RequestLog,
    /// Open requests, by client.
    pub open: Arc<Places>,
    /// For large bodies.
    pub workers: Workers,
    /// Bounds the log lines that strangers can cause.
    pub log_lines: governor::DefaultDirectRateLimiter,
}

/// How a request ended.
pub struct Conclusion {
    outcome: Outcome,
    response: Response<Full<Bytes>>,
    counts: EventCounts,
    /// Why, for logs and the admin API; holds no value of the request.
    detail: Option<String>,
}

impl Conclusion {
    /// Boxed, because it is the error of many steps.
    fn refused(outcome: Outcome, problem: Problem) -> Box<Self> {
        Box::new(Self {
            outcome,
            detail: Some(problem.detail.clone().into_owned()),
            response: problem.into_response(),
            counts: EventCounts::default(),
        })
    }

    fn because(mut self: Box<Self>, detail: String) -> Box<Self> {
        self.detail = Some(detail);
        self
    }
}

/// A body and whether its sender still waits to be asked for it.
struct Unread<B> {
    body: B,
    /// `Expect: 100-continue`, and nothing was read yet: reading would ask for the body.
    waiting: bool,
}

impl Ingest {
    /// Answers a request from `peer`. It never fails: a panic on the way is a 500.
    pub async fn answer<B>(
        self: &Arc<Self>,
        request: Request<B>,
        peer: IpAddr,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let (parts, body) = request.into_parts();
        let snapshot = self.snapshot.load_full();
        let client = match &snapshot {
            Some(snapshot) => snapshot.trusted.client(peer, &parts.headers),
            None => peer,
        };
        let mut running = Running::begin(self, &parts, client);
        let mut body = Unread {
            waiting: parts.headers.contains_key(EXPECT),
            body,
        };
        let http2 = parts.version == Version::HTTP_2;
        // What a request leaves behind when it panics is its own.
        let work =
            AssertUnwindSafe(self.conclude(parts, &mut body, snapshot, client, &mut running));
        let mut conclusion = work.catch_unwind().await.unwrap_or_else(|_| {
            let problem = Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "a fault of the gateway's own",
            );
            *Conclusion::refused(Outcome::Failed, problem)
        });
        let headers = conclusion.response.headers_mut();
        let keeps_connection =
            !matches!(conclusion.outcome, Outcome::TooSlow | Outcome::Incomplete);
        if !keeps_connection && !http2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if keeps_connection && !http2 && !body.waiting && !body.body.is_end_stream() {
            tokio::spawn(body::discard(body.body));
        }
        running.end(conclusion)
    }

    async fn conclude<B>(
        self: &Arc<Self>,
        parts: request::Parts,
        body: &mut Unread<B>,
        snapshot: Option<Arc<Snapshot>>,
        client: IpAddr,
        running: &mut Running,
    ) -> Conclusion
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        match self.work(parts, body, snapshot, client, running).await {
            Ok(conclusion) => conclusion,
            Err(conclusion) => *conclusion,
        }
    }

    async fn work<B>(
        self: &Arc<Self>,
        parts: request::Parts,
        body: &mut Unread<B>,
        snapshot: Option<Arc<Snapshot>>,
        client: IpAddr,
        running: &mut Running,
    ) -> Result<Conclusion, Box<Conclusion>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let snapshot = snapshot.ok_or_else(|| {
            Conclusion::refused(
                Outcome::NotConfigured,
                Problem::unavailable("the gateway has no configuration yet"),
            )
        })?;
        let _place = self.take_place(client)?;
        let served = self.find(&snapshot, parts.uri.path(), running)?;
        snapshot.admit().map_err(|wait| {
            let problem = Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "more requests a second than the gateway admits",
            );
            Conclusion::refused(Outcome::RateLimited, problem.retry_after(wait))
        })?;
        let Some(good) = served.good.clone() else {
            let problem = Problem::unavailable(
                "this address is declared, but not in a form that can be used",
            );
            return Err(Conclusion::refused(Outcome::TypeUnusable, problem));
        };
        let read = self.read(body, &parts.headers, &good).await?;
        running.read(read.raw.len());
        let request::Parts {
            method,
            uri,
            headers,
            ..
        } = parts;
        let verdict = self
            .judge(snapshot, good, read, (method, uri, headers))
            .await?;
        self.carry_out(verdict).await
    }

    /// Counts open requests: of one client, and of all.
    fn take_place(&self, client: IpAddr) -> Result<Place, Box<Conclusion>> {
        self.open.take(Some(client)).map_err(|full| match full {
            NoPlace::All => Conclusion::refused(
                Outcome::Overloaded,
                Problem::unavailable("too many requests are open at this moment"),
            ),
            NoPlace::Client => Conclusion::refused(
                Outcome::RateLimited,
                Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too many requests of this client are open",
                )
                .retry_after(super::problem::RETRY_SOON),
            ),
        })
    }

    fn find<'s>(
        &self,
        snapshot: &'s Snapshot,
        path: &str,
        running: &mut Running,
    ) -> Result<&'s Arc<ServedType>, Box<Conclusion>> {
        let path = path::normal_form(path);
        if let Some(served) = snapshot.route(&path) {
            running.found(&path, served);
            return Ok(served);
        }
        let ours = path::token(&path).is_some_and(|token| token::verify(&self.token_key, token));
        Err(if ours {
            Conclusion::refused(
                Outcome::TokenNotHereYet,
                Problem::unavailable("this address is not known here yet"),
            )
        } else {
            Conclusion::refused(
                Outcome::NotFound,
                Problem::new(StatusCode::NOT_FOUND, "no webhook has this address"),
            )
        })
    }

    async fn read<B>(
        &self,
        body: &mut Unread<B>,
        headers: &HeaderMap,
        good: &Good,
    ) -> Result<ReadBody, Box<Conclusion>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let most = good.receiver.max_body_bytes() as usize;
        let read = body::read(
            &mut body.body,
            headers,
            most,
            &self.memory,
            &self.workers,
            &self.bounds,
        )
        .await;
        // A size that was declared too large is refused before the body is asked for.
        body.waiting &= matches!(read, Err(BodyError::TooLarge));
        read.map_err(|error| {
            let outcome = match error {
                BodyError::TooLarge => Outcome::TooLarge,
                BodyError::TooSlow => Outcome::TooSlow,
                BodyError::Incomplete => Outcome::Incomplete,
                BodyError::NoMemory => Outcome::Overloaded,
                BodyError::UnsupportedCoding => Outcome::UnsupportedCoding,
                BodyError::MalformedCoding => Outcome::Malformed,
            };
            Conclusion::refused(outcome, error.into())
        })
    }

    async fn judge(
        &self,
        snapshot: Arc<Snapshot>,
        good: Good,
        read: ReadBody,
        (method, uri, headers): (Method, Uri, HeaderMap),
    ) -> Result<Verdict, Box<Conclusion>> {
        let ReadBody {
            raw,
            content,
            memory,
        } = read;
        let large = raw.len().max(content.len()) > JUDGED_IN_PLACE;
        let request = webhook::Request {
            method,
            public_url: snapshot.gateway.public_url.clone(),
            path_and_query: path_and_query(&uri),
            headers,
            raw_body: raw,
            body: content,
        };
        let work = move || {
            let now = Timestamp::now();
            let verdict =
                good.receiver
                    .receive(&request, now, &*snapshot.customers, &mut random_id);
            drop(memory);
            verdict
        };
        if !large {
            return Ok(work());
        }
        self.workers.run(work).await.map_err(|Ending| {
            Conclusion::refused(
                Outcome::Failed,
                Problem::unavailable("the gateway is shutting down"),
            )
        })
    }

    async fn carry_out(&self, verdict: Verdict) -> Result<Conclusion, Box<Conclusion>> {
        match verdict {
            Verdict::Accepted(accepted) => {
                let webhook::Accepted {
                    items,
                    answer,
                    answer_failure,
                } = accepted;
                let store = storing::store(
                    Arc::clone(&self.store),
                    Arc::clone(&self.deduplication),
                    items,
                    Timestamp::now().as_second(),
                );
                let stored = store.await.map_err(not_stored)?;
                Ok(Conclusion {
                    outcome: Outcome::Accepted,
                    counts: stored.counts,
                    response: match answer {
                        Some(answer) => rendered(answer),
                        None => counted(&stored),
                    },
                    detail: answer_failure.map(|failure| format!("respond: {failure}")),
                })
            }
            Verdict::Handshake(answer) => Ok(Conclusion {
                outcome: Outcome::Handshake,
                response: rendered(answer),
                counts: EventCounts::default(),
                detail: None,
            }),
            Verdict::HandshakeFailed { handshake, reason } => Err(Conclusion::refused(
                Outcome::Malformed,
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "the handshake lacks what its answer is made from",
                ),
            )
            .because(format!("handshakes[{handshake}]: {reason}"))),
            Verdict::MethodNotAllowed { allow } => {
                let mut problem = Problem::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "this address does not accept the method",
                );
                problem.allow = HeaderValue::try_from(allow).ok();
                Err(Conclusion::refused(Outcome::MethodNotAllowed, problem))
            }
            Verdict::Unauthenticated(failures) => Err(Conclusion::refused(
                Outcome::Unauthenticated,
                Problem::new(StatusCode::UNAUTHORIZED, "the request is not authenticated"),
            )
            .because(listed(&failures))),
            Verdict::KeyMissing(failures) => Err(Conclusion::refused(
                Outcome::KeyMissing,
                Problem::unavailable("the request cannot be authenticated at this moment"),
            )
            .because(listed(&failures))),
            Verdict::MalformedBody => Err(Conclusion::refused(
                Outcome::Malformed,
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "the body cannot be parsed as what its content type says",
                ),
            )),
            Verdict::TooManyEvents => Err(Conclusion::refused(
                Outcome::TooLarge,
                Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the request has more events than this address accepts",
                ),
            )),
            Verdict::Rejected(rejection) => Err(rejected(rejection)),
        }
    }
}

/// Byte for byte as received.
fn path_and_query(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| uri.path().to_owned(), |both| both.as_str().to_owned())
}

/// A random UUID, from the generator that needs no system call each time.
fn random_id() -> String {
    uuid::Builder::from_random_bytes(rand::random())
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests;
