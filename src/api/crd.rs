//! The CustomResourceDefinitions, generated from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::{AppEventType, Customer, EventGateway, EventSubscription};

/// One CRD as it is published.
#[derive(Clone, Debug)]
pub struct Crd {
    /// Name of the CRD's file, `<plural>.yaml`.
    pub file_name: String,
    /// The CRD itself.
    pub definition: CustomResourceDefinition,
}

/// The CRDs of all resources, in the order in which people meet them.
#[must_use]
pub fn crds() -> Vec<Crd> {
    [
        AppEventType::crd(),
        Customer::crd(),
        EventSubscription::crd(),
        EventGateway::crd(),
    ]
    .into_iter()
    .map(|definition| Crd {
        file_name: format!("{}.yaml", definition.spec.names.plural),
        definition,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_definition_for_each_resource() {
        let names: Vec<_> = crds().into_iter().map(|crd| crd.file_name).collect();
        assert_eq!(
            names,
            [
                "appeventtypes.yaml",
                "customers.yaml",
                "eventsubscriptions.yaml",
                "eventgateways.yaml"
            ]
        );
    }
}
