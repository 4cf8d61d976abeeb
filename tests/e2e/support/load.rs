//! The app that sends and the sink that takes, as one pod; see `tests/e2e/load`.

use serde_json::Value;

use super::command::{json, try_kubectl};
use super::{Installation, tools_image, wait_for};

/// The manifest of a pod of the tools' image, with the Service of its name, that passes the `restricted` standard.
pub fn pod(name: &str, program: &str, arguments: &[&str], port: u16) -> String {
    manifest(name, &[container(program, arguments, "")], port, "")
}

/// The same behind TLS: the Service leads to `port`, where a sidecar decrypts what it passes to the program at
/// `plain_port`. Its certificate and key are in the Secret `name` of type `kubernetes.io/tls`.
pub fn pod_behind_tls(
    name: &str,
    program: &str,
    arguments: &[&str],
    plain_port: u16,
    port: u16,
) -> String {
    let (listen, to) = (format!("0.0.0.0:{port}"), format!("127.0.0.1:{plain_port}"));
    let mount = "\n    volumeMounts: [{name: tls, mountPath: /etc/tls, readOnly: true}]";
    let containers = [
        container(program, arguments, ""),
        container("tls", &[&listen, &to, "/etc/tls"], mount),
    ];
    let volumes = format!("\n  volumes: [{{name: tls, secret: {{secretName: {name}}}}}]");
    manifest(name, &containers, port, &volumes)
}

fn container(program: &str, arguments: &[&str], more: &str) -> String {
    let image = tools_image();
    let arguments: Vec<_> = arguments.iter().map(|text| format!("{text:?}")).collect();
    let arguments = arguments.join(", ");
    format!(
        r#"
  - name: {program}
    image: {image}
    imagePullPolicy: IfNotPresent
    command: [/{program}]
    args: [{arguments}]
    securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}{more}"#
    )
}

fn manifest(name: &str, containers: &[String], port: u16, more: &str) -> String {
    let containers = containers.concat();
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}{more}
  containers:{containers}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: {port}}}]}}
---
"#
    )
}

/// An app that sends, and the sink of its events.
pub struct Load<'a> {
    installation: &'a Installation,
    name: &'static str,
}

impl<'a> Load<'a> {
    /// Starts a pod, with a Service of the same name at port 9090, that sends as `arguments` say.
    pub fn start(installation: &'a Installation, name: &'static str, arguments: &[&str]) -> Self {
        installation.apply(&pod(name, "load", arguments, 9090));
        installation.wait_for_condition(&format!("pod/{name}"), "Ready");
        Self { installation, name }
    }

    /// What it was answered and what arrived.
    pub fn report(&self) -> Result<Value, String> {
        Ok(json(&self.ask("report")?))
    }

    /// Makes the sink refuse, or take again.
    pub fn sink(&self, state: &str) {
        wait_for(&format!("the sink to be {state}"), || {
            self.ask(&format!("sink/{state}"))
        });
    }

    /// Ends the sending.
    pub fn stop(&self) {
        wait_for("the load to stop", || self.ask("stop"));
    }

    /// Waits until everything is sent and `is_enough` says so of the report; gives the report.
    pub fn wait_until(&self, what: &str, is_enough: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || {
            let report = self.report()?;
            if report["done"] == true && is_enough(&report) {
                return Ok(report);
            }
            Err(report.to_string())
        })
    }

    fn ask(&self, path: &str) -> Result<String, String> {
        let namespace = &self.installation.namespace;
        let name = self.name;
        let url = format!("/api/v1/namespaces/{namespace}/pods/{name}:9090/proxy/{path}");
        try_kubectl(&["get", "--raw", &url])
    }
}
