//! Requests and answers of subscriptions, as data. What the state machine makes of outcomes is
//! tested beside it.

mod answers;
mod compile;
mod hashes;
mod masking;
mod positions;
mod providers;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::api::{DeletionPolicy, SentRequest, Subscription};
use crate::configuration::Sensitive;
use crate::event::ObjectName;

pub const NOW: &str = "2026-11-25T22:00:00.75Z";
pub const TOKEN: &str = "Tok3nTok3nTok3n";
pub const SIGNING_SECRET: &str = "generated-signing-secret";
pub const ACCESS_TOKEN: &str = "current-access-token";
pub const ATTEMPT: &str = "4f1c9b5e-0000-4000-8000-00000000a001";

/// A subscription with the values of one customer.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub subscription: Subscription,
    #[serde(default)]
    pub global: bool,
    #[serde(default)]
    pub global_webhook_path: Option<String>,
    #[serde(default)]
    pub fields: BTreeMap<String, Value>,
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    #[serde(default)]
    pub app_fields: BTreeMap<String, Value>,
    #[serde(default)]
    pub app_secrets: BTreeMap<String, String>,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub values: BTreeMap<String, Value>,
    #[serde(default)]
    pub steps: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Setting {
    pub fn read(yaml: &str) -> Self {
        serde_saphyr::from_str(yaml).unwrap()
    }

    /// A subscription whose request is `request` (YAML), for a customer with these plain fields.
    pub fn of_request(request: &str, fields: Value) -> Self {
        let mut setting = Self::read(&format!("subscription: {{request: {request}}}"));
        setting.fields = serde_json::from_value(fields).unwrap();
        setting
    }

    pub fn inputs(&self) -> Inputs {
        let fields = |plain: &BTreeMap<String, Value>, secrets: &BTreeMap<String, String>| Fields {
            plain: plain.clone(),
            sensitive: secrets
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into()))
                .collect(),
        };
        Inputs {
            event_type: ObjectName::new("crm", "contact-created"),
            type_: "com.example.contact.created".into(),
            global: self.global,
            subscription: Arc::new(self.subscription.clone()),
            deletion_policy: DeletionPolicy::Unsubscribe,
            public_url: "https://hooks.example.com".into(),
            global_webhook_path: self.global_webhook_path.clone(),
            webhook_fields: WebhookFields::default(),
            app: fields(&self.app_fields, &self.app_secrets),
            customer: (!self.global).then(|| CustomerInputs {
                name: ObjectName::new("crm", "acme"),
                id: "acme".into(),
                fields: fields(&self.fields, &self.secrets),
            }),
        }
    }

    pub fn program(&self) -> Program {
        Program::compile(&self.inputs()).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    /// Calls `with` with what is known of the registration.
    pub fn known<T>(&self, with: impl FnOnce(&Known<'_>) -> T) -> T {
        let uri = format!("https://hooks.example.com/h/{TOKEN}/1");
        let secret = Sensitive::from(SIGNING_SECRET);
        let early = self.subscription.signing_secret.as_ref();
        let early = early.is_some_and(|secret| secret.generate.is_some());
        with(&Known {
            number: 1,
            webhook_uri: has_own_uri(&self.subscription).then_some(&uri),
            global_webhook_uri: None,
            attempt_id: ATTEMPT,
            signing_secret: early.then_some(&secret),
            steps: &self.steps,
            id: self.id.as_deref(),
            values: &self.values,
            expires_at: None,
        })
    }

    pub fn render(&self, kind: &RequestKind) -> Result<Outgoing, RenderError> {
        let (program, inputs) = (self.program(), self.inputs());
        let token = Sensitive::from(ACCESS_TOKEN);
        let token = self.subscription.credentials.as_ref().map(|_| &token);
        self.known(|known| program.render(kind, &inputs, known, token, now()))
    }

    pub fn read_answer(
        &self,
        kind: &RequestKind,
        answer: &Answer,
    ) -> (Outcome, crate::api::ReceivedResponse) {
        let (program, inputs) = (self.program(), self.inputs());
        let token = Sensitive::from(ACCESS_TOKEN);
        let token = self.subscription.credentials.as_ref().map(|_| &token);
        self.known(|known| program.read(kind, &inputs, known, token, answer, now()))
    }
}

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
    }
    Answer {
        status,
        headers: map,
        body: body.into(),
        retry_after: None,
    }
}

/// A request as HTTP text: the request line without the version, headers by name, the body.
pub fn as_text(outgoing: &Outgoing) -> String {
    let headers: BTreeMap<&str, &str> = outgoing
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    text_of(
        outgoing.method.as_str(),
        outgoing.url.as_str(),
        headers.into_iter(),
        std::str::from_utf8(&outgoing.body).unwrap(),
    )
}

pub fn shown_text(shown: &SentRequest) -> String {
    let headers = shown.headers.iter();
    text_of(
        &shown.method,
        &shown.url,
        headers.map(|(name, value)| (name.as_str(), value.as_str())),
        shown.body.as_deref().unwrap_or_default(),
    )
}

fn text_of<'h>(
    method: &str,
    url: &str,
    headers: impl Iterator<Item = (&'h str, &'h str)>,
    body: &str,
) -> String {
    let mut text = format!("{method} {url}\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    if !body.is_empty() {
        // The order of members and the spaces between them mean nothing.
        let body = match serde_json::from_str::<Value>(body) {
            Ok(json) => json.to_string(),
            Err(_) => body.to_owned(),
        };
        text.push_str(&format!("\n{body}\n"));
    }
    text
}

/// An outcome in words.
pub fn in_words(outcome: &Outcome) -> String {
    let waiting = |retry_after: &Option<std::time::Duration>| match retry_after {
        Some(wait) => format!(", to wait {} s", wait.as_secs()),
        None => String::new(),
    };
    match outcome {
        Outcome::Succeeded(Findings {
            id,
            expires_at,
            values,
            signing_secret,
        }) => {
            let mut words = "succeeded".to_owned();
            if let Some(id) = id {
                words.push_str(&format!(" with id {id}"));
            }
            if let Some(at) = expires_at {
                words.push_str(&format!(", until {at}"));
            }
            if !values.is_empty() {
                let values = serde_json::to_string(values).unwrap();
                words.push_str(&format!(", values {values}"));
            }
            if let Some(secret) = signing_secret {
                let secret = std::str::from_utf8(secret.expose()).unwrap();
                words.push_str(&format!(", secret {secret}"));
            }
            words
        }
        Outcome::Found { ids, next } => {
            let ids = match ids.is_empty() {
                true => "nothing".to_owned(),
                false => ids.join(" and "),
            };
            let next = next.as_ref().map(|next| format!(", then {next}"));
            format!("found {ids}{}", next.unwrap_or_default())
        }
        Outcome::Conflict(error) => format!("conflict: {error}"),
        Outcome::Gone => "gone".to_owned(),
        Outcome::Refused { error, retry_after } => {
            format!("refused{}: {error}", waiting(retry_after))
        }
        Outcome::NotSent { error, retry_after } => {
            format!("not sent{}: {error}", waiting(retry_after))
        }
        Outcome::Unknown { error, retry_after } => {
            format!("unknown{}: {error}", waiting(retry_after))
        }
    }
}
