//! What an answer's status means for the event. Pure.

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use crate::delivery::sender::{Failure, FailureKind, Outcome};
use crate::outbound::retry_after;

/// What the dispatcher is to do after an answer that came at `now`.
///
/// 2xx is delivered. 401, 403, 404, 408, 409, 429 and 5xx may pass: a token is renewed, a service
/// rolled out. A redirect is not followed, because it could lead anywhere, but it may pass too:
/// it is a wrong URL, and whoever mends that wants the events. Every other 4xx says that this
/// event will never be taken.
pub(super) fn of(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Outcome {
    let code = status.as_u16();
    let failure = |message| Failure {
        kind: FailureKind::Status,
        status: Some(code),
        message,
    };
    let name = match status.canonical_reason() {
        Some(reason) => format!("{code} {reason}"),
        None => code.to_string(),
    };
    match code {
        200..=299 => Outcome::Delivered { status: code },
        300..=399 => Outcome::Retry {
            failure: failure(format!(
                "the sink answered {name}; redirects are not followed, the sink's URL must be \
                 the final one"
            )),
            after: retry_after(headers, now),
        },
        401 | 403 | 404 | 408 | 409 | 429 | 500..=599 => Outcome::Retry {
            failure: failure(format!("the sink answered {name}")),
            after: retry_after(headers, now),
        },
        400..=499 => Outcome::Refused {
            failure: failure(format!("the sink refused the event: {name}")),
        },
        _ => Outcome::Retry {
            failure: failure(format!(
                "the sink answered {name}, which is no final answer"
            )),
            after: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, header};

    use super::*;

    /// 2026-01-02T03:04:05Z.
    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn verdict(code: u16) -> Outcome {
        of(
            StatusCode::from_u16(code).unwrap(),
            &HeaderMap::new(),
            now(),
        )
    }

    #[test]
    fn every_status_has_its_verdict() {
        let retried = [401, 403, 404, 408, 409, 429];
        for code in 100..=999 {
            let verdict = verdict(code);
            let right = match code {
                200..=299 => matches!(verdict, Outcome::Delivered { status } if status == code),
                400..=499 if !retried.contains(&code) => {
                    matches!(&verdict, Outcome::Refused { failure } if failure.status == Some(code))
                }
                _ => {
                    matches!(&verdict, Outcome::Retry { failure, after: None }
                        if failure.status == Some(code))
                }
            };
            assert!(right, "{code}: {verdict:?}");
        }
    }

    #[test]
    fn the_message_says_what_the_sink_answered() {
        let check = |code: u16, expected: &str| match verdict(code) {
            Outcome::Retry { failure, .. } | Outcome::Refused { failure } => {
                assert_eq!(failure.message, expected);
            }
            Outcome::Delivered { .. } => panic!("{code} is no failure"),
        };
        check(503, "the sink answered 503 Service Unavailable");
        check(599, "the sink answered 599");
        check(422, "the sink refused the event: 422 Unprocessable Entity");
        check(410, "the sink refused the event: 410 Gone");
        check(
            302,
            "the sink answered 302 Found; redirects are not followed, the sink's URL must be the \
             final one",
        );
        check(
            101,
            "the sink answered 101 Switching Protocols, which is no final answer",
        );
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        let check = |value: &'static str, expected: Option<u64>| {
            let headers =
                HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]);
            for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::FOUND] {
                match of(status, &headers, now()) {
                    Outcome::Retry { after, .. } => {
                        assert_eq!(after, expected.map(Duration::from_secs), "{value:?}");
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        check("0", Some(0));
        check("120", Some(120));
        check(" 7 ", Some(7));
        check("Fri, 02 Jan 2026 03:05:05 GMT", Some(60));
        check("Friday, 02-Jan-26 03:05:05 GMT", Some(60));
        check("Fri Jan  2 03:05:05 2026", Some(60));
        check("Fri, 02 Jan 2026 03:00:00 GMT", Some(0));
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        // Longer than a day counts as a day.
        check("86401", Some(86_400));
        check("99999999999999999999999999", Some(86_400));
        check("Sat, 02 Jan 2027 03:05:05 GMT", Some(86_400));
        // Neither form.
        check("", None);
        check("-1", None);
        check("+1", None);
        check("1.5", None);
        check("soon", None);
        check("2026-01-02T03:05:05Z", None);
    }
}
