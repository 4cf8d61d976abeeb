//! `tidegate crds`: print the CustomResourceDefinitions.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use tidegate::api;

use super::Failure;

/// Print the CustomResourceDefinitions of group tidegate.dev.
///
/// Example: tidegate crds | kubectl apply --server-side -f -
#[derive(clap::Args)]
pub struct Arguments {
    /// Write one file per resource into this folder instead of printing.
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

/// Prints all four, or writes them into files.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let crds = api::crds();
    match &arguments.output_dir {
        None => {
            let text = crds
                .iter()
                .map(|crd| crd.yaml.as_str())
                .collect::<Vec<_>>()
                .join("---\n");
            // A reader that stops early, such as `head`, is no failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
        }
        Some(folder) => {
            for crd in crds {
                let path = folder.join(&crd.file_name);
                std::fs::write(&path, &crd.yaml).map_err(|error| {
                    Failure::Failed(format!("failed to write {}: {error}", path.display()))
                })?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
