//! The spans there are.

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceFlags, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::TRACER;
use crate::event::{Event, ExtensionValue, ObjectName};

/// A span, or nothing where there are no traces. It ends when it is dropped.
pub struct Span(Option<opentelemetry_sdk::trace::Span>);

/// A request with a webhook has come, with these headers.
pub fn receive(headers: &HeaderMap) -> Span {
    begin("receive", SpanKind::Server, || {
        let context = Context::new();
        TraceContextPropagator::new().extract_with_context(&context, &Headers(headers))
    })
}

/// An event is being sent to the sink of a subscription.
pub fn attempt(event: &Event, subscription: &ObjectName) -> Span {
    let mut span = begin("deliver", SpanKind::Client, || {
        let context = Context::new();
        TraceContextPropagator::new().extract_with_context(&context, &Extensions(event))
    });
    if span.is_there() {
        span.name(format!("deliver {subscription}"));
        let attributes = &event.attributes;
        span.set("tidegate.event_subscription", subscription.to_string());
        span.set("cloudevents.event_id", attributes.id.clone());
        span.set("cloudevents.event_source", attributes.source.clone());
        span.set("cloudevents.event_type", attributes.event_type.clone());
    }
    span
}

/// A request is being sent to an app: `request` says what for.
pub fn exchange(subscription: &ObjectName, request: &'static str) -> Span {
    let mut span = begin(request, SpanKind::Client, Context::new);
    if span.is_there() {
        span.set("tidegate.upstream_subscription", subscription.to_string());
    }
    span
}

fn begin(name: &'static str, kind: SpanKind, parent: impl FnOnce() -> Context) -> Span {
    Span(TRACER.get().map(|tracer| {
        let builder = tracer.span_builder(name).with_kind(kind);
        builder.start_with_context(tracer, &parent())
    }))
}

impl Span {
    /// Whether there are traces: what is only made for a span need not be made where there are none.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Calls it so.
    pub fn name(&mut self, name: String) {
        if let Some(span) = &mut self.0 {
            span.update_name(name);
        }
    }

    /// Says something of it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// It went wrong: `kind` is one of a few words.
    pub fn fail(&mut self, kind: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", kind));
            span.set_status(Status::error(kind));
        }
    }

    /// The trace that it belongs to, as text.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        let span = self.0.as_ref()?;
        Some(span.span_context().trace_id().to_string())
    }

    /// What the next one goes on from (W3C Trace Context §3.2).
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let context = self.0.as_ref()?.span_context();
        context.is_valid().then(|| traceparent(context))
    }
}

fn traceparent(context: &SpanContext) -> String {
    // Only the flag that version 00 knows.
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    format!(
        "00-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        flags
    )
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct Extensions<'a>(&'a Event);

impl Extractor for Extensions<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match self.0.attributes.extensions.get(key)? {
            ExtensionValue::Text(text) => Some(text),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        let extensions = &self.0.attributes.extensions;
        extensions.keys().map(String::as_str).collect()
    }
}
