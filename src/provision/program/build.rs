//! Compiles a subscription part by part, and goes on after a mistake to find the others.

mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::checks;
use super::{Credentials, Exchange, Lookup, Program, Reading, Surroundings};
use crate::api::{
    self, FieldPath, ObjectReference, Problem, RenewalMode, ResponseRules, Step, StepResponse,
    Subscription,
};
use crate::expression::{Expression, Scope};
use crate::provision::hosts::Hosts;
use crate::provision::variables::{Names, Place};
use crate::webhook::compiler::Compiler;

/// The program, and everything that is to be said about the subscription.
pub(super) fn build(
    object: ObjectReference,
    path: &FieldPath,
    subscription: &Subscription,
    surroundings: Surroundings,
) -> (Option<Program>, Vec<Problem>) {
    let mut builder = Builder {
        compiler: Compiler::of_requests(object),
        path,
        subscription,
        names: Names {
            subscription,
            global: surroundings.global,
            has_global_webhook: surroundings.has_global_webhook,
            own_uri: checks::has_own_uri(subscription),
        },
        hosts: Hosts::default(),
        open_hosts: Vec::new(),
        reported_defaults: BTreeSet::new(),
    };
    let program = builder.program();
    let Builder { mut compiler, .. } = builder;
    checks::check(
        &mut compiler,
        path,
        subscription,
        surroundings,
        program.as_ref(),
    );
    let (problems, _) = compiler.into_found();
    let wrong = problems.iter().any(Problem::is_error);
    (program.filter(|_| !wrong), problems)
}

struct Builder<'a> {
    compiler: Compiler,
    path: &'a FieldPath,
    subscription: &'a Subscription,
    names: Names<'a>,
    hosts: Hosts,
    /// URLs whose host a value decides on, with whether the whole URL is one.
    open_hosts: Vec<(FieldPath, bool)>,
    /// Default headers that something was said about already: once is enough.
    reported_defaults: BTreeSet<String>,
}

/// What is absent is fine; what is there has to compile.
enum Part<T> {
    Absent,
    Compiled(T),
    Wrong,
}

impl<T> Part<T> {
    fn of<S>(spec: Option<S>, compile: impl FnOnce(S) -> Option<T>) -> Self {
        match spec.map(compile) {
            None => Self::Absent,
            Some(Some(compiled)) => Self::Compiled(compiled),
            Some(None) => Self::Wrong,
        }
    }

    fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong)
    }

    fn into_option(self) -> Option<T> {
        match self {
            Self::Compiled(compiled) => Some(compiled),
            Self::Absent | Self::Wrong => None,
        }
    }
}

