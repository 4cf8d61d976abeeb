//! Arithmetic and concatenation. As in CEL both operands have the same type,
//! but for times, and a result that does not fit is an error, not a wrap.

use std::rc::Rc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::node::Operator;
use super::value::{Binary, Text, Value};
use super::{Budget, EvaluationError};

type Answer<'a> = Result<Value<'a>, EvaluationError>;

pub(super) fn arithmetic<'a>(
    operator: Operator,
    left: &Value<'a>,
    right: &Value<'a>,
    budget: &mut Budget,
) -> Answer<'a> {
    let sign = operator.sign();
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => ints(operator, *left, *right),
        (Value::Uint(left), Value::Uint(right)) => uints(operator, *left, *right),
        (Value::Double(left), Value::Double(right)) => match operator {
            Operator::Add => Ok(Value::Double(left + right)),
            Operator::Subtract => Ok(Value::Double(left - right)),
            Operator::Multiply => Ok(Value::Double(left * right)),
            Operator::Divide => Ok(Value::Double(left / right)),
            _ => Err(EvaluationError::wrong_type(sign)),
        },
        (Value::Timestamp(left), Value::Duration(right)) => match operator {
            Operator::Add => time(left.checked_add(*right).ok(), sign),
            Operator::Subtract => time(left.checked_sub(*right).ok(), sign),
            _ => Err(EvaluationError::wrong_type(sign)),
        },
        (Value::Duration(left), Value::Timestamp(right)) if operator == Operator::Add => {
            time(right.checked_add(*left).ok(), sign)
        }
        (Value::Timestamp(left), Value::Timestamp(right)) if operator == Operator::Subtract => {
            Ok(Value::Duration(left.duration_since(*right)))
        }
        (Value::Duration(left), Value::Duration(right)) => match operator {
            Operator::Add => span(left.checked_add(*right), sign),
            Operator::Subtract => span(left.checked_sub(*right), sign),
            _ => Err(EvaluationError::wrong_type(sign)),
        },
        _ if operator == Operator::Add => concatenate(left, right, budget),
        _ => Err(EvaluationError::wrong_type(sign)),
    }
}

fn ints<'a>(operator: Operator, left: i64, right: i64) -> Answer<'a> {
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide | Operator::Remainder if right == 0 => {
            return Err(EvaluationError::DivisionByZero);
        }
        Operator::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    };
    result.map(Value::Int).ok_or(EvaluationError::OutOfRange {
        operation: operator.sign(),
    })
}

fn uints<'a>(operator: Operator, left: u64, right: u64) -> Answer<'a> {
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide | Operator::Remainder if right == 0 => {
            return Err(EvaluationError::DivisionByZero);
        }
        Operator::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    };
    result.map(Value::Uint).ok_or(EvaluationError::OutOfRange {
        operation: operator.sign(),
    })
}

fn concatenate<'a>(left: &Value<'a>, right: &Value<'a>, budget: &mut Budget) -> Answer<'a> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            budget.bytes(left.len() + right.len())?;
            Ok(Value::Text(Text::Shared(
                [&**left, &**right].concat().into(),
            )))
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            budget.bytes(left.len() + right.len())?;
            Ok(Value::Bytes(Binary::Shared(Bytes::from(
                [&**left, &**right].concat(),
            ))))
        }
        (Value::List(left), Value::List(right)) => {
            budget.steps(left.len() + right.len())?;
            Ok(Value::List(super::value::List::Shared(Rc::new(
                left.iter().chain(right.iter()).collect(),
            ))))
        }
        _ => Err(EvaluationError::wrong_type("+")),
    }
}

pub(super) fn negate<'a>(operand: &Value<'_>) -> Answer<'a> {
    match operand {
        Value::Int(value) => value
            .checked_neg()
            .map(Value::Int)
            .ok_or(EvaluationError::OutOfRange { operation: "-" }),
        Value::Double(value) => Ok(Value::Double(-value)),
        _ => Err(EvaluationError::wrong_type("-")),
    }
}

/// A point in time within the years CEL knows, 1 to 9999.
pub(super) fn time<'a>(timestamp: Option<Timestamp>, operation: &'static str) -> Answer<'a> {
    const FIRST_SECOND: i64 = -62_135_596_800;
    const LAST_SECOND: i64 = 253_402_300_799;
    timestamp
        .filter(|timestamp| (FIRST_SECOND..=LAST_SECOND).contains(&timestamp.as_second()))
        .map(Value::Timestamp)
        .ok_or(EvaluationError::OutOfRange { operation })
}

fn span<'a>(duration: Option<SignedDuration>, operation: &'static str) -> Answer<'a> {
    duration
        .map(Value::Duration)
        .ok_or(EvaluationError::OutOfRange { operation })
}
