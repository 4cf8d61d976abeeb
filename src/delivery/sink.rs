//! Sinks over HTTP: one event, one request, and what the answer means.
//!
//! An attempt is made of pure parts (the [`message`], the [`signing`], the [`verdict`]) around one
//! request. When to try again, in what order, and what becomes of an event that was refused are
//! not here: the dispatcher decides that. Nothing of an answer's body is ever kept or shown,
//! because a sink may echo what it was sent.

pub mod headers;
pub mod message;
pub mod signing;

mod failure;
mod verdict;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::{Instant, timeout_at};
use url::Url;

use self::headers::HeaderRefused;
use self::message::Message;
use self::signing::Signer;
use super::sender::{Attempt, Failure, FailureKind, Outcome, Sender, UnusableSink};
use crate::configuration::{Format, Sink, SubscriptionEntry, Tls};
use crate::event::{Event, ExtensionValue, ObjectName};
use crate::outbound::{AddressPolicy, ClientError, Outbound, UrlRefused};
use crate::telemetry::{self, Span};

/// What requests to sinks call themselves.
const USER_AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// Bytes of an answer's body that are read, so that the connection can be used again; a longer
/// answer costs its connection. Sinks that echo an event of usual size stay below it.
const ANSWER_BYTES: usize = 64 * 1024;

/// Makes senders, and shares connections among those whose sinks need the same of TLS.
pub struct HttpSinks {
    outbound: Outbound,
    clients: Mutex<Vec<(ClientKey, Weak<reqwest::Client>)>>,
}

/// A hash of all that a client is built from; a hash because a private key is part of it.
type ClientKey = [u8; digest::SHA256_OUTPUT_LEN];

impl HttpSinks {
    /// Sinks that are reached through `outbound`.
    pub fn new(outbound: Outbound) -> Self {
        Self {
            outbound,
            clients: Mutex::default(),
        }
    }

    /// The sender of one subscription. No I/O.
    ///
    /// # Errors
    /// When nothing could ever be sent to the sink as it is declared.
    pub fn sender(&self, entry: &SubscriptionEntry) -> Result<HttpSink, SinkError> {
        let Sink {
            uri,
            may_be_private,
            format,
            headers,
            signing,
            tls,
        } = &entry.sink;
        let policy = if *may_be_private {
            AddressPolicy::AllowPrivate
        } else {
            AddressPolicy::PublicOnly
        };
        let url = Url::parse(uri).map_err(|_| SinkError::Url(UrlRefused::Scheme))?;
        self.outbound.check(policy, &url)?;
        let signer = signing.as_ref().map(Signer::new).transpose()?;
        Ok(HttpSink {
            subscription: entry.name.clone(),
            client: self.client(policy, tls)?,
            url,
            format: *format,
            headers: headers::configured(headers, signer.is_some())?,
            signer,
            timeout: entry.delivery.timeout,
        })
    }

    /// [`HttpSinks::sender`] in the form the dispatcher asks for.
    ///
    /// # Errors
    /// The same.
    pub fn build(&self, entry: &SubscriptionEntry) -> Result<Arc<dyn Sender>, UnusableSink> {
        match self.sender(entry) {
            Ok(sink) => Ok(Arc::new(sink)),
            Err(error) => Err(UnusableSink(error.to_string())),
        }
    }

    fn client(&self, policy: AddressPolicy, tls: &Tls) -> Result<Arc<reqwest::Client>, SinkError> {
        let key = client_key(policy, tls);
        // The list is never left half changed, so a poisoned lock is still good.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|(_, client)| client.strong_count() > 0);
        let shared = clients.iter().find(|(other, _)| *other == key);
        if let Some(client) = shared.and_then(|(_, client)| client.upgrade()) {
            return Ok(client);
        }
        let client = Arc::new(self.outbound.client(policy, tls)?);
        clients.push((key, Arc::downgrade(&client)));
        Ok(client)
    }
}

fn client_key(policy: AddressPolicy, tls: &Tls) -> ClientKey {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: Option<&[u8]>| {
        // Length first, so that no two lists of parts hash the same; absent is not empty.
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        hash.update(&length.to_be_bytes());
        hash.update(bytes.unwrap_or_default());
    };
    let Tls {
        ca_bundle,
        client_certificate,
    } = tls;
    part(Some(&[u8::from(policy == AddressPolicy::AllowPrivate)]));
    part(ca_bundle.as_ref().map(String::as_bytes));
    let client = client_certificate.as_ref();
    part(client.map(|client| client.certificate.as_bytes()));
    part(client.map(|client| client.key.expose()));
    let mut key = ClientKey::default();
    key.copy_from_slice(hash.finish().as_ref());
    key
}

