//! A sink that records what it gets and answers as told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::eventually;

/// One request that a sink got.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The path, such as `/invoicing`.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body's bytes.
    pub body: Bytes,
    /// When it came.
    pub at: Instant,
    /// The status it was answered with.
    pub status: StatusCode,
}

impl Delivery {
    /// A header as text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The CloudEvents id of a binary delivery.
    pub fn id(&self) -> &str {
        self.header("ce-id")
    }
}

/// How a path answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With this status.
    Status(StatusCode),
    /// With this status and `Retry-After` in seconds.
    RetryAfter(StatusCode, u32),
    /// Never.
    Hang,
}

#[derive(Default)]
struct Shared {
    /// Connections outlive the listener by a moment: what they still bring was not taken.
    is_over: AtomicBool,
    deliveries: Mutex<Vec<Delivery>>,
    answers: Mutex<BTreeMap<String, Answer>>,
}

/// A sink on a loopback address. It stops when dropped.
pub struct Sink {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

impl Sink {
    /// Starts on a free port; every path answers 204.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    /// Starts at a given address, as soon as nobody else listens there.
    pub async fn start_at(address: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let mut listener = None;
        eventually("the sink's address is free", async || {
            listener = tokio::net::TcpListener::bind(address).await.ok();
            listener.is_some()
        })
        .await;
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .fallback(take)
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            shared,
            server,
        }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on `path` answers so.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.shared
            .answers
            .lock()
            .unwrap()
            .insert(path.to_owned(), answer);
    }

    /// Everything that came, answered well or not, in order of arrival.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.deliveries.lock().unwrap().clone()
    }

    /// What came to one path.
    pub fn at(&self, path: &str) -> Vec<Delivery> {
        self.deliveries()
            .into_iter()
            .filter(|delivery| delivery.path == path)
            .collect()
    }

    /// How many requests came in all.
    pub fn count(&self) -> usize {
        self.shared.deliveries.lock().unwrap().len()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.server.abort();
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if shared.is_over.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let path = uri.path().to_owned();
    let answer = shared.answers.lock().unwrap().get(&path).cloned();
    let answer = answer.unwrap_or(Answer::Status(StatusCode::NO_CONTENT));
    let status = match &answer {
        Answer::Status(status) | Answer::RetryAfter(status, _) => *status,
        Answer::Hang => StatusCode::REQUEST_TIMEOUT,
    };
    let delivery = Delivery {
        path,
        headers,
        body,
        at: Instant::now(),
        status,
    };
    shared.deliveries.lock().unwrap().push(delivery);
    match answer {
        Answer::Status(status) => status.into_response(),
        Answer::RetryAfter(status, seconds) => {
            (status, [("retry-after", seconds.to_string())]).into_response()
        }
        Answer::Hang => std::future::pending().await,
    }
}
