//! Which kinds a manifest may hold, and what their schemas are.
//!
//! Ours come from the CRDs. Of Kubernetes' own kinds only what is read here is
//! described, so a field of theirs that we do not use is no mistake unless it
//! can be none of theirs.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::structure::SENSITIVE;
use crate::api::{GROUP, TEXT_KIND, VERSION, crds};

/// A kind that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// AppEventType.
    AppEventType,
    /// Customer.
    Customer,
    /// EventSubscription.
    EventSubscription,
    /// EventGateway.
    EventGateway,
    /// Secret.
    Secret,
    /// ConfigMap.
    ConfigMap,
    /// Namespace.
    Namespace,
}

/// The one kind of our group that is no declaration: what stands in it is never read back, so one in a file would do
/// nothing.
const MADE_BY_US: &str = "UpstreamSubscription";

/// All kinds that are read.
pub const KINDS: [Kind; 7] = [
    Kind::AppEventType,
    Kind::Customer,
    Kind::EventSubscription,
    Kind::EventGateway,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::Namespace,
];

impl Kind {
    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AppEventType => "AppEventType",
            Self::Customer => "Customer",
            Self::EventSubscription => "EventSubscription",
            Self::EventGateway => "EventGateway",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::Namespace => "Namespace",
        }
    }

    /// Whether the kind is one of our group.
    pub fn is_ours(self) -> bool {
        matches!(
            self,
            Self::AppEventType | Self::Customer | Self::EventSubscription | Self::EventGateway
        )
    }

    /// Whether objects of the kind belong to a namespace.
    pub fn is_namespaced(self) -> bool {
        self != Self::Namespace
    }

    /// The schema of a whole object, `apiVersion`, `kind` and `metadata` included.
    pub fn schema(self) -> &'static Value {
        static SCHEMAS: LazyLock<Vec<(Kind, Value)>> = LazyLock::new(|| {
            KINDS
                .iter()
                .map(|kind| (*kind, whole_schema(*kind)))
                .collect()
        });
        static NOTHING: Value = Value::Null;
        SCHEMAS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or(&NOTHING, |(_, schema)| schema)
    }
}

/// What the `apiVersion` and `kind` of a document mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An object that is read.
    Known(Kind),
    /// Several objects.
    List,
    /// Something of Kubernetes, or of another operator.
    Foreign,
    /// A mistake; which of the two fields, and the message.
    Mistake(&'static str, String),
}

/// Reads `apiVersion` and `kind`.
pub fn identify(api_version: &str, kind: &str) -> Identity {
    let ours = format!("{GROUP}/{VERSION}");
    let known = KINDS.into_iter().find(|candidate| candidate.name() == kind);
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if group == GROUP {
        if api_version != ours {
            let message = format!("`{api_version}` is not a version that exists; write {ours}");
            return Identity::Mistake("apiVersion", message);
        }
        return match known {
            Some(kind) if kind.is_ours() => Identity::Known(kind),
            _ if kind.strip_suffix("List").is_some_and(is_our_name) => Identity::List,
            _ => Identity::Mistake("kind", unknown_kind(kind)),
        };
    }
    match known {
        Some(kind) if !kind.is_ours() && api_version == "v1" => return Identity::Known(kind),
        // Other operators have Customers too, but hardly any of the other three.
        Some(kind) if kind.is_ours() && kind != Kind::Customer => {
            let message = format!(
                "a {} has the apiVersion {ours}, not `{api_version}`",
                kind.name()
            );
            return Identity::Mistake("apiVersion", message);
        }
        _ => {}
    }
    if api_version == "v1"
        && matches!(
            kind,
            "List" | "SecretList" | "ConfigMapList" | "NamespaceList"
        )
    {
        return Identity::List;
    }
    Identity::Foreign
}

fn is_our_name(name: &str) -> bool {
    KINDS
        .into_iter()
        .any(|kind| kind.is_ours() && kind.name() == name)
}

fn unknown_kind(kind: &str) -> String {
    let names = KINDS
        .into_iter()
        .filter(|kind| kind.is_ours())
        .map(Kind::name);
    if kind.strip_suffix("List").unwrap_or(kind) == MADE_BY_US {
        return format!(
            "an {MADE_BY_US} is made by Tidegate, and read by people alone; remove it from the files"
        );
    }
    match super::structure::nearest(kind, names) {
        Some(name) => format!("`{kind}` is not a kind of {GROUP}; did you mean {name}?"),
        None => format!(
            "`{kind}` is not a kind of {GROUP}; there are AppEventType, Customer, EventSubscription and EventGateway"
        ),
    }
}

fn whole_schema(kind: Kind) -> Value {
    let mut schema = match kind {
        Kind::Secret => json!({
            "type": "object",
            "properties": {
                "data": secret_map(),
                "stringData": secret_map(),
                "type": {"type": "string"},
                "immutable": {"type": "boolean"},
            },
        }),
        Kind::ConfigMap => json!({
            "type": "object",
            "properties": {
                "data": text_map(),
                "binaryData": text_map(),
                "immutable": {"type": "boolean"},
            },
        }),
        Kind::Namespace => json!({
            "type": "object",
            "properties": {"spec": anything(), "status": anything()},
        }),
        Kind::AppEventType | Kind::Customer | Kind::EventSubscription | Kind::EventGateway => {
            crds()
                .iter()
                .find(|crd| crd.kind == kind.name())
                .map(|crd| crd.schema.clone())
                .unwrap_or_default()
        }
    };
    if kind.is_ours() {
        // A status in a manifest is ignored by the API server, and so it is here.
        schema["properties"]["status"] = anything();
    }
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = metadata();
    schema
}

fn text_map() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string", (TEXT_KIND): "data"}})
}

/// The values of a Secret, which no message may repeat.
fn secret_map() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string", (TEXT_KIND): SENSITIVE}})
}

fn anything() -> Value {
    json!({"x-kubernetes-preserve-unknown-fields": true, (TEXT_KIND): "data"})
}

/// Kubernetes' ObjectMeta, of which names, labels and annotations are written by people.
fn metadata() -> Value {
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": 253,
                "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
                "description": "Lower-case letters, digits, `-` and `.`, with a letter or digit at both ends.",
            },
            "namespace": {
                "type": "string",
                "minLength": 1,
                "maxLength": 63,
                "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                "description": "Lower-case letters, digits and `-`, with a letter or digit at both ends.",
            },
            "labels": text_map(),
            "annotations": text_map(),
            "generateName": anything(),
            "finalizers": anything(),
            "ownerReferences": anything(),
            "uid": anything(),
            "resourceVersion": anything(),
            "generation": anything(),
            "creationTimestamp": anything(),
            "deletionTimestamp": anything(),
            "deletionGracePeriodSeconds": anything(),
            "managedFields": anything(),
            "selfLink": anything(),
        },
    })
}
