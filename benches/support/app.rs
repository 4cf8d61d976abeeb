//! An app that registers whoever asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;

/// An app in this process.
pub struct App {
    pub address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl App {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let router = axum::Router::new()
            .fallback(register)
            .with_state(Arc::clone(&asked));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn register(State(asked): State<Arc<AtomicUsize>>) -> impl IntoResponse {
    let id = asked.fetch_add(1, Ordering::Relaxed);
    let body = json!({"data": {"id": format!("h_{id}")}}).to_string();
    let headers = [("content-type", "application/json")];
    (StatusCode::CREATED, headers, body)
}
