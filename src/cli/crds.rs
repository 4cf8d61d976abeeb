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
    /// Write one Markdown page per resource, with every field, into this folder.
    #[arg(long, value_name = "DIR")]
    reference_dir: Option<PathBuf>,
}

/// Prints all four, or writes them into files.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        output_dir,
        reference_dir,
    } = arguments;
    for crd in api::crds() {
        if let Some(folder) = output_dir {
            write(folder.join(&crd.file_name), &crd.yaml)?;
        }
        if let Some(folder) = reference_dir {
            let name = format!("{}.md", crd.definition.spec.names.plural);
            write(folder.join(name), &api::reference_page(crd))?;
        }
    }
    if output_dir.is_none() && reference_dir.is_none() {
        let text = api::crds()
            .iter()
            .map(|crd| crd.yaml.as_str())
            .collect::<Vec<_>>()
            .join("---\n");
        // A reader that stops early, such as `head`, is no failure.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: PathBuf, text: &str) -> Result<(), Failure> {
    std::fs::write(&path, text)
        .map_err(|error| Failure::Failed(format!("failed to write {}: {error}", path.display())))
}
