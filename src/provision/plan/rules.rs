//! What a declaration means for the state machine: what it can find, repeat, adopt, and when it renews.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::backoff::later;
use crate::api::{
    Change, GeneratedSecret, OnFound, RenewalMode, SecretEncoding, Step, Subscription,
};
use crate::configuration::Sensitive;
use crate::provision::record::{Phase, Registration};
use crate::provision::{Desired, Inputs};

/// How long after it was made a registration may still be told what a handshake brings, where
/// nothing was captured: some apps verify a moment after they have answered.
const LATE_HANDSHAKE: Duration = Duration::from_mins(5);

/// The path of a registration's webhook URI, below the public URL.
pub(super) fn path(inputs: &Inputs, token: &str, number: u32) -> String {
    match &inputs.global_webhook_path {
        Some(path) if inputs.global => format!("{path}/{number}"),
        _ => format!("/h/{token}/{number}"),
    }
}

/// `globalWebhookUri`.
pub(super) fn global_webhook_uri(inputs: &Inputs) -> Option<String> {
    let path = inputs.global_webhook_path.as_ref()?;
    Some(format!("{}{path}", inputs.public_url))
}

/// Whether the app was told a URI that is no longer the one it would be told now.
#[must_use]
pub fn is_readdressed(inputs: &Inputs, registration: &Registration) -> bool {
    match &registration.webhook_uri {
        Some(uri) => {
            let path = match &inputs.global_webhook_path {
                Some(path) if inputs.global => &format!("{path}/{}", registration.number),
                _ => &registration.path,
            };
            uri.strip_prefix(inputs.public_url.as_str()) != Some(path)
        }
        None => registration.global_webhook_uri != global_webhook_uri(inputs),
    }
}

/// Whether the request differs from the one that made a registration, so that it is to be changed.
pub(super) fn is_changed(desired: &Desired, registration: &Registration) -> bool {
    registration.request_hash != desired.request_hash
        || (desired.allow_re_registration && is_readdressed(&desired.inputs, registration))
}

/// Whether a lost answer is resolved by a lookup. In place nothing is looked for: sending it again
/// is what is meant.
pub(super) fn is_looked_for(subscription: &Subscription) -> bool {
    subscription.lookup.is_some() && !is_in_place(subscription)
}

/// Whether the same attempt may be sent again without making a second registration.
pub(super) fn is_repeatable(subscription: &Subscription) -> bool {
    is_in_place(subscription) || subscription.request.idempotent()
}

pub(super) fn is_in_place(subscription: &Subscription) -> bool {
    subscription.change() == Change::InPlace
}

/// Whether a registration that was found may be kept: its secret and whatever else only the answer
/// held must be known.
pub(super) fn is_adoptable(subscription: &Subscription, registration: &Registration) -> bool {
    let lookup_says = subscription
        .lookup
        .as_ref()
        .and_then(|lookup| lookup.on_found);
    let by_follow_up = gives_secret(&subscription.follow_ups);
    let from_app = subscription
        .signing_secret
        .as_ref()
        .is_some_and(|secret| secret.from_response.is_some() || secret.from_handshake.is_some());
    let from_step = gives_secret(&subscription.prepare) || by_follow_up;
    let on_found = lookup_says.unwrap_or(if from_app && !from_step {
        OnFound::Replace
    } else {
        OnFound::Adopt
    });
    let has_secret = !from_app || registration.signing_secret.is_some() || by_follow_up;
    // With a lifetime that nobody knows, only a renewal tells when it ends.
    let has_lifetime = subscription.renewal.as_ref().is_none_or(|renewal| {
        renewal.before.is_none()
            || renewal.mode() == RenewalMode::Update
            || registration.expires_at.is_some()
    });
    on_found == OnFound::Adopt
        && has_secret
        && subscription.response.values.is_empty()
        && has_lifetime
}

/// Whether what a lookup finds without a URI of its own is still surely ours: only where the
/// declaration says so by `onFound: Adopt`, which is refused where its id does not tell them apart.
pub(super) fn is_exact_without_uri(subscription: &Subscription) -> bool {
    let lookup = subscription.lookup.as_ref();
    lookup.and_then(|lookup| lookup.on_found) == Some(OnFound::Adopt)
}

fn gives_secret(steps: &[Step]) -> bool {
    steps
        .iter()
        .any(|step| step.response.signing_secret.is_some())
}

/// Whether the app says the secret in a handshake.
pub(super) fn awaits_handshake(subscription: &Subscription) -> bool {
    let secret = subscription.signing_secret.as_ref();
    secret.is_some_and(|secret| secret.from_handshake.is_some())
}

/// Whether the app's answer must hold the secret.
pub(super) fn answer_holds_secret(subscription: &Subscription) -> bool {
    let secret = subscription.signing_secret.as_ref();
    secret.is_some_and(|secret| secret.from_response.is_some())
        && !gives_secret(&subscription.prepare)
        && !gives_secret(&subscription.follow_ups)
}

