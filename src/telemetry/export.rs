//! How spans get to the collector: over a client of the process' own kind, in its runtime.
//!
//! The exporter's thread has no runtime, and an HTTP client for such threads would be a second one in
//! the program. So requests run in the process' runtime, and the thread waits for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

use crate::outbound::Unanswered;

/// Bytes of a collector's answer that are read; those that say something are far shorter.
const ANSWER_BYTES: usize = 64 * 1024;

/// Sends what is exported.
#[derive(Debug)]
pub struct Client {
    client: reqwest::Client,
    /// How long one request may take: the exporter leaves that to its client.
    timeout: Duration,
    runtime: Handle,
    /// Whether the last spans were refused or not taken: said once, not each time.
    is_failing: AtomicBool,
}

impl Client {
    /// Over `client`, in the runtime that this is called in.
    pub fn new(client: reqwest::Client, timeout: Duration) -> Self {
        Self {
            client,
            timeout,
            runtime: Handle::current(),
            is_failing: AtomicBool::new(false),
        }
    }

    fn tell(&self, problem: Option<String>) {
        let was_failing = self.is_failing.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !was_failing => {
                tracing::warn!(
                    error = problem,
                    "failed to send spans to the collector: they are dropped until it takes some"
                );
            }
            None if was_failing => tracing::info!("the collector takes spans again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = reqwest::Request::try_from(request)?;
        *request.timeout_mut() = Some(self.timeout);
        let sending = exchange(self.client.clone(), request);
        // Waiting for a task needs no runtime.
        let answer = self.runtime.spawn(sending).await?;
        self.tell(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(Unanswered::of("collector", error).message),
        });
        Ok(answer?)
    }
}

async fn exchange(
    client: reqwest::Client,
    request: reqwest::Request,
) -> Result<Response<Bytes>, reqwest::Error> {
    let mut answer = client.execute(request).await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    Ok(response)
}
