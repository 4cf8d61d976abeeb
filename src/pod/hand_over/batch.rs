//! A batch as bytes: records as they stand in the logs, each behind its kind and its length.

use bytes::Bytes;

use crate::delivery::{self, Undelivered};
use crate::event::{DeadLetter, Event, ObjectName};

/// Events in a batch.
pub const MOST_ITEMS: usize = 500;

/// Bytes of records after which a batch gets no more.
pub const ENOUGH_BYTES: u64 = 4 << 20;

/// Bytes of a sealed batch that are read at most: [`ENOUGH_BYTES`], and one event of the largest
/// size that any type may have with what stands around it.
pub const LARGEST_BATCH: u64 = 96 << 20;

const EVENT: u8 = 1;
const LETTER: u8 = 2;

/// What was handed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Events, each for the subscription that has not got it yet.
    pub events: Vec<(ObjectName, Event)>,
    /// Dead letters.
    pub letters: Vec<DeadLetter>,
}

/// Something else than a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no batch of this version of Tidegate")]
pub struct NotABatch;

/// Undelivered events as a batch.
pub fn of_events(events: &[Undelivered]) -> Vec<u8> {
    let mut batch = Vec::new();
    for event in events {
        let record = delivery::encode_addressed(&event.event, &event.subscription);
        push(&mut batch, EVENT, &record.header, &record.body);
    }
    batch
}

/// Dead letters as a batch.
pub fn of_letters(letters: &[DeadLetter]) -> Vec<u8> {
    let mut batch = Vec::new();
    for letter in letters {
        let data = letter.event.data.clone().unwrap_or_default();
        push(&mut batch, LETTER, &letter.encode_header(), &data);
    }
    batch
}

fn push(batch: &mut Vec<u8>, kind: u8, header: &[u8], body: &[u8]) {
    let length = header.len() + body.len();
    batch.push(kind);
    // A record is smaller than a log's segment.
    batch.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    batch.extend_from_slice(header);
    batch.extend_from_slice(body);
}

/// Reads a batch; payloads are slices of it.
///
/// # Errors
/// When any of it cannot be read: then nothing of it is taken.
pub fn read(batch: &Bytes) -> Result<Batch, NotABatch> {
    let mut read = Batch::default();
    let mut at = 0;
    while at < batch.len() {
        let head = batch.get(at..).and_then(|rest| rest.first_chunk());
        let [kind, a, b, c, d] = *head.ok_or(NotABatch)?;
        let length = u32::from_le_bytes([a, b, c, d]);
        let begin = at + 5;
        let end = begin + usize::try_from(length).map_err(|_| NotABatch)?;
        if end > batch.len() {
            return Err(NotABatch);
        }
        let record = batch.slice(begin..end);
        at = end;
        match kind {
            EVENT => {
                let stored = delivery::decode(&record).map_err(|_| NotABatch)?;
                let only_for = stored.only_for.ok_or(NotABatch)?;
                read.events.push((only_for, stored.event));
            }
            LETTER => {
                let letter = DeadLetter::decode(&record).map_err(|_| NotABatch)?;
                read.letters.push(letter);
            }
            _ => return Err(NotABatch),
        }
    }
    Ok(read)
}