impl Builder<'_> {
    fn program(&mut self) -> Option<Program> {
        let Subscription {
            change: _,
            limits: _,
            hosts,
            signing_secret,
            credentials,
            defaults: _,
            prepare,
            request,
            response,
            follow_ups,
            lookup,
            renewal,
            unsubscribe,
            rollout: _,
            quiet_period: _,
        } = self.subscription;
        for (index, host) in hosts.iter().enumerate() {
            let path = self.path.field("hosts").index(index);
            self.compiler.literal(&path, host);
            if let Err(message) = self.hosts.list(host) {
                self.compiler.error(&path, message);
            }
        }
        let credentials = Part::of(credentials.as_ref(), |spec| self.credentials(spec));
        let prepare = self.steps("prepare", prepare, Place::Prepare);
        let from_response = signing_secret
            .as_ref()
            .and_then(|secret| secret.from_response.as_ref());
        let request = self.request("request", request, Place::Request);
        let reading = self.response(response, from_response);
        let follow_ups = self.steps("followUps", follow_ups, Place::FollowUp);
        let lookup = Part::of(lookup.as_ref(), |spec| self.lookup(spec));
        let updating = renewal
            .as_ref()
            .filter(|renewal| renewal.mode() == RenewalMode::Update);
        let renewal = Part::of(updating, |renewal| self.renewal(renewal, &reading));
        let gone = unsubscribe.as_ref().map(|spec| spec.gone().to_vec());
        let unsubscribe = Part::of(unsubscribe.as_ref(), |spec| {
            self.steps("unsubscribe.steps", &spec.steps, Place::Unsubscribe)
        });
        self.judge_open_hosts();
        if credentials.is_wrong()
            || lookup.is_wrong()
            || renewal.is_wrong()
            || unsubscribe.is_wrong()
        {
            return None;
        }
        Some(Program {
            credentials: credentials.into_option(),
            prepare: prepare?,
            subscribe: Exchange {
                name: None,
                place: "request".to_owned(),
                request: request?,
                reading,
            },
            follow_ups: follow_ups?,
            lookup: lookup.into_option(),
            renewal: renewal.into_option(),
            unsubscribe: unsubscribe.into_option().unwrap_or_default(),
            gone: gone.unwrap_or_default(),
            hosts: std::mem::take(&mut self.hosts),
        })
    }

    fn credentials(&mut self, spec: &api::Credentials) -> Option<Credentials> {
        let api::Credentials {
            request,
            success,
            access_token,
            expires_in,
        } = spec;
        let request = self.request("credentials.request", request, Place::Credentials);
        let path = self.path.field("credentials");
        let scope = self.names.answer_scope(Place::Credentials);
        let compiler = &mut self.compiler;
        let success = compiler.optional(&path.field("success"), success.as_ref(), &scope);
        let token = compiler.expression(&path.field("accessToken"), access_token, &scope);
        let expires_in = compiler.optional(&path.field("expiresIn"), expires_in.as_ref(), &scope);
        Some(Credentials {
            request: request?,
            success,
            access_token: token?,
            expires_in,
        })
    }

    fn steps(
        &mut self,
        field: &str,
        steps: &[Step],
        place: fn(usize) -> Place,
    ) -> Option<Vec<Exchange>> {
        let compiled: Vec<Option<Exchange>> = steps
            .iter()
            .enumerate()
            .map(|(index, step)| self.step(&format!("{field}[{index}]"), step, place(index)))
            .collect();
        compiled.into_iter().collect()
    }

    fn step(&mut self, field: &str, step: &Step, place: Place) -> Option<Exchange> {
        let Step {
            name,
            request,
            response,
        } = step;
        let path = self.below(field);
        self.compiler.literal(&path.field("name"), name);
        let request = self.request(&format!("{field}.request"), request, place);
        let path = path.field("response");
        let scope = self.names.answer_scope(place);
        let StepResponse {
            success,
            values,
            signing_secret,
        } = response;
        let success = self
            .compiler
            .optional(&path.field("success"), success.as_ref(), &scope);
        let values = self.values(&path, values, &scope);
        let path = path.field("signingSecret");
        if signing_secret.is_some() && matches!(place, Place::Unsubscribe(_)) {
            let message = "a signing secret is of no use once the registration is removed";
            self.compiler.error(&path, message);
        }
        let signing_secret = self
            .compiler
            .optional(&path, signing_secret.as_ref(), &scope);
        Some(Exchange {
            name: Some(name.clone()),
            place: field.to_owned(),
            request: request?,
            reading: Arc::new(Reading {
                success,
                values,
                signing_secret,
                ..Reading::default()
            }),
        })
    }

    fn response(
        &mut self,
        spec: &ResponseRules,
        from_response: Option<&api::Expression>,
    ) -> Arc<Reading> {
        let ResponseRules {
            success,
            conflict,
            id,
            expires_at,
            values,
        } = spec;
        let path = self.path.field("response");
        let scope = self.names.answer_scope(Place::Request);
        let mut optional = |name: &str, source: &Option<api::Expression>| {
            self.compiler
                .optional(&path.field(name), source.as_ref(), &scope)
        };
        let success = optional("success", success);
        let conflict = optional("conflict", conflict);
        let id = optional("id", id);
        let expires_at = optional("expiresAt", expires_at);
        let values = self.values(&path, values, &scope);
        let path = self.path.field("signingSecret").field("fromResponse");
        let signing_secret = self.compiler.optional(&path, from_response, &scope);
        Arc::new(Reading {
            success,
            conflict,
            id,
            expires_at,
            values,
            signing_secret,
        })
    }

    fn lookup(&mut self, spec: &api::Lookup) -> Option<Lookup> {
        let api::Lookup {
            request,
            id,
            next,
            settle: _,
            on_found: _,
            every: _,
        } = spec;
        let request = self.request("lookup.request", request, Place::Lookup);
        let path = self.path.field("lookup");
        let scope = self.names.answer_scope(Place::Lookup);
        let id = self.compiler.expression(&path.field("id"), id, &scope);
        let path = path.field("next");
        let next = self.compiler.optional(&path, next.as_ref(), &scope);
        if next.is_some() {
            self.open_hosts.push((path, true));
        }
        Some(Lookup {
            request: request?,
            id: id?,
            next,
        })
    }

    fn renewal(&mut self, spec: &api::Renewal, response: &Arc<Reading>) -> Option<Exchange> {
        let path = self.path.field("renewal");
        let Some(request) = &spec.request else {
            let message = "mode Update, the default, needs request; Recreate has none";
            self.compiler.error(&path, message);
            return None;
        };
        let request = self.request("renewal.request", request, Place::Renewal);
        let reading = match &spec.response {
            None => response.clone(),
            Some(rules) => {
                let api::RenewalResponse {
                    success,
                    expires_at,
                    values,
                } = rules;
                let path = path.field("response");
                let scope = self.names.answer_scope(Place::Renewal);
                let compiler = &mut self.compiler;
                let success = compiler.optional(&path.field("success"), success.as_ref(), &scope);
                let expires_at =
                    compiler.optional(&path.field("expiresAt"), expires_at.as_ref(), &scope);
                Arc::new(Reading {
                    success,
                    expires_at,
                    values: self.values(&path, values, &scope),
                    ..Reading::default()
                })
            }
        };
        Some(Exchange {
            name: None,
            place: "renewal".to_owned(),
            request: request?,
            reading,
        })
    }

    fn values(
        &mut self,
        path: &FieldPath,
        values: &BTreeMap<String, api::Expression>,
        scope: &Scope,
    ) -> Vec<(String, Expression)> {
        let path = path.field("values");
        let mut compiled = Vec::new();
        for (name, source) in values {
            let path = path.field(name);
            self.compiler.literal(&path, name);
            let expression = self.compiler.expression(&path, source, scope);
            compiled.extend(expression.map(|expression| (name.clone(), expression)));
        }
        compiled
    }

    /// A host that a value decides on needs to be told where it may lead.
    fn judge_open_hosts(&mut self) {
        for (path, whole) in std::mem::take(&mut self.open_hosts) {
            if self.hosts.lists_any() || (whole && self.hosts.has_literal()) {
                continue;
            }
            let message = match whole {
                true => {
                    "values decide where this leads, so list in hosts where it may: \
                     hosts: [\"api.example.com\"]"
                }
                false => {
                    "a value decides on the host, so list in hosts where it may lead: \
                     hosts: [\"*.example.com\"]"
                }
            };
            self.compiler.error(&path, message);
        }
    }

    /// The field that a path such as `followUps[0].request` leads to.
    fn below(&self, field: &str) -> FieldPath {
        FieldPath::from(format!("{}.{field}", self.path))
    }
}
