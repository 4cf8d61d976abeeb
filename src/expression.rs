//! CEL expressions and `$(CEL)` templates, compiled once, evaluated within budgets. Pure.
//!
//! The `cel` crate parses; the tree is checked against a [`Scope`], lowered to
//! a compact form, and evaluated here, because on the request path every
//! evaluation needs a bound on its work: a [`Budget`]. Values borrow from the
//! request, and [`Variables`] are computed when they are first asked for.
//!
//! Deliberately not here: I/O, the clock, randomness, time zone databases, keys
//! (but the bytes of `$(key)` in a digest's message), and comprehensions inside
//! another's body, whose cost multiplies.

mod budget;
mod compare;
mod error;
mod evaluate;
mod functions;
mod json;
mod lower;
mod node;
mod operators;
mod parse;
mod path;
mod pattern;
mod references;
mod scope;
mod suggestion;
mod template;
#[cfg(test)]
mod tests;
mod value;

pub use budget::{BYTES_PER_BODY_BYTE, Budget, STEPS};
pub use error::{CompileError, EvaluationError};
pub use path::{Path, PathRoot};
pub use references::References;
pub use scope::{Member, Scope, Shape};
pub use template::{Mask, Placeholder, Position, Target, Template, TreeTemplate, check_literal};
pub use value::{Binary, Constant, Entries, Key, Kind, List, Map, Object, Text, Value};

use evaluate::Evaluator;
use node::Node;

/// Characters of one expression at most; the resources' own limit too.
pub const MAX_CHARACTERS: usize = 2_048;

/// Elements a comprehension goes through at most.
pub const MAX_ELEMENTS: usize = 1_000;

/// Where an expression's variables come from.
pub trait Variables {
    /// The value of a variable that the scope of the expression has.
    ///
    /// # Errors
    /// When the value cannot be computed, or the variable does not exist in
    /// this place after all ([`EvaluationError::Unavailable`]).
    fn variable(&self, name: &str) -> Result<Value<'_>, EvaluationError>;
}

/// A compiled CEL expression.
#[derive(Debug)]
pub struct Expression {
    root: Node,
    references: References,
    sensitive: bool,
}

impl Expression {
    /// Compiles an expression of at most [`MAX_CHARACTERS`] for a place with the variables of `scope`.
    ///
    /// # Errors
    /// When it does not parse, names what the scope does not have, calls an
    /// unknown function, or uses a sensitive value where the scope allows none.
    pub fn compile(source: &str, scope: &Scope) -> Result<Self, CompileError> {
        let tree = parse::parse(source)?;
        Self::from_tree(source, &tree, scope)
    }

    fn from_tree(source: &str, tree: &cel::IdedExpr, scope: &Scope) -> Result<Self, CompileError> {
        let lower::Lowered {
            root,
            references,
            sensitive,
        } = lower::lower(source, tree, scope)?;
        Ok(Self {
            root,
            references,
            sensitive,
        })
    }

    /// The expression's value.
    ///
    /// # Errors
    /// When something it needs is missing or of the wrong type, or the budget
    /// is exhausted. The error holds none of the values.
    pub fn evaluate<'a>(
        &'a self,
        variables: &'a dyn Variables,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvaluationError> {
        Evaluator {
            variables,
            budget,
            element: Value::Null,
        }
        .value(&self.root)
    }

    /// The values of an expression of which each element can fail on its own: those of the list
    /// that it is written as, else its one value. So a header that one candidate of a list reads
    /// may be missing without taking the others along.
    pub fn evaluate_alternatives<'a>(
        &'a self,
        variables: &'a dyn Variables,
        budget: &mut Budget,
    ) -> Vec<Result<Value<'a>, EvaluationError>> {
        let nodes = match &self.root {
            Node::List(nodes) => nodes,
            node => std::slice::from_ref(node),
        };
        let mut values = Vec::with_capacity(nodes.len());
        for node in nodes {
            let mut evaluator = Evaluator {
                variables,
                budget: &mut *budget,
                element: Value::Null,
            };
            values.push(evaluator.value(node));
        }
        values
    }

    /// The value of an expression that has to be `true` or `false`.
    ///
    /// # Errors
    /// As [`Self::evaluate`], and when the value is neither.
    pub fn evaluate_bool(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
    ) -> Result<bool, EvaluationError> {
        self.evaluate(variables, budget)?
            .as_bool()
            .ok_or(EvaluationError::InvalidArgument {
                reason: "the expression is neither true nor false",
            })
    }

    /// Which variables and fields the expression names.
    #[must_use]
    pub const fn references(&self) -> &References {
        &self.references
    }

    /// Whether the result can hold something secret: whether a sensitive variable or field is named.
    #[must_use]
    pub const fn is_sensitive(&self) -> bool {
        self.sensitive
    }
}
