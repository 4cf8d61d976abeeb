//! Fills the deduplication index from the log when the process starts.
//!
//! Only the end of the log is read: the index cannot remember more keys than it has room for.
//! Blocking.

use std::sync::Arc;

use super::deduplication::Deduplication;
use crate::delivery;
use crate::event_log::{EventLog, ReadError, ScanFrom, ScanItem};

/// Remembers the keys of the newest events of the log, at most `most_keys` of them or a few more.
/// `now` is in seconds since the epoch. Answers how many records were read.
///
/// # Errors
/// When the storage fails. Damaged records are passed over: their events may be accepted again.
pub fn restore(
    index: &Arc<Deduplication>,
    log: &EventLog,
    most_keys: usize,
    now: i64,
) -> Result<u64, ReadError> {
    let mut from = ScanFrom::Oldest;
    let mut records = 0;
    for segment in log.segments().iter().rev() {
        from = ScanFrom::Segment(segment.id);
        records += segment.records as usize;
        if records >= most_keys {
            break;
        }
    }
    let end = *log.high_watermark().borrow();
    let mut scan = log.scan(from);
    let mut read = 0;
    while let Some(item) = scan.next()? {
        let ScanItem::Record(entry) = item else {
            continue;
        };
        read += 1;
        // An event that was replayed from the dead letters was new once, and stands there as well.
        if let Ok(stored) = delivery::decode(&entry.bytes)
            && let Some(key) = &stored.event.attributes.deduplication
        {
            index.restore(key, entry.appended_at / 1000, now);
        }
        if entry.sequence >= end {
            break;
        }
    }
    Ok(read)
}
