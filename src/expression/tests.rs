//! Tests of expressions and templates: tables of cases, one check for each table.

mod bounds;
mod compiling;
mod conformance;
mod extensions;
mod properties;
mod templates;

use std::cell::OnceCell;

use serde_json::{Value as Json, json};

use super::{Budget, CompileError, EvaluationError, Expression, Object, Scope, Value, Variables};

/// The largest body of the types in these tests.
const MAX_BODY: u64 = 1 << 20;

/// A request as a gateway would show it: the body is parsed at its first use only.
struct Request {
    raw_body: Vec<u8>,
    parsed: OnceCell<Option<Json>>,
    headers: Json,
    query: Json,
    item: Json,
    parent: Json,
    auth: Json,
    key: Vec<u8>,
}

impl Request {
    fn with_body(body: &Json) -> Self {
        Self::with_raw_body(body.to_string().into_bytes())
    }

    fn with_raw_body(raw_body: Vec<u8>) -> Self {
        Self {
            raw_body,
            parsed: OnceCell::new(),
            headers: json!({"x-signature": "sha256=abc", "x-timestamp": "1700000000", "x-id": "a b/ü"}),
            query: json!({"validationToken": ["t&1"], "many": ["a", "b"]}),
            item: json!({"id": 7, "type": "contact.created", "account": "acme", "tags": ["x", "y"]}),
            parent: json!({"id": "p1"}),
            auth: json!({"method": "jwt", "claims": {"sub": "u1"}}),
            key: b"k\xff".to_vec(),
        }
    }
}

impl Variables for Request {
    fn variable(&self, name: &str) -> Result<Value<'_>, EvaluationError> {
        match name {
            "request" => Ok(Value::object(self)),
            "item" => Ok(Value::from_json(&self.item)),
            "parent" => Ok(Value::from_json(&self.parent)),
            "auth" => Ok(Value::from_json(&self.auth)),
            "key" => Ok(Value::bytes(&self.key)),
            _ => Err(EvaluationError::Unavailable {
                reason: "no such variable",
            }),
        }
    }
}

impl Object for Request {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        Ok(Some(match name {
            "method" => Value::text("POST"),
            "path" => Value::text("/crm/contacts"),
            "url" => Value::text("https://hooks.example.com/crm/contacts?a=1"),
            "contentType" => Value::text("application/json"),
            "rawBody" => Value::bytes(&self.raw_body),
            "headers" => Value::from_json(&self.headers),
            "query" => Value::from_json(&self.query),
            "form" => Value::Null,
            "body" => {
                let parsed = self
                    .parsed
                    .get_or_init(|| serde_json::from_slice(&self.raw_body).ok());
                let reason = "the body is not JSON";
                Value::from_json(
                    parsed
                        .as_ref()
                        .ok_or(EvaluationError::Unavailable { reason })?,
                )
            }
            _ => return Ok(None),
        }))
    }

    fn names(&self) -> Vec<&str> {
        vec![
            "method",
            "path",
            "url",
            "contentType",
            "rawBody",
            "headers",
            "query",
            "form",
            "body",
        ]
    }
}

fn body() -> Json {
    json!({
        "id": "c_1", "n": 5, "big": 18_446_744_073_709_551_615_u64, "d": 2.5, "t": true, "nil": null,
        "text": "Grüße", "list": [3, 1, 2], "words": ["b", "a", "c"], "empty": {}, "none": [],
        "people": [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 17}],
        "nested": {"a": {"b": {"c": "deep"}}}, "odd key": 1
    })
}

fn compile(source: &str) -> Result<Expression, CompileError> {
    Expression::compile(source, &Scope::events())
}

/// What a source evaluates to over [`body`], as JSON.
fn evaluate(source: &str) -> Result<Json, EvaluationError> {
    let expression = compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let request = Request::with_body(&body());
    let mut budget = Budget::for_body_limit(MAX_BODY);
    let value = expression.evaluate(&request, &mut budget)?;
    value.to_json(&mut Budget::new(1_000_000, 1 << 30))
}

/// Every case is a source and the JSON of its value.
fn check_values(cases: &[(&str, Json)]) {
    for (source, expected) in cases {
        assert_eq!(evaluate(source).as_ref(), Ok(expected), "{source}");
    }
}

/// Every case is a source that has to be true.
fn check_true(cases: &[&str]) {
    for source in cases {
        assert_eq!(evaluate(source), Ok(Json::Bool(true)), "{source}");
    }
}

/// Every case is a source and a part of the message it fails with.
fn check_errors(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        match evaluate(source) {
            Ok(value) => panic!("{source} is {value}"),
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains(expected), "{source}: {message}");
            }
        }
    }
}
