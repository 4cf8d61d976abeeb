//! Equality and order of values, by CEL's rules: numbers compare by what they
//! are worth, whatever their types; values of different kinds are unequal and
//! have no order.

use std::cmp::Ordering;

use super::value::{Map, Value};
use super::{Budget, EvaluationError};

/// How deeply values are compared or written. JSON from outside is at most 128
/// deep; expressions can put some of their own around it.
pub(super) const MAX_DEPTH: u32 = 512;

/// Whether two values are equal. Charges one step for every pair of elements, and the texts it reads.
pub(super) fn equal(
    left: &Value<'_>,
    right: &Value<'_>,
    budget: &mut Budget,
) -> Result<bool, EvaluationError> {
    equal_at(left, right, budget, 0)
}

fn equal_at(
    left: &Value<'_>,
    right: &Value<'_>,
    budget: &mut Budget,
    depth: u32,
) -> Result<bool, EvaluationError> {
    Ok(match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            left.len() == right.len() && {
                budget.bytes(left.len())?;
                **left == **right
            }
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            left.len() == right.len() && {
                budget.bytes(left.len())?;
                **left == **right
            }
        }
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
        (Value::Duration(left), Value::Duration(right)) => left == right,
        (Value::Type(left), Value::Type(right)) => left == right,
        (Value::List(left), Value::List(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            deeper(depth)?;
            for (left, right) in left.iter().zip(right.iter()) {
                budget.step()?;
                if !equal_at(&left, &right, budget, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(left), Value::Map(right)) => equal_maps(left, right, budget, depth)?,
        _ => order_numbers(left, right) == Some(Some(Ordering::Equal)),
    })
}

fn equal_maps(
    left: &Map<'_>,
    right: &Map<'_>,
    budget: &mut Budget,
    depth: u32,
) -> Result<bool, EvaluationError> {
    if left.len() != right.len() {
        return Ok(false);
    }
    deeper(depth)?;
    budget.steps(left.len())?;
    for key in left.keys() {
        budget.bytes(key.as_str().map_or(0, str::len))?;
        let (Some(left), Some(right)) = (left.get(&key)?, right.get(&key)?) else {
            return Ok(false);
        };
        if !equal_at(&left, &right, budget, depth + 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn deeper(depth: u32) -> Result<(), EvaluationError> {
    if depth >= MAX_DEPTH {
        Err(EvaluationError::TooDeep)
    } else {
        Ok(())
    }
}

/// The order of two values; the inner `None` for NaN.
pub(super) fn order(
    left: &Value<'_>,
    right: &Value<'_>,
    operation: &'static str,
    budget: &mut Budget,
) -> Result<Option<Ordering>, EvaluationError> {
    Ok(Some(match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            budget.bytes(left.len().min(right.len()))?;
            (**left).cmp(&**right)
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            budget.bytes(left.len().min(right.len()))?;
            (**left).cmp(&**right)
        }
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Timestamp(left), Value::Timestamp(right)) => left.cmp(right),
        (Value::Duration(left), Value::Duration(right)) => left.cmp(right),
        _ => return order_numbers(left, right).ok_or(EvaluationError::wrong_type(operation)),
    }))
}

/// The outer `None` where one is not a number, the inner where one is not ordered.
fn order_numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Option<Ordering>> {
    Some(match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Uint(left), Value::Uint(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Uint(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Value::Uint(left), Value::Int(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Double(left), Value::Int(right)) => order_double(*left, i128::from(*right)),
        (Value::Double(left), Value::Uint(right)) => order_double(*left, i128::from(*right)),
        (Value::Int(left), Value::Double(right)) => {
            order_double(*right, i128::from(*left)).map(Ordering::reverse)
        }
        (Value::Uint(left), Value::Double(right)) => {
            order_double(*right, i128::from(*left)).map(Ordering::reverse)
        }
        _ => return None,
    })
}

/// Exact, where a conversion of the whole number to a double would round it.
fn order_double(left: f64, right: i128) -> Option<Ordering> {
    if left.is_nan() {
        return None;
    }
    // The cast saturates, and both ends are far outside of what 64 bits hold.
    let whole = left.trunc() as i128;
    Some(
        whole
            .cmp(&right)
            .then_with(|| left.fract().partial_cmp(&0.0).unwrap_or(Ordering::Equal)),
    )
}
