//! What an entry holds, in 16 bytes.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

/// Bytes of a hash.
pub const LENGTH: usize = 16;

/// A hash over an entry's key and content. Whoever reconnects says by hashes what it has, so that
/// only what differs has to be sent.
///
/// Half of a SHA-256, so that two entries never meet by chance, nor because somebody wants them to.
/// It is made from secrets too: it goes where the entries go and nowhere else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash([u8; LENGTH]);

impl ContentHash {
    /// The hash of an entry: its kind, its name and its content as JSON text.
    #[must_use]
    pub fn of(kind: &str, name: &str, content: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        for text in [kind, name] {
            context.update(text.as_bytes());
            context.update(&[0]);
        }
        context.update(content);
        let digest = context.finish();
        let mut hash = [0; LENGTH];
        hash.copy_from_slice(&digest.as_ref()[..LENGTH]);
        Self(hash)
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// The hash of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }
}

/// Shows nothing: the hash of a short secret gives it away.
impl fmt::Debug for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ContentHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_name_and_content_each_make_another_hash() {
        let hash = ContentHash::of("Route", "/shop/a", b"{}");
        assert_eq!(hash, ContentHash::of("Route", "/shop/a", b"{}"));
        assert_ne!(hash, ContentHash::of("Registration", "/shop/a", b"{}"));
        assert_ne!(hash, ContentHash::of("Route", "/shop/b", b"{}"));
        assert_ne!(hash, ContentHash::of("Route", "/shop/a", b"[]"));
        assert_ne!(hash, ContentHash::of("Route/shop", "/a", b"{}"));
        assert_eq!(format!("{hash:?}"), "ContentHash");
    }
}
