//! Which part of a URL each placeholder of a URL template is in, and what a
//! value may be there.
//!
//! The parts are known when the template is compiled, from its literal text; a
//! value is encoded or refused so that it never starts another part. That a
//! host may be called at all is decided by whoever sends the request.

use super::scan::Part;
use super::{Piece, Template};
use crate::expression::functions::RESERVED;
use crate::expression::parse::character_at;
use crate::expression::{CompileError, EvaluationError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UrlRule {
    /// Not in a URL: written as it is.
    None,
    /// The whole URL is this one value.
    Whole,
    /// In the host: a hostname, or labels of one.
    Host,
    /// In the path: percent-encoded, slashes too.
    Path,
    /// In the path, as `path(x)`: percent-encoded between its slashes.
    PathWithSlashes,
    /// In the query: encoded as forms are.
    Query,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    Host,
    Path,
    Query,
}

/// Where a URL template leads, as far as its own text tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Anywhere: the whole URL is one value.
    Any,
    /// To a host that values decide on, with the literal scheme, and the port where one is written.
    Host {
        /// Whether the scheme is `https`.
        https: bool,
        /// The port that follows the host.
        port: Option<u16>,
    },
    /// To this origin: its text is literal up to the path.
    Origin(url::Url),
}

impl Template {
    /// Where a template of [`super::Position::Url`] leads; `None` for other positions.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        let rules = self.placeholders().map(|placeholder| placeholder.rule);
        let mut in_host = false;
        for rule in rules {
            match rule {
                UrlRule::None => return None,
                UrlRule::Whole => return Some(Target::Any),
                UrlRule::Host => in_host = true,
                UrlRule::Path | UrlRule::PathWithSlashes | UrlRule::Query => {}
            }
        }
        // As a placeholder in the host would have its own rule, the text before the first one
        // holds the whole origin.
        let mut whole = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => whole.push_str(text),
                Piece::Placeholder(_) if in_host => whole.push('1'),
                Piece::Placeholder(_) => break,
            }
        }
        let url = url::Url::parse(&whole).ok()?;
        if in_host {
            return Some(Target::Host {
                https: url.scheme() == "https",
                port: url.port(),
            });
        }
        Some(Target::Origin(url))
    }
}

/// The rule of each placeholder, in order.
pub(super) fn rules(source: &str, parts: &[Part]) -> Result<Vec<UrlRule>, CompileError> {
    let first = match parts {
        [Part::Placeholder { .. }] => return Ok(vec![UrlRule::Whole]),
        [Part::Literal { text, .. }, ..] => text,
        _ => "",
    };
    let scheme = ["https://", "http://"]
        .into_iter()
        .find(|scheme| first.starts_with(scheme));
    let Some(scheme) = scheme else {
        let message = "a URL begins with https:// or http://, or is one placeholder";
        return Err(CompileError::new(message, character_at(source, 0)));
    };
    let mut place = In::Host;
    let mut rules = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Literal { text, start, end } => {
                let text = if index == 0 {
                    &text[scheme.len()..]
                } else {
                    text.as_str()
                };
                for c in text.chars() {
                    place = next(place, c)
                        .map_err(|message| CompileError::new(message, *start..*end))?;
                }
            }
            Part::Placeholder { .. } => rules.push(match place {
                In::Host => UrlRule::Host,
                In::Path => UrlRule::Path,
                In::Query => UrlRule::Query,
            }),
        }
    }
    let whole: String = parts
        .iter()
        .map(|part| match part {
            Part::Literal { text, .. } => text.as_str(),
            // Stands for any value: a valid label, segment and parameter.
            Part::Placeholder { .. } => "1",
        })
        .collect();
    if url::Url::parse(&whole).is_err() || has_dot_segment(&whole) {
        return Err(CompileError::new("this is not a URL", 0..source.len()));
    }
    Ok(rules)
}

fn next(place: In, c: char) -> Result<In, &'static str> {
    if c <= ' '
        || !c.is_ascii()
        || matches!(
            c,
            '\u{7f}' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'
        )
    {
        return Err("this character has to be percent-encoded in a URL");
    }
    Ok(match (place, c) {
        (_, '#') => return Err("a URL's fragment is never sent"),
        (In::Host, '@') => return Err("user and password do not belong in a URL; use a header"),
        (In::Host, '/') => In::Path,
        (In::Host | In::Path, '?') => In::Query,
        _ => place,
    })
}

impl UrlRule {
    /// Appends a value's text in the form this place needs.
    pub(super) fn append(self, text: &str, url: &mut String) -> Result<(), EvaluationError> {
        let refuse = |reason| Err(EvaluationError::NotRenderable { reason });
        match self {
            Self::None => url.push_str(text),
            Self::Whole => {
                let http = text.starts_with("https://") || text.starts_with("http://");
                if !http || text.contains(|c: char| c <= ' ' || c == '\u{7f}' || c == '\\') {
                    return refuse("the value is not an http or https URL");
                }
                url.push_str(text);
            }
            Self::Host => {
                if !is_hostname(text) {
                    return refuse("a value in a URL's host is not a hostname");
                }
                url.push_str(text);
            }
            Self::Path | Self::PathWithSlashes if text.is_empty() => {
                // `/things/$(id)` with an empty id would mean all things.
                return refuse("a value in a URL's path is empty");
            }
            Self::Path => url.extend(percent_encoding::utf8_percent_encode(text, RESERVED)),
            Self::PathWithSlashes => {
                for (index, segment) in text.split('/').enumerate() {
                    if index > 0 {
                        url.push('/');
                    }
                    url.extend(percent_encoding::utf8_percent_encode(segment, RESERVED));
                }
            }
            Self::Query => url.extend(form_urlencoded::byte_serialize(text.as_bytes())),
        }
        Ok(())
    }
}

/// Letters, digits and hyphens between dots, as RFC 1123 section 2.1 has it.
fn is_hostname(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// Longer URLs are refused: servers refuse them too, and reading a long international host takes quadratic time.
const MAX_URL: usize = 8 * 1024;

/// The rendered whole: still a URL of a host, and no value climbed up its path.
pub(super) fn check(url: &str) -> Result<(), EvaluationError> {
    if url.len() > MAX_URL {
        return Err(EvaluationError::NotRenderable {
            reason: "with these values the URL is longer than 8 KiB",
        });
    }
    let parsed = url::Url::parse(url).map_err(|_| EvaluationError::NotRenderable {
        reason: "with these values it is not a URL",
    })?;
    if parsed.host_str().is_none() || !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(EvaluationError::NotRenderable {
            reason: "with these values the URL has no host, or a user",
        });
    }
    if has_dot_segment(url) {
        return Err(EvaluationError::NotRenderable {
            reason: "with these values the URL's path holds `.` or `..`",
        });
    }
    Ok(())
}

/// Whether a segment of the path is `.` or `..`, in any spelling that URL parsers read as one.
fn has_dot_segment(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.split(['?', '#']).next().unwrap_or_default();
    path.split('/').skip(1).any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}
