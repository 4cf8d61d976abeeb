//! What the parts of a subscription must be to each other.

use std::collections::BTreeSet;

use super::{Program, Surroundings};
use crate::api::{Change, FieldPath, OnFound, OutgoingRequest, Step, Subscription};
use crate::expression::{Expression, Member, Position, References, Scope, Shape, Template};
use crate::expression::{TreeTemplate, check_literal};
use crate::webhook::compiler::Compiler;

/// Whether registrations have webhook URIs of their own. They have none where requests name
/// `globalWebhookUri` and not `webhookUri`: then the app calls one URI for all customers.
#[must_use]
pub fn has_own_uri(subscription: &Subscription) -> bool {
    let mut references = References::default();
    let requests = (subscription.prepare.iter())
        .chain(&subscription.follow_ups)
        .map(|step| &step.request)
        .chain([&subscription.request]);
    let defaults = subscription.defaults.headers.values();
    for template in defaults {
        template_references(template, Position::Header, &mut references);
    }
    for request in requests {
        request_references(request, &mut references);
    }
    references.mentions(&["webhookUri"]) || !references.mentions(&["globalWebhookUri"])
}

/// What a request names. What does not compile names nothing; that is said elsewhere.
fn request_references(request: &OutgoingRequest, references: &mut References) {
    let OutgoingRequest {
        method: _,
        url,
        query,
        headers,
        body,
        form,
        text,
        idempotent: _,
    } = request;
    template_references(url, Position::Url, references);
    for (templates, position) in [
        (query, Position::Query),
        (headers, Position::Header),
        (form, Position::Form),
    ] {
        for template in templates.values() {
            template_references(template, position, references);
        }
    }
    if let Some(text) = text {
        template_references(text, Position::Text, references);
    }
    if let Some(Ok(tree)) = body
        .as_ref()
        .map(|body| TreeTemplate::compile(body, &any()))
    {
        references.extend(tree.references());
    }
}

fn template_references(source: &str, position: Position, references: &mut References) {
    if let Ok(template) = Template::compile(source, &any(), position) {
        references.extend(template.references());
    }
}

/// Every name of a subscription, whatever the place.
fn any() -> Scope {
    const NAMES: [&str; 10] = [
        "customer",
        "app",
        "webhookUri",
        "globalWebhookUri",
        "signingSecret",
        "credentials",
        "attempt",
        "eventType",
        "subscription",
        "steps",
    ];
    let names = NAMES.into_iter().chain(["now"]);
    names.fold(Scope::empty().allowing_sensitive(), |scope, name| {
        scope.with(Member::new(name, Shape::Any))
    })
}

/// Says what is wrong or doubtful though every part of it compiles.
pub(super) fn check(
    compiler: &mut Compiler,
    path: &FieldPath,
    subscription: &Subscription,
    surroundings: Surroundings,
    program: Option<&Program>,
) {
    let own_uri = has_own_uri(subscription);
    signing_secret(compiler, path, subscription, surroundings);
    step_names(compiler, path, subscription);
    if let Some(spec) = &subscription.lookup
        && let Some(lookup) = program.and_then(|program| program.lookup.as_ref())
        && !own_uri
        && spec.on_found == Some(OnFound::Adopt)
        && !surroundings.global
        && !tells_apart(&lookup.id)
    {
        let message = "registrations share globalWebhookUri, so this finds those of other \
                       customers: compare something of the customer as well, or write onFound: \
                       Replace";
        compiler.error(&path.field("lookup").field("id"), message);
    }
    let renewal = subscription.renewal.as_ref();
    if renewal.is_some_and(|renewal| renewal.before.is_none() && renewal.every.is_none()) {
        compiler.error(
            &path.field("renewal"),
            "write exactly one of before and every",
        );
    }
    for (place, span) in [
        (
            "lookup.every",
            subscription
                .lookup
                .as_ref()
                .and_then(|lookup| lookup.every.as_ref()),
        ),
        (
            "renewal.every",
            renewal.and_then(|renewal| renewal.every.as_ref()),
        ),
        ("limits.timeout", subscription.limits.timeout.as_ref()),
        ("quietPeriod", subscription.quiet_period.as_ref()),
    ] {
        if span.is_some_and(|span| span.duration().is_zero()) {
            let path = FieldPath::from(format!("{path}.{place}"));
            compiler.error(&path, "must be longer than zero");
        }
    }
    if subscription.lookup.is_none() && !subscription.request.idempotent() {
        compiler.warning(
            path,
            "without lookup, and with a request that is not idempotent, a lost answer means that \
             the request is repeated: the app may then have two registrations, of which the \
             unknown one is listed as an orphan",
        );
    }
    if subscription.unsubscribe.is_none() {
        compiler.warning(
            path,
            "without unsubscribe, a registration that is no longer wanted stays at the app and is \
             listed as an orphan",
        );
    }
}

