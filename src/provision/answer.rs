//! From the answer to a request to what it means, and to how it is shown.
//!
//! Expressions read it; where they fail on an answer that says success, nothing is known for sure,
//! and the outcome says so. What follows from an outcome is `plan`'s.

mod shown;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use url::Url;

use super::known::Known;
use super::program::{Lookup, Program, Reading};
use super::render::budget;
use super::variables::{Parsed, Purpose, Values};
use super::{Findings, Inputs, Outcome, RequestKind};
use crate::api::ReceivedResponse;
use crate::configuration::Sensitive;
use crate::expression::{EvaluationError, Expression, Value};

use shown::{Declared, shown};

/// How long an access token is used whose request says nothing about it.
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// A token is not used in the last part of its lifetime: a tenth of it, at most this.
const TOKEN_RESERVE: Duration = Duration::from_secs(60);

/// An answer as it was received. `Debug` shows the status only.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long the app asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Answer({}, {} bytes)",
            self.status,
            self.body.len()
        )
    }
}

/// An access token that was obtained.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessToken {
    /// The token.
    pub token: Sensitive,
    /// From when on another has to be obtained; a little before it expires.
    pub use_until: Timestamp,
}

impl Program {
    /// What the answer to a request means, and how it is shown.
    #[must_use]
    pub fn read(
        &self,
        kind: &RequestKind,
        inputs: &Inputs,
        known: &Known<'_>,
        access_token: Option<&Sensitive>,
        answer: &Answer,
        now: Timestamp,
    ) -> (Outcome, ReceivedResponse) {
        let parsed = parse(answer);
        let values = Values {
            inputs,
            known: Some(known),
            access_token,
            now,
            answer: Some(&parsed),
            purpose: Purpose::Sent,
        };
        let reader = Reader {
            values: &values,
            answer,
        };
        let (outcome, secrets) = match kind {
            RequestKind::Lookup(page) => match &self.lookup {
                Some(lookup) => (reader.lookup(lookup, page.as_deref()), Declared::default()),
                None => (undeclared(), Declared::default()),
            },
            _ => match self.exchange(kind) {
                None => (undeclared(), Declared::default()),
                Some(exchange) => {
                    let secrets = reader.declared(exchange.reading.signing_secret.as_ref());
                    let outcome = match kind {
                        RequestKind::Unsubscribe(_) if self.gone.contains(&answer.status) => {
                            Outcome::Gone
                        }
                        _ => {
                            let outcome = reader.exchange(&exchange.place, &exchange.reading);
                            match (kind, answer.status, &outcome) {
                                (RequestKind::Renew, 404 | 410, Outcome::Refused { .. }) => {
                                    Outcome::Gone
                                }
                                _ => outcome,
                            }
                        }
                    };
                    (outcome, secrets)
                }
            },
        };
        let shown = shown(inputs, known, access_token, answer, &secrets, now);
        (outcome, shown)
    }

    /// The access token in the answer to [`Self::render_credentials`].
    ///
    /// # Errors
    /// What went wrong instead, as the outcome of the request that the token was for: nothing of
    /// that request was sent.
    pub fn read_credentials(
        &self,
        inputs: &Inputs,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<AccessToken, Outcome> {
        let not_sent = |error: String| Outcome::NotSent {
            error,
            retry_after: answer.retry_after,
        };
        let Some(credentials) = &self.credentials else {
            return Err(not_sent("the type declares no credentials".to_owned()));
        };
        let parsed = parse(answer);
        let values = Values {
            inputs,
            known: None,
            access_token: None,
            now,
            answer: Some(&parsed),
            purpose: Purpose::Sent,
        };
        let reader = Reader {
            values: &values,
            answer,
        };
        let succeeded = reader
            .success(credentials.success.as_ref())
            .map_err(|error| not_sent(format!("failed to read credentials.success: {error}")))?;
        if !succeeded {
            return Err(not_sent(format!(
                "no access token: credentials.request was answered {}",
                answer.status
            )));
        }
        let token = secret(&credentials.access_token, &values).map_err(|error| {
            not_sent(format!("failed to read credentials.accessToken: {error}"))
        })?;
        let lifetime = match &credentials.expires_in {
            None => DEFAULT_TOKEN_LIFETIME,
            Some(expression) => duration(expression, &values).map_err(|error| {
                not_sent(format!("failed to read credentials.expiresIn: {error}"))
            })?,
        };
        let reserve = TOKEN_RESERVE.min(lifetime / 10);
        let used = SignedDuration::try_from(lifetime - reserve).unwrap_or(SignedDuration::MAX);
        Ok(AccessToken {
            token,
            use_until: now.checked_add(used).unwrap_or(Timestamp::MAX),
        })
    }
}

fn undeclared() -> Outcome {
    Outcome::Unknown {
        error: "the type does not say any more what this answer means".to_owned(),
        retry_after: None,
    }
}

struct Reader<'a> {
    values: &'a Values<'a>,
    answer: &'a Answer,
}

