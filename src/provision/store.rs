//! What the driver needs of the world beside the network: something that keeps records for good,
//! something that makes webhook URIs live, and somebody to tell.

use futures_util::future::BoxFuture;

use super::Record;
use crate::configuration::RegistrationChange;
use crate::event::ObjectName;

/// Keeps records.
pub trait RecordStore: Send + Sync + 'static {
    /// Everything that is kept. One that cannot be read is told as such, and never overwritten.
    fn load(&self) -> BoxFuture<'_, Result<Vec<Loaded>, StoreError>>;

    /// Keeps a record in place of the one of the same name. When it answers `Ok` it is on disk and
    /// synced; after an error, or a crash, either of the two is.
    fn write<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Removes a record; one that is not there is removed already.
    fn remove<'a>(&'a self, name: &'a ObjectName) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// One record as it was found.
#[derive(Debug)]
pub enum Loaded {
    /// It can be read.
    Record(Box<Record>),
    /// Something is there, and cannot be read.
    Unreadable {
        /// The name of the UpstreamSubscription, without its namespace.
        name: String,
        /// What is wrong, and where; holds nothing of the content.
        error: String,
    },
}

/// A record could not be kept, read or removed. Holds nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(
    /// The chain of causes.
    pub String,
);

/// Makes the webhook URIs of registrations live.
pub trait Publish: Send + Sync + 'static {
    /// Carries the changes out, in every gateway that is connected. When it answers `Ok` the next
    /// request to one of the URIs is answered accordingly.
    fn publish(&self, changes: Vec<RegistrationChange>) -> BoxFuture<'_, Result<(), NotPublished>>;
}

/// Not every gateway has taken the changes in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPublished(
    /// Why, in one sentence.
    pub String,
);
