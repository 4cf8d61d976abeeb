//! Values as JSON and JSON as values.
//!
//! What JSON has no form for is written as protobuf's JSON mapping does: bytes
//! as base64, times as RFC 3339, durations as seconds with an `s`, numbers that
//! are not finite as text. Reading refuses nesting deeper than 128.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::compare::MAX_DEPTH;
use super::functions::{double_text, duration_text};
use super::value::{Entries, Key, List, Map, Text, Value};
use super::{Budget, EvaluationError};

/// What a value in memory costs beside its text: charged for each one made from JSON or turned into it.
const BYTES_PER_VALUE: usize = 16;

impl Value<'_> {
    /// The value as a JSON tree.
    ///
    /// # Errors
    /// When the budget is exhausted, or a field of an object cannot be read.
    pub fn to_json(&self, budget: &mut Budget) -> Result<Json, EvaluationError> {
        tree(self, budget, 0)
    }

    /// Appends the value to `out` as compact JSON text.
    ///
    /// # Errors
    /// When the budget is exhausted, or a field of an object cannot be read.
    pub fn write_json(
        &self,
        out: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<(), EvaluationError> {
        write(self, out, budget)
    }
}

fn tree(value: &Value<'_>, budget: &mut Budget, depth: u32) -> Result<Json, EvaluationError> {
    budget.bytes(BYTES_PER_VALUE)?;
    if depth >= MAX_DEPTH {
        return Err(EvaluationError::TooDeep);
    }
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Uint(value) => Json::from(*value),
        Value::Double(value) => serde_json::Number::from_f64(*value)
            .map_or_else(|| Json::String(double_text(*value)), Json::Number),
        Value::Text(text) => {
            budget.bytes(text.len())?;
            Json::String((**text).to_owned())
        }
        Value::List(List::Json(elements)) => {
            let mut copied = Vec::with_capacity(elements.len());
            for element in *elements {
                copied.push(tree(&Value::from_json(element), budget, depth + 1)?);
            }
            Json::Array(copied)
        }
        Value::List(list) => {
            let mut elements = Vec::with_capacity(list.len());
            for element in list.iter() {
                elements.push(tree(&element, budget, depth + 1)?);
            }
            Json::Array(elements)
        }
        Value::Map(map) => {
            let mut members = serde_json::Map::new();
            each_entry(map, budget, |name, value, budget| {
                budget.bytes(name.len())?;
                members.insert(name.to_owned(), tree(value, budget, depth + 1)?);
                Ok(())
            })?;
            Json::Object(members)
        }
        other => {
            let text = scalar_text(other);
            budget.bytes(text.len())?;
            Json::String(text)
        }
    })
}

/// The text of those scalars that JSON has no form of its own for.
fn scalar_text(value: &Value<'_>) -> String {
    match value {
        Value::Bytes(bytes) => STANDARD.encode(&**bytes),
        Value::Timestamp(timestamp) => timestamp.to_string(),
        Value::Duration(duration) => duration_text(*duration),
        Value::Double(value) => double_text(*value),
        other => other.kind().name().to_owned(),
    }
}

