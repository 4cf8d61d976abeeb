//! Why a sink gave no answer, as delivery counts and shows it.

use std::time::Duration;

use crate::delivery::sender::{Failure, FailureKind};
use crate::outbound::{Unanswered, UnansweredKind};

/// The failure of an attempt that had no answer within `limit`.
pub(super) fn timed_out(limit: Duration) -> Failure {
    failure(Unanswered::timed_out("sink", limit))
}

/// The failure behind a client's error.
pub(super) fn of(error: &reqwest::Error) -> Failure {
    failure(Unanswered::of("sink", error))
}

fn failure(unanswered: Unanswered) -> Failure {
    Failure {
        kind: match unanswered.kind {
            UnansweredKind::Timeout => FailureKind::Timeout,
            UnansweredKind::Connection => FailureKind::Connection,
            UnansweredKind::Tls => FailureKind::Tls,
            UnansweredKind::Address => FailureKind::Address,
            UnansweredKind::Internal => FailureKind::Internal,
        },
        status: None,
        message: unanswered.message,
    }
}
