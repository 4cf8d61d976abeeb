//! How an event looks as an HTTP request: the CloudEvents 1.0 HTTP protocol binding in binary and
//! structured mode, and the payload alone.
//!
//! The payload's bytes go out as they came in: as the body, or inside the JSON envelope as they
//! are. Only a payload that cannot stand there is wrapped (as a JSON string or base64). Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::value::RawValue;

use crate::configuration::Format;
use crate::event::{Attributes, Event, ExtensionValue};

/// The `specversion` of every event.
const SPEC_VERSION: &str = "1.0";

/// The media type of structured mode (JSON event format §3).
const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";

/// Headers and body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `content-type`, and in binary mode the `ce-` headers.
    pub headers: HeaderMap,
    /// The body; empty for an event without data in binary and raw form.
    pub body: Bytes,
}

/// An event that no request can carry. Such an event should not exist: names of extensions are
/// checked where they are declared, content types come from a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// CloudEvents §3.1: names are lower-case letters and digits, and none of the event's own.
    #[error("the event's extension {0:?} is not named as CloudEvents allows")]
    ExtensionName(String),
    /// A content type that no header can hold.
    #[error("the event's content type cannot stand in a header")]
    ContentType,
}

/// The request that carries `event` in `format`.
///
/// # Errors
/// When an attribute cannot be expressed.
pub fn of(format: Format, event: &Event) -> Result<Message, EncodingError> {
    match format {
        Format::Binary => binary(event),
        Format::Structured => structured(event),
        Format::Raw => Ok(Message {
            headers: content_type(&event.attributes)?,
            body: event.data.clone().unwrap_or_default(),
        }),
    }
}

fn binary(event: &Event) -> Result<Message, EncodingError> {
    let Attributes {
        id,
        source,
        event_type,
        subject,
        time,
        data_content_type: _,
        extensions,
        app_event_type: _,
        customer: _,
        deduplication: _,
    } = &event.attributes;
    let mut headers = content_type(&event.attributes)?;
    let mut insert = |name: &'static str, value: &str| {
        headers.insert(HeaderName::from_static(name), header_value(value));
    };
    insert("ce-specversion", SPEC_VERSION);
    insert("ce-id", id);
    insert("ce-source", source);
    insert("ce-type", event_type);
    if let Some(subject) = subject {
        insert("ce-subject", subject);
    }
    insert("ce-time", &time.to_string());
    for (name, value) in extensions {
        check_extension_name(name)?;
        let header = HeaderName::from_bytes(format!("ce-{name}").as_bytes())
            .map_err(|_| EncodingError::ExtensionName(name.clone()))?;
        headers.insert(header, header_value(&value.to_string()));
    }
    Ok(Message {
        headers,
        body: event.data.clone().unwrap_or_default(),
    })
}

fn content_type(attributes: &Attributes) -> Result<HeaderMap, EncodingError> {
    let mut headers = HeaderMap::new();
    if let Some(value) = &attributes.data_content_type {
        let value = HeaderValue::from_str(value).map_err(|_| EncodingError::ContentType)?;
        headers.insert(header::CONTENT_TYPE, value);
    }
    Ok(headers)
}

/// HTTP protocol binding §3.1.3.2: space, quote, percent and all that is not printable ASCII.
const HEADER_ESCAPES: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'%');

/// An attribute's text as a header's value.
pub(super) fn header_value(text: &str) -> HeaderValue {
    let escaped = utf8_percent_encode(text, &HEADER_ESCAPES).to_string();
    #[expect(
        clippy::expect_used,
        reason = "what is left after the escapes is printable ASCII, which every header may hold"
    )]
    HeaderValue::try_from(escaped).expect("printable ASCII")
}

/// Members of the envelope that no extension may be mistaken for.
const RESERVED: [&str; 11] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "data",
    "data_base64",
    "datacontentencoding",
];

fn check_extension_name(name: &str) -> Result<(), EncodingError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.is_empty() || !name.bytes().all(allowed) || RESERVED.contains(&name) {
        return Err(EncodingError::ExtensionName(name.to_owned()));
    }
    Ok(())
}

