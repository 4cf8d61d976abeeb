//! What becomes of a request: everything the gateway needs to store events and to answer.
//!
//! No part of a verdict that is meant for logs or for the answer holds a payload value or a key.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::api::LifecycleAction;
use crate::configuration::Captured;
use crate::event::{DeadLetter, Event, Reason};

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// A handshake: answered, never an event.
    Handshake(Answer),
    /// A handshake that gives something to keep: answered once it is kept.
    Capture {
        /// Which of the type's handshakes, from 0.
        handshake: usize,
        /// What is to be kept.
        captured: Captured,
        /// The answer.
        answer: Answer,
    },
    /// A handshake whose answer could not be made from the request: 400.
    HandshakeFailed {
        /// Which of the type's handshakes, from 0.
        handshake: usize,
        /// Why, for logs.
        reason: String,
    },
    /// 405.
    MethodNotAllowed {
        /// The `Allow` header.
        allow: String,
    },
    /// 401.
    Unauthenticated(Vec<AuthenticationFailure>),
    /// No entry passed, and one of them could not be checked because our own key is missing: 503.
    KeyMissing(Vec<AuthenticationFailure>),
    /// The registration, or its customer, lacks something that the type reads: 503.
    RegistrationIncomplete,
    /// The body does not parse as what it says it is: 400.
    MalformedBody,
    /// More events than `maxEvents`, or more to store than the body could explain: 413.
    TooManyEvents,
    /// An event is invalid, or its customer unknown, and the type says `Reject`: 422, nothing is stored.
    Rejected(Rejection),
    /// To be stored, then answered.
    Accepted(Accepted),
}

/// Why nothing of a request is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// How many items are at fault.
    pub count: usize,
    /// The first of them, at most [`MAX_REPORTED`].
    pub items: Vec<RejectedItem>,
    /// What the request gave notice of; each once. It is told all the same.
    pub notices: Vec<LifecycleAction>,
}

/// Most items that a [`Rejection`] describes.
pub const MAX_REPORTED: usize = 100;

/// An item at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedItem {
    /// Its position among the request's items, from 0.
    pub index: usize,
    /// At least one.
    pub reasons: Vec<Reason>,
}

/// What is to be stored of a request and how it is answered then.
#[derive(Debug)]
pub struct Accepted {
    /// One entry for each item, in the order of the request.
    pub items: Vec<ItemOutcome>,
    /// What it gives notice of; each once. Their items are skipped.
    pub notices: Vec<LifecycleAction>,
    /// Whether it was authenticated: not where each item is by itself, and there was none.
    pub authenticated: bool,
    /// The type's `respond`; `None`: the answer that counts the events.
    pub answer: Option<Answer>,
    /// Why `respond` could not be made from the request, for logs; then its status goes out alone.
    pub answer_failure: Option<String>,
}

/// What becomes of one item.
#[derive(Debug)]
pub enum ItemOutcome {
    /// One event, or one for each customer.
    Events(Vec<Outcome>),
    /// `events.when` is false, or it is a notice: acknowledged and counted.
    Skipped,
    /// Not authenticated, while others of the request are: refused and counted.
    Refused,
}

/// What is stored for an item and a customer.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// A valid event.
    Event(Event),
    /// Kept with its reasons, not delivered.
    DeadLetter(DeadLetter),
}

/// A rendered answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; may be empty.
    pub body: Bytes,
}

/// Why one entry of `authentication` did not pass. Written `authentication[0].hmac: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationFailure {
    /// Which entry, from 0.
    pub entry: usize,
    /// Which method of it, or `require`.
    pub method: &'static str,
    /// Why, without any value of the request or the type.
    pub cause: Cow<'static, str>,
}

impl fmt::Display for AuthenticationFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            entry,
            method,
            cause,
        } = self;
        write!(formatter, "authentication[{entry}].{method}: {cause}")
    }
}
