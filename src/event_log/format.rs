//! What stands on disk: the bytes of a segment's header and footer and of a record's header.
//!
//! A segment is one file: a header block, records one after the other, zeros, and, once it is
//! sealed, a footer in its last bytes. A record is a header of 32 bytes and a body, padded to a
//! multiple of eight. Two checksums stand in the header: one over itself, so that its length can
//! be trusted and a record with a damaged body be skipped exactly, and one over the body. The
//! header's is mixed with the segment's random salt and the record's own place, so that neither
//! bytes of an earlier use of the disk nor a payload that looks like a record is ever read as one.
//!
//! Nothing here does I/O.

use std::ops::Range;

use super::Sequence;

/// Where the first record stands: the header has a disk block of its own, which is never written
/// again once the segment is in use.
pub(super) const RECORDS_START: u32 = 4096;
/// Bytes of a record's header.
pub(super) const HEADER_LENGTH: usize = 32;
/// Bytes kept free at a segment's end for its footer.
pub(super) const FOOTER_LENGTH: u32 = 64;

const SEGMENT_HEADER_LENGTH: usize = 64;
const SEGMENT_MAGIC: &[u8; 8] = b"tidelog\x01";
const FOOTER_MAGIC: &[u8; 8] = b"tideend\x01";
const ALIGNMENT: usize = 8;

/// Bytes that a record with a body of `length` takes in a segment.
pub(super) fn record_size(length: usize) -> u64 {
    (HEADER_LENGTH as u64 + length as u64).next_multiple_of(ALIGNMENT as u64)
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) id: u64,
    /// Bytes of the whole file.
    pub(super) size: u32,
    /// Random, so that bytes which belong to another segment do not pass for records of this one.
    pub(super) salt: u64,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_LENGTH] {
        let Self { id, size, salt } = *self;
        let mut bytes = [0; SEGMENT_HEADER_LENGTH];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..16].copy_from_slice(&id.to_le_bytes());
        bytes[16..24].copy_from_slice(&salt.to_le_bytes());
        bytes[24..28].copy_from_slice(&size.to_le_bytes());
        seal(&mut bytes, 0);
        bytes
    }

    /// `None` when it is not a segment's header, or a damaged one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = sealed(bytes, SEGMENT_MAGIC, 0)?;
        Some(Self {
            id: u64_at(bytes, 8),
            salt: u64_at(bytes, 16),
            size: u32_at(bytes, 24),
        })
    }
}

/// What a sealed segment holds, so that opening the log need not read all of it.
///
/// It is written when the log moves on to the next segment, that is after everything in this one
/// was synced, and is not synced itself: without it the segment is read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    /// Where the last record ends.
    pub(super) end: u32,
    /// The sequence that the next record gets.
    pub(super) next_sequence: u64,
    pub(super) contents: Contents,
}

/// A segment's records in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Records, relocated ones among them.
    pub(super) records: u32,
    /// First and last sequence of those that were appended here; zero: none.
    pub(super) first: u64,
    pub(super) last: u64,
    /// Oldest and newest time of appending, relocated ones among them.
    pub(super) oldest: i64,
    pub(super) newest: i64,
}

impl Contents {
    pub(super) fn add(&mut self, header: &RecordHeader) {
        if !header.kind.is_record() {
            return;
        }
        if header.kind == Kind::Record {
            if self.first == 0 {
                self.first = header.sequence.0;
            }
            self.last = header.sequence.0;
        }
        if self.records == 0 {
            (self.oldest, self.newest) = (header.appended_at, header.appended_at);
        }
        self.oldest = self.oldest.min(header.appended_at);
        self.newest = self.newest.max(header.appended_at);
        self.records += 1;
    }
}

impl Footer {
    pub(super) fn encode(&self, salt: u64) -> [u8; FOOTER_LENGTH as usize] {
        let Self {
            end,
            next_sequence,
            contents,
        } = *self;
        let Contents {
            records,
            first,
            last,
            oldest,
            newest,
        } = contents;
        let mut bytes = [0; FOOTER_LENGTH as usize];
        bytes[..8].copy_from_slice(FOOTER_MAGIC);
        bytes[8..12].copy_from_slice(&end.to_le_bytes());
        bytes[12..16].copy_from_slice(&records.to_le_bytes());
        bytes[16..24].copy_from_slice(&next_sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&first.to_le_bytes());
        bytes[32..40].copy_from_slice(&last.to_le_bytes());
        bytes[40..48].copy_from_slice(&oldest.to_le_bytes());
        bytes[48..56].copy_from_slice(&newest.to_le_bytes());
        seal(&mut bytes, salt);
        bytes
    }

    pub(super) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let bytes = sealed(bytes, FOOTER_MAGIC, salt)?;
        Some(Self {
            end: u32_at(bytes, 8),
            next_sequence: u64_at(bytes, 16),
            contents: Contents {
                records: u32_at(bytes, 12),
                first: u64_at(bytes, 24),
                last: u64_at(bytes, 32),
                oldest: u64_at(bytes, 40).cast_signed(),
                newest: u64_at(bytes, 48).cast_signed(),
            },
        })
    }
}

