//! What can be wrong with an expression: when it is compiled, and when it is evaluated.
//!
//! An [`EvaluationError`] never holds a value that was evaluated: values can be
//! secret or personal, and errors end up in logs, dead letters and answers. It
//! may name what the expression's author wrote.

use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

/// Why an expression, template or path was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct CompileError {
    /// What is wrong and, where known, what was probably meant.
    pub message: String,
    /// The bytes of the source that the message is about; may be empty, never outside the source.
    pub range: Range<usize>,
    /// For a tree of templates the JSON pointer of the text with the mistake; otherwise empty.
    pub pointer: String,
}

impl CompileError {
    /// An error about the bytes `range` of the source.
    pub(crate) fn new(message: impl Into<String>, range: Range<usize>) -> Self {
        Self {
            message: message.into(),
            range,
            pointer: String::new(),
        }
    }

    /// The same error, in a source that begins `by` bytes later.
    pub(super) fn moved(mut self, by: usize) -> Self {
        self.range = self.range.start + by..self.range.end + by;
        self
    }

    /// The same error, below `pointer` in a JSON tree.
    pub(super) fn under(mut self, pointer: &str) -> Self {
        self.pointer = format!("{pointer}{}", self.pointer);
        self
    }
}

/// Why an evaluation failed. Holds nothing of the values it worked on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvaluationError {
    /// The budget of steps is used up.
    #[error("the expression takes more steps than allowed")]
    StepsExhausted,
    /// The budget of text and bytes is used up.
    #[error("the expression reads or makes more text than allowed")]
    BytesExhausted,
    /// A comprehension over more elements than [`super::MAX_ELEMENTS`].
    #[error("a list or map has more than 1,000 elements to go through")]
    TooManyElements,
    /// A value is nested more deeply than any request can be.
    #[error("a value is nested too deeply")]
    TooDeep,
    /// A map has no such field, and the expression wrote its name.
    #[error("there is no field `{name}`")]
    NoSuchField {
        /// The name as the expression wrote it.
        name: Arc<str>,
    },
    /// A map has no such key, and the key was computed.
    #[error("a map has no such key")]
    NoSuchKey,
    /// A list is too short for an index, or the list is empty.
    #[error("an index is outside its list")]
    IndexOutOfRange,
    /// The operands or arguments have types the operation does not take.
    #[error("`{operation}` cannot be applied to values of these types")]
    WrongType {
        /// The operator or function.
        operation: &'static str,
    },
    /// The result does not fit its type.
    #[error("the result of `{operation}` is out of range")]
    OutOfRange {
        /// The operator or function.
        operation: &'static str,
    },
    /// A division or remainder by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// An argument has the right type, but not a form the function takes.
    #[error("{reason}")]
    InvalidArgument {
        /// What the function expects.
        reason: &'static str,
    },
    /// A value has no form that the place it is rendered into can hold.
    #[error("{reason}")]
    NotRenderable {
        /// What the place expects.
        reason: &'static str,
    },
    /// What a variable stands for could not be read, for example a body that does not parse.
    #[error("{reason}")]
    Unavailable {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl EvaluationError {
    /// Whether the evaluation was stopped for the work it would take, rather than for its input.
    #[must_use]
    pub fn is_exhaustion(&self) -> bool {
        matches!(self, Self::StepsExhausted | Self::BytesExhausted)
    }

    pub(super) const fn wrong_type(operation: &'static str) -> Self {
        Self::WrongType { operation }
    }

    pub(super) const fn invalid(reason: &'static str) -> Self {
        Self::InvalidArgument { reason }
    }
}
