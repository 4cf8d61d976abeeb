//! An object against its structural schema, as an API server would check it, with all mistakes at once.
//!
//! Written for the schemas that `crate::api` generates: types, required and
//! unknown fields, enums, patterns, lengths, ranges. What the rules in CEL say
//! is checked after this, in [`super::rules`].

mod messages;

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use regex::Regex;
use serde_json::Value;

use messages::{
    describe_type, entries_text, missing, not_among, not_of_form, not_text, unknown_field,
};

use super::{
    node::{Data, Entry, Node, Style},
    place::Mark,
    scalar::{is_as_written, resolve},
};
use crate::api::{FieldPath, Severity, TEXT_KIND};

pub use messages::nearest;

/// Marks texts that no message may repeat, as [`TEXT_KIND`] marks templates.
pub const SENSITIVE: &str = "sensitive";

/// A mistake in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// How bad it is.
    pub severity: Severity,
    /// Which field.
    pub path: FieldPath,
    /// Where it stands.
    pub mark: Mark,
    /// What is wrong and what to do.
    pub message: String,
}

/// Checks a node against a schema; all mistakes, in the order of the text.
pub fn check(node: &Node, schema: &Value) -> Vec<Mistake> {
    let mut checker = Checker {
        mistakes: Vec::new(),
    };
    checker.check(node, schema, &FieldPath::root());
    checker.mistakes.sort_by_key(|mistake| mistake.mark);
    checker.mistakes
}

struct Checker {
    mistakes: Vec<Mistake>,
}

impl Checker {
    fn error(&mut self, path: &FieldPath, mark: Mark, message: impl Into<String>) {
        self.report(Severity::Error, path, mark, message);
    }

    fn report(
        &mut self,
        severity: Severity,
        path: &FieldPath,
        mark: Mark,
        message: impl Into<String>,
    ) {
        self.mistakes.push(Mistake {
            severity,
            path: path.clone(),
            mark,
            message: message.into(),
        });
    }

    fn check(&mut self, node: &Node, schema: &Value, path: &FieldPath) {
        if schema["x-kubernetes-int-or-string"] == Value::Bool(true) {
            return self.number_or_text(node, schema, path);
        }
        let Some(wanted) = schema["type"].as_str() else {
            return self.free_form(node, schema[TEXT_KIND].as_str(), path);
        };
        match (&node.data, wanted) {
            (Data::Object(entries), "object") => self.object(node, entries, schema, path),
            (Data::List(items), "array") => self.list(node, items, schema, path),
            (Data::Text(text), "string") => self.text(node, text, schema, path),
            (Data::Bool(_), "boolean") => self.spelling(node, path),
            (Data::Number(number), "integer") if number.is_i64() || number.is_u64() => {
                self.spelling(node, path);
                self.range(node, schema, path);
            }
            (Data::Number(_), "number") => {
                self.spelling(node, path);
                self.range(node, schema, path);
            }
            (Data::Null, _) => self.error(
                path,
                node.mark,
                format!("has no value; {} is wanted, or leave the field out", describe_type(wanted)),
            ),
            (_, "string") if schema[TEXT_KIND] == SENSITIVE => self.error(
                path,
                node.mark,
                "must be text, but Kubernetes reads it as something else; put the value into quotes",
            ),
            (_, "string") => self.error(path, node.mark, not_text(node)),
            (Data::Text(_), "integer" | "number" | "boolean") if node.style == Style::Quoted => self.error(
                path,
                node.mark,
                format!("must be {}, not text; write it without quotes", describe_type(wanted)),
            ),
            _ => self.error(
                path,
                node.mark,
                format!("must be {}, not {}", describe_type(wanted), node.describe()),
            ),
        }
    }

    fn object(&mut self, node: &Node, entries: &[Entry], schema: &Value, path: &FieldPath) {
        if schema["x-kubernetes-preserve-unknown-fields"] == Value::Bool(true) {
            return self.free_form(node, schema[TEXT_KIND].as_str(), path);
        }
        if let Some(most) = schema["maxProperties"].as_u64()
            && entries.len() as u64 > most
        {
            self.error(
                path,
                node.mark,
                format!("has {} entries; at most {most} are allowed", entries.len()),
            );
        }
        let properties = schema["properties"].as_object();
        let others = &schema["additionalProperties"];
        for Entry {
            key,
            key_mark,
            value,
        } in entries
        {
            let path = path.field(key);
            match properties.and_then(|properties| properties.get(key)) {
                Some(property) => self.check(value, property, &path),
                None if others.is_object() => self.check(value, others, &path),
                None => {
                    let known = properties
                        .into_iter()
                        .flat_map(|properties| properties.keys());
                    self.error(
                        &path,
                        *key_mark,
                        unknown_field(key, known.map(String::as_str)),
                    );
                }
            }
        }
        for name in names(&schema["required"]) {
            if node.entry(name).is_none() {
                self.error(path, node.mark, missing(name, &schema["properties"][name]));
            }
        }
        self.exclusions(node, &schema["not"], path);
    }

