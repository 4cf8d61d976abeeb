//! Functions on lists, and `size`.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::Answer;
use crate::expression::compare::{equal, order};
use crate::expression::value::{List, Value, exact_int};
use crate::expression::{Budget, EvaluationError};

/// Characters of a text, bytes of binary data, elements of a list, entries of a map.
pub(super) fn size<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let size = match &arguments[0] {
        Value::Text(text) => {
            budget.bytes(text.len())?;
            text.chars().count()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => return Err(EvaluationError::wrong_type("size")),
    };
    Ok(Value::Int(size as i64))
}

fn list<'v, 'a>(
    value: &'v Value<'a>,
    operation: &'static str,
) -> Result<&'v List<'a>, EvaluationError> {
    value
        .as_list()
        .ok_or(EvaluationError::wrong_type(operation))
}

pub(super) fn first<'a>(arguments: &[Value<'a>]) -> Answer<'a> {
    list(&arguments[0], "first")?
        .get(0)
        .ok_or(EvaluationError::IndexOutOfRange)
}

pub(super) fn last<'a>(arguments: &[Value<'a>]) -> Answer<'a> {
    let list = list(&arguments[0], "last")?;
    list.len()
        .checked_sub(1)
        .and_then(|last| list.get(last))
        .ok_or(EvaluationError::IndexOutOfRange)
}

pub(super) fn slice<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let [list, start, end] = arguments else {
        return Err(EvaluationError::wrong_type("slice"));
    };
    let (Value::List(list), Value::Int(start), Value::Int(end)) = (list, start, end) else {
        return Err(EvaluationError::wrong_type("slice"));
    };
    let (Ok(start), Ok(end)) = (usize::try_from(*start), usize::try_from(*end)) else {
        return Err(EvaluationError::IndexOutOfRange);
    };
    if start > end || end > list.len() {
        return Err(EvaluationError::IndexOutOfRange);
    }
    Ok(Value::List(match list {
        List::Json(elements) => List::Json(&elements[start..end]),
        List::Constants(elements) => List::Constants(&elements[start..end]),
        List::Shared(elements) => {
            budget.steps(end - start)?;
            List::Shared(elements[start..end].to_vec().into())
        }
    }))
}

pub(super) fn range<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let Value::Int(count) = &arguments[0] else {
        return Err(EvaluationError::wrong_type("lists.range"));
    };
    let count = usize::try_from(*count).unwrap_or(0);
    budget.steps(count)?;
    Ok(Value::list((0..count as i64).map(Value::Int).collect()))
}

pub(super) fn reverse<'a>(list: &List<'a>, budget: &mut Budget) -> Answer<'a> {
    budget.steps(list.len())?;
    Ok(Value::list(list.iter().rev().collect()))
}

/// Lists inside the list, `depth` levels down (1 unless given), put in their place.
pub(super) fn flatten<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let list = list(&arguments[0], "flatten")?;
    let depth = match arguments.get(1) {
        None => 1,
        Some(Value::Int(depth)) if *depth >= 0 => *depth,
        Some(Value::Int(_)) => {
            return Err(EvaluationError::invalid(
                "the depth of `flatten` is not negative",
            ));
        }
        Some(_) => return Err(EvaluationError::wrong_type("flatten")),
    };
    let mut flat = Vec::new();
    // A stack of our own: lists can be nested as deeply as JSON can.
    let mut pending = vec![(list.clone(), 0_usize)];
    while let Some((list, position)) = pending.pop() {
        let Some(element) = list.get(position) else {
            continue;
        };
        budget.step()?;
        let level = pending.len() as i64;
        pending.push((list, position + 1));
        match element {
            Value::List(inner) if level < depth => pending.push((inner, 0)),
            element => flat.push(element),
        }
    }
    Ok(Value::list(flat))
}

/// The elements without those equal to an earlier one.
pub(super) fn distinct<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    #[derive(PartialEq, Eq, Hash)]
    enum Simple {
        Null,
        Bool(bool),
        Number(i128),
        Text(Box<str>),
    }
    let list = list(&arguments[0], "distinct")?;
    let mut seen = HashSet::new();
    let mut others: Vec<Value<'a>> = Vec::new();
    let mut kept = Vec::new();
    for element in list.iter() {
        budget.step()?;
        let simple = match &element {
            Value::Null => Some(Simple::Null),
            Value::Bool(value) => Some(Simple::Bool(*value)),
            Value::Int(value) => Some(Simple::Number(i128::from(*value))),
            Value::Uint(value) => Some(Simple::Number(i128::from(*value))),
            Value::Double(value) => {
                exact_int(*value).map(|value| Simple::Number(i128::from(value)))
            }
            Value::Text(text) => {
                budget.bytes(text.len())?;
                Some(Simple::Text((**text).into()))
            }
            _ => None,
        };
        let is_new = match simple {
            Some(simple) => seen.insert(simple),
            None => {
                let mut found = false;
                for other in &others {
                    budget.step()?;
                    found = equal(other, &element, budget)?;
                    if found {
                        break;
                    }
                }
                if !found {
                    others.push(element.clone());
                }
                !found
            }
        };
        if is_new {
            kept.push(element);
        }
    }
    Ok(Value::list(kept))
}

pub(super) fn sort<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let list = list(&arguments[0], "sort")?;
    budget.steps(list.len())?;
    sort_by(
        list.iter()
            .map(|element| (element.clone(), element))
            .collect(),
        "sort",
        budget,
    )
}

/// Sorts elements by their keys, which all have one type; equal keys stay in order.
pub(in crate::expression) fn sort_by<'a>(
    mut keyed: Vec<(Value<'a>, Value<'a>)>,
    operation: &'static str,
    budget: &mut Budget,
) -> Answer<'a> {
    let same_kind = keyed
        .windows(2)
        .all(|pair| pair[0].0.kind() == pair[1].0.kind());
    if !same_kind {
        return Err(EvaluationError::wrong_type(operation));
    }
    // The sort itself cannot be stopped: after a failure everything counts as equal, which ends it soon.
    let mut failure = None;
    keyed.sort_by(|(left, _), (right, _)| {
        if failure.is_some() {
            return Ordering::Equal;
        }
        let result = budget
            .step()
            .and_then(|()| order(left, right, operation, budget));
        match result {
            Ok(Some(order)) => order,
            Ok(None) => {
                failure = Some(EvaluationError::wrong_type(operation));
                Ordering::Equal
            }
            Err(error) => {
                failure = Some(error);
                Ordering::Equal
            }
        }
    });
    match failure {
        Some(error) => Err(error),
        None => {
            // A single key is never compared, and still has to be one that can be.
            if let [(key, _)] = keyed.as_slice() {
                order(key, key, operation, budget)?
                    .ok_or(EvaluationError::wrong_type(operation))?;
            }
            Ok(Value::list(
                keyed.into_iter().map(|(_, element)| element).collect(),
            ))
        }
    }
}
