//! The app's side: signing requests as the manifests of the tests say.

use aws_lc_rs::hmac;

/// The hexadecimal HMAC-SHA256 of a body.
pub fn hmac_sha256_hex(key: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    hex::encode(hmac::sign(&key, body))
}
