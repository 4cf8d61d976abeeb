//! Which segments of the log go, and when.
//!
//! A segment is needed while a subscription has an undelivered event in it; after that it is
//! history, kept for replays as long as `replayRetention` says and space allows. When space is low,
//! history goes first, oldest first; then segments that hold little that is undelivered are emptied
//! by relocating it to the log's end. What is left after that is undelivered, and the log answers
//! that it is full.
//!
//! Not here: that one subscription holds no more than its share; its own task sees to that.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::Engine;
use crate::event_log::{Position, Sequence, Space};

/// How often to look, besides whenever the log says that space is low.
const EVERY: Duration = Duration::from_secs(1);

/// A segment is emptied when what is undelivered is at most this part of it: to gain three bytes
/// for each that is written is worth it.
const SPARSE: u64 = 4;

/// Records relocated at a time, and their bytes; the log takes an append as a whole.
const RELOCATE_RECORDS: usize = 1024;
const RELOCATE_BYTES: u64 = 4 << 20;

/// A segment as the decision sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    id: u64,
    /// Bytes of its file.
    size: u64,
    /// When the newest of its records was received, in milliseconds since the epoch.
    newest: i64,
    /// Nothing is appended to it, and everything in it has been routed.
    settled_or_queued: bool,
    /// Bytes of its records that are undelivered, counted once for each subscription.
    held: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Free(u64),
    Empty(u64),
}

/// The next thing to do, if any. `segments` are oldest first.
fn decide(segments: &[Segment], space: Space, retention: Duration, now: i64) -> Option<Action> {
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let scarce = matches!(space, Space::Low | Space::Full);
    // The newest is in use, or about to be.
    let (_, candidates) = segments.split_last()?;
    let candidates = || {
        candidates
            .iter()
            .filter(|segment| segment.settled_or_queued)
    };
    if let Some(history) = candidates().find(|segment| {
        segment.held == 0 && (scarce || segment.newest.saturating_add(retention) < now)
    }) {
        return Some(Action::Free(history.id));
    }
    if !scarce {
        return None;
    }
    candidates()
        .filter(|segment| segment.held <= segment.size / SPARSE)
        .min_by_key(|segment| segment.held)
        .map(|segment| Action::Empty(segment.id))
}

