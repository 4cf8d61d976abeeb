//! What the expressions of a subscription can name, and the values of those names.
//!
//! Which names a place has is known from the subscription alone, so a request that names what does
//! not exist yet when it is sent is an error before anything is sent. The same names have values
//! for three purposes: to be sent, to be shown (the token in a webhook URI is `***`), and to tell a
//! changed request from the same one (whatever changes by itself has a fixed value).

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::known::Known;
use super::mask::MASK;
use super::{Fields, Inputs};
use crate::api::{Step, Subscription};
use crate::configuration::Sensitive;
use crate::expression::{
    Entries, EvaluationError, Key, Map, Member, Scope, Shape, Text, Value, Variables,
};

/// A place of a subscription whose expressions have their own set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `credentials`.
    Credentials,
    /// `prepare`, by position.
    Prepare(usize),
    /// `request` and its `response`.
    Request,
    /// `followUps`, by position.
    FollowUp(usize),
    /// `lookup`.
    Lookup,
    /// `renewal`.
    Renewal,
    /// `unsubscribe.steps`, by position.
    Unsubscribe(usize),
}

/// What decides on the names beside the place.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    /// The subscription.
    pub subscription: &'a Subscription,
    /// Whether it is a global webhook's registration.
    pub global: bool,
    /// Whether the type has a global webhook.
    pub has_global_webhook: bool,
    /// Whether a registration has a URI of its own.
    pub own_uri: bool,
}

