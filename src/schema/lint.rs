//! Warnings about what a schema says without effect.
//!
//! The standard tells validators to ignore keywords and formats they do not
//! know, so a typo silently checks nothing. These are warnings and not errors
//! because schemas carry extensions on purpose (`x-…`).

use jsonschema::Draft;

use super::document::{Document, join, shorten};

/// Something accepted that probably is not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// A JSON pointer into the schema.
    pub pointer: String,
    /// What it is, and what may be meant.
    pub message: String,
}

/// Keywords of all three drafts.
const COMMON: &[&str] = &[
    "$comment",
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "default",
    "description",
    "else",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// Keywords of draft 7 that later drafts dropped (`definitions` is still where
/// many schemas keep what they refer to).
const DRAFT_7: &[&str] = &["additionalItems", "definitions", "dependencies"];

/// Keywords that came with 2019-09.
const SINCE_2019: &[&str] = &[
    "$anchor",
    "$defs",
    "$vocabulary",
    "contentSchema",
    "definitions",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "maxContains",
    "minContains",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords of 2019-09 alone.
const ONLY_2019: &[&str] = &["$recursiveAnchor", "$recursiveRef", "additionalItems"];

/// Keywords that came with 2020-12.
const SINCE_2020: &[&str] = &["$dynamicAnchor", "$dynamicRef", "prefixItems"];

/// More warnings than this help nobody.
const MAX_WARNINGS: usize = 50;

pub(super) fn warnings(document: &Document, is_format: impl Fn(&str) -> bool) -> Vec<Warning> {
    let known: Vec<&str> = match document.draft {
        Draft::Draft7 => [COMMON, DRAFT_7].concat(),
        Draft::Draft201909 => [COMMON, SINCE_2019, ONLY_2019].concat(),
        _ => [COMMON, SINCE_2019, SINCE_2020].concat(),
    };
    let mut warnings = Vec::new();
    for node in &document.nodes {
        let Some(object) = node.schema.as_object() else {
            continue;
        };
        let only_ref = document.draft == Draft::Draft7 && object.contains_key("$ref");
        for (keyword, value) in object {
            let message = if keyword.starts_with("x-") {
                continue;
            } else if !known.contains(&keyword.as_str()) {
                unknown("keyword", keyword, &known)
            } else if only_ref && !is_annotation(keyword) {
                "draft 7 ignores what stands beside `$ref`".into()
            } else if keyword == "format" && value.as_str().is_some_and(|name| !is_format(name)) {
                let formats: Vec<_> = FORMATS.iter().copied().filter(|f| is_format(f)).collect();
                unknown("format", value.as_str().unwrap_or_default(), &formats)
            } else {
                continue;
            };
            warnings.push(Warning {
                pointer: join(&node.pointer, keyword),
                message,
            });
            if warnings.len() == MAX_WARNINGS {
                return warnings;
            }
        }
    }
    warnings
}

/// The formats of the drafts, for suggestions.
const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

fn is_annotation(keyword: &str) -> bool {
    matches!(
        keyword,
        "$ref"
            | "$comment"
            | "$schema"
            | "$id"
            | "definitions"
            | "title"
            | "description"
            | "default"
            | "examples"
            | "readOnly"
            | "writeOnly"
    )
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let shown = shorten(name);
    let closest = known
        .iter()
        .map(|candidate| (distance(name, candidate), *candidate))
        .min();
    match closest {
        // A third of the letters wrong is another word.
        Some((distance, candidate)) if distance <= 1 + candidate.len() / 4 => {
            format!("unknown {what} `{shown}` checks nothing; did you mean `{candidate}`?")
        }
        _ => format!("unknown {what} `{shown}` checks nothing"),
    }
}

/// Levenshtein's distance without regard to case; long names are never close.
fn distance(left: &str, right: &str) -> usize {
    if left.len() > 40 {
        return usize::MAX;
    }
    let left: Vec<char> = left.to_lowercase().chars().collect();
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(a != b))
                .min(above + 1)
                .min(row[j] + 1);
            diagonal = above;
        }
    }
    row[right.len()]
}
