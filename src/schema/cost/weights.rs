//! What the validator's keywords cost, measured on one core with margin.
//!
//! Times are in nanoseconds. Only ratios between keywords and to the bound
//! matter; the hostile shapes in the tests hold them to the clock.

use serde_json::Value;

use crate::schema::document::Node;

/// Testing one short name against one pattern.
pub(super) const PATTERN_NAME: f64 = 27.0;

/// Bringing a value into the cache: walks over a long list by one subschema
/// after another find nothing of it there. Numbers stand side by side, so the
/// processor fetches them ahead.
pub(super) const COLD_SCALAR: f64 = 1.0;

/// The same for a text, an array or an object.
pub(super) const COLD_VISIT: f64 = 7.0;

/// The same for an object's member and its name.
pub(super) const COLD_MEMBER: f64 = 25.0;

/// Looking one member up in `properties`.
pub(super) const MEMBER_VISIT: f64 = 5.0;

/// The fewest bytes of one more element: `1,`.
pub(super) const ITEM_BYTES: f64 = 2.0;

/// The fewest bytes of one more member, beside its name: `"":1,`.
pub(super) const MEMBER_BYTES: f64 = 5.0;

/// The fewest bytes of one more member with a name of its own, when there are
/// tens of thousands of them.
pub(super) const OTHER_MEMBER_BYTES: f64 = 9.0;

/// What one subschema costs by itself.
#[derive(Default)]
pub(super) struct Weight {
    /// For a number, `true` or `null`.
    pub(super) scalar: f64,
    /// For any other value.
    pub(super) visit: f64,
    /// For each byte, if the value is a text.
    pub(super) text_byte: f64,
    /// For each byte of the value, however deep inside it.
    pub(super) byte_below: f64,
}

pub(super) fn of(node: &Node) -> Weight {
    let Some(object) = node.schema.as_object() else {
        return Weight::default();
    };
    let mut weight = Weight {
        visit: 1.5,
        ..Weight::default()
    };
    for (keyword, value) in object {
        let entries = value.as_object().map_or(0, serde_json::Map::len) as f64;
        weight.visit += match keyword.as_str() {
            "pattern" => {
                weight.text_byte += 2.5;
                8.0
            }
            "format" => {
                weight.text_byte += match value.as_str() {
                    // It parses a regular expression.
                    Some("regex") => 60.0,
                    _ => 1.5,
                };
                match value.as_str() {
                    // For the shortest texts that are addresses at all.
                    Some("email" | "idn-email") => 50.0,
                    _ => 12.0,
                }
            }
            "minLength" | "maxLength" => {
                weight.text_byte += 0.3;
                2.0
            }
            "enum" => {
                let options = value.as_array().map_or(&[][..], Vec::as_slice);
                let (visit, byte) = comparison(options);
                weight.byte_below += byte;
                visit
            }
            "const" => {
                let (visit, byte) = comparison(std::slice::from_ref(value));
                weight.byte_below += byte;
                visit
            }
            "uniqueItems" => {
                // It hashes all that is below.
                weight.byte_below += 1.0;
                8.0
            }
            "dependentRequired" | "dependentSchemas" | "dependencies" => 2.0 * entries,
            "multipleOf" => 60.0,
            "type" => 0.5,
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "required"
            | "minItems" | "maxItems" | "minProperties" | "maxProperties" => 2.0,
            "items"
            | "prefixItems"
            | "contains"
            | "properties"
            | "patternProperties"
            | "propertyNames"
            | "unevaluatedItems"
            | "unevaluatedProperties" => 0.5,
            _ => 0.0,
        };
    }
    // A number that must be an object is refused by its type alone.
    weight.scalar = if only_compound(object.get("type")) {
        2.0
    } else {
        weight.visit
    };
    weight
}

fn only_compound(types: Option<&Value>) -> bool {
    let is_compound = |name: &Value| matches!(name.as_str(), Some("object" | "array" | "string"));
    match types {
        Some(Value::Array(names)) => names.iter().all(is_compound),
        Some(name) => is_compound(name),
        None => false,
    }
}

/// Comparing with each of these: nanoseconds for a visit, and for each byte
/// of the value. Texts and integers are looked up, everything else is compared
/// one by one.
fn comparison(options: &[Value]) -> (f64, f64) {
    let compound = options
        .iter()
        .filter(|option| option.is_array() || option.is_object())
        .count() as f64;
    let is_table = options.iter().all(Value::is_string)
        || options
            .iter()
            .all(|option| option.is_i64() || option.is_u64());
    if is_table {
        let few = (options.len() as f64).min(10.0);
        (2.0 + few, 0.0)
    } else {
        (4.0 * options.len() as f64 + 4.0 * compound, 1.7 * compound)
    }
}
