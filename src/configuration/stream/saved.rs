//! What a pod keeps of its configuration over a restart, as text.
//!
//! The first line says what it is, the others are `put` frames. It holds every secret that the pod
//! has: whoever writes it encrypts it.

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::held::Held;
use super::revision::Revision;

/// The version of this form.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    gateway: String,
    revision: Revision,
    entries: usize,
}

/// Why what was kept cannot be used. Holds nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The first line is none of ours.
    #[error("it does not begin as a kept configuration does")]
    Head,
    /// Another version of Tidegate has written it.
    #[error("it is of version {0}, and this gateway knows version {VERSION}")]
    Version(u32),
    /// It is another gateway's.
    #[error("it is the configuration of the EventGateway {0}")]
    Gateway(String),
    /// It is not complete.
    #[error("it is damaged")]
    Damaged,
}

/// What is held, as text; `None`: nothing was taken yet, or an entry cannot be written.
#[must_use]
pub fn save(held: &Held, gateway: &str) -> Option<Vec<u8>> {
    let head = Head {
        version: VERSION,
        gateway: gateway.to_owned(),
        revision: held.revision()?,
        entries: held.len(),
    };
    let mut text = serde_json::to_vec(&head).ok()?;
    text.push(b'\n');
    for entry in held.entries() {
        text.extend_from_slice(&entry.encode().ok()?.line);
    }
    Some(text)
}

/// Reads what was kept.
///
/// # Errors
/// When it is not what [`save`] wrote for this gateway.
pub fn load(text: &[u8], gateway: &str) -> Result<Held, LoadError> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let head = lines.next().unwrap_or_default();
    let head: Head = serde_json::from_slice(head).map_err(|_| LoadError::Head)?;
    if head.version != VERSION {
        return Err(LoadError::Version(head.version));
    }
    if head.gateway != gateway {
        return Err(LoadError::Gateway(head.gateway));
    }
    let mut puts = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        match Frame::read(line) {
            Ok(Frame::Put(put)) => puts.push(put),
            _ => return Err(LoadError::Damaged),
        }
    }
    if puts.len() != head.entries {
        return Err(LoadError::Damaged);
    }
    Ok(Held::restored(head.revision, puts))
}
