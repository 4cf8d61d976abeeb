//! The app's side: signing requests as the manifests of the tests say.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// The hexadecimal HMAC-SHA256 of a body.
pub fn hmac_sha256_hex(key: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    hex::encode(hmac::sign(&key, body))
}

/// The base64 HMAC-SHA256 of a body.
pub fn hmac_sha256_base64(key: &[u8], body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    STANDARD.encode(hmac::sign(&key, body))
}

/// The base64 HMAC-SHA512 of a body.
pub fn hmac_sha512_base64(key: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA512, key.as_bytes());
    STANDARD.encode(hmac::sign(&key, body))
}

/// A JSON Web Token whose header says `algorithm`, whatever it is really signed with; without a
/// way to sign, the signature is empty.
pub fn token(
    algorithm: &str,
    signed: Option<(hmac::Algorithm, &str)>,
    claims: &serde_json::Value,
) -> String {
    let header = serde_json::json!({"alg": algorithm, "typ": "JWT"}).to_string();
    let claims = claims.to_string();
    let signed_text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = signed.map_or_else(String::new, |(algorithm, key)| {
        let key = hmac::Key::new(algorithm, key.as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed_text.as_bytes()))
    });
    format!("{signed_text}.{signature}")
}
