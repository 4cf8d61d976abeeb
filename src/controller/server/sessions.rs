//! By what acknowledgements and reports are known: a secret of their stream's own, so that not every
//! one of them is a question to the API server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use crate::configuration::Sensitive;
use crate::controller::hub::Teller;

/// The open streams. They are found by a hash of their secret, so that how long a look takes says
/// nothing of a secret.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<[u8; 32], Teller>>>);

/// Keeps a session open.
pub struct Handle {
    sessions: Sessions,
    key: [u8; 32],
}

impl Sessions {
    /// Opens one, and gives its secret as text.
    pub fn open(&self, teller: Teller) -> (Handle, String) {
        let secret = hex::encode(rand::random::<[u8; 32]>());
        let key = key(secret.as_bytes());
        self.all().insert(key, teller);
        let sessions = self.clone();
        (Handle { sessions, key }, secret)
    }

    /// Whose a secret is.
    pub fn find(&self, secret: &Sensitive) -> Option<Teller> {
        self.all().get(&key(secret.expose())).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<[u8; 32], Teller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(secret: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, secret).as_ref());
    key
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sessions.all().remove(&self.key);
    }
}