/// Whether a lookup reads something that is different for each customer.
fn tells_apart(id: &Expression) -> bool {
    ["customer", "attempt", "steps", "signingSecret"]
        .iter()
        .any(|name| id.references().mentions(&[name]))
}

fn signing_secret(
    compiler: &mut Compiler,
    path: &FieldPath,
    subscription: &Subscription,
    surroundings: Surroundings,
) {
    let secret_path = path.field("signingSecret");
    if let Some(secret) = &subscription.signing_secret {
        let forms = [
            secret.generate.is_some(),
            secret.from_response.is_some(),
            secret.from_handshake.is_some(),
            secret.customer_field.is_some(),
        ];
        if forms.iter().filter(|there| **there).count() != 1 {
            let message =
                "write exactly one of generate, fromResponse, fromHandshake and customerField";
            compiler.error(&secret_path, message);
        }
        if secret.from_handshake.is_some() && subscription.change() == Change::InPlace {
            compiler.error(
                &secret_path.field("fromHandshake"),
                "a request that is sent again in place brings another secret, which could not be \
                 told from a forged one: write change: Overlap",
            );
        }
        if let Some(field) = &secret.customer_field {
            let path = secret_path.field("customerField");
            if let Err(error) = check_literal(field) {
                compiler.error(&path, error.message);
            }
            if surroundings.global {
                compiler.error(
                    &path,
                    "a global webhook's registration has no customer; use generate",
                );
            }
        }
    }
    let lists = [
        ("prepare", subscription.prepare.as_slice()),
        ("followUps", subscription.follow_ups.as_slice()),
    ];
    let mut sources = usize::from(subscription.signing_secret.is_some());
    for (list, index, step) in steps_of(&lists) {
        if step.response.signing_secret.is_none() {
            continue;
        }
        sources += 1;
        if sources > 1 {
            let path = path
                .field(list)
                .index(index)
                .field("response")
                .field("signingSecret");
            compiler.error(&path, "the signing secret already comes from elsewhere");
        }
    }
}

fn steps_of<'a>(
    lists: &'a [(&'static str, &'a [Step])],
) -> impl Iterator<Item = (&'static str, usize, &'a Step)> {
    lists.iter().flat_map(|(list, steps)| {
        let steps = steps.iter().enumerate();
        steps.map(move |(index, step)| (*list, index, step))
    })
}

fn step_names(compiler: &mut Compiler, path: &FieldPath, subscription: &Subscription) {
    let removal = subscription.unsubscribe.as_ref();
    let removal = removal.map(|unsubscribe| unsubscribe.steps.as_slice());
    let lists = [
        ("prepare", subscription.prepare.as_slice()),
        ("followUps", subscription.follow_ups.as_slice()),
        ("unsubscribe.steps", removal.unwrap_or_default()),
    ];
    let mut names = BTreeSet::new();
    for (list, index, step) in steps_of(&lists) {
        if !names.insert(&step.name) {
            let path = FieldPath::from(format!("{path}.{list}[{index}].name"));
            compiler.error(&path, "another step has this name already");
        }
    }
}
