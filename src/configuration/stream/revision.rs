//! Which state of a gateway's configuration something is about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A revision of one gateway's configuration. Later ones are greater: whoever leads later has the
/// greater epoch, whatever the counters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision {
    /// How often the leadership has changed hands.
    pub epoch: u64,
    /// Counts the changes that one leader made; it begins anew with each.
    pub counter: u64,
}

/// Written `epoch.counter`, as `status.configurationRevision` has it.
impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.epoch, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_decides_before_the_counter() {
        let revision = |epoch, counter| Revision { epoch, counter };
        assert!(revision(2, 1) > revision(1, 900));
        assert!(revision(2, 2) > revision(2, 1));
        assert_eq!(revision(2, 17).to_string(), "2.17");
    }
}
