//! Schemas that cannot be derived: fields that hold any JSON with the marker for texts inside them, and lists whose
//! elements say for themselves what they are.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

use super::text::TEXT_KIND;

/// A JSON object whose members are not known: a user's schema or example, taken as it is.
pub fn object(_: &mut SchemaGenerator) -> Schema {
    marked(
        json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        "data",
    )
}

/// A map of at most 64 names to any JSON values.
pub fn fields(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true},
    })
}

/// A map of at most 16 names to short literal texts.
pub fn claims(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 1_024},
    })
}

/// At most 16 host names, each may stand for all below a domain.
pub fn hosts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "string",
            "maxLength": 253,
            "pattern": r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
            "description": "A host name without scheme and port, or `*.` and a domain.",
        },
    })
}

/// Any JSON whose texts are templates.
pub fn template_tree(_: &mut SchemaGenerator) -> Schema {
    marked(
        json_schema!({"x-kubernetes-preserve-unknown-fields": true}),
        "template",
    )
}

/// A path or a list of paths. A structural schema cannot say "text or list", so the API server lets anything
/// through here and the offline check and the controller say what is wrong.
pub fn paths(_: &mut SchemaGenerator) -> Schema {
    marked(
        json_schema!({"x-kubernetes-preserve-unknown-fields": true}),
        "paths",
    )
}

fn marked(mut schema: Schema, kind: &str) -> Schema {
    schema.insert(TEXT_KIND.to_owned(), json!(kind));
    schema
}
