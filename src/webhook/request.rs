//! The request as expressions see it: `request`, computed when it is asked for.
//!
//! The body is parsed at most once and only if something reads it. What kind of body it is, is
//! decided by the content type alone; a body that says it is JSON and is not is malformed, never
//! "text after all", so that authentication and splitting can not read the same bytes differently.

use std::cell::OnceCell;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value as Json;

use super::media::{Family, Media};
use super::registration::RegistrationView;
use crate::configuration::LiveRegistration;
use crate::expression::{EvaluationError, Object, Value};

/// Largest body that a handshake's expressions read: they run before authentication, and real
/// handshakes are a few hundred bytes.
pub const MAX_HANDSHAKE_BODY_BYTES: usize = 16 << 10;

/// One HTTP request, complete and within the limits of its type.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The gateway's public URL exactly as it is configured.
    pub public_url: String,
    /// Path and query exactly as received, byte for byte.
    pub path_and_query: String,
    /// The headers as received.
    pub headers: HeaderMap,
    /// The body as sent: what signatures are computed over.
    pub raw_body: Bytes,
    /// The body after content decoding; the same bytes where none was applied.
    pub body: Bytes,
}

/// What a body is.
#[derive(Debug)]
pub enum Body<'r> {
    /// No bytes at all.
    Empty,
    /// JSON text; not yet parsed.
    Json(&'r str),
    /// A form: name → list of texts.
    Form(Json),
    /// Text, XML included.
    Text(&'r str),
    /// Bytes that nothing here reads.
    Binary,
    /// Says that it is JSON, and is not UTF-8.
    Malformed,
}

/// A request with everything derived from it, each part computed at most once.
pub struct View<'r> {
    request: &'r Request,
    registration: Option<RegistrationView<'r>>,
    headers: Headers<'r>,
    media: Media,
    url: OnceCell<String>,
    query: OnceCell<Json>,
    body: OnceCell<Body<'r>>,
    json: OnceCell<Option<Json>>,
}

impl<'r> View<'r> {
    /// Nothing is read yet but the content type. `registration` is the one whose URI it came to.
    pub fn new(request: &'r Request, registration: Option<&'r LiveRegistration>) -> Self {
        Self {
            request,
            registration: registration.map(RegistrationView::new),
            headers: Headers(&request.headers),
            media: Media::of(&request.headers),
            url: OnceCell::new(),
            query: OnceCell::new(),
            body: OnceCell::new(),
            json: OnceCell::new(),
        }
    }

    /// The request itself.
    pub fn request(&self) -> &'r Request {
        self.request
    }

    /// The registration that the URI belongs to.
    pub fn registration(&self) -> Option<&RegistrationView<'r>> {
        self.registration.as_ref()
    }

    /// The content type.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// What the body is.
    pub fn body(&self) -> &Body<'r> {
        self.body.get_or_init(|| self.classify())
    }

    fn classify(&self) -> Body<'r> {
        let bytes = &self.request.body;
        if bytes.is_empty() {
            return Body::Empty;
        }
        let text = || std::str::from_utf8(bytes).ok();
        match self.media.family() {
            Family::Json => text().map_or(Body::Malformed, Body::Json),
            Family::Form => Body::Form(texts_by_name(bytes)),
            Family::Xml => text().map_or(Body::Binary, Body::Text),
            Family::Text => match text() {
                None => Body::Binary,
                // Whether it is JSON only parsing tells, and then it is parsed already.
                Some(text) => match serde_json::from_str(text) {
                    Ok(json) => {
                        let _ = self.json.set(Some(json));
                        Body::Json(text)
                    }
                    Err(_) => Body::Text(text),
                },
            },
            Family::Other => Body::Binary,
        }
    }

    /// The parsed JSON body; `None` if the body is no JSON or does not parse.
    pub fn json(&self) -> Option<&Json> {
        let Body::Json(text) = self.body() else {
            return None;
        };
        self.json
            .get_or_init(|| serde_json::from_str(text).ok())
            .as_ref()
    }

    /// The query: name → list of texts.
    pub fn query(&self) -> &Json {
        self.query.get_or_init(|| {
            let query = self.request.path_and_query.split_once('?');
            texts_by_name(query.map_or("", |(_, query)| query).as_bytes())
        })
    }

    /// The public URL followed by path and query.
    pub fn url(&self) -> &str {
        self.url.get_or_init(|| {
            let Request {
                public_url,
                path_and_query,
                ..
            } = self.request;
            [public_url.as_str(), path_and_query].concat()
        })
    }

    fn body_value(&self) -> Result<Value<'_>, EvaluationError> {
        const MALFORMED: EvaluationError = EvaluationError::Unavailable {
            reason: "the body cannot be parsed as JSON",
        };
        match self.body() {
            Body::Empty | Body::Binary => Ok(Value::Null),
            Body::Json(_) => self.json().map(Value::from_json).ok_or(MALFORMED),
            Body::Form(form) => Ok(Value::from_json(form)),
            Body::Text(text) => Ok(Value::text(text)),
            Body::Malformed => Err(MALFORMED),
        }
    }

    fn form_value(&self) -> Value<'_> {
        static NOTHING: std::sync::LazyLock<Json> =
            std::sync::LazyLock::new(|| Json::Object(serde_json::Map::new()));
        match self.media.family() {
            Family::Form => match self.body() {
                Body::Form(form) => Value::from_json(form),
                _ => Value::from_json(&NOTHING),
            },
            _ => Value::from_json(&NOTHING),
        }
    }
}

