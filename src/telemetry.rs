//! OpenTelemetry traces: from the request that brought an event to the sink that got it.
//!
//! They are off unless the standard variables name a collector ([`settings`]). Then a request with a
//! webhook is a span below the `traceparent` that it carries, and so is each attempt to deliver one of
//! its events, however much later: the trace goes on in the event's `traceparent`, where the log keeps
//! it. Requests to apps are spans of their own.
//!
//! No span carries a value of a request: names of objects, ids that logs show too, counts, statuses and
//! hosts, and nothing else. No collector slows anything down: spans wait in a bounded queue, and what
//! does not fit is dropped.

mod export;
pub mod settings;
mod span;

pub use span::{Span, attempt, exchange, receive};

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithHttpConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::configuration::Tls;
use crate::outbound::{AddressPolicy, ClientError, Outbound};
use settings::{Settings, SettingsError};

/// How long the last spans may take on their way when the process ends.
const FLUSH: Duration = Duration::from_secs(5);

/// The process' tracer, once there is one: spans come from everywhere, as log lines do.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Why traces cannot be sent as the variables say.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file that a variable names cannot be read.
    #[error("failed to read {path}, which OTEL_EXPORTER_OTLP_CERTIFICATE names")]
    Certificate {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no client with these certificates.
    #[error("failed to set up the client for traces")]
    Client(#[from] ClientError),
    /// The variables for headers make no sense.
    #[error("failed to set up the export of traces")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// Traces that are being sent.
pub struct Traces(SdkTracerProvider);

/// Sends traces from now on, if `variable` (of the environment) names a collector. `service` is the
/// default of `service.name`.
///
/// Must be called within a tokio runtime, which carries the requests to the collector.
///
/// # Errors
/// When a variable makes no sense.
pub fn start(
    service: &'static str,
    variable: impl Fn(&str) -> Option<String>,
    outbound: &Outbound,
) -> Result<Option<Traces>, StartError> {
    let Some(Settings {
        certificate,
        timeout,
        names_service,
    }) = settings::read(variable)?
    else {
        return Ok(None);
    };
    let ca_bundle = match certificate {
        None => None,
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(source) => return Err(StartError::Certificate { path, source }),
        },
    };
    let tls = Tls {
        ca_bundle,
        ..Tls::default()
    };
    let client = outbound.client(AddressPolicy::AllowPrivate, &tls)?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(export::Client::new(client, timeout))
        .build()
        .map_err(StartError::Exporter)?;
    // It reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
    let resource = Resource::builder();
    let resource = match names_service {
        true => resource,
        false => resource.with_service_name(service),
    };
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build();
    // A second one in a process, as in tests, has no spans.
    let _ = TRACER.set(provider.tracer("tidegate"));
    Ok(Some(Traces(provider)))
}

impl Traces {
    /// Sends what is left, for some seconds at most.
    pub async fn stop(self) {
        // It blocks, and waits for this very runtime.
        let flushed = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH));
        match flushed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "failed to send the last spans"),
            Err(error) => tracing::warn!(%error, "failed to send the last spans"),
        }
    }
}
