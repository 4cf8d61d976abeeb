//! `format` and `quote` of CEL's strings extension.

use super::{Answer, conversions};
use crate::expression::value::{Text, Value};
use crate::expression::{Budget, EvaluationError, json};

/// Steps for a number with a fraction: its exact decimal form takes some microseconds.
const STEPS_PER_FLOAT: usize = 20;

/// Digits after the point at most. A larger precision would make text out of nothing.
const MAX_PRECISION: usize = 100;

fn invalid(reason: &'static str) -> EvaluationError {
    EvaluationError::invalid(reason)
}

/// `"%s: %d".format([x, y])`: the verbs are s, d, f, e, b, o, x, X and %%.
pub(super) fn format<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let [Value::Text(layout), Value::List(values)] = arguments else {
        return Err(EvaluationError::wrong_type("format"));
    };
    budget.bytes(layout.len())?;
    let mut made = String::with_capacity(layout.len());
    let mut rest = &**layout;
    let mut next = 0;
    while let Some(found) = rest.find('%') {
        made.push_str(&rest[..found]);
        rest = &rest[found + 1..];
        budget.step()?;
        if let Some(after) = rest.strip_prefix('%') {
            made.push('%');
            rest = after;
            continue;
        }
        let precision = precision(&mut rest)?;
        let mut letters = rest.chars();
        let verb = letters
            .next()
            .ok_or(invalid("`format` ends within a verb"))?;
        rest = letters.as_str();
        let value = values
            .get(next)
            .ok_or(invalid("`format` has more verbs than values"))?;
        next += 1;
        let before = made.len();
        verb_text(verb, precision, &value, &mut made, budget)?;
        budget.bytes(made.len() - before)?;
    }
    made.push_str(rest);
    if next < values.len() {
        return Err(invalid("`format` has more values than verbs"));
    }
    Ok(Value::Text(Text::Shared(made.into())))
}

fn precision(rest: &mut &str) -> Result<Option<usize>, EvaluationError> {
    let Some(after) = rest.strip_prefix('.') else {
        return Ok(None);
    };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let precision = after[..digits]
        .parse()
        .ok()
        .filter(|precision| *precision <= MAX_PRECISION);
    *rest = &after[digits..];
    precision
        .map(Some)
        .ok_or(invalid("the precision in `format` is a number up to 100"))
}

fn verb_text(
    verb: char,
    precision: Option<usize>,
    value: &Value<'_>,
    made: &mut String,
    budget: &mut Budget,
) -> Result<(), EvaluationError> {
    let wrong = || EvaluationError::wrong_type("format");
    if matches!(verb, 'f' | 'e') {
        budget.steps(STEPS_PER_FLOAT)?;
    }
    match (verb, value) {
        ('s', Value::List(_) | Value::Map(_)) => {
            let mut text = Vec::new();
            json::write(value, &mut text, budget)?;
            made.push_str(&String::from_utf8_lossy(&text));
        }
        ('s', Value::Null) => made.push_str("null"),
        ('s', Value::Type(kind)) => made.push_str(kind.name()),
        ('s', value) => {
            let text = conversions::display(value, budget)?;
            budget.bytes(text.len())?;
            made.push_str(&text);
        }
        ('d', Value::Int(value)) => made.push_str(&value.to_string()),
        ('d', Value::Uint(value)) => made.push_str(&value.to_string()),
        ('d', Value::Double(value)) => made.push_str(&conversions::double_text(*value)),
        ('f' | 'e', Value::Int(value)) => float(verb, precision, *value as f64, made),
        ('f' | 'e', Value::Uint(value)) => float(verb, precision, *value as f64, made),
        ('f' | 'e', Value::Double(value)) => float(verb, precision, *value, made),
        ('b', Value::Bool(value)) => made.push(if *value { '1' } else { '0' }),
        ('b', Value::Int(value)) => signed(*value, made, |size| format!("{size:b}")),
        ('b', Value::Uint(value)) => made.push_str(&format!("{value:b}")),
        ('o', Value::Int(value)) => signed(*value, made, |size| format!("{size:o}")),
        ('o', Value::Uint(value)) => made.push_str(&format!("{value:o}")),
        ('x', Value::Int(value)) => signed(*value, made, |size| format!("{size:x}")),
        ('x', Value::Uint(value)) => made.push_str(&format!("{value:x}")),
        ('X', Value::Int(value)) => signed(*value, made, |size| format!("{size:X}")),
        ('X', Value::Uint(value)) => made.push_str(&format!("{value:X}")),
        ('x' | 'X', value) => {
            let bytes = value.as_bytes().ok_or_else(wrong)?;
            budget.bytes(bytes.len().saturating_mul(3))?;
            made.push_str(&if verb == 'x' {
                ::hex::encode(bytes)
            } else {
                ::hex::encode_upper(bytes)
            });
        }
        ('d' | 'f' | 'e' | 'b' | 'o', _) => return Err(wrong()),
        _ => {
            return Err(invalid(
                "`format` knows the verbs s, d, f, e, b, o, x, X and %%",
            ));
        }
    }
    Ok(())
}

fn float(verb: char, precision: Option<usize>, value: f64, made: &mut String) {
    let precision = precision.unwrap_or(6);
    if !value.is_finite() {
        made.push_str(&conversions::double_text(value));
    } else if verb == 'f' {
        made.push_str(&format!("{value:.precision$}"));
    } else {
        // Two digits of exponent and always a sign, as C writes it.
        let text = format!("{value:.precision$e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, size) = exponent
            .strip_prefix('-')
            .map_or(('+', exponent), |size| ('-', size));
        made.push_str(&format!("{digits}e{sign}{size:0>2}"));
    }
}

fn signed(value: i64, made: &mut String, write: impl Fn(u64) -> String) {
    if value < 0 {
        made.push('-');
    }
    made.push_str(&write(value.unsigned_abs()));
}

/// `strings.quote(text)`: in double quotes, with what cannot be printed escaped.
pub(super) fn quote<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let Value::Text(text) = &arguments[0] else {
        return Err(EvaluationError::wrong_type("strings.quote"));
    };
    budget.bytes(text.len().saturating_mul(3))?;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\u{07}' => quoted.push_str("\\a"),
            '\u{08}' => quoted.push_str("\\b"),
            '\u{0c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{0b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(Value::Text(Text::Shared(quoted.into())))
}
