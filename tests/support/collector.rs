//! A collector of traces: takes OTLP over HTTP, and keeps the spans and the bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use prost::Message as _;

/// One span as it came.
#[derive(Clone, Debug)]
pub struct Collected {
    pub service: String,
    pub name: String,
    /// In hexadecimal.
    pub trace: String,
    pub span: String,
    /// Empty: it has none.
    pub parent: String,
    /// As OTLP numbers them: 2 is a server's, 3 a client's.
    pub kind: i32,
    /// Whether it went wrong.
    pub is_error: bool,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Default)]
struct Shared {
    spans: Mutex<Vec<Collected>>,
    bytes: Mutex<Vec<u8>>,
    headers: Mutex<Vec<HeaderMap>>,
    /// Whether it takes requests and never answers them.
    hangs: AtomicBool,
}

/// A collector on a loopback address. It stops when dropped.
pub struct Collector {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            shared,
            server,
        }
    }

    /// From now on it hangs, or does not any more.
    pub fn hang(&self, hangs: bool) {
        self.shared.hangs.store(hangs, Ordering::SeqCst);
    }

    /// What came so far.
    pub fn spans(&self) -> Vec<Collected> {
        self.shared.spans.lock().unwrap().clone()
    }

    /// Every byte of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.shared.bytes.lock().unwrap().clone()
    }

    /// The headers of each request.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.shared.headers.lock().unwrap().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) {
    if shared.hangs.load(Ordering::SeqCst) {
        std::future::pending().await
    }
    shared.headers.lock().unwrap().push(headers);
    shared.bytes.lock().unwrap().extend_from_slice(&body);
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for of_resource in request.resource_spans {
        let resource = texts(&of_resource.resource.unwrap_or_default().attributes);
        let service = resource.get("service.name").cloned().unwrap_or_default();
        for span in of_resource.scope_spans.into_iter().flat_map(|it| it.spans) {
            shared.spans.lock().unwrap().push(Collected {
                service: service.clone(),
                trace: hex::encode(&span.trace_id),
                span: hex::encode(&span.span_id),
                parent: hex::encode(&span.parent_span_id),
                kind: span.kind,
                is_error: span.status.is_some_and(|status| status.code == 2),
                attributes: texts(&span.attributes),
                name: span.name,
            });
        }
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let texts = attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().and_then(|it| it.value.as_ref());
        let text = match value {
            Some(any_value::Value::StringValue(text)) => text.clone(),
            Some(any_value::Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        (attribute.key.clone(), text)
    });
    texts.collect()
}
