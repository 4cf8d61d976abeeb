//! Delivery as a whole, over a real log and a real state store, with senders that do as they are
//! told. No test here measures time; each waits until what it expects has happened.

mod edits;
mod lifecycle;
mod scarcity;
mod sick_sinks;
pub(super) mod support;
