//! The records of the dead letters' log: letters, and removals of letters. Pure.

use bytes::Bytes;

use crate::event::{DeadLetter, DecodeError};
use crate::event_log::Record;

/// The first byte of a record.
const LETTER: u8 = 1;
const REMOVAL: u8 = 2;

/// What a record says.
pub(super) enum Content {
    Letter(Box<DeadLetter>),
    /// These letters are no more.
    Removed(Vec<u64>),
}

pub(super) fn of_letter(letter: &DeadLetter) -> Record {
    let encoded = letter.encode_header();
    let mut header = Vec::with_capacity(1 + encoded.len());
    header.push(LETTER);
    header.extend_from_slice(&encoded);
    Record {
        header,
        body: letter.event.data.clone().unwrap_or_default(),
    }
}

pub(super) fn of_removal(ids: &[u64]) -> Record {
    let mut header = Vec::with_capacity(1 + ids.len() * 8);
    header.push(REMOVAL);
    for id in ids {
        header.extend_from_slice(&id.to_le_bytes());
    }
    Record {
        header,
        body: Bytes::new(),
    }
}

pub(super) fn decode(record: &Bytes) -> Result<Content, DecodeError> {
    match record.first() {
        Some(&LETTER) => {
            DeadLetter::decode(&record.slice(1..)).map(|letter| Content::Letter(Box::new(letter)))
        }
        Some(&REMOVAL) => {
            let (ids, _) = record[1..].as_chunks::<8>();
            Ok(Content::Removed(
                ids.iter().map(|id| u64::from_le_bytes(*id)).collect(),
            ))
        }
        // Says what is wrong with it: no version has this first byte.
        _ => DeadLetter::decode(record).map(|letter| Content::Letter(Box::new(letter))),
    }
}
