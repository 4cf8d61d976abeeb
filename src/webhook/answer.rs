//! Answers that a type declares: `respond` of the webhook and of its handshakes.
//!
//! An answer may repeat what the request says, to whoever sent it. So it always says `nosniff`, its
//! length is bounded, and headers that belong to the connection cannot be declared.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderValue, StatusCode};

use super::compiler::Compiler;
use super::pool::Pool;
use super::verdict::Answer;
use crate::api::{self, FieldPath};
use crate::expression::{Position, Scope, Template, TreeTemplate, Variables};

/// Longest body of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// A compiled `respond`.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    headers: Vec<(HeaderName, Template)>,
    body: ResponseBody,
}

#[derive(Debug)]
enum ResponseBody {
    Empty,
    Text(Template),
    Json(TreeTemplate),
}

impl Response {
    /// Compiles an answer whose status is `default` where none is written.
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        spec: &api::Response,
        scope: &Scope,
        default: StatusCode,
    ) -> Self {
        let api::Response {
            status,
            headers,
            text,
            body,
        } = spec;
        let status = match status.map(StatusCode::from_u16) {
            None => default,
            Some(Ok(status)) if (200..600).contains(&status.as_u16()) => status,
            Some(_) => {
                compiler.error(&path.field("status"), "the status must be 200 to 599");
                default
            }
        };
        let mut compiled = Vec::new();
        for (name, template) in headers {
            let path = path.field("headers").field(name);
            match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => compiler.error(&path, "this is no name of a header"),
                Ok(name) if is_of_the_connection(&name) => {
                    compiler.error(
                        &path,
                        "this header belongs to the connection and is set by the gateway",
                    );
                }
                Ok(name) => {
                    let template = compiler.template(&path, template, scope, Position::Header);
                    compiled.extend(template.map(|template| (name, template)));
                }
            }
        }
        let text_path = path.field("text");
        let body = match (text, body) {
            (None, None) => ResponseBody::Empty,
            (Some(text), None) => compiler
                .template(&text_path, text, scope, Position::Text)
                .map_or(ResponseBody::Empty, ResponseBody::Text),
            (None, Some(tree)) => compiler
                .tree(&path.field("body"), tree, scope)
                .map_or(ResponseBody::Empty, ResponseBody::Json),
            (Some(_), Some(_)) => {
                compiler.error(path, "write at most one of text and body");
                ResponseBody::Empty
            }
        };
        Self {
            status,
            headers: compiled,
            body,
        }
    }

    /// Whether the answer says that events are safe.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// The status alone.
    pub fn bare(&self) -> Answer {
        Answer {
            status: self.status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// The answer; an error says why it cannot be made.
    pub fn render(&self, variables: &dyn Variables, pool: &mut Pool) -> Result<Answer, String> {
        let mut headers = Vec::with_capacity(self.headers.len() + 2);
        for (name, template) in &self.headers {
            let text = pool
                .evaluate(|budget| {
                    template
                        .render_text(variables, budget)
                        .map(|text| text.into_owned())
                })
                .map_err(|error| format!("respond.headers[{:?}]: {error}", name.as_str()))?;
            let value = HeaderValue::from_str(&text).map_err(|_| {
                format!(
                    "respond.headers[{:?}]: the value cannot stand in a header",
                    name.as_str()
                )
            })?;
            headers.push((name.clone(), value));
        }
        let (body, content_type) = match &self.body {
            ResponseBody::Empty => (Bytes::new(), None),
            ResponseBody::Text(template) => {
                let text = pool
                    .evaluate(|budget| {
                        template
                            .render_text(variables, budget)
                            .map(|text| text.into_owned())
                    })
                    .map_err(|error| format!("respond.text: {error}"))?;
                (Bytes::from(text), Some("text/plain; charset=utf-8"))
            }
            ResponseBody::Json(tree) => {
                let json = pool
                    .evaluate(|budget| tree.render(variables, budget))
                    .map_err(|error| format!("respond.body: {error}"))?;
                (Bytes::from(json.to_string()), Some("application/json"))
            }
        };
        if body.len() > MAX_ANSWER_BYTES {
            return Err("respond: the answer is longer than 64 KiB".to_owned());
        }
        let declared = |headers: &[(HeaderName, HeaderValue)], name: &HeaderName| {
            headers.iter().any(|(other, _)| other == name)
        };
        if let Some(content_type) = content_type
            && !declared(&headers, &header::CONTENT_TYPE)
        {
            headers.push((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
        }
        if !declared(&headers, &header::X_CONTENT_TYPE_OPTIONS) {
            headers.push((
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ));
        }
        Ok(Answer {
            status: self.status,
            headers,
            body,
        })
    }
}

fn is_of_the_connection(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 6] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    NAMES.contains(name) || name.as_str() == "keep-alive"
}
