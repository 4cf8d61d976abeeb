//! What an earlier version has written is read by this one, while requests come in: the volume of a
//! gateway's pod, and what stands in a cluster. See tests/golden/README.md.

mod cluster;
mod pod;

use std::path::{Path, PathBuf};

/// The folders of all versions of which something is kept.
fn versions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut folders: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "nothing is kept of any version");
    folders
}

/// Where this version's are recorded.
fn this_version() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    folder.join(env!("CARGO_PKG_VERSION"))
}
