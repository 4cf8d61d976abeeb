//! Sizes as Kubernetes writes them: `1Gi`, `500M`. A subset of its quantities: whole numbers, no exponents.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the API server checks a size against.
pub const BYTE_SIZE_PATTERN: &str = "^[1-9][0-9]{0,11}(Ki|Mi|Gi|Ti|k|M|G|T)?$";

/// Longest text that [`BYTE_SIZE_PATTERN`] matches.
const MAX_CHARACTERS: usize = 14;

/// Units and the bytes each stands for.
const UNITS: [(&str, u64); 8] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// A number of bytes, such as `1Gi` (1,073,741,824) or `1G` (1,000,000,000), as it was written.
#[derive(Clone, Debug)]
pub struct ByteSize {
    text: Cow<'static, str>,
    bytes: u64,
}

/// A text that is not a [`ByteSize`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to read {text:?} as a size: write a whole number with a unit, such as 500Mi or 10Gi"
)]
pub struct ByteSizeError {
    text: String,
}

impl ByteSize {
    /// The number of bytes. A number too large for 64 bits counts as the largest.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A size in gibibytes, for defaults.
    #[must_use]
    pub fn gibibytes(number: u32) -> Self {
        Self {
            text: Cow::Owned(format!("{number}Gi")),
            bytes: u64::from(number) << 30,
        }
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = parse(text).ok_or_else(|| ByteSizeError {
            text: text.chars().take(40).collect(),
        })?;
        Ok(Self {
            text: Cow::Owned(text.to_owned()),
            bytes,
        })
    }
}

fn parse(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=12).contains(&digits) || text.starts_with('0') {
        return None;
    }
    let number: u64 = text[..digits].parse().ok()?;
    let unit = &text[digits..];
    if unit.is_empty() {
        return Some(number);
    }
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(number.saturating_mul(*scale))
}

impl PartialEq for ByteSize {
    /// Sizes are equal if they are as many bytes: `1024Mi` and `1Gi` are.
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for ByteSize {}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": MAX_CHARACTERS,
            "pattern": BYTE_SIZE_PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        let found = text.parse::<ByteSize>().ok();
        assert_eq!(found.as_ref().map(ByteSize::bytes), expected, "{text:?}");
        let pattern = regex::Regex::new(BYTE_SIZE_PATTERN).unwrap();
        assert_eq!(pattern.is_match(text), expected.is_some(), "{text:?}");
        assert!(found.is_none() || text.len() <= MAX_CHARACTERS);
    }

    #[test]
    fn sizes_are_whole_numbers_with_kubernetes_units() {
        check("1Gi", Some(1 << 30));
        check("500M", Some(500_000_000));
        check("4096", Some(4_096));
        check("10k", Some(10_000));
        check("999999999999Ti", Some(u64::MAX));
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in [
            "",
            "0",
            "01Gi",
            "1.5Gi",
            "1gi",
            "1GB",
            "-1Gi",
            "1 Gi",
            "1e3",
            "1000000000000",
            "Gi",
        ] {
            check(text, None);
        }
    }
}
