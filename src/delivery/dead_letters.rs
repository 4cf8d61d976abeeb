//! Dead letters: events that were refused at the door, or given up on by one subscription, kept so
//! that somebody can look at them, mend the cause and replay them.
//!
//! They stand in an event log of their own, with their own quota and retention, so that they can
//! never crowd out events that are still to be delivered. In memory there is one small entry for
//! each, found again by reading the log at the start. A removal is a record in the same log; should
//! it be lost, the letter shows again, and nothing else.
//!
//! **Invariant:** a letter whose append was answered is there after any crash until it is removed,
//! older than the retention, or among the oldest when the quota is used up (counted, and warned
//! of). Segments are freed from the oldest on only, so that a removal never goes before what it
//! removes.
//!
//! Replaying is not here: the dispatcher takes a given-up event back into its subscription's
//! queue, the gateway puts a refused one through validation again. Both [`get`](DeadLetters::get)
//! the letter, and [`remove`](DeadLetters::remove) it once the event is safe elsewhere.

mod index;
mod listing;
mod record;

pub use listing::{Counts, Filter, GetError, LARGEST_PAGE, Page, PageRequest, Summary};

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use self::index::Index;
use self::record::Content;
use super::sender::{KeepDeadLetters, KeepError};
use crate::event::DeadLetter;
use crate::event_log::{
    self, AppendError, Damage, EventLog, FreeError, OpenError, ReadError, ScanFrom, ScanItem,
    Storage, Usage,
};

/// Bytes of records that are appended together.
const APPEND_BYTES: usize = 8 << 20;

/// How many segments stay free for what comes next: the log fills some ahead.
const FREE_SEGMENTS: u64 = 4;

/// How often [`DeadLetters::keep_tidy`] looks for letters that are too old.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// How dead letters are kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The quota in bytes; a letter can have at most three quarters of it.
    pub capacity: u64,
    /// Letters in memory, some 100 bytes each; beyond it the oldest go as if the quota were used
    /// up.
    pub entries: usize,
    /// Age after which a letter goes.
    pub retention: Duration,
}

impl Options {
    /// Good values beside an event log of `storage` bytes: a tenth of it, at least 64 MiB where
    /// that is no more than half of it, at least 16 MiB anywhere, so that every event that the log
    /// holds also fits here; 30 days.
    pub fn for_storage(storage: u64) -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            capacity: (storage / 10)
                .max((storage / 2).min(64 * MIB))
                .max(16 * MIB),
            entries: 500_000,
            retention: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// Names a dead letter for as long as it is kept. Later letters have greater ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeadLetterId(u64);

/// Decimal digits, as the admin API shows it.
impl fmt::Display for DeadLetterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for DeadLetterId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What has become of letters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Stored.
    pub appended: u64,
    /// Removed, for instance after a replay.
    pub removed: u64,
    /// Gone because they were older than the retention.
    pub expired: u64,
    /// Gone because the quota was used up.
    pub over_quota: u64,
}