/// Calls `visit` with every entry and the text form of its key.
fn each_entry(
    map: &Map<'_>,
    budget: &mut Budget,
    mut visit: impl FnMut(&str, &Value<'_>, &mut Budget) -> Result<(), EvaluationError>,
) -> Result<(), EvaluationError> {
    match map {
        Map::Json(members) => {
            for (name, value) in *members {
                visit(name, &Value::from_json(value), budget)?;
            }
        }
        Map::Object(object) => {
            for name in object.names() {
                let value = object.field(name)?.unwrap_or(Value::Null);
                visit(name, &value, budget)?;
            }
        }
        Map::Shared(entries) => {
            for (key, value) in entries.iter() {
                match key {
                    Key::Text(name) => visit(name, value, budget)?,
                    Key::Bool(key) => visit(if *key { "true" } else { "false" }, value, budget)?,
                    Key::Int(key) => visit(&key.to_string(), value, budget)?,
                    Key::Uint(key) => visit(&key.to_string(), value, budget)?,
                }
            }
        }
    }
    Ok(())
}

/// Appends a value as compact JSON text.
pub(super) fn write(
    value: &Value<'_>,
    out: &mut Vec<u8>,
    budget: &mut Budget,
) -> Result<(), EvaluationError> {
    write_at(value, out, budget, 0)
}

fn write_at(
    value: &Value<'_>,
    out: &mut Vec<u8>,
    budget: &mut Budget,
    depth: u32,
) -> Result<(), EvaluationError> {
    budget.bytes(BYTES_PER_VALUE)?;
    if depth >= MAX_DEPTH {
        return Err(EvaluationError::TooDeep);
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Uint(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Double(value) => match serde_json::Number::from_f64(*value) {
            Some(number) => out.extend_from_slice(number.to_string().as_bytes()),
            None => write_text(&double_text(*value), out, budget)?,
        },
        Value::Text(text) => write_text(text, out, budget)?,
        Value::List(list) => {
            out.push(b'[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_at(&element, out, budget, depth + 1)?;
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            let mut first = true;
            each_entry(map, budget, |name, value, budget| {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                write_text(name, out, budget)?;
                out.push(b':');
                write_at(value, out, budget, depth + 1)
            })?;
            out.push(b'}');
        }
        other => write_text(&scalar_text(other), out, budget)?,
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>, budget: &mut Budget) -> Result<(), EvaluationError> {
    let before = out.len();
    // Control characters take six bytes each; what was really written is charged after.
    budget.bytes(text.len())?;
    serde_json::to_writer(&mut *out, text).map_err(|_| EvaluationError::NotRenderable {
        reason: "a text cannot be written as JSON",
    })?;
    budget.bytes((out.len() - before).saturating_sub(text.len()))
}

/// Reads JSON text into values that own their parts.
pub(super) fn decode<'a>(bytes: &[u8], budget: &mut Budget) -> Result<Value<'a>, EvaluationError> {
    let mut exhausted = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Decode {
        budget,
        exhausted: &mut exhausted,
    }
    .deserialize(&mut deserializer);
    if let Some(error) = exhausted {
        return Err(error);
    }
    value
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|_| EvaluationError::invalid("the text is not JSON, or nested too deeply"))
}

struct Decode<'b> {
    budget: &'b mut Budget,
    /// Why reading was stopped by us: serde's error cannot carry it.
    exhausted: &'b mut Option<EvaluationError>,
}

impl Decode<'_> {
    fn again(&mut self) -> Decode<'_> {
        Decode {
            budget: self.budget,
            exhausted: self.exhausted,
        }
    }

    fn charge<E: serde::de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.budget.bytes(bytes).map_err(|error| {
            *self.exhausted = Some(error);
            E::custom("exhausted")
        })
    }
}

/// Values read from a temporary text borrow nothing, so they fit any lifetime.
type Owned = Value<'static>;

impl<'de> DeserializeSeed<'de> for Decode<'_> {
    type Value = Owned;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Owned, D::Error> {
        self.charge(BYTES_PER_VALUE)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Decode<'_> {
    type Value = Owned;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Owned, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Owned, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Owned, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Owned, E> {
        Ok(i64::try_from(value).map_or(Value::Uint(value), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Owned, E> {
        Ok(Value::Double(value))
    }

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<Owned, E> {
        self.charge(text.len())?;
        Ok(Value::Text(Text::Shared(text.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Owned, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(self.again())? {
            elements.push(element);
        }
        Ok(Value::list(elements))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Owned, A::Error> {
        // As everywhere in this program, the last of two members with one name counts.
        let mut members = std::collections::BTreeMap::<String, Owned>::new();
        while let Some(name) = access.next_key::<String>()? {
            self.charge(name.len())?;
            let value = access.next_value_seed(self.again())?;
            members.insert(name, value);
        }
        let entries = members
            .into_iter()
            .map(|(name, value)| (Key::Text(Text::Shared(name.into())), value));
        let entries = Entries::new(entries.collect())
            .ok_or_else(|| serde::de::Error::custom("the same name twice"))?;
        Ok(Value::Map(Map::Shared(entries.into())))
    }
}
