//! Tells when manifests may have changed, by looking at what every file's metadata say.
//!
//! Looking beats being told: notifications do not cross network file systems or container mounts,
//! and every editor replaces files in its own way. A look at a few hundred files takes about a
//! millisecond.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often to look. An edit must be live within a second.
pub const INTERVAL: Duration = Duration::from_millis(150);

/// What all files looked like at one moment; equal when nothing changed in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    files: BTreeMap<PathBuf, Option<Stamp>>,
}

/// What changes whenever a file is written or replaced: times to the nanosecond, size, inode.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

impl Look {
    /// Looks at files and folders, and everything below the folders.
    pub fn at(paths: &[PathBuf]) -> Self {
        let mut look = Self::default();
        for path in paths {
            look.visit(path, &mut Vec::new());
        }
        look
    }

    /// `above`: device and inode of the folders that led here.
    fn visit(&mut self, path: &Path, above: &mut Vec<(u64, u64)>) {
        // Follows links: a ConfigMap volume is made of them.
        let Ok(metadata) = fs::metadata(path) else {
            self.files.insert(path.to_owned(), None);
            return;
        };
        let stamp = Stamp {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.size(),
            inode: metadata.ino(),
        };
        self.files.insert(path.to_owned(), Some(stamp));
        let identity = (metadata.dev(), metadata.ino());
        // A link that leads back up would be followed for ever.
        if !metadata.is_dir() || above.contains(&identity) {
            return;
        }
        let Ok(entries) = fs::read_dir(path) else {
            return;
        };
        above.push(identity);
        for entry in entries.flatten() {
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                self.visit(&entry.path(), above);
            }
        }
        above.pop();
    }
}

/// Whether git is at work in the repository that holds one of the paths: a checkout takes files
/// away and brings others, and what is gone in between is not deleted.
pub fn checkout_under_way(paths: &[PathBuf]) -> bool {
    paths.iter().any(|path| {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        path.ancestors()
            .any(|folder| folder.join(".git/index.lock").exists())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_edit_shows() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let file = root.join("sub/a.yaml");
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(&file, "one").unwrap();
        let look = || Look::at(std::slice::from_ref(&root));
        let mut before = look();
        assert_eq!(before, look());
        let mut check = |what: &str, edit: &dyn Fn()| {
            // Times on disk may be as coarse as a clock tick.
            std::thread::sleep(Duration::from_millis(12));
            edit();
            let after = look();
            assert_ne!(before, after, "{what}");
            before = after;
        };
        check("written in place, same size", &|| {
            fs::write(&file, "two").unwrap()
        });
        check("replaced by a rename", &|| {
            fs::write(root.join("new"), "six").unwrap();
            fs::rename(root.join("new"), &file).unwrap();
        });
        check("removed", &|| fs::remove_file(&file).unwrap());
        check("another one", &|| {
            fs::write(root.join("b.yaml"), "").unwrap()
        });
        check("its folder removed", &|| {
            fs::remove_dir(root.join("sub")).unwrap()
        });
    }

    #[test]
    fn links_that_lead_back_up_are_not_followed_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "two", "three"] {
            std::os::unix::fs::symlink(folder.path(), folder.path().join(name)).unwrap();
        }
        Look::at(&[folder.path().to_owned()]);
    }

    #[test]
    fn a_checkout_is_noticed_from_inside_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let manifests = folder.path().join("deploy/manifests");
        fs::create_dir_all(&manifests).unwrap();
        fs::create_dir(folder.path().join(".git")).unwrap();
        assert!(!checkout_under_way(std::slice::from_ref(&manifests)));
        fs::write(folder.path().join(".git/index.lock"), "").unwrap();
        assert!(checkout_under_way(&[manifests]));
    }
}
