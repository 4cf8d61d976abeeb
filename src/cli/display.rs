//! `tidegate display`: a sink that prints what it gets.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};

use super::Failure;

/// A sink that prints the events it gets, for trying things out.
///
/// Example: tidegate display --listen 127.0.0.1:9090
#[derive(clap::Args)]
pub struct Arguments {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The status of every answer: 503 shows how events are kept and retried.
    #[arg(long, default_value = "204", value_name = "CODE")]
    status: u16,
    /// One JSON object per event instead of text: method, path, headers, body.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

/// The largest request that is printed; every event that the gateway sends is smaller.
const MAX_BODY_BYTES: usize = 48 << 20;

/// Serves until the process is told to stop.
pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let status = StatusCode::from_u16(arguments.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| {
            Failure::Usage(format!(
                "--status {}: give a code from 200 to 599",
                arguments.status
            ))
        })?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::from_error(&error))?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(arguments.listen)
            .await
            .map_err(|error| {
                Failure::Failed(format!("failed to listen on {}: {error}", arguments.listen))
            })?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::from_error(&error))?;
        eprintln!(
            "Printing every request to http://{address}/ (answering {status}); stop with Ctrl-C."
        );
        let app = Router::new()
            .fallback(show)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state((arguments.output, status));
        axum::serve(listener, app)
            .with_graceful_shutdown(async {
                let _ = tokio::signal::ctrl_c().await;
            })
            .await
            .map_err(|error| Failure::from_error(&error))?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn show(
    State((output, status)): State<(Output, StatusCode)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let text = match output {
        Output::Text => as_text(&method, &uri, &headers, &body),
        Output::Json => as_json(&method, &uri, &headers, &body),
    };
    // Whoever closed the pipe no longer wants to read; the sender still gets its answer.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    status
}

fn as_text(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> String {
    let (bold, plain) = if std::io::stdout().is_terminal() {
        ("\x1b[1m", "\x1b[0m")
    } else {
        ("", "")
    };
    let mut text = format!("{bold}{method} {uri}{plain}\n");
    for (name, value) in headers {
        text.push_str(&format!("  {name}: {}\n", printable(value.as_bytes())));
    }
    if !body.is_empty() {
        text.push_str(&format!("  {}\n", printable(body)));
    }
    text.push('\n');
    text
}

/// Text as it is but for control characters, which could move a terminal's cursor or worse.
fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text
            .chars()
            .map(|character| match character {
                '\n' | '\t' => character.to_string(),
                control if control.is_control() => control.escape_default().to_string(),
                other => other.to_string(),
            })
            .collect(),
        Err(_) => format!("({} bytes that are not text)", bytes.len()),
    }
}

fn as_json(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> String {
    let headers: serde_json::Map<String, serde_json::Value> = headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    let body = match std::str::from_utf8(body) {
        Ok(text) => serde_json::json!({"text": text}),
        Err(_) => serde_json::json!({"hex": hex::encode(body)}),
    };
    format!(
        "{}\n",
        serde_json::json!({"method": method.as_str(), "path": uri.to_string(), "headers": headers, "body": body})
    )
}
