//! What delivery remembers across restarts: which events each subscription still has to get, how
//! far their retries have come, and which replays run. A redb file beside the log.
//!
//! It is written in batches, behind the deliveries and off the acknowledgement path, so it may be
//! a moment old after a crash: then events are delivered again. It is never ahead: an event is
//! taken out only after its delivery, or after its dead letter is on disk. A file that is lost or
//! damaged costs a redelivery of the whole log, never an event.
//!
//! Not here: when it is written (`persist`), and what the numbers mean to a queue (`queue`).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::positions::{self, Positions};
use super::queue::{Changes, Retry};
use super::replay::Replay;
use crate::event::ObjectName;

#[cfg(test)]
mod tests;

/// The version of everything in the file. Another one is set aside like a damaged file.
const VERSION: u64 = 1;

const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
const SUBSCRIPTIONS: TableDefinition<u32, &[u8]> = TableDefinition::new("subscriptions");
const UNDELIVERED: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("undelivered");
const RETRIES: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("retries");
const REPLAYS: TableDefinition<u64, &[u8]> = TableDefinition::new("replays");

/// A key of [`NUMBERS`]: everything up to this sequence has been routed.
const ROUTED: &str = "routed";
/// A key of [`NUMBERS`]: the number of the next new subscription.
const NEXT: &str = "next";
/// A key of [`NUMBERS`].
const VERSION_KEY: &str = "version";

/// The number of a subscription in this file; never used again for another one while the file
/// lives.
pub(super) type Number = u32;

/// A subscription that the file knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Registration {
    /// Its name.
    pub name: ObjectName,
    /// Its uid; another one is another subscription.
    pub uid: String,
    /// It gets events with a greater sequence.
    pub after: u64,
}

/// What the file held for one subscription.
#[derive(Debug)]
pub(super) struct Remembered {
    /// Which subscription.
    pub registration: Registration,
    /// Its undelivered events.
    pub undelivered: Positions,
    /// How far the failed ones have come.
    pub retries: HashMap<u64, Retry>,
}

/// Everything the file held.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Whether it ever was written. If not although the log has records, it was lost.
    pub known: bool,
    /// Everything up to this sequence had been routed.
    pub routed: u64,
    /// The number of the next new subscription.
    pub next: Number,
    /// By number.
    pub subscriptions: BTreeMap<Number, Remembered>,
    /// By number.
    pub replays: BTreeMap<u64, Replay>,
}

/// One batch of changes; it is written as a whole or not at all.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Everything up to this sequence has been routed.
    pub routed: Option<u64>,
    /// New subscriptions.
    pub registered: Vec<(Number, Registration)>,
    /// Subscriptions that are no more, with all they had.
    pub forgotten: Vec<Number>,
    /// What changed in queues.
    pub queues: Vec<(Number, Changes)>,
    /// Replays; `None`: finished.
    pub replays: Vec<(u64, Option<Replay>)>,
}

/// Why the state could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has it.
    #[error("failed to open the delivery state {0}: another process has it open")]
    Locked(PathBuf),
    /// The storage failed.
    #[error("failed to open the delivery state {path}")]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("failed to start a delivery thread")]
    Thread(#[source] io::Error),
}

/// A fault of one batch or of what is stored.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} the delivery state: {detail}")]
pub(super) struct BatchError {
    what: &'static str,
    detail: String,
}

impl BatchError {
    fn of(what: &'static str) -> impl Fn(redb::Error) -> Self {
        move |error| Self {
            what,
            detail: error.to_string(),
        }
    }

    fn damaged(detail: impl Into<String>) -> Self {
        Self {
            what: "read",
            detail: detail.into(),
        }
    }
}

/// The open file.
pub(super) struct State {
    /// Closed after a write that failed: the library takes no more from then on, although a disk
    /// that was full need not stay so.
    database: Mutex<Option<Database>>,
    /// Opens the same file once more; it must not begin a new one.
    reopen: Box<Reopen>,
}

type Reopen = dyn Fn() -> Result<Database, DatabaseError> + Send + Sync;

