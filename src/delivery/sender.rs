//! What delivery needs of the world: something that sends one event once, and something that
//! keeps a dead letter for good.
//!
//! Neither schedule nor order nor retries are here: a sender tries once and says what came of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::configuration::SubscriptionEntry;
use crate::event::{DeadLetter, Event};

/// Sends events to the sink of one subscription.
///
/// A sender is built from one [`SubscriptionEntry`] and used until its `sink` or its `timeout`
/// changes; several attempts run at the same time.
pub trait Sender: Send + Sync + 'static {
    /// Tries once. It ends within the subscription's `timeout`, and sends the same `id` at every
    /// attempt.
    ///
    /// Dropping the future abandons the attempt.
    fn send<'a>(&'a self, event: &'a Event, attempt: Attempt) -> BoxFuture<'a, Outcome>;
}

/// Makes a sender for a subscription. It does no I/O.
pub type BuildSender =
    dyn Fn(&SubscriptionEntry) -> Result<Arc<dyn Sender>, UnusableSink> + Send + Sync;

/// A sink that nothing can be sent to as it is declared; the subscription holds its events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to prepare the sink: {0}")]
pub struct UnusableSink(
    /// What is wrong, for a person; holds no sensitive value.
    pub String,
);

/// Which attempt this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first one of an event and subscription.
    pub number: u32,
    /// When it starts: the timestamp that a signature covers.
    pub at: Timestamp,
}

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has it: a 2xx answer.
    Delivered {
        /// The status of the answer.
        status: u16,
    },
    /// It may work later: 401, 403, 404, 408, 409, 429, 5xx, or no answer.
    Retry {
        /// What went wrong.
        failure: Failure,
        /// `Retry-After`, as a delay from now.
        after: Option<Duration>,
    },
    /// The sink will never take it: another 4xx, or an event that cannot be put into a request.
    Refused {
        /// What the sink said.
        failure: Failure,
    },
}

/// Why an attempt failed. It holds nothing of the payload and no header value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of fault; a metric's label.
    pub kind: FailureKind,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// One short sentence for a person.
    pub message: String,
}

/// The kinds of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// An answer that is not 2xx.
    Status,
    /// No answer within the subscription's `timeout`.
    Timeout,
    /// No connection: name resolution, refused, reset, broken off.
    Connection,
    /// The TLS handshake failed.
    Tls,
    /// The sink's address is one that must not be reached.
    Address,
    /// The event cannot be expressed in the sink's format.
    Encoding,
    /// A fault of our own.
    Internal,
}

impl FailureKind {
    /// The name as metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Address => "address",
            Self::Encoding => "encoding",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// Keeps dead letters.
pub trait KeepDeadLetters: Send + Sync + 'static {
    /// Keeps all of them. When it answers `Ok` they are on disk and synced: only then are the
    /// events settled, so an error or a crash before that means they are tried again.
    fn keep(&self, letters: Vec<DeadLetter>) -> BoxFuture<'_, Result<(), KeepError>>;
}

/// Dead letters could not be stored; their events stay undelivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to keep dead letters: {0}")]
pub struct KeepError(
    /// The chain of causes.
    pub String,
);
