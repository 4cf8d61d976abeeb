//! What the expressions of a subscription can name, and the values of those names.
//!
//! The same names have values for three purposes: to be sent, to be shown (the token in a webhook
//! URI is `***`), and to tell a changed request from the same one (whatever changes by itself has a
//! fixed value).

mod names;

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::known::Known;
use super::mask::MASK;
use super::{Fields, Inputs};
use crate::api::Subscription;
use crate::configuration::Sensitive;
use crate::expression::{Entries, EvaluationError, Key, Map, Text, Value, Variables};

pub(super) use names::{Names, Place};

/// What values are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be sent, and to judge answers.
    Sent,
    /// To be shown to people.
    Shown,
    /// To tell a changed request from the same one.
    Compared,
}

/// The values of one moment.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    /// What the requests are made from.
    pub inputs: &'a Inputs,
    /// What is known of the registration; `None` where there is none yet.
    pub known: Option<&'a Known<'a>>,
    /// The access token.
    pub access_token: Option<&'a Sensitive>,
    /// The time.
    pub now: Timestamp,
    /// The answer that is read.
    pub answer: Option<&'a Parsed>,
    /// What they are for.
    pub purpose: Purpose,
}

/// An answer as expressions see it.
pub(super) struct Parsed {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Json,
}

const UNKNOWN: fn(&'static str) -> EvaluationError =
    |reason| EvaluationError::Unavailable { reason };

impl Values<'_> {
    fn compared(&self) -> bool {
        self.purpose == Purpose::Compared
    }

    fn known(&self) -> Result<&Known<'_>, EvaluationError> {
        self.known
            .ok_or(UNKNOWN("nothing is known of the registration yet"))
    }

    fn fields<'f>(&self, fields: &'f Fields) -> Value<'f> {
        let plain = fields
            .plain
            .iter()
            .map(|(name, value)| (key(name), Value::from_json(value)));
        let sensitive = fields.sensitive.iter().map(|(name, value)| {
            let value = match self.compared() {
                true => Value::text(MASK),
                false => secret(value),
            };
            (key(name), value)
        });
        map(plain.chain(sensitive))
    }

    fn uri(&self, uri: String) -> Value<'static> {
        match self.purpose {
            Purpose::Sent => Value::from(uri),
            Purpose::Shown => Value::from(super::mask::without_token(&uri)),
            Purpose::Compared => Value::text("https://webhook.invalid/"),
        }
    }

    fn subscription(&self) -> Result<Value<'_>, EvaluationError> {
        if self.compared() {
            let values = self.inputs.subscription.response.values.keys();
            return Ok(map([
                (key("id"), Value::text(MASK)),
                (key("expiresAt"), Value::Timestamp(Timestamp::UNIX_EPOCH)),
                (
                    key("values"),
                    map(values.map(|name| (key(name), Value::text(MASK)))),
                ),
            ]));
        }
        let known = self.known()?;
        // What is not known is left out, so that naming it is an error and `has` is false.
        let id = known.id.map(|id| (key("id"), Value::text(id)));
        let expires_at = known.expires_at;
        let expires_at = expires_at.map(|at| (key("expiresAt"), Value::Timestamp(at)));
        let values = known.values.iter();
        let values = map(values.map(|(name, value)| (key(name), Value::from_json(value))));
        Ok(map(id
            .into_iter()
            .chain(expires_at)
            .chain([(key("values"), values)])))
    }

    fn steps(&self) -> Result<Value<'_>, EvaluationError> {
        if self.compared() {
            let Subscription {
                prepare,
                follow_ups,
                ..
            } = &*self.inputs.subscription;
            return Ok(map(prepare.iter().chain(follow_ups).map(|step| {
                let values = step.response.values.keys();
                let values = values.map(|name| (key(name), Value::text(MASK)));
                (key(&step.name), map(values))
            })));
        }
        let steps = self.known()?.steps.iter();
        Ok(map(steps.map(|(name, values)| {
            let values = values
                .iter()
                .map(|(name, value)| (key(name), Value::from_json(value)));
            (key(name), map(values))
        })))
    }
}

