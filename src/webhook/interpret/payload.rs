//! The data of an event: the item's own bytes, or what the type's projection makes.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value as Json;

use super::{EXPLAINED_BYTES, Interpretation, Interpreter, MAX_VIOLATIONS, failed};
use crate::event::{Reason, ReasonCode};
use crate::expression::Value;
use crate::schema::Schema;
use crate::webhook::request::View;
use crate::webhook::split::{Item, ItemValue};
use crate::webhook::variables::Names;

/// An event's data, and their value for schema and expressions.
pub struct Payload<'a> {
    /// The bytes; `None` for an event without data.
    pub data: Option<Bytes>,
    content_type: Option<Cow<'a, str>>,
    value: PayloadValue<'a>,
}

enum PayloadValue<'a> {
    Borrowed(&'a Json),
    Projected(Json),
    Text(&'a str),
    Null,
}

impl Payload<'_> {
    /// The content type; `None` without data.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The value as expressions see it.
    pub fn value(&self) -> Value<'_> {
        match &self.value {
            PayloadValue::Borrowed(json) => Value::from_json(json),
            PayloadValue::Projected(json) => Value::from_json(json),
            PayloadValue::Text(text) => Value::text(text),
            PayloadValue::Null => Value::Null,
        }
    }

    /// What is wrong with the data; empty if they are valid. An event without data is not checked.
    pub fn violations(&self, schema: Option<&Schema>, explained_bytes: &mut usize) -> Vec<Reason> {
        let (Some(schema), Some(data)) = (schema, &self.data) else {
            return Vec::new();
        };
        let owned;
        let value = match &self.value {
            PayloadValue::Borrowed(json) => *json,
            PayloadValue::Projected(json) => json,
            PayloadValue::Text(text) => {
                owned = Json::String((*text).to_owned());
                &owned
            }
            PayloadValue::Null => &Json::Null,
        };
        if schema.is_valid(value) {
            return Vec::new();
        }
        if *explained_bytes > EXPLAINED_BYTES {
            return vec![violation(
                String::new(),
                "the value does not match the schema".to_owned(),
            )];
        }
        *explained_bytes += data.len();
        let violations = schema.violations(value, MAX_VIOLATIONS);
        violations
            .into_iter()
            .map(|found| violation(found.pointer, found.message))
            .collect()
    }
}

fn violation(pointer: String, message: String) -> Reason {
    Reason {
        code: ReasonCode::SchemaViolation,
        message,
        pointer: Some(pointer),
    }
}

impl Interpreter {
    /// The data of the event that an item is.
    pub(super) fn payload<'a>(
        &self,
        view: &'a View<'_>,
        item: &'a Item,
        names: &Names<'_, '_>,
        context: &mut Interpretation<'_>,
    ) -> Result<Payload<'a>, Reason> {
        let Some(projection) = &self.data else {
            let value = match self.reads_items.then(|| item.value(view)).flatten() {
                Some(ItemValue::Json(json)) => PayloadValue::Borrowed(json),
                Some(ItemValue::Text(text)) => PayloadValue::Text(text),
                Some(ItemValue::Null) | None => PayloadValue::Null,
            };
            return Ok(Payload {
                data: item.data.clone(),
                content_type: item.content_type.as_deref().map(Cow::Borrowed),
                value,
            });
        };
        let projected = context.pool.evaluate(|budget| {
            Ok(match projection.evaluate(names, budget)? {
                Value::Bytes(bytes) => {
                    budget.bytes(bytes.len())?;
                    (Some(Bytes::copy_from_slice(&bytes)), None)
                }
                value => (None, Some(value.to_json(budget)?)),
            })
        });
        match projected.map_err(|error| failed("events.data", &error))? {
            (_, Some(json)) => Ok(Payload {
                data: Some(Bytes::from(json.to_string())),
                content_type: Some(Cow::Borrowed("application/json")),
                value: PayloadValue::Projected(json),
            }),
            (bytes, None) => Ok(Payload {
                data: bytes,
                content_type: Some(Cow::Borrowed("application/octet-stream")),
                value: PayloadValue::Null,
            }),
        }
    }
}
