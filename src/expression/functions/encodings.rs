//! Encodings, digests, and the small formats that signatures come in.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Answer;
use crate::expression::json;
use crate::expression::value::{Binary, Entries, Key, Map, Text, Value};
use crate::expression::{Budget, EvaluationError};

/// Everything but RFC 3986's unreserved characters.
pub(in crate::expression) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Writes padding, and reads with or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn made<'a>(text: String) -> Answer<'a> {
    Ok(Value::Text(Text::Shared(text.into())))
}

fn binary<'a>(bytes: Vec<u8>) -> Answer<'a> {
    Ok(Value::Bytes(Binary::Shared(Bytes::from(bytes))))
}

/// The bytes of binary data, or of a text in UTF-8; charged.
fn bytes_of<'v>(
    value: &'v Value<'_>,
    operation: &'static str,
    budget: &mut Budget,
) -> Result<&'v [u8], EvaluationError> {
    let bytes = value
        .as_bytes()
        .ok_or(EvaluationError::wrong_type(operation))?;
    budget.bytes(bytes.len())?;
    Ok(bytes)
}

fn text_of<'v, 'a>(
    value: &'v Value<'a>,
    operation: &'static str,
    budget: &mut Budget,
) -> Result<&'v Text<'a>, EvaluationError> {
    let Value::Text(text) = value else {
        return Err(EvaluationError::wrong_type(operation));
    };
    budget.bytes(text.len())?;
    Ok(text)
}

pub(super) fn base64_encode<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes_of(&arguments[0], "base64.encode", budget)?;
    budget.bytes(bytes.len().div_ceil(3) * 4)?;
    made(BASE64.encode(bytes))
}

/// Reads the standard and the URL-safe alphabet, with or without padding.
pub(super) fn base64_decode<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = text_of(&arguments[0], "base64.decode", budget)?;
    budget.bytes(text.len())?;
    let url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let decoded = if url_safe {
        BASE64_URL.decode(text.as_bytes())
    } else {
        BASE64.decode(text.as_bytes())
    };
    binary(decoded.map_err(|_| EvaluationError::invalid("the text is not base64"))?)
}

pub(super) fn json_encode<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let mut text = Vec::new();
    json::write(&arguments[0], &mut text, budget)?;
    // What is written as JSON is UTF-8 by construction.
    made(String::from_utf8_lossy(&text).into_owned())
}

pub(super) fn json_decode<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes_of(&arguments[0], "json.decode", budget)?;
    json::decode(bytes, budget)
}

/// Percent-encodes all but unreserved characters, as one part of a path or query.
pub(super) fn url_encode<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = text_of(&arguments[0], "url.encode", budget)?;
    budget.bytes(text.len().saturating_mul(3))?;
    made(utf8_percent_encode(text, RESERVED).to_string())
}

pub(super) fn url_decode<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = text_of(&arguments[0], "url.decode", budget)?;
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => made(decoded.into_owned()),
        Err(_) => Err(EvaluationError::invalid(
            "the text does not decode to UTF-8",
        )),
    }
}

/// Longer URLs are not read: turning a long international name into ASCII takes quadratic time.
const MAX_URL: usize = 8 * 1024;

/// The host of a URL, lower case, without port.
pub(super) fn url_host<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = text_of(&arguments[0], "url.host", budget)?;
    if text.len() > MAX_URL {
        return Err(EvaluationError::invalid("the URL is longer than 8 KiB"));
    }
    let parsed =
        url::Url::parse(text).map_err(|_| EvaluationError::invalid("the text is not a URL"))?;
    match parsed.host_str() {
        Some(host) => made(host.to_owned()),
        None => Err(EvaluationError::invalid("the URL has no host")),
    }
}

/// Lower-case hexadecimal text of bytes, or of a text in UTF-8.
pub(super) fn hex<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes_of(&arguments[0], "hex", budget)?;
    budget.bytes(bytes.len().saturating_mul(2))?;
    made(::hex::encode(bytes))
}

pub(super) fn sha1<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes_of(&arguments[0], "sha1", budget)?;
    binary(
        digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)
            .as_ref()
            .to_vec(),
    )
}

pub(super) fn sha256<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes_of(&arguments[0], "sha256", budget)?;
    binary(digest::digest(&digest::SHA256, bytes).as_ref().to_vec())
}

/// The checksum of ISO-HDLC, as in zip and PNG, as an int.
pub(super) fn crc32<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes_of(&arguments[0], "crc32", budget)?;
    Ok(Value::Int(i64::from(crc32fast::hash(bytes))))
}

/// `kv(text[, separator])`: `"t=1,v1=a,v1=b"` becomes `{"t": ["1"], "v1": ["a", "b"]}`.
///
/// White space around names and values does not count; parts without `=` are passed over.
pub(super) fn key_values<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = text_of(&arguments[0], "kv", budget)?;
    let separator = match arguments.get(1) {
        None => ",",
        Some(Value::Text(separator)) if !separator.is_empty() => separator,
        Some(Value::Text(_)) => {
            return Err(EvaluationError::invalid(
                "the separator of `kv` is not empty",
            ));
        }
        Some(_) => return Err(EvaluationError::wrong_type("kv")),
    };
    let mut lists: BTreeMap<&str, Vec<Value<'a>>> = BTreeMap::new();
    let within = |part: &str| {
        // Parts are slices of the text, so their distance is their place in it.
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        text.slice(start..start + part.len())
    };
    for part in text.split(separator) {
        budget.step()?;
        if let Some((name, value)) = part.split_once('=') {
            lists
                .entry(name.trim())
                .or_default()
                .push(Value::Text(within(value.trim())));
        }
    }
    let entries = lists
        .into_iter()
        .map(|(name, values)| (Key::Text(within(name)), Value::list(values)))
        .collect();
    let entries = Entries::new(entries).ok_or(EvaluationError::wrong_type("kv"))?;
    Ok(Value::Map(Map::Shared(entries.into())))
}