/// Whether a handshake may still give something to a registration.
#[must_use]
pub fn capture_is_open(registration: &Registration, now: Timestamp) -> bool {
    if registration.leaving.is_some() {
        return false;
    }
    let is_late = registration.phase == Phase::Active
        && registration.captured_at.is_none()
        && registration
            .since
            .is_some_and(|since| now < later(since, LATE_HANDSHAKE));
    registration.is_being_made() || is_late
}

/// Whether the unsubscribe steps need what only the answer to the request says.
pub(super) fn removal_needs_answer(subscription: &Subscription) -> bool {
    let Some(unsubscribe) = &subscription.unsubscribe else {
        return false;
    };
    mentions(&unsubscribe.steps, "subscription.") || mentions(&unsubscribe.steps, "subscription[")
}

/// Whether a placeholder of a template, or an expression, in `what` names `name`. It looks at text,
/// so it may be wrong in one direction: a name inside a CEL string counts too.
fn mentions(what: &impl Serialize, name: &str) -> bool {
    let value = serde_json::to_value(what).unwrap_or(Value::Null);
    texts(&value).any(|text| {
        let placeholders = text.find("$(").map_or("", |at| &text[at..]);
        placeholders.match_indices(name).any(|(at, _)| {
            let before = placeholders[..at].chars().next_back();
            !before.is_some_and(|it| it.is_alphanumeric() || it == '_' || it == '.')
        })
    })
}

fn texts(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::String(text) => Box::new(std::iter::once(text.as_str())),
        Value::Array(items) => Box::new(items.iter().flat_map(texts)),
        Value::Object(members) => Box::new(members.values().flat_map(texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Box::new(std::iter::empty()),
    }
}

/// A signing secret of random bytes.
pub(super) fn generated(how: &GeneratedSecret, random: &[u8]) -> Sensitive {
    let most = usize::try_from(how.bytes()).unwrap_or(usize::MAX);
    let bytes = &random[..most.min(random.len())];
    Sensitive::new(match how.encoding() {
        SecretEncoding::Hex => hex::encode(bytes),
        SecretEncoding::Base64 => STANDARD.encode(bytes),
        SecretEncoding::Whsec => format!("whsec_{}", STANDARD.encode(bytes)),
    })
}

/// The shortest time until a renewal: short lifetimes do not become a request without pause.
const SOONEST_RENEWAL: Duration = Duration::from_secs(60);

/// When a registration is renewed that had expired by our clock when it was made. One of the clocks
/// is wrong, so the time says nothing; half an hour is well within the lifetimes that apps give.
const CLOCKS_DISAGREE: Duration = Duration::from_mins(30);

/// Whether a registration has expired. A time that had passed already when the app said it does not
/// count.
#[must_use]
pub fn has_expired(registration: &Registration, now: Timestamp) -> bool {
    registration.expires_at.is_some_and(|expires_at| {
        expires_at <= now && registration.renewed_at.is_none_or(|from| from < expires_at)
    })
}

/// When a registration that was made or renewed at `from` is renewed next.
///
/// `max(from + lifetime/2, expiresAt − before)`, and up to a tenth of what is left of the lifetime
/// later, so that registrations that were made at once are not renewed at once.
pub(super) fn renew_at(
    subscription: &Subscription,
    from: Timestamp,
    expires_at: Option<Timestamp>,
    jitter: f64,
) -> Option<Timestamp> {
    let renewal = subscription.renewal.as_ref()?;
    let jitter = jitter.clamp(0.0, 1.0);
    let at = match (&renewal.before, &renewal.every) {
        (_, Some(every)) => later(from, every.duration().mul_f64(1.0 - jitter / 10.0)),
        (Some(before), None) => {
            let expires_at = expires_at?;
            if expires_at <= from {
                return Some(later(from, CLOCKS_DISAGREE));
            }
            let half = later(from, between(from, expires_at) / 2);
            let before = expires_at.checked_sub(before.duration()).unwrap_or(from);
            let at = half.max(before);
            later(at, between(at, expires_at).mul_f64(jitter / 10.0))
        }
        (None, None) => return None,
    };
    Some(at.max(later(from, SOONEST_RENEWAL)))
}

/// Whether a renewal sends a request of its own.
pub(super) fn renews_by_request(subscription: &Subscription) -> bool {
    subscription
        .renewal
        .as_ref()
        .is_some_and(|renewal| renewal.mode() == RenewalMode::Update && renewal.request.is_some())
}

/// When to warn that a registration expires: in the middle between its renewal, which then must
/// have failed for a while, and its end; without a renewal in the last quarter, at most a day.
#[must_use]
pub fn expiring_soon_at(registration: &Registration) -> Option<Timestamp> {
    let expires_at = registration.expires_at?;
    let from = match registration.renew_at {
        Some(renew_at) => return Some(later(renew_at, between(renew_at, expires_at) / 2)),
        None => registration.renewed_at.or(registration.since)?,
    };
    let most = Duration::from_hours(24);
    expires_at
        .checked_sub((between(from, expires_at) / 4).min(most))
        .ok()
}

/// How long it is from one time to another; nothing where the other is earlier.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}
