//! A dead letter that was refused at the door, judged again by the type as it is now: its schema
//! may have been mended, its customer declared. What depended on the request itself, which is
//! gone, cannot be judged again.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::attributes::EventView;
use super::{Interpreter, MAX_VIOLATIONS};
use crate::api::OnInvalid;
use crate::event::{self, DeadLetter, Event, ExtensionValue, ReasonCode};
use crate::expression::{Budget, EvaluationError, Value, Variables};
use crate::webhook::CustomerDirectory;

/// Why a dead letter is still no event. Holds no value of the payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StillRefused {
    /// It was refused for a reason that only the request could tell anew.
    #[error("it was refused because of {0}, which only the app can put right by sending it again")]
    NeedsRequest(ReasonCode),
    /// The type makes its events by a projection, and the letter has the bytes before it.
    #[error("the type projects its events (events.data), so only the app can send it again")]
    Projected,
    /// It still does not match the schema.
    #[error("it still does not match the schema: at \"{pointer}\": {message}")]
    Schema {
        /// Where in the data.
        pointer: String,
        /// What is wrong there.
        message: String,
    },
    /// A variant's `when` cannot be evaluated.
    #[error("variants[{index}].when: {error}")]
    Variant {
        /// Which variant, from 0.
        index: usize,
        /// Why.
        error: EvaluationError,
    },
    /// Its data are no JSON, which the schema is about.
    #[error("its data are not JSON")]
    NotJson,
    /// Its customer is still not declared.
    #[error("its customer is still not declared")]
    UnknownCustomer,
}

/// `event` alone: the request is gone.
struct EventOnly<'e>(&'e EventView<'e>);

impl Variables for EventOnly<'_> {
    fn variable(&self, name: &str) -> Result<Value<'_>, EvaluationError> {
        match name {
            "event" => Ok(Value::object(self.0)),
            _ => Err(EvaluationError::Unavailable {
                reason: "the variable has no value here",
            }),
        }
    }
}

impl Interpreter {
    /// The event that a letter is by now.
    pub fn reconsider(
        &self,
        letter: &DeadLetter,
        now: Timestamp,
        customers: &dyn CustomerDirectory,
        max_body_bytes: u32,
    ) -> Result<Event, StillRefused> {
        let mut unknown = false;
        for reason in &letter.verdict.reasons {
            match reason.code {
                ReasonCode::SchemaViolation => {}
                ReasonCode::UnknownCustomer => unknown = true,
                other => return Err(StillRefused::NeedsRequest(other)),
            }
        }
        if self.data.is_some() {
            return Err(StillRefused::Projected);
        }
        let mut event = letter.event.clone();
        if unknown {
            self.find_customer(&mut event, customers)?;
        }
        let mut budget = Budget::for_body_limit(u64::from(max_body_bytes));
        self.check_again(&event, &mut budget)?;
        event.attributes.deduplication =
            self.deduplication(&event.attributes, event.data.as_deref(), now);
        Ok(event)
    }

    /// The letter holds what the event named; now it may be somebody.
    fn find_customer(
        &self,
        event: &mut Event,
        customers: &dyn CustomerDirectory,
    ) -> Result<(), StillRefused> {
        let attributes = &mut event.attributes;
        let named = attributes
            .customer
            .as_ref()
            .ok_or(StillRefused::UnknownCustomer)?;
        let found = customers
            .find(
                &self.customer_namespaces,
                self.customer_field.as_deref(),
                &named.id,
            )
            .ok_or(StillRefused::UnknownCustomer)?;
        attributes.source = event::source(&self.name, Some(&found));
        attributes.subject = Some(found.id.clone());
        let id = ExtensionValue::Text(found.id.clone());
        attributes.extensions.insert("customerid".to_owned(), id);
        attributes.customer = Some(found);
        Ok(())
    }

    fn check_again(&self, event: &Event, budget: &mut Budget) -> Result<(), StillRefused> {
        let Some(data) = &event.data else {
            return Ok(());
        };
        let json: Option<Json> = serde_json::from_slice(data).ok();
        let value = json.as_ref().map_or(Value::Null, Value::from_json);
        let view = EventView::new(&event.attributes, value);
        let (mut schema, mut on_invalid) = (self.schema.as_ref(), self.on_invalid);
        for (index, variant) in self.variants.iter().enumerate() {
            match variant.when.evaluate_bool(&EventOnly(&view), budget) {
                Ok(false) => {}
                Ok(true) => {
                    (schema, on_invalid) = (variant.schema.as_ref(), variant.on_invalid);
                    break;
                }
                Err(error) => return Err(StillRefused::Variant { index, error }),
            }
        }
        let Some(schema) = schema else { return Ok(()) };
        let json = json.as_ref().ok_or(StillRefused::NotJson)?;
        if on_invalid == OnInvalid::Accept || schema.is_valid(json) {
            return Ok(());
        }
        let violation = schema.violations(json, MAX_VIOLATIONS).into_iter().next();
        let (pointer, message) = violation
            .map(|violation| (violation.pointer, violation.message))
            .unwrap_or_default();
        Err(StillRefused::Schema { pointer, message })
    }
}
