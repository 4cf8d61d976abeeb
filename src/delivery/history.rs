//! The events in the log, for people: listed page by page, each with where it stands for each
//! subscription. Blocking; one call reads a bounded part of the log.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;

use super::ReplayRequest;
use super::engine::Engine;
use super::items::Place;
use super::record::{self, Stored};
use super::subscription::Subscription;
use crate::event::{Event, ObjectName};
use crate::event_log::{Entry, Position, ReadError, ScanFrom, ScanItem};

/// Events of one page at most.
pub const MAX_PAGE: usize = 1000;

/// Bytes of events in one page; one event always fits.
const PAGE_BYTES: usize = 16 << 20;

/// Bytes of the log that one call reads; after that the page ends, with a `next`.
const READ_BYTES: u64 = 256 << 20;

/// Which events to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// The newest first; otherwise the oldest.
    pub newest_first: bool,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// Events at most; at most [`MAX_PAGE`].
    pub limit: usize,
    /// Which events. With a subscription: those that it wants as it is declared just now.
    pub select: ReplayRequest,
}

/// A place in the log, between two pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    segment: u64,
    offset: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.segment, self.offset)
    }
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that a list gave out")]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (segment, offset) = text.split_once('-').ok_or(NotACursor)?;
        Ok(Self {
            segment: segment.parse().map_err(|_| NotACursor)?,
            offset: offset.parse().map_err(|_| NotACursor)?,
        })
    }
}

impl From<Position> for Cursor {
    fn from(position: Position) -> Self {
        Self {
            segment: position.segment,
            offset: position.offset,
        }
    }
}

/// One page. It may be empty although there is a next one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventPage {
    /// The events.
    pub items: Vec<EventItem>,
    /// Where the next page begins; `None`: this is the last one.
    pub next: Option<Cursor>,
}

/// An event in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct EventItem {
    /// Its number.
    pub sequence: u64,
    /// When it was received.
    pub received: Timestamp,
    /// The event.
    pub event: Event,
    /// Where it stands for each subscription that wants it.
    pub deliveries: Vec<DeliveryItem>,
}

/// Where an event stands for one subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryItem {
    /// The subscription.
    pub subscription: ObjectName,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts that ended; 0 once it is settled.
    pub attempts: u32,
    /// When the next attempt is due, for `Retrying`.
    pub next_attempt: Option<Timestamp>,
    /// What the last attempt failed on.
    pub last_error: Option<String>,
}

/// The states of an event for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum DeliveryState {
    /// It has not been tried.
    Pending,
    /// An attempt is being made.
    InFlight,
    /// It failed and will be tried again.
    Retrying,
    /// It is delivered, or among the dead letters.
    Settled,
}

/// Lists events.
pub(super) fn list(engine: &Engine, query: &EventQuery) -> Result<EventPage, ReadError> {
    let page = Page {
        engine,
        query,
        limit: query.limit.clamp(1, MAX_PAGE),
        items: VecDeque::new(),
        bytes: 0,
        read: 0,
    };
    let mut segments: Vec<_> = engine
        .log
        .segments()
        .into_iter()
        .filter(|info| {
            let select = &query.select;
            info.times.is_none_or(|(oldest, newest)| {
                select
                    .from
                    .is_none_or(|from| newest >= from.as_millisecond())
                    && select
                        .until
                        .is_none_or(|until| oldest < until.as_millisecond())
            })
        })
        .map(|info| info.id)
        .filter(|id| {
            query.after.is_none_or(|after| {
                if query.newest_first {
                    *id <= after.segment
                } else {
                    *id >= after.segment
                }
            })
        })
        .collect();
    if query.newest_first {
        segments.reverse();
        page.backwards(&segments)
    } else {
        page.forwards(&segments)
    }
}

struct Page<'q> {
    engine: &'q Engine,
    query: &'q EventQuery,
    limit: usize,
    items: VecDeque<(Cursor, usize, EventItem)>,
    bytes: usize,
    read: u64,
}

