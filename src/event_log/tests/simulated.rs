//! A storage that loses everything that may be lost.
//!
//! Files and the folder have two faces: what a process sees (the page cache), and what is on disk.
//! A completed sync copies the one to the other. A power cut leaves of each sector written since
//! then any of its versions, or a mix of two, and of the changes to the folder since its last
//! sync any part. A kill loses nothing, but leaves it unsynced. The n-th operation can be made to
//! crash; a write or sync can be made to fail; one kind of sync can be left out; space can run out.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use super::super::segments::lock;
use super::super::storage::{Storage, StorageFile, SyncPoint};

const SECTOR: usize = 512;

/// A small generator of random numbers (splitmix64), so that a seed is a whole story.
#[derive(Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// Less than `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(super) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// What goes wrong next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The operation after so many further ones does not come back, nor does any after it.
    Crash(usize),
    /// The next write of records fails halfway.
    Write,
    /// The next sync of this kind fails. What it should have written is then lost, though the
    /// cache goes on to show it: that is what Linux does.
    Sync(SyncPoint),
}

#[derive(Clone)]
pub(super) struct Simulated {
    state: Arc<Mutex<State>>,
}

struct State {
    random: Random,
    folder: bool,
    folder_durable: bool,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    changes: Vec<Change>,
    files: HashMap<u64, FileState>,
    locked: bool,
    fault: Fault,
    crashed: bool,
    /// Crashes so far: handles of before are dead.
    age: u64,
    left_out: Option<SyncPoint>,
    quota: usize,
    syncs: HashMap<SyncPoint, usize>,
}

#[derive(Clone)]
enum Change {
    Create(String, u64),
    Rename(String, String, u64),
    Remove(String),
}

#[derive(Default)]
struct FileState {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// What each sector was since it was last synced, oldest first.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
}

impl Simulated {
    pub(super) fn new(seed: u64, left_out: Option<SyncPoint>) -> Self {
        let state = State {
            random: Random(seed),
            folder: false,
            folder_durable: false,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            files: HashMap::new(),
            locked: false,
            fault: Fault::None,
            crashed: false,
            age: 0,
            left_out,
            quota: usize::MAX,
            syncs: HashMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        lock(&self.state).fault = fault;
    }

    /// Bytes that all files may have together.
    pub(super) fn set_quota(&self, quota: usize) {
        lock(&self.state).quota = quota;
    }

    pub(super) fn has_crashed(&self) -> bool {
        lock(&self.state).crashed
    }

    pub(super) fn syncs(&self, point: SyncPoint) -> usize {
        lock(&self.state).syncs.get(&point).copied().unwrap_or(0)
    }

    /// The process is gone, the computer is not.
    pub(super) fn kill(&self) {
        let mut state = lock(&self.state);
        state.crashed = false;
        state.locked = false;
        state.fault = Fault::None;
        state.age += 1;
    }

    /// The computer is gone, and comes back with what was on disk.
    pub(super) fn cut_power(&self) {
        self.kill();
        lock(&self.state).lose_unsynced();
    }

    /// What a file holds, to damage it.
    pub(super) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = lock(&self.state);
        let inode = state.names[name];
        let file = state.files.get_mut(&inode).unwrap();
        edit(&mut file.cached);
        file.durable = file.cached.clone();
        file.dirty.clear();
    }

    pub(super) fn names(&self) -> Vec<String> {
        lock(&self.state).names.keys().cloned().collect()
    }

    /// A copy that shares nothing with this one.
    pub(super) fn fork(&self) -> Self {
        let state = lock(&self.state);
        let copy = Self::new(state.random.0, state.left_out);
        let mut other = lock(&copy.state);
        other.folder = state.folder;
        other.folder_durable = state.folder_durable;
        other.names = state.names.clone();
        other.durable_names = state.durable_names.clone();
        other.changes = state.changes.clone();
        for (inode, file) in &state.files {
            let file = FileState {
                cached: file.cached.clone(),
                durable: file.durable.clone(),
                dirty: file.dirty.clone(),
            };
            other.files.insert(*inode, file);
        }
        drop(other);
        copy
    }
}

impl State {
    fn lose_unsynced(&mut self) {
        let Self { random, files, .. } = self;
        // In the order of their numbers, so that a seed always tells the same story.
        let mut inodes: Vec<_> = files.keys().copied().collect();
        inodes.sort_unstable();
        for inode in inodes {
            files.entry(inode).or_default().lose_unsynced(random);
        }
        if !self.folder_durable && self.random.one_in(2) {
            self.folder = false;
            self.durable_names.clear();
            self.changes.clear();
        }
        // Some file systems keep the order of changes, and some do not.
        let ordered = self.random.one_in(2);
        let kept = self.random.below(self.changes.len() + 1);
        for (index, change) in std::mem::take(&mut self.changes).into_iter().enumerate() {
            let happened = if ordered {
                index < kept
            } else {
                self.random.one_in(2)
            };
            if happened {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        let State { names, files, .. } = self;
        files.retain(|inode, _| names.values().any(|named| named == inode));
    }

    /// Says whether an operation may go on, or is the one that crashes.
    fn step(&mut self, age: u64) -> io::Result<bool> {
        if self.crashed || age != self.age {
            return Err(io::Error::other("the computer is off"));
        }
        match &mut self.fault {
            Fault::Crash(0) => {
                self.crashed = true;
                Ok(true)
            }
            Fault::Crash(left) => {
                *left -= 1;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn crash_or(&self, crashes: bool) -> io::Result<()> {
        if crashes {
            return Err(io::Error::other("the computer went off"));
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.names);
        self.changes.push(change);
    }

    fn used(&self) -> usize {
        let inodes = self.names.values();
        inodes.map(|inode| self.files[inode].cached.len()).sum()
    }
}

impl Change {
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Create(name, inode) => {
                names.insert(name, inode);
            }
            Self::Rename(from, to, inode) => {
                names.remove(&from);
                names.insert(to, inode);
            }
            Self::Remove(name) => {
                names.remove(&name);
            }
        }
    }
}

impl FileState {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.cached.len());
            let version = self.cached[range].to_vec();
            self.dirty.entry(sector).or_default().push(version);
        }
    }

