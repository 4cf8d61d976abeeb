//! What the commands that serve have in common: a runtime, and traces for as long as it runs.

use std::error::Error;
use std::process::ExitCode;

use tidegate::outbound::Outbound;
use tidegate::telemetry;

use super::Failure;

/// Runs `work` to its end. `service` is what it is called in traces, which are sent as the environment
/// says.
pub fn serve<E: Error>(
    service: &'static str,
    more_roots: Option<&str>,
    work: impl Future<Output = Result<(), E>>,
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(&error))?;
    let outbound = Outbound::new(None);
    let outbound = match more_roots {
        Some(roots) => outbound.with_more_roots(roots),
        None => outbound,
    };
    let entered = runtime.enter();
    let variable = |name: &str| std::env::var(name).ok();
    let traces = telemetry::start(service, variable, &outbound)
        .map_err(|error| Failure::from_error(&error).of_usage())?;
    drop(entered);
    let result = runtime.block_on(work);
    if let Some(traces) = traces {
        runtime.block_on(traces.stop());
    }
    result.map_err(|error| Failure::from_error(&error))?;
    Ok(ExitCode::SUCCESS)
}
