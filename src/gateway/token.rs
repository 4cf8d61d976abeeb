//! The unguessable part of a webhook URI.
//!
//! A token is derived from a key and a purpose, so the same URI comes out after every restart
//! without being stored, and it carries a MAC, so that a pod can tell a token of ours that it has
//! not heard of yet (503, the sender tries again) from one we never issued (404). Which purposes
//! exist is decided by whoever issues; nothing here reads or keeps anything.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::configuration::Sensitive;

/// Bytes that make a token unguessable.
const RANDOM: usize = 16;
/// Bytes that show that it is ours: 64 bits, so that one guess in 2^64 gets a 503 instead of a 404.
const MAC: usize = 8;
/// The length of a token as text.
pub const LENGTH: usize = (RANDOM + MAC) * 4 / 3;

/// What a key is used for, hashed in front, so that no use can be played against the other.
const DERIVE: &[u8] = b"tidegate webhook URI v1\0";
const AUTHENTICATE: &[u8] = b"tidegate webhook URI MAC v1\0";

/// The token for `purpose`: the same for the same key and purpose, 32 characters of base64url.
pub fn issue(key: &Sensitive, purpose: &str) -> String {
    let derived = mac(key, DERIVE, purpose.as_bytes());
    let mut token = [0; RANDOM + MAC];
    token[..RANDOM].copy_from_slice(&derived.as_ref()[..RANDOM]);
    let tag = mac(key, AUTHENTICATE, &token[..RANDOM]);
    token[RANDOM..].copy_from_slice(&tag.as_ref()[..MAC]);
    URL_SAFE_NO_PAD.encode(token)
}

/// Whether `token` was issued with this key, for whatever purpose. An empty key has issued none.
pub fn verify(key: &Sensitive, token: &str) -> bool {
    if key.is_empty() || token.len() != LENGTH {
        return false;
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else {
        return false;
    };
    let Some((random, tag)) = bytes.split_at_checked(RANDOM) else {
        return false;
    };
    let expected = mac(key, AUTHENTICATE, random);
    subtle::ConstantTimeEq::ct_eq(tag, &expected.as_ref()[..MAC]).into()
}

fn mac(key: &Sensitive, label: &[u8], message: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
    context.update(label);
    context.update(message);
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_same_every_time_and_verifies() {
        let key = Sensitive::from("a key");
        let token = issue(&key, "shop/order-placed");
        assert_eq!(token.len(), LENGTH);
        assert_eq!(token, issue(&key, "shop/order-placed"));
        assert_ne!(token, issue(&key, "shop/order-paid"));
        assert_ne!(
            token,
            issue(&Sensitive::from("another"), "shop/order-placed")
        );
        assert!(verify(&key, &token));
    }

    #[test]
    fn no_other_text_verifies() {
        let key = Sensitive::from("a key");
        let token = issue(&key, "shop/order-placed");
        let check = |text: &str| assert!(!verify(&key, text), "{text}");
        check("");
        check("a");
        check(&token[..LENGTH - 1]);
        check(&format!("{token}="));
        check(&format!("{token}A"));
        check(&"A".repeat(LENGTH));
        check(&"ü".repeat(LENGTH / 2));
        check(&token.replace(|_: char| true, "/"));
        for place in 0..LENGTH {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            check(std::str::from_utf8(&changed).unwrap());
        }
        assert!(!verify(&Sensitive::from("another"), &token));
        assert!(!verify(
            &Sensitive::from(""),
            &issue(&Sensitive::from(""), "x")
        ));
    }
}
