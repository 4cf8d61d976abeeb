//! `/livez`, `/readyz` and `/metrics` of the controller.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What the process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It cannot do anything yet.
    Starting,
    /// Another one leads; it would take over.
    StandingBy,
    /// It leads, and reads what there is.
    TakingOver,
    /// It leads.
    Leading,
    /// It was told to stop.
    Stopping,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address} for probes and metrics")]
pub struct ProbesError {
    /// The address.
    pub address: SocketAddr,
    /// What the operating system says.
    #[source]
    pub source: std::io::Error,
}

#[derive(Clone)]
struct Shared {
    stage: watch::Receiver<Stage>,
    registry: Arc<Registry>,
}

/// The answers to requests.
fn router(stage: watch::Receiver<Stage>, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Shared { stage, registry })
}

/// Listens until the process ends. The address that was bound.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn start(
    address: SocketAddr,
    stage: watch::Receiver<Stage>,
    registry: Arc<Registry>,
) -> Result<SocketAddr, ProbesError> {
    let failed = |source| ProbesError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let router = router(stage, registry);
    // Only the cluster reaches it, so the plain server does.
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "probes and metrics are not served any more");
        }
    });
    Ok(bound)
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let stage = *shared.stage.borrow();
    match stage {
        Stage::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        // It does what it is there for: it stands by.
        Stage::StandingBy => (StatusCode::OK, "another one leads\n"),
        Stage::TakingOver => (StatusCode::SERVICE_UNAVAILABLE, "taking over\n"),
        Stage::Leading => (StatusCode::OK, "leading\n"),
        Stage::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &shared.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt;

    #[tokio::test]
    async fn readiness_says_what_the_process_does() {
        let check = async |stage: Stage, expected: u16| {
            let (_sender, receiver) = watch::channel(stage);
            let router = router(receiver, Arc::new(Registry::default()));
            let request = Request::get("/readyz").body(Body::empty()).unwrap();
            let answer = router.oneshot(request).await.unwrap();
            assert_eq!(answer.status().as_u16(), expected, "{stage:?}");
        };
        check(Stage::Starting, 503).await;
        check(Stage::StandingBy, 200).await;
        check(Stage::TakingOver, 503).await;
        check(Stage::Leading, 200).await;
        check(Stage::Stopping, 503).await;
    }
}