    fn sync(&mut self) {
        // Only what is dirty: a sync after a failed one does not bring back what that one lost.
        self.durable.resize(self.cached.len(), 0);
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.cached.len());
            self.durable[range.clone()].copy_from_slice(&self.cached[range]);
        }
    }

    fn lose_unsynced(&mut self, random: &mut Random) {
        if self.cached.len() > self.durable.len() && random.one_in(2) {
            self.durable.resize(self.cached.len(), 0);
        }
        for (sector, mut versions) in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR;
            if start >= self.durable.len() {
                continue;
            }
            let end = (start + SECTOR).min(self.durable.len());
            versions.insert(0, self.durable[start..end].to_vec());
            let mut version = versions[random.below(versions.len())].clone();
            version.resize(end - start, 0);
            // Torn within the sector: more than disks do.
            if random.one_in(8) {
                let other = &versions[random.below(versions.len())];
                let cut = random.below(other.len().min(version.len()) + 1);
                version[..cut].copy_from_slice(&other[..cut]);
            }
            self.durable[start..end].copy_from_slice(&version);
        }
        self.cached.clone_from(&self.durable);
    }
}

impl Storage for Simulated {
    fn create_folder(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        let age = state.age;
        let crashes = state.step(age)?;
        state.folder = true;
        state.crash_or(crashes)
    }

    fn sync_parent(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = lock(&self.state);
        let age = state.age;
        let crashes = state.step(age)?;
        if state.left_out != Some(point) && !crashes {
            state.folder_durable = true;
        }
        state.crash_or(crashes)
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Send>>> {
        struct Held(Simulated, u64);
        impl Drop for Held {
            fn drop(&mut self) {
                let mut state = lock(&self.0.state);
                if state.age == self.1 {
                    state.locked = false;
                }
            }
        }
        let mut state = lock(&self.state);
        if state.locked {
            return Ok(None);
        }
        state.locked = true;
        Ok(Some(Box::new(Held(self.clone(), state.age))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str, _size: u64) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = lock(&self.state);
        let age = state.age;
        let crashes = state.step(age)?;
        let inode = state.files.keys().max().map_or(1, |inode| inode + 1);
        state.files.insert(inode, FileState::default());
        state.change(Change::Create(name.into(), inode));
        state.crash_or(crashes)?;
        Ok(Arc::new(SimulatedFile(self.clone(), inode, age)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let state = lock(&self.state);
        let inode = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimulatedFile(self.clone(), *inode, state.age)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = lock(&self.state);
        let age = state.age;
        let crashes = state.step(age)?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change(Change::Rename(from.into(), to.into(), inode));
        state.crash_or(crashes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = lock(&self.state);
        let age = state.age;
        let crashes = state.step(age)?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(Change::Remove(name.into()));
        state.crash_or(crashes)
    }

    fn sync_folder(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = lock(&self.state);
        let age = state.age;
        let crashes = state.step(age)?;
        *state.syncs.entry(point).or_default() += 1;
        if state.fault == Fault::Sync(point) {
            state.fault = Fault::None;
            return Err(io::Error::other("the disk answers no more"));
        }
        if state.left_out != Some(point) && !crashes {
            state.durable_names = state.names.clone();
            state.changes.clear();
        }
        state.crash_or(crashes)
    }
}

struct SimulatedFile(Simulated, u64, u64);

impl StorageFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        let state = lock(&self.0.state);
        let file = state.files.get(&self.1).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = lock(&self.0.state);
        let file = state.files.get(&self.1).ok_or(io::ErrorKind::NotFound)?;
        let range = offset as usize..offset as usize + buffer.len();
        let bytes = file.cached.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = lock(&self.0.state);
        let crashes = state.step(self.2)?;
        let room = state.quota.saturating_sub(state.used());
        let fails = state.fault == Fault::Write && offset >= 4096;
        let length = if crashes || fails {
            state.random.below(bytes.len() + 1)
        } else {
            bytes.len()
        };
        let file = state.files.entry(self.1).or_default();
        let grows = (offset as usize + length).saturating_sub(file.cached.len());
        if grows > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write(&bytes[..length], offset as usize);
        if fails {
            state.fault = Fault::None;
            return Err(io::Error::other("the disk answers no more"));
        }
        state.crash_or(crashes)
    }

    fn sync_data(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = lock(&self.0.state);
        let crashes = state.step(self.2)?;
        *state.syncs.entry(point).or_default() += 1;
        if state.fault == Fault::Sync(point) {
            state.fault = Fault::None;
            let file = state.files.entry(self.1).or_default();
            file.dirty.clear();
            return Err(io::Error::other("the disk answers no more"));
        }
        if state.left_out != Some(point) && !crashes {
            state.files.entry(self.1).or_default().sync();
        }
        state.crash_or(crashes)
    }
}
