//! A schema document as a graph: every subschema, and which others it applies
//! to the same value or to a part of it.
//!
//! The cost bound, the lint and the explanation all need to know where
//! subschemas are and where references lead; they share this reading of the
//! document. It knows the applicators of all three drafts at once: a keyword
//! that its draft ignores costs nothing but a slightly stricter bound.
//!
//! It does not evaluate anything, and it does not decide whether the schema
//! is valid: that is the validator's meta-schema.

use std::collections::BTreeSet;

use jsonschema::Draft;
use serde_json::Value;

mod read;

/// A subschema's place in [`Document::nodes`].
pub(super) type NodeId = usize;

/// A read schema document.
pub(super) struct Document<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) draft: Draft,
    /// Every name that some `properties`, `required` or the like spells out.
    pub(super) names: BTreeSet<&'a str>,
    /// The pointers that references lead to.
    targets: BTreeSet<String>,
}

/// One subschema.
pub(super) struct Node<'a> {
    pub(super) pointer: String,
    pub(super) schema: &'a Value,
    pub(super) edges: Vec<Edge<'a>>,
}

/// One subschema applied by another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge<'a> {
    pub(super) keyword: &'a str,
    pub(super) how: Apply<'a>,
    pub(super) to: NodeId,
}

/// To what a subschema is applied, relative to the value of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apply<'a> {
    /// The same value, as if it stood here: references, `then`, `else`,
    /// `dependentSchemas`, `not`.
    Same,
    /// The same value, with an outcome of its own: `allOf`, `anyOf`, `oneOf`,
    /// `if`. What stands below is run again for `unevaluated…`.
    Branch,
    /// The member of this name.
    Property(&'a str),
    /// Every member whose name matches this pattern.
    Pattern(&'a str),
    /// Every member that nothing above names: `additionalProperties`.
    OtherProperties,
    /// The same for `unevaluatedProperties`.
    UnevaluatedProperties,
    /// Every member's name.
    PropertyNames,
    /// The element at this index.
    Item(usize),
    /// Every element from this index on: `items`, `additionalItems`.
    ItemsFrom(usize),
    /// Every element: `contains`, `unevaluatedItems`.
    UnevaluatedItems,
}

impl<'a> Document<'a> {
    /// Whether a reference leads to this pointer or below it.
    pub(super) fn is_referred_to_below(&self, pointer: &str) -> bool {
        let below = format!("{pointer}/");
        self.targets.contains(pointer)
            || self
                .targets
                .range(below.clone()..)
                .next()
                .is_some_and(|target| target.starts_with(&below))
    }

    /// Draft 7: everything beside `$ref` is ignored.
    pub(super) fn ignores_siblings(&self, schema: &Value) -> bool {
        self.draft == Draft::Draft7 && schema.get("$ref").is_some()
    }
}

/// Every member name that the schema itself spells out.
fn names<'a>(nodes: &[Node<'a>]) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for node in nodes {
        for edge in &node.edges {
            if let Apply::Property(name) = edge.how {
                names.insert(name);
            }
        }
        let required = node.schema.get("required").and_then(Value::as_array);
        names.extend(required.into_iter().flatten().filter_map(Value::as_str));
    }
    names
}

/// The draft a `$schema` names, where it is one of ours.
pub(super) fn draft_named(named: &Value) -> Option<Draft> {
    let name = named.as_str()?;
    let name = name.strip_suffix('#').unwrap_or(name);
    let name = name
        .strip_prefix("https://")
        .or_else(|| name.strip_prefix("http://"))?;
    match name {
        "json-schema.org/draft-07/schema" => Some(Draft::Draft7),
        "json-schema.org/draft/2019-09/schema" => Some(Draft::Draft201909),
        "json-schema.org/draft/2020-12/schema" => Some(Draft::Draft202012),
        _ => None,
    }
}

/// Writes JSON with sorted keys and no white space.
pub(super) fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<_> = object.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(&object[key], out);
            }
            out.push('}');
        }
        Value::Array(array) => {
            out.push('[');
            for (index, item) in array.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Appends a segment to a JSON pointer, escaped as RFC 6901 §3 says.
pub(super) fn join(pointer: &str, segment: &str) -> String {
    let segment = segment.replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{segment}")
}

/// At most 200 characters of a text, for messages.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
