//! What the registration that a URI belongs to brings to the judgement of its requests:
//! `customer` and `subscription` in expressions.
//!
//! What is not there (a field that the customer lacks, an id that the app has not told yet) is our
//! fault and not the sender's. So it is remembered when something asks for it in vain, and whoever
//! then finds a request wanting can answer 503 instead of a refusal. Key values are not here but
//! in `authentication`.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::configuration::LiveRegistration;
use crate::expression::{EvaluationError, Object, Value};

/// A registration as expressions see it.
pub struct RegistrationView<'r> {
    live: &'r LiveRegistration,
    customer: Option<CustomerView<'r>>,
    subscription: SubscriptionView<'r>,
}

/// `customer`.
struct CustomerView<'r> {
    id: &'r str,
    fields: Values<'r>,
}

/// `subscription`.
struct SubscriptionView<'r> {
    id: Option<&'r str>,
    values: Values<'r>,
    missed: Cell<bool>,
}

/// Values by name that remember whether one was asked for that is not there.
struct Values<'r> {
    values: &'r BTreeMap<String, Json>,
    missed: Cell<bool>,
}

impl<'r> RegistrationView<'r> {
    /// Nothing was asked for yet.
    pub fn new(live: &'r LiveRegistration) -> Self {
        Self {
            live,
            customer: live.customer.as_ref().map(|customer| CustomerView {
                id: &customer.key.id,
                fields: Values::new(&customer.fields),
            }),
            subscription: SubscriptionView {
                id: live.id.as_deref(),
                values: Values::new(&live.values),
                missed: Cell::new(false),
            },
        }
    }

    /// The registration itself.
    pub fn live(&self) -> &'r LiveRegistration {
        self.live
    }

    /// `customer`; `None` for a global webhook's registration.
    pub fn customer(&self) -> Option<Value<'_>> {
        self.customer
            .as_ref()
            .map(|customer| Value::object(customer))
    }

    /// `subscription`.
    pub fn subscription(&self) -> Value<'_> {
        Value::object(&self.subscription)
    }

    /// Whether something was asked for, since [`RegistrationView::forget`], that is not there.
    pub fn lacks_something(&self) -> bool {
        let customer = self.customer.as_ref();
        customer.is_some_and(|customer| customer.fields.missed.get()) || self.lacks_of_app()
    }

    /// Whether that is something that the app has yet to tell: the registration is being made.
    pub fn is_too_new(&self) -> bool {
        self.live.id.is_none() && self.lacks_of_app()
    }

    /// Forgets what was asked for in vain.
    pub fn forget(&self) {
        if let Some(customer) = &self.customer {
            customer.fields.missed.set(false);
        }
        self.subscription.missed.set(false);
        self.subscription.values.missed.set(false);
    }

    fn lacks_of_app(&self) -> bool {
        self.subscription.missed.get() || self.subscription.values.missed.get()
    }
}

impl Object for CustomerView<'_> {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        Ok(match name {
            "id" => Some(Value::text(self.id)),
            "fields" => Some(Value::object(&self.fields)),
            _ => None,
        })
    }

    fn names(&self) -> Vec<&str> {
        vec!["id", "fields"]
    }
}

impl Object for SubscriptionView<'_> {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        Ok(match name {
            "id" => {
                self.missed.set(self.missed.get() || self.id.is_none());
                self.id.map(Value::text)
            }
            "values" => Some(Value::object(&self.values)),
            _ => None,
        })
    }

    fn names(&self) -> Vec<&str> {
        match self.id {
            Some(_) => vec!["id", "values"],
            None => vec!["values"],
        }
    }
}

impl<'r> Values<'r> {
    fn new(values: &'r BTreeMap<String, Json>) -> Self {
        Self {
            values,
            missed: Cell::new(false),
        }
    }
}

impl Object for Values<'_> {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        let value = self.values.get(name);
        self.missed.set(self.missed.get() || value.is_none());
        Ok(value.map(Value::from_json))
    }

    fn names(&self) -> Vec<&str> {
        self.values.keys().map(String::as_str).collect()
    }
}
