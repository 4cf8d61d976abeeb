//! What the objects of an EventGateway are called, and how they are recognised. Pure.
//!
//! Names follow from the gateway's name alone, so that applying twice makes nothing twice, and so that the
//! configuration server knows from a ServiceAccount which gateway a pod belongs to.

use std::collections::BTreeMap;

use crate::api::EventGateway;
use crate::compile::name_of;
use crate::event::ObjectName;

/// Begins the name of every object of a gateway.
pub const PREFIX: &str = "tidegate-gateway-";

/// Whom the token in a pod is for: the configuration server, and nobody else.
pub const TOKEN_AUDIENCE: &str = "tidegate-configuration";

/// Port of the public listener in the pod.
pub const PUBLIC_PORT: u16 = 8080;

/// Port for probes and metrics in the pod.
pub const PROBES_PORT: u16 = 8081;

/// Port of the public Service.
pub const SERVICE_PORT: u16 = 80;

/// Name of the public port, and of the one for probes, in Services and pods.
pub const PORT_NAMES: [&str; 2] = ["http", "probes"];

/// Name of the volume with the log, and of its claim template.
pub const DATA: &str = "data";

/// The names of the objects of one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    gateway: ObjectName,
}

impl Names {
    /// Those of `gateway`.
    #[must_use]
    pub fn of(gateway: &EventGateway) -> Self {
        Self {
            gateway: name_of(gateway),
        }
    }

    /// Those of the gateway of this name.
    #[must_use]
    pub fn new(gateway: ObjectName) -> Self {
        Self { gateway }
    }

    /// The gateway itself.
    #[must_use]
    pub fn gateway(&self) -> &ObjectName {
        &self.gateway
    }

    /// The namespace of all of them.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.gateway.namespace
    }

    /// StatefulSet, public Service, ServiceAccount, PodDisruptionBudget, NetworkPolicy, Ingress and HTTPRoute.
    #[must_use]
    pub fn shared(&self) -> String {
        format!("{PREFIX}{}", self.gateway.name)
    }

    /// The headless Service, in which each pod has a name.
    #[must_use]
    pub fn headless_service(&self) -> String {
        format!("{}-pods", self.shared())
    }

    /// The ConfigMap with the certificate authority of the configuration server.
    #[must_use]
    pub fn ca(&self) -> String {
        format!("{}-ca", self.shared())
    }

    /// The Secret with the key of the last snapshot.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}-key", self.shared())
    }

    /// Where the first `replicas` pods take what others hand over.
    #[must_use]
    pub fn addresses(&self, replicas: u16) -> Vec<String> {
        let (shared, service) = (self.shared(), self.headless_service());
        let namespace = self.namespace();
        (0..replicas)
            .map(|ordinal| format!("{shared}-{ordinal}.{service}.{namespace}.svc:{PROBES_PORT}"))
            .collect()
    }

    /// The name of one pod.
    #[must_use]
    pub fn pod(&self, ordinal: i32) -> String {
        format!("{}-{ordinal}", self.shared())
    }

    /// The claim of one pod.
    #[must_use]
    pub fn claim(&self, ordinal: i32) -> String {
        format!("{DATA}-{}-{ordinal}", self.shared())
    }

    /// The number of the pod whose claim this is.
    #[must_use]
    pub fn ordinal(&self, claim: &str) -> Option<i32> {
        let number = claim.strip_prefix(&format!("{DATA}-{}-", self.shared()))?;
        number.parse().ok().filter(|number| *number >= 0)
    }

    /// The labels that select the gateway's pods. They never change: a StatefulSet's selector cannot.
    #[must_use]
    pub fn selector(&self) -> BTreeMap<String, String> {
        [
            ("app.kubernetes.io/name", "tidegate-gateway"),
            ("app.kubernetes.io/instance", &self.gateway.name),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// The labels of every object.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert(
            "app.kubernetes.io/managed-by".to_owned(),
            "tidegate".to_owned(),
        );
        labels
    }

    /// The labels that select the pods, as one text.
    #[must_use]
    pub fn selector_text(&self) -> String {
        let parts: Vec<_> = self
            .selector()
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        parts.join(",")
    }
}
