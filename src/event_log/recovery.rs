//! Opening a log that was closed, killed, or cut off from power.
//!
//! Sealed segments are taken by their footers. What remains, usually one segment, is read whole.
//! The last one with records is the log's tail: what stands there behind the last commit mark may
//! not have been synced, so torn records among it were never acknowledged. They are covered, the
//! rest of the segment is cleared, and all of that is written again and synced before anybody sees
//! it: a killed process leaves records in the page cache that are not on disk, and after a failed
//! sync the cache even passes for clean.
//!
//! Anything unreadable before that mark was once acknowledged. It is reported and passed over.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use super::format::{
    Contents, FOOTER_LENGTH, Footer, Found, HEADER_LENGTH, Kind, RECORDS_START, RecordHeader,
    SegmentHeader, Window,
};
use super::segments::{Segment, Table, file_name, id_in, is_unfinished};
use super::storage::{Storage, StorageFile, SyncPoint};
use super::{Damage, OpenError, Recovery, Sequence};

/// Left out where records cannot be read: should they have been acknowledged, what others remember
/// of their sequences must not be taken for later records.
const SKIPPED_SEQUENCES: u64 = 1 << 24;

/// A log as it was found, ready to go on.
pub(super) struct Recovered {
    pub(super) table: Table,
    /// Where to go on writing; `None`: in a new segment.
    pub(super) active: Option<Arc<Segment>>,
    /// The greatest sequence of a record that stands where it was first appended.
    pub(super) last_sequence: u64,
    pub(super) report: Recovery,
}

/// A segment as its file says.
struct Loaded {
    header: SegmentHeader,
    file: Arc<dyn StorageFile>,
    state: State,
}

enum State {
    Sealed(Footer),
    /// Nothing but zeros behind the header.
    Blank,
    Open(Survey),
}

/// Reads all segments and repairs the tail. The caller holds the lock.
pub(super) fn recover(storage: &dyn Storage) -> Result<Recovered, OpenError> {
    let mut report = Recovery::default();
    let mut loaded = Vec::new();
    let mut next_id = 1;
    let mut ids = Vec::new();
    let mut unreadable = BTreeMap::new();
    for name in storage.list().map_err(OpenError::List)? {
        if is_unfinished(&name) {
            remove(storage, &name)?;
        } else if let Some(id) = id_in(&name) {
            next_id = next_id.max(id + 1);
            ids.push(id);
        }
    }
    ids.sort_unstable();
    for id in ids {
        match load(storage, id).map_err(|source| OpenError::Segment { id, source })? {
            Ok(segment) => loaded.push(segment),
            Err(damage) => {
                unreadable.insert(id, u64::from(damage.length));
                report.damage.push(damage);
            }
        }
    }

    let tail = loaded.iter().rposition(|segment| match &segment.state {
        State::Sealed(_) => true,
        State::Blank => false,
        State::Open(survey) => survey.end > RECORDS_START,
    });
    let mut segments = BTreeMap::new();
    let mut spares = VecDeque::new();
    let mut active = None;
    let (mut last_sequence, mut next_sequence) = (0, 1);
    for (
        index,
        Loaded {
            header,
            file,
            state,
        },
    ) in loaded.into_iter().enumerate()
    {
        let id = header.id;
        let behind_tail = tail.is_none_or(|tail| index > tail);
        let is_tail = tail == Some(index);
        let keep = match state {
            State::Blank => {
                if behind_tail {
                    let spare = Segment::blank(header, Some(file));
                    spares.push_back(Arc::new(spare));
                } else {
                    // It was passed over for a larger one.
                    remove(storage, &file_name(id))?;
                }
                continue;
            }
            State::Open(survey) if behind_tail => {
                // A first commit of which nothing is intact.
                report.torn_bytes += used(&survey.bytes) as u64;
                remove(storage, &file_name(id))?;
                continue;
            }
            State::Sealed(footer) => {
                last_sequence = last_sequence.max(footer.contents.last);
                next_sequence = next_sequence.max(footer.next_sequence);
                let segment = Segment::blank(header, Some(file));
                segment.publish(footer.end, footer.contents);
                segment.seal();
                segment
            }
            State::Open(mut survey) => {
                last_sequence = last_sequence.max(survey.last_sequence);
                next_sequence = next_sequence.max(survey.next_sequence);
                let settled = if is_tail {
                    survey.last_commit
                } else {
                    header.size
                };
                report.damage.extend(
                    survey
                        .gaps
                        .iter()
                        .filter(|gap| gap.offset < settled)
                        .cloned(),
                );
                if is_tail {
                    report.torn_bytes += repair(&header, &file, &mut survey, next_sequence)
                        .map_err(|source| OpenError::Segment { id, source })?;
                } else {
                    report.damage.extend(survey.lost_end(id));
                }
                let segment = Segment::blank(header, Some(file));
                segment.publish(survey.end, survey.contents);
                if !is_tail {
                    segment.seal();
                }
                segment
            }
        };
        let segment = Arc::new(keep);
        if is_tail && !segment.is_sealed() {
            active = Some(segment.clone());
        }
        segments.insert(id, segment);
    }
    storage
        .sync_folder(SyncPoint::RecoveredFolder)
        .map_err(OpenError::Folder)?;
    if report.torn_bytes > 0 || !report.damage.is_empty() {
        next_sequence += SKIPPED_SEQUENCES;
    }
    report.segments = segments.len();
    report.next_sequence = Sequence(next_sequence);
    Ok(Recovered {
        table: Table::new(segments, spares, unreadable, next_id),
        active,
        last_sequence,
        report,
    })
}

