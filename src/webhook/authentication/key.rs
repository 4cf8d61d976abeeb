//! Keys: from the texts in Secrets to what a method checks with.
//!
//! A key that is missing, empty or not in its encoding never matches anything; it is our fault, not
//! the sender's, and remembered as such.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::api::{FieldPath, KeyEncoding, KeySource, SignatureEncoding};
use crate::configuration::{EventTypeEntry, Sensitive};
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

/// The keys of one method, ready for use, and why some are not.
#[derive(Debug)]
pub struct Keys<Key> {
    ready: Vec<Key>,
    fault: Option<&'static str>,
}

impl<Key> Keys<Key> {
    /// Takes each key of `sources` from the type's entry and makes `prepare` of its bytes; the error
    /// says what is wrong with them, without them.
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        sources: &[KeySource],
        entry: &EventTypeEntry,
        mut prepare: impl FnMut(&[u8]) -> Result<Vec<Key>, &'static str>,
    ) -> Self {
        if sources.is_empty() {
            compiler.error(path, "write at least one key");
        }
        let mut keys = Self {
            ready: Vec::new(),
            fault: None,
        };
        for (index, source) in sources.iter().enumerate() {
            let path = path.index(index);
            if source.secret_key_ref.is_some() == source.app_field.is_some() {
                compiler.error(&path, "write exactly one of secretKeyRef and appField");
            }
            let Some(bytes) = entry
                .key(source)
                .map(Sensitive::expose)
                .filter(|bytes| !bytes.is_empty())
            else {
                keys.fault = Some("our key is missing or empty");
                continue;
            };
            match prepare(bytes) {
                Ok(prepared) => keys.ready.extend(prepared),
                Err(fault) => {
                    compiler.warning(
                        &path,
                        format!("{fault}; until it is, requests that need it are answered 503"),
                    );
                    keys.fault = Some("our key cannot be used");
                }
            }
        }
        keys
    }

    /// The keys that can be used.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.ready.iter()
    }

    /// Why not all keys can be used; `None`: all can.
    pub fn fault(&self) -> Option<&'static str> {
        self.fault
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
