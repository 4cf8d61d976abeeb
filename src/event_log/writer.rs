//! The only one who writes records: takes requests from the queue, puts up to 1,024 of them into
//! one commit, syncs once, and answers them all.
//!
//! A commit lies in one segment and opens with a mark that everything before it was synced. So
//! recovery knows which records may have been acknowledged and which cannot have been. A failed
//! write or sync ends the log: what is on disk is then unknown, and a second sync may succeed
//! without having written what the first one lost.
//!
//! No threads here: [`Writer::commit`] is called by the writer's thread, and directly by tests.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::format::{
    Contents, Footer, Kind, RECORDS_START, RecordHeader, body_checksum, record_size,
};
use super::segments::{Claim, Filling, Segment, Shared};
use super::storage::{StorageFile, SyncPoint};
use super::{AppendError, Position, Record, Sequence};

/// Requests that share one sync at most: beyond this the sync's cost no longer shows.
const COMMIT_REQUESTS: usize = 1024;
/// Bytes that share one sync at most, unless one request alone has more.
const COMMIT_BYTES: u64 = 8 << 20;
/// The buffer is given back after a commit larger than this.
const KEPT_BUFFER: usize = 16 << 20;

/// Where each record of an append went.
pub(super) type Appended = Vec<(Sequence, Position)>;

/// Records that become durable together.
pub(super) struct Request {
    records: Vec<Prepared>,
    /// Bytes the records take in a segment.
    size: u64,
    /// Given back to the queue's bound once the request is answered.
    pub(super) permits: u32,
    reply: oneshot::Sender<Result<Appended, AppendError>>,
}

struct Prepared {
    record: Record,
    checksum: u32,
    /// The sequence and time that a relocated record keeps.
    origin: Option<(Sequence, i64)>,
}

impl Request {
    /// Records to append; their checksums are computed here, outside of the writer's thread.
    pub(super) fn append(
        records: Vec<Record>,
    ) -> (Self, oneshot::Receiver<Result<Appended, AppendError>>) {
        Self::new(records.into_iter().map(|record| Prepared {
            checksum: body_checksum(&[&record.header, &record.body]),
            record,
            origin: None,
        }))
    }

    /// Records to copy to the log's end.
    pub(super) fn relocate(
        records: Vec<(Sequence, i64, Bytes)>,
    ) -> (Self, oneshot::Receiver<Result<Appended, AppendError>>) {
        Self::new(
            records
                .into_iter()
                .map(|(sequence, appended_at, body)| Prepared {
                    checksum: body_checksum(&[&body]),
                    record: Record {
                        header: Vec::new(),
                        body,
                    },
                    origin: Some((sequence, appended_at)),
                }),
        )
    }

    fn new(
        records: impl Iterator<Item = Prepared>,
    ) -> (Self, oneshot::Receiver<Result<Appended, AppendError>>) {
        let records: Vec<_> = records.collect();
        let size = records.iter().map(|r| record_size(r.record.len())).sum();
        let (reply, answer) = oneshot::channel();
        let request = Self {
            records,
            size,
            permits: 0,
            reply,
        };
        (request, answer)
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    fn claim(&self) -> Claim {
        if self.records.iter().all(|record| record.origin.is_some()) {
            Claim::Relocation
        } else {
            Claim::Append
        }
    }

    pub(super) fn refuse(self, error: AppendError) {
        let _ = self.reply.send(Err(error));
    }
}

/// The segment that is being written to.
struct Active {
    segment: Arc<Segment>,
    file: Arc<dyn StorageFile>,
    contents: Contents,
    /// Where the next record goes; everything before is synced.
    at: u32,
}

impl Active {
    fn room(&self) -> u64 {
        u64::from(self.segment.limit() - self.at)
    }
}

/// The writing end of a log.
pub(super) struct Writer {
    shared: Arc<Shared>,
    filling: Filling,
    active: Option<Active>,
    next_sequence: u64,
    buffer: Vec<u8>,
    /// The requests of the commit under way.
    taken: Vec<(Request, Appended)>,
}

impl Writer {
    /// Goes on behind the end of `active`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn new(
        shared: Arc<Shared>,
        filling: Filling,
        active: Option<Arc<Segment>>,
        next_sequence: Sequence,
    ) -> io::Result<Self> {
        let active = match active {
            None => None,
            Some(segment) => Some(Active {
                file: shared.file(&segment)?,
                contents: segment.contents(),
                at: segment.end(),
                segment,
            }),
        };
        Ok(Self {
            shared,
            filling,
            active,
            next_sequence: next_sequence.0,
            buffer: Vec::new(),
            taken: Vec::new(),
        })
    }

