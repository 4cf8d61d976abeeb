//! Standard Webhooks signatures on requests to sinks: the symmetric scheme, `v1`. Pure.
//!
//! Source: the Standard Webhooks specification, "Signature scheme". Verifying is not here but in
//! `webhook`, for requests that come in.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::message::header_value;
use crate::configuration::{Sensitive, SigningKey};

/// A signing key without a single byte: anybody could sign with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key is empty")]
pub struct EmptyKey;

/// A key that is not base64. What exactly is wrong is left out, because it is the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key must be base64, with or without whsec_ before it")]
pub struct NotWhsec;

/// Some tools write keys without the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The key that a Secret holds as text: base64, with or without `whsec_`, white space around it
/// (the line's end that editors add) left out.
///
/// # Errors
/// When the text is not base64.
pub fn decode_whsec(secret: &[u8]) -> Result<Sensitive, NotWhsec> {
    let text = secret.trim_ascii();
    let text = text.strip_prefix(b"whsec_").unwrap_or(text);
    let key = BASE64.decode(text).map_err(|_| NotWhsec)?;
    Ok(Sensitive::new(key))
}

/// Signs requests with one key.
pub(super) struct Signer(hmac::Key);

impl Signer {
    pub(super) fn new(key: &SigningKey) -> Result<Self, EmptyKey> {
        if key.0.is_empty() {
            return Err(EmptyKey);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key.0.expose())))
    }

    /// Adds the three headers. The id is signed as it stands in its header, so that who verifies
    /// needs nothing but what arrived.
    pub(super) fn sign(&self, id: &str, at: Timestamp, body: &[u8], headers: &mut HeaderMap) {
        let id = header_value(id);
        let seconds = at.as_second();
        let mut context = hmac::Context::with_key(&self.0);
        context.update(id.as_bytes());
        context.update(format!(".{seconds}.").as_bytes());
        context.update(body);
        let signature = format!("v1,{}", STANDARD.encode(context.sign()));
        headers.insert(HeaderName::from_static("webhook-id"), id);
        headers.insert(
            HeaderName::from_static("webhook-timestamp"),
            HeaderValue::from(seconds),
        );
        headers.insert(
            HeaderName::from_static("webhook-signature"),
            header_value(&signature),
        );
    }
}