impl Names<'_> {
    /// The names of requests sent from `place`.
    pub fn scope(&self, place: Place) -> Scope {
        let fields = Shape::Any;
        let app = Member::new("app", Shape::Fields(vec![Member::new("fields", fields)]));
        let mut scope = Scope::empty()
            .with(app)
            .with(scalar("eventType"))
            .with(scalar("now"))
            .with(self.customer())
            .with(self.webhook_uri(place))
            .with(self.global_webhook_uri(place))
            .with(self.signing_secret(place))
            .with(self.credentials(place))
            .with(self.registration(place))
            .with(self.steps(place))
            .without(
                "response",
                "`response` exists only where an answer is read: in response, lookup.id, \
                 lookup.next, credentials and signingSecret.fromResponse",
            )
            .allowing_sensitive();
        scope = scope.with(match place {
            Place::Credentials => Member::unavailable(
                "attempt",
                "`attempt` does not exist in credentials: a token serves many registrations",
            ),
            _ => fields_of("attempt", [scalar("id"), scalar("number")]),
        });
        scope
    }

    /// The names of expressions that read the answer to a request sent from `place`.
    pub fn answer_scope(&self, place: Place) -> Scope {
        self.scope(place).with(fields_of(
            "response",
            [
                scalar("status"),
                Member::new("headers", Shape::LowerCaseKeys),
                Member::new("body", Shape::Any),
            ],
        ))
    }

    fn customer(&self) -> Member {
        if self.global {
            return Member::unavailable(
                "customer",
                "`customer` does not exist in a global webhook's registration: it is one for all \
                 customers",
            );
        }
        fields_of(
            "customer",
            [scalar("id"), Member::new("fields", Shape::Any)],
        )
    }

    fn webhook_uri(&self, place: Place) -> Member {
        match place {
            Place::Credentials => Member::unavailable(
                "webhookUri",
                "`webhookUri` does not exist in credentials: a token serves many registrations",
            ),
            _ if !self.own_uri => Member::unavailable(
                "webhookUri",
                "registrations have no `webhookUri` of their own here, because the request names \
                 globalWebhookUri and not webhookUri",
            ),
            _ => scalar("webhookUri"),
        }
    }

    fn global_webhook_uri(&self, place: Place) -> Member {
        match place {
            Place::Credentials => Member::unavailable(
                "globalWebhookUri",
                "`globalWebhookUri` does not exist in credentials",
            ),
            _ if !self.has_global_webhook => Member::unavailable(
                "globalWebhookUri",
                "`globalWebhookUri` needs spec.globalWebhook",
            ),
            _ => scalar("globalWebhookUri"),
        }
    }

    fn signing_secret(&self, place: Place) -> Member {
        let name = "signingSecret";
        let no = |reason: &'static str| Member::unavailable(name, reason);
        let Subscription {
            signing_secret,
            prepare,
            follow_ups,
            ..
        } = self.subscription;
        let gives = |step: &Step| step.response.signing_secret.is_some();
        let prepared = prepare.iter().position(gives);
        let followed = follow_ups.iter().position(gives);
        let declared = signing_secret.as_ref();
        if declared.is_none() && prepared.is_none() && followed.is_none() {
            return no(
                "`signingSecret` is not declared: write signingSecret: {generate: {}} to have one \
                 made for each registration",
            );
        }
        let early = declared
            .is_some_and(|secret| secret.generate.is_some() || secret.customer_field.is_some());
        let known = match place {
            Place::Credentials => {
                return no("`signingSecret` does not exist in credentials");
            }
            _ if early => true,
            Place::Prepare(index) => prepared.is_some_and(|step| step < index),
            Place::Request | Place::Lookup => prepared.is_some(),
            Place::FollowUp(index) => {
                declared.is_some() || prepared.is_some() || followed.is_some_and(|s| s < index)
            }
            Place::Renewal | Place::Unsubscribe(_) => true,
        };
        if known {
            return scalar(name);
        }
        no("`signingSecret` is not known yet when this request is sent: the app says it later")
    }

    fn credentials(&self, place: Place) -> Member {
        match (place, &self.subscription.credentials) {
            (Place::Credentials, _) => Member::unavailable(
                "credentials",
                "`credentials` does not exist in the request that obtains them",
            ),
            (_, Some(_)) => fields_of("credentials", [scalar("accessToken")]),
            (_, None) => Member::unavailable(
                "credentials",
                "`credentials` is not declared: write credentials with the request that obtains \
                 the token",
            ),
        }
    }

    fn registration(&self, place: Place) -> Member {
        let Subscription {
            response,
            lookup,
            renewal,
            ..
        } = self.subscription;
        match place {
            Place::FollowUp(_) | Place::Renewal | Place::Unsubscribe(_) => {}
            _ => {
                return Member::unavailable(
                    "subscription",
                    "`subscription` exists only after the request: in followUps, renewal and \
                     unsubscribe",
                );
            }
        }
        let id = match response.id.is_some() || lookup.is_some() {
            true => scalar("id"),
            false => Member::unavailable(
                "id",
                "`subscription.id` needs response.id, which reads it from the app's answer",
            ),
        };
        let renewed = renewal
            .as_ref()
            .and_then(|renewal| renewal.response.as_ref());
        let renewed = renewed.map(|response| response.values.keys());
        let values: BTreeMap<&String, Member> = (response.values.keys())
            .chain(renewed.into_iter().flatten())
            .map(|name| (name, Member::new(name.clone(), Shape::Any)))
            .collect();
        let values = fields_of("values", values.into_values());
        fields_of("subscription", [id, scalar("expiresAt"), values])
    }

    fn steps(&self, place: Place) -> Member {
        let Subscription {
            prepare,
            follow_ups,
            unsubscribe,
            ..
        } = self.subscription;
        let removal = unsubscribe
            .as_ref()
            .map(|unsubscribe| unsubscribe.steps.as_slice())
            .unwrap_or_default();
        let (prepared, followed, removed) = match place {
            Place::Credentials => (0, 0, 0),
            Place::Prepare(index) => (index, 0, 0),
            Place::Request | Place::Lookup => (prepare.len(), 0, 0),
            Place::FollowUp(index) => (prepare.len(), index, 0),
            Place::Renewal => (prepare.len(), follow_ups.len(), 0),
            Place::Unsubscribe(index) => (prepare.len(), follow_ups.len(), index),
        };
        let lists = [
            (prepare.as_slice(), prepared),
            (follow_ups.as_slice(), followed),
            (removal, removed),
        ];
        let members: Vec<Member> = lists
            .iter()
            .flat_map(|(steps, done)| steps.iter().enumerate().map(move |step| (step, *done)))
            .map(|((index, step), done)| match index < done {
                true => {
                    let values = step.response.values.keys();
                    let values = values.map(|name| Member::new(name.clone(), Shape::Any));
                    fields_of(step.name.clone(), values)
                }
                false => Member::unavailable(
                    step.name.clone(),
                    format!("step {} runs only after this request", step.name),
                ),
            })
            .collect();
        if members.is_empty() {
            return Member::unavailable(
                "steps",
                "`steps` needs steps: declare them in prepare or followUps",
            );
        }
        fields_of("steps", members)
    }
}

fn scalar(name: &'static str) -> Member {
    Member::new(name, Shape::Scalar)
}

fn fields_of(
    name: impl Into<std::borrow::Cow<'static, str>>,
    members: impl IntoIterator<Item = Member>,
) -> Member {
    Member::new(name, Shape::Fields(members.into_iter().collect()))
}

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
            } = &self.inputs.subscription;
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
