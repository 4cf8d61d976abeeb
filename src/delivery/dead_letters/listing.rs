//! Reading dead letters: one, or lists of them, newest first.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::record::{self, Content};
use super::{DeadLetterId, Inner};
use crate::event::{
    Attributes, DeadLetter, DeadLetterVerdict, DecodeError, ObjectName, ReasonCode,
};
use crate::event_log::ReadError;

/// Letters that a page of a list has at most.
pub const LARGEST_PAGE: usize = 1000;

/// Bytes of records that are read for one page; a page with larger letters is shorter. The index
/// holds no texts, so listing reads the letters themselves.
const PAGE_BYTES: u64 = 32 << 20;

/// Which letters a list has: those that match every part that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this AppEventType.
    pub event_type: Option<ObjectName>,
    /// Given up by this subscription.
    pub subscription: Option<ObjectName>,
    /// Of customers with this id, in any namespace.
    pub customer: Option<String>,
    /// With this among their reasons.
    pub reason: Option<ReasonCode>,
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Go on behind this letter: the last page's `next`. `None`: from the newest on.
    pub after: Option<DeadLetterId>,
    /// Letters at most; more than [`LARGEST_PAGE`] count as that, and 0 as 1.
    pub limit: usize,
}

/// A part of a list, newest letters first. Letters that come meanwhile never move it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The letters; fewer than asked for where they are large.
    pub items: Vec<Summary>,
    /// Where the list goes on; `None`: this was all.
    pub next: Option<DeadLetterId>,
}

/// A letter without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The letter.
    pub id: DeadLetterId,
    /// Why it is one, and whose.
    pub verdict: DeadLetterVerdict,
    /// The event, as far as it could be read.
    pub attributes: Attributes,
    /// The payload's length; `None`: an event without data.
    pub data_bytes: Option<usize>,
}

/// How many letters there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub total: u64,
    /// By the subscription that gave them up; `None`: refused at the door.
    pub subscriptions: BTreeMap<Option<ObjectName>, u64>,
    /// By reason; a letter counts for each of its reasons once.
    pub reasons: BTreeMap<ReasonCode, u64>,
}

/// Why a letter could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// Its record cannot be read.
    #[error("failed to read dead letter {0}")]
    Read(DeadLetterId, #[source] ReadError),
    /// Its record is no letter.
    #[error("failed to read dead letter {0}")]
    Decode(DeadLetterId, #[source] DecodeError),
}

impl Inner {
    pub(super) fn list(&self, filter: &Filter, page: PageRequest) -> Result<Page, GetError> {
        let limit = page.limit.clamp(1, LARGEST_PAGE);
        // One more than asked for tells whether the list goes on.
        let ids = {
            let index = self.index();
            index.newest(filter, page.after.map(|id| id.0), limit + 1)
        };
        let mut items = Vec::with_capacity(limit.min(ids.len()));
        let mut last = None;
        let mut bytes = 0;
        for (id, length) in ids {
            if items.len() == limit || bytes >= PAGE_BYTES {
                return Ok(Page { items, next: last });
            }
            bytes += u64::from(length);
            let id = DeadLetterId(id);
            last = Some(id);
            let letter = match self.read(id) {
                Ok(Some(letter)) => letter,
                Ok(None) => continue,
                Err(error @ GetError::Read(_, ReadError::Storage { .. })) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "a dead letter is damaged");
                    continue;
                }
            };
            if matches(filter, &letter) {
                items.push(Summary {
                    id,
                    data_bytes: letter.event.data.as_ref().map(Bytes::len),
                    verdict: letter.verdict,
                    attributes: letter.event.attributes,
                });
            }
        }
        Ok(Page { items, next: None })
    }

    pub(super) fn read(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, GetError> {
        let Some(position) = self.index().position(id.0) else {
            return Ok(None);
        };
        let entry = match self.log.read(position) {
            Ok(entry) => entry,
            // Freed between the two lines above.
            Err(ReadError::Gone(_)) => return Ok(None),
            Err(error) => return Err(GetError::Read(id, error)),
        };
        match record::decode(&entry.bytes) {
            Ok(Content::Letter(letter)) => Ok(Some(*letter)),
            Ok(Content::Removed(_)) => Ok(None),
            Err(error) => Err(GetError::Decode(id, error)),
        }
    }
}

/// Whether a letter matches: the index knows customers by a hash only.
fn matches(filter: &Filter, letter: &DeadLetter) -> bool {
    filter.customer.as_ref().is_none_or(|wanted| {
        let customer = &letter.event.attributes.customer;
        customer
            .as_ref()
            .is_some_and(|customer| customer.id == *wanted)
    })
}
