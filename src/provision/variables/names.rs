//! Which names each place of a subscription has: known from the subscription alone, so that a request
//! that names what does not exist yet when it is sent is an error before anything is sent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::api::{Step, Subscription};
use crate::expression::{Member, Scope, Shape};

/// A place of a subscription whose expressions have their own set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provision) enum Place {
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
pub(in crate::provision) struct Names<'a> {
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
    name: impl Into<Cow<'static, str>>,
    members: impl IntoIterator<Item = Member>,
) -> Member {
    Member::new(name, Shape::Fields(members.into_iter().collect()))
}
