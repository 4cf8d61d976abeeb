//! The segments of a log: which there are, how much space they take, and the blank ones that are
//! filled with zeros ahead of the writer.
//!
//! A segment is filled under another name, synced, and only then gets its own: whatever bears a
//! segment's name is whole, and its space is really there. Two blank segments stand ready; the
//! last one is kept for relocations, so that an owner of a full log can always make room.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::format::{Contents, FOOTER_LENGTH, RECORDS_START, SegmentHeader};
use super::storage::{Storage, StorageFile, SyncPoint, is_full};
use super::{AppendError, FreeError, Options, SegmentInfo, Sequence, Space, Usage};

/// Blank segments kept ready.
const SPARES: usize = 2;
/// How much is filled with one write when a segment is needed soon.
const FILL_CHUNK: usize = 1 << 20;
/// How much is filled, and synced, at a time when there is no hurry: the writer's next sync waits
/// for no more than this.
const GENTLE_CHUNK: usize = 256 << 10;
/// Open files kept for reading.
const OPEN_FILES: usize = 128;

/// Locks without regard to a panic elsewhere: whoever panics while it changes the log's state
/// poisons the log itself, see `Failure`.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of a segment's file.
pub(super) fn file_name(id: u64) -> String {
    format!("{id:020}.log")
}

/// The id in a segment's file name.
pub(super) fn id_in(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let id = digits.parse().ok()?;
    (file_name(id) == name).then_some(id)
}

/// A name under which a segment is being filled.
const FILLING: &str = ".filling";

pub(super) fn is_unfinished(name: &str) -> bool {
    name.ends_with(FILLING)
}

/// One segment.
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    file: Mutex<Option<Arc<dyn StorageFile>>>,
    /// Where the last synced record ends.
    end: AtomicU32,
    /// Nothing is appended any more. Read before `end`, it makes that final.
    sealed: AtomicBool,
    contents: Mutex<Contents>,
}

impl Segment {
    pub(super) fn blank(header: SegmentHeader, file: Option<Arc<dyn StorageFile>>) -> Self {
        Self {
            header,
            file: Mutex::new(file),
            end: AtomicU32::new(RECORDS_START),
            sealed: AtomicBool::new(false),
            contents: Mutex::default(),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.header.id
    }

    pub(super) fn salt(&self) -> u64 {
        self.header.salt
    }

    pub(super) fn end(&self) -> u32 {
        self.end.load(Ordering::Acquire)
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    pub(super) fn contents(&self) -> Contents {
        *lock(&self.contents)
    }

    /// Shows synced records to readers.
    pub(super) fn publish(&self, end: u32, contents: Contents) {
        *lock(&self.contents) = contents;
        self.end.store(end, Ordering::Release);
    }

    pub(super) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Where records have to end.
    pub(super) fn limit(&self) -> u32 {
        self.header.size - FOOTER_LENGTH
    }

    fn info(&self) -> SegmentInfo {
        let Contents {
            records,
            first,
            last,
            oldest,
            newest,
        } = self.contents();
        SegmentInfo {
            id: self.id(),
            size: self.header.size,
            used: self.end(),
            records,
            appended: (first != 0).then_some((Sequence(first), Sequence(last))),
            times: (records != 0).then_some((oldest, newest)),
            sealed: self.is_sealed(),
        }
    }
}

/// What the log's threads and handles share.
pub(super) struct Shared {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) options: Options,
    pub(super) table: Mutex<Table>,
    /// A segment was filled or freed, the log failed, or is closing.
    pub(super) changed: Condvar,
    failure: OnceLock<String>,
    pub(super) watermark: watch::Sender<Sequence>,
    space: watch::Sender<Space>,
    /// Commits so far, for who waits without a runtime.
    commits: Mutex<u64>,
    committed: Condvar,
    open_files: Mutex<VecDeque<Arc<Segment>>>,
}

/// The segments there are.
#[derive(Default)]
pub(super) struct Table {
    /// Those with records, by id; the last one is being written to, unless it is sealed.
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
    /// Filled and blank, oldest first; their ids are above all others.
    pub(super) spares: VecDeque<Arc<Segment>>,
    /// Those whose header is damaged, and their bytes: they take space until they are freed.
    unreadable: BTreeMap<u64, u64>,
    next_id: u64,
    /// Bytes of the segment that is being filled.
    filling: u64,
    /// A record needs a segment of this size, larger than usual.
    ordered: Option<u32>,
    /// The file system had no space when a segment was last filled.
    disk_full: bool,
    /// An append was refused, and no space was won since.
    refused: bool,
    /// The writer has stopped.
    pub(super) stopped: bool,
}

impl Table {
    pub(super) fn new(
        segments: BTreeMap<u64, Arc<Segment>>,
        spares: VecDeque<Arc<Segment>>,
        unreadable: BTreeMap<u64, u64>,
        next_id: u64,
    ) -> Self {
        Self {
            segments,
            spares,
            unreadable,
            next_id,
            ..Self::default()
        }
    }

