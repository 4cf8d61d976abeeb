//! What the validator's keywords cost, measured on one core with margin.
//!
//! Times are in nanoseconds. Only ratios between keywords and to the bound
//! matter; `tests/promises/bounded_schemas.rs` holds them to the clock.

use serde_json::Value;

use crate::schema::document::Node;

/// Testing one short name against one pattern.
pub(super) const PATTERN_VISIT: f64 = 30.0;

/// The fewest bytes of one more element: `1,`.
pub(super) const ITEM_BYTES: f64 = 2.0;

/// The fewest bytes of one more member, beside its name: `"":1,`.
pub(super) const MEMBER_BYTES: f64 = 5.0;

/// The fewest bytes of one more member with a name of its own, when there are
/// tens of thousands of them.
pub(super) const OTHER_MEMBER_BYTES: f64 = 8.0;

/// What one subschema costs: for each visit, and for each byte of a text.
pub(super) fn of(node: &Node) -> (f64, f64) {
    let Some(object) = node.schema.as_object() else {
        return (0.0, 0.0);
    };
    let mut visit = 2.0;
    let mut byte = 0.0;
    for (keyword, value) in object {
        match keyword.as_str() {
            "pattern" => {
                visit += PATTERN_VISIT;
                byte += 2.0;
            }
            "format" => {
                visit += 10.0;
                byte += 2.0;
            }
            "minLength" | "maxLength" => byte += 0.3,
            "const" | "enum" => visit += 5.0,
            "required" => visit += 1.0,
            _ => {}
        }
        let _: &Value = value;
    }
    (visit, byte)
}
