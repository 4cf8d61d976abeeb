//! `kubectl` and `helm` as child processes. A failure panics with what they said; `try_…` return it.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

pub fn kubectl(arguments: &[&str]) -> String {
    kubectl_with_input(arguments, "")
}

pub fn kubectl_with_input(arguments: &[&str], input: &str) -> String {
    try_run("kubectl", arguments, input).unwrap_or_else(|error| panic!("{error}"))
}

pub fn try_kubectl(arguments: &[&str]) -> Result<String, String> {
    try_run("kubectl", arguments, "")
}

pub fn helm(arguments: &[&str], input: &str) -> String {
    try_helm(arguments, input).unwrap_or_else(|error| panic!("{error}"))
}

pub fn try_helm(arguments: &[&str], input: &str) -> Result<String, String> {
    try_run("helm", arguments, input)
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn try_run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let shown = format!("{program} {}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("failed to run {program}: {error}; is it installed?"))?;
    // What is written here is far smaller than what a pipe holds, or read at once.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| format!("{shown}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!(
        "`{shown}` failed:\n{}{}\n{input}",
        text(&output.stdout),
        text(&output.stderr)
    ))
}
