//! The last configuration on the pod's volume, encrypted: what it starts from while nobody tells it
//! another one.
//!
//! It holds every key that the pod has, so it is sealed with AES-256-GCM. The key is in a file that
//! is mounted from a Secret: a copy of the volume alone is worth nothing. A file that cannot be read
//! is told and ignored: a pod that waits for its controller is better than one that does not start.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::configuration::stream::Held;
use crate::configuration::stream::saved::{self, LoadError};
use crate::durable::{self, FileError};

/// The file's name.
const FILE: &str = "configuration.sealed";

/// The name of the empty file that is there while more is live than the other one holds.
const OUTDATED: &str = "configuration.outdated";

/// What the file begins with.
const MAGIC: &[u8] = b"tidegate configuration 1\n";

/// Bytes of the key.
const KEY_LENGTH: usize = 32;

/// Bytes that are read at most: many times what the largest configuration has.
const MOST_BYTES: u64 = 4 << 30;

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("failed to read the key of the last configuration from {0}")]
    Read(PathBuf, #[source] io::Error),
    /// The library refuses it.
    #[error("failed to use {0} as a key: put 32 random bytes there")]
    Unusable(PathBuf),
    /// It is not as long as a key.
    #[error(
        "failed to use {path} as the key of the last configuration: it has {length} bytes; put 32 random bytes there"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
}

/// Why there is nothing to start from. Holds nothing of the content.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file is there and cannot be read.
    #[error("failed to read the last configuration")]
    Read(#[source] io::Error),
    /// It is none of ours, or of another version.
    #[error("failed to read the last configuration: it does not begin as one of this version does")]
    Head,
    /// It does not open.
    #[error(
        "failed to decrypt the last configuration: it is damaged, or was sealed with another key or for another gateway"
    )]
    Sealed,
    /// What is inside cannot be used.
    #[error("failed to use the last configuration")]
    Load(#[source] LoadError),
}

/// Where the last configuration is kept.
pub struct Snapshot {
    folder: PathBuf,
    key: LessSafeKey,
    gateway: String,
    hand_over: [u8; KEY_LENGTH],
}

impl Snapshot {
    /// In `folder`, of a gateway, sealed with the key in a file.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn new(folder: &Path, key_file: &Path, gateway: String) -> Result<Self, KeyError> {
        let key = fs::read(key_file).map_err(|error| KeyError::Read(key_file.to_owned(), error))?;
        let key = Zeroizing::new(key);
        let wrong = || KeyError::Length {
            path: key_file.to_owned(),
            length: key.len(),
        };
        if key.len() != KEY_LENGTH {
            return Err(wrong());
        }
        // Another purpose, another key: all pods of a gateway have the same file.
        let whole = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let mut hand_over = [0; KEY_LENGTH];
        hand_over.copy_from_slice(hmac::sign(&whole, b"tidegate hand-over 1").as_ref());
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| wrong())?;
        Ok(Self {
            hand_over,
            folder: folder.to_owned(),
            key: LessSafeKey::new(key),
            gateway,
        })
    }

    /// The key of what pods of the gateway hand over to each other.
    #[must_use]
    pub fn hand_over_key(&self) -> &[u8; KEY_LENGTH] {
        &self.hand_over
    }

    /// Reads it; `None`: there is none. Blocking.
    ///
    /// # Errors
    /// When there is one that is of no use.
    pub fn load(&self) -> Result<Option<Held>, SnapshotError> {
        let path = self.folder.join(FILE);
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(SnapshotError::Read(error)),
        };
        if length > MOST_BYTES {
            return Err(SnapshotError::Head);
        }
        let file = fs::read(&path).map_err(SnapshotError::Read)?;
        let text = self.open(file)?;
        saved::load(&text, &self.gateway)
            .map(Some)
            .map_err(SnapshotError::Load)
    }

    /// Replaces it; `text` is what [`saved::save`] has made. Blocking.
    ///
    /// # Errors
    /// When it cannot be written; the one before is then still there.
    pub fn store(&self, text: Zeroizing<Vec<u8>>) -> Result<(), StoreError> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut file = Vec::with_capacity(MAGIC.len() + NONCE_LEN + text.len() + 16);
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&nonce);
        let begin = file.len();
        file.extend_from_slice(&text);
        drop(text);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, self.context(), &mut file[begin..])
            .map_err(|_| StoreError::Seal)?;
        file.extend_from_slice(tag.as_ref());
        durable::replace(&self.folder, FILE, &file)?;
        Ok(())
    }

    /// Whether more was live when the process ended than was stored.
    pub fn is_outdated(&self) -> bool {
        // Where that cannot be told, it may be so.
        self.folder.join(OUTDATED).try_exists().unwrap_or(true)
    }

    /// Notes durably that more is about to be live than is stored. Blocking.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn mark_outdated(&self) -> Result<(), FileError> {
        durable::replace(&self.folder, OUTDATED, b"")
    }

    /// Everything that is live is stored. If that cannot be noted, a restart merely waits for the controller. Blocking.
    pub fn mark_current(&self) {
        if let Err(error) = fs::remove_file(self.folder.join(OUTDATED))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "failed to note that the configuration is kept");
        }
    }

    fn open(&self, file: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, SnapshotError> {
        let rest = file.strip_prefix(MAGIC).ok_or(SnapshotError::Head)?;
        let (nonce, sealed) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SnapshotError::Head)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut text = Zeroizing::new(sealed.to_vec());
        let length = self
            .key
            .open_in_place(nonce, self.context(), &mut text)
            .map_err(|_| SnapshotError::Sealed)?
            .len();
        text.truncate(length);
        Ok(text)
    }

    /// What is sealed with it: the file of one gateway is none for another.
    fn context(&self) -> Aad<Vec<u8>> {
        Aad::from([MAGIC, self.gateway.as_bytes()].concat())
    }
}

