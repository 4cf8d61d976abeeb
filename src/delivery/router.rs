//! Reads the log and puts each event into the queues of the subscriptions that want it.
//!
//! The same loop recovers and follows: after a restart it begins at the oldest event that may be
//! undelivered. What the state store knows to be undelivered is put back as it is met; what comes
//! behind the point that was routed before is routed anew.
//!
//! One thread, so that every queue gets its events in the order of the log.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::Engine;
use super::items::{Item, Place};
use super::metrics::Dropped;
use super::payload::Shared;
use super::record::{self, Stored};
use super::subscription::Subscription;
use crate::event::{CustomerKey, Event};
use crate::event_log::{Entry, ScanFrom, ScanItem, SegmentInfo, Sequence};

/// How long to wait for new records before looking whether to stop.
const IDLE: Duration = Duration::from_millis(50);

/// How long to wait after the storage failed to read.
const PAUSE: Duration = Duration::from_secs(1);

/// The loop's own knowledge.
struct Router<'e> {
    engine: &'e Engine,
    /// Everything up to here was routed before the restart.
    routed_before: u64,
    /// Subscriptions with events to put back; empty once the log's end has been reached.
    recovering: Vec<Arc<Subscription>>,
    /// The lowest sequence to put back.
    wanted: u64,
    /// Whether the log's end has been reached once.
    following: bool,
    /// The segment that was last considered for skipping.
    considered: u64,
}

/// Runs until the engine stops or drains.
pub(super) fn run(engine: &Engine) {
    follow_the_log(engine);
    engine.routing.store(false, Ordering::Release);
}

