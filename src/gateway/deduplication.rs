//! Recognises an event that has come before, by a hash of what names it.
//!
//! The index is a hint about the log, never more: a key stands here only when its event is on
//! disk, so an answer "duplicate" is as good as a stored event. Two requests with the same key at
//! the same time are told apart by a claim: the second waits until the first is stored, and takes
//! over if that fails. Memory is bounded: keys are hashes, the oldest go first, and
//! [`Deduplication::shortened_to`] says which window is left when that happens.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::event;

/// Enough that requests on many cores rarely meet at one lock.
const SHARDS: usize = 64;

/// The index of one gateway.
#[derive(Debug)]
pub struct Deduplication {
    shards: Box<[Mutex<Shard>]>,
    keys_per_shard: usize,
    /// The age in seconds of the youngest key that had to go before its time; `u32::MAX`: none.
    shortened_to: AtomicU32,
}

/// What claiming a key came to.
#[derive(Debug)]
pub enum Claim {
    /// Nobody has it: store the event and commit the claim.
    New(Claimed),
    /// Its event is on disk.
    Duplicate,
    /// Another request is storing it.
    InFlight(InFlight),
}

/// The right to store an event. Dropped without [`Claimed::commit`], the key is free again and
/// those who wait are told.
#[derive(Debug)]
pub struct Claimed {
    index: Arc<Deduplication>,
    key: u128,
    until: u32,
    /// Closed when this is dropped, which wakes those who wait.
    _settled: watch::Sender<()>,
}

/// Another request's claim on the same key.
#[derive(Debug)]
pub struct InFlight(watch::Receiver<()>);

impl InFlight {
    /// Waits until the other request has stored its event or failed to; then claim again.
    pub async fn settled(mut self) {
        // Nothing is ever sent: the error is the sender's end.
        while self.0.changed().await.is_ok() {}
    }
}

#[derive(Debug, Default)]
struct Shard {
    /// Stored keys, with the second after which each is new again.
    stored: HashMap<u128, u32, BuildHasherDefault<KeyIsHash>>,
    /// The stored keys by age. A key that was stored again stands here twice; the older entry no
    /// longer agrees with `stored` and is passed over.
    by_age: VecDeque<Aged>,
    in_flight: HashMap<u128, watch::Receiver<()>, BuildHasherDefault<KeyIsHash>>,
}

/// A stored key in the order of age. The key in halves, because a `u128` would pad this to 32 bytes.
#[derive(Debug)]
struct Aged {
    key: [u64; 2],
    until: u32,
    at: u32,
}

impl Deduplication {
    /// An empty index that remembers at most about `most_keys`.
    pub fn new(most_keys: usize) -> Arc<Self> {
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            keys_per_shard: (most_keys / SHARDS).max(1),
            shortened_to: AtomicU32::new(u32::MAX),
        })
    }

    /// Claims a key at `now` (seconds since the epoch).
    pub fn claim(self: &Arc<Self>, event: &event::Deduplication, now: i64) -> Claim {
        let mut shard = self.shard(event.key);
        if let Some(until) = shard.stored.get(&event.key)
            && seconds(now) <= *until
        {
            return Claim::Duplicate;
        }
        if let Some(settled) = shard.in_flight.get(&event.key) {
            return Claim::InFlight(InFlight(settled.clone()));
        }
        let (sender, receiver) = watch::channel(());
        shard.in_flight.insert(event.key, receiver);
        Claim::New(Claimed {
            index: Arc::clone(self),
            key: event.key,
            until: seconds(event.until),
            _settled: sender,
        })
    }

    /// Remembers the key of an event that was found in the log, stored at `at`.
    pub fn restore(&self, event: &event::Deduplication, at: i64, now: i64) {
        if event.until >= now {
            self.remember(
                &mut self.shard(event.key),
                event.key,
                seconds(event.until),
                seconds(at),
            );
        }
    }

    /// How many keys are remembered, expired ones among them until their turn comes.
    pub fn keys(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| lock(shard).stored.len())
            .sum()
    }

    /// The shortest window in seconds that room has left since the start: how old a key was that
    /// had to go before its time. `None`: no key had to.
    pub fn shortened_to(&self) -> Option<u32> {
        let age = self.shortened_to.load(Ordering::Relaxed);
        (age != u32::MAX).then_some(age)
    }

    fn shard(&self, key: u128) -> MutexGuard<'_, Shard> {
        // The map inside uses the low bits, this the high ones.
        lock(&self.shards[(key >> 122) as usize % SHARDS])
    }

    fn remember(&self, shard: &mut Shard, key: u128, until: u32, at: u32) {
        shard.stored.insert(key, until);
        shard.by_age.push_back(Aged {
            key: halves(key),
            until,
            at,
        });
        while let Some(oldest) = shard.by_age.front() {
            let key = whole(oldest.key);
            let current = shard.stored.get(&key) == Some(&oldest.until);
            let expired = oldest.until < at;
            if current && !expired {
                if shard.stored.len() <= self.keys_per_shard {
                    break;
                }
                self.shortened_to
                    .fetch_min(at.saturating_sub(oldest.at), Ordering::Relaxed);
            }
            if current {
                shard.stored.remove(&key);
            }
            shard.by_age.pop_front();
        }
        // Keys stored again and again behind an old one would pile up their older entries.
        if shard.by_age.len() > 2 * shard.stored.len() + 16 {
            let Shard { stored, by_age, .. } = shard;
            by_age.retain(|aged| stored.get(&whole(aged.key)) == Some(&aged.until));
        }
    }
}

