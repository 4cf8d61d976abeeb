//! Which headers a subscription may add to its requests, and their values. Pure.
//!
//! A header that would change what the request is (its length, its connection, the event it
//! carries) is refused rather than ignored, so nobody waits for one that never comes.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::configuration::Header;

/// Why a configured header cannot be sent. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderRefused {
    /// Not a header name (RFC 9110 §5.1).
    #[error("the header name {0:?} is not a valid one")]
    Name(String),
    /// A name that is ours to write.
    #[error("the header {name:?} cannot be set: {reason}")]
    Reserved {
        /// The header's name as configured.
        name: String,
        /// Whose it is.
        reason: &'static str,
    },
    /// The same name twice; names are the same in any case.
    #[error("the header {0:?} is set more than once")]
    Twice(String),
    /// A value with CR, LF, NUL or another control character.
    #[error("the value of header {0:?} holds a character that no header may hold")]
    Value(String),
}

/// Whether a header of this name may be configured; `signed`: whether requests are signed.
///
/// # Errors
/// When it may not.
pub fn check_name(name: &str, signed: bool) -> Result<HeaderName, HeaderRefused> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| HeaderRefused::Name(name.to_owned()))?;
    match reserved(header.as_str(), signed) {
        None => Ok(header),
        Some(reason) => Err(HeaderRefused::Reserved {
            name: name.to_owned(),
            reason,
        }),
    }
}

/// Whose a header is, if it is not the user's. `name` is in lower case.
fn reserved(name: &str, signed: bool) -> Option<&'static str> {
    match name {
        "content-type" => Some("it says what the event is; choose a format instead"),
        "host" => Some("it follows from the URL"),
        "content-length" | "transfer-encoding" | "te" | "trailer" | "content-encoding"
        | "expect" => Some("it belongs to the body as it is sent"),
        "connection" | "keep-alive" | "upgrade" | "http2-settings" => {
            Some("it belongs to the connection")
        }
        _ if name.starts_with("proxy-") => Some("it belongs to the connection"),
        _ if name.starts_with("ce-") => Some("it is an attribute of the event"),
        "webhook-id" | "webhook-timestamp" | "webhook-signature" if signed => {
            Some("signing writes it")
        }
        _ => None,
    }
}

/// The configured headers as they are sent.
pub(super) fn configured(headers: &[Header], signed: bool) -> Result<HeaderMap, HeaderRefused> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for Header { name, value } in headers {
        let header = check_name(name, signed)?;
        let mut value = HeaderValue::from_bytes(value.expose())
            .map_err(|_| HeaderRefused::Value(name.clone()))?;
        // Keeps it out of `Debug` and of HTTP/2's compression table.
        value.set_sensitive(true);
        if map.insert(header, value).is_some() {
            return Err(HeaderRefused::Twice(name.clone()));
        }
    }
    Ok(map)
}
