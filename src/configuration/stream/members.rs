//! The pods that a gateway shall have, and what one says that is none of them any more.
//!
//! Pods share nothing, so a pod that goes takes what it has not delivered with it, unless it hands
//! that over first. Every pod is told which ones stay, and finds out by its own number whether it
//! is one of them.

use serde::{Deserialize, Serialize};

/// The pods that there shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Where each of them takes what others hand over, as `host:port`: the listener of its probes.
    /// The place in the list is the pod's number.
    pub addresses: Vec<String>,
}

impl Members {
    /// Whether the pod of this name is one of them. One whose name does not end in a number is; and
    /// where there is nobody to hand over to, everybody stays.
    #[must_use]
    pub fn include(&self, pod: &str) -> bool {
        self.addresses.is_empty()
            || ordinal(pod).is_none_or(|ordinal| ordinal < self.addresses.len())
    }

    /// The addresses to try for the pod of this name, the one first that is its turn: so several
    /// pods that go do not all choose the same.
    #[must_use]
    pub fn peers_of(&self, pod: &str) -> Vec<&str> {
        let count = self.addresses.len().max(1);
        let (before, after) = self
            .addresses
            .split_at((ordinal(pod).unwrap_or_default() % count).min(self.addresses.len()));
        after.iter().chain(before).map(String::as_str).collect()
    }
}

/// The number at the end of a pod's name.
#[must_use]
pub fn ordinal(pod: &str) -> Option<usize> {
    pod.rsplit_once('-')?.1.parse().ok()
}

/// How far a pod is that is none of the [`Members`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retirement {
    /// How many members there shall be, as it was told.
    pub members: usize,
    /// Undelivered events and dead letters that it still has; an event that several subscriptions
    /// wait for counts for each.
    pub left: u64,
    /// Whether it takes no requests any more and has nothing left: it may go.
    pub is_done: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_a_member_by_its_number() {
        let members = Members {
            addresses: vec!["a:1".into(), "b:1".into()],
        };
        for (pod, expected) in [
            ("tidegate-gateway-default-0", true),
            ("tidegate-gateway-default-1", true),
            ("tidegate-gateway-default-2", false),
            ("tidegate-gateway-default-10", false),
            ("pod", true),
            ("pod-x", true),
        ] {
            assert_eq!(members.include(pod), expected, "{pod}");
        }
    }

    #[test]
    fn pods_that_go_begin_with_different_peers() {
        let members = Members {
            addresses: vec!["a:1".into(), "b:1".into()],
        };
        assert_eq!(members.peers_of("pod-2"), ["a:1", "b:1"]);
        assert_eq!(members.peers_of("pod-3"), ["b:1", "a:1"]);
        let nobody = Members {
            addresses: Vec::new(),
        };
        assert!(nobody.peers_of("pod-3").is_empty() && nobody.include("pod-3"));
    }
}