impl Page<'_> {
    fn forwards(mut self, segments: &[u64]) -> Result<EventPage, ReadError> {
        for segment in segments {
            let mut scan = self.engine.log.scan(ScanFrom::Segment(*segment));
            while let Some(item) = scan.next()? {
                let ScanItem::Record(entry) = item else {
                    continue;
                };
                let cursor = Cursor::from(entry.position);
                if cursor.segment != *segment {
                    break;
                }
                if self.query.after.is_some_and(|after| cursor <= after) {
                    continue;
                }
                self.read += u64::from(entry.position.length);
                if let Some(item) = self.look_at(&entry) {
                    self.bytes += entry.bytes.len();
                    self.items.push_back((cursor, entry.bytes.len(), item));
                }
                if self.is_full() {
                    return Ok(self.finish(Some(cursor)));
                }
            }
        }
        Ok(self.finish(None))
    }

    /// Each segment is read from its beginning; what is wanted are its last events.
    fn backwards(mut self, segments: &[u64]) -> Result<EventPage, ReadError> {
        let mut done: Vec<(Cursor, EventItem)> = Vec::new();
        for (number, segment) in segments.iter().enumerate() {
            let mut cut = false;
            let mut scan = self.engine.log.scan(ScanFrom::Segment(*segment));
            while let Some(item) = scan.next()? {
                let ScanItem::Record(entry) = item else {
                    continue;
                };
                let cursor = Cursor::from(entry.position);
                if cursor.segment != *segment
                    || self.query.after.is_some_and(|after| cursor >= after)
                {
                    break;
                }
                self.read += u64::from(entry.position.length);
                if let Some(item) = self.look_at(&entry) {
                    self.bytes += entry.bytes.len();
                    self.items.push_back((cursor, entry.bytes.len(), item));
                }
                while self.items.len() > self.limit - done.len()
                    || (self.bytes > PAGE_BYTES && self.items.len() > 1)
                {
                    if let Some((_, bytes, _)) = self.items.pop_front() {
                        self.bytes -= bytes;
                    }
                    cut = true;
                }
            }
            done.extend(
                self.items
                    .drain(..)
                    .rev()
                    .map(|(cursor, _, item)| (cursor, item)),
            );
            let last = number + 1 == segments.len();
            let full = done.len() >= self.limit || self.bytes > PAGE_BYTES;
            if cut || (!last && (full || self.read >= READ_BYTES)) {
                let start = Cursor {
                    segment: *segment,
                    offset: 0,
                };
                // What was cut off stands before the last one listed.
                let next = match done.last() {
                    Some((cursor, _)) if cut => *cursor,
                    _ => start,
                };
                return Ok(EventPage {
                    items: done.into_iter().map(|(_, item)| item).collect(),
                    next: Some(next),
                });
            }
        }
        Ok(EventPage {
            items: done.into_iter().map(|(_, item)| item).collect(),
            next: None,
        })
    }

    fn is_full(&self) -> bool {
        self.items.len() >= self.limit || self.bytes >= PAGE_BYTES || self.read >= READ_BYTES
    }

    fn finish(self, next: Option<Cursor>) -> EventPage {
        EventPage {
            items: self.items.into_iter().map(|(_, _, item)| item).collect(),
            next,
        }
    }

    fn look_at(&self, entry: &Entry) -> Option<EventItem> {
        let Stored { event, only_for } = record::decode(&entry.bytes).ok()?;
        let select = &self.query.select;
        if !select.selects(&event, entry.appended_at) {
            return None;
        }
        let attributes = &event.attributes;
        let table = self.engine.table();
        let deliveries: Vec<DeliveryItem> = table
            .matching(&attributes.app_event_type, attributes.customer.as_ref())
            .filter(|subscription| {
                let name = &subscription.registration.name;
                only_for.as_ref().is_none_or(|only| only == name)
                    && select
                        .subscription
                        .as_ref()
                        .is_none_or(|wanted| wanted == name)
            })
            .filter_map(|subscription| delivery(subscription, entry, &event))
            .collect();
        if select.subscription.is_some() && deliveries.is_empty() {
            return None;
        }
        Some(EventItem {
            sequence: entry.sequence.0,
            received: Timestamp::from_millisecond(entry.appended_at).unwrap_or_default(),
            event,
            deliveries,
        })
    }
}

fn delivery(subscription: &Subscription, entry: &Entry, event: &Event) -> Option<DeliveryItem> {
    let sequence = entry.sequence.0;
    let standing = subscription.queue().look_up(sequence);
    let wanted = sequence > subscription.registration.after
        && matches!(subscription.live().filter.admits(event), Ok(true));
    if standing.is_none() && !wanted {
        return None;
    }
    let (state, retry) = match standing {
        None => (DeliveryState::Settled, Default::default()),
        Some((Place::InFlight, retry)) => (DeliveryState::InFlight, retry),
        Some((_, retry)) if retry.attempts > 0 => (DeliveryState::Retrying, retry),
        Some((_, retry)) => (DeliveryState::Pending, retry),
    };
    let next_attempt = (state == DeliveryState::Retrying)
        .then(|| Timestamp::from_millisecond(i64::try_from(retry.next).ok()?).ok())
        .flatten();
    Some(DeliveryItem {
        subscription: subscription.registration.name.clone(),
        state,
        attempts: retry.attempts,
        next_attempt,
        last_error: retry.last_error.map(|error| error.as_ref().to_owned()),
    })
}