/// Runs until it is aborted.
pub(super) async fn run(engine: Arc<Engine>) {
    let mut space = engine.log.space();
    loop {
        pass(&engine).await;
        tokio::select! {
            changed = space.changed() => {
                if changed.is_err() {
                    tokio::time::sleep(EVERY).await;
                }
            }
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Does what there is to do, and shows how much is undelivered.
pub(super) async fn pass(engine: &Arc<Engine>) {
    show(engine);
    if !engine.recovered.load(Ordering::Acquire) {
        return;
    }
    loop {
        // The routed position first: what is routed later is not judged now.
        let routed = engine.routed.load(Ordering::Acquire);
        let space = *engine.log.space().borrow();
        let segments = segments(engine, routed);
        let retention = engine.settings.load().replay_retention;
        let Some(action) = decide(&segments, space, retention, (engine.clock)()) else {
            return;
        };
        let done = match action {
            Action::Free(segment) => free(engine, segment).await,
            Action::Empty(segment) => empty(engine, segment).await,
        };
        if !done {
            return;
        }
    }
}

fn segments(engine: &Engine, routed: u64) -> Vec<Segment> {
    // The log first: what is routed into a segment after that is younger than `routed`.
    let infos = engine.log.segments();
    let mut held: HashMap<u64, u64> = HashMap::new();
    for subscription in engine.table().iter() {
        for (segment, of_one) in subscription.queue().held() {
            *held.entry(segment).or_default() += of_one.bytes;
        }
    }
    infos
        .into_iter()
        .map(|info| Segment {
            id: info.id,
            size: u64::from(info.size),
            newest: info.times.map_or(0, |(_, newest)| newest),
            settled_or_queued: info.sealed
                && info.appended.is_none_or(|(_, last)| last.0 <= routed),
            held: held.get(&info.id).copied().unwrap_or_default(),
        })
        .collect()
}

async fn free(engine: &Arc<Engine>, segment: u64) -> bool {
    let log = engine.log.clone();
    match tokio::task::spawn_blocking(move || log.free(segment)).await {
        Ok(Ok(())) => {
            tracing::debug!(segment, "freed a segment of the event log");
            engine.metrics.segment_freed();
            true
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the event log keeps a segment that it does not need");
            false
        }
        Err(_) => false,
    }
}

/// Relocates what is undelivered in a segment; whether anything was.
async fn empty(engine: &Arc<Engine>, segment: u64) -> bool {
    let mut records: BTreeMap<u64, Position> = BTreeMap::new();
    for subscription in engine.table().iter() {
        let held = subscription
            .queue()
            .undelivered_in_segment(segment, RELOCATE_RECORDS);
        records.extend(held);
    }
    let mut bytes = 0;
    let batch: Vec<(Sequence, Position)> = records
        .into_iter()
        .take(RELOCATE_RECORDS)
        .take_while(|(_, position)| {
            let first = bytes == 0;
            bytes += u64::from(position.length) + 32;
            first || bytes <= RELOCATE_BYTES
        })
        .map(|(sequence, position)| (Sequence(sequence), position))
        .collect();
    match engine.log.relocate(batch.clone()).await {
        Ok(positions) => {
            for subscription in engine.table().iter() {
                let mut queue = subscription.queue();
                for ((sequence, before), after) in batch.iter().zip(&positions) {
                    if queue.position(sequence.0) == Some(*before) {
                        queue.relocate(sequence.0, *after);
                    }
                }
            }
            engine.metrics.relocated(batch.len());
            !batch.is_empty()
        }
        Err(error) => {
            tracing::warn!(segment, %error, "failed to relocate undelivered events");
            false
        }
    }
}

fn show(engine: &Engine) {
    let (mut events, mut bytes, mut failing) = (0, 0, 0);
    let mut oldest: Option<u32> = None;
    for subscription in engine.table().iter() {
        let queue = subscription.queue();
        events += queue.len() as u64;
        bytes += queue.bytes();
        oldest = oldest.into_iter().chain(queue.oldest()).min();
        drop(queue);
        failing += u64::from(subscription.last().failing);
    }
    let age = oldest.map_or(0, |since| {
        (engine.now() / 1000).saturating_sub(u64::from(since))
    });
    engine.metrics.show(events, bytes, age, failing);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: i64 = 1_800_000_000_000;

    fn segment(id: u64, age: Duration, held: u64) -> Segment {
        Segment {
            id,
            size: 1000,
            newest: NOW - age.as_millis() as i64,
            settled_or_queued: true,
            held,
        }
    }

    #[test]
    fn history_goes_when_it_is_old_or_space_is_low_and_sparse_segments_are_emptied_last() {
        let check = |name: &str, segments: &[Segment], space, expected| {
            assert_eq!(decide(segments, space, HOUR, NOW), expected, "{name}");
        };
        let newest = segment(9, Duration::ZERO, 0);
        let young = segment(1, HOUR / 2, 0);
        let old = segment(2, 2 * HOUR, 0);
        let dense = segment(3, 2 * HOUR, 900);
        let sparse = segment(4, 2 * HOUR, 100);
        let sparser = segment(5, HOUR / 2, 10);
        let busy = Segment {
            settled_or_queued: false,
            ..segment(6, 2 * HOUR, 0)
        };
        check("nothing", &[], Space::Full, None);
        check(
            "only the newest",
            &[segment(1, 9 * HOUR, 0)],
            Space::Full,
            None,
        );
        check("young history stays", &[young, newest], Space::Ample, None);
        check(
            "old history goes",
            &[young, old, newest],
            Space::Ample,
            Some(Action::Free(2)),
        );
        check(
            "the oldest goes first",
            &[young, old, newest],
            Space::Low,
            Some(Action::Free(1)),
        );
        check(
            "what is needed stays",
            &[dense, sparse, newest],
            Space::Ample,
            None,
        );
        check(
            "what is not routed stays",
            &[busy, newest],
            Space::Full,
            None,
        );
        check(
            "history before sparse ones",
            &[sparse, young, newest],
            Space::Low,
            Some(Action::Free(1)),
        );
        check(
            "the sparsest is emptied",
            &[dense, sparse, sparser, newest],
            Space::Full,
            Some(Action::Empty(5)),
        );
        check("dense ones stay", &[dense, newest], Space::Full, None);
        check(
            "a failed log is left alone",
            &[young, newest],
            Space::Failed,
            None,
        );
    }

    proptest! {
        #[test]
        fn nothing_undelivered_and_nothing_unrouted_is_ever_freed(
            segments in prop::collection::vec((0u64..3000, any::<bool>(), 0u64..2000), 0..20),
            space in 0usize..3,
        ) {
            let segments: Vec<Segment> = segments
                .into_iter()
                .enumerate()
                .map(|(id, (minutes, settled_or_queued, held))| Segment {
                    settled_or_queued,
                    ..segment(id as u64, Duration::from_secs(60 * minutes), held.saturating_sub(1000))
                })
                .collect();
            let space = [Space::Ample, Space::Low, Space::Full][space];
            let action = decide(&segments, space, HOUR, NOW);
            let by_id = |id: u64| segments[id as usize];
            match action {
                Some(Action::Free(id)) => {
                    prop_assert_eq!(by_id(id).held, 0);
                    prop_assert!(by_id(id).settled_or_queued);
                    prop_assert_ne!(id as usize + 1, segments.len());
                }
                Some(Action::Empty(id)) => {
                    prop_assert!(by_id(id).settled_or_queued && by_id(id).held > 0);
                    prop_assert!(space != Space::Ample);
                }
                None => {}
            }
        }
    }
}
