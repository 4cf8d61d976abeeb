//! A pod that goes: it is not ready any more, so that nobody new is sent here, and later takes
//! nothing more, so that what it has can be handed over to the last event.

use std::sync::atomic::{AtomicU8, Ordering};

/// How far a pod is with going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Leaving {
    /// It stays.
    No,
    /// It is not ready any more, and takes what still comes. Connections end with their answer, so
    /// that clients look for another pod.
    Unready,
    /// It takes nothing: 503.
    Closed,
}

/// The stage, shared by all requests.
#[derive(Debug)]
pub struct Stage(AtomicU8);

impl Stage {
    /// It stays.
    pub fn staying() -> Self {
        Self(AtomicU8::new(Leaving::No as u8))
    }

    /// The stage now. A request that counts as open before it looks is seen by whoever looks for
    /// open requests after the stage was set: hence the strongest order.
    pub fn now(&self) -> Leaving {
        match self.0.load(Ordering::SeqCst) {
            0 => Leaving::No,
            1 => Leaving::Unready,
            _ => Leaving::Closed,
        }
    }

    /// Another stage from now on.
    pub fn set(&self, leaving: Leaving) {
        self.0.store(leaving as u8, Ordering::SeqCst);
    }
}
