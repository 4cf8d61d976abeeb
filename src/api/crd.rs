//! The CustomResourceDefinitions, generated from the types.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceValidation, JSONSchemaProps,
};
use kube::CustomResourceExt;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::{
    AppEventType, AppEventTypeSpec, AppEventTypeStatus, Customer, CustomerSpec, CustomerStatus,
    EventGateway, EventGatewaySpec, EventGatewayStatus, EventSubscription, EventSubscriptionSpec,
    EventSubscriptionStatus, UpstreamSubscription, UpstreamSubscriptionSpec,
    UpstreamSubscriptionStatus, structural::schema_of,
};

/// First line of each published file.
const HEADER: &str = "# Printed by `tidegate crds`; edit the types, not this file.\n";

/// One resource and its CRD.
#[derive(Clone, Debug)]
pub struct Crd {
    /// Kind, such as `AppEventType`.
    pub kind: &'static str,
    /// Name of the file that holds the CRD: `<plural>.yaml`.
    pub file_name: String,
    /// The CRD as YAML, as it is published.
    pub yaml: String,
    /// The CRD itself.
    pub definition: CustomResourceDefinition,
    /// Its structural schema, in which texts are marked as expressions and templates ([`super::TEXT_KIND`]).
    pub schema: Value,
}

/// The CRDs of all resources, in the order in which people meet them.
#[must_use]
pub fn crds() -> &'static [Crd] {
    static CRDS: LazyLock<Vec<Crd>> = LazyLock::new(|| {
        vec![
            crd::<AppEventType, AppEventTypeSpec, AppEventTypeStatus>("AppEventType"),
            crd::<Customer, CustomerSpec, CustomerStatus>("Customer"),
            crd::<EventSubscription, EventSubscriptionSpec, EventSubscriptionStatus>(
                "EventSubscription",
            ),
            crd::<UpstreamSubscription, UpstreamSubscriptionSpec, UpstreamSubscriptionStatus>(
                "UpstreamSubscription",
            ),
            crd::<EventGateway, EventGatewaySpec, EventGatewayStatus>("EventGateway"),
        ]
    });
    &CRDS
}

/// The CRD of a kind, if it is one of ours.
#[must_use]
pub fn crd_of(kind: &str) -> Option<&'static Crd> {
    crds().iter().find(|crd| crd.kind == kind)
}

fn crd<Resource, Spec, Status>(kind: &'static str) -> Crd
where
    Resource: CustomResourceExt,
    Spec: JsonSchema,
    Status: JsonSchema,
{
    let mut definition = Resource::crd();
    let mut spec = schema_of::<Spec>();
    let mut status = schema_of::<Status>();
    if let Some(status) = status.as_object_mut() {
        status.insert(
            "description".to_owned(),
            json!("What became of the object."),
        );
    }
    let mut schema = json!({
        "description": spec.get("description").cloned().unwrap_or_default(),
        "type": "object",
    });
    if spec.get("required").is_some() {
        schema["required"] = json!(["spec"]);
    } else {
        // Nothing has to be written in it, so it need not be written itself.
        spec["default"] = json!({});
    }
    schema["properties"] = json!({"spec": spec, "status": status});
    for version in &mut definition.spec.versions {
        version.schema = Some(CustomResourceValidation {
            open_api_v3_schema: published(&schema),
        });
    }
    Crd {
        kind,
        file_name: format!("{}.yaml", definition.spec.names.plural),
        yaml: written(&definition),
        definition,
        schema,
    }
}

/// Reading a schema as `JSONSchemaProps` drops what Kubernetes does not know, our markers among it.
#[expect(
    clippy::expect_used,
    reason = "the input is generated from our own types and a unit test generates all of them"
)]
fn published(schema: &Value) -> Option<JSONSchemaProps> {
    Some(serde_json::from_value(schema.clone()).expect("a generated schema is one of Kubernetes"))
}

#[expect(
    clippy::expect_used,
    reason = "a definition holds nothing but maps, lists and scalars, and a unit test writes all of them"
)]
fn written(definition: &CustomResourceDefinition) -> String {
    let yaml = serde_saphyr::to_string(definition).expect("a definition can be written as YAML");
    format!("{HEADER}{yaml}")
}

#[cfg(test)]
mod tests;