impl Reader<'_> {
    fn is_2xx(&self) -> bool {
        (200..300).contains(&self.answer.status)
    }

    fn success(&self, expression: Option<&Expression>) -> Result<bool, EvaluationError> {
        match expression {
            None => Ok(self.is_2xx()),
            // An expression about the body of a success has nothing to read in an error's.
            Some(expression) => match expression.evaluate_bool(self.values, &mut budget()) {
                Err(_) if !self.is_2xx() => Ok(false),
                result => result,
            },
        }
    }

    /// What a request and its answer came to, by what is declared of them.
    fn exchange(&self, place: &str, reading: &Reading) -> Outcome {
        let conflict = reading.conflict.as_ref().is_some_and(|expression| {
            expression
                .evaluate_bool(self.values, &mut budget())
                .unwrap_or(false)
        });
        if conflict {
            return Outcome::Conflict(format!(
                "the app says that it exists already (it answered {} to {place})",
                self.answer.status
            ));
        }
        match self.success(reading.success.as_ref()) {
            Err(error) => self.unreadable(place, "success", &error),
            Ok(false) => self.failure(place),
            Ok(true) => match self.findings(reading) {
                Ok(findings) => Outcome::Succeeded(findings),
                Err((field, error)) => self.unreadable(place, &field, &error),
            },
        }
    }

    fn unreadable(&self, place: &str, field: &str, error: &EvaluationError) -> Outcome {
        Outcome::Unknown {
            error: format!(
                "the app answered {} to {place}, but {field} could not be read from it: {error}",
                self.answer.status
            ),
            retry_after: None,
        }
    }

    /// What an answer means that is no success.
    fn failure(&self, place: &str) -> Outcome {
        let Answer {
            status,
            retry_after,
            ..
        } = *self.answer;
        let unknown = |error| Outcome::Unknown { error, retry_after };
        let refused = |error| Outcome::Refused { error, retry_after };
        match status {
            200..300 => refused(format!(
                "the app answered {status} to {place}, but by success that is a failure"
            )),
            // "See other": it has been done, and the result is elsewhere (RFC 9110 §15.4.4).
            303 => unknown(format!(
                "the app answered 303 to {place}: redirects are not followed, so what it did is \
                 not known"
            )),
            300..400 => refused(format!(
                "the app answered {status} to {place}: redirects are not followed, so write the \
                 URL it leads to"
            )),
            // The app gave up waiting for our request, or what it did is not known.
            408 => unknown(format!("the app answered 408 to {place}")),
            400..500 => refused(format!("the app refused {place} with {status}")),
            _ => unknown(format!("the app answered {status} to {place}")),
        }
    }

    fn findings(&self, reading: &Reading) -> Result<Findings, (String, EvaluationError)> {
        let Reading {
            success: _,
            conflict: _,
            id,
            expires_at,
            values,
            signing_secret,
        } = reading;
        let mut findings = Findings::default();
        if let Some(expression) = id {
            findings.id = Some(self.id(expression).map_err(|error| ("id".into(), error))?);
        }
        if let Some(expression) = expires_at {
            let at = self.timestamp(expression);
            findings.expires_at = Some(at.map_err(|error| ("expiresAt".into(), error))?);
        }
        for (name, expression) in values {
            let value = self.evaluated(expression, |value| value.to_json(&mut budget()));
            let value = value.map_err(|error| (format!("values.{name}"), error))?;
            findings.values.insert(name.clone(), value);
        }
        if let Some(expression) = signing_secret {
            let found = secret(expression, self.values);
            findings.signing_secret =
                Some(found.map_err(|error| ("the signing secret".into(), error))?);
        }
        Ok(findings)
    }

    fn evaluated<T>(
        &self,
        expression: &Expression,
        take: impl FnOnce(&Value<'_>) -> Result<T, EvaluationError>,
    ) -> Result<T, EvaluationError> {
        take(&expression.evaluate(self.values, &mut budget())?)
    }

    /// An id is a text; a whole number counts as the text it is written as.
    fn id(&self, expression: &Expression) -> Result<String, EvaluationError> {
        self.evaluated(expression, |value| {
            id_text(value).ok_or(invalid("an id has to be a text or a whole number"))
        })
    }

    fn timestamp(&self, expression: &Expression) -> Result<Timestamp, EvaluationError> {
        self.evaluated(expression, |value| {
            value
                .as_timestamp()
                .or_else(|| value.as_str()?.parse().ok())
                .ok_or(invalid("this has to be a timestamp"))
        })
    }

    /// The secrets that an answer holds by what is declared.
    fn declared(&self, expression: Option<&Expression>) -> Declared {
        let mut declared = Declared::default();
        if let Some(expression) = expression {
            match secret(expression, self.values) {
                Ok(found) => declared.secrets.push(found),
                Err(_) => declared.missed = true,
            }
        }
        declared
    }

    fn lookup(&self, lookup: &Lookup, page: Option<&str>) -> Outcome {
        let place = "lookup.request";
        if !self.is_2xx() {
            return self.failure(place);
        }
        let ids = self.evaluated(&lookup.id, |value| {
            ids(value).ok_or(invalid(
                "ids are texts or whole numbers: one, a list of them, or nothing",
            ))
        });
        let ids = match ids {
            Ok(ids) => ids,
            Err(error) => return self.unreadable(place, "lookup.id", &error),
        };
        let next = match &lookup.next {
            None => Ok(None),
            Some(next) => self.evaluated(next, |value| match value {
                Value::Null => Ok(None),
                value => match value.as_str() {
                    Some("") => Ok(None),
                    Some(next) => self.absolute(lookup, page, next).map(Some),
                    None => Err(invalid("the next page is a URL, or nothing")),
                },
            }),
        };
        match next {
            Ok(next) => Outcome::Found { ids, next },
            Err(error) => self.unreadable(place, "lookup.next", &error),
        }
    }

    /// The next page's URL, which may be given without scheme and host.
    fn absolute(
        &self,
        lookup: &Lookup,
        page: Option<&str>,
        next: &str,
    ) -> Result<String, EvaluationError> {
        let wrong = || invalid("the next page is no URL");
        if let Ok(url) = Url::parse(next) {
            return Ok(url.into());
        }
        let sent = Values {
            answer: None,
            ..*self.values
        };
        let base = match page {
            Some(page) => page.to_owned(),
            None => {
                let url = lookup.request.url.render_text(&sent, &mut budget())?;
                url.into_owned()
            }
        };
        let base = Url::parse(&base).map_err(|_| wrong())?;
        base.join(next).map(String::from).map_err(|_| wrong())
    }
}

