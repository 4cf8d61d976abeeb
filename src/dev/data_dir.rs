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

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::durable::{self, FileError, failed};

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
    #[error(transparent)]
    File(#[from] FileError),
}

impl DataDir {
    /// Makes the folder where there is none, and locks it.
    ///
    /// # Errors
    /// When another process uses it, or it cannot be written to.
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        let lock = durable::lock(root)?;
        let lock = lock.ok_or_else(|| DataDirError::InUse(root.to_owned()))?;
        let secrets = root.join("secrets");
        for folder in [&secrets, &secrets.join("upstream")] {
            durable::create_folder(folder, 0o700)?;
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
            Err(error) => Err(failed("read", &path)(error).into()),
        }
    }

    /// Replaces a file of `secrets/` so that a crash leaves the old content or the new one.
    ///
    /// # Errors
    /// When it cannot be written; the old content is then still there.
    pub fn write_secret(&self, name: &str, content: &[u8]) -> Result<(), DataDirError> {
        durable::replace(&self.root.join("secrets"), name, content)?;
        Ok(())
    }
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
