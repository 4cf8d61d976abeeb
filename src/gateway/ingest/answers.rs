//! The answers that are made from more than a sentence.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::super::outcome::Outcome;
use super::super::problem::{ItemProblem, Problem, harden};
use super::super::store::StoreError;
use super::super::storing::Stored;
use super::Conclusion;
use crate::webhook::{self, AuthenticationFailure, Rejection};

/// 422: what is wrong with which events.
pub fn rejected(rejection: Rejection) -> Box<Conclusion> {
    let Rejection {
        count,
        items,
        // Told already.
        notices: _,
    } = rejection;
    let detail = match count {
        1 => Cow::Borrowed("one event is invalid; nothing of the request was stored"),
        count => Cow::Owned(format!(
            "{count} events are invalid; nothing of the request was stored"
        )),
    };
    let first = items
        .first()
        .and_then(|item| Some((item.index, item.reasons.first()?)));
    let explained = first.map(|(index, reason)| {
        let pointer = reason.pointer.as_deref().unwrap_or_default();
        format!(
            "{detail}; event {index}: {}: {pointer} {}",
            reason.code, reason.message
        )
    });
    let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    problem.errors = items
        .into_iter()
        .map(|item| ItemProblem {
            index: item.index,
            reasons: item.reasons,
        })
        .collect();
    let conclusion = Conclusion::refused(Outcome::Rejected, problem);
    match explained {
        Some(explained) => conclusion.because(explained),
        None => conclusion,
    }
}

/// What is answered where something could not be stored.
pub fn not_stored(error: StoreError) -> Box<Conclusion> {
    match error {
        StoreError::Full => Conclusion::refused(
            Outcome::StorageFull,
            Problem::unavailable("there is no room to store events at this moment"),
        ),
        StoreError::Failed => Conclusion::refused(
            Outcome::StorageFailed,
            Problem::unavailable("events cannot be stored at this moment"),
        ),
        StoreError::TooLarge => Conclusion::refused(
            Outcome::TooLarge,
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        ),
    }
}

/// What the type answers.
pub fn rendered(answer: webhook::Answer) -> Response<Full<Bytes>> {
    let webhook::Answer {
        status,
        headers,
        body,
    } = answer;
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().append(name, value);
    }
    harden(response.headers_mut());
    response
}

/// What is answered where the type says nothing.
pub fn counted(stored: &Stored) -> Response<Full<Bytes>> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Document<'a> {
        accepted: u64,
        duplicates: u64,
        dead_lettered: u64,
        ids: &'a [Option<String>],
    }
    let Stored { counts, ids } = stored;
    let document = Document {
        accepted: counts.accepted,
        duplicates: counts.duplicates,
        dead_lettered: counts.dead_lettered,
        ids,
    };
    // Plain data always serialises; the status would still say what matters.
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    harden(headers);
    response
}

/// The failures in one line, for logs.
pub fn listed(failures: &[AuthenticationFailure]) -> String {
    let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
