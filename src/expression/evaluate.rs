//! The evaluator: walks the compiled tree once, charging a step for every node
//! before it is evaluated.
//!
//! Errors are absorbed where CEL says so, by `&&`, `||`, `all` and `exists`: an
//! error on one side does not matter when the other side decides. An exhausted
//! budget is never absorbed. The recursion is as deep as the expression, which
//! its compilation bounds.

use std::sync::Arc;

use super::compare::{equal, order};
use super::functions::{self, Function, MAX_ARGUMENTS};
use super::node::{Comprehension, ComprehensionKind, Get, GetPath, Node, Operator};
use super::operators;
use super::value::{Entries, Key, List, Map, Value};
use super::{Budget, EvaluationError, MAX_ELEMENTS, Variables};

type Answer<'a> = Result<Value<'a>, EvaluationError>;

pub(super) struct Evaluator<'a, 'b> {
    pub(super) variables: &'a dyn Variables,
    pub(super) budget: &'b mut Budget,
    /// The element that the comprehension under way is at.
    pub(super) element: Value<'a>,
}

impl<'a> Evaluator<'a, '_> {
    pub(super) fn value(&mut self, node: &'a Node) -> Answer<'a> {
        self.budget.step()?;
        match node {
            Node::Constant(constant) => Ok(constant.value()),
            Node::Variable(name) => self.variables.variable(name),
            Node::Element => Ok(self.element.clone()),
            Node::Select(operand, field) => {
                let operand = self.value(operand)?;
                select(&operand, field)
            }
            Node::Has(operand, field) => match self.value(operand)? {
                Value::Map(map) => Ok(Value::Bool(map.field(field)?.is_some())),
                _ => Err(EvaluationError::wrong_type("has")),
            },
            Node::Index(pair) => {
                let [operand, index] = &**pair;
                let (operand, index) = (self.value(operand)?, self.value(index)?);
                element_at(&operand, &index, self.budget)
            }
            Node::Get(get) => self.get(get),
            Node::Not(operand) => Ok(Value::Bool(!self.bool(operand, "!")?)),
            Node::Negate(operand) => {
                let operand = self.value(operand)?;
                operators::negate(&operand)
            }
            Node::And(pair) => self.logical(pair, false, "&&"),
            Node::Or(pair) => self.logical(pair, true, "||"),
            Node::Conditional(branches) => {
                let [condition, positive, negative] = &**branches;
                let branch = if self.bool(condition, "?:")? {
                    positive
                } else {
                    negative
                };
                self.value(branch)
            }
            Node::Binary(operator, pair) => self.binary(*operator, pair),
            Node::List(nodes) => self.list(nodes),
            Node::Map(entries) => self.map(entries),
            Node::Matches(matching) => {
                let (text, pattern) = &**matching;
                match self.value(text)? {
                    Value::Text(text) => Ok(Value::Bool(pattern.is_match(&text, self.budget)?)),
                    _ => Err(EvaluationError::wrong_type("matches")),
                }
            }
            Node::Comprehension(comprehension) => self.comprehension(comprehension),
            Node::Call(function, nodes) => self.call(*function, nodes),
        }
    }

    fn bool(&mut self, node: &'a Node, operation: &'static str) -> Result<bool, EvaluationError> {
        self.value(node)?
            .as_bool()
            .ok_or(EvaluationError::wrong_type(operation))
    }

    /// `&&` and `||`: `decisive` is the truth value with which one side decides.
    #[inline(never)]
    fn logical(
        &mut self,
        pair: &'a [Node; 2],
        decisive: bool,
        operation: &'static str,
    ) -> Answer<'a> {
        let left = self.bool(&pair[0], operation);
        match &left {
            Ok(value) if *value == decisive => return Ok(Value::Bool(decisive)),
            Err(error) if error.is_exhaustion() => return left.map(Value::Bool),
            _ => {}
        }
        match self.bool(&pair[1], operation) {
            Ok(value) if value == decisive => Ok(Value::Bool(decisive)),
            Err(error) if error.is_exhaustion() => Err(error),
            right => left.and(right).map(Value::Bool),
        }
    }

    #[inline(never)]
    fn binary(&mut self, operator: Operator, pair: &'a [Node; 2]) -> Answer<'a> {
        let left = self.value(&pair[0])?;
        let right = self.value(&pair[1])?;
        let sign = operator.sign();
        match operator {
            Operator::Equal => Ok(Value::Bool(equal(&left, &right, self.budget)?)),
            Operator::NotEqual => Ok(Value::Bool(!equal(&left, &right, self.budget)?)),
            Operator::Less => Ok(order(&left, &right, sign, self.budget)?
                .is_some_and(|order| order.is_lt())
                .into()),
            Operator::LessOrEqual => Ok(order(&left, &right, sign, self.budget)?
                .is_some_and(|order| order.is_le())
                .into()),
            Operator::Greater => Ok(order(&left, &right, sign, self.budget)?
                .is_some_and(|order| order.is_gt())
                .into()),
            Operator::GreaterOrEqual => Ok(order(&left, &right, sign, self.budget)?
                .is_some_and(|order| order.is_ge())
                .into()),
            Operator::In => contains(&left, &right, self.budget).map(Value::Bool),
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Remainder => operators::arithmetic(operator, &left, &right, self.budget),
        }
    }

    #[inline(never)]
    fn list(&mut self, nodes: &'a [Node]) -> Answer<'a> {
        let mut elements = Vec::with_capacity(nodes.len());
        for node in nodes {
            elements.push(self.value(node)?);
        }
        Ok(Value::list(elements))
    }

    #[inline(never)]
    fn map(&mut self, nodes: &'a [[Node; 2]]) -> Answer<'a> {
        let mut entries = Vec::with_capacity(nodes.len());
        for [key, value] in nodes {
            let Some(key) = Key::from_value(self.value(key)?) else {
                return Err(EvaluationError::invalid(
                    "the key of a map is a text, an int, a uint or a bool",
                ));
            };
            if let Key::Text(text) = &key {
                self.budget.bytes(text.len())?;
            }
            entries.push((key, self.value(value)?));
        }
        let entries = Entries::new(entries)
            .ok_or(EvaluationError::invalid("a map has the same key twice"))?;
        Ok(Value::Map(Map::Shared(entries.into())))
    }

    #[inline(never)]
    fn get(&mut self, get: &'a Get) -> Answer<'a> {
        let value = self.value(&get.value)?;
        let found = match &get.path {
            GetPath::Literal(segments) => follow(
                value,
                segments.iter().map(|segment| &**segment),
                self.budget,
            )?,
            GetPath::Computed(path) => match self.value(path)? {
                Value::Text(path) => {
                    self.budget.bytes(path.len())?;
                    follow(value, path.split('.'), self.budget)?
                }
                _ => return Err(EvaluationError::wrong_type("get")),
            },
        };
        match found {
            Some(value) => Ok(value),
            None => self.value(&get.default),
        }
    }

    #[inline(never)]
    fn call(&mut self, function: Function, nodes: &'a [Node]) -> Answer<'a> {
        let mut arguments = [const { Value::Null }; MAX_ARGUMENTS];
        for (argument, node) in arguments.iter_mut().zip(nodes) {
            *argument = self.value(node)?;
        }
        function.call(&arguments[..nodes.len().min(MAX_ARGUMENTS)], self.budget)
    }

    #[inline(never)]
    fn comprehension(&mut self, comprehension: &'a Comprehension) -> Answer<'a> {
        let list = match self.value(&comprehension.range)? {
            Value::List(list) => list,
            Value::Map(map) if map.len() <= MAX_ELEMENTS => List::Shared(map.keys().into()),
            Value::Map(_) => return Err(EvaluationError::TooManyElements),
            _ => {
                return Err(EvaluationError::wrong_type(
                    "map, filter, all, exists, sortBy",
                ));
            }
        };
        if list.len() > MAX_ELEMENTS {
            return Err(EvaluationError::TooManyElements);
        }
        let result = match comprehension.kind {
            ComprehensionKind::All => self.quantify(comprehension, &list, false, "all"),
            ComprehensionKind::Exists => self.quantify(comprehension, &list, true, "exists"),
            ComprehensionKind::ExistsOne => self.exists_one(comprehension, &list),
            ComprehensionKind::Filter | ComprehensionKind::Map => {
                self.collect(comprehension, &list)
            }
            ComprehensionKind::SortBy => self.sort_by(comprehension, &list),
        };
        self.element = Value::Null;
        result
    }

    /// `all` and `exists`: `decisive` is what one element has to be to decide.
    fn quantify(
        &mut self,
        comprehension: &'a Comprehension,
        list: &List<'a>,
        decisive: bool,
        operation: &'static str,
    ) -> Answer<'a> {
        let mut undecided = Ok(Value::Bool(!decisive));
        for element in list.iter() {
            self.element = element;
            match self.bool(&comprehension.body, operation) {
                Ok(value) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(_) => {}
                Err(error) if error.is_exhaustion() => return Err(error),
                Err(error) => undecided = Err(error),
            }
        }
        undecided
    }

    fn exists_one(&mut self, comprehension: &'a Comprehension, list: &List<'a>) -> Answer<'a> {
        let mut count = 0;
        for element in list.iter() {
            self.element = element;
            count += usize::from(self.bool(&comprehension.body, "exists_one")?);
        }
        Ok(Value::Bool(count == 1))
    }

    fn collect(&mut self, comprehension: &'a Comprehension, list: &List<'a>) -> Answer<'a> {
        let is_map = comprehension.kind == ComprehensionKind::Map;
        let mut results = Vec::with_capacity(if is_map { list.len() } else { 0 });
        for element in list.iter() {
            self.element = element;
            if let Some(filter) = &comprehension.filter
                && !self.bool(filter, "map")?
            {
                continue;
            }
            if is_map {
                results.push(self.value(&comprehension.body)?);
            } else if self.bool(&comprehension.body, "filter")? {
                results.push(self.element.clone());
            }
        }
        Ok(Value::list(results))
    }

    fn sort_by(&mut self, comprehension: &'a Comprehension, list: &List<'a>) -> Answer<'a> {
        let mut keyed = Vec::with_capacity(list.len());
        for element in list.iter() {
            self.element = element;
            let key = self.value(&comprehension.body)?;
            keyed.push((key, std::mem::replace(&mut self.element, Value::Null)));
        }
        functions::sort_by(keyed, "sortBy", self.budget)
    }
}

fn select<'a>(operand: &Value<'a>, field: &Arc<str>) -> Answer<'a> {
    match operand {
        Value::Map(map) => map
            .field(field)?
            .ok_or_else(|| EvaluationError::NoSuchField {
                name: field.clone(),
            }),
        _ => Err(EvaluationError::NoSuchField {
            name: field.clone(),
        }),
    }
}

