//! `tidegate gateway`: the role in a gateway's pod.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use tidegate::event::ObjectName;
use tidegate::outbound::ProxySettings;
use tidegate::pod::{self, Endpoint, Options};
use url::Url;

use super::Failure;
use super::logging::{self, LogFormat};
use super::serving::serve;

/// Serve as a pod of an EventGateway: receive, store and deliver what the controller says.
///
/// The controller makes the pods that run this; nobody needs to start one by hand. It holds no
/// Kubernetes credentials: it shows the controller a token that its kubelet put into a file. The
/// last configuration is kept in the data folder, encrypted, so that it serves after a restart while
/// the controller is away.
///
/// Example: tidegate gateway --configuration-url https://tidegate-controller.tidegate.svc:8443
/// --gateway tidegate/default --pod tidegate-gateway-default-0
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the controller is.
    #[arg(long, env = "TIDEGATE_CONFIGURATION_URL", value_name = "URL", value_parser = https_url)]
    configuration_url: Url,
    /// The certificates (PEM) that the controller may be of.
    #[arg(
        long,
        env = "TIDEGATE_CA_FILE",
        value_name = "FILE",
        default_value = "/etc/tidegate/ca/ca.crt"
    )]
    ca_file: PathBuf,
    /// The ServiceAccount token that is shown to the controller; read anew for each connection.
    #[arg(
        long,
        env = "TIDEGATE_TOKEN_FILE",
        value_name = "FILE",
        default_value = "/var/run/tidegate/token/token"
    )]
    token_file: PathBuf,
    /// The key that the last configuration is encrypted with: 32 bytes.
    #[arg(
        long,
        env = "TIDEGATE_SNAPSHOT_KEY_FILE",
        value_name = "FILE",
        default_value = "/etc/tidegate/key/key"
    )]
    snapshot_key_file: PathBuf,
    /// The folder that keeps events, delivery state and the last configuration.
    #[arg(
        long,
        env = "TIDEGATE_DATA_DIR",
        value_name = "DIR",
        default_value = "/var/lib/tidegate"
    )]
    data_dir: PathBuf,
    /// The public address: where apps send webhooks to.
    #[arg(
        long,
        env = "TIDEGATE_LISTEN",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8080"
    )]
    listen: SocketAddr,
    /// The address for /livez, /readyz and /metrics.
    #[arg(
        long,
        env = "TIDEGATE_PROBES",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8081"
    )]
    probes: SocketAddr,
    /// The address of the admin API. It must be a loopback address: whoever reaches it may use it.
    #[arg(
        long,
        env = "TIDEGATE_ADMIN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8082",
        value_parser = loopback
    )]
    admin: SocketAddr,
    /// The EventGateway that the pod belongs to.
    #[arg(long, env = "TIDEGATE_GATEWAY", value_name = "NAMESPACE/NAME", value_parser = object_name)]
    gateway: ObjectName,
    /// The pod's name.
    #[arg(long, env = "TIDEGATE_POD", value_name = "NAME")]
    pod: String,
    /// Bytes that the event log may take. Default: as the EventGateway said when the pod last ran.
    #[arg(long, env = "TIDEGATE_LOG_CAPACITY", value_name = "BYTES")]
    log_capacity: Option<u64>,
    /// How logs are written.
    #[arg(long, env = logging::FORMAT, value_enum, default_value = "json")]
    log_format: LogFormat,
}

/// Serves until the process is told to stop, then drains.
pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        configuration_url,
        ca_file,
        token_file,
        snapshot_key_file,
        data_dir,
        listen,
        probes,
        admin,
        gateway,
        pod,
        log_capacity,
        log_format,
    } = arguments;
    logging::start(log_format);
    let proxy = ProxySettings::from_variables(|name| std::env::var(name).ok())
        .map_err(|error| Failure::Usage(format!("failed to read HTTPS_PROXY: {error}")))?;
    let options = Options {
        endpoint: Endpoint {
            url: configuration_url,
            ca_file,
            token_file,
        },
        snapshot_key_file,
        data_dir,
        listen,
        probes,
        admin,
        gateway,
        pod,
        log_capacity,
        proxy,
    };
    serve("tidegate-gateway", None, pod::run(options))
}

fn https_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.scheme() != "https" || url.host_str().is_none() {
        return Err("write https://HOST:PORT; a token and keys go over it".to_owned());
    }
    if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        return Err("write https://HOST:PORT and nothing behind it".to_owned());
    }
    Ok(url)
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "write ADDRESS:PORT".to_owned())?;
    if !address.ip().is_loopback() {
        return Err("it must be a loopback address, such as 127.0.0.1:8082".to_owned());
    }
    Ok(address)
}

fn object_name(text: &str) -> Result<ObjectName, String> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok(ObjectName::new(namespace, name))
        }
        _ => Err("write NAMESPACE/NAME, such as tidegate/default".to_owned()),
    }
}
