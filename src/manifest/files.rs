//! Reading manifests from folders and files: the part that touches a disk.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{LoadedFile, MAX_FILE_BYTES, load};

/// Deepest folder that is looked into. Links may lead in circles.
const MAX_FOLDERS_DEEP: usize = 32;

/// One file and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl Source {
    /// The objects of the file.
    #[must_use]
    pub fn load(&self) -> LoadedFile {
        load(&self.path.display().to_string(), &self.text)
    }
}

/// A file or folder that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {}", path.display())]
pub struct ReadError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What could be read and what could not.
#[derive(Debug, Default)]
pub struct ReadFiles {
    /// The files, by name, each once.
    pub sources: Vec<Source>,
    /// What could not be read. A file that went away while the folder was read is not among it.
    pub errors: Vec<ReadError>,
}

/// Reads files, and folders with all that is in them: what ends in `.yaml`, `.yml` or `.json`, except hidden files and
/// what editors leave behind. A path that is named is read whatever it is called.
#[must_use]
pub fn read_paths<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> ReadFiles {
    let mut read = ReadFiles::default();
    let mut files = BTreeSet::new();
    for path in paths {
        let path = path.as_ref();
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => walk(path, 0, &mut files, &mut read.errors),
            Ok(_) => {
                files.insert(path.to_owned());
            }
            Err(source) => read.errors.push(ReadError {
                path: path.to_owned(),
                source,
            }),
        }
    }
    for path in files {
        match read_file(&path) {
            Ok(text) => read.sources.push(Source { path, text }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => read.errors.push(ReadError { path, source }),
        }
    }
    read
}

/// Whether a file in a folder is read, going by its name.
#[must_use]
pub fn is_manifest(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let is_hidden = name.starts_with('.') || name.starts_with('#') || name.starts_with('~');
    let lower = name.to_ascii_lowercase();
    !is_hidden
        && [".yaml", ".yml", ".json"]
            .iter()
            .any(|ending| lower.ends_with(ending))
}

fn walk(folder: &Path, depth: usize, files: &mut BTreeSet<PathBuf>, errors: &mut Vec<ReadError>) {
    let failed = |source| ReadError {
        path: folder.to_owned(),
        source,
    };
    if depth > MAX_FOLDERS_DEEP {
        errors.push(failed(io::Error::other("folders are nested too deeply")));
        return;
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => return,
        Err(error) => return errors.push(failed(error)),
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                errors.push(failed(error));
                continue;
            }
        };
        // Links are followed: a mounted ConfigMap is nothing but links.
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                let is_hidden = path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with('.'));
                if !is_hidden {
                    walk(&path, depth + 1, files, errors);
                }
            }
            Ok(metadata) if metadata.is_file() && is_manifest(&path) => {
                files.insert(path);
            }
            // A link that leads nowhere is how some editors lock a file.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => errors.push(ReadError { path, source }),
        }
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    use io::Read;

    let mut text = String::new();
    // One byte more than allowed tells a file that is too large, whatever its size is said to be.
    fs::File::open(path)?
        .take(MAX_FILE_BYTES as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}
