//! The StatefulSet: one pod and one volume for each replica, in a form that the `restricted` Pod Security Standard
//! takes. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy,
    StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource,
    HTTPGetAction, Lifecycle, LifecycleHandler, LocalObjectReference, ObjectFieldSelector,
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSecurityContext, PodSpec, PodTemplateSpec,
    Probe, ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecretVolumeSource,
    SecurityContext, ServiceAccountTokenProjection, SleepAction, TopologySpreadConstraint, Volume,
    VolumeMount, VolumeProjection, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::{DATA, Names, PORT_NAMES, PROBES_PORT, PUBLIC_PORT, TOKEN_AUDIENCE};
use super::{Settings, metadata};
use crate::api::{EventGateway, PodResources};

/// Name of the container in the pod.
pub const CONTAINER: &str = "gateway";

/// User, group and owner of the volume: the one of the image, which nothing else uses.
const USER: i64 = 65_532;

/// How long a pod that is told to stop goes on as before, so that whoever sends requests has heard of it: proxies
/// follow a Service within a second or two.
const LINGER_SECONDS: i64 = 5;

/// How long it may then take: open requests (30 s for a slow body), open deliveries (10 s), the last sync.
const TERMINATION_GRACE_SECONDS: i64 = 60;

/// How long the token of a pod holds. The kubelet replaces it well before, and the pod reads it anew each time.
const TOKEN_SECONDS: i64 = 3_600;

/// Revisions that are kept for `kubectl rollout undo`; more than the last few helps nobody.
const REVISION_HISTORY: i32 = 3;

/// What differs from what the EventGateway alone says.
pub struct Shape {
    /// How many pods.
    pub replicas: i32,
    /// Size of a new claim, and its class. They cannot be changed in a StatefulSet that exists.
    pub claim: Claim,
}

/// What a claim template asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The storage that is requested.
    pub storage: String,
    /// The storage class; `None`: the cluster's default class.
    pub class: Option<String>,
}

/// The StatefulSet of `gateway`.
pub fn stateful_set(gateway: &EventGateway, settings: &Settings, shape: &Shape) -> StatefulSet {
    let names = Names::of(gateway);
    StatefulSet {
        metadata: metadata(gateway, names.shared()),
        spec: Some(StatefulSetSpec {
            replicas: Some(shape.replicas),
            service_name: Some(names.headless_service()),
            selector: LabelSelector {
                match_labels: Some(names.selector()),
                ..LabelSelector::default()
            },
            // Pods share nothing, so none has to wait for another.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateStatefulSetStrategy {
                    partition: Some(0),
                    ..RollingUpdateStatefulSetStrategy::default()
                }),
            }),
            // A volume holds acknowledged events: nothing but a person removes one.
            persistent_volume_claim_retention_policy: Some(
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some("Retain".to_owned()),
                    when_scaled: Some("Retain".to_owned()),
                },
            ),
            revision_history_limit: Some(REVISION_HISTORY),
            template: PodTemplateSpec {
                metadata: Some(pod_metadata(gateway, &names)),
                spec: Some(pod(gateway, settings, &names)),
            },
            volume_claim_templates: Some(vec![claim_template(&names, &shape.claim)]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn pod_metadata(gateway: &EventGateway, names: &Names) -> ObjectMeta {
    let mut labels = gateway.spec.pod.labels.clone();
    labels.extend(names.labels());
    let mut annotations = gateway.spec.pod.annotations.clone();
    annotations.insert(
        "kubectl.kubernetes.io/default-container".to_owned(),
        CONTAINER.to_owned(),
    );
    ObjectMeta {
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

fn pod(gateway: &EventGateway, settings: &Settings, names: &Names) -> PodSpec {
    let overrides = &gateway.spec.pod;
    PodSpec {
        service_account_name: Some(names.shared()),
        // Its own token would open the API server; the projected one opens the configuration server alone.
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: (!settings.image_pull_secrets.is_empty()).then(|| {
            let secrets = settings.image_pull_secrets.iter();
            secrets
                .map(|name| LocalObjectReference { name: name.clone() })
                .collect()
        }),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS),
        node_selector: (!overrides.node_selector.is_empty())
            .then(|| overrides.node_selector.clone()),
        tolerations: (!overrides.tolerations.is_empty()).then(|| overrides.tolerations.clone()),
        affinity: overrides.affinity.clone(),
        topology_spread_constraints: overrides.affinity.is_none().then(|| spread(names)),
        containers: vec![container(gateway, settings)],
        volumes: Some(volumes(names)),
        ..PodSpec::default()
    }
}

/// As far apart as the cluster allows. A pod that has to share a node is better than none.
fn spread(names: &Names) -> Vec<TopologySpreadConstraint> {
    ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        .map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(names.selector()),
                ..LabelSelector::default()
            }),
            ..TopologySpreadConstraint::default()
        })
        .into()
}