fn element_at<'a>(operand: &Value<'a>, index: &Value<'_>, budget: &mut Budget) -> Answer<'a> {
    match (operand, index) {
        (Value::Map(map), key) => {
            if let Value::Text(key) = key {
                budget.bytes(key.len())?;
            }
            map.get(key)?.ok_or(EvaluationError::NoSuchKey)
        }
        (Value::List(list), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => index
            .as_i64()
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| list.get(index))
            .ok_or(EvaluationError::IndexOutOfRange),
        _ => Err(EvaluationError::wrong_type("[]")),
    }
}

fn contains(
    needle: &Value<'_>,
    haystack: &Value<'_>,
    budget: &mut Budget,
) -> Result<bool, EvaluationError> {
    match haystack {
        Value::List(list) => {
            for element in list.iter() {
                budget.step()?;
                if equal(needle, &element, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => {
            if let Value::Text(key) = needle {
                budget.bytes(key.len())?;
            }
            Ok(map.get(needle)?.is_some())
        }
        _ => Err(EvaluationError::wrong_type("in")),
    }
}

/// Follows names, and positions of lists, as far as they lead.
fn follow<'a, 'p>(
    mut value: Value<'a>,
    path: impl Iterator<Item = &'p str>,
    budget: &mut Budget,
) -> Result<Option<Value<'a>>, EvaluationError> {
    for name in path {
        budget.step()?;
        let next = match &value {
            Value::Map(map) => map.field(name)?,
            Value::List(list) => name.parse().ok().and_then(|index: usize| list.get(index)),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}
