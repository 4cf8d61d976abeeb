//! `tidegate release`: what the chart runs before it is uninstalled.

use std::process::ExitCode;

use tidegate::controller::release::release;
use tidegate::event::ObjectName;

use super::Failure;

/// Stop the controller and take the finalizers off UpstreamSubscriptions, before Tidegate is uninstalled.
///
/// Registrations stay at the apps: to have them removed, delete the EventSubscriptions first. Run by the chart on `helm
/// uninstall`; needs a kubeconfig, or to run in the cluster.
///
/// Example: tidegate release --controller tidegate/tidegate-controller
#[derive(clap::Args)]
pub struct Arguments {
    /// The controller's Deployment.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    controller: String,
    /// The namespaces whose objects count, separated by commas. Default: all.
    #[arg(long, value_name = "NAMESPACE", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
}

/// Says how many objects were let go.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Some((namespace, name)) = arguments.controller.split_once('/') else {
        let given = &arguments.controller;
        return Err(Failure::Usage(format!(
            "--controller {given}: write it as namespace/name"
        )));
    };
    let controller = ObjectName::new(namespace, name);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::from_error(&error))?;
    let released = runtime.block_on(async {
        let client = kube::Client::try_default()
            .await
            .map_err(|error| Failure::from_error(&error))?;
        release(&client, &controller, &arguments.watch_namespaces)
            .await
            .map_err(|error| Failure::from_error(&error))
    })?;
    println!("The controller is stopped; {released} UpstreamSubscriptions were let go.");
    if released > 0 {
        println!("Their registrations stay at the apps until somebody removes them there.");
    }
    Ok(ExitCode::SUCCESS)
}
