//! Keys: from the texts in Secrets to what a method checks with.
//!
//! A key that is missing, empty or not in its encoding never matches anything; it is our fault, not
//! the sender's, and remembered as such.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Fault;
use crate::api::{FieldPath, KeyEncoding, KeySource, SignatureEncoding};
use crate::configuration::{EventTypeEntry, LiveRegistration, Sensitive};
use crate::webhook::compiler::Compiler;

/// Base64 with or without padding; bits that mean nothing must be zero, or one value had several forms.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys of one method: those of the type, ready for use, and which a registration has to bring.
pub struct Keys<Key> {
    /// The type's.
    shared: Vec<Key>,
    /// Why some of them are not ready.
    fault: Option<&'static str>,
    /// Where a registration has the others.
    own: Vec<OwnKey>,
    /// Makes keys of the bytes of one.
    prepare: Prepare<Key>,
}

type Prepare<Key> = Box<dyn Fn(&[u8]) -> Result<Vec<Key>, &'static str> + Send + Sync>;

/// A key that belongs to one registration.
#[derive(Debug)]
enum OwnKey {
    /// `{signingSecret: {}}`.
    SigningSecret,
    /// `{customerField: …}`.
    CustomerField(String),
}

/// The keys that one request is checked with.
pub struct Usable<'k, Key> {
    shared: &'k [Key],
    own: Vec<Key>,
    fault: Option<&'static str>,
}

const MISSING: &str = "our key is missing or empty";
const UNUSABLE: &str = "our key cannot be used";

impl<Key> Keys<Key> {
    /// Takes each key of `sources` from the type's entry and makes `prepare` of its bytes; the error
    /// says what is wrong with them, without them. Keys of registrations are prepared for each
    /// request: that takes 1 µs for HMAC and 17 µs for RSA in PEM, less than a check with it.
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        sources: &[KeySource],
        entry: &EventTypeEntry,
        prepare: impl Fn(&[u8]) -> Result<Vec<Key>, &'static str> + Send + Sync + 'static,
    ) -> Self {
        if sources.is_empty() {
            compiler.error(path, "write at least one key");
        }
        let mut keys = Self {
            shared: Vec::new(),
            fault: None,
            own: Vec::new(),
            prepare: Box::new(prepare),
        };
        for (index, source) in sources.iter().enumerate() {
            keys.add(compiler, &path.index(index), source, entry);
        }
        keys
    }

    fn add(
        &mut self,
        compiler: &mut Compiler,
        path: &FieldPath,
        source: &KeySource,
        entry: &EventTypeEntry,
    ) {
        let KeySource {
            secret_key_ref,
            app_field,
            signing_secret,
            customer_field,
        } = source;
        let written = [
            secret_key_ref.is_some(),
            app_field.is_some(),
            signing_secret.is_some(),
            customer_field.is_some(),
        ];
        if written.into_iter().filter(|written| *written).count() != 1 {
            compiler.error(
                path,
                "write exactly one of secretKeyRef, appField, signingSecret and customerField",
            );
            return;
        }
        if signing_secret.is_some() {
            if !entry.registrations.signing_secret {
                compiler.error(
                    path,
                    "signingSecret needs a subscription, or a registration of the global webhook, that says where its signingSecret is from",
                );
            }
            self.own.push(OwnKey::SigningSecret);
            return;
        }
        if let Some(field) = customer_field {
            if !entry.registrations.per_customer {
                compiler.error(path, "customerField needs a per-customer subscription");
            }
            compiler.reads_key(field);
            self.own.push(OwnKey::CustomerField(field.clone()));
            return;
        }
        let value = entry.key(source).map(Sensitive::expose);
        let Some(bytes) = value.filter(|bytes| !bytes.is_empty()) else {
            self.fault = Some(MISSING);
            return;
        };
        match (self.prepare)(bytes) {
            Ok(prepared) => self.shared.extend(prepared),
            Err(fault) => {
                compiler.warning(
                    path,
                    format!("{fault}; until it is, requests that need it are answered 503"),
                );
                self.fault = Some(UNUSABLE);
            }
        }
    }

    /// Checks with the keys that there are for a request to the URI of `registration`.
    ///
    /// Keys of registrations do not count on a URI that belongs to none, nor a customer's on one
    /// that is nobody's.
    pub fn check<T>(
        &self,
        registration: Option<&LiveRegistration>,
        check: impl FnOnce(&Usable<'_, Key>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let usable = self.usable(registration);
        match (check(&usable), usable.fault) {
            // Whatever did not match might have matched under the key that is not here.
            (Err(Fault::Refused(_)), Some(cause)) => Err(Fault::OurKey(Cow::Borrowed(cause))),
            (result, _) => result,
        }
    }

    fn usable(&self, registration: Option<&LiveRegistration>) -> Usable<'_, Key> {
        let mut usable = Usable {
            shared: &self.shared,
            own: Vec::new(),
            fault: self.fault,
        };
        let Some(registration) = registration else {
            return usable;
        };
        for own in &self.own {
            let value = match (own, &registration.customer) {
                (OwnKey::SigningSecret, _) => registration.signing_secret.as_ref(),
                (OwnKey::CustomerField(field), Some(customer)) => customer.keys.get(field),
                (OwnKey::CustomerField(_), None) => continue,
            };
            match value.filter(|value| !value.is_empty()) {
                None => usable.fault = Some(MISSING),
                Some(value) => match (self.prepare)(value.expose()) {
                    Ok(prepared) => usable.own.extend(prepared),
                    Err(_) => usable.fault = Some(UNUSABLE),
                },
            }
        }
        usable
    }

    /// Whether all of them are the signing secrets of registrations.
    pub fn are_signing_secrets(&self) -> bool {
        let is_secret = |own: &OwnKey| matches!(own, OwnKey::SigningSecret);
        self.shared.is_empty()
            && self.fault.is_none()
            && !self.own.is_empty()
            && self.own.iter().all(is_secret)
    }
}

