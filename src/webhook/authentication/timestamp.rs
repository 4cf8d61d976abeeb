//! When a request was signed: refused if too long ago, and as much if too far ahead.

use std::time::Duration;

use jiff::Timestamp;

use super::{Check, Fault, Scopes};
use crate::api::{FieldPath, SignatureTimestamp, TimestampFormat};
use crate::expression::{Expression, References, Value};
use crate::webhook::compiler::Compiler;

/// A compiled `timestamp`.
#[derive(Debug)]
pub struct SignedAt {
    value: Expression,
    format: TimestampFormat,
    tolerance: Duration,
}

impl SignedAt {
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        timestamp: &SignatureTimestamp,
        scopes: &Scopes,
    ) -> Option<Self> {
        let value = compiler.expression(&path.field("value"), &timestamp.value, &scopes.methods)?;
        let (format, tolerance) = (timestamp.format(), timestamp.tolerance().duration());
        Some(Self {
            value,
            format,
            tolerance,
        })
    }

    pub fn check(&self, check: &mut Check<'_, '_, '_>) -> Result<(), Fault> {
        let names = check.names;
        let at = check.pool.evaluate(|budget| {
            Ok(match self.value.evaluate(&names, budget)? {
                Value::Timestamp(at) => Some(at),
                Value::Int(number) => from_number(number, self.format),
                Value::Text(text) => read(&text, self.format),
                _ => None,
            })
        })?;
        let at = at.ok_or(Fault::refused("the timestamp is not in its format"))?;
        within(at, check.now, self.tolerance)
    }

    pub fn references(&self) -> &References {
        self.value.references()
    }
}

/// Whether `at` is at most `tolerance` away from `now`, either way.
pub fn within(at: Timestamp, now: Timestamp, tolerance: Duration) -> Result<(), Fault> {
    let distance = now.duration_since(at);
    if distance.unsigned_abs() <= tolerance {
        return Ok(());
    }
    Err(Fault::refused(match distance.is_negative() {
        true => "the timestamp is further in the future than the tolerance",
        false => "the timestamp is older than the tolerance",
    }))
}

/// Reads a timestamp as text.
pub fn read(text: &str, format: TimestampFormat) -> Option<Timestamp> {
    match format {
        TimestampFormat::Seconds | TimestampFormat::Milliseconds => {
            // Digits and nothing else: `parse` would also take a plus sign.
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            from_number(text.parse().ok()?, format)
        }
        TimestampFormat::Rfc3339 => text.parse().ok(),
    }
}

fn from_number(number: i64, format: TimestampFormat) -> Option<Timestamp> {
    match format {
        TimestampFormat::Seconds => Timestamp::from_second(number).ok(),
        TimestampFormat::Milliseconds => Timestamp::from_millisecond(number).ok(),
        TimestampFormat::Rfc3339 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_read_in_its_own_format_only() {
        let check = |text: &str, format, expected: Option<&str>| {
            let expected = expected.map(|text| text.parse::<Timestamp>().unwrap());
            assert_eq!(read(text, format), expected, "{text:?}");
        };
        check(
            "1614265330",
            TimestampFormat::Seconds,
            Some("2021-02-25T15:02:10Z"),
        );
        check(
            "1614265330123",
            TimestampFormat::Milliseconds,
            Some("2021-02-25T15:02:10.123Z"),
        );
        check(
            "2021-02-25T16:02:10+01:00",
            TimestampFormat::Rfc3339,
            Some("2021-02-25T15:02:10Z"),
        );
        for text in [
            "",
            " 1",
            "1 ",
            "+1",
            "-1",
            "1.5",
            "0x1",
            "१",
            "99999999999999999999",
            "1614265330123456",
        ] {
            check(text, TimestampFormat::Seconds, None);
        }
        for text in ["", "1614265330", "2021-02-25T16:02:10", "yesterday"] {
            check(text, TimestampFormat::Rfc3339, None);
        }
    }

    #[test]
    fn the_tolerance_holds_both_ways_to_the_millisecond() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let tolerance = Duration::from_secs(300);
        let at = |milliseconds: i64| {
            Timestamp::from_millisecond(now.as_millisecond() + milliseconds).unwrap()
        };
        for milliseconds in [0, 300_000, -300_000] {
            assert!(within(at(milliseconds), now, tolerance).is_ok());
        }
        for milliseconds in [300_001, -300_001, i64::from(i32::MAX), -i64::from(i32::MAX)] {
            assert!(within(at(milliseconds), now, tolerance).is_err());
        }
    }
}
