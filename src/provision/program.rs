//! One subscription, compiled: what it needs to make its requests and to read the answers to them.
//!
//! Compiled once for a type, or again from a record's copy of it. After that nothing can be wrong
//! with an expression any more, only with the values it meets. Pure: nothing is sent here, and what
//! an outcome leads to is `plan`'s.

mod build;
mod checks;
mod trial;

use std::sync::Arc;

use http::{HeaderName, Method};

use super::hosts::Hosts;
use super::mask::is_named_like_a_secret;
use super::{Inputs, RequestKind};
use crate::api::{FieldPath, ObjectReference, Problem, Subscription};
use crate::expression::{EvaluationError, Expression, References, Template, TreeTemplate};

pub use checks::has_own_uri;

/// A compiled subscription.
#[derive(Debug)]
pub struct Program {
    pub(super) credentials: Option<Credentials>,
    pub(super) prepare: Vec<Exchange>,
    pub(super) subscribe: Exchange,
    pub(super) follow_ups: Vec<Exchange>,
    pub(super) lookup: Option<Lookup>,
    /// `None` also where registrations are renewed by new ones.
    pub(super) renewal: Option<Exchange>,
    pub(super) unsubscribe: Vec<Exchange>,
    pub(super) gone: Vec<u16>,
    pub(super) hosts: Hosts,
}

/// A request with what its answer means.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The step's name; `None` for the Subscription Request and the renewal.
    pub name: Option<String>,
    /// Where it stands, below the subscription: `followUps[0]`.
    pub place: String,
    pub request: Request,
    pub reading: Arc<Reading>,
}

/// A compiled request.
#[derive(Debug)]
pub(super) struct Request {
    pub method: Method,
    pub url: Template,
    pub query: Vec<(String, Template)>,
    pub headers: Vec<(HeaderName, Template)>,
    pub body: Body,
    pub idempotent: bool,
}

/// A compiled body.
#[derive(Debug)]
pub(super) enum Body {
    None,
    Json(TreeTemplate),
    Form(Vec<(String, Template)>),
    Text(Template),
}

/// What is read from an answer.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub success: Option<Expression>,
    pub conflict: Option<Expression>,
    pub id: Option<Expression>,
    pub expires_at: Option<Expression>,
    pub values: Vec<(String, Expression)>,
    pub signing_secret: Option<Expression>,
}

/// The compiled `lookup`.
#[derive(Debug)]
pub(super) struct Lookup {
    pub request: Request,
    pub id: Expression,
    pub next: Option<Expression>,
}

/// The compiled `credentials`.
#[derive(Debug)]
pub(super) struct Credentials {
    pub request: Request,
    pub success: Option<Expression>,
    pub access_token: Expression,
    pub expires_in: Option<Expression>,
}

/// What a subscription is compiled against beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether it is a global webhook's `registration`.
    pub global: bool,
    /// Whether the type has a global webhook.
    pub has_global_webhook: bool,
}

impl Program {
    /// Compiles what a record or a wish says.
    ///
    /// # Errors
    /// All that is wrong with the subscription, each with its field and, inside a text, its place.
    pub fn compile(inputs: &Inputs) -> Result<Self, Vec<Problem>> {
        let event_type = &inputs.event_type;
        let object = ObjectReference::new("AppEventType", &event_type.namespace, &event_type.name);
        let surroundings = Surroundings {
            global: inputs.global,
            has_global_webhook: inputs.global_webhook_path.is_some(),
        };
        let (program, problems) = Self::check(object, &inputs.subscription, surroundings);
        program.ok_or(problems)
    }

    /// Compiles `spec.subscription` or `globalWebhook.registration` of a type, and says everything
    /// that is wrong or doubtful about it; there is no program if anything is wrong.
    #[must_use]
    pub fn check(
        object: ObjectReference,
        subscription: &Subscription,
        surroundings: Surroundings,
    ) -> (Option<Self>, Vec<Problem>) {
        let path = FieldPath::from(match surroundings.global {
            true => "spec.globalWebhook.registration",
            false => "spec.subscription",
        });
        build::build(object, &path, subscription, surroundings)
    }

