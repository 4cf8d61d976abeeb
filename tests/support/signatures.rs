//! Signed requests of real apps, and the types that verify them.
//!
//! `data/signatures.json` holds the requests, `data/signature-schemes.yaml` how each app signs, as a
//! type says it. The same requests are judged purely and over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tidegate::api::{AuthenticationEntry, KeyReference, KeySource, OnInvalid, Webhook};
use tidegate::configuration::{EventTypeEntry, KeyEntry, Registrations, Sensitive};
use tidegate::event::ObjectName;
use tidegate::webhook::Request;

use super::app::hmac_sha256_base64;

/// One signed request.
#[derive(Clone, Debug, Deserialize)]
pub struct Signed {
    /// A sentence that says what it shows.
    pub name: String,
    /// Which scheme it is signed by: a name in `signature-schemes.yaml`.
    pub scheme: String,
    /// The key as it would stand in a Secret.
    pub key: String,
    pub method: String,
    /// The whole URL that the app called.
    pub url: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// Whether a correct verifier accepts it.
    pub genuine: bool,
}

impl Signed {
    /// All of them, in a fixed order.
    pub fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("../data/signatures.json")).unwrap()
    }

    /// Whether the scheme signs the URL, so that the request cannot go over HTTP to another host as it is.
    pub fn signs_url(&self) -> bool {
        matches!(
            self.scheme.as_str(),
            "hubspot-v2" | "hubspot-v3" | "twilio" | "twilio-json"
        )
    }

    /// The scheme's `authentication`, whose key is `key` of the Secret `app`.
    pub fn authentication(&self) -> Vec<AuthenticationEntry> {
        let schemes: BTreeMap<String, Vec<AuthenticationEntry>> =
            serde_saphyr::from_str(include_str!("../data/signature-schemes.yaml")).unwrap();
        schemes[&self.scheme].clone()
    }

    /// A type of this scheme, with the key.
    pub fn event_type(&self) -> EventTypeEntry {
        let webhook = serde_json::json!({"authentication": self.authentication()});
        let webhook: Webhook = serde_json::from_value(webhook).unwrap();
        let reference = KeyReference {
            name: "app".into(),
            key: "key".into(),
        };
        EventTypeEntry {
            name: ObjectName::new("apps", self.scheme.clone()),
            event_type: self.scheme.clone(),
            webhook,
            global_webhook: None,
            registrations: Registrations::default(),
            schema: None,
            on_invalid: OnInvalid::DeadLetter,
            variants: Vec::new(),
            keys: vec![KeyEntry {
                source: KeySource {
                    secret_key_ref: Some(reference),
                    ..KeySource::default()
                },
                value: Some(Sensitive::from(self.key.as_str())),
            }],
            customer_namespaces: vec!["apps".into()],
        }
    }

    /// The request as the gateway behind `url` would see it.
    pub fn request(&self) -> Request {
        let host = self.url.find("://").unwrap() + 3;
        let path = host + self.url[host..].find('/').unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let body = Bytes::from(self.body.clone());
        Request {
            method: self.method.parse().unwrap(),
            public_url: self.url[..path].to_owned(),
            path_and_query: self.url[path..].to_owned(),
            headers,
            raw_body: body.clone(),
            body,
        }
    }

    /// The same request to another URL, signed for that one as the app would sign it.
    ///
    /// # Panics
    /// When the scheme does not sign the URL.
    pub fn signed_again_for(&self, url: String) -> Self {
        let mut again = Self {
            name: format!("{}, signed again", self.name),
            url,
            ..self.clone()
        };
        let Self {
            key,
            method,
            url,
            body,
            ..
        } = &again;
        let sha1 = |message: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
            STANDARD.encode(hmac::sign(&key, message.as_bytes()))
        };
        let (header, signature) = match self.scheme.as_str() {
            "hubspot-v2" => {
                let message = format!("{key}{method}{url}{body}");
                let hash = digest::digest(&digest::SHA256, message.as_bytes());
                ("X-HubSpot-Signature", hex::encode(hash))
            }
            "hubspot-v3" => {
                let time = &self.headers["X-HubSpot-Request-Timestamp"];
                let message = format!("{method}{url}{body}{time}");
                (
                    "X-HubSpot-Signature-v3",
                    hmac_sha256_base64(key.as_bytes(), message.as_bytes()),
                )
            }
            "twilio" => {
                let parameters: BTreeSet<_> = form_urlencoded::parse(body.as_bytes()).collect();
                let parameters = parameters
                    .iter()
                    .map(|(name, value)| format!("{name}{value}"));
                let message = format!("{url}{}", parameters.collect::<String>());
                ("X-Twilio-Signature", sha1(&message))
            }
            "twilio-json" => ("X-Twilio-Signature", sha1(url)),
            scheme => panic!("{scheme} does not sign the URL"),
        };
        *again.headers.get_mut(header).unwrap() = signature;
        again
    }

    /// The same request with one thing in it changed, for everything that its scheme signs.
    pub fn forgeries(&self) -> Vec<Self> {
        let mut forgeries = Vec::new();
        let mut forge = |what: &str, change: &dyn Fn(&mut Self)| {
            let mut forgery = Self {
                name: format!("{}, {what} changed", self.name),
                genuine: false,
                ..self.clone()
            };
            change(&mut forgery);
            forgeries.push(forgery);
        };
        for at in [0, self.body.len() / 2, self.body.len().saturating_sub(1)] {
            if self.body.is_char_boundary(at) && self.body.get(at..=at).is_some() {
                forge("a byte of the body", &|forgery| {
                    let other = if &self.body[at..=at] == "x" { "y" } else { "x" };
                    forgery.body.replace_range(at..=at, other);
                });
            }
        }
        forge("the length of the body", &|forgery| forgery.body.push('x'));
        for (name, value) in &self.headers {
            let lower = name.to_lowercase();
            let mut forge_header = |what: &str, change: &dyn Fn(&mut String)| {
                forge(what, &|forgery| {
                    change(forgery.headers.get_mut(name).unwrap())
                });
            };
            if lower.contains("timestamp") || value.starts_with("t=") {
                let at = value.find(|c: char| c.is_ascii_digit()).unwrap() + 3;
                forge_header("the timestamp", &|value| replace_digit(value, at));
            }
            if lower == "webhook-id" {
                forge_header("the id", &|value| value.push('x'));
            }
            if lower.contains("timestamp")
                || !(lower.contains("signature") || lower.contains("hmac"))
            {
                continue;
            }
            // A header can carry several signatures of which one is right: each is changed.
            forge_header("the first digit of the signature", &|value| {
                signatures(value)
                    .iter()
                    .for_each(|range| replace_digit(value, range.start));
            });
            forge_header("a digit inside of the signature", &|value| {
                for range in signatures(value) {
                    replace_digit(value, range.start + range.len() / 2);
                }
            });
            forge_header("the end of the signature cut off, and so it is", &|value| {
                for range in signatures(value).iter().rev() {
                    value.replace_range(range.end - 4..range.end, "");
                }
            });
            forge_header("the signature emptied, and so it is", &|value| {
                for range in signatures(value).iter().rev() {
                    value.replace_range(range.clone(), "");
                }
            });
            forge_header("the header emptied, and so it is", &String::clear);
            forge("the header left out, and so it is", &|forgery| {
                forgery.headers.remove(name);
            });
        }
        if self.signs_url() {
            forge("a byte of the path", &|forgery| {
                let at = forgery.url.rfind("/").unwrap() + 2;
                forgery.url.replace_range(at..=at, "Z");
            });
            forge("the host", &|forgery| {
                forgery.url = forgery.url.replacen(".com", ".con", 1);
            });
            forge("the query", &|forgery| {
                forgery
                    .url
                    .push(if forgery.url.contains('?') { '&' } else { '?' })
            });
        }
        forge("the key", &|forgery| {
            // What is base64 stays base64.
            let at = forgery.key.len().saturating_sub(3);
            let other = if &forgery.key[at..=at] == "A" {
                "B"
            } else {
                "A"
            };
            forgery.key.replace_range(at..=at, other);
        });
        forgeries
    }
}

/// Where the signatures of a header are, without their prefixes.
fn signatures(header: &str) -> Vec<Range<usize>> {
    let (separator, prefix) = match () {
        () if header.starts_with("t=") => (',', "v1="),
        () if header.starts_with("v1,") => (' ', "v1,"),
        () => (
            '\0',
            header
                .find('=')
                .filter(|at| *at < 8)
                .map_or("", |at| &header[..=at]),
        ),
    };
    let mut start = 0;
    let mut found = Vec::new();
    for part in header.split(separator) {
        if part.starts_with(prefix) {
            found.push(start + prefix.len()..start + part.len());
        }
        start += part.len() + 1;
    }
    found
}

/// Another digit, which is one in decimal, hexadecimal and base64.
fn replace_digit(text: &mut String, at: usize) {
    let other = if &text[at..=at] == "1" { "2" } else { "1" };
    text.replace_range(at..=at, other);
}
