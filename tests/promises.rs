//! Black-box tests, one file per promise, in one binary because linking is what costs time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "promises/dev_state.rs"]
mod dev_state;
#[path = "promises/edits.rs"]
mod edits;
#[path = "promises/kills.rs"]
mod kills;
mod support;

/// One file per promise.
mod promises {
    mod wrong_requests;
}