    /// All requests about a registration in the order in which they may be sent, each with what a
    /// person calls it: `unsubscribe delete`.
    #[must_use]
    pub fn requests(&self) -> Vec<(String, RequestKind)> {
        let named = |list: &str, exchanges: &[Exchange], kind: fn(usize) -> RequestKind| {
            let names = exchanges.iter().map(|exchange| exchange.name.as_deref());
            names
                .enumerate()
                .map(|(index, name)| (format!("{list} {}", name.unwrap_or_default()), kind(index)))
                .collect::<Vec<_>>()
        };
        let mut requests = named("prepare", &self.prepare, RequestKind::Prepare);
        requests.push(("request".to_owned(), RequestKind::Subscribe));
        requests.extend(named("followUps", &self.follow_ups, RequestKind::FollowUp));
        if self.lookup.is_some() {
            requests.push(("lookup".to_owned(), RequestKind::Lookup(None)));
        }
        if self.renewal.is_some() {
            requests.push(("renewal".to_owned(), RequestKind::Renew));
        }
        requests.extend(named(
            "unsubscribe",
            &self.unsubscribe,
            RequestKind::Unsubscribe,
        ));
        requests
    }

    /// The request of a kind with what its answer means; `None` where the subscription has none.
    pub(super) fn exchange(&self, kind: &RequestKind) -> Option<&Exchange> {
        match kind {
            RequestKind::Prepare(index) => self.prepare.get(*index),
            RequestKind::Subscribe => Some(&self.subscribe),
            RequestKind::FollowUp(index) => self.follow_ups.get(*index),
            RequestKind::Lookup(_) => None,
            RequestKind::Renew => self.renewal.as_ref(),
            RequestKind::Unsubscribe(index) => self.unsubscribe.get(*index),
        }
    }

    /// Every exchange but the lookup and the credentials.
    pub(super) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        (self.prepare.iter())
            .chain([&self.subscribe])
            .chain(&self.follow_ups)
            .chain(&self.renewal)
            .chain(&self.unsubscribe)
    }

    /// What is sensitive for this customer and this app.
    pub(super) fn secret_paths(&self, inputs: &Inputs) -> SecretPaths {
        let mut paths = SecretPaths(vec![
            vec!["signingSecret".into()],
            vec!["credentials".into(), "accessToken".into()],
        ]);
        let customer = inputs.customer.as_ref().map(|customer| &customer.fields);
        for (owner, fields) in [("customer", customer), ("app", Some(&inputs.app))] {
            for name in fields
                .into_iter()
                .flat_map(|fields| fields.sensitive.keys())
            {
                paths
                    .0
                    .push(vec![owner.into(), "fields".into(), name.clone()]);
            }
        }
        // A value that a step made of something sensitive is sensitive as well, and so is what is
        // made of that value. There are finitely many, and each is added once.
        loop {
            let mut found = Vec::new();
            for exchange in self.exchanges() {
                for (name, expression) in &exchange.reading.values {
                    let path = match &exchange.name {
                        Some(step) => vec!["steps".into(), step.clone(), name.clone()],
                        None => vec!["subscription".into(), "values".into(), name.clone()],
                    };
                    let sensitive =
                        is_named_like_a_secret(name) || paths.touched_by(expression.references());
                    if sensitive && !paths.0.contains(&path) && !found.contains(&path) {
                        found.push(path);
                    }
                }
            }
            if found.is_empty() {
                return paths;
            }
            paths.0.extend(found);
        }
    }
}

/// Where sensitive values are, for one customer.
#[derive(Debug)]
pub(super) struct SecretPaths(Vec<Vec<String>>);

impl SecretPaths {
    /// Whether an expression with these references can read something sensitive.
    pub fn touched_by(&self, references: &References) -> bool {
        self.0.iter().any(|path| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            references.mentions(&path)
        })
    }
}

/// Why a request cannot be made. Holds nothing of the values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The subscription has no such request.
    #[error("the type declares no such request any more")]
    NoSuchRequest,
    /// A value is missing, or has no form that its place can hold.
    #[error("failed to make {field}: {error}")]
    Value {
        /// Where: `request.url`.
        field: String,
        /// What is wrong with it.
        error: EvaluationError,
    },
    /// A header's value cannot stand in a header.
    #[error("failed to make {field}: the value cannot stand in a header")]
    Header {
        /// Where: `request.headers.Authorization`.
        field: String,
    },
    /// The URL is none.
    #[error("the request's URL is not an http or https URL")]
    NotAUrl,
    /// The URL leads to another host than those that are allowed.
    #[error(
        "the request's URL leads to a host that neither hosts nor any URL names; add it to hosts"
    )]
    HostNotAllowed,
    /// A value leads to an `http` URL, where the subscription writes only `https` ones.
    #[error("the request's URL is a plain http one, though the subscription writes only https")]
    PlainHttp,
    /// The body is longer than any API takes.
    #[error("the request's body is longer than {} KiB", super::render::MAX_BODY_BYTES >> 10)]
    TooLong,
}
