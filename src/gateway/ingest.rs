//! The way of a request: find the URI, read the body within its limits, let the type judge it,
//! store what it brought, answer.
//!
//! What a request is worth is `webhook`'s to say, and whether it is on disk `event_log`'s. Here is
//! what lies between: the order of the steps, the bounds, and which answer each end gets. The rule
//! behind the answers: a fault or a want of ours is a 503, so that no sender gives up because of
//! us, and no answer holds anything that a request carried.

mod answers;
mod case;
mod record;
mod reports;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, request};
use http_body::Body;
use http_body_util::Full;
use jiff::Timestamp;

use self::answers::{counted, listed, not_stored, rejected, rendered};
use self::case::Case;
use self::record::Running;
use super::body::{self, BodyError, BodyMemory, ReadBody};
use super::bounds::Bounds;
use super::deduplication::Deduplication;
use super::leaving::{self, Leaving};
use super::metrics::Metrics;
use super::outcome::{EventCounts, Outcome};
use super::places::{Full as NoPlace, Place, Places};
use super::problem::Problem;
use super::registrations::{Registration, Registrations, Served};
use super::request_log::RequestLog;
use super::snapshot::{Good, ServedType, Snapshot};
use super::store::Store;
use super::storing;
use super::workers::{Ending, Workers};
use super::{path, token};
use crate::configuration::{Reports, Sensitive};
use crate::webhook::{self, Verdict};

/// Bodies larger than this are judged among the workers: up to here it takes at most a few
/// milliseconds, and a thread that serves connections can spare those.
const JUDGED_IN_PLACE: usize = 64 * 1024;

/// Everything the handler needs; shared by all requests.
pub struct Ingest {
    /// What is served; nothing before the first configuration.
    pub snapshot: ArcSwapOption<Snapshot>,
    /// The URIs of registrations.
    pub registrations: Registrations,
    /// Who is told what came for registrations.
    pub reports: Arc<dyn Reports>,
    /// Where events go.
    pub store: Arc<dyn Store>,
    /// Which events were seen before.
    pub deduplication: Arc<Deduplication>,
    /// The key of the URIs' tokens.
    pub token_key: ArcSwap<Sensitive>,
    /// Whether what is served may be older than what apps were told.
    pub behind: AtomicBool,
    /// How far this pod is with going.
    pub leaving: leaving::Stage,
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

/// Whose a URI is.
struct Found<'s> {
    served: &'s Arc<ServedType>,
    registration: Option<Arc<Registration>>,
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
        let leaving = self.leaving.now() != Leaving::No;
        if (!keeps_connection || leaving) && !http2 {
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
        if self.leaving.now() == Leaving::Closed {
            return Err(Conclusion::refused(
                Outcome::Leaving,
                Problem::unavailable("this pod goes; another one takes the request"),
            ));
        }
        let Found {
            served,
            registration,
        } = self.find(&snapshot, parts.uri.path(), running)?;
        snapshot.admit().map_err(|wait| {
            let problem = Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "more requests a second than the gateway admits",
            );
            Conclusion::refused(Outcome::RateLimited, problem.retry_after(wait))
        })?;
        let Some(good) = served.good.clone() else {
            return Err(type_unusable());
        };
        let read = self.read(body, &parts.headers, &good).await?;
        running.read(read.raw.len());
        let request::Parts {
            method,
            uri,
            headers,
            ..
        } = parts;
        let case = Case::new(
            snapshot,
            good,
            registration,
            read,
            (method, uri, headers),
            running.traceparent(),
        );
        match self.judge(case).await? {
            (
                Verdict::Capture {
                    handshake,
                    captured,
                    answer,
                },
                case,
            ) => self.capture(case, handshake, captured, answer).await,
            (verdict, case) => self.carry_out(verdict, case).await,
        }
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