fn container(gateway: &EventGateway, settings: &Settings) -> Container {
    let names = Names::of(gateway);
    let size = gateway.spec.storage.size();
    let argument = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
    Container {
        name: CONTAINER.to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: settings.image_pull_policy.clone(),
        args: Some(vec![
            "gateway".to_owned(),
            argument("gateway", names.gateway()),
            argument("configuration-url", &settings.configuration_url),
            argument("ca-file", &"/etc/tidegate/ca/ca.crt"),
            argument("token-file", &"/var/run/tidegate/token/token"),
            argument("snapshot-key-file", &"/etc/tidegate/key/key"),
            argument("data-dir", &"/var/lib/tidegate"),
            argument("log-capacity", &size.bytes()),
            argument("listen", &format_args!("0.0.0.0:{PUBLIC_PORT}")),
            argument("probes", &format_args!("0.0.0.0:{PROBES_PORT}")),
            argument("admin", &"127.0.0.1:8082"),
        ]),
        env: Some(environment(settings)),
        ports: Some(
            [(PORT_NAMES[0], PUBLIC_PORT), (PORT_NAMES[1], PROBES_PORT)]
                .map(|(name, port)| ContainerPort {
                    name: Some(name.to_owned()),
                    container_port: i32::from(port),
                    protocol: Some("TCP".to_owned()),
                    ..ContainerPort::default()
                })
                .into(),
        ),
        resources: Some(resources(gateway.spec.pod.resources.as_ref())),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        // Reading a large log back takes time, and must not be cut off: ten minutes.
        startup_probe: Some(probe("/livez", 2, 300)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: LINGER_SECONDS,
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        volume_mounts: Some(
            [
                (DATA, "/var/lib/tidegate", false),
                ("token", "/var/run/tidegate/token", true),
                ("ca", "/etc/tidegate/ca", true),
                ("key", "/etc/tidegate/key", true),
            ]
            .map(|(name, path, read_only)| VolumeMount {
                name: name.to_owned(),
                mount_path: path.to_owned(),
                read_only: read_only.then_some(true),
                ..VolumeMount::default()
            })
            .into(),
        ),
        ..Container::default()
    }
}

fn environment(settings: &Settings) -> Vec<EnvVar> {
    let pod = EnvVar {
        name: "TIDEGATE_POD".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "metadata.name".to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let handed_on = settings.environment.iter().map(|(name, value)| EnvVar {
        name: name.clone(),
        value: Some(value.clone()),
        ..EnvVar::default()
    });
    std::iter::once(pod).chain(handed_on).collect()
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT_NAMES[1].to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn resources(written: Option<&PodResources>) -> ResourceRequirements {
    let Some(PodResources { requests, limits }) = written else {
        let requests = [("cpu", "100m"), ("memory", "256Mi")];
        return ResourceRequirements {
            requests: Some(
                requests
                    .map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned())))
                    .into(),
            ),
            ..ResourceRequirements::default()
        };
    };
    let quantities = |of: &BTreeMap<String, crate::api::Quantity>| {
        (!of.is_empty()).then(|| {
            of.iter()
                .map(|(name, quantity)| (name.clone(), Quantity(quantity.to_string())))
                .collect()
        })
    };
    ResourceRequirements {
        requests: quantities(requests),
        limits: quantities(limits),
        ..ResourceRequirements::default()
    }
}

fn volumes(names: &Names) -> Vec<Volume> {
    let token = ServiceAccountTokenProjection {
        audience: Some(TOKEN_AUDIENCE.to_owned()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".to_owned(),
    };
    vec![
        Volume {
            name: "token".to_owned(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(vec![VolumeProjection {
                    service_account_token: Some(token),
                    ..VolumeProjection::default()
                }]),
                ..ProjectedVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "ca".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names.ca(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "key".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(names.key()),
                // The group is the pod's own, through fsGroup.
                default_mode: Some(0o440),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
    ]
}

fn claim_template(names: &Names, claim: &Claim) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(DATA.to_owned()),
            labels: Some(names.labels()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: claim.class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(claim.storage.clone()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
