//! The durable event log: segmented, append-only, group commit.
//!
//! Records are bytes; what they mean is the caller's. One thread writes: it takes up to 1,024
//! appends at a time, writes them one behind the other into a segment that another thread filled
//! with zeros ahead, syncs once, and answers them all. Every record has a [`Sequence`] of its own
//! and a [`Position`] where it stands; readers see synced records only. Segments go as a whole,
//! when the owner says so; the few live records of an old one can be relocated to the log's end.
//!
//! **Invariant:** what was acknowledged is there after any crash; what was freed is not. A failed
//! write or sync stops the log for good, and no sync is ever tried again.
//!
//! Not here: which segments may go (the owner's policy), deduplication, delivery.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

mod error;
mod format;
mod options;
mod queue;
mod recovery;
mod scan;
mod segments;
mod storage;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{AppendError, FreeError, OpenError, ReadError, RelocateError};
pub use options::{Clock, Options};
pub use scan::{Entry, Scan, ScanFrom, ScanItem};
pub use storage::{FileStorage, Storage, StorageFile, SyncPoint};

use format::{FOOTER_LENGTH, RECORDS_START, record_size};
use queue::Queue;
use segments::{Filling, Shared};
use writer::{Request, Writer};

/// A record's number: unique, increasing in the order of first appending, from 1 on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The segment's id; later segments have greater ones.
    pub segment: u64,
    /// Where in the segment's file, in bytes.
    pub offset: u32,
    /// The record's length in bytes.
    pub length: u32,
}

/// A record to append: a header and a body that stay apart until they are written.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The first part.
    pub header: Vec<u8>,
    /// The second part, for instance a slice of a request's body.
    pub body: Bytes,
}

impl Record {
    fn len(&self) -> usize {
        self.header.len() + self.body.len()
    }
}

/// What was found when the log was opened.
///
/// Sealed segments are not read then: [`Scan`] reports damage in those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments with records.
    pub segments: usize,
    /// Stored data that cannot be read any more.
    pub damage: Vec<Damage>,
    /// Bytes behind the last synced commit that did not make it: nobody was told they were stored.
    pub torn_bytes: u64,
    /// The number that the next record gets. Numbers are left out where records were torn or
    /// damaged.
    pub next_sequence: Sequence,
}

/// Stored data that cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u64,
    /// Where in its file the damage begins; 0: its header is damaged, and so nothing of it can be
    /// read. Its file stays until the segment is freed.
    pub offset: u32,
    /// How many bytes cannot be read.
    pub length: u32,
    /// First and last record that were lost, where that is known.
    pub sequences: Option<(Sequence, Sequence)>,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            segment,
            offset,
            length,
            sequences,
        } = self;
        write!(
            formatter,
            "segment {segment}: {length} bytes from {offset} on are damaged"
        )?;
        match sequences {
            Some((first, last)) if first == last => write!(formatter, ", record {first} is lost"),
            Some((first, last)) => write!(formatter, ", records {first} to {last} are lost"),
            None => Ok(()),
        }
    }
}

/// What is known of a segment with records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its id; later segments have greater ones.
    pub id: u64,
    /// Bytes of its file.
    pub size: u32,
    /// Bytes of it that are used.
    pub used: u32,
    /// Its records, relocated ones among them.
    pub records: u32,
    /// First and last record that were first appended here.
    pub appended: Option<(Sequence, Sequence)>,
    /// The oldest and the newest time of appending among its records, in milliseconds since the
    /// epoch; a relocated record keeps its time.
    pub times: Option<(i64, i64)>,
    /// Nothing is appended to it any more, so it can be freed unless it is the newest.
    pub sealed: bool,
}

/// Whether the log takes records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Yes.
    Ample,
    /// Yes, but not for long: the owner should free segments.
    Low,
    /// An append was refused for lack of space, and none was won since.
    Full,
    /// No: a write or sync failed. The log must be opened again.
    Failed,
}

/// How much of the log is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that all segments may take together.
    pub capacity: u64,
    /// Bytes of sealed segments, and the written part of the one in use.
    pub used: u64,
    /// Bytes of all files, blank segments among them.
    pub allocated: u64,
    /// Whether the log takes records.
    pub space: Space,
    /// Why the log takes no more records.
    pub failure: Option<String>,
}

/// A handle of an open log; cheap to clone. When the last one goes, the log closes by itself.
#[derive(Clone)]
pub struct EventLog {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl EventLog {
    /// Opens the log in a folder, or creates it there. Blocking: it reads the last segments.
    ///
    /// # Errors
    /// When another process has it open, or the storage fails. Damaged records are no error: they
    /// stand in the answer.
    pub fn open(storage: impl Storage, options: Options) -> Result<(Self, Recovery), OpenError> {
        options.check()?;
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let (parts, lock) = Parts::open(storage, options, Filling::Thread)?;
        let Parts {
            shared,
            writer,
            recovery,
        } = parts;
        let queue = Arc::new(Queue::new(shared.options.queue_bytes));
        queue::start(shared.clone(), writer, queue.clone(), lock).map_err(OpenError::Thread)?;
        let handle = Arc::new(Handle { shared, queue });
        Ok((Self { handle }, recovery))
    }

