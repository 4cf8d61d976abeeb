//! Where a request carries a value, read off the expression that reads it.

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue};
use regex::Regex;

use super::{SignError, set_header};
use crate::webhook::request::Request;

/// Where a request carries a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header, by its name in lower case.
    Header(String),
    /// A member of a header such as `t=1,v1=a`.
    HeaderMember {
        /// The header.
        header: String,
        /// What stands between members.
        separator: String,
        /// The member's name.
        member: String,
    },
    /// A query parameter.
    Query(String),
}

/// `["name"]` or `.name`, with the name as `$name`.
fn access(name: &str) -> String {
    format!(r#"(?:\["(?<{name}>[^"]+)"\]|\.(?<{name}_>[A-Za-z_][A-Za-z0-9_]*))"#)
}

#[expect(
    clippy::expect_used,
    reason = "the patterns are constants, and a unit test reads all of them"
)]
fn pattern(text: &str) -> Regex {
    Regex::new(&format!(r"^\s*{text}\s*$")).expect("a valid pattern")
}

static HEADER: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"request\.headers{}", access("name"))));
static QUERY: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"request\.query{}\[0\]", access("name"))));
static MEMBER: LazyLock<Regex> = LazyLock::new(|| {
    let (header, member) = (access("name"), access("member"));
    pattern(&format!(
        r#"kv\(request\.headers{header}(?:,\s*"(?<separator>[^"]+)")?\){member}(?:\[0\])?"#
    ))
});

impl Place {
    /// The place that an expression reads.
    ///
    /// # Errors
    /// When it is none of the known shapes.
    pub fn of(expression: &str) -> Result<Self, SignError> {
        let name = |captures: &regex::Captures<'_>, group: &str| {
            let found = captures
                .name(group)
                .or_else(|| captures.name(&format!("{group}_")));
            found
                .map(|found| found.as_str().to_owned())
                .unwrap_or_default()
        };
        if let Some(captures) = HEADER.captures(expression) {
            return Ok(Self::Header(name(&captures, "name")));
        }
        if let Some(captures) = QUERY.captures(expression) {
            return Ok(Self::Query(name(&captures, "name")));
        }
        if let Some(captures) = MEMBER.captures(expression) {
            let separator = captures
                .name("separator")
                .map_or(",", |found| found.as_str());
            return Ok(Self::HeaderMember {
                header: name(&captures, "name"),
                separator: separator.to_owned(),
                member: name(&captures, "member"),
            });
        }
        Err(SignError::Place(expression.to_owned()))
    }

    /// Puts a value there.
    ///
    /// # Errors
    /// When it cannot stand there.
    pub fn put(&self, request: &mut Request, value: &str) -> Result<(), SignError> {
        let header_name =
            |name: &str| HeaderName::from_bytes(name.as_bytes()).map_err(|_| SignError::Header);
        match self {
            Self::Header(name) => set_header(request, header_name(name)?, value),
            Self::HeaderMember {
                header,
                separator,
                member,
            } => {
                let name = header_name(header)?;
                let before = request
                    .headers
                    .get(&name)
                    .and_then(|value: &HeaderValue| value.to_str().ok());
                let pair = format!("{member}={value}");
                let value = match before {
                    Some(before) => format!("{before}{separator}{pair}"),
                    None => pair,
                };
                set_header(request, name, &value)
            }
            Self::Query(name) => {
                let mut pair = form_urlencoded::Serializer::new(String::new());
                pair.append_pair(name, value);
                let mark = if request.path_and_query.contains('?') {
                    '&'
                } else {
                    '?'
                };
                request.path_and_query.push(mark);
                request.path_and_query.push_str(&pair.finish());
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_shapes_are_recognised() {
        let check = |expression: &str, expected: Option<Place>| {
            assert_eq!(Place::of(expression).ok(), expected, "{expression}");
        };
        let header = |name: &str| Some(Place::Header(name.into()));
        check(r#"request.headers["x-signature"]"#, header("x-signature"));
        check(" request.headers.authorization ", header("authorization"));
        check(
            r#"request.query["token"][0]"#,
            Some(Place::Query("token".into())),
        );
        let member = |separator: &str, member: &str| {
            Some(Place::HeaderMember {
                header: "stripe-signature".into(),
                separator: separator.into(),
                member: member.into(),
            })
        };
        check(
            r#"kv(request.headers["stripe-signature"]).v1"#,
            member(",", "v1"),
        );
        check(
            r#"kv(request.headers["stripe-signature"], ";")["t"][0]"#,
            member(";", "t"),
        );
        check("request.body.signature", None);
        check(r#"request.headers["a"] + request.headers["b"]"#, None);
    }
}