fn invalid(reason: &'static str) -> EvaluationError {
    EvaluationError::InvalidArgument { reason }
}

fn id_text(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) if !text.is_empty() => Some((**text).to_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::Uint(number) => Some(number.to_string()),
        _ => None,
    }
}

fn ids(value: &Value<'_>) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::List(list) => list.iter().map(|element| id_text(&element)).collect(),
        value => id_text(value).map(|id| vec![id]),
    }
}

/// A secret is a text or bytes, and never empty: an empty key would match nothing.
fn secret(expression: &Expression, values: &Values<'_>) -> Result<Sensitive, EvaluationError> {
    let value = expression.evaluate(values, &mut budget())?;
    match value.as_bytes() {
        Some(bytes) if !bytes.is_empty() => Ok(Sensitive::new(bytes)),
        Some(_) => Err(invalid("the secret is empty")),
        None => Err(invalid("a secret has to be a text or bytes")),
    }
}

/// A duration, or a number of seconds.
fn duration(expression: &Expression, values: &Values<'_>) -> Result<Duration, EvaluationError> {
    let value = expression.evaluate(values, &mut budget())?;
    let duration = match &value {
        Value::Duration(duration) => Some(*duration),
        value => value.as_i64().map(SignedDuration::from_secs),
    };
    duration
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or(invalid("this has to be a duration that is not negative"))
}

/// An answer as expressions see it: a body that parses as JSON is that, another a text.
fn parse(answer: &Answer) -> Parsed {
    let mut headers = std::collections::BTreeMap::<String, String>::new();
    for (name, value) in &answer.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    let body = match answer.body.is_empty() {
        true => Json::Null,
        false => serde_json::from_slice(&answer.body)
            .unwrap_or_else(|_| Json::from(String::from_utf8_lossy(&answer.body))),
    };
    Parsed {
        status: answer.status,
        headers,
        body,
    }
}
