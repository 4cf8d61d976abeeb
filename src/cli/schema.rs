//! `tidegate schema`: the JSON Schema that examples generate.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;
use tidegate::schema;

use super::Failure;
use super::output::print;

/// Print the JSON Schema generated from one or more examples: every example matches it, and a
/// property that all have is required.
///
/// Example: tidegate schema order.json order-without-items.json
#[derive(clap::Args)]
pub struct Arguments {
    /// Files with one JSON document each; `-` reads standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Prints the schema.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let examples = arguments
        .files
        .iter()
        .map(|file| read(file))
        .collect::<Result<Vec<_>, _>>()?;
    let schema = schema::generate(&examples).map_err(|error| Failure::from_error(&error))?;
    let text =
        serde_json::to_string_pretty(&schema).map_err(|error| Failure::from_error(&error))?;
    print(&format!("{text}\n"));
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<Value, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Failed(format!("failed to read {}: {error}", file.display()))
    };
    let mut text = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .read_to_end(&mut text)
            .map_err(|error| failed(&error))?;
    } else {
        text = std::fs::read(file).map_err(|error| failed(&error))?;
    }
    serde_json::from_slice(&text).map_err(|error| failed(&format!("it is not JSON: {error}")))
}