fn remove(storage: &dyn Storage, name: &str) -> Result<(), OpenError> {
    storage.remove(name).map_err(OpenError::Folder)
}

/// Reads a segment's header, and its footer or else its records.
fn load(storage: &dyn Storage, id: u64) -> io::Result<Result<Loaded, Damage>> {
    let file = storage.open(&file_name(id))?;
    let length = file.length()?;
    let mut start = vec![0; length.min(u64::from(RECORDS_START)) as usize];
    file.read_at(&mut start, 0)?;
    let header = SegmentHeader::decode(&start)
        .filter(|header| header.id == id && u64::from(header.size) <= length)
        .filter(|header| header.size > RECORDS_START + FOOTER_LENGTH);
    let Some(header) = header else {
        return Ok(Err(Damage {
            segment: id,
            offset: 0,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            sequences: None,
        }));
    };
    let mut footer = [0; FOOTER_LENGTH as usize];
    file.read_at(&mut footer, u64::from(header.size - FOOTER_LENGTH))?;
    if let Some(footer) = Footer::decode(&footer, header.salt) {
        let state = State::Sealed(footer);
        return Ok(Ok(Loaded {
            header,
            file,
            state,
        }));
    }
    let mut bytes = vec![0; (header.size - RECORDS_START) as usize];
    file.read_at(&mut bytes, u64::from(RECORDS_START))?;
    let state = match used(&bytes) {
        0 => State::Blank,
        _ => State::Open(survey(&header, bytes)),
    };
    Ok(Ok(Loaded {
        header,
        file,
        state,
    }))
}

/// Bytes up to the last that is not zero.
fn used(bytes: &[u8]) -> usize {
    let blocks = bytes.rchunks(4096);
    let zeros: usize = blocks
        .take_while(|block| block.iter().all(|&byte| byte == 0))
        .map(<[u8]>::len)
        .sum();
    let bytes = &bytes[..bytes.len() - zeros];
    bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1)
}

/// What stands in a segment without a footer. All places are offsets into the file.
struct Survey {
    /// Everything behind the header block, the footer's place included.
    bytes: Vec<u8>,
    /// Where the last intact record ends.
    end: u32,
    /// Where the last commit mark stands: what is before it was synced.
    last_commit: u32,
    /// Stretches between intact records that are none.
    gaps: Vec<Damage>,
    contents: Contents,
    /// The greatest sequence of an intact record that was first appended here.
    last_sequence: u64,
    /// Above all sequences that can be made out, those of damaged records among them.
    next_sequence: u64,
}

impl Survey {
    /// What follows the last intact record of a segment that was synced to its end.
    fn lost_end(&self, id: u64) -> Option<Damage> {
        // A footer is not synced: it may be torn and mean nothing.
        let records = &self.bytes[..self.bytes.len() - FOOTER_LENGTH as usize];
        let length = (RECORDS_START + used(records) as u32).saturating_sub(self.end);
        (length > 0).then_some(Damage {
            segment: id,
            offset: self.end,
            length,
            sequences: None,
        })
    }
}