/// Why nothing could ever be sent to a sink. Holds no sensitive value.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The URL is none that requests go to.
    #[error("the sink's URL cannot be used: {0}")]
    Url(#[from] UrlRefused),
    /// A configured header cannot be sent.
    #[error(transparent)]
    Header(#[from] HeaderRefused),
    /// The signing key is empty.
    #[error(transparent)]
    Signing(#[from] signing::EmptyKey),
    /// The TLS options cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// The sink of one subscription.
pub struct HttpSink {
    /// Whose it is, for traces.
    subscription: ObjectName,
    client: Arc<reqwest::Client>,
    url: Url,
    format: Format,
    headers: HeaderMap,
    signer: Option<Signer>,
    timeout: Duration,
}

impl Sender for HttpSink {
    fn send<'a>(&'a self, event: &'a Event, attempt: Attempt) -> BoxFuture<'a, Outcome> {
        async move {
            let mut span = telemetry::attempt(event, &self.subscription);
            let outcome = self.attempt(event, attempt, span.traceparent()).await;
            if span.is_there() {
                trace(&mut span, &self.url, attempt, &outcome);
            }
            outcome
        }
        .boxed()
    }
}

/// What a span says of an attempt.
fn trace(span: &mut Span, url: &Url, attempt: Attempt, outcome: &Outcome) {
    span.set("tidegate.attempt", i64::from(attempt.number));
    span.set("http.request.method", "POST");
    if let Some(host) = url.host_str() {
        span.set("server.address", host.to_owned());
    }
    let status = match outcome {
        Outcome::Delivered { status } => Some(*status),
        Outcome::Retry { failure, .. } | Outcome::Refused { failure } => {
            span.fail(failure.kind.as_str());
            failure.status
        }
    };
    if let Some(status) = status {
        span.set("http.response.status_code", i64::from(status));
    }
}

impl HttpSink {
    async fn attempt(
        &self,
        event: &Event,
        attempt: Attempt,
        traceparent: Option<String>,
    ) -> Outcome {
        let message = match self.message(event, attempt, traceparent.as_deref()) {
            Ok(message) => message,
            Err(error) => {
                return Outcome::Refused {
                    failure: Failure {
                        kind: FailureKind::Encoding,
                        status: None,
                        message: error.to_string(),
                    },
                };
            }
        };
        let started = Instant::now();
        let deadline = started + self.timeout;
        let request = self
            .client
            .post(self.url.clone())
            .headers(message.headers)
            .body(message.body);
        let response = match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                return Outcome::Retry {
                    failure: failure::of(&error),
                    after: None,
                };
            }
            Err(_) => {
                return Outcome::Retry {
                    failure: failure::timed_out(self.timeout),
                    after: None,
                };
            }
        };
        let answered_at = attempt
            .at
            .checked_add(started.elapsed())
            .unwrap_or(attempt.at);
        let outcome = verdict::of(response.status(), response.headers(), answered_at);
        // The status has decided. Waiting for the rest lets a sink that answers while it still
        // works finish, within the limit, and keeps the connection.
        let _ = timeout_at(deadline, drain(response)).await;
        outcome
    }

    /// The whole request but its URL. `traceparent` is this attempt's own, where there are traces.
    fn message(
        &self,
        event: &Event,
        attempt: Attempt,
        traceparent: Option<&str>,
    ) -> Result<Message, message::EncodingError> {
        let Message { mut headers, body } = message::of(self.format, event)?;
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if body.is_empty() {
            // The client leaves it out, and some servers answer 411 to that (RFC 9110 §8.6).
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        for name in TRACE_CONTEXT {
            if let Some(ExtensionValue::Text(value)) = event.attributes.extensions.get(name)
                && let Ok(value) = HeaderValue::from_str(value)
            {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        // The event's own says where the event is from; this one whose request it is.
        if let Some(Ok(own)) = traceparent.map(HeaderValue::from_str) {
            headers.insert(HeaderName::from_static(TRACE_CONTEXT[0]), own);
        }
        headers.extend(self.headers.clone());
        if let Some(signer) = &self.signer {
            signer.sign(&event.attributes.id, attempt.at, &body, &mut headers);
        }
        Ok(Message { headers, body })
    }
}

/// W3C Trace Context: also plain headers, so that a sink's own tracing goes on without knowing
/// CloudEvents.
const TRACE_CONTEXT: [&str; 2] = ["traceparent", "tracestate"];

async fn drain(mut response: reqwest::Response) {
    let mut left = ANSWER_BYTES;
    while let Ok(Some(chunk)) = response.chunk().await {
        match left.checked_sub(Bytes::len(&chunk)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests;
