//! The data folder: what `dev` keeps between runs, and where.
//!
//! ```text
//! .tidegate/
//!   lock            held while a process uses the folder
//!   log/            the event log
//!   dead-letters/   the dead letters' own log
//!   state.redb      cursors, retry schedule, replays
//!   secrets/        0700: what a cluster keeps in Secrets; every file in it 0600
//!     upstream/     the records of upstream subscriptions, a file each
//!   upstream-subscriptions/<namespace>/
//!                   UpstreamSubscriptions for people to read; never read back
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// An opened and locked data folder.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    /// Held for its lock, which the operating system releases however the process ends.
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("{0} is in use by another `tidegate dev`; stop that one, or choose another --data-dir")]
    InUse(PathBuf),
    /// The file system says no.
    #[error("failed to {action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io {
        action,
        path,
        source,
    }
}

impl DataDir {
    /// Makes the folder where there is none, and locks it.
    ///
    /// # Errors
    /// When another process uses it, or it cannot be written to.
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        create(root, 0o777)?;
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(DataDirError::InUse(root.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        let secrets = root.join("secrets");
        for folder in [&secrets, &secrets.join("upstream")] {
            create(folder, 0o700)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
                .map_err(failed("protect", folder))?;
        }
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
        })
    }

    /// The folder of the event log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The folder of the dead letters' log.
    pub fn dead_letters(&self) -> PathBuf {
        self.root.join("dead-letters")
    }

    /// The file of the delivery state.
    pub fn state(&self) -> PathBuf {
        self.root.join("state.redb")
    }

    /// The folder of the records of upstream subscriptions.
    pub fn records(&self) -> PathBuf {
        self.root.join("secrets").join("upstream")
    }

    /// The folder of UpstreamSubscriptions for people.
    pub fn objects(&self) -> PathBuf {
        self.root.join("upstream-subscriptions")
    }

    /// Reads a file of `secrets/`; `None` where there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read_secret(&self, name: &str) -> Result<Option<Vec<u8>>, DataDirError> {
        let path = self.root.join("secrets").join(name);
        let mut content = Vec::new();
        match File::open(&path).and_then(|mut file| file.read_to_end(&mut content)) {
            Ok(_) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Replaces a file of `secrets/` so that a crash leaves the old content or the new one.
    ///
    /// # Errors
    /// When it cannot be written; the old content is then still there.
    pub fn write_secret(&self, name: &str, content: &[u8]) -> Result<(), DataDirError> {
        replace(&self.root.join("secrets"), name, content)
    }
}

/// Makes a folder, and those that it lies in, where they are not there. When it answers `Ok` they are
/// on disk: a file that is synced is of no use in a folder that a crash forgets.
fn create(folder: &Path, mode: u32) -> Result<(), DataDirError> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create(parent, 0o777)?;
    match fs::DirBuilder::new().mode(mode).create(folder) {
        // Somebody else made it in this very moment.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made.map_err(failed("create", folder))?,
    }
    sync(parent)
}

/// Replaces a file that only its owner may read, so that a crash leaves the old content or the new
/// one. When it answers `Ok` the new one is on disk.
///
/// # Errors
/// When it cannot be written.
pub fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), DataDirError> {
    let path = folder.join(name);
    let temporary = folder.join(format!(".{name}.new"));
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed("create", &temporary))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(failed("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(failed("replace", &path))?;
    sync(folder)
}

/// Removes a file for good; one that is not there is removed already.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(folder: &Path, name: &str) -> Result<(), DataDirError> {
    let path = folder.join(name);
    match fs::remove_file(&path) {
        Ok(()) => sync(folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", &path)(error)),
    }
}

fn sync(folder: &Path) -> Result<(), DataDirError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let _first = DataDir::open(folder.path()).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }

    #[test]
    fn folders_are_made_with_all_that_they_lie_in() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b/.tidegate");
        drop(DataDir::open(&root).unwrap());
        drop(DataDir::open(&root).unwrap());
        assert!(root.join("secrets/upstream").is_dir());
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataDir::open(&file.join("below")).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }

    #[test]
    fn secrets_are_for_the_owner_alone_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        assert_eq!(data.read_secret("key").unwrap(), None);
        data.write_secret("key", b"one").unwrap();
        data.write_secret("key", b"two").unwrap();
        assert_eq!(data.read_secret("key").unwrap().unwrap(), b"two");
        let mode = |path: &str| {
            fs::metadata(folder.path().join(path))
                .unwrap()
                .permissions()
                .mode()
        };
        assert_eq!(mode("secrets") & 0o777, 0o700);
        assert_eq!(mode("secrets/key") & 0o777, 0o600);
    }
}
