//! From the types' JSON Schemas to the structural schemas that Kubernetes takes.
//!
//! kube's own rewriting would lose what matters to readers here: the
//! description of an optional enum field (it takes the enum's instead), and the
//! marker that tells templates from literals. It would also allow null for
//! every optional field, and an empty value in YAML is a mistake, not an
//! absence.

use schemars::{
    JsonSchema, Schema,
    generate::SchemaSettings,
    transform::{Transform, transform_subschemas},
};
use serde_json::{Map, Value, json};

/// Formats that Kubernetes knows among those that schemars writes; it warns about the others.
const KNOWN_FORMATS: [&str; 4] = ["int32", "int64", "double", "date-time"];

/// The structural schema of a type, with [`super::TEXT_KIND`] markers.
pub fn schema_of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft07()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .with_transform(Structural)
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("title");
    }
    schema
}

#[derive(Clone)]
struct Structural;

impl Transform for Structural {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(schema) = schema.as_object_mut() else {
            return;
        };
        drop_null(schema);
        hoist_enum(schema);
        if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
            schema.remove("additionalProperties");
        }
        if let Some(format) = schema.get("format").and_then(Value::as_str)
            && !KNOWN_FORMATS.contains(&format)
        {
            schema.remove("format");
        }
        if let Some(Value::String(description)) = schema.get_mut("description") {
            *description = unwrap_lines(description);
        }
    }
}

/// Optional fields are left out, never null.
fn drop_null(schema: &mut Map<String, Value>) {
    schema.remove("nullable");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(options)) = schema.get("anyOf") else {
        return;
    };
    let is_null = |option: &&Value| option.get("type") != Some(&json!("null"));
    let mut rest = options.iter().filter(is_null);
    if let (Some(Value::Object(only)), None) = (rest.next(), rest.next()) {
        let only = only.clone();
        schema.remove("anyOf");
        for (keyword, value) in only {
            // What the field says about itself wins over what its type says.
            schema.entry(keyword).or_insert(value);
        }
    }
}

/// An enum whose values have descriptions comes as alternatives of one constant each.
fn hoist_enum(schema: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = schema.get("oneOf") else {
        return;
    };
    let mut values = Vec::new();
    for option in options {
        match (option.get("const"), option.get("enum")) {
            (Some(value), None) => values.push(value.clone()),
            (None, Some(Value::Array(some))) => values.extend(some.iter().cloned()),
            _ => return,
        }
    }
    schema.remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), Value::Array(values));
}

/// Doc comments are wrapped; descriptions are not. Empty lines stay.
fn unwrap_lines(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| {
            paragraph
                .split('\n')
                .map(str::trim)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect::<Vec<_>>()
        .join("\n\n")
}
