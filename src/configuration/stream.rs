//! How a configuration travels from the controller to a gateway's pods: as entries, each with a
//! key and a content hash, of which a revision adds and takes away some.
//!
//! Everything here is pure: frames are values, and nobody is connected to anybody.

mod entry;
mod frame;
mod hash;
mod held;
mod key;
pub mod members;
mod partings;
mod published;
pub mod report;
mod revision;
pub mod saved;
mod served;
#[cfg(test)]
mod tests;

pub use entry::{DecodeError, EncodeError, Encoded, Entry, LARGEST_ENTRY};
pub use frame::{
    Begin, Commit, Frame, Hashes, Hello, LONGEST_LINE, MOST_FORGOTTEN, Name, NotAFrame,
    PROTOCOL_VERSION, Ping, Put, Welcome,
};
pub use hash::ContentHash;
pub use held::{Held, StreamError, Taken};
pub use key::EntryKey;
pub use members::{Members, Retirement};
pub use partings::{Partings, Unsent};
pub use published::{Batch, Item, Published};
pub use revision::Revision;
pub use served::{Change, Served, changes};