    /// Makes one commit of the first requests in `pending` and answers them.
    ///
    /// Answers how many permits the answered requests held.
    pub(super) fn commit(&mut self, pending: &mut VecDeque<Request>) -> usize {
        let mut permits = 0;
        if self.shared.failure().is_some() {
            for request in pending.drain(..) {
                permits += request.permits as usize;
                request.refuse(AppendError::Failed);
            }
            return permits;
        }
        let Some(first) = pending.front() else {
            return permits;
        };
        if let Err(error) = self.make_room(record_size(0) + first.size, first.claim()) {
            if let Some(request) = pending.pop_front() {
                permits += request.permits as usize;
                request.refuse(error);
            }
            return permits;
        }
        let written = self.write(pending);
        for (request, appended) in self.taken.drain(..) {
            permits += request.permits as usize;
            let answer = match written {
                Ok(()) => Ok(appended),
                Err(()) => Err(AppendError::Failed),
            };
            // Who no longer waits for the answer need not get it.
            let _ = request.reply.send(answer);
        }
        permits
    }

    /// Sees to it that the active segment has room for `needed` bytes.
    fn make_room(&mut self, needed: u64, claim: Claim) -> Result<(), AppendError> {
        if self.active.as_ref().is_some_and(|a| a.room() >= needed) {
            return Ok(());
        }
        let segment = self.shared.take_spare(needed, claim, self.filling)?;
        let file = self.shared.file(&segment).map_err(|error| {
            self.shared.fail("open a blank segment", &error);
            AppendError::Failed
        })?;
        self.shared.remember_open(&segment);
        let active = Active {
            file,
            contents: Contents::default(),
            at: RECORDS_START,
            segment,
        };
        if let Some(old) = self.active.replace(active) {
            // Not synced: it only saves reading the segment when the log is opened.
            let footer = Footer {
                end: old.at,
                next_sequence: self.next_sequence,
                contents: old.contents,
            };
            let footer = footer.encode(old.segment.salt());
            if let Err(error) = old.file.write_at(&footer, u64::from(old.segment.limit())) {
                self.shared.fail("write a segment's footer", &error);
                return Err(AppendError::Failed);
            }
            old.segment.seal();
        }
        Ok(())
    }

    /// Moves what fits from `pending` to `taken`, writes and syncs it, and shows it to readers.
    fn write(&mut self, pending: &mut VecDeque<Request>) -> Result<(), ()> {
        let Some(active) = &mut self.active else {
            return Err(());
        };
        let now = (self.shared.options.clock)();
        let salt = active.segment.salt();
        self.buffer.clear();
        let commit = RecordHeader {
            kind: Kind::Commit,
            length: 0,
            body_checksum: body_checksum(&[]),
            sequence: Sequence(self.next_sequence),
            appended_at: now,
        };
        self.buffer.extend(commit.encode(salt, active.at));

        let mut room = active.room().min(COMMIT_BYTES.max(first_size(pending))) - record_size(0);
        let mut last = None;
        while self.taken.len() < COMMIT_REQUESTS
            && let Some(request) = pending.pop_front_if(|next| next.size <= room)
        {
            room -= request.size;
            let mut appended = Vec::with_capacity(request.records.len());
            for prepared in &request.records {
                let Prepared {
                    record,
                    checksum,
                    origin,
                } = prepared;
                let header = RecordHeader {
                    kind: if origin.is_some() {
                        Kind::Relocated
                    } else {
                        Kind::Record
                    },
                    length: record.len() as u32,
                    body_checksum: *checksum,
                    sequence: origin.map_or(Sequence(self.next_sequence), |(sequence, _)| sequence),
                    appended_at: origin.map_or(now, |(_, appended_at)| appended_at),
                };
                if origin.is_none() {
                    last = Some(header.sequence);
                    self.next_sequence += 1;
                }
                let offset = active.at + self.buffer.len() as u32;
                self.buffer.extend(header.encode(salt, offset));
                self.buffer.extend_from_slice(&record.header);
                self.buffer.extend_from_slice(&record.body);
                self.buffer.resize(self.buffer.len().next_multiple_of(8), 0);
                active.contents.add(&header);
                let position = Position {
                    segment: active.segment.id(),
                    offset,
                    length: header.length,
                };
                appended.push((header.sequence, position));
            }
            self.taken.push((request, appended));
        }

        let written = active
            .file
            .write_at(&self.buffer, u64::from(active.at))
            .and_then(|()| active.file.sync_data(SyncPoint::Records));
        if let Err(error) = written {
            self.shared.fail("store records", &error);
            return Err(());
        }
        active.at += self.buffer.len() as u32;
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        active.segment.publish(active.at, active.contents);
        self.shared.announce(last);
        Ok(())
    }
}

fn first_size(pending: &VecDeque<Request>) -> u64 {
    record_size(0) + pending.front().map_or(0, Request::size)
}
