//! What the log asks of a file system, and the real one.
//!
//! Every sync is named by a [`SyncPoint`]: the tests run the log on a simulated storage that
//! leaves out one of them at a time and must then find a loss. A sync without such a proof is not
//! here.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why something is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncPoint {
    /// The folder around the log's own, when the log is opened: else the whole log may vanish.
    LogFolder,
    /// The zeros of a new segment, before it gets its name: a segment that bears its name is whole.
    SegmentFilled,
    /// The folder, after a filled segment got its name and before records go into it.
    FolderAfterRename,
    /// The records of a commit, before they are acknowledged.
    Records,
    /// The folder, after a segment was freed: what is freed does not come back.
    FolderAfterRemove,
    /// The last segment, when the log is opened: records that a killed process left in the page
    /// cache are shown to readers, so they must be on disk.
    RecoveredTail,
    /// The folder, when the log is opened: names that a killed process gave or removed are relied
    /// on, so they must be on disk.
    RecoveredFolder,
}

/// A folder for the log's files. Names are plain file names.
pub trait Storage: Send + Sync + 'static {
    /// Creates the folder where it does not exist.
    ///
    /// # Errors
    /// As the file system says.
    fn create_folder(&self) -> io::Result<()>;

    /// Makes the folder's own entry durable.
    ///
    /// # Errors
    /// As the file system says.
    fn sync_parent(&self, point: SyncPoint) -> io::Result<()>;

    /// Takes the folder for this process until the answer is dropped; `None` when another has it.
    ///
    /// # Errors
    /// As the file system says.
    fn lock(&self) -> io::Result<Option<Box<dyn Send>>>;

    /// The names of all files.
    ///
    /// # Errors
    /// As the file system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates an empty file, or empties one, and sets `size` bytes aside for it if the file
    /// system can.
    ///
    /// # Errors
    /// As the file system says.
    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// As the file system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// As the file system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; who has it open keeps reading it.
    ///
    /// # Errors
    /// As the file system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// As the file system says; the state on disk is then unknown.
    fn sync_folder(&self, point: SyncPoint) -> io::Result<()>;
}

/// An open file.
pub trait StorageFile: Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// As the file system says.
    fn length(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// As the file system says; `UnexpectedEof` when the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the file system says; any part may then be written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written, and the length, durable.
    ///
    /// # Errors
    /// As the file system says; what is on disk is then unknown, and asking again says nothing.
    fn sync_data(&self, point: SyncPoint) -> io::Result<()>;
}

/// A folder of the real file system.
pub struct FileStorage {
    folder: PathBuf,
}

impl FileStorage {
    /// The log's folder; it is created when the log is opened.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The folder around it.
    fn parent(&self) -> &Path {
        match self.folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}

impl fmt::Debug for FileStorage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FileStorage({})", self.folder.display())
    }
}

impl Storage for FileStorage {
    fn create_folder(&self) -> io::Result<()> {
        // Folders above the log's own are made durable one by one, from the top.
        let missing: Vec<&Path> = self
            .parent()
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .collect();
        std::fs::create_dir_all(&self.folder)?;
        for folder in missing.into_iter().rev() {
            let above = folder
                .parent()
                .filter(|above| !above.as_os_str().is_empty());
            File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    fn sync_parent(&self, _point: SyncPoint) -> io::Result<()> {
        File::open(self.parent())?.sync_all()
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Send>>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.folder.join(name))?;
        // A full disk then says so at once, and the file lies in one piece. Not every file system
        // can; the zeros that follow reserve the space on those.
        let reserved = rustix::io::retry_on_intr(|| {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size)
        });
        match reserved {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.folder.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.folder.join(name))
    }

    fn sync_folder(&self, _point: SyncPoint) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

struct RealFile(File);

impl StorageFile for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self, _point: SyncPoint) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Whether an error means that there is no space, which may return, rather than that the storage
/// is broken.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
