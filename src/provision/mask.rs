//! What is sensitive in requests and answers, made unreadable before anybody sees them.
//!
//! Of a request, what an expression made of something sensitive is known by its origin and replaced
//! whole. An answer has no origins: so what it declares as secret, every secret that is known, in
//! each usual encoding, and whatever is named like a secret is replaced. That is done before
//! anything is cut, so that no part of a secret stays behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use regex::Regex;
use serde_json::Value;

/// What stands for something sensitive.
pub(super) const MASK: &str = "***";

/// Longest text of a body, and of all headers, that is shown.
pub(super) const SHOWN_BYTES: usize = 2 << 10;

/// Shorter texts than this are in every answer by chance. A secret that short is masked where it is
/// a whole value.
const SHORTEST_NEEDLE: usize = 4;

/// Replaces secrets in texts, whatever the encoding.
#[derive(Clone, Default)]
pub struct Masker {
    /// What is looked for; the longest first, as one may be part of another.
    needles: Vec<String>,
    /// Secrets too short to be looked for inside of texts.
    short: BTreeSet<String>,
}

impl Masker {
    /// Looks for these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut needles = Vec::new();
        let mut short = BTreeSet::new();
        for secret in secrets {
            let trimmed = secret.trim_ascii();
            add_encodings(secret, &mut needles, &mut short);
            if trimmed != secret {
                add_encodings(trimmed, &mut needles, &mut short);
            }
            // Keys of Standard Webhooks are used, and perhaps repeated, without their dress.
            if let Some(encoded) = trimmed.strip_prefix(b"whsec_") {
                add_encodings(encoded, &mut needles, &mut short);
                if let Ok(decoded) = STANDARD.decode(encoded) {
                    add_encodings(&decoded, &mut needles, &mut short);
                }
            }
        }
        needles.sort_unstable_by(|a: &String, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles, short }
    }

    /// A text without the secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        if self.short.contains(text) {
            return MASK.to_owned();
        }
        let mut text = text.to_owned();
        for needle in &self.needles {
            if text.contains(needle.as_str()) {
                text = text.replace(needle.as_str(), MASK);
            }
        }
        text
    }

    /// A JSON value without the secrets, and without the values of members that are named like
    /// secrets.
    #[must_use]
    pub fn json(&self, value: &Value) -> Value {
        match value {
            Value::Null | Value::Bool(_) => value.clone(),
            Value::Number(number) => {
                let text = number.to_string();
                match self.text(&text) == text {
                    true => value.clone(),
                    false => Value::from(MASK),
                }
            }
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(elements) => elements.iter().map(|one| self.json(one)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (self.text(name), self.member(name, value)))
                .collect(),
        }
    }

    /// Values by name, each as [`Self::json`] shows a member.
    #[must_use]
    pub fn members(&self, members: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
        members
            .iter()
            .map(|(name, value)| (name.clone(), self.member(name, value)))
            .collect()
    }

    fn member(&self, name: &str, value: &Value) -> Value {
        match is_named_like_a_secret(name) && !value.is_null() {
            true => Value::from(MASK),
            false => self.json(value),
        }
    }

    /// A body without the secrets, and without what is named like one; not cut yet.
    #[must_use]
    pub(super) fn body(&self, body: &[u8]) -> String {
        match serde_json::from_slice::<Value>(body) {
            Ok(json) => self.text(&self.json(&json).to_string()),
            Err(_) => self.named(&self.text(&String::from_utf8_lossy(body))),
        }
    }

    /// The value of a header.
    #[must_use]
    pub(super) fn header(&self, name: &str, value: &str) -> String {
        match is_named_like_a_secret(name) {
            true => MASK.to_owned(),
            false => self.named(&self.text(value)),
        }
    }

    /// A URL that an app gave, without the secrets and without parameters that are named like one.
    #[must_use]
    pub(super) fn url(&self, url: &str) -> String {
        self.named(&self.text(url))
    }

    /// A text that is no JSON, without the values that are named like secrets: those of forms, of
    /// headers, of XML, of JSON that was cut off.
    fn named(&self, text: &str) -> String {
        let text = SCHEME.replace_all(text, format!("${{scheme}} {MASK}"));
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(found) = NAME.captures_at(&text, at) {
            let end = found.get(0).map_or(text.len(), |whole| whole.end());
            masked.push_str(&text[at..end]);
            at = end;
            if is_named_like_a_secret(&found["name"]) {
                let value = text[at..].find(ends_a_value).unwrap_or(text.len() - at);
                if value > 0 {
                    masked.push_str(MASK);
                }
                at += value;
            }
        }
        masked.push_str(&text[at..]);
        masked
    }
}

/// Whether a value that is not written in JSON ends before this character.
fn ends_a_value(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '&' | '<' | ',' | ';' | '}' | '\\')
}

/// A name, and what makes it one.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?P<name>[A-Za-z0-9_.\[\]-]+)\\?["']?\s*(?:[=:]|%3[Dd]|>)\s*\\?["']?"#)
});

/// Credentials behind the name of their scheme.
static SCHEME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?P<scheme>bearer|basic)\s+[a-z0-9._~+/=-]{4,}"));

/// The patterns are constants and tests use both, so none fails to compile.
#[expect(
    clippy::expect_used,
    reason = "the pattern is a constant that tests use"
)]
fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("a constant pattern compiles")
}

