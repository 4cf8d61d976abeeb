//! The difference of two JSON values as a merge patch (RFC 7386). Pure.

use serde_json::{Map, Value};

/// What turns `from` into `to`; `None` where they are equal. Lists are replaced as a whole. A null
/// inside `to` cannot be said, because there it means removal: the patch then leaves it out.
#[must_use]
pub fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in to {
        let changed = match from.get(name) {
            Some(known) => merge_patch(known, value),
            None => Some(value.clone()),
        };
        if let Some(changed) = changed {
            patch.insert(name.clone(), changed);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_says_what_is_new_another_and_gone() {
        let check = |from: Value, to: Value, expected: Value| {
            let found = merge_patch(&from, &to).unwrap_or(json!("nothing"));
            assert_eq!(found, expected, "{from} {to}");
        };
        check(json!({"a": 1}), json!({"a": 1}), json!("nothing"));
        check(json!({}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}}));
        check(
            json!({"a": {"b": 1, "c": 2}, "d": [1, 2]}),
            json!({"a": {"c": 3}, "d": [2]}),
            json!({"a": {"b": null, "c": 3}, "d": [2]}),
        );
    }
}
