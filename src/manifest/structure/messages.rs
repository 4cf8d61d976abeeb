//! What is wrong with a field, in words that say what to write instead.

use serde_json::Value;

use crate::{
    api::{BYTE_SIZE_PATTERN, TIME_SPAN_PATTERN},
    manifest::node::{Data, Node, Style},
};

/// The name that was probably meant.
pub fn nearest<'name>(
    written: &str,
    known: impl Iterator<Item = &'name str>,
) -> Option<&'name str> {
    let lower = written.to_lowercase();
    known
        .map(|name| {
            (
                strsim::damerau_levenshtein(&lower, &name.to_lowercase()),
                name,
            )
        })
        // A third of the characters may be wrong: more would suggest anything for short names.
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

pub fn unknown_field<'name>(name: &str, known: impl Iterator<Item = &'name str> + Clone) -> String {
    if let Some(meant) = nearest(name, known.clone()) {
        return format!("there is no field `{name}` here; did you mean `{meant}`?");
    }
    let mut known: Vec<_> = known.collect();
    if known.is_empty() {
        return format!("there is no field `{name}` here: nothing may be written here");
    }
    known.sort_unstable();
    format!(
        "there is no field `{name}` here; there are {}",
        known.join(", ")
    )
}

pub fn missing(name: &str, schema: &Value) -> String {
    let description = first_sentence(schema["description"].as_str().unwrap_or_default());
    if description.is_empty() {
        format!("`{name}` is missing")
    } else {
        format!("`{name}` is missing: {description}")
    }
}

pub fn not_text(node: &Node) -> String {
    match (&node.data, &node.style) {
        (Data::Bool(_) | Data::Number(_), Style::Plain(written)) => format!(
            "must be text, but Kubernetes reads `{written}` as {}; write \"{written}\"",
            node.describe()
        ),
        _ => format!("must be text, not {}", node.describe()),
    }
}

pub fn not_among(text: &str, values: &[&str]) -> String {
    let all = values.join(", ");
    match nearest(text, values.iter().copied()) {
        Some(meant) => format!("must be one of {all}; did you mean {meant}?"),
        None => format!("must be one of {all}"),
    }
}

pub fn not_of_form(pattern: &str, description: &Value) -> String {
    if pattern == TIME_SPAN_PATTERN {
        return "must be a time span: numbers with units, such as 15s, 1h30m or 250ms".to_owned();
    }
    if pattern == BYTE_SIZE_PATTERN {
        return "must be a size: a whole number with a unit, such as 500Mi or 10Gi".to_owned();
    }
    let description = description.as_str().unwrap_or_default();
    if description.is_empty() {
        format!("does not match {pattern}")
    } else {
        format!("does not have the form that is wanted here. {description} (Pattern: {pattern})")
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ")
        .map_or(text, |(first, _)| first)
        .trim_end_matches('.')
}

pub fn entries_text(number: u64) -> String {
    if number == 1 {
        "one entry".to_owned()
    } else {
        format!("{number} entries")
    }
}

pub fn describe_type(name: &str) -> &'static str {
    match name {
        "object" => "an object",
        "array" => "a list",
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "true or false",
    }
}
