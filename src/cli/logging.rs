//! Logs of the commands that serve.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The variable that says what is logged.
pub const LEVELS: &str = EnvFilter::DEFAULT_ENV;

/// The variable that says how logs are written, where a command's argument does not.
pub const FORMAT: &str = "TIDEGATE_LOG_FORMAT";

/// How logs are written.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Logs go to stderr; `RUST_LOG` chooses what is logged, by default information and worse.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