const FIELDS: [&str; 9] = [
    "method",
    "path",
    "url",
    "query",
    "form",
    "headers",
    "body",
    "rawBody",
    "contentType",
];

impl Object for View<'_> {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        let request = self.request;
        Ok(Some(match name {
            "method" => Value::text(request.method.as_str()),
            "path" => {
                let path = request.path_and_query.split_once('?');
                Value::text(path.map_or(request.path_and_query.as_str(), |(path, _)| path))
            }
            "url" => Value::text(self.url()),
            "query" => Value::from_json(self.query()),
            "form" => self.form_value(),
            "headers" => Value::object(&self.headers),
            "body" => self.body_value()?,
            "rawBody" => Value::from(request.raw_body.clone()),
            "contentType" => Value::text(self.media.essence()),
            _ => return Ok(None),
        }))
    }

    fn names(&self) -> Vec<&str> {
        FIELDS.to_vec()
    }
}

/// The same request before authentication: a large body cannot be read.
pub struct Unauthenticated<'v, 'r>(pub &'v View<'r>);

impl Object for Unauthenticated<'_, '_> {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        let too_large = self.0.request.body.len() > MAX_HANDSHAKE_BODY_BYTES;
        if too_large && matches!(name, "body" | "form" | "rawBody") {
            return Err(EvaluationError::Unavailable {
                reason: "before authentication only a body of at most 16 KiB can be read",
            });
        }
        self.0.field(name)
    }

    fn names(&self) -> Vec<&str> {
        FIELDS.to_vec()
    }
}

/// Headers by lower-case name.
///
/// A name that occurs more than once is its values joined by `, ` (RFC 9110 §5.3), so a second
/// signature header can spoil a signature and never choose one. A value that is not UTF-8 is no
/// text: its header counts as missing.
struct Headers<'r>(&'r HeaderMap);

impl Headers<'_> {
    fn text(&self, name: &str) -> Option<Value<'_>> {
        // The map looks names up in any case; in expressions they are lower case.
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut values = self.0.get_all(name).iter();
        let first = std::str::from_utf8(values.next()?.as_bytes()).ok()?;
        let Some(second) = values.next() else {
            return Some(Value::text(first));
        };
        let mut joined = first.to_owned();
        for value in std::iter::once(second).chain(values) {
            joined.push_str(", ");
            joined.push_str(std::str::from_utf8(value.as_bytes()).ok()?);
        }
        Some(Value::from(joined))
    }
}

impl Object for Headers<'_> {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        Ok(self.text(name))
    }

    fn names(&self) -> Vec<&str> {
        self.0
            .keys()
            .map(http::HeaderName::as_str)
            .filter(|name| self.text(name).is_some())
            .collect()
    }
}

/// The one value of a header as text; `None` if it is missing, repeated or no text.
pub fn single_header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    std::str::from_utf8(value.as_bytes()).ok()
}

/// `a=1&a=2` as `{"a": ["1", "2"]}`. Bytes that are no UTF-8 become replacement characters.
fn texts_by_name(encoded: &[u8]) -> Json {
    let mut names = serde_json::Map::new();
    for (name, text) in form_urlencoded::parse(encoded) {
        let texts = names
            .entry(name)
            .or_insert_with(|| Json::Array(Vec::with_capacity(1)));
        if let Json::Array(texts) = texts {
            texts.push(Json::String(text.into_owned()));
        }
    }
    Json::Object(names)
}
