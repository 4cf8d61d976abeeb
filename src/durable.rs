//! Files that are replaced as a whole: a crash leaves the old content or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file system says no.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {path}")]
pub struct FileError {
    /// What was being done.
    pub action: &'static str,
    /// To which file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError {
        action,
        path,
        source,
    }
}

/// Replaces a file that only its owner may read. When it answers `Ok` the new one is on disk.
///
/// # Errors
/// When it cannot be written; the old content is then still there.
pub fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), FileError> {
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
pub fn remove(folder: &Path, name: &str) -> Result<(), FileError> {
    let path = folder.join(name);
    match fs::remove_file(&path) {
        Ok(()) => sync(folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", &path)(error)),
    }
}

/// Makes a folder, and those that it lies in, where they are not there. When it answers `Ok` they are
/// on disk: a file that is synced is of no use in a folder that a crash forgets.
///
/// # Errors
/// When one of them cannot be made.
pub fn create_folder(folder: &Path, mode: u32) -> Result<(), FileError> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create_folder(parent, 0o777)?;
    match fs::DirBuilder::new().mode(mode).create(folder) {
        // Somebody else made it in this very moment.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made.map_err(failed("create", folder))?,
    }
    sync(parent)
}

/// Takes a folder for this process alone, as long as what it answers is held; the operating system
/// gives it back however the process ends. `None`: another process has it.
///
/// # Errors
/// When the folder cannot be made or written to.
pub fn lock(folder: &Path) -> Result<Option<File>, FileError> {
    create_folder(folder, 0o777)?;
    let path = folder.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

fn sync(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", folder))
}
