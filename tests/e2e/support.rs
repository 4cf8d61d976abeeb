//! An installation in a namespace of its own, and what tests do with it.

pub mod command;
pub mod crm;
pub mod dump;
pub mod load;
pub mod orders;
pub mod windows;

use std::sync::Once;
use std::time::{Duration, Instant};

use serde_json::Value;

use command::{helm, json, kubectl, kubectl_with_input, try_kubectl};

/// How long anything may take that has to happen: machines that run this are slow and busy.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The image under test.
pub fn image() -> String {
    required("IMAGE")
}

/// The image under test by another name, which is to Kubernetes another image: `E2E_NEXT_IMAGE`, or what a short name is
/// short for.
pub fn next_image() -> String {
    std::env::var("E2E_NEXT_IMAGE").unwrap_or_else(|_| {
        let image = image();
        assert!(
            !image.contains('/'),
            "E2E_NEXT_IMAGE is not set: it names the image to upgrade to, which the cluster's nodes have; it may be \
             {image} by another name"
        );
        format!("docker.io/library/{image}")
    })
}

/// The image with the app, the load and the sink.
pub fn tools_image() -> String {
    required("E2E_IMAGE")
}

fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: `make e2e` sets it; it names an image that the cluster's nodes have"
        )
    })
}

/// An installation of the real charts in a namespace of its own.
pub struct Installation {
    pub namespace: String,
}

impl Installation {
    /// Installs with `values` (YAML) beside those that every test needs, in a namespace that admits pods of the
    /// `restricted` Pod Security Standard alone.
    pub fn new(name: &str, values: &str) -> Self {
        install_crds();
        let namespace = format!("e2e-{name}");
        delete_namespace(&namespace);
        let manifest = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}, labels: \
             {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
        );
        kubectl_with_input(&["create", "-f", "-"], &manifest);
        let installation = Self { namespace };
        let (repository, tag) = split_image(&image());
        let url = format!(
            "http://tidegate-gateway-default.{}.svc",
            installation.namespace
        );
        let values = format!(
            "image: {{repository: {repository}, tag: {tag:?}, pullPolicy: IfNotPresent}}\n\
             watchNamespaces: [{}]\n\
             userRoles: {{create: false}}\n\
             defaultGateway: {{create: true, spec: {{publicUrl: {url:?}, replicas: 2, storage: {{size: 1Gi}}}}}}\n\
             {values}\n",
            installation.namespace,
        );
        helm(
            &[
                "install",
                "tidegate",
                "charts/tidegate",
                "--namespace",
                &installation.namespace,
                "--values",
                "-",
            ],
            &values,
        );
        installation
    }

    /// Installs the release anew with another image, as an upgrade does. Comes back when controller and gateway run
    /// nothing else.
    pub fn upgrade(&self, image: &str) {
        let (repository, tag) = split_image(image);
        helm(
            &[
                "upgrade",
                "tidegate",
                "charts/tidegate",
                "--namespace",
                &self.namespace,
                "--reset-then-reuse-values",
                "--set",
                &format!("image.repository={repository}"),
                "--set-string",
                &format!("image.tag={tag}"),
            ],
            "",
        );
        let (controller, gateway) = (
            "deployment/tidegate-controller",
            "statefulset/tidegate-gateway-default",
        );
        wait_for("the gateway to be of the other image", || {
            let set = self.try_get(gateway)?;
            let found = &set["spec"]["template"]["spec"]["containers"][0]["image"];
            match found == image {
                true => Ok(()),
                false => Err(found.to_string()),
            }
        });
        for what in [controller, gateway] {
            self.kubectl(&["rollout", "status", what, "--timeout=180s"]);
        }
    }

    /// Waits until controller and gateway take requests.
    pub fn wait_until_it_serves(&self) {
        self.wait_for_condition("deployment/tidegate-controller", "Available");
        self.wait_for_condition("eventgateway/default", "Ready");
    }

    /// `kubectl` in the namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["--namespace", &self.namespace], arguments].concat())
    }

    /// An object, or a list, as JSON.
    pub fn get(&self, what: &str) -> Value {
        json(&self.kubectl(&["get", what, "--output", "json"]))
    }

    /// Applies manifests, in which `NAMESPACE` stands for the namespace.
    pub fn apply(&self, manifests: &str) {
        let manifests = manifests.replace("NAMESPACE", &self.namespace);
        kubectl_with_input(
            &[
                "--namespace",
                &self.namespace,
                "apply",
                "--server-side",
                "-f",
                "-",
            ],
            &manifests,
        );
    }

    /// Waits until an object has a condition.
    pub fn wait_for_condition(&self, what: &str, condition: &str) {
        wait_for(&format!("{what} to be {condition}"), || {
            let object = self.try_get(what)?;
            let found = condition_of(&object, condition).ok_or("no such condition yet")?;
            let is_current = found["observedGeneration"]
                .as_i64()
                .is_none_or(|seen| Some(seen) == object["metadata"]["generation"].as_i64());
            if is_current && found["status"] == "True" {
                return Ok(());
            }
            Err(format!("{}", object["status"]["conditions"]))
        });
    }

    /// An object as JSON, if it is there.
    pub fn try_get(&self, what: &str) -> Result<Value, String> {
        let output = try_kubectl(&[
            "--namespace",
            &self.namespace,
            "get",
            what,
            "--output",
            "json",
        ])?;
        Ok(json(&output))
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            dump::dump(&self.namespace);
        }
        if std::env::var_os("E2E_KEEP").is_some() {
            return;
        }
        let _ = command::try_helm(
            &["uninstall", "tidegate", "--namespace", &self.namespace],
            "",
        );
        let arguments = [
            "delete",
            "namespace",
            &self.namespace,
            "--wait=false",
            "--ignore-not-found",
        ];
        let _ = try_kubectl(&arguments);
    }
}

/// The condition of an object.
pub fn condition_of<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|found| found["type"] == type_)
}

/// Tries until it succeeds; panics with the last reason when that takes too long.
pub fn wait_for<T, E: ToString>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let began = Instant::now();
    loop {
        match attempt() {
            Ok(found) => return found,
            Err(reason) if began.elapsed() > PATIENCE => panic!(
                "waited {} s for {what}: {}",
                PATIENCE.as_secs(),
                reason.to_string()
            ),
            Err(_) => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}

/// Deletes a namespace and waits until it is gone.
pub fn delete_namespace(namespace: &str) {
    kubectl(&[
        "delete",
        "namespace",
        namespace,
        "--ignore-not-found",
        "--timeout=120s",
    ]);
}

/// The custom resources belong to the cluster, so they are installed once for all tests.
fn install_crds() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        helm(
            &[
                "upgrade",
                "--install",
                "tidegate-crds",
                "charts/tidegate-crds",
                "--namespace",
                "tidegate-crds",
                "--create-namespace",
            ],
            "",
        );
        // In the first moment there is no condition that it could wait for, which is an error.
        wait_for("the custom resources", || {
            try_kubectl(&[
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                "crd/appeventtypes.tidegate.dev",
                "crd/customers.tidegate.dev",
                "crd/eventsubscriptions.tidegate.dev",
                "crd/upstreamsubscriptions.tidegate.dev",
                "crd/eventgateways.tidegate.dev",
            ])
        });
    });
}

fn split_image(image: &str) -> (String, String) {
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (image.to_owned(), "latest".to_owned()),
    }
}
