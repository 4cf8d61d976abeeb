//! What an expression itself wrote down.

use super::{Kind, List, Value};

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
