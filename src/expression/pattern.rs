//! The patterns of `matches`: literal, compiled once, linear in time.
//!
//! Linear still differs a lot: a pattern whose automaton grows too large is
//! followed state by state, so the cost of one byte grows with the pattern. A
//! pattern therefore has a weight, found from the memory its compiled form
//! needs, and a text is charged that many times over.

use regex::{Regex, RegexBuilder};

use super::{Budget, EvaluationError};

/// The largest compiled form that is accepted, in bytes as the regex engine counts them.
const SIZE_LIMIT: usize = 64 * 1024;

/// Compiled forms up to this size have weight one for each [`SIZE_STEP`] begun.
const SIZE_STEP: usize = 1024;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    weight: usize,
}

impl Pattern {
    /// Compiles a pattern, or says in a sentence what is wrong with it.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(pattern)
            .size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    "the pattern is too large when compiled".to_owned()
                }
                // The message draws the pattern over several lines; its last line is the reason.
                other => format!(
                    "the pattern is not valid: {}",
                    last_line(&other.to_string())
                ),
            })?;
        let mut weight = 1;
        let mut limit = SIZE_STEP;
        while limit < SIZE_LIMIT
            && RegexBuilder::new(pattern)
                .size_limit(limit)
                .build()
                .is_err()
        {
            limit *= 2;
            weight *= 2;
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

fn last_line(message: &str) -> &str {
    let line = message.lines().last().unwrap_or(message).trim();
    line.strip_prefix("error: ").unwrap_or(line)
}
