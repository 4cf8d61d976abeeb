//! What leads to a gateway's pods, and what protects them: Services, PodDisruptionBudget, NetworkPolicy. Pure.

use k8s_openapi::api::core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use super::names::{Names, PORT_NAMES, PROBES_PORT, PUBLIC_PORT, SERVICE_PORT};
use crate::api::EventGateway;

/// The account of the pods. It has no rights, and its token is mounted by nothing but the projection for the
/// configuration server.
pub fn service_account(gateway: &EventGateway) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(gateway, Names::of(gateway).shared()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// What apps' requests come in through.
pub fn public_service(gateway: &EventGateway) -> Service {
    let names = Names::of(gateway);
    Service {
        metadata: metadata(gateway, names.shared()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(names.selector()),
            ports: Some(vec![ServicePort {
                name: Some(PORT_NAMES[0].to_owned()),
                port: i32::from(SERVICE_PORT),
                target_port: Some(IntOrString::String(PORT_NAMES[0].to_owned())),
                protocol: Some("TCP".to_owned()),
                app_protocol: Some("http".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// What gives each pod a name of its own, also while it takes no requests.
pub fn headless_service(gateway: &EventGateway) -> Service {
    let names = Names::of(gateway);
    Service {
        metadata: metadata(gateway, names.headless_service()),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(names.selector()),
            ports: Some(
                [(PORT_NAMES[0], PUBLIC_PORT), (PORT_NAMES[1], PROBES_PORT)]
                    .map(|(name, port)| ServicePort {
                        name: Some(name.to_owned()),
                        port: i32::from(port),
                        target_port: Some(IntOrString::String(name.to_owned())),
                        protocol: Some("TCP".to_owned()),
                        ..ServicePort::default()
                    })
                    .into(),
            ),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// One pod at a time, when nodes are emptied: with one replica that is a short gap, and not a node that cannot be.
pub fn disruption_budget(gateway: &EventGateway) -> PodDisruptionBudget {
    let names = Names::of(gateway);
    PodDisruptionBudget {
        metadata: metadata(gateway, names.shared()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(names.selector()),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

/// In: the public port from everywhere, the probes' port (which has the metrics, too) from pods of the cluster; nodes are
/// let in by every implementation. Out: names may be looked up anywhere; everything else but link-local addresses, where
/// clouds keep the credentials of machines. Sinks can be anywhere, so nothing more can be forbidden here.
pub fn network_policy(gateway: &EventGateway) -> NetworkPolicy {
    let names = Names::of(gateway);
    let port = |number: u16, protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some(protocol.to_owned()),
        ..NetworkPolicyPort::default()
    };
    let all_but = |all: &str, except: &str| NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: all.to_owned(),
            except: Some(vec![except.to_owned()]),
        }),
        ..NetworkPolicyPeer::default()
    };
    NetworkPolicy {
        metadata: metadata(gateway, names.shared()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(names.selector()),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule {
                    ports: Some(vec![port(PUBLIC_PORT, "TCP")]),
                    from: None,
                },
                NetworkPolicyIngressRule {
                    ports: Some(vec![port(PROBES_PORT, "TCP")]),
                    from: Some(vec![NetworkPolicyPeer {
                        namespace_selector: Some(LabelSelector::default()),
                        ..NetworkPolicyPeer::default()
                    }]),
                },
            ]),
            egress: Some(vec![
                NetworkPolicyEgressRule {
                    ports: Some(vec![port(53, "UDP"), port(53, "TCP")]),
                    to: None,
                },
                NetworkPolicyEgressRule {
                    ports: None,
                    to: Some(vec![
                        all_but("0.0.0.0/0", "169.254.0.0/16"),
                        all_but("::/0", "fe80::/10"),
                    ]),
                },
            ]),
        }),
    }
}
