//! `tidegate dev`: everything in one process from manifests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use tidegate::dev::{self, Options};
use tidegate::outbound::ProxySettings;
use url::Url;

use super::Failure;
use super::logging::{self, LogFormat};
use super::serving::serve;

/// Run everything in one process from manifests: receive, store, route and deliver.
///
/// Manifests are watched: an edit is live within a second. Secrets and ConfigMaps may be among
/// them. State is kept in the data folder; the process may be killed at any time.
///
/// Example: tidegate dev examples/quickstart
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders and files with manifests.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder that keeps events, delivery state and secrets between runs.
    #[arg(long, default_value = ".tidegate", value_name = "DIR")]
    data_dir: PathBuf,
    /// The public address: where apps send webhooks to.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The address for /livez, /readyz, /metrics and the admin API. Never make it public.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    admin: SocketAddr,
    /// The base of every webhook URI, and the URL that signatures are computed over. Default: the
    /// EventGateway's publicUrl, else the public address.
    #[arg(long, value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// What stands in for a Service that a sink names; may be repeated. NAME may be
    /// `namespace/name`.
    #[arg(long = "service", value_name = "NAME=URL", value_parser = service)]
    services: Vec<(String, String)>,
    /// Let subscriptions at apps register anew where the public URL changed. Without it they stay
    /// as they are, and apps go on calling the former URL.
    #[arg(long)]
    allow_re_registration: bool,
    /// Certificates (PEM) that apps may be of, beside those of the public authorities. Requests to
    /// apps also honour HTTPS_PROXY and NO_PROXY.
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// How logs are written.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

/// Runs until the process is told to stop, then drains.
pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        paths,
        data_dir,
        listen,
        admin,
        public_url,
        services,
        allow_re_registration,
        ca_bundle,
        log_format,
    } = arguments;
    logging::start(log_format);
    let proxy = ProxySettings::from_variables(|name| std::env::var(name).ok())
        .map_err(|error| Failure::Usage(format!("failed to read HTTPS_PROXY: {error}")))?;
    let more_roots = ca_bundle
        .map(|path| {
            std::fs::read_to_string(&path).map_err(|error| {
                Failure::Usage(format!("failed to read {}: {error}", path.display()))
            })
        })
        .transpose()?;
    let options = Options {
        paths,
        data_dir,
        listen,
        admin,
        public_url,
        services: services.into_iter().collect::<BTreeMap<_, _>>(),
        allow_re_registration,
        proxy,
        more_roots,
    };
    let more_roots = options.more_roots.clone();
    serve("tidegate-dev", more_roots.as_deref(), dev::run(options))
}

fn public_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the scheme must be http or https".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err("a base URL has no query, fragment or user".to_owned());
    }
    // Exactly as written: signatures are computed over it.
    Ok(text.to_owned())
}

fn service(text: &str) -> Result<(String, String), String> {
    let (name, url) = text
        .split_once('=')
        .ok_or("write NAME=URL, such as orders=http://127.0.0.1:9090")?;
    let parsed = Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(format!("{url}: the scheme must be http or https"));
    }
    Ok((name.to_owned(), url.to_owned()))
}
