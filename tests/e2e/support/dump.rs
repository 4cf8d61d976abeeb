//! What is printed of a namespace when a test fails there.

use super::command::{json, try_kubectl};

/// Lines of each container's log.
const LINES: &str = "--tail=150";

pub fn dump(namespace: &str) {
    let show = |title: &str, arguments: &[&str]| {
        let arguments = [&["--namespace", namespace], arguments].concat();
        let text = try_kubectl(&arguments).unwrap_or_else(|error| error);
        eprintln!("\n== {namespace}: {title}\n{text}");
    };
    show(
        "objects",
        &[
            "get",
            "pods,statefulsets,deployments,jobs,services,persistentvolumeclaims,leases",
            "--output",
            "wide",
        ],
    );
    show("resources", &["get", "tidegate", "--output", "yaml"]);
    show("events", &["get", "events", "--sort-by=.lastTimestamp"]);
    let Ok(pods) = try_kubectl(&["--namespace", namespace, "get", "pods", "--output", "json"])
    else {
        return;
    };
    for pod in json(&pods)["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        show(&format!("log of {name}"), &["logs", name, LINES]);
        let before = ["--namespace", namespace, "logs", name, "--previous", LINES];
        if let Ok(text) = try_kubectl(&before) {
            eprintln!("\n== {namespace}: log of {name} before its last restart\n{text}");
        }
    }
}