/// What was found when the store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Letters that are there.
    pub letters: usize,
    /// Stored data that cannot be read any more.
    pub damage: Vec<Damage>,
    /// Records that are neither letter nor removal, for instance of a later version.
    pub unknown: usize,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDeadLettersError {
    /// Its log could not be opened.
    #[error("failed to open the store of dead letters")]
    Log(#[source] OpenError),
    /// Its log could not be read.
    #[error("failed to read the store of dead letters")]
    Read(#[source] ReadError),
}

/// A handle of the open store; cheap to clone.
#[derive(Clone)]
pub struct DeadLetters {
    inner: Arc<Inner>,
}

struct Inner {
    log: EventLog,
    options: Options,
    segment_size: u64,
    index: Mutex<Index>,
    totals: AtomicTotals,
    /// Read by appends until their letters are in the index, written by whoever frees segments: a
    /// segment must not look empty because its last letters are not counted yet.
    freeing: tokio::sync::RwLock<()>,
}

#[derive(Default)]
struct AtomicTotals {
    appended: AtomicU64,
    removed: AtomicU64,
    expired: AtomicU64,
    over_quota: AtomicU64,
}

impl DeadLetters {
    /// Opens the store, or creates it. Blocking: it reads all letters. Those that are too old at
    /// `now` are left out.
    ///
    /// # Errors
    /// When another process has it open, or the storage fails. Damage is no error: it stands in
    /// the answer.
    pub fn open(
        storage: impl Storage,
        options: Options,
        now: Timestamp,
    ) -> Result<(Self, Opened), OpenDeadLettersError> {
        let mut log_options = event_log::Options::for_capacity(options.capacity);
        // Its own bound counts what the log adds to a record.
        let largest = largest_letter(options.capacity) + (64 << 10);
        log_options.max_append = u32::try_from(largest).unwrap_or(u32::MAX).min(1 << 30);
        let segment_size = u64::from(log_options.segment_size);
        let (log, recovery) =
            EventLog::open(storage, log_options).map_err(OpenDeadLettersError::Log)?;
        let mut opened = Opened {
            letters: 0,
            damage: recovery.damage,
            unknown: 0,
        };
        let mut index = Index::new(options.entries);
        let mut scan = log.scan(ScanFrom::Oldest);
        while let Some(item) = scan.next().map_err(OpenDeadLettersError::Read)? {
            let entry = match item {
                ScanItem::Record(entry) => entry,
                ScanItem::Damage(damage) => {
                    // The scan may know more of what recovery found.
                    let is_same = |found: &Damage| {
                        (found.segment, found.offset) == (damage.segment, damage.offset)
                    };
                    opened.damage.retain(|found| !is_same(found));
                    opened.damage.push(damage);
                    continue;
                }
            };
            match record::decode(&entry.bytes) {
                Ok(Content::Letter(letter)) => {
                    index.insert(entry.sequence.0, entry.position, &letter);
                }
                Ok(Content::Removed(ids)) => {
                    for id in ids {
                        index.remove(id);
                    }
                }
                Err(_) => opened.unknown += 1,
            }
        }
        index.expire(before(now, options.retention));
        opened.letters = index.len();
        let inner = Arc::new(Inner {
            log,
            options,
            segment_size,
            index: Mutex::new(index),
            totals: AtomicTotals::default(),
            freeing: tokio::sync::RwLock::default(),
        });
        Ok((Self { inner }, opened))
    }

    /// Stores letters. When it answers, all of them are on disk and synced.
    ///
    /// Where the quota is used up, the oldest letters go for them.
    ///
    /// # Errors
    /// `Full` where the disk is full although the quota is not used up, `TooLarge` for a letter of
    /// more than three quarters of the quota, `Failed` once the storage failed. Some of the letters
    /// may be stored all the same; storing them again makes two of them.
    pub async fn append(&self, letters: Vec<DeadLetter>) -> Result<Vec<DeadLetterId>, AppendError> {
        let mut ids = Vec::with_capacity(letters.len());
        // A small share of the quota, so that little goes at once for what comes.
        let most = APPEND_BYTES.min((self.inner.options.capacity / 8) as usize);
        let mut letters = letters.into_iter().peekable();
        while letters.peek().is_some() {
            let mut batch = Vec::new();
            let mut records = Vec::new();
            let mut size = 0;
            while let Some(letter) = letters.next_if(|letter| {
                size == 0 || size + letter.event.data.as_ref().map_or(0, Bytes::len) <= most
            }) {
                let record = record::of_letter(&letter);
                size += record.header.len() + record.body.len();
                records.push(record);
                batch.push(letter);
            }
            self.make_room(size as u64).await?;
            let _appending = self.inner.freeing.read().await;
            let stored = self.inner.log.append(records).await?;
            let mut index = self.inner.index();
            for (letter, (sequence, position)) in batch.iter().zip(stored) {
                let dropped = index.insert(sequence.0, position, letter);
                self.inner
                    .lost(dropped as u64, "too many for the memory they may take");
                ids.push(DeadLetterId(sequence.0));
            }
        }
        let appended = ids.len() as u64;
        self.inner
            .totals
            .appended
            .fetch_add(appended, Ordering::Relaxed);
        Ok(ids)
    }

    /// A part of the letters that match `filter`.
    ///
    /// # Errors
    /// When a letter cannot be read for another reason than damage, which is skipped and warned of.
    pub async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page, GetError> {
        let inner = self.inner.clone();
        let listing = tokio::task::spawn_blocking(move || inner.list(&filter, page));
        // It panics for no reason of its own; a runtime that shuts down drops it.
        listing.await.unwrap_or(Ok(Page {
            items: Vec::new(),
            next: None,
        }))
    }

    /// One letter, payload included; `None` where there is none of this id any more.
    ///
    /// # Errors
    /// When its record is damaged, or the storage fails.
    pub async fn get(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, GetError> {
        let inner = self.inner.clone();
        let reading = tokio::task::spawn_blocking(move || inner.read(id));
        reading.await.unwrap_or(Ok(None))
    }

    /// Removes letters; answers how many of them were there. They are gone at once, and for good
    /// once it answers.
    ///
    /// # Errors
    /// When that could not be stored: then they show again after a restart.
    pub async fn remove(&self, ids: &[DeadLetterId]) -> Result<usize, AppendError> {
        let removed: Vec<u64> = {
            let mut index = self.inner.index();
            let ids = ids.iter().map(|id| id.0);
            ids.filter(|id| index.remove(*id)).collect()
        };
        if removed.is_empty() {
            return Ok(0);
        }
        let count = removed.len();
        let totals = &self.inner.totals;
        totals.removed.fetch_add(count as u64, Ordering::Relaxed);
        let record = record::of_removal(&removed);
        let size = record.header.len() as u64;
        self.make_room(size).await?;
        self.inner.log.append(vec![record]).await?;
        Ok(count)
    }

    /// Drops letters that are too old at `now`, and frees what is no longer needed.
    pub async fn tidy(&self, now: Timestamp) {
        let expired = {
            let mut index = self.inner.index();
            index.expire(before(now, self.inner.options.retention))
        };
        let totals = &self.inner.totals;
        totals.expired.fetch_add(expired as u64, Ordering::Relaxed);
        self.free_while(|inner, segment| inner.index().live_in(segment) == 0)
            .await;
    }

    /// [`DeadLetters::tidy`] every minute, until dropped.
    pub async fn keep_tidy(&self) {
        loop {
            self.tidy(Timestamp::now()).await;
            tokio::time::sleep(TIDY_EVERY).await;
        }
    }

    /// How many letters there are, by whom and why.
    pub fn counts(&self) -> Counts {
        self.inner.index().counts()
    }

    /// What has become of letters since the start.
    pub fn totals(&self) -> Totals {
        let AtomicTotals {
            appended,
            removed,
            expired,
            over_quota,
        } = &self.inner.totals;
        Totals {
            appended: appended.load(Ordering::Relaxed),
            removed: removed.load(Ordering::Relaxed),
            expired: expired.load(Ordering::Relaxed),
            over_quota: over_quota.load(Ordering::Relaxed),
        }
    }

    /// How much of the quota is used, and whether letters can be stored.
    pub fn usage(&self) -> Usage {
        self.inner.log.usage()
    }

    /// Stores what is queued, then gives the folder up. Reading goes on to work.
    pub async fn close(&self) {
        self.inner.log.close().await;
    }

    /// Frees the oldest segments, letters and all, until `size` bytes fit into the quota.
    async fn make_room(&self, size: u64) -> Result<(), AppendError> {
        if size > largest_letter(self.inner.options.capacity) {
            return Err(AppendError::TooLarge);
        }
        let needed = size + FREE_SEGMENTS * self.inner.segment_size;
        let capacity = self.inner.options.capacity;
        let is_short = move |inner: &Inner| inner.log.usage().used + needed > capacity;
        if is_short(&self.inner) {
            self.free_while(move |inner, _| is_short(inner)).await;
        }
        Ok(())
    }

    /// Frees segments from the oldest on while `may_go` says so of the oldest one.
    async fn free_while(&self, may_go: impl Fn(&Inner, u64) -> bool + Send + 'static) {
        let _freeing = self.inner.freeing.write().await;
        let inner = self.inner.clone();
        let freed = tokio::task::spawn_blocking(move || inner.free_while(&may_go));
        // It panics for no reason of its own; a runtime that shuts down drops it.
        let _ = freed.await;
    }
}

impl Inner {
    /// The index is never left half changed, so a poisoned lock is still good.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, letters: u64, why: &'static str) {
        if letters > 0 {
            self.totals.over_quota.fetch_add(letters, Ordering::Relaxed);
            tracing::warn!(letters, why, "the oldest dead letters were dropped");
        }
    }

    fn free_while(&self, may_go: &dyn Fn(&Self, u64) -> bool) {
        loop {
            let oldest = self.log.segments().into_iter().next();
            let Some(oldest) = oldest.filter(|segment| segment.sealed) else {
                return;
            };
            if !may_go(self, oldest.id) {
                return;
            }
            match self.log.free(oldest.id) {
                Ok(()) => {
                    let dropped = self.index().drop_segment(oldest.id);
                    self.lost(dropped as u64, "the quota is used up");
                }
                // The newest one stays, whatever is in it.
                Err(FreeError::InUse(_) | FreeError::Unknown(_)) => return,
                Err(error @ FreeError::Failed(_)) => {
                    tracing::error!(%error, "failed to free space of dead letters");
                    return;
                }
            }
        }
    }
}

/// Three quarters: the rest is for segments in use.
fn largest_letter(capacity: u64) -> u64 {
    capacity / 4 * 3
}

fn before(now: Timestamp, retention: Duration) -> Timestamp {
    now.checked_sub(retention).unwrap_or(Timestamp::MIN)
}

impl KeepDeadLetters for DeadLetters {
    fn keep(&self, letters: Vec<DeadLetter>) -> BoxFuture<'_, Result<(), KeepError>> {
        async move {
            match self.append(letters).await {
                Ok(_) => Ok(()),
                Err(error) => Err(KeepError(error.to_string())),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
