//! The command line: parse, dispatch, print.

/// Runs the command that the process arguments name.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