impl Claimed {
    /// The event is on disk: from now on its key is a duplicate.
    pub fn commit(self, now: i64) {
        let mut shard = self.index.shard(self.key);
        self.index
            .remember(&mut shard, self.key, self.until, seconds(now));
        // Dropping `self` takes the lock again and frees the claim.
        drop(shard);
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.index.shard(self.key).in_flight.remove(&self.key);
    }
}

/// Keys are hashes already; hashing them again would only cost time.
#[derive(Debug, Default)]
struct KeyIsHash(u64);

impl Hasher for KeyIsHash {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = self.0.rotate_left(29) ^ u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whole seconds in 32 bits: good until 2106, and half the memory.
fn seconds(time: i64) -> u32 {
    u32::try_from(time.max(0)).unwrap_or(u32::MAX)
}

fn halves(key: u128) -> [u64; 2] {
    [(key >> 64) as u64, key as u64]
}

fn whole([high, low]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(key: u128, until: i64) -> event::Deduplication {
        event::Deduplication { key, until }
    }

    fn store(index: &Arc<Deduplication>, key: u128, until: i64, now: i64) {
        match index.claim(&event(key, until), now) {
            Claim::New(claimed) => claimed.commit(now),
            other => panic!("{key} at {now}: {other:?}"),
        }
    }

    fn is_duplicate(index: &Arc<Deduplication>, key: u128, now: i64) -> bool {
        matches!(index.claim(&event(key, now + 10), now), Claim::Duplicate)
    }

    #[test]
    fn a_stored_key_is_a_duplicate_until_its_window_ends() {
        let index = Deduplication::new(1_000);
        store(&index, 1, 110, 100);
        assert!(is_duplicate(&index, 1, 110));
        assert!(!is_duplicate(&index, 1, 111));
        store(&index, 1, 130, 120);
        assert!(is_duplicate(&index, 1, 130));
        assert!(!is_duplicate(&index, 2, 120));
    }

    #[test]
    fn a_claim_that_is_dropped_leaves_the_key_free() {
        let index = Deduplication::new(1_000);
        let Claim::New(claimed) = index.claim(&event(1, 200), 100) else {
            panic!("the key is free")
        };
        assert!(matches!(
            index.claim(&event(1, 200), 100),
            Claim::InFlight(_)
        ));
        drop(claimed);
        assert!(matches!(index.claim(&event(1, 200), 100), Claim::New(_)));
        assert_eq!(index.keys(), 0);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_success_and_by_failure() {
        for stored in [true, false] {
            let index = Deduplication::new(1_000);
            let Claim::New(claimed) = index.claim(&event(1, 200), 100) else {
                panic!("the key is free")
            };
            let Claim::InFlight(first) = index.claim(&event(1, 200), 100) else {
                panic!("the key is claimed")
            };
            let waiting = tokio::spawn(first.settled());
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            if stored {
                claimed.commit(100);
            } else {
                drop(claimed);
            }
            waiting.await.unwrap();
            assert_eq!(is_duplicate(&index, 1, 100), stored);
        }
    }

    #[test]
    fn the_oldest_keys_go_first_and_the_window_that_is_left_is_told() {
        let index = Deduplication::new(2 * SHARDS);
        // All in one shard, which has room for two.
        store(&index, 1, 1_000, 100);
        store(&index, 2, 1_000, 110);
        assert_eq!(index.shortened_to(), None);
        store(&index, 3, 1_000, 130);
        assert!(!is_duplicate(&index, 1, 130));
        assert!(is_duplicate(&index, 2, 130) && is_duplicate(&index, 3, 130));
        assert_eq!(index.shortened_to(), Some(30));
    }

    #[test]
    fn expired_keys_make_room_without_shortening_the_window() {
        let index = Deduplication::new(2 * SHARDS);
        store(&index, 1, 105, 100);
        store(&index, 2, 106, 100);
        store(&index, 3, 300, 200);
        assert_eq!((index.keys(), index.shortened_to()), (1, None));
    }

    #[test]
    fn a_key_stored_again_is_not_forgotten_with_its_older_self() {
        let index = Deduplication::new(2 * SHARDS);
        store(&index, 1, 105, 100);
        store(&index, 1, 305, 200);
        store(&index, 2, 305, 201);
        assert!(is_duplicate(&index, 1, 202) && is_duplicate(&index, 2, 202));
        assert_eq!(index.keys(), 2);
    }

    #[test]
    fn a_key_that_expires_and_returns_for_ever_takes_no_more_room() {
        let index = Deduplication::new(64 * SHARDS);
        store(&index, 1, 1_000_000, 0);
        for now in 0..10_000 {
            store(&index, 2, now, now);
        }
        assert!(lock(&index.shards[0]).by_age.len() < 32);
    }

    #[test]
    fn what_the_log_holds_is_remembered_after_a_restart_unless_its_window_is_over() {
        let index = Deduplication::new(1_000);
        index.restore(&event(1, 200), 90, 100);
        index.restore(&event(2, 99), 90, 100);
        assert!(is_duplicate(&index, 1, 100));
        assert!(!is_duplicate(&index, 2, 100));
    }

    #[test]
    fn many_keys_stay_within_the_bound() {
        let index = Deduplication::new(10_000);
        let mut key = 1_u128;
        for _ in 0..200_000 {
            key = key
                .wrapping_mul(0x2d99787926d46932a4c1f32680f70c55)
                .wrapping_add(1);
            store(&index, key, 10_000, 100);
        }
        assert!(index.keys() <= 10_000);
        for shard in &index.shards {
            assert!(lock(shard).by_age.len() <= 10_000 / SHARDS);
        }
    }
}
