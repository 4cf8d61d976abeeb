//! A request's bytes in, a verdict and events out: handshakes, authentication, splitting,
//! interpretation. Pure.
//!
//! [`Receiver::compile`] turns a type into a form in which nothing can be wrong any more;
//! [`Receiver::receive`] then is a function of the request, the time, the declared Customers and a
//! source of ids. `check` validates types by the very same compilation.
//!
//! # Which value counts
//!
//! Where a JSON object has a name twice, the last one counts: for splitting, expressions, schemas
//! and what a consumer's parser will most probably see. Where a header occurs more than once, its
//! values are joined, so that a second one spoils a signature and never replaces it; credentials
//! and `Content-Type` that occur twice count as missing.
//!
//! # Bounds
//!
//! Every evaluation has its budget, every request a pool that all its evaluations draw from, and
//! the events of one request can have at most eight times the bytes that its body may have.
//!
//! Deliberately not here: I/O, the clock, randomness, decompression and body limits (the gateway
//! applies them while reading), and the index that knows which events were seen before.

mod answer;
mod authentication;
pub(crate) mod compiler;
mod customer;
mod handshake;
mod interpret;
mod lifecycle;
mod media;
mod pool;
mod receiver;
mod registration;
mod request;
mod sign;
mod split;
#[cfg(test)]
mod tests;
mod variables;
mod verdict;

pub use customer::{CustomerDirectory, CustomerIndex};
pub use interpret::{EventView, StillRefused};
pub use receiver::Receiver;
pub use request::{MAX_HANDSHAKE_BODY_BYTES, Request};
pub use sign::{SignError, Signing, sign};
pub use verdict::{
    Accepted, Answer, AuthenticationFailure, ItemOutcome, MAX_REPORTED, Outcome, RejectedItem,
    Rejection, Verdict,
};
