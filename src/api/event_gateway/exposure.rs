//! How the public URL leads to a gateway's pods: an Ingress or an HTTPRoute, if one is asked for.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::pod::long_texts;

/// An Ingress for the host of `publicUrl`. Counts in a cluster only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayIngress {
    /// Class of the Ingress. Default: the cluster's default class
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Annotations of the Ingress: what its class wants to know. Where `publicUrl` has a path, they must make it take that
    /// path off. Example: `{cert-manager.io/cluster-issuer: letsencrypt}`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "long_texts")]
    pub annotations: BTreeMap<String, String>,
    /// Name of the Secret, in the gateway's namespace, with the certificate for the host. Default: no TLS section
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,
}

/// An HTTPRoute of the Gateway API for the host of `publicUrl`; a path in it is taken off. Counts in a cluster only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayHttpRoute {
    /// The Gateways that the route is attached to. Example: `[{name: public, namespace: ingress}]`
    #[schemars(length(min = 1, max = 16))]
    pub parent_refs: Vec<ParentReference>,
}

/// A Gateway of the Gateway API, or one of its listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the Gateway. Default: the EventGateway's own
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Name of the listener. Default: every listener that fits
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// Port of the listener. Default: every listener that fits
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
}
