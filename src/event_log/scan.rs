//! Reading: one record by its position, or all records in the order in which they were written.
//!
//! Readers see synced records only. Damage does not stop them: they report it and go on at the
//! next intact record.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::format::{Found, HEADER_LENGTH, Kind, Window, record_size};
use super::segments::{Segment, Shared};
use super::{Damage, Position, ReadError, Sequence};

/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// Where a scan begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFrom {
    /// At the oldest record there is.
    Oldest,
    /// At the oldest record of the first segment that is not below this one.
    Segment(u64),
    /// Behind the record with this sequence. Relocated records that stand behind it come as well.
    After(Sequence),
}

/// What a scan finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanItem {
    /// A record.
    Record(Entry),
    /// Something that was stored and cannot be read any more.
    Damage(Damage),
}

/// A record as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number; where several have the same, the last one found is the valid one.
    pub sequence: Sequence,
    /// Where it stands.
    pub position: Position,
    /// When it was first appended, in milliseconds since the epoch.
    pub appended_at: i64,
    /// Whether it is a copy of an earlier one.
    pub relocated: bool,
    /// The record as it was appended.
    pub bytes: Bytes,
}

/// Walks over the records in the order in which they were written. Blocking: not for async tasks.
pub struct Scan {
    shared: Arc<Shared>,
    from: ScanFrom,
    segment: Option<Arc<Segment>>,
    /// Of the current segment, or of the one before the next.
    id: Option<u64>,
    /// Where in the segment the next record stands.
    at: u32,
    /// Bytes of the segment, and where they begin.
    chunk: Vec<u8>,
    chunk_start: u32,
    /// The last sequence that was seen or lost, to say what damage cost.
    last: Option<Sequence>,
}

impl Scan {
    pub(super) fn new(shared: Arc<Shared>, from: ScanFrom) -> Self {
        let id = match from {
            ScanFrom::Oldest => None,
            ScanFrom::Segment(id) => id.checked_sub(1),
            ScanFrom::After(sequence) => shared
                .infos()
                .into_iter()
                .rfind(|info| info.appended.is_some_and(|(first, _)| first <= sequence))
                .and_then(|info| info.id.checked_sub(1)),
        };
        Self {
            shared,
            from,
            segment: None,
            id,
            at: 0,
            chunk: Vec::new(),
            chunk_start: 0,
            last: None,
        }
    }

