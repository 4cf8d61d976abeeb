//! What stands in the log: an event for everyone, or one that is addressed to one subscription
//! because its dead letter was replayed.
//!
//! The record of an addressed event is the record of the event behind a short prefix, which no
//! version of [`Event`] begins with.

use bytes::Bytes;

use crate::event::{DecodeError, Event, ObjectName};
use crate::event_log::Record;

/// The first byte of an addressed event; [`Event`]'s versions count up from 1.
const ADDRESSED: u8 = 0xAD;

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The event.
    pub event: Event,
    /// The only subscription that gets it; `None`: every one that wants it.
    pub only_for: Option<ObjectName>,
}

/// The record of an event for everyone.
pub fn encode(event: &Event) -> Record {
    Record {
        header: event.encode_header(),
        body: event.data.clone().unwrap_or_default(),
    }
}

/// The record of an event for one subscription.
pub fn encode_addressed(event: &Event, only_for: &ObjectName) -> Record {
    let mut record = encode(event);
    let mut header = vec![ADDRESSED];
    for part in [&only_for.namespace, &only_for.name] {
        header.extend_from_slice(&(part.len() as u16).to_le_bytes());
        header.extend_from_slice(part.as_bytes());
    }
    header.append(&mut record.header);
    record.header = header;
    record
}

/// Reads a record; the payload is a slice of it.
///
/// # Errors
/// When the record is of another version or damaged.
pub fn decode(record: &Bytes) -> Result<Stored, DecodeError> {
    let (only_for, rest) = match address(record) {
        Some((only_for, length)) => (Some(only_for), record.slice(length..)),
        None => (None, record.clone()),
    };
    Ok(Stored {
        event: Event::decode(&rest)?,
        only_for,
    })
}

/// The address at the beginning of a record, and its length in bytes.
fn address(record: &[u8]) -> Option<(ObjectName, usize)> {
    let mut at = 1;
    let mut part = || {
        let length = record.get(at..at + 2)?;
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        let text = std::str::from_utf8(record.get(at + 2..at + 2 + length)?).ok()?;
        at += 2 + length;
        Some(text)
    };
    if record.first() != Some(&ADDRESSED) {
        return None;
    }
    let name = ObjectName::new(part()?, part()?);
    Some((name, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::support::event;

    fn bytes(record: &Record) -> Bytes {
        [&record.header[..], &record.body].concat().into()
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let event = event("e-1", Some("acme"));
        let name = ObjectName::new("shop", "invoicing");
        assert_eq!(
            decode(&bytes(&encode(&event))).unwrap(),
            Stored {
                event: event.clone(),
                only_for: None
            }
        );
        assert_eq!(
            decode(&bytes(&encode_addressed(&event, &name))).unwrap(),
            Stored {
                event,
                only_for: Some(name)
            }
        );
    }

    #[test]
    fn a_damaged_record_is_an_error_at_every_length() {
        let mut event = event("e-1", Some("acme"));
        event.data = None;
        let whole = bytes(&encode_addressed(&event, &ObjectName::new("a", "b")));
        for length in 0..whole.len() {
            assert!(decode(&whole.slice(..length)).is_err(), "length {length}");
        }
    }
}