fn survey(header: &SegmentHeader, bytes: Vec<u8>) -> Survey {
    let place = |at: usize| RECORDS_START + at as u32;
    let window = Window {
        bytes: &bytes[..bytes.len() - FOOTER_LENGTH as usize],
        start: RECORDS_START,
        salt: header.salt,
    };
    let (mut at, mut gap_start) = (0, 0);
    let mut contents = Contents::default();
    let mut gaps = Vec::new();
    let (mut end, mut last_commit) = (RECORDS_START, RECORDS_START);
    let (mut last_sequence, mut next_sequence) = (0, 1);
    // What a record that was appended here would bear if it stood at `at`.
    let mut expected = None;
    loop {
        let (record, next) = match window.look(at) {
            Found::Record(record, _, next) => (record, next),
            // Its header can be trusted: what follows begins exactly behind it.
            Found::DamagedBody(record, next) => {
                next_sequence = next_sequence.max(record.sequence.0 + 1);
                at = next;
                continue;
            }
            _ => match window.resynchronise(at) {
                Some(next) => {
                    at = next;
                    continue;
                }
                None => break,
            },
        };
        if at > gap_start {
            // Commit marks and records count on; copies stand out of order.
            let counts = matches!(record.kind, Kind::Commit | Kind::Record);
            let sequences = expected
                .filter(|&expected| counts && expected < record.sequence.0)
                .map(|expected| (Sequence(expected), Sequence(record.sequence.0 - 1)));
            gaps.push(Damage {
                segment: header.id,
                offset: place(gap_start),
                length: (at - gap_start) as u32,
                sequences,
            });
        }
        match record.kind {
            Kind::Commit => {
                last_commit = place(at);
                expected = Some(record.sequence.0);
                next_sequence = next_sequence.max(record.sequence.0);
            }
            Kind::Record => {
                expected = Some(record.sequence.0 + 1);
                last_sequence = record.sequence.0;
            }
            Kind::Relocated => {}
            Kind::Void => {
                expected = None;
                next_sequence = next_sequence.max(record.sequence.0);
            }
        }
        if record.kind.is_record() {
            next_sequence = next_sequence.max(record.sequence.0 + 1);
        }
        contents.add(&record);
        (at, gap_start, end) = (next, next, place(next));
    }
    Survey {
        bytes,
        end,
        last_commit,
        gaps,
        contents,
        last_sequence,
        next_sequence,
    }
}

/// Covers torn records, clears what follows the last intact one, and makes the tail durable.
///
/// What covers a torn record says which sequence comes next, as a commit mark does: it may stand in
/// place of one. Answers how many bytes were torn.
fn repair(
    header: &SegmentHeader,
    file: &Arc<dyn StorageFile>,
    survey: &mut Survey,
    next_sequence: u64,
) -> io::Result<u64> {
    let index = |offset: u32| (offset - RECORDS_START) as usize;
    let end = index(survey.end);
    let mut torn = used(&survey.bytes).saturating_sub(end) as u64;
    survey.bytes[end..].fill(0);
    for gap in &survey.gaps {
        if gap.offset < survey.last_commit {
            continue;
        }
        torn += u64::from(gap.length);
        let Some(length) = gap.length.checked_sub(HEADER_LENGTH as u32) else {
            continue;
        };
        let void = RecordHeader {
            kind: Kind::Void,
            length,
            body_checksum: 0,
            sequence: Sequence(next_sequence),
            appended_at: 0,
        };
        let void = void.encode(header.salt, gap.offset);
        survey.bytes[index(gap.offset)..][..HEADER_LENGTH].copy_from_slice(&void);
    }
    // All of it, to the segment's end: even zeros in the cache need not be on disk if the sync of
    // an earlier repair failed.
    let tail = &survey.bytes[index(survey.last_commit)..];
    file.write_at(tail, u64::from(survey.last_commit))?;
    file.sync_data(SyncPoint::RecoveredTail)?;
    Ok(torn)
}
