//! The values that expressions work on.
//!
//! They borrow what they can: the JSON of a request is never converted, an
//! array or object of it is a reference, and a text of it is a slice. What is
//! made during an evaluation is shared by reference count, so that cloning a
//! value never copies its content. Values stay on the thread that made them.
//!
//! `Debug` shows the type and size only: a value can be a secret.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::EvaluationError;

type Json = serde_json::Value;

/// One value of the expression language.
#[derive(Clone)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A signed 64-bit number. JSON numbers without fraction or exponent are ints.
    Int(i64),
    /// An unsigned 64-bit number. JSON integers above the largest int are uints.
    Uint(u64),
    /// A 64-bit floating point number.
    Double(f64),
    /// Unicode text.
    Text(Text<'a>),
    /// Binary data.
    Bytes(Binary<'a>),
    /// A list.
    List(List<'a>),
    /// A map, or an object with fields.
    Map(Map<'a>),
    /// A point in time between the years 1 and 9999.
    Timestamp(Timestamp),
    /// A span of time.
    Duration(SignedDuration),
    /// The type of a value.
    Type(Kind),
}

/// The types of values, as `type(x)` tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null_type`
    Null,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `uint`
    Uint,
    /// `double`
    Double,
    /// `string`
    Text,
    /// `bytes`
    Bytes,
    /// `list`
    List,
    /// `map`
    Map,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// `google.protobuf.Duration`
    Duration,
    /// `type`
    Type,
}

impl Kind {
    /// The name CEL gives the type.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::List => "list",
            Self::Map => "map",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::Type => "type",
        }
    }
}

/// Something with named fields that are computed when they are asked for.
///
/// This is how a request's body is parsed at its first use only: the field's
/// value is made, and kept, by the object.
pub trait Object {
    /// The value of a field; `None` where there is no such field.
    ///
    /// # Errors
    /// Where the field exists, but what it stands for cannot be read.
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError>;

    /// The names of all fields, each once, in a stable order.
    fn names(&self) -> Vec<&str>;
}

impl<'a> Value<'a> {
    /// The value of a JSON document, borrowed.
    #[must_use]
    pub fn from_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::from_number(number),
            Json::String(text) => Self::Text(Text::Borrowed(text)),
            Json::Array(elements) => Self::List(List::Json(elements)),
            Json::Object(members) => Self::Map(Map::Json(members)),
        }
    }

    pub(super) fn from_number(number: &serde_json::Number) -> Self {
        if let Some(value) = number.as_i64() {
            Self::Int(value)
        } else if let Some(value) = number.as_u64() {
            Self::Uint(value)
        } else {
            Self::Double(number.as_f64().unwrap_or(f64::NAN))
        }
    }

    /// A borrowed text.
    #[must_use]
    pub const fn text(text: &'a str) -> Self {
        Self::Text(Text::Borrowed(text))
    }

    /// Borrowed binary data.
    #[must_use]
    pub const fn bytes(bytes: &'a [u8]) -> Self {
        Self::Bytes(Binary::Borrowed(bytes))
    }

    /// An object whose fields are computed on demand.
    #[must_use]
    pub fn object(object: &'a dyn Object) -> Self {
        Self::Map(Map::Object(object))
    }

    /// A list of values.
    #[must_use]
    pub fn list(elements: Vec<Value<'a>>) -> Self {
        Self::List(List::Shared(Rc::new(elements)))
    }

    /// A list of borrowed texts.
    pub fn texts<'t: 'a>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Self::list(texts.into_iter().map(Value::text).collect())
    }

    /// The type of the value.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Uint(_) => Kind::Uint,
            Self::Double(_) => Kind::Double,
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
            Self::Timestamp(_) => Kind::Timestamp,
            Self::Duration(_) => Kind::Duration,
            Self::Type(_) => Kind::Type,
        }
    }

    /// Whether this is `null`.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The truth value, if this is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if this is an int, or a uint or double that is exactly one.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Uint(value) => i64::try_from(*value).ok(),
            Self::Double(value) => exact_int(*value),
            _ => None,
        }
    }

    /// The text, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The binary data, or the UTF-8 form of a text.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The point in time, if this is one.
    #[must_use]
    pub const fn as_timestamp(&self) -> Option<Timestamp> {
        match self {
            Self::Timestamp(timestamp) => Some(*timestamp),
            _ => None,
        }
    }

    /// The list, if this is one.
    #[must_use]
    pub const fn as_list(&self) -> Option<&List<'a>> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The map, if this is one.
    #[must_use]
    pub const fn as_map(&self) -> Option<&Map<'a>> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }
}

/// `value` as an int, where nothing is lost.
pub(super) fn exact_int(value: f64) -> Option<i64> {
    // 2^63 itself is one past the largest int.
    (value >= -9_223_372_036_854_775_808.0
        && value < 9_223_372_036_854_775_808.0
        && value.fract() == 0.0)
        .then_some(value as i64)
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind().name())?;
        match self {
            Self::Text(text) => write!(formatter, "({} bytes)", text.len()),
            Self::Bytes(bytes) => write!(formatter, "({} bytes)", bytes.len()),
            Self::List(list) => write!(formatter, "({} elements)", list.len()),
            Self::Map(map) => write!(formatter, "({} entries)", map.len()),
            _ => Ok(()),
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Timestamp(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Text::Shared(text.into()))
    }
}

impl From<Bytes> for Value<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(Binary::Shared(bytes))
    }
}

impl<'a> From<Vec<Value<'a>>> for Value<'a> {
    fn from(elements: Vec<Value<'a>>) -> Self {
        Self::list(elements)
    }
}

/// A text, borrowed or shared.
#[derive(Clone)]
pub enum Text<'a> {
    /// A slice of the input or of the expression.
    Borrowed(&'a str),
    /// A text made by the evaluation.
    Shared(Rc<str>),
}

impl<'a> Text<'a> {
    /// A part of this text, copied only where it has to be. `range` must lie on character boundaries.
    pub(super) fn slice(&self, range: std::ops::Range<usize>) -> Text<'a> {
        match self {
            Self::Borrowed(text) => Text::Borrowed(&text[range]),
            Self::Shared(text) => Text::Shared(text[range].into()),
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// Binary data, borrowed or shared.
#[derive(Clone)]
pub enum Binary<'a> {
    /// A slice of the input or of the expression.
    Borrowed(&'a [u8]),
    /// Shared data.
    Shared(Bytes),
}

impl Deref for Binary<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

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
    pub(super) fn get(&self, key: &Value<'_>) -> Result<Option<Value<'a>>, EvaluationError> {
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

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Key<'a>, Value<'a>)> {
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
    pub(super) fn from_value(value: Value<'a>) -> Option<Self> {
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

/// A value that the expression itself wrote. Unlike [`Value`] it can be shared between threads.
#[derive(Debug, Clone)]
pub enum Constant {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An int.
    Int(i64),
    /// A uint.
    Uint(u64),
    /// A double.
    Double(f64),
    /// A text.
    Text(Box<str>),
    /// Binary data.
    Bytes(Box<[u8]>),
    /// A type.
    Type(Kind),
    /// A list of constants.
    List(Box<[Constant]>),
}

impl Constant {
    /// The value, borrowed from the expression.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Text(text) => Value::text(text),
            Self::Bytes(bytes) => Value::bytes(bytes),
            Self::Type(kind) => Value::Type(*kind),
            Self::List(elements) => Value::List(List::Constants(elements)),
        }
    }
}
