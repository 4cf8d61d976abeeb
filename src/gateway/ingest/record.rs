//! What is written down about each request: metrics, a line in the log, an entry for the admin API.
//!
//! It is written when the request ends, however it ends; a client that goes away is an end too.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, request};
use http_body_util::Full;
use jiff::Timestamp;

use super::super::metrics::InFlight;
use super::super::outcome::{EventCounts, Outcome};
use super::super::path;
use super::super::registrations::Registration;
use super::super::request_log::{RequestRecord, header_names, method_name, query_names};
use super::{Conclusion, Ingest};
use crate::event::ObjectName;
use crate::telemetry::{self, Span};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that is being answered.
pub struct Running {
    ingest: Arc<Ingest>,
    since: Instant,
    /// Taken when the request has ended.
    record: Option<RequestRecord>,
    span: Span,
    _in_flight: InFlight,
}

impl Running {
    /// The headers of a request are complete.
    pub fn begin(ingest: &Arc<Ingest>, parts: &request::Parts, client: IpAddr) -> Self {
        Self {
            ingest: Arc::clone(ingest),
            since: Instant::now(),
            record: Some(RequestRecord {
                time: Timestamp::now(),
                id: format!("{:016x}", rand::random::<u64>()),
                client,
                method: method_name(&parts.method),
                path: path::shown(parts.uri.path(), false),
                headers: header_names(&parts.headers),
                query: query_names(parts.uri.query()),
                body_bytes: 0,
                event_type: None,
                upstream_subscription: None,
                registration: None,
                verdict: Outcome::Abandoned,
                detail: None,
                status: None,
                events: EventCounts::default(),
                micros: 0,
            }),
            span: telemetry::receive(&parts.headers),
            _in_flight: ingest.metrics.begin(),
        }
    }

    /// Where events go on from that bring no trace of their own; `None` where there are no traces.
    pub fn traceparent(&self) -> Option<String> {
        self.span.traceparent()
    }

    /// The URI is one of ours.
    pub fn found(&mut self, path: &str, event_type: &ObjectName) {
        if let Some(record) = &mut self.record {
            record.path = path::shown(path, true);
            record.event_type = Some(event_type.clone());
        }
    }

    /// The URI is this registration's.
    pub fn belongs_to(&mut self, registration: &Registration) {
        if let Some(record) = &mut self.record {
            record.upstream_subscription = Some(registration.subscription.clone());
            record.registration = Some(registration.number);
        }
    }

    /// The body has been read.
    pub fn read(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.body_bytes = bytes as u64;
        }
    }

    /// The answer is there.
    pub fn end(mut self, conclusion: Conclusion) -> Response<Full<Bytes>> {
        let Conclusion {
            outcome,
            mut response,
            counts,
            detail,
        } = conclusion;
        if let Some(mut record) = self.record.take() {
            if let Ok(id) = HeaderValue::try_from(&record.id) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            record.verdict = outcome;
            record.status = Some(response.status().as_u16());
            record.events = counts;
            record.detail = detail;
            self.write(record);
        }
        response
    }

    fn write(&mut self, mut record: RequestRecord) {
        let took = self.since.elapsed();
        record.micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.ingest
            .metrics
            .ended(record.verdict, record.events, record.body_bytes, took);
        if self.span.is_there() {
            trace(&mut self.span, &record);
        }
        self.log(&record);
        self.ingest.requests.add(record);
    }

    fn log(&self, record: &RequestRecord) {
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    request_id = record.id,
                    trace_id = self.span.trace_id(),
                    outcome = record.verdict.as_str(),
                    status = record.status,
                    method = record.method,
                    path = record.path,
                    event_type = record.event_type.as_ref().map(tracing::field::display),
                    upstream_subscription = record.upstream_subscription.as_ref().map(tracing::field::display),
                    registration = record.registration,
                    client = %record.client,
                    body_bytes = record.body_bytes,
                    micros = record.micros,
                    accepted = record.events.accepted,
                    duplicates = record.events.duplicates,
                    dead_lettered = record.events.dead_lettered,
                    detail = record.detail,
                    "request"
                )
            };
        }
        match record.verdict {
            Outcome::Accepted | Outcome::Handshake if record.detail.is_none() => line!(debug),
            // Strangers can cause these at will, and a full disk of log lines helps nobody.
            _ if self.ingest.log_lines.check().is_err() => self.ingest.metrics.suppressed(),
            verdict if verdict.is_our_fault() => line!(error),
            Outcome::Accepted | Outcome::Unauthenticated => line!(warn),
            _ => line!(info),
        }
    }
}

/// What a span says of a request.
fn trace(span: &mut Span, record: &RequestRecord) {
    if let Some(event_type) = &record.event_type {
        span.name(format!("receive {event_type}"));
        span.set("tidegate.event_type", event_type.to_string());
    }
    if let Some(subscription) = &record.upstream_subscription {
        span.set("tidegate.upstream_subscription", subscription.to_string());
    }
    span.set("tidegate.request_id", record.id.clone());
    span.set("tidegate.outcome", record.verdict.as_str());
    span.set("http.request.method", record.method.clone());
    span.set("http.request.body.size", record.body_bytes.cast_signed());
    if let Some(status) = record.status {
        span.set("http.response.status_code", i64::from(status));
    }
    let EventCounts {
        accepted,
        duplicates,
        dead_lettered,
        ..
    } = record.events;
    span.set("tidegate.events.accepted", accepted.cast_signed());
    span.set("tidegate.events.duplicates", duplicates.cast_signed());
    span.set("tidegate.events.dead_lettered", dead_lettered.cast_signed());
    if record.verdict.is_our_fault() {
        span.fail(record.verdict.as_str());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            self.write(record);
        }
    }
}
