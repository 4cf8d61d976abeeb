//! The one way out to the apps' APIs: sends one request, and tells an answer from no answer.
//!
//! What decides everything later is whether a request may have reached the app. Only what happens
//! before there is a connection is surely not sent; whatever comes after counts as maybe. Nothing
//! of a URL but its host, and nothing of headers or bodies, is in an error.
//!
//! Which hosts a subscription may name is checked by whoever renders, and here once more with the
//! URL that is really requested. Addresses are judged by `crate::outbound`. How often a host may
//! be asked is `super::limits`'; what an answer means is decided elsewhere.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::configuration::Tls;
use crate::outbound::{
    AddressPolicy, ClientError, Outbound, PrivateAddresses, Unanswered, UnansweredKind, UrlRefused,
    retry_after,
};

/// What requests to apps call themselves; some APIs refuse requests without a name.
const USER_AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// Longest body of an answer. Lists of registrations are paged long before, and a longer answer
/// must not become memory.
pub const MOST_ANSWER_BYTES: usize = 1 << 20;

/// Sends requests to apps. Cheap to share: connections are kept and used again.
pub struct Client {
    outbound: Outbound,
    /// For public addresses only.
    public: reqwest::Client,
    /// Also for private ones.
    private: reqwest::Client,
    private_addresses: PrivateAddresses,
}

/// One request, ready to be sent.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The method.
    pub method: &'a Method,
    /// The whole URL.
    pub url: &'a Url,
    /// The headers; no `Host`, no `Content-Length`.
    pub headers: &'a HeaderMap,
    /// The body; empty where there is none.
    pub body: &'a Bytes,
    /// Whether the subscription may send requests to a URL.
    pub is_allowed: &'a (dyn Fn(&Url) -> bool + Sync),
    /// The namespace of the event type: on it depends which private addresses may be called.
    pub namespace: &'a str,
    /// How long everything together may take, from now to the last byte of the answer.
    pub timeout: Duration,
}

/// An answer, whole.
#[derive(Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`MOST_ANSWER_BYTES`].
    pub body: Bytes,
    /// `Retry-After` as a delay, at most a day.
    pub retry_after: Option<Duration>,
}

/// There is no answer, or none that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NoReply {
    /// Whether the request surely never left.
    pub not_sent: bool,
    /// Whether it says something about the host, rather than about the request.
    pub is_hosts_fault: bool,
    /// Why, in one sentence without anything sensitive.
    pub message: String,
}

impl NoReply {
    /// A refusal of our own: nothing was sent.
    fn refused(message: impl Into<String>) -> Self {
        Self {
            not_sent: true,
            is_hosts_fault: false,
            message: message.into(),
        }
    }

    /// An answer began and cannot be used.
    fn unusable(message: impl Into<String>) -> Self {
        Self {
            not_sent: false,
            is_hosts_fault: true,
            message: message.into(),
        }
    }
}

impl From<Unanswered> for NoReply {
    fn from(unanswered: Unanswered) -> Self {
        Self {
            not_sent: unanswered.not_sent,
            is_hosts_fault: match unanswered.kind {
                UnansweredKind::Timeout | UnansweredKind::Connection | UnansweredKind::Tls => true,
                UnansweredKind::Address | UnansweredKind::Internal => false,
            },
            message: unanswered.message,
        }
    }
}

impl Client {
    /// A client that goes out through `outbound`, and to the private addresses that
    /// `private_addresses` opens. Metadata addresses are never called.
    ///
    /// # Errors
    /// When the proxy or the additional roots cannot be used.
    pub fn new(
        outbound: Outbound,
        private_addresses: PrivateAddresses,
    ) -> Result<Self, ClientError> {
        let tls = Tls::default();
        Ok(Self {
            public: outbound.client(AddressPolicy::PublicOnly, &tls)?,
            private: outbound.client(AddressPolicy::AllowPrivate, &tls)?,
            outbound,
            private_addresses,
        })
    }

    /// Sends one request, once, and reads the whole answer. Redirects are answers.
    ///
    /// # Errors
    /// When there is no answer: it may nevertheless have been carried out, unless `not_sent`.
    pub async fn send(&self, call: Call<'_>) -> Result<Reply, NoReply> {
        let Call {
            method,
            url,
            headers,
            body,
            is_allowed,
            namespace,
            timeout,
        } = call;
        if !is_allowed(url) {
            return Err(NoReply::refused(
                "the request's URL leads to a host that the subscription does not list",
            ));
        }
        let policy = self.private_addresses.policy(url, namespace);
        self.outbound
            .check(policy, url)
            .map_err(|refused| NoReply::refused(url_refused(&refused)))?;
        let client = match policy {
            AddressPolicy::PublicOnly => &self.public,
            AddressPolicy::AllowPrivate => &self.private,
        };
        let request = client
            .request(method.clone(), url.clone())
            .headers(completed(headers, method, body));
        let request = if body.is_empty() {
            request
        } else {
            request.body(body.clone())
        };
        let deadline = Instant::now() + timeout;
        let response = match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Unanswered::of("app", &error).into()),
            Err(_) => return Err(Unanswered::timed_out("app", timeout).into()),
        };
        match timeout_at(deadline, read(response)).await {
            Ok(reply) => reply,
            Err(_) => Err(Unanswered::timed_out("app", timeout).into()),
        }
    }
}

/// The declared headers and those of our own.
fn completed(headers: &HeaderMap, method: &Method, body: &Bytes) -> HeaderMap {
    let mut headers = headers.clone();
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(USER_AGENT));
    let expects_body = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    if body.is_empty() && expects_body {
        // The client leaves it out, and some servers answer 411 to that (RFC 9110 §8.6).
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    headers
}

async fn read(mut response: reqwest::Response) -> Result<Reply, NoReply> {
    let most = MOST_ANSWER_BYTES as u64;
    if response.content_length().is_some_and(|bytes| bytes > most) {
        return Err(too_long());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| NoReply::from(Unanswered::of("app", &error)))
        // An answer has begun, so the request was sent, whatever happens now.
        .map_err(|error| NoReply {
            not_sent: false,
            ..error
        })?
    {
        if body.len() + chunk.len() > MOST_ANSWER_BYTES {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    let headers = std::mem::take(response.headers_mut());
    Ok(Reply {
        status: response.status().as_u16(),
        retry_after: retry_after(&headers, Timestamp::now()),
        headers,
        body: body.freeze(),
    })
}

fn too_long() -> NoReply {
    NoReply::unusable("the app's answer is longer than 1 MiB")
}

/// Why the guard refused a URL, without the address: who may declare types need not learn the
/// addresses of other networks, beyond what they wrote themselves.
fn url_refused(refused: &UrlRefused) -> String {
    match refused {
        UrlRefused::Address(refused) => format!(
            "the request's URL names {}, where requests must not go",
            refused.kind
        ),
        UrlRefused::Scheme | UrlRefused::Credentials | UrlRefused::Proxy => {
            format!("the request's URL cannot be used: {refused}")
        }
    }
}

#[cfg(test)]
mod tests;