    /// Appends records that become durable together: the answer comes when all of them are synced
    /// and readers can see them. Their sequences follow each other.
    ///
    /// Waits while too many bytes are queued. Dropping the future may or may not append them.
    ///
    /// # Errors
    /// See [`AppendError`]; with `Full`, `TooLarge` and `Closed` nothing was written.
    pub async fn append(
        &self,
        records: Vec<Record>,
    ) -> Result<Vec<(Sequence, Position)>, AppendError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let size: u64 = records.iter().map(|r| record_size(r.len())).sum();
        let shared = &self.handle.shared;
        // An ordered segment must leave room for the usual ones around it.
        let largest = shared.options.capacity - 3 * u64::from(shared.options.segment_size);
        let with_frame = size + u64::from(RECORDS_START + FOOTER_LENGTH) + record_size(0);
        let usual = with_frame <= u64::from(shared.options.segment_size);
        if size > u64::from(shared.options.max_append)
            || !usual && with_frame.next_multiple_of(4096) > largest
        {
            return Err(AppendError::TooLarge);
        }
        if shared.failure().is_some() {
            return Err(AppendError::Failed);
        }
        let (request, answer) = Request::append(records);
        self.handle.queue.push(request).await?;
        answer.await.unwrap_or(Err(AppendError::Failed))
    }

    /// Copies live records to the log's end, so that their segment can be freed. They keep their
    /// sequences and times. The last blank segment is kept for this: it works in a full log.
    ///
    /// Answers the new positions in the same order, when they are durable.
    ///
    /// # Errors
    /// When one cannot be read or the copies cannot be appended; the originals stay.
    pub async fn relocate(
        &self,
        records: Vec<(Sequence, Position)>,
    ) -> Result<Vec<Position>, RelocateError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let shared = self.handle.shared.clone();
        let read = tokio::task::spawn_blocking(move || read_for_relocation(&shared, &records));
        let records = read
            .await
            .map_err(|_| RelocateError::Append(AppendError::Closed))??;
        let (request, answer) = Request::relocate(records);
        self.handle.queue.push(request).await?;
        let appended = answer.await.unwrap_or(Err(AppendError::Failed))?;
        Ok(appended.into_iter().map(|(_, position)| position).collect())
    }

    /// The sequence of the last synced record that was appended; it changes after each commit that
    /// added one. When the log was just opened, relocated records may have greater ones.
    pub fn high_watermark(&self) -> watch::Receiver<Sequence> {
        self.handle.shared.watermark.subscribe()
    }

    /// Reads synced records in the order in which they were written, also those to come.
    pub fn scan(&self, from: ScanFrom) -> Scan {
        Scan::new(self.handle.shared.clone(), from)
    }

    /// Reads the record at a position that this log gave out. Blocking, usually from the page
    /// cache.
    ///
    /// # Errors
    /// See [`ReadError`]; `Gone` once its segment was freed.
    pub fn read(&self, position: Position) -> Result<Entry, ReadError> {
        scan::read(&self.handle.shared, position)
    }

    /// All segments with records, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.handle.shared.infos()
    }

    /// Removes a sealed segment and its records for good. Blocking: it syncs the folder.
    ///
    /// # Errors
    /// See [`FreeError`].
    pub fn free(&self, segment: u64) -> Result<(), FreeError> {
        self.handle.shared.free(segment)
    }

    /// How much is used, and whether the log takes records.
    pub fn usage(&self) -> Usage {
        self.handle.shared.usage()
    }

    /// Tells when space becomes low or returns, so that the owner frees segments in time.
    pub fn space(&self) -> watch::Receiver<Space> {
        self.handle.shared.space()
    }

    /// Stores what is queued, then stops the threads and gives up the lock. Reading goes on to
    /// work.
    pub async fn close(&self) {
        self.handle.queue.close();
        self.closed().await;
    }

    /// Waits until the log was closed, by whoever it was.
    pub async fn closed(&self) {
        self.handle.queue.stopped().await;
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EventLog({:?})", self.handle.shared.options)
    }
}

/// A log without its threads.
struct Parts {
    shared: Arc<Shared>,
    writer: Writer,
    recovery: Recovery,
}

impl Parts {
    fn open(
        storage: Arc<dyn Storage>,
        options: Options,
        filling: Filling,
    ) -> Result<(Self, Box<dyn Send>), OpenError> {
        storage.create_folder().map_err(OpenError::Folder)?;
        let lock = storage
            .lock()
            .map_err(OpenError::Folder)?
            .ok_or(OpenError::Locked)?;
        storage
            .sync_parent(SyncPoint::LogFolder)
            .map_err(OpenError::Folder)?;
        let recovered = recovery::recover(&*storage)?;
        let watermark = Sequence(recovered.last_sequence);
        let shared = Arc::new(Shared::new(storage, options, recovered.table, watermark));
        let id = recovered.active.as_ref().map_or(0, |segment| segment.id());
        let writer = Writer::new(
            shared.clone(),
            filling,
            recovered.active,
            recovered.report.next_sequence,
        )
        .map_err(|source| OpenError::Segment { id, source })?;
        let parts = Self {
            shared,
            writer,
            recovery: recovered.report,
        };
        Ok((parts, lock))
    }
}

/// The records at the given positions, if they are the expected ones.
fn read_for_relocation(
    shared: &Shared,
    records: &[(Sequence, Position)],
) -> Result<Vec<(Sequence, i64, Bytes)>, RelocateError> {
    records
        .iter()
        .map(|&(sequence, position)| {
            let entry = scan::read(shared, position)?;
            if entry.sequence != sequence {
                return Err(RelocateError::Mismatch(sequence));
            }
            Ok((sequence, entry.appended_at, entry.bytes))
        })
        .collect()
}
