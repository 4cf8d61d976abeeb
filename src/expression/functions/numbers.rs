//! The largest and the smallest of some numbers.

use std::cmp::Ordering;

use super::Answer;
use crate::expression::compare::order;
use crate::expression::value::Value;
use crate::expression::{Budget, EvaluationError};

pub(super) fn greatest<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    extreme(arguments, Ordering::Greater, "math.greatest", budget)
}

pub(super) fn least<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    extreme(arguments, Ordering::Less, "math.least", budget)
}

fn extreme<'a>(
    arguments: &[Value<'a>],
    wanted: Ordering,
    operation: &'static str,
    budget: &mut Budget,
) -> Answer<'a> {
    let numbers: &[Value<'a>] = arguments;
    let list;
    let numbers = match numbers {
        [Value::List(given)] => {
            budget.steps(given.len())?;
            list = given.iter().collect::<Vec<_>>();
            list.as_slice()
        }
        _ => numbers,
    };
    if !numbers
        .iter()
        .all(|number| matches!(number, Value::Int(_) | Value::Uint(_) | Value::Double(_)))
    {
        return Err(EvaluationError::wrong_type(operation));
    }
    let mut numbers = numbers.iter();
    let mut best = numbers.next().ok_or(EvaluationError::IndexOutOfRange)?;
    for number in numbers {
        if order(number, best, operation, budget)? == Some(wanted) {
            best = number;
        }
    }
    Ok(best.clone())
}
