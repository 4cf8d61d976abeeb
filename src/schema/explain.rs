//! What is wrong with an invalid value, in words that hold nothing of it.
//!
//! These texts travel into answers to strangers, logs and dead letters, so a
//! message may show what the schema says and never what the payload says:
//! values are masked, and a name appears only if the schema spells it out.
//!
//! The validator collects all errors eagerly, those of every failed branch
//! included: a megabyte of wrong elements would make gigabytes of errors. So
//! it is asked for them only about values small enough for that.

use std::collections::BTreeSet;

use jsonschema::Validator;
use jsonschema::error::{ValidationError, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use serde_json::Value;

use super::document::{Document, join, shorten};

/// Something a value does not satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// A JSON pointer into the value, empty for the whole; names that the
    /// schema does not spell out are `*`.
    pub pointer: String,
    /// What the schema says there.
    pub message: String,
}

/// The most errors that the validator may have to collect for one value: what
/// could be evaluated, times how often.
const MAX_ERRORS: usize = 100_000;

/// A text counts as a node for each so many bytes: errors hold copies of it.
const NODE_BYTES: usize = 64;

pub(super) struct Explainer {
    /// The names that the schema spells out.
    names: BTreeSet<String>,
    /// The largest value that is explained in detail, in nodes.
    max_nodes: usize,
}

impl Explainer {
    pub(super) fn new(document: &Document, evaluations: usize) -> Self {
        Self {
            names: document.names.iter().map(|&name| name.into()).collect(),
            max_nodes: MAX_ERRORS / evaluations.max(1),
        }
    }

    pub(super) fn explain(
        &self,
        validator: &Validator,
        value: &Value,
        limit: usize,
    ) -> Vec<Violation> {
        if size(value, self.max_nodes) >= self.max_nodes {
            return vec![whole(
                "the value does not match the schema (too large for details)",
            )];
        }
        let mut violations: Vec<_> = validator
            .iter_errors(value)
            .take(limit)
            .map(|error| Violation {
                pointer: self.pointer(&error, value),
                message: message(&error),
            })
            .collect();
        if violations.is_empty() {
            // Callers take an empty list for a valid value; should the validator ever find
            // nothing to say about one it refused, that must not let the value pass.
            violations.push(whole("the value does not match the schema"));
        }
        violations
    }

    fn pointer(&self, error: &ValidationError, root: &Value) -> String {
        let mut value = Some(root);
        let mut pointer = String::new();
        for segment in error.instance_path() {
            let text = match &segment {
                LocationSegment::Property(name) => name.to_string(),
                LocationSegment::Index(index) => index.to_string(),
            };
            let shown = match value {
                Some(Value::Array(_)) => text.as_str(),
                _ if self.names.contains(&text) => text.as_str(),
                _ => "*",
            };
            pointer = join(&pointer, shown);
            value = match value {
                Some(Value::Array(array)) => text.parse().ok().and_then(|i: usize| array.get(i)),
                Some(Value::Object(object)) => object.get(&text),
                _ => None,
            };
        }
        pointer
    }
}

fn whole(message: &str) -> Violation {
    Violation {
        pointer: String::new(),
        message: message.into(),
    }
}

fn message(error: &ValidationError) -> String {
    use ValidationErrorKind as Kind;
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!(
                "{} members that the schema does not allow",
                unexpected.len()
            )
        }
        Kind::UnevaluatedItems { unexpected } => count(unexpected.len(), "element"),
        Kind::PropertyNames { error } => format!("a member's name: {}", message(error)),
        Kind::RegexEngineFailure { .. } => "the pattern could not be matched".into(),
        _ => shorten(&error.masked().to_string()),
    }
}

fn count(unexpected: usize, what: &str) -> String {
    let plural = if unexpected == 1 { "" } else { "s" };
    format!("{unexpected} {what}{plural} that the schema does not allow")
}

/// The number of nodes of a value, counted up to `most`.
fn size(value: &Value, most: usize) -> usize {
    let mut count = 0;
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        count += 1;
        if count >= most {
            break;
        }
        match value {
            Value::Array(array) => pending.extend(array.iter().take(most)),
            Value::Object(object) => pending.extend(object.values().take(most)),
            Value::String(text) => count += text.len() / NODE_BYTES,
            _ => {}
        }
    }
    count
}