impl Variables for Values<'_> {
    fn variable(&self, name: &str) -> Result<Value<'_>, EvaluationError> {
        Ok(match name {
            "customer" => {
                let customer = self.inputs.customer.as_ref();
                let customer = customer.ok_or(UNKNOWN("there is no customer here"))?;
                map([
                    (key("id"), Value::text(&customer.id)),
                    (key("fields"), self.fields(&customer.fields)),
                ])
            }
            "app" => map([(key("fields"), self.fields(&self.inputs.app))]),
            "eventType" => Value::text(&self.inputs.type_),
            "now" if self.compared() => Value::Timestamp(Timestamp::UNIX_EPOCH),
            "now" => Value::Timestamp(whole_seconds(self.now)),
            "webhookUri" if self.compared() => self.uri(String::new()),
            "webhookUri" => match self.known()?.webhook_uri {
                Some(uri) => self.uri(uri.to_owned()),
                None => return Err(UNKNOWN("the registration has no webhook URI of its own")),
            },
            "globalWebhookUri" if self.compared() => self.uri(String::new()),
            "globalWebhookUri" => {
                let told = self.known.and_then(|known| known.global_webhook_uri);
                match (told, &self.inputs.global_webhook_path) {
                    (Some(uri), _) => self.uri(uri.to_owned()),
                    (None, Some(path)) => self.uri(format!("{}{path}", self.inputs.public_url)),
                    (None, None) => return Err(UNKNOWN("the type has no global webhook")),
                }
            }
            "signingSecret" if self.compared() => Value::text(MASK),
            "signingSecret" => {
                let field = signing_field(self.inputs);
                match field.or(self.known.and_then(|known| known.signing_secret)) {
                    Some(value) => secret(value),
                    None => match plain_signing_field(self.inputs) {
                        Some(text) => Value::text(text),
                        None => return Err(UNKNOWN("the signing secret is not known yet")),
                    },
                }
            }
            "credentials" => {
                let token = match (self.compared(), self.access_token) {
                    (true, _) => Value::text(MASK),
                    (false, Some(token)) => secret(token),
                    (false, None) => return Err(UNKNOWN("there is no access token")),
                };
                map([(key("accessToken"), token)])
            }
            "attempt" if self.compared() => map([
                (key("id"), Value::text(MASK)),
                (key("number"), Value::Int(0)),
            ]),
            "attempt" => {
                let known = self.known()?;
                map([
                    (key("id"), Value::text(known.attempt_id)),
                    (key("number"), Value::Int(i64::from(known.number))),
                ])
            }
            "subscription" => self.subscription()?,
            "steps" => self.steps()?,
            "response" => {
                let answer = self.answer.ok_or(UNKNOWN("there is no answer here"))?;
                let headers = answer.headers.iter();
                map([
                    (key("status"), Value::Int(i64::from(answer.status))),
                    (
                        key("headers"),
                        map(headers.map(|(name, value)| (key(name), Value::text(value)))),
                    ),
                    (key("body"), Value::from_json(&answer.body)),
                ])
            }
            _ => return Err(UNKNOWN("the variable has no value here")),
        })
    }
}

/// The value of `signingSecret: {customerField}` where it is sensitive.
pub(super) fn signing_field(inputs: &Inputs) -> Option<&Sensitive> {
    let declared = inputs.subscription.signing_secret.as_ref()?;
    let field = declared.customer_field.as_ref()?;
    inputs.customer.as_ref()?.fields.sensitive.get(field)
}

/// The same where it is written out.
fn plain_signing_field(inputs: &Inputs) -> Option<&str> {
    let declared = inputs.subscription.signing_secret.as_ref()?;
    let field = declared.customer_field.as_ref()?;
    inputs.customer.as_ref()?.fields.plain.get(field)?.as_str()
}

/// Requests say `now` in whole seconds, as most APIs do.
pub(super) fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// A secret as text where it is one, else as bytes.
fn secret(value: &Sensitive) -> Value<'_> {
    match std::str::from_utf8(value.expose()) {
        Ok(text) => Value::text(text),
        Err(_) => Value::bytes(value.expose()),
    }
}

fn key(name: &str) -> Key<'_> {
    Key::Text(Text::Borrowed(name))
}

/// The names are those of a map, so each is there once.
fn map<'a>(entries: impl IntoIterator<Item = (Key<'a>, Value<'a>)>) -> Value<'a> {
    Entries::new(entries.into_iter().collect()).map_or(Value::Null, |entries| {
        Value::Map(Map::Shared(Rc::new(entries)))
    })
}