impl State {
    /// Opens the file and reads all of it. A file that cannot be understood, or that knows of
    /// events behind `watermark`, the last one in the log, and so belongs to another log, is set
    /// aside under another name, loudly, and a new one begun.
    ///
    /// # Errors
    /// When another process has it or the storage fails: nothing is set aside then.
    pub fn open(path: &Path, watermark: u64) -> Result<(Self, Memory), StateError> {
        match Self::try_open(path, watermark) {
            Ok(opened) => Ok(opened),
            Err(Fault::Final(error)) => Err(error),
            Err(Fault::Damaged(detail)) => {
                let storage = |source| StateError::Storage {
                    path: path.to_owned(),
                    source,
                };
                let aside = free_name(path);
                std::fs::rename(path, &aside).map_err(storage)?;
                tracing::error!(
                    file = %path.display(),
                    aside = %aside.display(),
                    detail,
                    "the delivery state cannot be used; it was set aside, and every event that is \
                     still in the log will be delivered again"
                );
                match Self::try_open(path, watermark) {
                    Ok(opened) => Ok(opened),
                    Err(Fault::Final(error)) => Err(error),
                    Err(Fault::Damaged(detail)) => Err(storage(io::Error::other(detail))),
                }
            }
        }
    }

    fn try_open(path: &Path, watermark: u64) -> Result<(Self, Memory), Fault> {
        // The database may panic on bytes that no version of it ever wrote.
        let opened = std::panic::catch_unwind(|| {
            let database = Database::create(path).map_err(|error| match error {
                DatabaseError::DatabaseAlreadyOpen => {
                    Fault::Final(StateError::Locked(path.to_owned()))
                }
                // What the library says of a file that is no database, or a truncated one.
                DatabaseError::Storage(redb::StorageError::Io(source))
                    if !matches!(
                        source.kind(),
                        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                    ) =>
                {
                    Fault::Final(StateError::Storage {
                        path: path.to_owned(),
                        source,
                    })
                }
                error => Fault::Damaged(error.to_string()),
            })?;
            let memory = read(&database).map_err(|error| Fault::Damaged(error.to_string()))?;
            if memory.routed > watermark {
                return Err(Fault::Damaged(format!(
                    "it knows of event {}, but the log ends with {watermark}",
                    memory.routed
                )));
            }
            Ok((database, memory))
        });
        let (database, memory) = opened
            .unwrap_or_else(|_| Err(Fault::Damaged("the database library gave up on it".into())))?;
        let path = path.to_owned();
        let state = Self::with(database, Box::new(move || Database::open(&path)));
        Ok((state, memory))
    }

    fn with(database: Database, reopen: Box<Reopen>) -> Self {
        Self {
            database: Mutex::new(Some(database)),
            reopen,
        }
    }

    /// Writes one batch and syncs it. Blocking. After a failure the same batch may be given again.
    pub fn write(&self, batch: &Batch) -> Result<(), BatchError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = database.take();
        // As in `open`: damage that shows only now must not end the thread that writes.
        let written = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let open = match &mut open {
                Some(open) => open,
                closed => closed.insert((self.reopen)().map_err(boxed)?),
            };
            write_tables(open, batch)
        }));
        let failed = match written {
            Ok(Ok(())) => {
                *database = open;
                return Ok(());
            }
            Ok(Err(error)) => BatchError::of("write")(*error),
            Err(_) => BatchError {
                what: "write",
                detail: "the database library gave up on it".into(),
            },
        };
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(open)));
        Err(failed)
    }
}

fn read(database: &Database) -> Result<Memory, BatchError> {
    read_tables(database).map_err(|fault| match fault {
        ReadFault::Database(error) => BatchError::of("read")(*error),
        ReadFault::Content(detail) => BatchError::damaged(detail),
    })
}

