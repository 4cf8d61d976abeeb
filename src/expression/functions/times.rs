//! Points in time and spans. Time zones are fixed offsets: names of zones would
//! need a database that is neither part of the expression nor of the request.

use jiff::civil::{DateTime, Weekday};
use jiff::fmt::strtime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::{Answer, Function};
use crate::expression::operators::time;
use crate::expression::value::Value;
use crate::expression::{Budget, EvaluationError};

pub(super) fn timestamp<'a>(value: &Value<'a>, budget: &mut Budget) -> Answer<'a> {
    match value {
        Value::Timestamp(timestamp) => Ok(Value::Timestamp(*timestamp)),
        Value::Int(seconds) => time(Timestamp::from_second(*seconds).ok(), "timestamp"),
        Value::Text(text) => {
            budget.bytes(text.len())?;
            let parsed = rfc3339(text)
                .ok_or(EvaluationError::invalid("the text is not an RFC 3339 time"))?;
            time(Some(parsed), "timestamp")
        }
        _ => Err(EvaluationError::wrong_type("timestamp")),
    }
}

/// RFC 3339 section 5.6, no more: jiff's parser also takes zone names, week dates and the like.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let is =
        |index: usize, allowed: &[u8]| bytes.get(index).is_some_and(|byte| allowed.contains(byte));
    let shaped = digits(0..4)
        && is(4, b"-")
        && digits(5..7)
        && is(7, b"-")
        && digits(8..10)
        && is(10, b"Tt ")
        && digits(11..13)
        && is(13, b":")
        && digits(14..16)
        && is(16, b":")
        && digits(17..19);
    if !shaped {
        return None;
    }
    let mut zone = 19;
    if is(zone, b".") {
        let fraction = bytes[20..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if fraction == 0 || fraction > 9 {
            return None;
        }
        zone = 20 + fraction;
    }
    let utc = bytes.len() == zone + 1 && is(zone, b"Zz");
    let offset = bytes.len() == zone + 6
        && is(zone, b"+-")
        && digits(zone + 1..zone + 3)
        && is(zone + 3, b":")
        && digits(zone + 4..zone + 6);
    if utc || offset {
        DateTimeParser::new().parse_timestamp(text).ok()
    } else {
        None
    }
}

pub(super) fn duration<'a>(value: &Value<'a>, budget: &mut Budget) -> Answer<'a> {
    match value {
        Value::Duration(duration) => Ok(Value::Duration(*duration)),
        Value::Text(text) => {
            budget.bytes(text.len())?;
            parse_duration(text)
                .map(Value::Duration)
                .ok_or(EvaluationError::invalid(
                    "the text is not a duration such as 1h30m or 1.5s",
                ))
        }
        _ => Err(EvaluationError::wrong_type("duration")),
    }
}

/// Numbers with units, largest or smallest in any order, as CEL and Go write them: `-1h2m3.5s`.
fn parse_duration(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let (unit, scale) = [
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000_i128),
        ]
        .into_iter()
        .find(|(unit, _)| after.starts_with(unit))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 18 {
            return None;
        }
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        nanos += whole * scale;
        let mut place = scale;
        for digit in fraction.bytes() {
            place /= 10;
            nanos += i128::from(digit - b'0') * place;
        }
        rest = &after[unit.len()..];
    }
    let nanos = if negative { -nanos } else { nanos };
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    // CEL's durations span about 10,000 years either way.
    if seconds.unsigned_abs() > 315_576_000_000 {
        return None;
    }
    SignedDuration::from_secs(seconds).checked_add(SignedDuration::from_nanos(
        nanos.rem_euclid(1_000_000_000) as i64,
    ))
}

/// `time.parse(text, layout)`: the layout is written with strftime's `%`; without an offset the time is UTC.
pub(super) fn parse<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let [Value::Text(text), Value::Text(layout)] = arguments else {
        return Err(EvaluationError::wrong_type("time.parse"));
    };
    budget.bytes(text.len() + layout.len())?;
    let parsed = strtime::parse(&**layout, &**text).map_err(|_| {
        EvaluationError::invalid("the text does not have the layout of `time.parse`")
    })?;
    let timestamp = match parsed.timestamp() {
        Some(timestamp) => Some(timestamp),
        None => parsed
            .to_datetime()
            .or_else(|_| {
                parsed
                    .to_date()
                    .map(|date| date.to_datetime(jiff::civil::Time::midnight()))
            })
            .ok()
            .and_then(|civil| {
                parsed
                    .offset()
                    .unwrap_or(Offset::UTC)
                    .to_timestamp(civil)
                    .ok()
            }),
    };
    time(timestamp, "time.parse")
}

pub(super) fn millis<'a>(value: &Value<'a>) -> Answer<'a> {
    match value.as_i64() {
        Some(millis) => time(Timestamp::from_millisecond(millis).ok(), "time.millis"),
        None => Err(EvaluationError::wrong_type("time.millis")),
    }
}

/// `getFullYear()` and its siblings. Months and days count from zero, but `getDate`'s from one.
pub(super) fn part<'a>(function: Function, arguments: &[Value<'a>]) -> Answer<'a> {
    if let [Value::Duration(duration)] = arguments {
        let value = match function {
            Function::Hours => duration.as_hours(),
            Function::Minutes => duration.as_mins(),
            Function::Seconds => duration.as_secs(),
            Function::Milliseconds => i64::from(duration.subsec_millis()),
            _ => return Err(EvaluationError::wrong_type("a part of a date")),
        };
        return Ok(Value::Int(value));
    }
    let (timestamp, offset) = match arguments {
        [Value::Timestamp(timestamp)] => (timestamp, Offset::UTC),
        [Value::Timestamp(timestamp), Value::Text(zone)] => (
            timestamp,
            parse_offset(zone).ok_or(EvaluationError::invalid(
                "a time zone is UTC or an offset such as +02:00",
            ))?,
        ),
        _ => return Err(EvaluationError::wrong_type("a part of a time")),
    };
    let civil: DateTime = offset.to_datetime(*timestamp);
    Ok(Value::Int(match function {
        Function::FullYear => i64::from(civil.year()),
        Function::Month => i64::from(civil.month()) - 1,
        Function::DayOfYear => i64::from(civil.date().day_of_year()) - 1,
        Function::DayOfMonth => i64::from(civil.day()) - 1,
        Function::Date => i64::from(civil.day()),
        Function::DayOfWeek => i64::from(civil.date().weekday().since(Weekday::Sunday)),
        Function::Hours => i64::from(civil.hour()),
        Function::Minutes => i64::from(civil.minute()),
        Function::Seconds => i64::from(civil.second()),
        _ => i64::from(civil.millisecond()),
    }))
}

fn parse_offset(zone: &str) -> Option<Offset> {
    if matches!(zone, "UTC" | "Z" | "GMT") {
        return Some(Offset::UTC);
    }
    let (sign, rest) = match zone.as_bytes().first()? {
        b'-' => (-1, &zone[1..]),
        b'+' => (1, &zone[1..]),
        _ => (1, zone),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two_digits = |part: &str| {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<i32>().ok())?
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}