    /// The next record or damage; `None` when there is no further one yet. Call it again later.
    ///
    /// # Errors
    /// When a segment cannot be read; the next call tries the same place again.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator ends at `None`; a scan goes on when there is more"
    )]
    pub fn next(&mut self) -> Result<Option<ScanItem>, ReadError> {
        loop {
            let Some(segment) = self.segment.clone() else {
                if !self.advance() {
                    return Ok(None);
                }
                continue;
            };
            // In this order: once it is sealed, its end is final.
            let sealed = segment.is_sealed();
            let end = segment.end();
            if self.at >= end {
                if !sealed || !self.advance() {
                    return Ok(None);
                }
                continue;
            }
            let item = match self.step(&segment, end) {
                Ok(item) => item,
                Err(_) if self.shared.segment(segment.id()).is_none() => {
                    // Freed before it was opened.
                    self.at = end;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match item {
                Some(ScanItem::Record(entry)) if self.skips(&entry) => {}
                Some(item) => return Ok(Some(item)),
                None => {}
            }
        }
    }

    /// The next record or damage, waiting at most for `timeout` until there is one.
    ///
    /// # Errors
    /// As [`Scan::next`].
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<ScanItem>, ReadError> {
        let seen = self.shared.commits();
        if let Some(item) = self.next()? {
            return Ok(Some(item));
        }
        self.shared.wait_for_commit(seen, timeout);
        self.next()
    }

    fn skips(&self, entry: &Entry) -> bool {
        matches!(self.from, ScanFrom::After(sequence) if !entry.relocated && entry.sequence <= sequence)
    }

    /// Goes to the next segment.
    fn advance(&mut self) -> bool {
        let Some(next) = self.shared.segment_after(self.id) else {
            return false;
        };
        self.id = Some(next.id());
        self.at = super::format::RECORDS_START;
        self.chunk.clear();
        self.chunk_start = self.at;
        self.segment = Some(next);
        true
    }

    /// Looks at the current place and goes on to the next.
    fn step(&mut self, segment: &Arc<Segment>, end: u32) -> Result<Option<ScanItem>, ReadError> {
        let place = |offset: u32, length: usize| Position {
            segment: segment.id(),
            offset,
            length: length as u32,
        };
        let mut wanted = HEADER_LENGTH;
        loop {
            self.load(segment, end, wanted)?;
            let window = Window {
                bytes: &self.chunk,
                start: self.chunk_start,
                salt: segment.salt(),
            };
            let at = (self.at - self.chunk_start) as usize;
            let rest = (end - self.at) as usize;
            match window.look(at) {
                Found::Longer(size) if size <= rest => wanted = size,
                Found::Record(header, body, next) => {
                    let offset = self.at;
                    self.at = self.chunk_start + next as u32;
                    if !header.kind.is_record() {
                        return Ok(None);
                    }
                    let relocated = header.kind == Kind::Relocated;
                    if !relocated {
                        self.last = Some(header.sequence);
                    }
                    return Ok(Some(ScanItem::Record(Entry {
                        sequence: header.sequence,
                        position: place(offset, body.len()),
                        appended_at: header.appended_at,
                        relocated,
                        bytes: Bytes::copy_from_slice(&self.chunk[body]),
                    })));
                }
                Found::DamagedBody(header, next) => {
                    let offset = self.at;
                    self.at = self.chunk_start + next as u32;
                    if header.kind == Kind::Record {
                        self.last = Some(header.sequence);
                    }
                    return Ok(Some(ScanItem::Damage(Damage {
                        segment: segment.id(),
                        offset,
                        length: self.at - offset,
                        sequences: header
                            .kind
                            .is_record()
                            .then_some((header.sequence, header.sequence)),
                    })));
                }
                Found::Nothing | Found::Longer(_) => {
                    return self.skip_damage(segment, end).map(Some);
                }
            }
        }
    }

    /// Goes to the next intact record of the segment, or to its end.
    fn skip_damage(&mut self, segment: &Arc<Segment>, end: u32) -> Result<ScanItem, ReadError> {
        self.load(segment, end, (end - self.at) as usize)?;
        let window = Window {
            bytes: &self.chunk,
            start: self.chunk_start,
            salt: segment.salt(),
        };
        let at = (self.at - self.chunk_start) as usize;
        let next = window.resynchronise(at);
        let found = next.map(|next| window.look(next));
        let offset = self.at;
        self.at = next.map_or(end, |next| self.chunk_start + next as u32);
        // Commit marks and records count on; copies stand out of order.
        let following = match found {
            Some(Found::Record(header, ..))
                if matches!(header.kind, Kind::Commit | Kind::Record) =>
            {
                Some(header.sequence)
            }
            _ => None,
        };
        let sequences = self.last.zip(following).and_then(|(last, next)| {
            (last.0 + 1 < next.0).then_some((Sequence(last.0 + 1), Sequence(next.0 - 1)))
        });
        Ok(ScanItem::Damage(Damage {
            segment: segment.id(),
            offset,
            length: self.at - offset,
            sequences,
        }))
    }

    /// Sees to it that `wanted` bytes from the current place on are in memory, if there are.
    fn load(&mut self, segment: &Arc<Segment>, end: u32, wanted: usize) -> Result<(), ReadError> {
        let have = (self.chunk_start as usize + self.chunk.len()).saturating_sub(self.at as usize);
        let rest = (end - self.at) as usize;
        if have >= wanted.min(rest) {
            return Ok(());
        }
        let length = wanted.max(CHUNK).min(rest);
        let file = self
            .shared
            .file(segment)
            .map_err(|source| ReadError::io(segment.id(), source))?;
        self.chunk.resize(length, 0);
        self.chunk_start = self.at;
        let read = file.read_at(&mut self.chunk, u64::from(self.at));
        read.map_err(|source| {
            self.chunk.clear();
            ReadError::io(segment.id(), source)
        })
    }
}

/// Reads the record at a position that the log gave out.
pub(super) fn read(shared: &Shared, position: Position) -> Result<Entry, ReadError> {
    let Position {
        segment: id,
        offset,
        length,
    } = position;
    let segment = shared.segment(id).ok_or(ReadError::Gone(position))?;
    let size = record_size(length as usize);
    if u64::from(offset) + size > u64::from(segment.end()) {
        return Err(ReadError::Damaged(position));
    }
    let mut bytes = vec![0; size as usize];
    let read = shared
        .file(&segment)
        .and_then(|file| file.read_at(&mut bytes, u64::from(offset)));
    if let Err(source) = read {
        return Err(if shared.segment(id).is_none() {
            ReadError::Gone(position)
        } else {
            ReadError::io(id, source)
        });
    }
    let window = Window {
        bytes: &bytes,
        start: offset,
        salt: segment.salt(),
    };
    match window.look(0) {
        Found::Record(header, body, _) if header.kind.is_record() && header.length == length => {
            Ok(Entry {
                sequence: header.sequence,
                position,
                appended_at: header.appended_at,
                relocated: header.kind == Kind::Relocated,
                bytes: Bytes::from(bytes).slice(body),
            })
        }
        _ => Err(ReadError::Damaged(position)),
    }
}
