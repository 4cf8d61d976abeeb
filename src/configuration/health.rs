//! How it goes with a subscription at one gateway pod, as the pod reports it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How it goes with one EventSubscription at one pod. Several pods are added up by whoever shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionHealth {
    /// Whether events are being delivered, or would be if there were any.
    pub delivering: bool,
    /// The reason of the condition `Delivering`.
    pub reason: String,
    /// A sentence for a person; holds nothing sensitive.
    pub message: String,
    /// Events that wait.
    pub undelivered: u64,
    /// When the oldest of them was received.
    pub oldest_undelivered: Option<Timestamp>,
    /// Events that became dead letters in the life of the pod's process.
    pub dead_letters: u64,
    /// When an event was last delivered.
    pub last_delivered: Option<Timestamp>,
}