fn structured(event: &Event) -> Result<Message, EncodingError> {
    let Attributes {
        id,
        source,
        event_type,
        subject,
        time,
        data_content_type,
        extensions,
        app_event_type: _,
        customer: _,
        deduplication: _,
    } = &event.attributes;
    let size = event.data.as_ref().map_or(0, |data| data.len() * 4 / 3);
    let mut envelope = Envelope(Vec::with_capacity(512 + size));
    envelope.text("specversion", SPEC_VERSION);
    envelope.text("id", id);
    envelope.text("source", source);
    envelope.text("type", event_type);
    if let Some(subject) = subject {
        envelope.text("subject", subject);
    }
    envelope.text("time", &time.to_string());
    if let Some(content_type) = data_content_type {
        envelope.text("datacontenttype", content_type);
    }
    for (name, value) in extensions {
        check_extension_name(name)?;
        match value {
            ExtensionValue::Boolean(value) => envelope.raw(name, value.to_string().as_bytes()),
            ExtensionValue::Integer(value) => envelope.raw(name, value.to_string().as_bytes()),
            ExtensionValue::Text(value) => envelope.text(name, value),
        }
    }
    if let Some(data) = &event.data {
        match embedding(data_content_type.as_deref(), data) {
            Embedding::Json => envelope.raw("data", data),
            Embedding::Text(text) => envelope.text("data", text),
            Embedding::Base64 => envelope.text("data_base64", &STANDARD.encode(data)),
        }
    }
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_static(STRUCTURED);
    headers.insert(header::CONTENT_TYPE, content_type);
    Ok(Message {
        headers,
        body: envelope.finish(),
    })
}

/// A JSON object that is being written.
struct Envelope(Vec<u8>);

impl Envelope {
    fn raw(&mut self, name: &str, json: &[u8]) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.json_text(name);
        self.0.push(b':');
        self.0.extend_from_slice(json);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.raw(name, b"");
        self.json_text(text);
    }

    fn json_text(&mut self, text: &str) {
        #[expect(
            clippy::expect_used,
            reason = "a string has a JSON form, and writing to a Vec cannot fail"
        )]
        serde_json::to_writer(&mut self.0, text).expect("a string to a Vec");
    }

    fn finish(mut self) -> Bytes {
        self.0.push(b'}');
        self.0.into()
    }
}

/// How a payload stands in the envelope (JSON event format §3.1).
enum Embedding<'a> {
    /// As it is, in `data`.
    Json,
    /// As a JSON string, in `data`.
    Text(&'a str),
    /// In `data_base64`.
    Base64,
}

/// JSON stands there as it is, if it really is JSON: whatever a payload claims, it cannot break
/// the envelope. Text in UTF-8 is a string; every other payload, also a broken one, is base64, so
/// that its bytes survive.
fn embedding<'a>(content_type: Option<&str>, data: &'a [u8]) -> Embedding<'a> {
    let (media_type, parameters) = match content_type {
        None => ("application/json", ""),
        Some(text) => text.split_once(';').unwrap_or((text, "")),
    };
    let media_type = media_type.trim().to_ascii_lowercase();
    if media_type.ends_with("/json") || media_type.ends_with("+json") {
        return match serde_json::from_slice::<&RawValue>(data) {
            Ok(_) => Embedding::Json,
            Err(_) => Embedding::Base64,
        };
    }
    let is_text = media_type.starts_with("text/")
        || media_type.ends_with("/xml")
        || media_type.ends_with("+xml")
        || media_type == "application/x-www-form-urlencoded";
    match std::str::from_utf8(data) {
        Ok(text) if is_text && is_utf8_charset(parameters) => Embedding::Text(text),
        _ => Embedding::Base64,
    }
}

/// Whether a content type's parameters name no other charset than UTF-8 (or ASCII, a part of it).
fn is_utf8_charset(parameters: &str) -> bool {
    parameters.split(';').all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        !name.trim().eq_ignore_ascii_case("charset")
            || matches!(value.as_str(), "utf-8" | "utf8" | "us-ascii")
    })
}
