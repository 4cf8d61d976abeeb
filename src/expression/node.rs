//! The compiled form of an expression: names resolved, functions known,
//! literals ready to be borrowed.

use std::sync::Arc;

use super::functions::Function;
use super::pattern::Pattern;
use super::value::Constant;

/// One node. Children are boxed so that a node, and the evaluator's frame, stay small.
#[derive(Debug)]
pub(super) enum Node {
    Constant(Constant),
    Variable(Arc<str>),
    /// The variable of the comprehension whose body this is; bodies do not nest, so there is only one.
    Element,
    Select(Box<Node>, Arc<str>),
    Has(Box<Node>, Arc<str>),
    Index(Box<[Node; 2]>),
    Get(Box<Get>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Conditional(Box<[Node; 3]>),
    Binary(Operator, Box<[Node; 2]>),
    List(Box<[Node]>),
    Map(Box<[[Node; 2]]>),
    Matches(Box<(Node, Pattern)>),
    Comprehension(Box<Comprehension>),
    Call(Function, Box<[Node]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

/// `get(value, path, default)`
#[derive(Debug)]
pub(super) struct Get {
    pub(super) value: Node,
    pub(super) path: GetPath,
    pub(super) default: Node,
}

#[derive(Debug)]
pub(super) enum GetPath {
    Literal(Box<[Arc<str>]>),
    Computed(Node),
}

#[derive(Debug)]
pub(super) struct Comprehension {
    pub(super) kind: ComprehensionKind,
    pub(super) range: Node,
    pub(super) body: Node,
    /// The condition of a `map` with three arguments.
    pub(super) filter: Option<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ComprehensionKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
    SortBy,
}
