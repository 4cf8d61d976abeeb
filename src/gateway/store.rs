//! Where the gateway puts what it accepts: the seam to the event log and the dead letters.
//!
//! A trait, so that a disk that fails or is full can be put under the handler in tests.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::delivery;
use crate::delivery::dead_letters::DeadLetters;
use crate::event::{DeadLetter, Event};
use crate::event_log::{AppendError, EventLog, Space};

/// Keeps events and dead letters durably.
pub trait Store: Send + Sync + 'static {
    /// Stores events that become durable together: when it answers `Ok`, all are on disk and
    /// synced.
    fn append(&self, events: Vec<Event>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Stores dead letters; when it answers `Ok`, all are on disk and synced.
    fn keep(&self, letters: Vec<DeadLetter>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Why requests cannot be accepted just now; `None`: they can.
    fn trouble(&self) -> Option<StoreError>;
}

/// Why something was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no space; there may be later.
    #[error("the event log is full")]
    Full,
    /// The events of one request are more than fit into the log together.
    #[error("the events of the request are more than can be stored together")]
    TooLarge,
    /// The storage failed, or is being closed.
    #[error("the storage of the event log failed")]
    Failed,
}

impl From<AppendError> for StoreError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => Self::Full,
            AppendError::TooLarge => Self::TooLarge,
            AppendError::Failed | AppendError::Closed => Self::Failed,
        }
    }
}

/// The event log and the dead letters.
pub struct Durable {
    /// Events for everyone who wants them.
    pub log: EventLog,
    /// Events that were refused at the door.
    pub dead_letters: DeadLetters,
}

impl Store for Durable {
    fn append(&self, events: Vec<Event>) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let records = events.iter().map(delivery::encode).collect();
            self.log.append(records).await?;
            Ok(())
        }
        .boxed()
    }

    fn keep(&self, letters: Vec<DeadLetter>) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.dead_letters.append(letters).await?;
            Ok(())
        }
        .boxed()
    }

    fn trouble(&self) -> Option<StoreError> {
        let worst = |space| match space {
            Space::Ample | Space::Low => None,
            Space::Full => Some(StoreError::Full),
            Space::Failed => Some(StoreError::Failed),
        };
        // The dead letters make room for themselves, so only their storage can be in trouble.
        let letters =
            worst(self.dead_letters.usage().space).filter(|error| *error == StoreError::Failed);
        letters.or_else(|| worst(self.log.usage().space))
    }
}
