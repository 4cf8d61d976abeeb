//! A schema from examples: what they all have in common, and no more.
//!
//! Examples are folded one after another into a shape, and the shape is
//! written as a 2020-12 schema. Every example satisfies the result. It claims
//! nothing an example cannot show: no `enum`, no lengths or ranges, and
//! unknown members stay welcome.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Schema, SchemaError};

mod format;

/// The most examples one schema is generated from.
pub const MAX_EXAMPLES: usize = 1_000;

/// How deep the generated text may be nested, below `serde_json`'s limit of
/// 128; what lies deeper is described by its types alone.
const MAX_DEPTH: usize = 100;

/// Why no schema could be generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// There is nothing to generate from.
    #[error("failed to generate a schema: no example was given")]
    NoExample,
    /// More than [`MAX_EXAMPLES`].
    #[error("failed to generate a schema: {count} examples; at most {MAX_EXAMPLES} are accepted")]
    TooMany {
        /// How many there were.
        count: usize,
    },
    /// The result would not be accepted, such as one of more than 256 KiB.
    #[error("failed to generate a schema from these examples; write one by hand")]
    Unusable(#[source] SchemaError),
}

/// Generates the schema that the examples have in common.
///
/// Types are united (an integer and a number make a number), a member is
/// required when every object at its place has it, the elements of all arrays
/// at one place share one schema, and a `format` is claimed where every text
/// at its place has it. The same examples in any order give the same schema.
///
/// # Errors
///
/// Without examples, with more than [`MAX_EXAMPLES`], and when the schema
/// would be too large to be accepted.
pub fn generate(examples: &[Value]) -> Result<Value, GenerateError> {
    if examples.is_empty() {
        return Err(GenerateError::NoExample);
    }
    if examples.len() > MAX_EXAMPLES {
        return Err(GenerateError::TooMany {
            count: examples.len(),
        });
    }
    let mut shape = Shape::default();
    for example in examples {
        shape.add(example);
    }
    let mut schema = Map::new();
    schema.insert(
        "$schema".into(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    if let Value::Object(rest) = shape.schema(0) {
        schema.extend(rest);
    }
    let schema = Value::Object(schema);
    // What we make must pass what we demand of others.
    Schema::compile(&schema.to_string()).map_err(GenerateError::Unusable)?;
    Ok(schema)
}

/// What is common to all values seen at one place.
#[derive(Default)]
struct Shape {
    is_null: bool,
    is_boolean: bool,
    is_integer: bool,
    is_number: bool,
    /// The formats that every text had; `None` before the first text.
    text: Option<format::Formats>,
    /// Elements of all arrays together; `None` before the first array.
    items: Option<Box<Shape>>,
    /// How many objects were seen, and their members.
    objects: usize,
    members: BTreeMap<String, Member>,
}

#[derive(Default)]
struct Member {
    shape: Shape,
    seen: usize,
}

impl Shape {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Null => self.is_null = true,
            Value::Bool(_) => self.is_boolean = true,
            Value::Number(number) if number.is_i64() || number.is_u64() => self.is_integer = true,
            Value::Number(_) => self.is_number = true,
            Value::String(text) => {
                let before = self.text.unwrap_or(format::Formats::ALL);
                self.text = Some(before.of(text));
            }
            Value::Array(array) => {
                let items = self.items.get_or_insert_default();
                for item in array {
                    items.add(item);
                }
            }
            Value::Object(object) => {
                self.objects += 1;
                for (name, value) in object {
                    let member = self.members.entry(name.clone()).or_default();
                    member.seen += 1;
                    member.shape.add(value);
                }
            }
        }
    }

    fn schema(&self, depth: usize) -> Value {
        let mut types = Vec::new();
        let mut claim = |seen: bool, name: &str| {
            if seen {
                types.push(Value::from(name));
            }
        };
        claim(self.is_null, "null");
        claim(self.is_boolean, "boolean");
        claim(self.is_integer && !self.is_number, "integer");
        claim(self.is_number, "number");
        claim(self.text.is_some(), "string");
        claim(self.items.is_some(), "array");
        claim(self.objects > 0, "object");

        let mut schema = Map::new();
        match types.len() {
            0 => {}
            1 => _ = schema.insert("type".into(), types.swap_remove(0)),
            _ => _ = schema.insert("type".into(), types.into()),
        }
        if let Some(format) = self.text.and_then(format::Formats::first) {
            schema.insert("format".into(), format.into());
        }
        if depth >= MAX_DEPTH {
            return Value::Object(schema);
        }
        if let Some(items) = &self.items {
            let items = items.schema(depth + 1);
            if items.as_object().is_some_and(|items| !items.is_empty()) {
                schema.insert("items".into(), items);
            }
        }
        let required: Vec<Value> = self
            .members
            .iter()
            .filter(|(_, member)| member.seen == self.objects)
            .map(|(name, _)| name.as_str().into())
            .collect();
        if !required.is_empty() {
            schema.insert("required".into(), required.into());
        }
        if !self.members.is_empty() {
            let properties: Map<String, Value> = self
                .members
                .iter()
                .map(|(name, member)| (name.clone(), member.shape.schema(depth + 2)))
                .collect();
            schema.insert("properties".into(), properties.into());
        }
        Value::Object(schema)
    }
}
