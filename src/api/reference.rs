//! How one object names another: types, gateways, customers, keys of Secrets and ConfigMaps.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names an AppEventType.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventTypeReference {
    /// Name of the AppEventType.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the AppEventType, which must admit this one (`allowedNamespaces`).
    /// Default: the namespace of the object that holds this reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Names an EventGateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayReference {
    /// Name of the EventGateway.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the EventGateway, which must admit this one (`allowedNamespaces`).
    /// Default: the namespace of the object that holds this reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Names an object of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Name of the object, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// One key of a Secret or ConfigMap of the same namespace.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct KeyReference {
    /// Name of the Secret or ConfigMap, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Where a key for checking requests comes from. Exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.secretKeyRef), has(self.appField), has(self.signingSecret), has(self.customerField)].exists_one(one, one)").message("write exactly one of secretKeyRef, appField, signingSecret and customerField")
)]
pub struct KeySource {
    /// A key of a Secret in the type's namespace. Example: `{name: crm, key: webhook}`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
    /// Name of a field of `spec.app`, usually one that comes from a Secret through `fieldsFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub app_field: Option<String>,
    /// The signing secret of the registration that the URI belongs to, as `subscription.signingSecret` makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<SigningSecretKey>,
    /// Name of a field of the customer that the URI belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub customer_field: Option<String>,
}

impl KeySource {
    /// Whether the key belongs to one registration or customer, and so not to the type as a whole.
    #[must_use]
    pub const fn is_of_registration(&self) -> bool {
        self.signing_secret.is_some() || self.customer_field.is_some()
    }
}

/// Written as `signingSecret: {}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SigningSecretKey {}

/// Text that is kept outside of this object. Exactly one of the fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TextSource {
    /// A key of a ConfigMap in the same namespace.
    pub config_map_key_ref: KeyReference,
}

/// Where further fields come from: every key of a Secret or ConfigMap becomes a field. Exactly one of the fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretRef) != has(self.configMapRef)").message("write exactly one of secretRef and configMapRef")
)]
pub struct FieldsSource {
    /// A Secret of the same namespace. Its values are sensitive: they are never shown, and expressions
    /// about received requests cannot read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// A ConfigMap of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<LocalReference>,
}

/// Which namespaces may use an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// Only the object's own namespace.
    Same,
    /// Every namespace.
    All,
    /// The namespaces that `selector` selects by their labels.
    Selector,
}