fn follow_the_log(engine: &Engine) {
    let table = engine.table();
    let routed_before = engine.routed.load(Ordering::Acquire);
    let recovering: Vec<_> = table
        .iter()
        .filter(|subscription| subscription.queue().is_recovering())
        .cloned()
        .collect();
    let mut router = Router {
        engine,
        routed_before,
        wanted: lowest(&recovering, 0),
        recovering,
        following: false,
        considered: 0,
    };
    let after = routed_before.min(router.wanted.saturating_sub(1));
    let mut scan = engine.log.scan(match after {
        0 => ScanFrom::Oldest,
        after => ScanFrom::After(Sequence(after)),
    });
    while !engine.is_stopped() && !engine.is_draining() {
        let item = if router.following {
            scan.next_within(IDLE)
        } else {
            scan.next()
        };
        match item {
            Ok(Some(ScanItem::Record(entry))) => {
                router.take(&entry);
                if let Some(segment) = router.skip(&entry) {
                    scan = engine.log.scan(ScanFrom::Segment(segment));
                }
            }
            Ok(Some(ScanItem::Damage(damage))) => {
                tracing::error!(%damage, "the event log is damaged; reading on behind it");
            }
            Ok(None) => router.follow(),
            Err(error) => {
                tracing::error!(%error, "failed to read the event log; trying again");
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// The first segment from `here` on that has an event from `target` on, or a relocated one, whose
/// sequence could be any.
fn next_to_read(segments: &[SegmentInfo], here: u64, target: u64) -> Option<u64> {
    segments
        .iter()
        .filter(|info| info.id >= here)
        .find(|info| {
            let appended = info
                .appended
                .map_or(0, |(first, last)| last.0 - first.0 + 1);
            let only_appended = u64::from(info.records) == appended;
            !info.sealed
                || !only_appended
                || info.appended.is_some_and(|(_, last)| last.0 >= target)
        })
        .map(|info| info.id)
}

fn lowest(recovering: &[Arc<Subscription>], from: u64) -> u64 {
    recovering
        .iter()
        .filter_map(|subscription| subscription.queue().next_to_recover(from))
        .min()
        .unwrap_or(u64::MAX)
}

impl Router<'_> {
    fn take(&mut self, entry: &Entry) {
        let sequence = entry.sequence.0;
        // Who relocates tells the queues; only what was relocated before the restart is news.
        if entry.relocated && self.following {
            return;
        }
        if sequence <= self.routed_before {
            if entry.relocated || sequence >= self.wanted {
                self.put_back(entry);
            }
            return;
        }
        match record::decode(&entry.bytes) {
            Ok(stored) => route(self.engine, entry, stored, self.following),
            Err(error) => tracing::error!(sequence, %error, "skipped a record of the event log"),
        }
        if !entry.relocated {
            self.engine.routed.store(sequence, Ordering::Release);
        }
    }

    /// The segment to go on with, if there is nothing to put back before it: one old event must not
    /// cost reading everything between it and the log's end.
    fn skip(&mut self, entry: &Entry) -> Option<u64> {
        let here = entry.position.segment;
        if self.following || entry.sequence.0 > self.routed_before || self.considered == here {
            return None;
        }
        self.considered = here;
        let target = self.wanted.min(self.routed_before + 1);
        next_to_read(&self.engine.log.segments(), here, target).filter(|segment| *segment > here)
    }

    /// Puts an event back where the state store says that it was undelivered.
    fn put_back(&mut self, entry: &Entry) {
        let sequence = entry.sequence.0;
        let mut event = None;
        for subscription in &self.recovering {
            let mut queue = subscription.queue();
            if queue.position(sequence).is_some() {
                // A copy that stands behind the original is the valid one.
                queue.relocate(sequence, entry.position);
                continue;
            }
            if queue.next_to_recover(sequence) != Some(sequence) {
                continue;
            }
            let customer = match &event {
                Some(customer) => *customer,
                None => match record::decode(&entry.bytes) {
                    Ok(stored) => *event.insert(customer_of(&stored.event)),
                    Err(error) => {
                        tracing::error!(sequence, %error, "skipped a record of the event log");
                        return;
                    }
                },
            };
            queue.recover(item(entry, customer), None, self.engine.now());
            drop(queue);
            subscription.wake.notify_one();
        }
        if sequence >= self.wanted && !entry.relocated {
            self.wanted = lowest(&self.recovering, sequence + 1);
        }
    }

    /// The end of the log has been reached.
    fn follow(&mut self) {
        if self.following {
            return;
        }
        self.following = true;
        for subscription in self.recovering.drain(..) {
            let lost = subscription.queue().forget_recovered(self.routed_before);
            if lost > 0 {
                tracing::error!(
                    subscription = %subscription.registration.name,
                    lost,
                    "undelivered events are not in the log any more"
                );
                self.engine.metrics.dropped(Dropped::Unreadable, lost);
                let counts = &subscription.counts;
                counts.unreadable.fetch_add(lost as u64, Ordering::Relaxed);
            }
            subscription.wake.notify_one();
        }
        self.engine.recovered.store(true, Ordering::Release);
    }
}

/// Puts an event into the queues of those that want it.
fn route(engine: &Engine, entry: &Entry, stored: Stored, in_memory: bool) {
    let sequence = entry.sequence.0;
    let Stored { event, only_for } = stored;
    let customer = customer_of(&event);
    let event = Arc::new(event);
    let table = engine.table();
    let mut shared: Option<Option<Arc<Shared>>> = (!in_memory).then_some(None);
    let mut push = |subscription: &Arc<Subscription>| {
        let payload = shared
            .get_or_insert_with(|| {
                Shared::new(&event, entry.bytes.len() as u64, &engine.payload_budget)
            })
            .as_ref()
            .and_then(|shared| shared.for_one(&subscription.budget));
        let mut queue = subscription.queue();
        if !queue.push(item(entry, customer), payload, engine.now()) {
            queue.relocate(sequence, entry.position);
        }
        drop(queue);
        subscription.wake.notify_one();
    };
    if let Some(name) = only_for {
        if let Some(subscription) = table.get(&name) {
            push(subscription);
        }
        return;
    }
    let attributes = &event.attributes;
    for subscription in table.matching(&attributes.app_event_type, attributes.customer.as_ref()) {
        if sequence <= subscription.registration.after {
            continue;
        }
        match subscription.live().filter.admits(&event) {
            Ok(true) => push(subscription),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    event = attributes.id,
                    subscription = %subscription.registration.name,
                    error,
                    "not delivered: the filter could not decide"
                );
                subscription.count_filter_error(error);
                engine.metrics.filter_error();
            }
        }
    }
}

/// An undelivered event as a queue holds it.
pub(super) fn item(entry: &Entry, customer: u64) -> Item {
    Item {
        sequence: entry.sequence.0,
        position: entry.position,
        customer,
        since: u32::try_from(entry.appended_at / 1000).unwrap_or_default(),
        place: Place::Queued,
        replayed: false,
    }
}

/// Tells customers apart in a queue. Two that share a hash share a place in the order, no more.
pub(super) fn customer_of(event: &Event) -> u64 {
    let customer: &Option<CustomerKey> = &event.attributes.customer;
    let mut hasher = DefaultHasher::new();
    customer.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_skips_segments_without_anything_to_put_back() {
        let segment = |id: u64, first: u64, last: u64, relocated: u32| SegmentInfo {
            id,
            size: 1000,
            used: 1000,
            records: (last - first + 1) as u32 + relocated,
            appended: Some((Sequence(first), Sequence(last))),
            times: None,
            sealed: id < 5,
        };
        let mut segments: Vec<_> = (1..=5)
            .map(|id| segment(id, id * 100, id * 100 + 99, 0))
            .collect();
        let check = |segments: &[SegmentInfo], here, target, expected| {
            assert_eq!(
                next_to_read(segments, here, target),
                Some(expected),
                "{here} {target}"
            );
        };
        check(&segments, 1, 150, 1);
        check(&segments, 1, 300, 3);
        check(&segments, 1, 9000, 5);
        segments[1] = segment(2, 200, 299, 1);
        check(&segments, 1, 300, 2);
        check(&segments, 2, 300, 2);
        check(&segments, 3, 9000, 5);
    }
}
