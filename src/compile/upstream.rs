//! What is wanted at the apps' own APIs: one subscription for each customer that somebody selects for
//! a type, and one for each global webhook that is registered by API.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::event::ObjectName;
use crate::provision::Desired;

/// The wishes, and what is merely held.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    pub desired: Vec<Arc<Desired>>,
    pub held: BTreeSet<ObjectName>,
}
