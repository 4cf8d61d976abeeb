//! The rules in CEL that the CRDs carry, and the defaults, applied without an API server.
//!
//! An API server fills in defaults and then checks the rules; so does this, for
//! manifests that are checked offline and for tests of the rules themselves.

use std::{collections::HashMap, sync::LazyLock};

use serde_json::Value;

use super::{FieldPath, crd::crds};
use crate::expression::{
    self, Budget, CompileError, EvaluationError, Expression, Member, Scope, Shape, Variables,
};

/// What one rule may do. The API server's own limit is about as much work; ours need a hundredth of it.
const STEPS: u32 = 20_000;

/// Bytes that one rule may read: the longest text of an object several times over.
const BYTES: u64 = 1 << 20;

/// A rule that an object breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What the rule is about.
    pub path: FieldPath,
    /// What is wrong and what to do.
    pub message: String,
}

/// Fills in the defaults of a schema, as an API server does.
pub fn fill_defaults(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(members) => {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                match members.get_mut(name) {
                    Some(member) => fill_defaults(member, property),
                    None => {
                        if let Some(default) = property.get("default") {
                            members.insert(name.clone(), default.clone());
                        }
                    }
                }
            }
            let others = &schema["additionalProperties"];
            if others.is_object() {
                for member in members.values_mut() {
                    fill_defaults(member, others);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                fill_defaults(item, &schema["items"]);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The rules of a schema of ours that a value breaks. The value has the schema's structure and defaults.
#[must_use]
pub fn violations(value: &Value, schema: &Value) -> Vec<Violation> {
    let mut violations = Vec::new();
    check(value, schema, &FieldPath::root(), &mut violations);
    violations
}

fn check(value: &Value, schema: &Value, path: &FieldPath, violations: &mut Vec<Violation>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let source = rule["rule"].as_str().unwrap_or_default();
        let message = rule["message"].as_str().unwrap_or(source);
        match holds(source, value) {
            Ok(true) => {}
            Ok(false) => violations.push(Violation {
                path: path.clone(),
                message: message.to_owned(),
            }),
            Err(error) => violations.push(Violation {
                path: path.clone(),
                message: format!("{message} (failed to check: {error})"),
            }),
        }
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let property = match schema["properties"].get(name) {
                    Some(property) => property,
                    None => &schema["additionalProperties"],
                };
                check(member, property, &path.field(name), violations);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check(item, &schema["items"], &path.index(index), violations);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Why a rule could not be evaluated.
#[derive(Debug, thiserror::Error)]
enum RuleError {
    /// The rule is none of ours, or does not compile.
    #[error("failed to compile the rule")]
    Compile,
    /// The rule failed on the value.
    #[error(transparent)]
    Evaluate(#[from] EvaluationError),
}

fn holds(source: &str, value: &Value) -> Result<bool, RuleError> {
    let Some(Ok(rule)) = RULES.get(source) else {
        return Err(RuleError::Compile);
    };
    let mut budget = Budget::new(STEPS, BYTES);
    Ok(rule.evaluate_bool(&This(value), &mut budget)?)
}

/// Every rule of every CRD, compiled once.
static RULES: LazyLock<HashMap<String, Result<Expression, CompileError>>> = LazyLock::new(|| {
    let scope = Scope::empty().with(Member::new("self", Shape::Any));
    let mut sources = Vec::new();
    for crd in crds() {
        collect(&crd.schema, &mut sources);
    }
    sources
        .into_iter()
        .map(|source| {
            let compiled = Expression::compile(&source, &scope);
            (source, compiled)
        })
        .collect()
});

fn collect(schema: &Value, sources: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for rule in members
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                sources.extend(rule["rule"].as_str().map(str::to_owned));
            }
            members.values().for_each(|member| collect(member, sources));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, sources)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The only variable that rules have.
struct This<'value>(&'value Value);

impl Variables for This<'_> {
    fn variable(&self, _: &str) -> Result<expression::Value<'_>, EvaluationError> {
        // The scope has no other name, so none is asked for.
        Ok(expression::Value::from_json(self.0))
    }
}

#[cfg(test)]
mod tests;
