//! What is written is there after opening again, and damage costs nothing but a redelivery.

use std::fs::{File, OpenOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::*;
use crate::delivery::replay::ReplayRequest;

fn registration(name: &str) -> Registration {
    Registration {
        name: ObjectName::new("shop", name),
        uid: format!("uid-{name}"),
        after: 7,
    }
}

fn retry(attempts: u32) -> Retry {
    Retry {
        attempts,
        next: 1000,
        first_failure: Some(500),
        last_error: Some(Arc::from("the sink answered 500")),
        replayed: None,
    }
}

fn batch() -> Batch {
    Batch {
        routed: Some(42),
        registered: vec![(0, registration("a")), (1, registration("b"))],
        forgotten: vec![],
        queues: vec![
            (
                0,
                Changes {
                    chunks: vec![
                        (0, positions::encode(&[3, 9])),
                        (2, positions::encode(&[8192])),
                    ],
                    retries: vec![(3, Some(retry(2)))],
                },
            ),
            (
                1,
                Changes {
                    chunks: vec![(0, positions::encode(&[4]))],
                    retries: vec![],
                },
            ),
        ],
        replays: vec![(
            5,
            Some(Replay {
                request: ReplayRequest {
                    from: Some("2026-01-02T03:04:05Z".parse().unwrap()),
                    ..ReplayRequest::default()
                },
                done: 1,
                end: 2,
                replayed: 1,
            }),
        )],
    }
}

fn all(positions: &mut Positions) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(next) = positions.next(all.last().map_or(0, |last: &u64| *last + 1)) {
        all.push(next);
    }
    all
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (state, memory) = State::open(&path, 100).unwrap();
    assert!(!memory.known);
    state.write(&batch()).unwrap();
    drop(state);

    let (state, mut memory) = State::open(&path, 100).unwrap();
    assert!(memory.known);
    assert_eq!((memory.routed, memory.next), (42, 2));
    assert_eq!(
        memory.replays,
        BTreeMap::from([(5, batch().replays[0].1.clone().unwrap())])
    );
    let first = memory.subscriptions.get_mut(&0).unwrap();
    assert_eq!(first.registration, registration("a"));
    assert_eq!(all(&mut first.undelivered), [3, 9, 8192]);
    assert_eq!(first.retries, HashMap::from([(3, retry(2))]));

    state
        .write(&Batch {
            routed: Some(43),
            forgotten: vec![0],
            queues: vec![(
                1,
                Changes {
                    chunks: vec![(0, None)],
                    retries: vec![],
                },
            )],
            replays: vec![(5, None)],
            ..Batch::default()
        })
        .unwrap();
    drop(state);
    let (_state, memory) = State::open(&path, 100).unwrap();
    assert_eq!(
        (memory.routed, memory.next),
        (43, 2),
        "numbers are not used again"
    );
    assert!(memory.replays.is_empty());
    assert_eq!(memory.subscriptions.keys().collect::<Vec<_>>(), [&1]);
    assert!(memory.subscriptions[&1].undelivered.is_empty());
}

#[test]
fn damage_anywhere_is_set_aside_or_harmless_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (state, _) = State::open(&path, 100).unwrap();
    state.write(&batch()).unwrap();
    drop(state);
    let good = std::fs::read(&path).unwrap();
    let mut set_aside = 0;
    let mut check = |bytes: &[u8], name: &str| {
        std::fs::write(&path, bytes).unwrap();
        let (state, memory) =
            State::open(&path, 100).unwrap_or_else(|error| panic!("{name}: {error}"));
        if !memory.known {
            set_aside += 1;
        }
        state.write(&batch()).unwrap();
        drop(state);
    };
    check(b"", "an empty file");
    check(b"not a database at all", "another file");
    check(&good[..good.len() / 2], "a file cut off");
    check(&good[..100], "a file cut off in its header");
    for page in (0..good.len()).step_by(4096) {
        let mut bad = good.clone();
        let end = (page + 4096).min(bad.len());
        bad[page..end].fill(0xA5);
        check(&bad, &format!("the page at {page} overwritten"));
    }
    assert!(set_aside >= 3, "{set_aside}");
    let kept = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(kept > 1, "damaged files are kept for a look at them");
}

#[test]
fn another_version_is_set_aside_and_a_locked_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (state, _) = State::open(&path, 100).unwrap();
    state.write(&batch()).unwrap();
    assert!(matches!(
        State::open(&path, 100),
        Err(StateError::Locked(_))
    ));
    let database = state.database.lock().unwrap().take().unwrap();
    let writing = database.begin_write().unwrap();
    writing
        .open_table(NUMBERS)
        .unwrap()
        .insert(VERSION_KEY, 99)
        .unwrap();
    writing.commit().unwrap();
    drop(database);
    drop(state);
    let (_state, memory) = State::open(&path, 100).unwrap();
    assert!(!memory.known);
    assert!(folder.path().join("state.redb.damaged-1").exists());
}

#[test]
fn the_state_of_another_log_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (state, _) = State::open(&path, 0).unwrap();
    state.write(&batch()).unwrap();
    drop(state);
    assert!(State::open(&path, 42).unwrap().1.known);
    assert!(!State::open(&path, 41).unwrap().1.known);
    assert!(folder.path().join("state.redb.damaged-1").exists());
}

/// A file on a disk that can be full.
#[derive(Debug)]
struct FullDisk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl FullDisk {
    fn open(path: &Path, full: &Arc<AtomicBool>) -> Result<Database, DatabaseError> {
        let file: File = OpenOptions::new().read(true).write(true).open(path)?;
        let full = full.clone();
        let file = FileBackend::new(file)?;
        Database::builder().create_with_backend(Self { file, full })
    }

    fn check(&self) -> io::Result<()> {
        match self.full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for FullDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.check()?;
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[test]
fn after_a_full_disk_it_is_written_again_and_nothing_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    drop(State::open(&path, 100).unwrap());
    let full = Arc::new(AtomicBool::new(false));
    let open = {
        let (path, full) = (path.clone(), full.clone());
        move || FullDisk::open(&path, &full)
    };
    let state = State::with(open().unwrap(), Box::new(open));
    state.write(&batch()).unwrap();
    full.store(true, Ordering::Relaxed);
    let next = Batch {
        routed: Some(43),
        registered: vec![(2, registration("c"))],
        ..Batch::default()
    };
    for _ in 0..3 {
        let error = state.write(&next).unwrap_err();
        assert!(error.to_string().contains("delivery state"), "{error}");
    }
    full.store(false, Ordering::Relaxed);
    state.write(&next).unwrap();
    drop(state);
    let (_state, memory) = State::open(&path, 100).unwrap();
    assert_eq!((memory.routed, memory.next), (43, 3));
    assert_eq!(
        memory.subscriptions.keys().collect::<Vec<_>>(),
        [&0, &1, &2]
    );
}
