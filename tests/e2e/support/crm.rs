//! The CRM of the examples as a pod behind TLS, and its manifests as they are but for where things are.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::Installation;
use super::load::pod_behind_tls;

/// Where it listens.
pub const PORT: u16 = 9443;

/// Where it listens behind the sidecar.
const PLAIN_PORT: u16 = 9091;

/// A certificate authority of somebody's own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// The manifest of a Secret with a certificate for `host`.
    fn secret(&self, name: &str, host: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap().pem();
        let data = serde_json::json!({"tls.crt": certificate, "tls.key": key.serialize_pem()});
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}, type: kubernetes.io/tls, stringData: {data}}}\n---\n"
        )
    }
}

/// The name that the app called `name` has in the cluster.
pub fn host(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}.svc.cluster.local")
}

/// Starts the app, with a certificate of `authority`. Within the cluster it can be reached without TLS, too, at the
/// Service NAME-plain: what sends in these tests does not speak TLS.
pub fn start(installation: &Installation, name: &str, authority: &Authority) {
    let host = host(&installation.namespace, name);
    let port = PLAIN_PORT.to_string();
    let arguments = ["--host", &host, "--port", &port];
    let pod = pod_behind_tls(name, "crm", &arguments, PLAIN_PORT, PORT);
    let plain = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}-plain}}, \
         spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: {PLAIN_PORT}}}]}}}}"
    );
    installation.apply(&(authority.secret(name, &host) + &pod + &plain));
    installation.wait_for_condition(&format!("pod/{name}"), "Ready");
}

/// The manifests of a file of the example, with the app at its host called `name`.
pub fn manifests(installation: &Installation, name: &str, file: &str) -> String {
    let path = format!("{}/examples/crm/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
    let base = format!("https://{}:{PORT}", host(&installation.namespace, name));
    let manifests = std::fs::read_to_string(&path)
        .unwrap()
        .replace("namespace: crm", "namespace: NAMESPACE")
        .replace("http://127.0.0.1:9091", &base)
        .replace(
            r#"sink: {uri: "http://127.0.0.1:9090/pro"}"#,
            "sink: {service: {name: load, port: 9090}}",
        )
        .replace(
            r#"sink: {uri: "http://127.0.0.1:9090/acme-vips"}"#,
            "sink: {service: {name: load, port: 9090, path: /acme-vips}}",
        );
    assert!(!manifests.contains("127.0.0.1"), "{path}");
    manifests
}
