//! `tidegate controller`: the role that watches the cluster, serves gateways and asks apps.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Deserialize;
use tidegate::controller::{self, GatewayImage, Options};
use tidegate::event::ObjectName;
use tidegate::outbound::{PrivateAddresses, PrivateHost, ProxySettings};
use tidegate::telemetry::settings;

use super::Failure;
use super::logging::{self, LogFormat};
use super::serving::serve;

/// Run the controller in a cluster: watch resources, serve gateways, subscribe at apps.
///
/// Several may run; one leads, by a Lease, and the others stand by. The chart starts it; outside of
/// a cluster it finds the API server by KUBECONFIG. Requests to apps honour HTTPS_PROXY and
/// NO_PROXY. The pods of gateways get these, too, and RUST_LOG, TIDEGATE_LOG_FORMAT and what OTEL_…
/// says about traces.
///
/// Example: tidegate controller --namespace tidegate --image registry.example.com/tidegate:0.1.0
#[derive(clap::Args)]
pub struct Arguments {
    /// The controller's own namespace: it keeps records and keys there.
    #[arg(long, env = "TIDEGATE_NAMESPACE", value_name = "NAMESPACE")]
    namespace: String,
    /// The EventGateway of types that name none. Default: `default` in the controller's namespace.
    #[arg(long, env = "TIDEGATE_DEFAULT_GATEWAY", value_name = "NAMESPACE/NAME", value_parser = object_name)]
    default_gateway: Option<ObjectName>,
    /// Look at these namespaces only, separated by commas. Default: at all.
    #[arg(
        long,
        env = "TIDEGATE_WATCH_NAMESPACES",
        value_name = "NAMESPACE,…",
        value_delimiter = ','
    )]
    watch_namespaces: Vec<String>,
    /// The image of gateways' pods: the controller's own.
    #[arg(long, env = "TIDEGATE_IMAGE", value_name = "IMAGE")]
    image: String,
    /// When that image is pulled. Default: as Kubernetes does by itself.
    #[arg(long, env = "TIDEGATE_IMAGE_PULL_POLICY", value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: Option<String>,
    /// Secrets, in each gateway's namespace, with credentials for the image's registry.
    #[arg(
        long,
        env = "TIDEGATE_IMAGE_PULL_SECRETS",
        value_name = "NAME,…",
        value_delimiter = ','
    )]
    image_pull_secrets: Vec<String>,
    /// What gateways' pods are told to get their configuration from. Default: the Service
    /// `tidegate-controller` in the controller's namespace.
    #[arg(long, env = "TIDEGATE_CONFIGURATION_URL", value_name = "URL")]
    configuration_url: Option<String>,
    /// The ValidatingWebhookConfiguration that has objects checked here before they are stored: the API
    /// server is told to trust this controller's certificate. Default: none.
    #[arg(long, env = "TIDEGATE_WEBHOOK_CONFIGURATION", value_name = "NAME")]
    webhook_configuration: Option<String>,
    /// The address that gateways' pods get their configuration from, over TLS.
    #[arg(
        long,
        env = "TIDEGATE_CONFIGURATION_LISTEN",
        default_value = "0.0.0.0:8443",
        value_name = "ADDRESS"
    )]
    configuration_listen: SocketAddr,
    /// The address for /livez, /readyz and /metrics.
    #[arg(
        long,
        env = "TIDEGATE_METRICS_LISTEN",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    metrics_listen: SocketAddr,
    /// Which private addresses apps may be called at: a YAML file with a list of
    /// `{host, ports, namespaces}`. Default: none.
    #[arg(long, env = "TIDEGATE_ALLOW_LIST", value_name = "FILE")]
    allow_list: Option<PathBuf>,
    /// Certificates (PEM) that apps may be of, beside those of the public authorities.
    #[arg(long, env = "TIDEGATE_CA_BUNDLE", value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// The name of this process among all controllers. A random part is
    /// added. Default: the host name.
    #[arg(long, env = "TIDEGATE_IDENTITY", value_name = "NAME")]
    identity: Option<String>,
    /// How logs are written.
    #[arg(long, env = logging::FORMAT, value_enum, default_value = "json")]
    log_format: LogFormat,
}

/// Runs until the process is told to stop, or does not lead any more.
pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        namespace,
        default_gateway,
        watch_namespaces,
        image,
        image_pull_policy,
        image_pull_secrets,
        configuration_url,
        webhook_configuration,
        configuration_listen,
        metrics_listen,
        allow_list,
        ca_bundle,
        identity,
        log_format,
    } = arguments;
    logging::start(log_format);
    let variable = |name: &str| std::env::var(name).ok();
    let proxy = ProxySettings::from_variables(variable)
        .map_err(|error| Failure::Usage(format!("failed to read HTTPS_PROXY: {error}")))?;
    let options = Options {
        pod_environment: handed_on(variable),
        webhook_configuration,
        default_gateway: default_gateway.unwrap_or_else(|| ObjectName::new(&namespace, "default")),
        image: GatewayImage {
            name: image,
            pull_policy: image_pull_policy,
            pull_secrets: image_pull_secrets
                .into_iter()
                .filter(|it| !it.is_empty())
                .collect(),
        },
        configuration_url: configuration_url
            .unwrap_or_else(|| format!("https://tidegate-controller.{namespace}.svc:8443")),
        configuration_listen,
        namespace,
        watch_namespaces: watch_namespaces
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect(),
        metrics_listen,
        private_addresses: match allow_list {
            Some(path) => PrivateAddresses::Of(allowed_hosts(&path)?),
            None => PrivateAddresses::NONE,
        },
        proxy,
        more_roots: ca_bundle.map(|path| read(&path)).transpose()?,
        identity: unique(identity),
    };
    let more_roots = options.more_roots.clone();
    serve(
        "tidegate-controller",
        more_roots.as_deref(),
        controller::run(options),
    )
}

/// What gateways' pods get of the controller's environment: what is about traces, logs, and the proxy to sinks.
fn handed_on(variable: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let of_logs = [logging::LEVELS, logging::FORMAT];
    let others = of_logs.into_iter().chain(ProxySettings::VARIABLES);
    let others = others.filter_map(|name| Some((name.to_owned(), variable(name)?)));
    let mut all = settings::handed_on(&variable);
    all.extend(others);
    all
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::Usage(format!("failed to read {}: {error}", path.display()));
    std::fs::read_to_string(path).map_err(failed)
}

/// The allow-list: a bare list, or one below `hosts`.
#[derive(Deserialize)]
#[serde(untagged)]
enum AllowList {
    Bare(Vec<PrivateHost>),
    Below { hosts: Vec<PrivateHost> },
}

fn allowed_hosts(path: &Path) -> Result<Vec<PrivateHost>, Failure> {
    let text = read(path)?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    match serde_saphyr::from_str(&text) {
        Ok(AllowList::Bare(hosts) | AllowList::Below { hosts }) => Ok(hosts),
        Err(error) => Err(Failure::Usage(format!(
            "failed to read {}: write a list of {{host: api.crm.svc, ports: [443], namespaces: \
             [crm]}}: {error}",
            path.display()
        ))),
    }
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

/// A random part tells a restarted container from its former self, which may still think that it
/// leads.
fn unique(identity: Option<String>) -> String {
    let name = identity.or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.unwrap_or_else(|| "controller".to_owned());
    let random: [u8; 4] = rand::random();
    format!("{name}-{}", hex::encode(random))
}
