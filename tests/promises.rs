//! Black-box tests, one file per promise, in one binary because linking is what costs time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod support;

/// One file per promise.
mod promises {
    mod batches;
    mod bounded_schemas;
    mod configuration;
    mod dead_letters;
    mod dev_state;
    mod documentation;
    mod edits;
    mod examples;
    mod full_log;
    mod kills;
    mod no_secrets;
    mod operator;
    mod rendered_requests;
    mod sick_sinks;
    mod signatures;
    mod subscribing;
    mod traces;
    mod upgrades;
    mod wrong_requests;
}