/// Puts a checksum into the last four bytes.
fn seal(bytes: &mut [u8], salt: u64) {
    let end = bytes.len() - 4;
    let checksum = checksum(salt, &[&bytes[..end]]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
}

fn sealed<'a>(bytes: &'a [u8], magic: &[u8; 8], salt: u64) -> Option<&'a [u8]> {
    let bytes = bytes.get(..SEGMENT_HEADER_LENGTH)?;
    let end = bytes.len() - 4;
    let intact = bytes.starts_with(magic) && checksum(salt, &[&bytes[..end]]) == u32_at(bytes, end);
    intact.then_some(bytes)
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Opens each commit. It says that everything before it was synced, and which sequence comes
    /// next, even if all other records are relocated ones. It has no body.
    Commit = 1,
    /// A caller's record, appended for the first time.
    Record = 2,
    /// A copy of an earlier record, with its sequence and time.
    Relocated = 3,
    /// Covers bytes that recovery found torn; its body is not checked. It says, too, which sequence
    /// comes next.
    Void = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Commit,
            2 => Self::Record,
            3 => Self::Relocated,
            4 => Self::Void,
            _ => return None,
        })
    }

    pub(super) fn is_record(self) -> bool {
        matches!(self, Self::Record | Self::Relocated)
    }
}

/// What stands before a record's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) kind: Kind,
    /// Bytes of the body.
    pub(super) length: u32,
    pub(super) body_checksum: u32,
    pub(super) sequence: Sequence,
    /// Milliseconds since the epoch.
    pub(super) appended_at: i64,
}

impl RecordHeader {
    /// `offset` is where in its segment the record stands.
    pub(super) fn encode(&self, salt: u64, offset: u32) -> [u8; HEADER_LENGTH] {
        let Self {
            kind,
            length,
            body_checksum,
            sequence,
            appended_at,
        } = *self;
        let mut bytes = [0; HEADER_LENGTH];
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[8..12].copy_from_slice(&body_checksum.to_le_bytes());
        bytes[12..16].copy_from_slice(&tag(salt).to_le_bytes());
        bytes[12] = kind as u8;
        bytes[16..24].copy_from_slice(&sequence.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&appended_at.to_le_bytes());
        let checksum = header_checksum(salt, offset, &bytes);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None` when no record's header stands there.
    pub(super) fn decode(bytes: &[u8], salt: u64, offset: u32) -> Option<Self> {
        let bytes = bytes.get(..HEADER_LENGTH)?;
        // Looking at the kind and the tag first makes looking for records in zeros or rubbish fast.
        if u32_at(bytes, 12) & TAG_MASK != tag(salt) {
            return None;
        }
        let kind = Kind::from_byte(bytes[12])?;
        if header_checksum(salt, offset, bytes) != u32_at(bytes, 0) {
            return None;
        }
        Some(Self {
            kind,
            length: u32_at(bytes, 4),
            body_checksum: u32_at(bytes, 8),
            sequence: Sequence(u64_at(bytes, 16)),
            appended_at: u64_at(bytes, 24).cast_signed(),
        })
    }
}

/// Three bytes of the salt stand in every header, beside the kind.
const TAG_MASK: u32 = 0xFFFF_FF00;

fn tag(salt: u64) -> u32 {
    ((salt >> 32) as u32) & TAG_MASK
}

fn header_checksum(salt: u64, offset: u32, header: &[u8]) -> u32 {
    checksum(salt, &[&offset.to_le_bytes(), &header[4..HEADER_LENGTH]])
}

/// The checksum of a record's body, which comes in parts.
pub(super) fn body_checksum(parts: &[&[u8]]) -> u32 {
    checksum(0, parts)
}

fn checksum(salt: u64, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt as u32);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// A part of a segment in memory.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) bytes: &'a [u8],
    /// Where in the segment `bytes` begins; a multiple of eight.
    pub(super) start: u32,
    pub(super) salt: u64,
}

/// What stands at one place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An intact record; its body, and where the next one begins, as offsets into the window.
    Record(RecordHeader, Range<usize>, usize),
    /// A record whose body is damaged, and where the next one begins.
    DamagedBody(RecordHeader, usize),
    /// The window ends before the record does: it takes so many bytes.
    Longer(usize),
    /// No record's header.
    Nothing,
}

impl Window<'_> {
    /// Looks at `at`, an offset into the window.
    pub(super) fn look(&self, at: usize) -> Found {
        let Some(bytes) = self.bytes.get(at..).filter(|b| b.len() >= HEADER_LENGTH) else {
            return Found::Longer(HEADER_LENGTH);
        };
        let Some(header) = RecordHeader::decode(bytes, self.salt, self.start + at as u32) else {
            return Found::Nothing;
        };
        let size = record_size(header.length as usize) as usize;
        if bytes.len() < size {
            return Found::Longer(size);
        }
        let body = at + HEADER_LENGTH..at + HEADER_LENGTH + header.length as usize;
        if header.kind != Kind::Void
            && body_checksum(&[&self.bytes[body.clone()]]) != header.body_checksum
        {
            return Found::DamagedBody(header, at + size);
        }
        Found::Record(header, body, at + size)
    }

    /// The first intact record after `at`, as an offset into the window.
    pub(super) fn resynchronise(&self, at: usize) -> Option<usize> {
        (at + ALIGNMENT..self.bytes.len().saturating_sub(HEADER_LENGTH - 1))
            .step_by(ALIGNMENT)
            .find(|&at| matches!(self.look(at), Found::Record(..)))
    }
}
