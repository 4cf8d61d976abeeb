//! Answers that say no: `application/problem+json` (RFC 9457), in one place, so that every one of
//! them is complete and none can hold what a request carried.
//!
//! A detail is a sentence of ours; values, keys, header contents and tokens of a request never
//! stand in one.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::event::Reason;

/// How long a sender should wait where we cannot know: long enough not to hammer, short enough
/// that nobody notices the delay.
pub const RETRY_SOON: Duration = Duration::from_secs(5);

/// One refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// One sentence for the person who debugs the sender.
    pub detail: Cow<'static, str>,
    /// When to come again.
    pub retry_after: Option<Duration>,
    /// The methods that are allowed, for 405.
    pub allow: Option<HeaderValue>,
    /// The events that were refused, for 422.
    pub errors: Vec<ItemProblem>,
}

/// What is wrong with one event of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemProblem {
    /// The event's place in the request, from 0.
    pub index: usize,
    /// Why it was refused.
    pub reasons: Vec<Reason>,
}

impl Problem {
    /// A refusal with this status and sentence.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            detail: detail.into(),
            retry_after: None,
            allow: None,
            errors: Vec::new(),
        }
    }

    /// 503: a fault or a want of ours. The sender keeps the event and comes again.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_SOON)
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The answer.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        #[derive(Serialize)]
        struct Document<'a> {
            /// RFC 9457 §4.2.1: the status says it all.
            r#type: &'static str,
            title: &'a str,
            status: u16,
            detail: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [ItemProblem],
        }
        let Self {
            status,
            detail,
            retry_after,
            allow,
            errors,
        } = self;
        let document = Document {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &detail,
            errors: &errors,
        };
        // Plain data always serialises; an empty body would still be a correct answer.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(after) = retry_after {
            headers.insert(RETRY_AFTER, whole_seconds(after).into());
        }
        if let Some(methods) = allow {
            headers.insert(ALLOW, methods);
        }
        harden(headers);
        response
    }
}

/// What every answer carries: it is neither to be guessed at nor to be kept by anybody.
pub fn harden(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// `Retry-After` counts in whole seconds; rounding down would invite a sender too early.
fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::event::ReasonCode;

    #[tokio::test]
    async fn a_problem_is_complete() {
        let mut problem =
            Problem::unavailable("the event log is full").retry_after(Duration::from_millis(1_200));
        problem.errors.push(ItemProblem {
            index: 2,
            reasons: vec![Reason {
                code: ReasonCode::SchemaViolation,
                message: "is not a number".into(),
                pointer: Some("/total".into()),
            }],
        });
        let response = problem.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "about:blank", "title": "Service Unavailable", "status": 503,
                "detail": "the event log is full",
                "errors": [{"index": 2, "reasons": [{"code": "SchemaViolation", "message": "is not a number", "pointer": "/total"}]}],
            })
        );
    }
}