    /// Bytes of all files.
    pub(super) fn allocated(&self) -> u64 {
        let sizes = self.segments.values().chain(&self.spares);
        let readable: u64 = sizes.map(|s| u64::from(s.header.size)).sum();
        readable + self.unreadable.values().sum::<u64>() + self.filling
    }
}

/// What became of an attempt to fill a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Done,
    /// There are enough, or no more fit into the capacity.
    NotNeeded,
    /// The disk is full.
    NoSpace,
    /// The log failed.
    Failed,
}

/// Who may take the last blank segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Append,
    Relocation,
}

/// Who fills segments while the writer waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filling {
    /// A thread of its own.
    Thread,
    /// The writer itself: where there are no threads, so that a run can be repeated exactly.
    #[cfg(test)]
    Inline,
}

impl Shared {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        options: Options,
        table: Table,
        watermark: Sequence,
    ) -> Self {
        let shared = Self {
            storage,
            options,
            table: Mutex::new(table),
            changed: Condvar::new(),
            failure: OnceLock::new(),
            watermark: watch::Sender::new(watermark),
            space: watch::Sender::new(Space::Ample),
            commits: Mutex::new(0),
            committed: Condvar::new(),
            open_files: Mutex::default(),
        };
        shared.publish_space(&lock(&shared.table));
        shared
    }

    /// Stops the log for good: what is on disk is no longer known.
    pub(super) fn fail(&self, what: &str, error: &io::Error) {
        self.fail_because(format!("failed to {what}: {error}"));
    }

    pub(super) fn fail_because(&self, reason: String) {
        tracing::error!(reason, "the event log refuses further records");
        let _ = self.failure.set(reason);
        let table = lock(&self.table);
        self.publish_space(&table);
        self.changed.notify_all();
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub(super) fn space(&self) -> watch::Receiver<Space> {
        self.space.subscribe()
    }

    fn publish_space(&self, table: &Table) {
        let left = self.options.capacity.saturating_sub(table.allocated());
        let space = if self.failure().is_some() {
            Space::Failed
        } else if table.refused {
            Space::Full
        } else if table.disk_full || left < self.options.low_water {
            Space::Low
        } else {
            Space::Ample
        };
        self.space.send_if_modified(|old| {
            let changed = *old != space;
            *old = space;
            changed
        });
    }

    pub(super) fn usage(&self) -> Usage {
        let table = lock(&self.table);
        let used = table.segments.values().map(|segment| {
            u64::from(if segment.is_sealed() {
                segment.header.size
            } else {
                segment.end()
            })
        });
        Usage {
            capacity: self.options.capacity,
            used: used.sum(),
            allocated: table.allocated(),
            space: *self.space.borrow(),
            failure: self.failure().map(str::to_owned),
        }
    }

    pub(super) fn infos(&self) -> Vec<SegmentInfo> {
        let table = lock(&self.table);
        table.segments.values().map(|s| s.info()).collect()
    }

    pub(super) fn segment(&self, id: u64) -> Option<Arc<Segment>> {
        lock(&self.table).segments.get(&id).cloned()
    }

    /// The first segment after `id`.
    pub(super) fn segment_after(&self, id: Option<u64>) -> Option<Arc<Segment>> {
        let from = id.map_or(0, |id| id + 1);
        let table = lock(&self.table);
        table.segments.range(from..).next().map(|(_, s)| s.clone())
    }

    /// The file of a segment, opened if it is not.
    pub(super) fn file(&self, segment: &Arc<Segment>) -> io::Result<Arc<dyn StorageFile>> {
        let mut slot = lock(&segment.file);
        if let Some(file) = &*slot {
            return Ok(file.clone());
        }
        let file = self.storage.open(&file_name(segment.id()))?;
        *slot = Some(file.clone());
        drop(slot);
        self.remember_open(segment);
        Ok(file)
    }

    /// Closes the file that was opened first when there are too many.
    pub(super) fn remember_open(&self, segment: &Arc<Segment>) {
        let mut open = lock(&self.open_files);
        open.push_back(segment.clone());
        if open.len() > OPEN_FILES
            && let Some(oldest) = open.pop_front()
        {
            drop(open);
            *lock(&oldest.file) = None;
        }
    }

    /// Tells who waits of a commit, and the last sequence that it gave out, if any.
    pub(super) fn announce(&self, last: Option<Sequence>) {
        if let Some(last) = last {
            self.watermark.send_replace(last);
        }
        *lock(&self.commits) += 1;
        self.committed.notify_all();
    }

    pub(super) fn commits(&self) -> u64 {
        *lock(&self.commits)
    }

    /// Waits until there were more commits than `seen`, at most for `timeout`.
    pub(super) fn wait_for_commit(&self, seen: u64, timeout: Duration) {
        let commits = lock(&self.commits);
        let _ = self
            .committed
            .wait_timeout_while(commits, timeout, |commits| *commits == seen);
    }

    /// Removes a sealed segment for good.
    pub(super) fn free(&self, id: u64) -> Result<(), FreeError> {
        if let Some(reason) = self.failure() {
            return Err(FreeError::Failed(reason.to_owned()));
        }
        {
            let mut table = lock(&self.table);
            if table.unreadable.remove(&id).is_none() {
                let newest = table.segments.keys().next_back() == Some(&id);
                let segment = table.segments.get(&id).ok_or(FreeError::Unknown(id))?;
                // The newest one says which sequence comes next.
                if newest || !segment.is_sealed() {
                    return Err(FreeError::InUse(id));
                }
                table.segments.remove(&id);
            }
        }
        lock(&self.open_files).retain(|segment| segment.id() != id);
        let removed = self.storage.remove(&file_name(id));
        if let Err(error) =
            removed.and_then(|()| self.storage.sync_folder(SyncPoint::FolderAfterRemove))
        {
            let what = format!("remove segment {id}");
            self.fail(&what, &error);
            return Err(FreeError::Failed(format!("failed to {what}: {error}")));
        }
        let mut table = lock(&self.table);
        (table.refused, table.disk_full) = (false, false);
        self.publish_space(&table);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes a blank segment for records of `needed` bytes, waiting for one that is being filled.
    pub(super) fn take_spare(
        &self,
        needed: u64,
        claim: Claim,
        filling: Filling,
    ) -> Result<Arc<Segment>, AppendError> {
        let kept = if claim == Claim::Append { 1 } else { 0 };
        let needed = needed + u64::from(RECORDS_START) + u64::from(FOOTER_LENGTH);
        let mut table = lock(&self.table);
        loop {
            if self.failure().is_some() {
                return Err(AppendError::Failed);
            }
            if table
                .spares
                .front()
                .is_some_and(|s| u64::from(s.header.size) < needed)
            {
                // A blank segment that is passed over must go: ids stand in the order of writing.
                self.order(&mut table, needed)?;
            }
            if table.spares.len() > kept
                && let Some(segment) = table.spares.pop_front()
            {
                table.segments.insert(segment.id(), segment.clone());
                self.publish_space(&table);
                self.changed.notify_all();
                return Ok(segment);
            }
            if table.filling == 0 && (table.disk_full || !self.fits(&table)) {
                table.ordered = None;
                table.refused = true;
                self.publish_space(&table);
                return Err(AppendError::Full);
            }
            match filling {
                Filling::Thread => {
                    table = self
                        .changed
                        .wait(table)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                #[cfg(test)]
                Filling::Inline => {
                    drop(table);
                    self.fill_one();
                    table = lock(&self.table);
                }
            }
        }
    }

    /// Asks for a larger segment than usual, in place of the blank ones.
    fn order(&self, table: &mut Table, needed: u64) -> Result<(), AppendError> {
        let size = needed.next_multiple_of(u64::from(RECORDS_START));
        let spares: u64 = table.spares.iter().map(|s| u64::from(s.header.size)).sum();
        let with_order = table.allocated() - spares + size + u64::from(self.options.segment_size);
        let size = u32::try_from(size).map_err(|_| AppendError::TooLarge)?;
        if with_order > self.options.capacity {
            table.refused = true;
            self.publish_space(table);
            return Err(AppendError::Full);
        }
        table.ordered = Some(size);
        self.changed.notify_all();
        for spare in table.spares.drain(..) {
            // It is blank: should it come back after a crash, it is blank still.
            if let Err(error) = self.storage.remove(&file_name(spare.id())) {
                tracing::warn!(%error, segment = spare.id(), "failed to remove a blank segment");
            }
        }
        Ok(())
    }

    fn fits(&self, table: &Table) -> bool {
        let size = table.ordered.unwrap_or(self.options.segment_size);
        table.allocated() + u64::from(size) <= self.options.capacity
    }

    /// Whether a blank segment should be filled now.
    pub(super) fn wants_spare(&self, table: &Table) -> bool {
        self.failure().is_none()
            && (table.spares.len() < SPARES || table.ordered.is_some())
            && self.fits(table)
    }

    /// Whether the disk was full at the last attempt.
    pub(super) fn disk_is_full(&self, table: &Table) -> bool {
        table.disk_full
    }

    /// Fills one blank segment, if one is wanted.
    pub(super) fn fill_one(&self) -> Filled {
        let (id, size) = {
            let mut table = lock(&self.table);
            if !self.wants_spare(&table) {
                return Filled::NotNeeded;
            }
            let size = table.ordered.unwrap_or(self.options.segment_size);
            table.filling = u64::from(size);
            table.next_id += 1;
            (table.next_id - 1, size)
        };
        let header = SegmentHeader {
            id,
            size,
            salt: rand::random(),
        };
        let filled = self.fill(&header);
        let mut table = lock(&self.table);
        table.filling = 0;
        let outcome = match filled {
            Ok(file) => {
                let segment = Segment::blank(header, Some(file));
                table.spares.push_back(Arc::new(segment));
                if table.ordered == Some(size) {
                    table.ordered = None;
                }
                (table.refused, table.disk_full) = (false, false);
                Filled::Done
            }
            Err(error) if is_full(&error) => {
                if !table.disk_full {
                    tracing::warn!(%error, "no space for a further segment of the event log");
                }
                table.disk_full = true;
                Filled::NoSpace
            }
            Err(error) => {
                drop(table);
                self.fail("prepare a segment", &error);
                return Filled::Failed;
            }
        };
        self.publish_space(&table);
        self.changed.notify_all();
        outcome
    }

    fn fill(&self, header: &SegmentHeader) -> io::Result<Arc<dyn StorageFile>> {
        let unfinished = format!("{:020}{FILLING}", header.id);
        let written = self.write_blank(&unfinished, header);
        let named = written.and_then(|file| {
            self.storage.rename(&unfinished, &file_name(header.id))?;
            Ok(file)
        });
        if named.is_err() {
            // Opening the log would remove it as well.
            let _ = self.storage.remove(&unfinished);
        }
        let file = named?;
        // Not among the errors that mean "full": by now the name is there, or not.
        self.storage
            .sync_folder(SyncPoint::FolderAfterRename)
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(file)
    }

    /// Whether the writer will soon ask for a segment: it has none, or has used half of it.
    fn is_urgent(&self) -> bool {
        let table = lock(&self.table);
        let active = table.segments.values().next_back();
        active.is_none_or(|active| active.is_sealed() || active.end() > active.header.size / 2)
    }

    fn write_blank(&self, name: &str, header: &SegmentHeader) -> io::Result<Arc<dyn StorageFile>> {
        let size = header.size as usize;
        let file = self.storage.create(name, size as u64)?;
        let mut chunk = vec![0; FILL_CHUNK.min(size)];
        let encoded = header.encode();
        chunk[..encoded.len()].copy_from_slice(&encoded);
        let mut offset = 0;
        while offset < size {
            let gentle = !self.is_urgent();
            let most = if gentle { GENTLE_CHUNK } else { FILL_CHUNK };
            let length = chunk.len().min(size - offset).min(most);
            file.write_at(&chunk[..length], offset as u64)?;
            if offset == 0 {
                chunk[..encoded.len()].fill(0);
            }
            offset += length;
            if gentle && offset < size {
                // For the pace alone; durable it becomes below.
                file.sync_data(SyncPoint::SegmentFilled)?;
            }
        }
        file.sync_data(SyncPoint::SegmentFilled)?;
        Ok(file)
    }
}