/// Whether a member, a header or a parameter of that name usually holds a secret.
#[must_use]
pub fn is_named_like_a_secret(name: &str) -> bool {
    // Whole words, so that neither `monkey` nor `keyword` is one; and what is written as one word.
    const WORDS: [&str; 16] = [
        "key",
        "keys",
        "auth",
        "authorization",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "pwd",
        "pass",
        "bearer",
        "session",
        "jwt",
        "csrf",
        "signature",
        "otp",
    ];
    const PARTS: [&str; 7] = [
        "token",
        "secret",
        "password",
        "passwd",
        "passphrase",
        "apikey",
        "authorization",
    ];
    let lower = name.to_ascii_lowercase();
    PARTS.iter().any(|part| lower.contains(part))
        || words(name).any(|word| WORDS.contains(&word.as_str()))
}

/// The words of a name in camel, snake or kebab case, in lower case.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut before_was_lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphabetic() || (c.is_ascii_uppercase() && before_was_lower) {
            words.push(String::new());
        }
        before_was_lower = c.is_ascii_lowercase();
        if c.is_ascii_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.push(c.to_ascii_lowercase());
        }
    }
    words.into_iter()
}

/// At most [`SHOWN_BYTES`] of a text that holds nothing sensitive any more.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > SHOWN_BYTES {
        const MARK: &str = "…";
        text.truncate(text.floor_char_boundary(SHOWN_BYTES - MARK.len()));
        text.push_str(MARK);
    }
    text
}

/// The unguessable part of a webhook URI: what follows `/h/`.
pub(super) fn token(uri: &str) -> Option<&str> {
    let (_, rest) = uri.rsplit_once("/h/")?;
    let token = rest.split('/').next()?;
    (!token.is_empty()).then_some(token)
}

/// A webhook URI as it is shown.
#[must_use]
pub fn without_token(uri: &str) -> String {
    match token(uri) {
        Some(token) => uri.replace(token, MASK),
        None => uri.to_owned(),
    }
}

/// What JavaScript's `encodeURIComponent` leaves as it is.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// RFC 3986's unreserved characters are left as they are.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// How a value may look: as it is, and in the encodings that apps use. Maskers are made all the time, and most
/// encodings leave most secrets as they are: those are not made.
fn add_encodings(value: &[u8], needles: &mut Vec<String>, short: &mut BTreeSet<String>) {
    let text = std::str::from_utf8(value).ok();
    if value.len() < SHORTEST_NEEDLE {
        short.extend(text.filter(|text| !text.is_empty()).map(str::to_owned));
        return;
    }
    let mut add = |needle: String| {
        if needle.len() >= SHORTEST_NEEDLE {
            needles.push(needle);
        }
    };
    let mut add_base64 = |encoded: &str| {
        if encoded.contains(['+', '/']) {
            add(encoded.replace('+', "-").replace('/', "_"));
        }
        add(encoded.to_owned());
    };
    // In the middle of something longer, base64 has one of three alignments; what neighbours
    // change is left out.
    for offset in 0..3 {
        let shifted = [&b"xx"[..offset], value].concat();
        let whole = shifted.len() / 3 * 4;
        add_base64(&STANDARD_NO_PAD.encode(&shifted)[[0, 2, 3][offset]..whole]);
    }
    // The same at the end of a text, where the last characters are known, too.
    add_base64(&STANDARD_NO_PAD.encode(value));
    add(hex::encode(value));
    add(hex::encode_upper(value));
    if !value.iter().all(u8::is_ascii_alphanumeric) {
        for set in [NON_ALPHANUMERIC, STRICT, COMPONENT] {
            let percent = percent_encode(value, set).to_string();
            add(lower_percent(&percent));
            // Some lower the case of whole URLs.
            add(percent.to_lowercase());
            add(percent);
        }
        let form: String = form_urlencoded::byte_serialize(value).collect();
        add(lower_percent(&form));
        add(form);
    }
    let Some(text) = text else { return };
    add(text.to_lowercase());
    add(text.to_owned());
    let json = Value::from(text).to_string();
    let json = &json[1..json.len() - 1];
    let is_plain = |c: char| c.is_ascii() && !is_markup(c) && c != '/';
    if !json.chars().all(is_plain) {
        for slashes in [false, true] {
            for markup in [false, true] {
                add(escaped(json, slashes, markup, false));
                add(escaped(json, slashes, markup, true));
            }
        }
    }
    add(json.to_owned());
}

/// What some encoders of JSON escape because it has a meaning in HTML.
fn is_markup(c: char) -> bool {
    matches!(c, '<' | '>' | '&' | '\'' | '+')
}

/// JSON text as encoders write it that also escape slashes, or what has a meaning in HTML.
fn escaped(json: &str, slashes: bool, markup: bool, upper: bool) -> String {
    let mut text = String::new();
    for c in json.chars() {
        match c {
            '/' if slashes => text.push_str("\\/"),
            c if markup && is_markup(c) => push_unit(c as u16, upper, &mut text),
            c if c.is_ascii() => text.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    push_unit(*unit, upper, &mut text);
                }
            }
        }
    }
    text
}

fn push_unit(unit: u16, upper: bool, text: &mut String) {
    text.push_str(&match upper {
        true => format!("\\u{unit:04X}"),
        false => format!("\\u{unit:04x}"),
    });
}

/// Percent-encoded text with its hexadecimal digits in lower case, and nothing else.
fn lower_percent(text: &str) -> String {
    let mut digits = 0;
    text.chars()
        .map(|c| {
            if c == '%' {
                digits = 2;
                return c;
            }
            let c = if digits > 0 {
                c.to_ascii_lowercase()
            } else {
                c
            };
            digits = i32::max(digits - 1, 0);
            c
        })
        .collect()
}

#[cfg(test)]
mod tests;
