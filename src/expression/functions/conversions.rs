//! Conversions between types, and the text form of values that templates use too.

use jiff::SignedDuration;
use jiff::fmt::temporal::DateTimePrinter;

use super::Answer;
use crate::expression::value::{Binary, Text, Value, exact_int};
use crate::expression::{Budget, EvaluationError};

pub(super) fn int<'a>(value: &Value<'a>, budget: &mut Budget) -> Answer<'a> {
    let out_of_range = EvaluationError::OutOfRange { operation: "int" };
    match value {
        Value::Int(value) => Ok(Value::Int(*value)),
        Value::Uint(value) => i64::try_from(*value)
            .map(Value::Int)
            .map_err(|_| out_of_range),
        Value::Double(value) => exact_int(value.trunc()).map(Value::Int).ok_or(out_of_range),
        Value::Timestamp(timestamp) => Ok(Value::Int(timestamp.as_second())),
        Value::Text(text) => {
            budget.bytes(text.len())?;
            text.parse()
                .map(Value::Int)
                .map_err(|_| EvaluationError::invalid("`int` needs a text that is a whole number"))
        }
        _ => Err(EvaluationError::wrong_type("int")),
    }
}

pub(super) fn uint<'a>(value: &Value<'a>, budget: &mut Budget) -> Answer<'a> {
    let out_of_range = EvaluationError::OutOfRange { operation: "uint" };
    match value {
        Value::Uint(value) => Ok(Value::Uint(*value)),
        Value::Int(value) => u64::try_from(*value)
            .map(Value::Uint)
            .map_err(|_| out_of_range),
        // 2^64 itself is one past the largest uint.
        Value::Double(value) if *value > -1.0 && *value < 18_446_744_073_709_551_616.0 => {
            Ok(Value::Uint(value.trunc() as u64))
        }
        Value::Double(_) => Err(out_of_range),
        Value::Text(text) => {
            budget.bytes(text.len())?;
            text.parse()
                .map(Value::Uint)
                .map_err(|_| EvaluationError::invalid("`uint` needs a text that is a whole number"))
        }
        _ => Err(EvaluationError::wrong_type("uint")),
    }
}

pub(super) fn double<'a>(value: &Value<'a>, budget: &mut Budget) -> Answer<'a> {
    match value {
        Value::Double(value) => Ok(Value::Double(*value)),
        Value::Int(value) => Ok(Value::Double(*value as f64)),
        Value::Uint(value) => Ok(Value::Double(*value as f64)),
        Value::Text(text) => {
            budget.bytes(text.len())?;
            text.parse()
                .map(Value::Double)
                .map_err(|_| EvaluationError::invalid("`double` needs a text that is a number"))
        }
        _ => Err(EvaluationError::wrong_type("double")),
    }
}

pub(super) fn bool<'a>(value: &Value<'a>) -> Answer<'a> {
    match value {
        Value::Bool(value) => Ok(Value::Bool(*value)),
        Value::Text(text) => match &**text {
            "1" | "t" | "true" | "T" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "false" | "F" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(EvaluationError::invalid(
                "`bool` needs the text \"true\" or \"false\"",
            )),
        },
        _ => Err(EvaluationError::wrong_type("bool")),
    }
}

pub(super) fn bytes<'a>(value: &Value<'a>, budget: &mut Budget) -> Answer<'a> {
    match value {
        Value::Bytes(bytes) => Ok(Value::Bytes(bytes.clone())),
        Value::Text(Text::Borrowed(text)) => Ok(Value::Bytes(Binary::Borrowed(text.as_bytes()))),
        Value::Text(Text::Shared(text)) => {
            budget.bytes(text.len())?;
            Ok(Value::Bytes(Binary::Shared(bytes::Bytes::copy_from_slice(
                text.as_bytes(),
            ))))
        }
        _ => Err(EvaluationError::wrong_type("bytes")),
    }
}

pub(super) fn string<'a>(value: &Value<'a>, budget: &mut Budget) -> Answer<'a> {
    display(value, budget)
        .map_err(|error| match error {
            EvaluationError::NotRenderable { .. } => EvaluationError::wrong_type("string"),
            error => error,
        })
        .map(Value::Text)
}

/// The text form of a value: what `string()` makes and templates insert.
///
/// # Errors
/// [`EvaluationError::NotRenderable`] for null, lists, maps and types.
pub(in crate::expression) fn display<'a>(
    value: &Value<'a>,
    budget: &mut Budget,
) -> Result<Text<'a>, EvaluationError> {
    let made = match value {
        Value::Text(text) => return Ok(text.clone()),
        Value::Bytes(bytes) => {
            budget.bytes(bytes.len())?;
            return match bytes {
                Binary::Borrowed(bytes) => std::str::from_utf8(bytes).map(Text::Borrowed),
                Binary::Shared(bytes) => {
                    std::str::from_utf8(bytes).map(|text| Text::Shared(text.into()))
                }
            }
            .map_err(|_| EvaluationError::invalid("the bytes are not UTF-8 text"));
        }
        Value::Bool(true) => return Ok(Text::Borrowed("true")),
        Value::Bool(false) => return Ok(Text::Borrowed("false")),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::Timestamp(timestamp) => DateTimePrinter::new().timestamp_to_string(timestamp),
        Value::Duration(duration) => duration_text(*duration),
        Value::Null => {
            return Err(EvaluationError::NotRenderable {
                reason: "null has no text form",
            });
        }
        Value::List(_) | Value::Map(_) | Value::Type(_) => {
            return Err(EvaluationError::NotRenderable {
                reason: "a list or map has no text form; use json.encode",
            });
        }
    };
    budget.bytes(made.len())?;
    Ok(Text::Shared(made.into()))
}

/// The shortest text that reads back as the same number: digits between
/// 1e-7 and 1e21 as JSON libraries write them, else with an exponent.
pub(in crate::expression) fn double_text(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else if size != 0.0 && !(1e-7..1e21).contains(&size) {
        let text = format!("{value:e}");
        if size >= 1.0 {
            text.replace('e', "e+")
        } else {
            text
        }
    } else {
        value.to_string()
    }
}

/// Seconds with as many digits as needed, as `1.5s`: the form of JSON durations.
pub(in crate::expression) fn duration_text(duration: SignedDuration) -> String {
    let sign = if duration.is_negative() { "-" } else { "" };
    let (seconds, nanos) = (
        duration.as_secs().unsigned_abs(),
        duration.subsec_nanos().unsigned_abs(),
    );
    let fraction = format!("{nanos:09}");
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{seconds}s"),
        digits => format!("{sign}{seconds}.{digits}s"),
    }
}
