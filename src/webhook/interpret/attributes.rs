//! The attributes of an event (CloudEvents 1.0), and whose it is.

use std::collections::HashSet;

use aws_lc_rs::digest;
use http::HeaderMap;
use jiff::Timestamp;

use super::{Draft, Interpretation, Interpreter, failed};
use crate::api::DeduplicationKey;
use crate::event::{Attributes, CustomerKey, Deduplication, ExtensionValue, Reason, ReasonCode};
use crate::expression::{Budget, EvaluationError, Expression, Object, Value};
use crate::webhook::request::single_header;
use crate::webhook::variables::Names;

/// Longest id, type and customer id, in bytes. They travel in headers and stand in memory.
const MAX_NAME_BYTES: usize = 1_024;

/// Longest value of an extension, in bytes; it travels in a header.
const MAX_EXTENSION_BYTES: usize = 4_096;

/// Whose an event is.
pub(super) struct Owner {
    /// The customer; `None`: nobody's.
    pub key: Option<CustomerKey>,
    /// Whether somebody declared it.
    pub known: bool,
}

impl Owner {
    /// The customer of the URI, or nobody.
    pub(super) fn of_uri(context: &Interpretation<'_>) -> Self {
        Self {
            key: context.customer.cloned(),
            known: true,
        }
    }

    pub(super) fn nobody() -> Self {
        Self {
            key: None,
            known: true,
        }
    }
}

impl Interpreter {
    /// Whose events the item becomes: one for each customer, or nobody's where the type names none.
    pub(super) fn owners(
        &self,
        names: &Names<'_, '_>,
        draft: &mut Draft,
        context: &mut Interpretation<'_>,
    ) -> Vec<Owner> {
        let customer = match &self.customer {
            // A customer's own URI says whose its events are.
            Some(customer) if context.customer.is_none() => customer,
            _ => return vec![Owner::of_uri(context)],
        };
        let found = context
            .pool
            .evaluate(|budget| customer_texts(customer.evaluate(names, budget)?, budget));
        let texts = match found {
            Ok(texts) if !texts.is_empty() => texts,
            Ok(_) => {
                draft.reasons.push(Reason {
                    code: ReasonCode::MissingCustomer,
                    message: "globalWebhook.customer gives no customer".to_owned(),
                    pointer: None,
                });
                return vec![Owner::nobody()];
            }
            Err(error) => {
                draft.reasons.push(failed("globalWebhook.customer", &error));
                return vec![Owner::nobody()];
            }
        };
        let field = self.customer_field.as_deref();
        let owner =
            |text: String| match context
                .customers
                .find(&self.customer_namespaces, field, &text)
            {
                Some(key) => Owner {
                    key: Some(key),
                    known: true,
                },
                None => {
                    let namespace = self.name.namespace.clone();
                    Owner {
                        key: Some(CustomerKey {
                            namespace,
                            id: text,
                        }),
                        known: false,
                    }
                }
            };
        texts.into_iter().map(owner).collect()
    }

