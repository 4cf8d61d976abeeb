//! The media type of a body, and which family of bodies it belongs to.
//!
//! Anything unclear is no type at all: a request with two `Content-Type` headers, or one that is
//! not `type/subtype`, must not be read as one thing here and as another by whoever signed it.

use http::{HeaderMap, header::CONTENT_TYPE};

/// The parts of a `Content-Type` header that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `type/subtype` in lower case; empty if there is none or it is unclear.
    essence: String,
    /// The header as it came; `None` if there is none or it is unclear.
    written: Option<String>,
    family: Family,
}

/// How a body of a media type is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `*/json`, `*/*+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `*/xml`, `*/*+xml`: text that is never taken for JSON.
    Xml,
    /// Other `text/*`, and no header at all: JSON if it parses, else text.
    Text,
    /// All else: bytes.
    Other,
}

impl Media {
    /// The media type that `headers` name.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            let family = match headers.contains_key(CONTENT_TYPE) {
                true => Family::Other,
                false => Family::Text,
            };
            return Self {
                essence: String::new(),
                written: None,
                family,
            };
        };
        let written = value.to_str().unwrap_or_default().trim();
        let essence = written.split(';').next().unwrap_or_default().trim_end();
        match essence.split_once('/') {
            Some((kind, subtype)) if is_token(kind) && is_token(subtype) => {
                let essence = essence.to_ascii_lowercase();
                let family = family(&essence);
                Self {
                    essence,
                    written: Some(written.to_owned()),
                    family,
                }
            }
            _ => Self {
                essence: String::new(),
                written: None,
                family: Family::Other,
            },
        }
    }

    /// `type/subtype` in lower case without parameters; empty if there is none.
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// The header as it came, parameters included.
    pub fn written(&self) -> Option<&str> {
        self.written.as_deref()
    }

    /// How a body of this type is read.
    pub fn family(&self) -> Family {
        self.family
    }
}

fn family(essence: &str) -> Family {
    let (kind, subtype) = essence.split_once('/').unwrap_or_default();
    let suffix = subtype
        .rsplit_once('+')
        .map_or(subtype, |(_, suffix)| suffix);
    match (kind, suffix) {
        (_, "json") => Family::Json,
        ("application", "x-www-form-urlencoded") => Family::Form,
        (_, "xml") => Family::Xml,
        ("text", _) => Family::Text,
        _ => Family::Other,
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[&str], essence: &str, family: Family) {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(
                CONTENT_TYPE,
                http::HeaderValue::from_bytes(header.as_bytes()).unwrap(),
            );
        }
        let media = Media::of(&map);
        assert_eq!(
            (media.essence(), media.family()),
            (essence, family),
            "{headers:?}"
        );
    }

    #[test]
    fn the_family_follows_from_type_and_suffix() {
        check(&["application/json"], "application/json", Family::Json);
        check(
            &["Application/JSON; charset=UTF-8"],
            "application/json",
            Family::Json,
        );
        check(&["text/json"], "text/json", Family::Json);
        check(
            &["application/cloudevents-batch+json"],
            "application/cloudevents-batch+json",
            Family::Json,
        );
        check(
            &["application/x-www-form-urlencoded"],
            "application/x-www-form-urlencoded",
            Family::Form,
        );
        check(&["text/xml"], "text/xml", Family::Xml);
        check(
            &["application/soap+xml;charset=x"],
            "application/soap+xml",
            Family::Xml,
        );
        check(&["text/plain"], "text/plain", Family::Text);
        check(&[], "", Family::Text);
        check(
            &["application/octet-stream"],
            "application/octet-stream",
            Family::Other,
        );
        check(&["application/jsonp"], "application/jsonp", Family::Other);
    }

    #[test]
    fn what_is_unclear_is_read_as_bytes() {
        check(&["application/json", "text/plain"], "", Family::Other);
        check(&["application/json, application/json"], "", Family::Other);
        check(&["json"], "", Family::Other);
        check(&[""], "", Family::Other);
        check(&["application/"], "", Family::Other);
        check(&["application/json\u{fc}"], "", Family::Other);
    }
}
