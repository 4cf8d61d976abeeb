//! How a hand-over is protected on its way: pods of one gateway share a key, and nobody else has it.
//!
//! A request carries a ticket in a header, so that nothing of a stranger's body is read, and the
//! batch as its body. Both are sealed with AES-256-GCM. A ticket holds for minutes and for one
//! batch, so that what somebody has recorded cannot be played again.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

/// How far the clocks of two pods may be apart, and how long a batch may be on its way, in
/// milliseconds.
pub const HOLDS_MILLIS: i64 = 5 * 60 * 1000;

const TICKET: &[u8] = b"tidegate hand-over ticket 1\n";
const BATCH: &[u8] = b"tidegate hand-over batch 1\n";

/// What announces a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The pod that hands over.
    pub from: String,
    /// Tells the batch from others; the same where it is sent again.
    pub id: String,
    /// When it was sent, in milliseconds since the epoch.
    pub at: i64,
    /// Bytes of the sealed batch.
    pub length: u64,
}

/// The key that the pods of one gateway share.
pub struct Key {
    key: LessSafeKey,
    gateway: String,
}

/// Something does not open: it was sealed with another key, or for another gateway, or is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was not sealed by a pod of this gateway")]
pub struct NotOurs;

impl Key {
    /// The key, of a gateway; `None`: it is not one.
    #[must_use]
    pub fn new(key: &[u8; 32], gateway: &str) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
        Some(Self {
            key: LessSafeKey::new(key),
            gateway: gateway.to_owned(),
        })
    }

    /// A batch, sealed; and the ticket's text to send with it. `nonces` are random.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn seal(
        &self,
        from: &str,
        id: &str,
        at: i64,
        batch: &[u8],
        nonces: [[u8; NONCE_LEN]; 2],
    ) -> Result<(String, Vec<u8>), NotOurs> {
        let [for_ticket, for_batch] = nonces;
        let body = self.seal_one(for_batch, &[BATCH, id.as_bytes()], batch)?;
        let ticket = Ticket {
            from: from.to_owned(),
            id: id.to_owned(),
            at,
            length: body.len() as u64,
        };
        let ticket = serde_json::to_vec(&ticket).map_err(|_| NotOurs)?;
        let ticket = self.seal_one(for_ticket, &[TICKET], &ticket)?;
        Ok((STANDARD_NO_PAD.encode(ticket), body))
    }

    /// Opens a ticket.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn open_ticket(&self, text: &[u8]) -> Result<Ticket, NotOurs> {
        let mut sealed = STANDARD_NO_PAD.decode(text).map_err(|_| NotOurs)?;
        let text = self.open_one(&[TICKET], &mut sealed)?;
        serde_json::from_slice(text).map_err(|_| NotOurs)
    }

    /// Opens the batch of a ticket, in place.
    ///
    /// # Errors
    /// When it is not this ticket's.
    pub fn open_batch<'a>(
        &self,
        ticket: &Ticket,
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], NotOurs> {
        self.open_one(&[BATCH, ticket.id.as_bytes()], sealed)
    }

    fn seal_one(
        &self,
        nonce: [u8; NONCE_LEN],
        context: &[&[u8]],
        text: &[u8],
    ) -> Result<Vec<u8>, NotOurs> {
        let mut sealed = Vec::with_capacity(NONCE_LEN + text.len() + 16);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(text);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let context = self.context(context);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, context, &mut sealed[NONCE_LEN..])
            .map_err(|_| NotOurs)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    fn open_one<'a>(&self, context: &[&[u8]], sealed: &'a mut [u8]) -> Result<&'a [u8], NotOurs> {
        let (nonce, sealed) = sealed.split_first_chunk_mut::<NONCE_LEN>().ok_or(NotOurs)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .key
            .open_in_place(nonce, self.context(context), sealed)
            .map_err(|_| NotOurs)?;
        Ok(opened)
    }

    /// What is sealed for one gateway and purpose is nothing for another.
    fn context(&self, parts: &[&[u8]]) -> Aad<Vec<u8>> {
        Aad::from([&[self.gateway.as_bytes(), b"\n"], parts].concat().concat())
    }
}

/// Shows no key.
impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key of {}", self.gateway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCES: [[u8; NONCE_LEN]; 2] = [[1; NONCE_LEN], [2; NONCE_LEN]];

    fn key(byte: u8, gateway: &str) -> Key {
        Key::new(&[byte; 32], gateway).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_and_shows_nothing() {
        let key = key(7, "shop/default");
        let (ticket, mut body) = key
            .seal("pod-1", "b-1", 1_000, b"an event", NONCES)
            .unwrap();
        assert!(!body.windows(8).any(|window| window == b"an event"));
        let opened = key.open_ticket(ticket.as_bytes()).unwrap();
        assert_eq!(
            opened,
            Ticket {
                from: "pod-1".into(),
                id: "b-1".into(),
                at: 1_000,
                length: body.len() as u64
            }
        );
        assert_eq!(key.open_batch(&opened, &mut body).unwrap(), b"an event");
    }

    #[test]
    fn what_somebody_else_sealed_or_changed_does_not_open() {
        let ours = key(7, "shop/default");
        let (ticket, body) = ours
            .seal("pod-1", "b-1", 1_000, b"an event", NONCES)
            .unwrap();
        let opened = ours.open_ticket(ticket.as_bytes()).unwrap();
        for other in [key(8, "shop/default"), key(7, "shop/other")] {
            assert!(other.open_ticket(ticket.as_bytes()).is_err());
            assert!(other.open_batch(&opened, &mut body.clone()).is_err());
        }
        let of_another = Ticket {
            id: "b-2".into(),
            ..opened.clone()
        };
        assert!(ours.open_batch(&of_another, &mut body.clone()).is_err());
        for place in 0..body.len() {
            let mut changed = body.clone();
            changed[place] ^= 1;
            assert!(ours.open_batch(&opened, &mut changed).is_err(), "{place}");
            assert!(
                ours.open_batch(&opened, &mut body[..place].to_vec())
                    .is_err()
            );
        }
        for text in ["", "x", "AAAA", &ticket[1..]] {
            assert!(ours.open_ticket(text.as_bytes()).is_err(), "{text}");
        }
    }
}
