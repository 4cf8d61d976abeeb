//! The values that expressions work on.
//!
//! They borrow what they can: the JSON of a request is never converted, an
//! array or object of it is a reference, and a text of it is a slice. What is
//! made during an evaluation is shared by reference count, so that cloning a
//! value never copies its content. Values stay on the thread that made them.
//!
//! `Debug` shows the type and size only: a value can be a secret.

mod collections;
mod constant;

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::EvaluationError;

pub use collections::{Entries, Key, List, Map};
pub use constant::Constant;

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
    ((-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value)
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
