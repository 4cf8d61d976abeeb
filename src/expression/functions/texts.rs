//! Functions on texts. Positions count characters, as CEL's strings extension
//! says; what is read and what is made is charged before it is done.

use super::{Answer, lists};
use crate::expression::value::{Text, Value};
use crate::expression::{Budget, EvaluationError};

fn two<'v, 'a>(
    arguments: &'v [Value<'a>],
    operation: &'static str,
    budget: &mut Budget,
) -> Result<(&'v Text<'a>, &'v Text<'a>), EvaluationError> {
    match arguments {
        [Value::Text(left), Value::Text(right), ..] => {
            budget.bytes(left.len() + right.len())?;
            Ok((left, right))
        }
        _ => Err(EvaluationError::wrong_type(operation)),
    }
}

fn one<'v, 'a>(
    arguments: &'v [Value<'a>],
    operation: &'static str,
    budget: &mut Budget,
) -> Result<&'v Text<'a>, EvaluationError> {
    match arguments.first() {
        Some(Value::Text(text)) => {
            budget.bytes(text.len())?;
            Ok(text)
        }
        _ => Err(EvaluationError::wrong_type(operation)),
    }
}

/// An optional argument that is an int.
fn number(
    arguments: &[Value<'_>],
    index: usize,
    operation: &'static str,
) -> Result<Option<i64>, EvaluationError> {
    match arguments.get(index) {
        None => Ok(None),
        Some(Value::Int(value)) => Ok(Some(*value)),
        Some(_) => Err(EvaluationError::wrong_type(operation)),
    }
}

fn made<'a>(text: String) -> Answer<'a> {
    Ok(Value::Text(Text::Shared(text.into())))
}

pub(super) fn contains<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, part) = two(arguments, "contains", budget)?;
    Ok(Value::Bool(text.contains(&**part)))
}

pub(super) fn starts_with<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    match arguments {
        [Value::Text(text), Value::Text(part)] => budget
            .bytes(part.len())
            .map(|()| Value::Bool(text.starts_with(&**part))),
        _ => Err(EvaluationError::wrong_type("startsWith")),
    }
}

pub(super) fn ends_with<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    match arguments {
        [Value::Text(text), Value::Text(part)] => budget
            .bytes(part.len())
            .map(|()| Value::Bool(text.ends_with(&**part))),
        _ => Err(EvaluationError::wrong_type("endsWith")),
    }
}

/// Where the character at `position` begins, or the text ends.
fn offset(text: &str, position: i64) -> Result<usize, EvaluationError> {
    let position = usize::try_from(position).map_err(|_| EvaluationError::IndexOutOfRange)?;
    if position == 0 {
        return Ok(0);
    }
    let mut ends = text.char_indices().map(|(start, c)| start + c.len_utf8());
    ends.nth(position - 1)
        .ok_or(EvaluationError::IndexOutOfRange)
}

pub(super) fn char_at<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = one(arguments, "charAt", budget)?;
    let position = number(arguments, 1, "charAt")?.ok_or(EvaluationError::wrong_type("charAt"))?;
    let start = offset(text, position)?;
    let length = text[start..].chars().next().map_or(0, char::len_utf8);
    Ok(Value::Text(text.slice(start..start + length)))
}

pub(super) fn index_of<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, part) = two(arguments, "indexOf", budget)?;
    let start = offset(text, number(arguments, 2, "indexOf")?.unwrap_or(0))?;
    let found = text[start..]
        .find(&**part)
        .map(|found| text[..start + found].chars().count());
    Ok(Value::Int(found.map_or(-1, |found| found as i64)))
}

pub(super) fn last_index_of<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, part) = two(arguments, "lastIndexOf", budget)?;
    // The position given is the last one at which the part may begin.
    let end = match number(arguments, 2, "lastIndexOf")? {
        None => text.len(),
        Some(position) => {
            let start = offset(text, position)?;
            let mut end = (start + part.len()).min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            end
        }
    };
    let found = text[..end]
        .rfind(&**part)
        .map(|found| text[..found].chars().count());
    Ok(Value::Int(found.map_or(-1, |found| found as i64)))
}

pub(super) fn join<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let (Some(Value::List(list)), separator) = (arguments.first(), arguments.get(1)) else {
        return Err(EvaluationError::wrong_type("join"));
    };
    let separator = match separator {
        None => "",
        Some(Value::Text(separator)) => separator,
        Some(_) => return Err(EvaluationError::wrong_type("join")),
    };
    let mut joined = String::new();
    for (index, element) in list.iter().enumerate() {
        budget.step()?;
        let Value::Text(text) = element else {
            return Err(EvaluationError::wrong_type("join"));
        };
        budget.bytes(text.len() + separator.len())?;
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(&text);
    }
    made(joined)
}

pub(super) fn lower_ascii<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = one(arguments, "lowerAscii", budget)?;
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        made(text.to_ascii_lowercase())
    } else {
        Ok(Value::Text(text.clone()))
    }
}

pub(super) fn upper_ascii<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = one(arguments, "upperAscii", budget)?;
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        made(text.to_ascii_uppercase())
    } else {
        Ok(Value::Text(text.clone()))
    }
}

pub(super) fn replace<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, from) = two(arguments, "replace", budget)?;
    let Some(Value::Text(to)) = arguments.get(2) else {
        return Err(EvaluationError::wrong_type("replace"));
    };
    // A negative number replaces all.
    let limit = number(arguments, 3, "replace")?.unwrap_or(-1);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let count = text.matches(&**from).take(limit).count();
    budget.bytes(text.len().saturating_add(count.saturating_mul(to.len())))?;
    made(text.replacen(&**from, to, count))
}

pub(super) fn split<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, separator) = two(arguments, "split", budget)?;
    let limit = match number(arguments, 2, "split")? {
        None => usize::MAX,
        Some(0) => return Ok(Value::list(Vec::new())),
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let mut parts = Vec::new();
    let mut start = 0;
    while parts.len() + 1 < limit {
        let rest = &text[start..];
        // An empty separator parts every character from the next.
        let (end, next) = if separator.is_empty() {
            match rest.chars().next() {
                Some(c) if c.len_utf8() < rest.len() => {
                    (start + c.len_utf8(), start + c.len_utf8())
                }
                _ => break,
            }
        } else {
            match rest.find(&**separator) {
                Some(found) => (start + found, start + found + separator.len()),
                None => break,
            }
        };
        budget.step()?;
        parts.push(Value::Text(text.slice(start..end)));
        start = next;
    }
    if !(separator.is_empty() && text.is_empty()) {
        parts.push(Value::Text(text.slice(start..text.len())));
    }
    Ok(Value::list(parts))
}

pub(super) fn substring<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = one(arguments, "substring", budget)?;
    let start =
        number(arguments, 1, "substring")?.ok_or(EvaluationError::wrong_type("substring"))?;
    let start = offset(text, start)?;
    let end = match number(arguments, 2, "substring")? {
        None => text.len(),
        Some(end) => offset(text, end)?,
    };
    if start > end {
        return Err(EvaluationError::IndexOutOfRange);
    }
    Ok(Value::Text(text.slice(start..end)))
}

/// Without white space at both ends.
pub(super) fn trim<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = one(arguments, "trim", budget)?;
    let start = text.len() - text.trim_start().len();
    let length = text.trim().len();
    Ok(Value::Text(text.slice(start..start + length)))
}

/// A text or a list backwards.
pub(super) fn reverse<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
    match &arguments[0] {
        Value::List(list) => lists::reverse(list, budget),
        _ => made(one(arguments, "reverse", budget)?.chars().rev().collect()),
    }
}
