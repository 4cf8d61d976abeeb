//! What an unquoted YAML scalar means to Kubernetes.
//!
//! kubectl reads YAML 1.1: `on` is true, `0777` is 511, `1_000` is 1000. Reading
//! it any other way here would let a manifest work on a laptop and break in a
//! cluster, so this follows kubectl and reports what surprises people.

use serde_json::Number;

/// What a scalar is.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// No value: empty, `~` or `null`.
    Null,
    /// `true`, `false` and what YAML 1.1 takes for them: `yes`, `no`, `on`, `off`, `y`, `n`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Infinity or not a number, which JSON does not have.
    NoJson,
    /// Text.
    Text,
}

/// Reads an unquoted scalar.
pub fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
            return Scalar::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => return Scalar::NoJson,
        _ => {}
    }
    let is_number_like =
        text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.'));
    if !is_number_like {
        return Scalar::Text;
    }
    let plain = text.replace('_', "");
    if let Some(integer) = integer(&plain) {
        return integer;
    }
    if is_decimal(&plain) {
        return match plain.parse::<f64>().ok().and_then(Number::from_f64) {
            Some(number) => Scalar::Number(whole(&number)),
            None => Scalar::NoJson,
        };
    }
    Scalar::Text
}

/// Whether `written` is how a person would write what was read from it.
pub fn is_as_written(scalar: &Scalar, written: &str) -> bool {
    match scalar {
        Scalar::Bool(value) => written.eq_ignore_ascii_case(if *value { "true" } else { "false" }),
        Scalar::Number(number) => number.to_string() == written,
        Scalar::Null | Scalar::NoJson | Scalar::Text => true,
    }
}

/// Decimal, `0x`, `0o`, `0b`, and octal after a leading zero.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    // `from_str_radix` takes a sign, and there has been one.
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let number = if negative {
        let value = i128::from_str_radix(digits, radix).ok()?;
        Number::from(i64::try_from(-value).ok()?)
    } else {
        Number::from(u64::from_str_radix(digits, radix).ok()?)
    };
    Some(Scalar::Number(number))
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mantissa = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => digits(mantissa) && !mantissa.is_empty(),
    };
    let is_exponent = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        digits(exponent) && !exponent.is_empty()
    });
    is_mantissa && is_exponent
}

/// JSON has one kind of number: what was written `5.0` or `1e3` travels as `5` and `1000`.
fn whole(number: &Number) -> Number {
    /// Up to here every whole number is a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within the bounds of i64"
        )]
        Some(float) if float.fract() == 0.0 && float.abs() <= EXACT => Number::from(float as i64),
        _ => number.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match resolve(text) {
            Scalar::Null => "null".to_owned(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::NoJson => "no JSON".to_owned(),
            Scalar::Text => "text".to_owned(),
        };
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn words_are_read_as_kubectl_reads_them() {
        for text in ["on", "On", "ON", "yes", "y", "Y", "true", "TRUE"] {
            check(text, "true");
        }
        for text in ["off", "no", "No", "n", "N", "false"] {
            check(text, "false");
        }
        for text in ["", "~", "null"] {
            check(text, "null");
        }
        for text in ["tRue", "oN", "yeS", "nil", "none", "None", "truely", "onn"] {
            check(text, "text");
        }
    }

    #[test]
    fn numbers_are_read_as_kubectl_reads_them() {
        check("0", "0");
        check("-0", "0");
        check("12345", "12345");
        check("0777", "511");
        check("0o17", "15");
        check("0x1F", "31");
        check("-0b101", "-5");
        check("1_000", "1000");
        check("08", "8");
        check("1.10", "1.1");
        check("5.0", "5");
        check("1e3", "1000");
        check(".5", "0.5");
        check("5.", "5");
        check("+12", "12");
        check("18446744073709551615", "18446744073709551615");
        check("18446744073709551616", "1.8446744073709552e+19");
        check("-9223372036854775808", "-9223372036854775808");
        check("1e400", "no JSON");
        check(".inf", "no JSON");
    }

    #[test]
    fn what_only_looks_like_a_number_is_text() {
        for text in [
            "1.2.3",
            "v1",
            "1:30",
            "2026-01-02",
            "-",
            "+",
            ".",
            "..",
            "1e",
            "0x",
            "0xg",
            "1-2",
            "10Gi",
            "15s",
            "--1",
            "e5",
            "1.5.",
            "_1",
        ] {
            check(text, "text");
        }
    }

    #[test]
    fn surprises_are_told_from_what_people_mean() {
        for (text, expected) in [
            ("true", true),
            ("TRUE", true),
            ("on", false),
            ("y", false),
            ("5", true),
            ("-5", true),
            ("05", false),
            ("1.10", false),
            ("1.5", true),
            ("1_000", false),
            ("1e3", false),
            ("+1", false),
            ("5.0", false),
        ] {
            assert_eq!(is_as_written(&resolve(text), text), expected, "{text:?}");
        }
    }
}
