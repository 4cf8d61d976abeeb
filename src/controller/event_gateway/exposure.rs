//! Ingress and HTTPRoute: how the public URL leads to the public Service. Pure.
//!
//! An HTTPRoute is made as plain JSON: the Gateway API is no part of Kubernetes itself, and one small object of it is not
//! worth a library.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::json;
use url::{Host, Url};

use super::metadata;
use super::names::{Names, PORT_NAMES, SERVICE_PORT};
use crate::api::{EventGateway, GatewayHttpRoute, GatewayIngress, ParentReference};

/// The kind HTTPRoute of the Gateway API.
#[must_use]
pub fn http_route_resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"),
        "httproutes",
    )
}

/// Where the public URL points: the host, unless it is an address, which neither kind can match; and the path.
struct Target {
    host: Option<String>,
    path: String,
}

fn target(gateway: &EventGateway) -> Target {
    // The CRD admits nothing that is no URL but odd hosts, and of those there is nothing to match.
    let url = Url::parse(&gateway.spec.public_url).ok();
    let host = url.as_ref().and_then(|url| match url.host()? {
        Host::Domain(name) => Some(name.to_owned()),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    });
    let path = url.map_or_else(|| "/".to_owned(), |url| url.path().to_owned());
    Target { host, path }
}

/// The Ingress that `wanted` asks for.
pub fn ingress(gateway: &EventGateway, wanted: &GatewayIngress) -> Ingress {
    let names = Names::of(gateway);
    let Target { host, path } = target(gateway);
    let mut metadata = metadata(gateway, names.shared());
    if !wanted.annotations.is_empty() {
        metadata.annotations = Some(wanted.annotations.clone());
    }
    let path = HTTPIngressPath {
        path: Some(path),
        path_type: "Prefix".to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: names.shared(),
                port: Some(ServiceBackendPort {
                    name: Some(PORT_NAMES[0].to_owned()),
                    number: None,
                }),
            }),
            resource: None,
        },
    };
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: wanted.class_name.clone(),
            tls: wanted.tls_secret_name.as_ref().map(|secret| {
                vec![IngressTLS {
                    hosts: host.clone().map(|host| vec![host]),
                    secret_name: Some(secret.clone()),
                }]
            }),
            rules: Some(vec![IngressRule {
                host,
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            default_backend: None,
        }),
        status: None,
    }
}

/// The HTTPRoute that `wanted` asks for.
pub fn http_route(gateway: &EventGateway, wanted: &GatewayHttpRoute) -> DynamicObject {
    let names = Names::of(gateway);
    let Target { host, path } = target(gateway);
    let parents: Vec<_> = wanted.parent_refs.iter().map(parent).collect();
    let mut rule = json!({
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "backendRefs": [{"name": names.shared(), "port": SERVICE_PORT}],
    });
    if path != "/" {
        rule["filters"] = json!([{
            "type": "URLRewrite",
            "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
        }]);
    }
    let mut spec = json!({"parentRefs": parents, "rules": [rule]});
    if let Some(host) = host {
        spec["hostnames"] = json!([host]);
    }
    let mut route =
        DynamicObject::new(&names.shared(), &http_route_resource()).data(json!({"spec": spec}));
    route.metadata = metadata(gateway, names.shared());
    route
}

fn parent(reference: &ParentReference) -> serde_json::Value {
    let ParentReference {
        name,
        namespace,
        section_name,
        port,
    } = reference;
    let mut parent = json!({
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": name,
    });
    if let Some(namespace) = namespace {
        parent["namespace"] = json!(namespace);
    }
    if let Some(section) = section_name {
        parent["sectionName"] = json!(section);
    }
    if let Some(port) = port {
        parent["port"] = json!(port);
    }
    parent
}