    /// Type, id, time, `require` and extensions.
    pub(super) fn fill(
        &self,
        names: &Names<'_, '_>,
        draft: &mut Draft,
        context: &mut Interpretation<'_>,
    ) {
        let Draft {
            id,
            event_type,
            time,
            extensions,
            reasons,
        } = draft;
        let mut evaluate =
            |field: &str,
             expression: &Expression,
             take: &mut dyn FnMut(Value<'_>) -> Result<(), EvaluationError>| {
                let taken = context
                    .pool
                    .evaluate(|budget| take(expression.evaluate(names, budget)?));
                if let Err(error) = taken {
                    reasons.push(failed(field, &error));
                }
            };
        if let Some(expression) = &self.type_ {
            evaluate("events.type", expression, &mut |value| {
                *event_type = name(&value, "the type is not a text that CloudEvents allows")?;
                Ok(())
            });
        }
        if let Some(expression) = &self.id {
            evaluate("events.id", expression, &mut |value| {
                let reason = "the id is neither a whole number nor a text that CloudEvents allows";
                *id = Some(match value {
                    Value::Int(number) => number.to_string(),
                    Value::Uint(number) => number.to_string(),
                    value => name(&value, reason)?,
                });
                Ok(())
            });
        }
        if let Some(expression) = &self.time {
            evaluate("events.time", expression, &mut |value| {
                let reason = "the time is neither a timestamp nor RFC 3339 text";
                *time = value
                    .as_timestamp()
                    .or_else(|| value.as_str()?.parse().ok())
                    .filter(is_in_rfc_3339)
                    .ok_or(EvaluationError::InvalidArgument { reason })?;
                Ok(())
            });
        }
        for (name, expression) in &self.extensions {
            evaluate(
                &format!("events.extensions.{name}"),
                expression,
                &mut |value| {
                    match extension(&value)? {
                        Some(value) => extensions.insert(name.clone(), value),
                        None => extensions.remove(name),
                    };
                    Ok(())
                },
            );
        }
        if let Some(expression) = &self.require {
            match context
                .pool
                .evaluate(|budget| expression.evaluate_bool(names, budget))
            {
                Ok(true) => {}
                Ok(false) => reasons.push(Reason {
                    code: ReasonCode::RequirementFailed,
                    message: "events.require is false".to_owned(),
                    pointer: None,
                }),
                Err(error) => reasons.push(failed("events.require", &error)),
            }
        }
    }

    /// How a redelivery of a valid event is recognised; `None`: not at all.
    pub(super) fn deduplication(
        &self,
        attributes: &Attributes,
        data: Option<&[u8]>,
        now: Timestamp,
    ) -> Option<Deduplication> {
        let (label, last): (&[u8], &[u8]) = match self.deduplicate_by {
            DeduplicationKey::Id if self.id.is_none() => return None,
            DeduplicationKey::Id => (b"id", attributes.id.as_bytes()),
            DeduplicationKey::Content if data.is_none() => (b"none", b""),
            DeduplicationKey::Content => (b"content", data.unwrap_or_default()),
        };
        let customer = attributes.customer.as_ref();
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [
            self.name.namespace.as_bytes(),
            self.name.name.as_bytes(),
            customer.map_or(&b""[..], |customer| customer.namespace.as_bytes()),
            customer.map_or(&b""[..], |customer| customer.id.as_bytes()),
            label,
            last,
        ] {
            // With their lengths, so that no two lists of parts run together to the same bytes.
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&context.finish().as_ref()[..16]);
        Some(Deduplication {
            key: u128::from_le_bytes(key),
            until: now.as_second().saturating_add(self.deduplication_window),
        })
    }
}

fn customer_texts(value: Value<'_>, budget: &mut Budget) -> Result<Vec<String>, EvaluationError> {
    const REASON: &str = "a customer is neither a text that CloudEvents allows nor a list of such";
    const WRONG: EvaluationError = EvaluationError::InvalidArgument { reason: REASON };
    let is_nothing =
        |value: &Value<'_>| value.is_null() || value.as_str().is_some_and(str::is_empty);
    match value {
        value if is_nothing(&value) => Ok(Vec::new()),
        Value::List(list) => {
            budget.steps(list.len())?;
            let mut seen = HashSet::new();
            let mut texts = Vec::new();
            for element in list.iter().filter(|element| !is_nothing(element)) {
                let text = name(&element, REASON).map_err(|_| WRONG)?;
                budget.bytes(text.len())?;
                if seen.insert(text.clone()) {
                    texts.push(text);
                }
            }
            Ok(texts)
        }
        value => Ok(vec![name(&value, REASON)?]),
    }
}

/// A value as an id, a type or a customer's id.
fn name(value: &Value<'_>, reason: &'static str) -> Result<String, EvaluationError> {
    value
        .as_str()
        .filter(|text| !text.is_empty() && text.len() <= MAX_NAME_BYTES && is_attribute_text(text))
        .map(str::to_owned)
        .ok_or(EvaluationError::InvalidArgument { reason })
}