/// The last configuration could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The library refuses.
    #[error("failed to encrypt the last configuration")]
    Seal,
    /// The file system does.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Shows no key.
impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Snapshot({})", self.folder.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::stream::{Begin, Commit, Entry, Frame, Revision};

    fn snapshot(folder: &Path, key: &[u8], gateway: &str) -> Result<Snapshot, KeyError> {
        let file = folder.join("key");
        fs::write(&file, key).unwrap();
        Snapshot::new(folder, &file, gateway.into())
    }

    fn held(capacity: u64) -> Held {
        let mut held = Held::default();
        let revision = Revision {
            epoch: 3,
            counter: 4,
        };
        let begin = Frame::Begin(Begin {
            revision,
            resumed: true,
        });
        held.take(begin).unwrap();
        let line = Entry::LogCapacity(capacity).encode().unwrap().line;
        held.take(Frame::read(&line).unwrap()).unwrap();
        held.take(Frame::Commit(Commit { revision })).unwrap();
        held
    }

    fn text(held: &Held) -> Zeroizing<Vec<u8>> {
        saved::save(held, "shop/default").unwrap().into()
    }

    #[test]
    fn what_is_stored_is_loaded_and_cannot_be_read_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = snapshot(folder.path(), &[7; 32], "shop/default").unwrap();
        assert!(snapshot.load().unwrap().is_none());
        let held = held(123_456_789);
        snapshot.store(text(&held)).unwrap();
        snapshot.store(text(&held)).unwrap();
        let again = snapshot.load().unwrap().unwrap();
        assert_eq!(again.revision(), held.revision());
        assert_eq!(again.log_capacity(), Some(123_456_789));
        let file = fs::read(folder.path().join(FILE)).unwrap();
        let shows = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
        assert!(!shows(b"123456789") && !shows(b"LogCapacity"));
        let mode = fs::metadata(folder.path().join(FILE))
            .unwrap()
            .permissions();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
            0o600
        );
    }

    #[test]
    fn it_is_told_that_more_was_live_than_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = snapshot(folder.path(), &[7; 32], "shop/default").unwrap();
        assert!(!snapshot.is_outdated());
        snapshot.mark_current();
        snapshot.mark_outdated().unwrap();
        snapshot.mark_outdated().unwrap();
        assert!(snapshot.is_outdated());
        snapshot.mark_current();
        assert!(!snapshot.is_outdated());
    }

    #[test]
    fn what_cannot_be_opened_is_told_and_never_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let ours = snapshot(path, &[7; 32], "shop/default").unwrap();
        ours.store(text(&held(1))).unwrap();
        let whole = fs::read(path.join(FILE)).unwrap();
        let check = |snapshot: &Snapshot, file: &[u8], expected: &str| {
            fs::write(path.join(FILE), file).unwrap();
            let error = snapshot.load().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let other_key = snapshot(path, &[8; 32], "shop/default").unwrap();
        check(&other_key, &whole, "another key");
        let other_gateway = snapshot(path, &[7; 32], "shop/other").unwrap();
        check(&other_gateway, &whole, "another gateway");
        check(&ours, b"", "does not begin");
        check(&ours, &whole[..MAGIC.len() + 3], "does not begin");
        check(&ours, &whole[1..], "does not begin");
        check(&ours, &whole[..whole.len() - 1], "damaged");
        for place in [MAGIC.len(), MAGIC.len() + NONCE_LEN, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            check(&ours, &changed, "damaged");
        }
    }

    #[test]
    fn a_key_of_another_length_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 16, 31, 33, 44] {
            let error = snapshot(folder.path(), &vec![7; length], "shop/default").unwrap_err();
            assert!(
                error.to_string().contains("put 32 random bytes there"),
                "{error}"
            );
        }
        let missing = folder.path().join("nowhere");
        let error = Snapshot::new(folder.path(), &missing, "shop/default".into()).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