impl<Key> fmt::Debug for Keys<Key> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keys")
            .field("shared", &self.shared.len())
            .field("fault", &self.fault)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl<Key> Usable<'_, Key> {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.shared.iter().chain(&self.own)
    }
}

/// The bytes that a key's text stands for.
pub fn decode_key(text: &[u8], encoding: KeyEncoding) -> Result<Vec<u8>, &'static str> {
    let trimmed = text.trim_ascii();
    let (decoded, fault) = match encoding {
        KeyEncoding::Utf8 => (Some(text.to_vec()), ""),
        KeyEncoding::Base64 => (decode_key_base64(trimmed), "the key must be base64"),
        KeyEncoding::Hex => (hex::decode(trimmed).ok(), "the key must be hexadecimal"),
        KeyEncoding::Whsec => {
            let text = trimmed.strip_prefix(b"whsec_").unwrap_or(trimmed);
            (
                decode_key_base64(text),
                "the key must be base64, with or without whsec_ before it",
            )
        }
    };
    decoded.filter(|key| !key.is_empty()).ok_or(fault)
}

fn decode_key_base64(text: &[u8]) -> Option<Vec<u8>> {
    BASE64
        .decode(text)
        .or_else(|_| BASE64_URL.decode(text))
        .ok()
}

/// The bytes that a signature or hash stands for; `None` if it is not in its encoding.
pub fn decode_signature(text: &str, encoding: SignatureEncoding) -> Option<Vec<u8>> {
    match encoding {
        SignatureEncoding::Hex => hex::decode(text).ok(),
        SignatureEncoding::Base64 => BASE64.decode(text).ok(),
    }
}

/// Whether two byte strings are equal, in time that depends on their lengths only. Nothing equals
/// the empty string.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    !left.is_empty() && bool::from(subtle::ConstantTimeEq::ct_eq(left, right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_gives_the_bytes_it_stands_for() {
        let check = |text: &str, encoding, expected: Option<&[u8]>| {
            assert_eq!(
                decode_key(text.as_bytes(), encoding).ok().as_deref(),
                expected,
                "{text:?}"
            );
        };
        check("abc\n", KeyEncoding::Utf8, Some(b"abc\n"));
        check("whsec_abc", KeyEncoding::Utf8, Some(b"whsec_abc"));
        check("YWJj", KeyEncoding::Base64, Some(b"abc"));
        check("YWI=\n", KeyEncoding::Base64, Some(b"ab"));
        check("YWI", KeyEncoding::Base64, Some(b"ab"));
        check("-_-_", KeyEncoding::Base64, Some(b"\xfb\xff\xbf"));
        check("6162", KeyEncoding::Hex, Some(b"ab"));
        check("whsec_YWJj", KeyEncoding::Whsec, Some(b"abc"));
        check("YWJj", KeyEncoding::Whsec, Some(b"abc"));
        check("YW!j", KeyEncoding::Base64, None);
        check("616", KeyEncoding::Hex, None);
        check("whsec_", KeyEncoding::Whsec, None);
        check("  ", KeyEncoding::Hex, None);
    }

    #[test]
    fn a_signature_has_one_form_in_base64() {
        assert_eq!(
            decode_signature("YWI=", SignatureEncoding::Base64).unwrap(),
            b"ab"
        );
        // The last character carries two bits that are no part of the value.
        assert_eq!(decode_signature("YWJ=", SignatureEncoding::Base64), None);
        assert_eq!(decode_signature("YW I=", SignatureEncoding::Base64), None);
        assert_eq!(
            decode_signature("4F4f", SignatureEncoding::Hex).unwrap(),
            b"OO"
        );
        assert_eq!(decode_signature("4f4", SignatureEncoding::Hex), None);
    }

    #[test]
    fn nothing_equals_the_empty_string() {
        assert!(equal(b"a", b"a"));
        for (left, right) in [("", ""), ("a", ""), ("", "a"), ("a", "b"), ("a", "aa")] {
            assert!(!equal(left.as_bytes(), right.as_bytes()));
        }
    }
}
