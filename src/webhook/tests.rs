//! Whole requests against whole types. What one file alone decides is tested beside it; real apps'
//! signatures are in `tests/promises/signatures.rs`.

mod authentication;
mod batches;
mod bodies;
mod bounds;
mod compile;
mod events;
mod handshakes;
mod jwt;
mod registrations;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::{CustomerIndex, ItemOutcome, Outcome, Receiver, Request, Verdict};
use crate::api::{AppEventTypeSpec, KeyReference, KeySource, Problem};
use crate::configuration::{
    CustomerEntry, EventTypeEntry, KeyEntry, LiveRegistration, Registrations, Sensitive,
    VariantEntry,
};
use crate::event::{Event, ObjectName, Reason};

pub const NOW: &str = "2026-01-02T03:04:05Z";

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A type of namespace `crm` as `compile` would make it of a spec, with the keys of its Secret `app`.
pub fn entry(spec: &str, keys: &[(&str, &[u8])]) -> EventTypeEntry {
    let spec: AppEventTypeSpec = serde_saphyr::from_str(spec).unwrap();
    let schema = |schema: &Option<serde_json::Map<_, _>>| {
        schema
            .clone()
            .map(|schema| serde_json::Value::Object(schema).to_string())
    };
    EventTypeEntry {
        registrations: Registrations::of(&spec),
        name: ObjectName::new("crm", "contact"),
        event_type: spec.type_.clone().unwrap_or("contact".into()),
        schema: schema(&spec.schema),
        on_invalid: spec.on_invalid(),
        variants: spec
            .variants
            .iter()
            .map(|variant| VariantEntry {
                when: variant.when.to_string(),
                schema: schema(&variant.schema),
                on_invalid: variant.on_invalid.unwrap_or(spec.on_invalid()),
            })
            .collect(),
        webhook: spec.webhook,
        global_webhook: spec.global_webhook,
        keys: keys
            .iter()
            .map(|(key, value)| KeyEntry {
                source: KeySource {
                    secret_key_ref: Some(KeyReference {
                        name: "app".into(),
                        key: (*key).into(),
                    }),
                    ..KeySource::default()
                },
                value: Some(Sensitive::new(*value)),
            })
            .collect(),
        customer_namespaces: vec!["crm".into()],
    }
}

/// A type without authentication whose `webhook.events` is given.
pub fn open(events: &str) -> Receiver {
    receiver(
        &format!("{{webhook: {{authentication: [{{none: {{}}}}], events: {events}}}}}"),
        &[],
    )
}

