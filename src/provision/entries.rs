//! What a gateway needs to know of a record: one entry for each webhook URI.
//!
//! Entries are live before the app can know the URI, and as long as it may still call it. Beside
//! the registration they carry the customer's fields that requests are judged by, and no others.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::plan::{REMEMBERED, capture_is_open};
use super::record::{KnownOfOrphan, Phase, Record, Registration};
use super::{Fields, Inputs};
use crate::configuration::{
    LiveRegistration, RegistrationCustomer, RegistrationEntry, RegistrationState, Sensitive,
};
use crate::event::CustomerKey;

/// The entries of a record's webhook URIs, by number; each path once. What stands comes before what
/// may stand, and that before what was removed: a twin shares the URI of another registration.
///
/// `capture_open` may stay true a little too long; `plan::captured` has the last word.
#[must_use]
pub fn entries(record: &Record, now: Timestamp) -> Vec<RegistrationEntry> {
    let entry = |number: u32, path: &str, state: RegistrationState| RegistrationEntry {
        subscription: record.name.clone(),
        number,
        path: path.to_owned(),
        event_type: record.inputs.event_type.clone(),
        state,
    };
    let mut entries: Vec<RegistrationEntry> = Vec::new();
    for registration in &record.registrations {
        // One without a URI of its own is called at the global one, a twin at another's.
        if registration.webhook_uri.is_none() || registration.twin_of.is_some() {
            continue;
        }
        let live = live(&record.inputs, registration, now);
        for path in registration.former_path.iter().chain([&registration.path]) {
            let state = RegistrationState::Live(Box::new(live.clone()));
            entries.push(entry(registration.number, path, state));
        }
    }
    let mut paths: BTreeSet<String> = entries.iter().map(|entry| entry.path.clone()).collect();
    for left in &record.left_behind {
        if paths.insert(left.path.clone()) {
            let state = match &left.known {
                Some(known) => RegistrationState::Live(Box::new(of_orphan(&record.inputs, known))),
                None => RegistrationState::Orphaned,
            };
            entries.push(entry(left.number, &left.path, state));
        }
    }
    for removed in &record.removed {
        let over = removed
            .at
            .checked_add(REMEMBERED)
            .is_ok_and(|over| over <= now);
        if !over && paths.insert(removed.path.clone()) {
            entries.push(entry(
                removed.number,
                &removed.path,
                RegistrationState::Removed,
            ));
        }
    }
    entries.sort_by_key(|entry| entry.number);
    entries
}

/// What the requests of an orphan are judged by.
fn of_orphan(inputs: &Inputs, known: &KnownOfOrphan) -> LiveRegistration {
    let KnownOfOrphan {
        id,
        values,
        signing_secret,
    } = known;
    LiveRegistration {
        customer: customer(inputs),
        id: id.clone(),
        values: values.clone(),
        signing_secret: match secret_field(inputs) {
            Some(field) => key_of(inputs, field),
            None => signing_secret.clone(),
        },
        capture_open: false,
    }
}

fn live(inputs: &Inputs, registration: &Registration, now: Timestamp) -> LiveRegistration {
    LiveRegistration {
        customer: customer(inputs),
        id: registration.id.clone(),
        values: registration.values.clone(),
        // A field that was rotated counts at once; it is never copied into the registration.
        signing_secret: if let Some(field) = secret_field(inputs) {
            key_of(inputs, field)
        } else if may_be_answered_anew(inputs, registration) {
            None
        } else {
            registration.signing_secret.clone()
        },
        capture_open: capture_is_open(registration, now),
    }
}

fn customer(inputs: &Inputs) -> Option<RegistrationCustomer> {
    let customer = inputs.customer.as_ref()?;
    Some(RegistrationCustomer {
        key: CustomerKey {
            namespace: customer.name.namespace.clone(),
            id: customer.id.clone(),
        },
        fields: shown(inputs, &customer.fields),
        keys: keys(inputs, &customer.fields),
    })
}

/// The customer's field that is the signing secret, if one is.
fn secret_field(inputs: &Inputs) -> Option<&str> {
    let secret = inputs.subscription.signing_secret.as_ref()?;
    secret.customer_field.as_deref()
}

fn key_of(inputs: &Inputs, field: &str) -> Option<Sensitive> {
    key(&inputs.customer.as_ref()?.fields, field)
}

/// Whether a request that was sent again in place may just now make the app sign with another
/// secret, which only its answer says. Until then events are answered 503 rather than 401.
fn may_be_answered_anew(inputs: &Inputs, registration: &Registration) -> bool {
    let secret = inputs.subscription.signing_secret.as_ref();
    secret.is_some_and(|secret| secret.from_response.is_some())
        && registration.since.is_some()
        && (matches!(registration.phase, Phase::Subscribing | Phase::Unsure)
            || registration.request_hash.is_empty())
}

fn shown(inputs: &Inputs, fields: &Fields) -> BTreeMap<String, Value> {
    let names = inputs.webhook_fields.shown.iter();
    let found = names.filter_map(|name| Some((name.clone(), fields.plain.get(name)?.clone())));
    found.collect()
}

fn keys(inputs: &Inputs, fields: &Fields) -> BTreeMap<String, Sensitive> {
    let names = inputs.webhook_fields.keys.iter();
    names
        .filter_map(|name| Some((name.clone(), key(fields, name)?)))
        .collect()
}

/// A field as a key: text as it is, a number or a truth value as it is written. An empty one is
/// none, because an empty key would match everything that is signed with nothing.
fn key(fields: &Fields, name: &str) -> Option<Sensitive> {
    let key = match (fields.sensitive.get(name), fields.plain.get(name)) {
        (Some(value), _) => value.clone(),
        (None, Some(Value::String(text))) => Sensitive::from(text.as_str()),
        (None, Some(value @ (Value::Number(_) | Value::Bool(_)))) => {
            Sensitive::from(value.to_string().as_str())
        }
        (None, _) => return None,
    };
    (!key.is_empty()).then_some(key)
}
