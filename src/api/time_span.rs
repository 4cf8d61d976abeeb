//! Spans of time as users write them: `15s`, `1h30m`, `250ms`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the API server checks a span against. It has no `format`, because Go's own `duration`
/// accepts signs, fractions and units that nobody needs here.
pub const TIME_SPAN_PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// Longest text that [`TIME_SPAN_PATTERN`] matches: four parts of five digits and a two-letter unit.
const MAX_CHARACTERS: usize = 28;

/// A span of time: one to four numbers of at most five digits, each followed by `h`, `m`, `s` or
/// `ms`; they add up. The text is kept as it was written, so that nothing shows a difference that
/// nobody made.
#[derive(Clone, Debug)]
pub struct TimeSpan {
    text: Cow<'static, str>,
    duration: Duration,
}

/// A text that is not a [`TimeSpan`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to read {text:?} as a time span: write numbers with units, such as 15s, 1h30m or 250ms"
)]
pub struct TimeSpanError {
    text: String,
}

impl TimeSpan {
    /// A span of whole seconds, for defaults. At most 99,999.
    #[must_use]
    pub fn seconds(seconds: u32) -> Self {
        Self::whole(seconds, 1, "s")
    }

    /// A span of whole minutes, for defaults. At most 99,999.
    #[must_use]
    pub fn minutes(minutes: u32) -> Self {
        Self::whole(minutes, 60, "m")
    }

    /// A span of whole hours, for defaults. At most 99,999.
    #[must_use]
    pub fn hours(hours: u32) -> Self {
        Self::whole(hours, 3_600, "h")
    }

    fn whole(number: u32, seconds: u64, unit: &str) -> Self {
        let number = number.min(99_999);
        Self {
            text: Cow::Owned(format!("{number}{unit}")),
            duration: Duration::from_secs(u64::from(number) * seconds),
        }
    }

    /// The span itself, in milliseconds' precision, at most about 46 years.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for TimeSpan {
    type Err = TimeSpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let duration = parse(text).ok_or_else(|| TimeSpanError {
            // A wrong text may be anything, so only its beginning is repeated.
            text: text.chars().take(40).collect(),
        })?;
        Ok(Self {
            text: Cow::Owned(text.to_owned()),
            duration,
        })
    }
}

/// `None` where the text does not match [`TIME_SPAN_PATTERN`].
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut milliseconds = 0_u64;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=5).contains(&digits) {
            return None;
        }
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        let (unit, scale) = units.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        milliseconds += number * scale;
        if rest.is_empty() {
            return Some(Duration::from_millis(milliseconds));
        }
    }
    None
}

impl PartialEq for TimeSpan {
    /// Spans are equal if they last equally long: `60s` and `1m` are.
    fn eq(&self, other: &Self) -> bool {
        self.duration == other.duration
    }
}

impl Eq for TimeSpan {}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for TimeSpan {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": MAX_CHARACTERS,
            "pattern": TIME_SPAN_PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        let found = text.parse::<TimeSpan>().ok();
        assert_eq!(
            found.as_ref().map(|span| span.duration().as_millis()),
            expected.map(u128::from),
            "{text:?}"
        );
        // What we accept and what the API server accepts must be the same texts.
        let pattern = regex::Regex::new(TIME_SPAN_PATTERN).unwrap();
        assert_eq!(pattern.is_match(text), expected.is_some(), "{text:?}");
        if let Some(span) = found {
            assert_eq!(span.to_string(), text);
            assert!(text.len() <= MAX_CHARACTERS);
        }
    }

    #[test]
    fn spans_are_numbers_with_units_that_add_up() {
        check("15s", Some(15_000));
        check("250ms", Some(250));
        check("1h30m", Some(5_400_000));
        check("1m1ms", Some(60_001));
        check("0s", Some(0));
        check("99999h", Some(359_996_400_000));
        check("1h1m1s1ms", Some(3_661_001));
        check("99999ms99999ms99999ms99999ms", Some(399_996));
    }

    #[test]
    fn what_is_not_a_span_is_refused() {
        for text in [
            "",
            "15",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1d",
            "100000s",
            "1h1h1h1h1h",
            "1h 1m",
            "1S",
            "1s\n",
            " 1s",
            "1µs",
            "٣s",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn the_error_says_what_to_write_and_repeats_little() {
        let error = "x"
            .repeat(1_000)
            .parse::<TimeSpan>()
            .unwrap_err()
            .to_string();
        assert!(error.contains("such as 15s"), "{error}");
        assert!(error.len() < 200, "{error}");
    }

    #[test]
    fn defaults_read_back_as_themselves() {
        for span in [
            TimeSpan::seconds(15),
            TimeSpan::minutes(5),
            TimeSpan::hours(72),
        ] {
            assert_eq!(span.as_str().parse::<TimeSpan>().unwrap(), span);
        }
    }
}
