//! EventSubscriptions that a pod has and is not sent any more.
//!
//! That one is not sent does not mean that nobody wants what it has not got yet: it may be served by
//! another gateway now, or may have been broken by an edit while nobody knew what it was before. So
//! a pod goes on with it, says so, and is told what to do with it.

use serde::{Deserialize, Serialize};

use crate::event::ObjectName;

/// What pods are to do with EventSubscriptions that they are not sent any more. Those that are not
/// named here go on as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partings {
    /// Deleted, or no longer allowed to have the events: what they have not got is dropped.
    pub gone: Vec<ObjectName>,
    /// Served by another gateway: they go once they have got what is here.
    pub draining: Vec<ObjectName>,
}

/// An EventSubscription that a pod has and is not sent any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unsent {
    /// Its name.
    pub name: ObjectName,
    /// `metadata.uid` of the object that it was made of.
    pub uid: String,
}