fn extension(value: &Value<'_>) -> Result<Option<ExtensionValue>, EvaluationError> {
    let reason = match value {
        Value::Null => return Ok(None),
        Value::Bool(value) => return Ok(Some(ExtensionValue::Boolean(*value))),
        Value::Int(_) | Value::Uint(_) => {
            match value.as_i64().and_then(|number| i32::try_from(number).ok()) {
                Some(number) => return Ok(Some(ExtensionValue::Integer(number))),
                None => "the number has more than 32 bits; write string(…) around it",
            }
        }
        Value::Text(text) if text.len() > MAX_EXTENSION_BYTES => {
            "the text is longer than 4,096 bytes"
        }
        Value::Text(text) if is_attribute_text(text) => {
            return Ok(Some(ExtensionValue::Text(text.to_string())));
        }
        Value::Text(_) => "the text holds characters that CloudEvents does not allow",
        _ => "an extension is a text, a whole number or a truth value",
    };
    Err(EvaluationError::InvalidArgument { reason })
}

/// CloudEvents 1.0 §3.1, String: no control characters, no code points that are no characters.
pub(super) fn is_attribute_text(text: &str) -> bool {
    text.chars().all(|c| {
        let code = u32::from(c);
        !c.is_control() && code & 0xfffe != 0xfffe && !(0xfdd0..=0xfdef).contains(&code)
    })
}

/// RFC 3339 has years of four digits.
fn is_in_rfc_3339(time: &Timestamp) -> bool {
    (-62_167_219_200..253_402_300_800).contains(&time.as_second())
}

/// The `traceparent` header, if it is one (W3C Trace Context §3.2.2, version 00).
pub fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = single_header(headers, "traceparent")?;
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        parts.next().filter(|part| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        })
    };
    let (version, trace, span, _flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let valid = parts.next().is_none() && version == "00" && !is_zero(trace) && !is_zero(span);
    valid.then(|| text.to_owned())
}

/// An event as filters and variants see it: `event`.
pub struct EventView<'e> {
    attributes: &'e Attributes,
    extensions: Extensions<'e>,
    data: Value<'e>,
}

struct Extensions<'e>(&'e std::collections::BTreeMap<String, ExtensionValue>);

impl<'e> EventView<'e> {
    /// The event with these attributes, whose data have this value: null for bytes and for none.
    pub fn new(attributes: &'e Attributes, data: Value<'e>) -> Self {
        Self {
            attributes,
            extensions: Extensions(&attributes.extensions),
            data,
        }
    }
}

impl Object for EventView<'_> {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        let attributes = self.attributes;
        let optional =
            |text: Option<&'_ str>| text.map_or(Value::Null, |text| Value::from(text.to_owned()));
        Ok(Some(match name {
            "id" => Value::text(&attributes.id),
            "source" => Value::text(&attributes.source),
            "type" => Value::text(&attributes.event_type),
            "subject" => optional(attributes.subject.as_deref()),
            "time" => Value::from(attributes.time),
            "customer" => optional(
                attributes
                    .customer
                    .as_ref()
                    .map(|customer| customer.id.as_str()),
            ),
            "data" => self.data.clone(),
            "extensions" => Value::object(&self.extensions),
            _ => return Ok(None),
        }))
    }

    fn names(&self) -> Vec<&str> {
        vec![
            "id",
            "source",
            "type",
            "subject",
            "time",
            "customer",
            "data",
            "extensions",
        ]
    }
}

impl Object for Extensions<'_> {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        Ok(self.0.get(name).map(|value| match value {
            ExtensionValue::Boolean(value) => Value::Bool(*value),
            ExtensionValue::Integer(value) => Value::Int(i64::from(*value)),
            ExtensionValue::Text(text) => Value::text(text),
        }))
    }

    fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}
