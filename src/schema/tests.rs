use serde_json::{Value, json};

use super::*;

fn compile(schema: &Value) -> Result<Schema, SchemaError> {
    Schema::compile(&schema.to_string())
}

#[test]
fn a_small_schema_works() {
    let schema = compile(
        &json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}),
    )
    .unwrap();
    assert!(schema.is_valid(&json!({"id": "a"})));
    assert_eq!(schema.violations(&json!({"id": 1}), 9)[0].pointer, "/id");
}