pub fn receiver(spec: &str, keys: &[(&str, &[u8])]) -> Receiver {
    Receiver::compile(&entry(spec, keys)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What is wrong with a type: severity, path, offset and message in one line each.
pub fn problems(spec: &str) -> Vec<String> {
    let show = |problem: &Problem| match problem.offset {
        Some(offset) => format!(
            "{} {}@{offset}: {}",
            problem.severity, problem.path, problem.message
        ),
        None => format!("{} {}: {}", problem.severity, problem.path, problem.message),
    };
    match Receiver::compile(&entry(spec, &[])) {
        Ok(receiver) => receiver.warnings().iter().map(show).collect(),
        Err(problems) => problems.iter().map(show).collect(),
    }
}

/// A POST of JSON.
pub fn post(body: impl Into<Bytes>) -> Request {
    let body = body.into();
    let mut request = Request {
        method: Method::POST,
        public_url: "https://hooks.example.com".into(),
        path_and_query: "/crm/contacts".into(),
        headers: HeaderMap::new(),
        raw_body: body.clone(),
        body,
    };
    request
        .headers
        .insert("content-type", HeaderValue::from_static("application/json"));
    request
}

/// The request with these headers; a name that occurs twice is sent twice.
pub fn with_headers(mut request: Request, headers: &[(&str, &str)]) -> Request {
    for (name, _) in headers {
        request.headers.remove(*name);
    }
    for (name, value) in headers {
        request.headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    request
}

pub fn customers(names: &[&str]) -> CustomerIndex {
    let entries: Vec<_> = names
        .iter()
        .map(|name| {
            Arc::new(CustomerEntry {
                name: ObjectName::new("crm", *name),
                id: (*name).into(),
                since: now(),
                fields: BTreeMap::from([("portal".into(), format!("portal-{name}"))]),
            })
        })
        .collect();
    CustomerIndex::new(&entries)
}

pub fn receive(receiver: &Receiver, request: &Request) -> Verdict {
    receive_for(receiver, request, &CustomerIndex::default())
}

/// A request to the URI of a registration.
pub fn receive_at(
    receiver: &Receiver,
    request: &Request,
    registration: &LiveRegistration,
) -> Verdict {
    receive_by(
        receiver,
        request,
        Some(registration),
        &CustomerIndex::default(),
    )
}

pub fn receive_for(receiver: &Receiver, request: &Request, customers: &CustomerIndex) -> Verdict {
    receive_by(receiver, request, None, customers)
}

/// Ids that the type does not give are `id-1`, `id-2`, ….
pub fn receive_by(
    receiver: &Receiver,
    request: &Request,
    registration: Option<&LiveRegistration>,
    customers: &CustomerIndex,
) -> Verdict {
    let mut count = 0;
    receiver.receive(request, registration, now(), customers, &mut || {
        count += 1;
        format!("id-{count}")
    })
}

/// A verdict in one line.
pub fn summary(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Handshake(answer) => format!("handshake {}", answer.status.as_u16()),
        Verdict::Capture {
            handshake,
            captured,
            answer,
        } => {
            let secret = captured
                .signing_secret
                .as_ref()
                .map(|secret| String::from_utf8_lossy(secret.expose()).into_owned());
            let expires = captured.expires_at.map(|at| at.to_string());
            format!(
                "handshake {handshake} brings {} {}, {}",
                secret.as_deref().unwrap_or("-"),
                expires.as_deref().unwrap_or("-"),
                answer.status.as_u16()
            )
        }
        Verdict::RegistrationIncomplete => "503".into(),
        Verdict::HandshakeFailed { handshake, reason } => {
            format!("handshake {handshake} failed: {reason}")
        }
        Verdict::MethodNotAllowed { allow } => format!("405 {allow}"),
        Verdict::Unauthenticated(failures) => {
            let failures: Vec<_> = failures.iter().map(ToString::to_string).collect();
            format!("401 {}", failures.join("; "))
        }
        Verdict::KeyMissing(failures) => {
            let failures: Vec<_> = failures.iter().map(ToString::to_string).collect();
            format!("503 {}", failures.join("; "))
        }
        Verdict::MalformedBody => "400".into(),
        Verdict::TooManyEvents => "413".into(),
        Verdict::Rejected(rejection) => {
            let items: Vec<_> = rejection
                .items
                .iter()
                .map(|item| format!("{}: {}", item.index, reasons(&item.reasons)))
                .collect();
            format!("422 {}", items.join("; "))
        }
        Verdict::Accepted(accepted) => {
            let items: Vec<_> = accepted.items.iter().map(item).collect();
            items.join(" | ")
        }
    }
}

fn item(outcome: &ItemOutcome) -> String {
    match outcome {
        ItemOutcome::Skipped => "skipped".into(),
        ItemOutcome::Refused => "refused".into(),
        ItemOutcome::Events(events) => {
            let events: Vec<_> = events
                .iter()
                .map(|outcome| match outcome {
                    Outcome::Event(event) => data(event),
                    Outcome::DeadLetter(letter) => {
                        format!(
                            "dead {}: {}",
                            data(&letter.event),
                            reasons(&letter.verdict.reasons)
                        )
                    }
                })
                .collect();
            events.join(" & ")
        }
    }
}

fn data(event: &Event) -> String {
    match &event.data {
        Some(data) => String::from_utf8_lossy(data).into_owned(),
        None => "-".into(),
    }
}

fn reasons(reasons: &[Reason]) -> String {
    let reasons: Vec<_> = reasons
        .iter()
        .map(|reason| match &reason.pointer {
            Some(pointer) => format!("{} at {pointer:?}", reason.code),
            None => format!("{} ({})", reason.code, reason.message),
        })
        .collect();
    reasons.join(", ")
}

/// The events of an accepted request.
pub fn events(verdict: Verdict) -> Vec<Event> {
    let Verdict::Accepted(accepted) = verdict else {
        panic!("not accepted: {}", summary(&verdict));
    };
    let mut found = Vec::new();
    for item in accepted.items {
        if let ItemOutcome::Events(outcomes) = item {
            for outcome in outcomes {
                match outcome {
                    Outcome::Event(event) => found.push(event),
                    Outcome::DeadLetter(letter) => panic!("{:?}", letter.verdict),
                }
            }
        }
    }
    found
}

/// One request against one type: what becomes of it, as [`summary`] says it.
pub fn check(receiver: &Receiver, request: &Request, expected: &str) {
    assert_eq!(summary(&receive(receiver, request)), expected);
}
