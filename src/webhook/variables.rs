//! The variables of a webhook's expressions, each made when it is asked for.

use serde_json::Value as Json;

use super::registration::RegistrationView;
use super::request::View;
use super::split::Item;
use crate::expression::{EvaluationError, Object, Value, Variables};

/// What the expressions of one place can name. Which of it a place has, its scope decides when the
/// expression is compiled.
#[derive(Clone, Copy)]
pub struct Names<'a, 'r> {
    request: &'a dyn Object,
    view: &'a View<'r>,
    item: Option<&'a Item>,
    auth: Option<&'a Auth>,
    event: Option<&'a dyn Object>,
    key: Option<&'a [u8]>,
}

impl<'a, 'r> Names<'a, 'r> {
    /// `request` alone, as far as `request` shows it.
    pub fn new(view: &'a View<'r>, request: &'a dyn Object) -> Self {
        Self {
            request,
            view,
            item: None,
            auth: None,
            event: None,
            key: None,
        }
    }

    /// The request that all of it is about.
    pub fn view(&self) -> &'a View<'r> {
        self.view
    }

    /// `item` and `parent` as well.
    pub fn with_item(self, item: &'a Item) -> Self {
        Self {
            item: Some(item),
            ..self
        }
    }

    /// `auth` as well.
    pub fn with_auth(self, auth: &'a Auth) -> Self {
        Self {
            auth: Some(auth),
            ..self
        }
    }

    /// `event` as well.
    pub fn with_event(self, event: &'a dyn Object) -> Self {
        Self {
            event: Some(event),
            ..self
        }
    }

    /// `key` as well: a digest's.
    pub fn with_key(self, key: &'a [u8]) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }
}

impl Variables for Names<'_, '_> {
    fn variable(&self, name: &str) -> Result<Value<'_>, EvaluationError> {
        const ABSENT: EvaluationError = EvaluationError::Unavailable {
            reason: "the variable has no value here",
        };
        const NO_CUSTOMER: EvaluationError = EvaluationError::Unavailable {
            reason: "`customer` has no value: the URI belongs to no customer's registration",
        };
        const NO_REGISTRATION: EvaluationError = EvaluationError::Unavailable {
            reason: "`subscription` has no value: the URI belongs to no registration",
        };
        match name {
            "request" => Ok(Value::object(self.request)),
            "item" => self.item.ok_or(ABSENT)?.expression_value(self.view),
            "parent" => match self.item.ok_or(ABSENT)?.parent.as_deref() {
                Some(parent) => parent.expression_value(self.view),
                None => Ok(Value::Null),
            },
            "auth" => Ok(Value::object(self.auth.ok_or(ABSENT)?)),
            "event" => Ok(Value::object(self.event.ok_or(ABSENT)?)),
            "customer" => self
                .view
                .registration()
                .and_then(RegistrationView::customer)
                .ok_or(NO_CUSTOMER),
            "subscription" => self
                .view
                .registration()
                .map(RegistrationView::subscription)
                .ok_or(NO_REGISTRATION),
            "key" => Ok(Value::bytes(self.key.ok_or(ABSENT)?)),
            _ => Err(ABSENT),
        }
    }
}

/// What authentication found out: `auth`.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The methods of the entry that passed, joined by `+`.
    pub method: String,
    /// The token's claims; an empty object without a token.
    pub claims: Json,
}

impl Auth {
    /// Nothing was found out, because there was nothing to authenticate.
    pub fn nothing() -> Self {
        Self {
            method: String::new(),
            claims: Json::Object(serde_json::Map::new()),
        }
    }
}

impl Object for Auth {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        Ok(match name {
            "method" => Some(Value::text(&self.method)),
            "claims" => Some(Value::from_json(&self.claims)),
            _ => None,
        })
    }

    fn names(&self) -> Vec<&str> {
        vec!["method", "claims"]
    }
}
