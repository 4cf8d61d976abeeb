//! What can fail.

use std::io;

use super::{Position, Sequence};

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict themselves.
    #[error("failed to open the event log: {0}")]
    Options(&'static str),
    /// Another process has it.
    #[error("failed to open the event log: another process has it open")]
    Locked,
    /// The folder could not be created, locked or synced.
    #[error("failed to prepare the event log's folder")]
    Folder(#[source] io::Error),
    /// The folder could not be read.
    #[error("failed to list the event log's folder")]
    List(#[source] io::Error),
    /// A segment could not be read or repaired.
    #[error("failed to recover segment {id} of the event log")]
    Segment {
        /// The segment.
        id: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("failed to start the event log's threads")]
    Thread(#[source] io::Error),
}

/// Why records were not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// There is no space. Nothing was written; it may work again later.
    #[error("failed to append to the event log: it is full")]
    Full,
    /// They are more than `max_append`, or a record could never fit.
    #[error("failed to append to the event log: the records are too large")]
    TooLarge,
    /// A write or sync failed, now or earlier: the log takes no more, and whether these records
    /// are stored is not known until it is opened again.
    #[error("failed to append to the event log: its storage failed")]
    Failed,
    /// The log was closed.
    #[error("failed to append to the event log: it is closed")]
    Closed,
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its segment was freed.
    #[error("failed to read the record at {0:?}: its segment was freed")]
    Gone(Position),
    /// No intact record stands there.
    #[error("failed to read the record at {0:?}: it is damaged")]
    Damaged(Position),
    /// The storage failed.
    #[error("failed to read segment {segment} of the event log")]
    Storage {
        /// The segment.
        segment: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ReadError {
    pub(super) fn io(segment: u64, source: io::Error) -> Self {
        Self::Storage { segment, source }
    }
}

/// Why a segment was not freed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FreeError {
    /// There is none with this id.
    #[error("failed to free segment {0}: there is none")]
    Unknown(u64),
    /// It is being written to, or is the newest.
    #[error("failed to free segment {0}: it is in use")]
    InUse(u64),
    /// The storage failed; the log takes no more records.
    #[error("failed to free a segment: {0}")]
    Failed(String),
}

/// Why records were not relocated.
#[derive(Debug, thiserror::Error)]
pub enum RelocateError {
    /// One could not be read; nothing was copied.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// At a position stands another record; nothing was copied.
    #[error("failed to relocate record {0}: another one stands at its position")]
    Mismatch(Sequence),
    /// They could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
}
