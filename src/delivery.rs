//! Delivery: events leave the log for the sinks of the subscriptions that want them.
//!
//! [`Sender`] is the seam to the sinks and [`KeepDeadLetters`] the one to the dead letters; both
//! are traits so that everything between them can be tested without a network or a disk.

mod sender;
pub mod sink;

pub use sender::{
    Attempt, BuildSender, Failure, FailureKind, KeepDeadLetters, KeepError, Outcome, Sender,
    UnusableSink,
};
