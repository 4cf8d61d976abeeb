//! Lists and maps: of JSON and constants, borrowed; of the evaluation, shared.

use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::Value as Json;

use super::{Constant, Object, Text, Value, exact_int};
use crate::expression::EvaluationError;

/// A list of values.
#[derive(Clone)]
pub enum List<'a> {
    /// A JSON array, borrowed.
    Json(&'a [Json]),
    /// A list of constants that the expression wrote.
    Constants(&'a [Constant]),
    /// A list made by the evaluation.
    Shared(Rc<Vec<Value<'a>>>),
}

impl<'a> List<'a> {
    /// How many elements it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(elements) => elements.len(),
            Self::Constants(elements) => elements.len(),
            Self::Shared(elements) => elements.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(elements) => elements.get(index).map(Value::from_json),
            Self::Constants(elements) => elements.get(index).map(Constant::value),
            Self::Shared(elements) => elements.get(index).cloned(),
        }
    }

    /// The elements in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Value<'a>> + use<'a, '_> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// A map from keys to values.
#[derive(Clone)]
pub enum Map<'a> {
    /// A JSON object, borrowed.
    Json(&'a serde_json::Map<String, Json>),
    /// An object whose fields are computed on demand.
    Object(&'a dyn Object),
    /// A map made by the evaluation.
    Shared(Rc<Entries<'a>>),
}

impl<'a> Map<'a> {
    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(members) => members.len(),
            Self::Object(object) => object.names().len(),
            Self::Shared(entries) => entries.0.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value under a text key.
    ///
    /// # Errors
    /// Where an object's field cannot be read.
    pub fn field(&self, name: &str) -> Result<Option<Value<'a>>, EvaluationError> {
        match self {
            Self::Json(members) => Ok(members.get(name).map(Value::from_json)),
            Self::Object(object) => {
                let object: &'a dyn Object = *object;
                object.field(name)
            }
            Self::Shared(entries) => Ok(entries.find(&Key::Text(Text::Borrowed(name)))),
        }
    }

    /// The value under any key; a value that cannot be a key has none.
    pub(in crate::expression) fn get(
        &self,
        key: &Value<'_>,
    ) -> Result<Option<Value<'a>>, EvaluationError> {
        match (self, key) {
            (_, Value::Text(name)) => self.field(name),
            (Self::Shared(entries), _) => {
                Ok(Key::find_form(key).and_then(|key| entries.find(&key)))
            }
            _ => Ok(None),
        }
    }

    /// The keys in the map's order.
    #[must_use]
    pub fn keys(&self) -> Vec<Value<'a>> {
        match self {
            Self::Json(members) => members.keys().map(|name| Value::text(name)).collect(),
            Self::Object(object) => {
                let object: &'a dyn Object = *object;
                object.names().into_iter().map(Value::text).collect()
            }
            Self::Shared(entries) => entries
                .0
                .iter()
                .map(|(key, _)| key.clone().into())
                .collect(),
        }
    }
}

/// The entries of a map that the evaluation made, sorted by key, each key once.
#[derive(Clone)]
pub struct Entries<'a>(Vec<(Key<'a>, Value<'a>)>);

impl<'a> Entries<'a> {
    /// Sorts the entries; `None` if two have the same key.
    #[must_use]
    pub fn new(mut entries: Vec<(Key<'a>, Value<'a>)>) -> Option<Self> {
        entries.sort_by(|(left, _), (right, _)| left.compare(right));
        let unique = entries
            .windows(2)
            .all(|pair| pair[0].0.compare(&pair[1].0).is_ne());
        unique.then_some(Self(entries))
    }

    pub(in crate::expression) fn iter(&self) -> impl Iterator<Item = &(Key<'a>, Value<'a>)> {
        self.0.iter()
    }

    fn find(&self, key: &Key<'_>) -> Option<Value<'a>> {
        let index = self
            .0
            .binary_search_by(|(other, _)| other.compare(key))
            .ok()?;
        Some(self.0[index].1.clone())
    }
}

/// A key of a map.
#[derive(Clone)]
pub enum Key<'a> {
    /// `true` or `false`
    Bool(bool),
    /// An int.
    Int(i64),
    /// A uint; the same key as the int of the same number.
    Uint(u64),
    /// A text.
    Text(Text<'a>),
}

impl<'a> Key<'a> {
    /// The key that `value` is as the key of a map literal.
    pub(in crate::expression) fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(value)),
            Value::Int(value) => Some(Self::Int(value)),
            Value::Uint(value) => Some(Self::Uint(value)),
            Value::Text(text) => Some(Self::Text(text)),
            _ => None,
        }
    }

    /// The key that a lookup of `value` finds: doubles find the whole number they are.
    fn find_form<'v>(value: &'v Value<'_>) -> Option<Key<'v>> {
        match value {
            Value::Double(value) => exact_int(*value).map(Key::Int),
            Value::Bool(value) => Some(Key::Bool(*value)),
            Value::Int(value) => Some(Key::Int(*value)),
            Value::Uint(value) => Some(Key::Uint(*value)),
            Value::Text(text) => Some(Key::Text(Text::Borrowed(text))),
            _ => None,
        }
    }

    fn compare(&self, other: &Key<'_>) -> Ordering {
        let rank = |key: &Key<'_>| match key {
            Key::Bool(_) => 0,
            Key::Int(_) | Key::Uint(_) => 1,
            Key::Text(_) => 2,
        };
        match (self, other) {
            (Key::Bool(left), Key::Bool(right)) => left.cmp(right),
            (Key::Text(left), Key::Text(right)) => (**left).cmp(&**right),
            (Key::Int(left), Key::Int(right)) => left.cmp(right),
            (Key::Uint(left), Key::Uint(right)) => left.cmp(right),
            (Key::Int(left), Key::Uint(right)) => i128::from(*left).cmp(&i128::from(*right)),
            (Key::Uint(left), Key::Int(right)) => i128::from(*left).cmp(&i128::from(*right)),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl<'a> From<Key<'a>> for Value<'a> {
    fn from(key: Key<'a>) -> Self {
        match key {
            Key::Bool(value) => Self::Bool(value),
            Key::Int(value) => Self::Int(value),
            Key::Uint(value) => Self::Uint(value),
            Key::Text(text) => Self::Text(text),
        }
    }
}
