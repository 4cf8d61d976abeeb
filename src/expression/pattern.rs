//! The patterns of `matches`: literal, compiled once, linear in time.
//!
//! Linear still differs a lot: a pattern whose automaton grows too large is
//! followed state by state, so the cost of one byte grows with the pattern. A
//! pattern therefore has a weight, found from the memory its compiled form
//! needs, and a text is charged that many times over.

use regex::{Regex, RegexBuilder};

use super::{Budget, EvaluationError};

/// The largest compiled form that is accepted, in bytes as the regex engine counts them.
const SIZE_LIMIT: usize = 256 * 1024;

/// Up to this size the automaton has so few states that they are all kept: a
/// byte costs a nanosecond or so, whatever the text.
const LIGHT_SIZE: usize = 1024;

/// Above it a text can make the engine follow the pattern state by state. The
/// worst found then cost about 80 ns a byte and [`LIGHT_SIZE`] on a quiet
/// machine and up to 200 ns on a busy one, which is this many times what other
/// functions may cost.
const HEAVY_WEIGHT: usize = 16;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    weight: usize,
}

impl Pattern {
    /// Compiles a pattern, or says in a sentence what is wrong with it.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        let pattern = with_ascii_classes(pattern);
        let build = |limit| RegexBuilder::new(&pattern).size_limit(limit).build();
        let regex = build(SIZE_LIMIT).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the pattern is too large when compiled".to_owned(),
            // The message draws the pattern over several lines; its last line is the reason.
            other => format!(
                "the pattern is not valid: {}",
                last_line(&other.to_string())
            ),
        })?;
        let mut weight = 1;
        let mut limit = LIGHT_SIZE;
        while limit < SIZE_LIMIT && build(limit).is_err() {
            limit *= 2;
            weight = limit / LIGHT_SIZE * HEAVY_WEIGHT;
        }
        Ok(Self { regex, weight })
    }

    /// Whether the pattern is found anywhere in `text`.
    pub(super) fn is_match(
        &self,
        text: &str,
        budget: &mut Budget,
    ) -> Result<bool, EvaluationError> {
        budget.bytes(text.len().saturating_mul(self.weight))?;
        Ok(self.regex.is_match(text))
    }
}

/// CEL's patterns are RE2's, where `\w`, `\d`, `\s` and `\b` know ASCII only.
/// Written out so, they also compile to a hundredth of the size.
fn with_ascii_classes(pattern: &str) -> String {
    let mut written = String::with_capacity(pattern.len());
    let mut characters = pattern.chars().peekable();
    let mut in_class = 0_usize;
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('w') => written.push_str("[0-9A-Za-z_]"),
                Some('W') => written.push_str("[^0-9A-Za-z_]"),
                Some('d') => written.push_str("[0-9]"),
                Some('D') => written.push_str("[^0-9]"),
                Some('s') => written.push_str(r"[\t\n\f\r ]"),
                Some('S') => written.push_str(r"[^\t\n\f\r ]"),
                Some('b') if in_class == 0 && characters.peek() != Some(&'{') => {
                    written.push_str(r"(?-u:\b)")
                }
                Some(escaped) => written.extend(['\\', escaped]),
                None => written.push('\\'),
            },
            '[' => {
                in_class += 1;
                written.push(c);
            }
            ']' => {
                in_class = in_class.saturating_sub(1);
                written.push(c);
            }
            c => written.push(c),
        }
    }
    written
}

fn last_line(message: &str) -> &str {
    let line = message.lines().last().unwrap_or(message).trim();
    line.strip_prefix("error: ").unwrap_or(line)
}