fn read_tables(database: &Database) -> Result<Memory, ReadFault> {
    let reading = database.begin_read()?;
    let numbers = match reading.open_table(NUMBERS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Memory::default()),
        Err(error) => return Err(error.into()),
    };
    let version = numbers.get(VERSION_KEY)?.map(|number| number.value());
    if version != Some(VERSION) {
        return Err(ReadFault::Content(format!(
            "it has version {version:?}, this program reads {VERSION}"
        )));
    }
    let mut memory = Memory {
        known: true,
        routed: numbers.get(ROUTED)?.map_or(0, |number| number.value()),
        next: numbers.get(NEXT)?.map_or(0, |number| number.value()) as Number,
        ..Memory::default()
    };
    for row in reading.open_table(SUBSCRIPTIONS)?.iter()? {
        let (number, bytes) = row?;
        let remembered = Remembered {
            registration: plain(bytes.value())?,
            undelivered: Positions::default(),
            retries: HashMap::new(),
        };
        memory.subscriptions.insert(number.value(), remembered);
    }
    let mut chunks: BTreeMap<Number, BTreeMap<u64, Vec<u8>>> = BTreeMap::new();
    for row in reading.open_table(UNDELIVERED)?.iter()? {
        let (key, bytes) = row?;
        let (number, chunk) = key.value();
        if positions::decode(chunk, bytes.value()).is_none() {
            return Err(ReadFault::Content(format!("chunk {chunk} is damaged")));
        }
        chunks
            .entry(number)
            .or_default()
            .insert(chunk, bytes.value().to_vec());
    }
    for (number, chunks) in chunks {
        if let Some(remembered) = memory.subscriptions.get_mut(&number) {
            remembered.undelivered = Positions::new(chunks);
        }
    }
    for row in reading.open_table(RETRIES)?.iter()? {
        let (key, bytes) = row?;
        let (number, sequence) = key.value();
        if let Some(remembered) = memory.subscriptions.get_mut(&number) {
            remembered.retries.insert(sequence, plain(bytes.value())?);
        }
    }
    for row in reading.open_table(REPLAYS)?.iter()? {
        let (number, bytes) = row?;
        memory.replays.insert(number.value(), plain(bytes.value())?);
    }
    Ok(memory)
}

fn write_tables(database: &Database, batch: &Batch) -> Result<(), Box<redb::Error>> {
    let Batch {
        routed,
        registered,
        forgotten,
        queues,
        replays,
    } = batch;
    let writing = database.begin_write().map_err(boxed)?;
    {
        let mut numbers = writing.open_table(NUMBERS).map_err(boxed)?;
        let mut subscriptions = writing.open_table(SUBSCRIPTIONS).map_err(boxed)?;
        let mut undelivered = writing.open_table(UNDELIVERED).map_err(boxed)?;
        let mut retries = writing.open_table(RETRIES).map_err(boxed)?;
        let mut stored_replays = writing.open_table(REPLAYS).map_err(boxed)?;
        numbers.insert(VERSION_KEY, VERSION).map_err(boxed)?;
        if let Some(routed) = routed {
            numbers.insert(ROUTED, routed).map_err(boxed)?;
        }
        for (number, changes) in queues {
            let Changes {
                chunks,
                retries: changed,
            } = changes;
            for (chunk, bytes) in chunks {
                match bytes {
                    Some(bytes) => undelivered
                        .insert((*number, *chunk), bytes.as_slice())
                        .map_err(boxed)?,
                    None => undelivered.remove((*number, *chunk)).map_err(boxed)?,
                };
            }
            for (sequence, retry) in changed {
                match retry {
                    Some(retry) => retries
                        .insert((*number, *sequence), bytes_of(retry).as_slice())
                        .map_err(boxed)?,
                    None => retries.remove((*number, *sequence)).map_err(boxed)?,
                };
            }
        }
        for number in forgotten {
            subscriptions.remove(number).map_err(boxed)?;
            let all = (*number, 0)..=(*number, u64::MAX);
            undelivered
                .retain_in(all.clone(), |_, _| false)
                .map_err(boxed)?;
            retries.retain_in(all, |_, _| false).map_err(boxed)?;
        }
        for (number, registration) in registered {
            numbers
                .insert(NEXT, u64::from(*number) + 1)
                .map_err(boxed)?;
            subscriptions
                .insert(number, bytes_of(registration).as_slice())
                .map_err(boxed)?;
        }
        for (number, replay) in replays {
            match replay {
                Some(replay) => stored_replays
                    .insert(number, bytes_of(replay).as_slice())
                    .map_err(boxed)?,
                None => stored_replays.remove(number).map_err(boxed)?,
            };
        }
    }
    writing.commit().map_err(boxed)
}

fn boxed(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}

fn bytes_of(value: &impl Serialize) -> Vec<u8> {
    #[expect(
        clippy::expect_used,
        reason = "writing plain data to a Vec has no way to fail"
    )]
    postcard::to_stdvec(value).expect("the state is plain data")
}

fn plain<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadFault> {
    postcard::from_bytes(bytes).map_err(|error| ReadFault::Content(error.to_string()))
}

enum Fault {
    Damaged(String),
    Final(StateError),
}

enum ReadFault {
    Database(Box<redb::Error>),
    Content(String),
}

impl<E: Into<redb::Error>> From<E> for ReadFault {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

/// A name beside `path` that is not taken.
fn free_name(path: &Path) -> PathBuf {
    let mut number = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        let name = PathBuf::from(name);
        if !name.exists() {
            return name;
        }
        number += 1;
    }
}