    /// Fields that exclude each other: `not: {required: […]}`, or `not: {anyOf: […]}` with several of those.
    fn exclusions(&mut self, node: &Node, not: &Value, path: &FieldPath) {
        let several = not["anyOf"].as_array().into_iter().flatten();
        for excluded in std::iter::once(not).chain(several) {
            let excluded: Vec<_> = names(&excluded["required"]).collect();
            if !excluded.is_empty() && excluded.iter().all(|name| node.entry(name).is_some()) {
                let message = format!("write at most one of {}", excluded.join(" and "));
                self.error(path, node.mark, message);
            }
        }
    }

    fn list(&mut self, node: &Node, items: &[Node], schema: &Value, path: &FieldPath) {
        let length = items.len() as u64;
        if let Some(least) = schema["minItems"].as_u64()
            && length < least
        {
            self.error(
                path,
                node.mark,
                format!("needs at least {}", entries_text(least)),
            );
        }
        if let Some(most) = schema["maxItems"].as_u64()
            && length > most
        {
            self.error(
                path,
                node.mark,
                format!("has {length} entries; at most {most} are allowed"),
            );
        }
        for (index, item) in items.iter().enumerate() {
            self.check(item, &schema["items"], &path.index(index));
        }
    }

    fn text(&mut self, node: &Node, text: &str, schema: &Value, path: &FieldPath) {
        if schema.get(TEXT_KIND).is_none() && self.placeholder_in_literal(node, text, path) {
            return;
        }
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            if !values.contains(&text) {
                self.error(path, node.mark, not_among(text, &values));
            }
            return;
        }
        let characters = text.chars().count() as u64;
        if schema["minLength"]
            .as_u64()
            .is_some_and(|least| characters < least)
        {
            return self.error(path, node.mark, "must not be empty");
        }
        if let Some(most) = schema["maxLength"].as_u64()
            && characters > most
        {
            let message = format!("is {characters} characters long; at most {most} are allowed");
            return self.error(path, node.mark, message);
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && !matches(pattern, text)
        {
            self.error(
                path,
                node.mark,
                not_of_form(pattern, &schema["description"]),
            );
        }
    }

    /// A quantity, or whatever else Kubernetes takes as a number and as text.
    fn number_or_text(&mut self, node: &Node, schema: &Value, path: &FieldPath) {
        match &node.data {
            Data::Text(text) => self.text(node, text, schema, path),
            Data::Number(number) if number.is_i64() || number.is_u64() => self.spelling(node, path),
            _ => self.error(
                path,
                node.mark,
                format!("must be a whole number or text, not {}", node.describe()),
            ),
        }
    }

    fn range(&mut self, node: &Node, schema: &Value, path: &FieldPath) {
        let Data::Number(number) = &node.data else {
            return;
        };
        let Some(value) = number.as_f64() else { return };
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        let is_outside =
            least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most);
        if is_outside {
            let message = match (least, most) {
                (Some(least), Some(most)) => {
                    format!("must be between {least} and {most}, not {number}")
                }
                (Some(least), None) => format!("must be at least {least}, not {number}"),
                (None, Some(most)) => format!("must be at most {most}, not {number}"),
                (None, None) => return,
            };
            self.error(path, node.mark, message);
        }
    }

    /// Any JSON, whose only mistakes can be in how it is written.
    fn free_form(&mut self, node: &Node, kind: Option<&str>, path: &FieldPath) {
        if kind == Some("paths") {
            self.paths(node, path);
            return;
        }
        match &node.data {
            Data::Null => {}
            Data::Bool(_) | Data::Number(_) => self.spelling(node, path),
            Data::Text(text) => {
                if kind.is_none() {
                    self.placeholder_in_literal(node, text, path);
                }
            }
            Data::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.free_form(item, kind, &path.index(index));
                }
            }
            Data::Object(entries) => {
                for Entry { key, value, .. } in entries {
                    self.free_form(value, kind, &path.field(key));
                }
            }
        }
    }

    /// What an API server cannot be told: a path, or a list of paths.
    fn paths(&mut self, node: &Node, path: &FieldPath) {
        match &node.data {
            Data::Text(_) => {}
            Data::List(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    if !matches!(item.data, Data::Text(_)) {
                        self.error(&path.index(index), item.mark, not_text(item));
                    }
                }
            }
            _ => self.error(
                path,
                node.mark,
                format!(
                    "must be a path such as request.body.events, or a list of paths, not {}",
                    node.describe()
                ),
            ),
        }
    }

    /// Warns where a number or boolean is not what it looks like.
    fn spelling(&mut self, node: &Node, path: &FieldPath) {
        let Style::Plain(written) = &node.style else {
            return;
        };
        if !is_as_written(&resolve(written), written) {
            let message = format!(
                "Kubernetes reads `{written}` as {}; write that, or quote it if text is meant",
                node.describe()
            );
            self.report(Severity::Warning, path, node.mark, message);
        }
    }

    /// Whether a placeholder stands where none is replaced.
    fn placeholder_in_literal(&mut self, node: &Node, text: &str, path: &FieldPath) -> bool {
        let found = text.contains("$(");
        if found {
            let message = "holds a placeholder `$(`, but this field is taken literally";
            self.error(path, node.mark, message);
        }
        found
    }
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Patterns come from our own schemas, so there are few, and each is compiled once.
fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: LazyLock<Mutex<HashMap<String, Option<Regex>>>> =
        LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let regex = compiled
        .entry(pattern.to_owned())
        .or_insert_with(|| Regex::new(pattern).ok());
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

#[cfg(test)]
mod tests;