    /// The type that serves a path, and the registration that the path belongs to.
    fn find<'s>(
        &self,
        snapshot: &'s Snapshot,
        path: &str,
        running: &mut Running,
    ) -> Result<Found<'s>, Box<Conclusion>> {
        let path = path::normal_form(path);
        if let Some(served) = snapshot.route(&path) {
            running.found(&path, &served.name);
            return Ok(Found {
                served,
                registration: None,
            });
        }
        if let Some(registration) = self.registrations.get(&path) {
            running.found(&path, &registration.event_type);
            running.belongs_to(&registration);
            let served = snapshot.event_type(&registration.event_type);
            if let Some(over) = over(&registration, served.map(|served| &**served)) {
                return Err(over);
            }
            return match served {
                Some(served) => Ok(Found {
                    served,
                    registration: Some(registration),
                }),
                None => Err(type_unusable()),
            };
        }
        Err(if self.may_come(snapshot, &path) {
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

    /// Whether an unknown path may be one of ours that this pod has not heard of yet: its token
    /// carries our MAC, or it would be a registration below a global webhook that has some, or the
    /// pod is not told any more what is new.
    fn may_come(&self, snapshot: &Snapshot, path: &str) -> bool {
        if self.behind.load(Ordering::Relaxed)
            || path::token(path).is_some_and(|token| token::verify(&self.token_key.load(), token))
        {
            return true;
        }
        let global = path::of_registration(path).and_then(|(global, _)| snapshot.route(global));
        global.is_some_and(|served| match &served.good {
            Some(good) => good.entry.registrations.global,
            None => true,
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

    /// What becomes of a request; large ones are judged among the workers.
    async fn judge(&self, case: Case) -> Result<(Verdict, Case), Box<Conclusion>> {
        if case.size() <= JUDGED_IN_PLACE {
            return Ok((case.judge(), case));
        }
        let work = move || (case.judge(), case);
        self.workers.run(work).await.map_err(|Ending| {
            Conclusion::refused(
                Outcome::Failed,
                Problem::unavailable("the gateway is shutting down"),
            )
        })
    }

    /// Does what a verdict says. A handshake that brings something to keep is not among them.
    async fn carry_out(&self, verdict: Verdict, case: Case) -> Result<Conclusion, Box<Conclusion>> {
        let registration = case.registration.clone();
        let registration = registration.as_deref();
        // Its bytes are no longer needed, but for those that became events.
        drop(case);
        match verdict {
            Verdict::Accepted(accepted) => {
                let webhook::Accepted {
                    items,
                    notices,
                    authenticated,
                    answer,
                    answer_failure,
                } = accepted;
                if authenticated {
                    self.received(registration);
                }
                let store = storing::store(
                    Arc::clone(&self.store),
                    Arc::clone(&self.deduplication),
                    items,
                    Timestamp::now().as_second(),
                );
                let stored = store.await.map_err(not_stored)?;
                // Only now: a notice of a request that comes again would be told twice.
                self.notice(registration, notices).await?;
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
            Verdict::Capture { .. } => Err(Conclusion::refused(
                Outcome::Failed,
                Problem::unavailable("a fault of the gateway's own"),
            )
            .because("a handshake captures what is closed".to_owned())),
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
            Verdict::RegistrationIncomplete => Err(Conclusion::refused(
                Outcome::RegistrationIncomplete,
                Problem::unavailable("the request cannot be judged at this moment"),
            )
            .because(
                "an expression reads something of the registration that is not there".to_owned(),
            )),
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
            Verdict::Rejected(mut rejection) => {
                self.received(registration);
                let notices = std::mem::take(&mut rejection.notices);
                self.notice(registration, notices).await?;
                Err(rejected(rejection))
            }
        }
    }
}

/// What is answered where a registration's requests are not judged: it was removed, or it may still
/// stand at the app and nobody waits for it. An app that is asked to stop by a status would hold that
/// against whatever else it sends here, so the latter is told that all is well.
fn over(registration: &Registration, served: Option<&ServedType>) -> Option<Box<Conclusion>> {
    match registration.served {
        Served::Live(_) => None,
        Served::Orphaned => {
            let good = served.and_then(|served| served.good.as_ref());
            let status = good.map_or(StatusCode::ACCEPTED, |good| good.receiver.acknowledgement());
            let answer = webhook::Answer {
                status,
                headers: Vec::new(),
                body: Bytes::new(),
            };
            Some(Box::new(Conclusion {
                outcome: Outcome::Orphaned,
                response: rendered(answer),
                counts: EventCounts::default(),
                detail: None,
            }))
        }
        Served::Removed => Some(Conclusion::refused(
            Outcome::Removed,
            Problem::new(StatusCode::GONE, "this webhook has been unsubscribed"),
        )),
    }
}

/// 503: the event type is not here, or was never good.
fn type_unusable() -> Box<Conclusion> {
    let problem =
        Problem::unavailable("this address is declared, but not in a form that can be used");
    Conclusion::refused(Outcome::TypeUnusable, problem)
}

#[cfg(test)]
mod tests;
