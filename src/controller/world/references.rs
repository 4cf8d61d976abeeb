//! Which Secrets and ConfigMaps an object refers to: no others are ever read. Pure.

use std::collections::BTreeSet;

use crate::api::{
    AppEventTypeSpec, CustomerSpec, EventSubscriptionSpec, FieldsSource, KeyReference, TextSource,
};
use crate::compile::key_sources;
use crate::event::ObjectName;

/// What objects refer to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Secrets.
    pub secrets: BTreeSet<ObjectName>,
    /// ConfigMaps.
    pub config_maps: BTreeSet<ObjectName>,
}

impl References {
    /// Adds those of an AppEventType.
    pub fn add_event_type(&mut self, namespace: &str, spec: &AppEventTypeSpec) {
        for (_, source) in key_sources(&spec.webhook) {
            self.add_secret_key(namespace, source.secret_key_ref.as_ref());
        }
        self.add_fields(namespace, &spec.app.fields_from);
        self.add_text(namespace, spec.schema_from.as_ref());
        self.add_text(namespace, spec.example_from.as_ref());
        for variant in &spec.variants {
            self.add_text(namespace, variant.schema_from.as_ref());
            self.add_text(namespace, variant.example_from.as_ref());
        }
    }

    /// Adds those of a Customer.
    pub fn add_customer(&mut self, namespace: &str, spec: &CustomerSpec) {
        self.add_fields(namespace, &spec.fields_from);
    }

    /// Adds those of an EventSubscription.
    pub fn add_subscription(&mut self, namespace: &str, spec: &EventSubscriptionSpec) {
        for header in spec.sink.headers.values() {
            let source = header.value_from.as_ref();
            self.add_secret_key(namespace, source.map(|it| &it.secret_key_ref));
        }
        let signing = spec.sink.signing.as_ref();
        self.add_secret_key(namespace, signing.map(|it| &it.secret_key_ref));
        let Some(tls) = &spec.sink.tls else { return };
        if let Some(bundle) = &tls.ca_bundle_from {
            self.add_secret_key(namespace, bundle.secret_key_ref.as_ref());
            if let Some(key) = &bundle.config_map_key_ref {
                let name = ObjectName::new(namespace, &key.name);
                self.config_maps.insert(name);
            }
        }
        if let Some(certificate) = &tls.client_certificate_from {
            let name = ObjectName::new(namespace, &certificate.secret_ref.name);
            self.secrets.insert(name);
        }
    }

    fn add_secret_key(&mut self, namespace: &str, key: Option<&KeyReference>) {
        self.secrets
            .extend(key.map(|key| ObjectName::new(namespace, &key.name)));
    }

    fn add_text(&mut self, namespace: &str, source: Option<&TextSource>) {
        let name = source.map(|it| ObjectName::new(namespace, &it.config_map_key_ref.name));
        self.config_maps.extend(name);
    }

    fn add_fields(&mut self, namespace: &str, sources: &[FieldsSource]) {
        for source in sources {
            let named = |name: &str| ObjectName::new(namespace, name);
            let secret = source.secret_ref.as_ref().map(|it| named(&it.name));
            let config_map = source.config_map_ref.as_ref().map(|it| named(&it.name));
            self.secrets.extend(secret);
            self.config_maps.extend(config_map);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_compilation_looks_up_is_found() {
        let event_type: AppEventTypeSpec = serde_saphyr::from_str(
            "{schemaFrom: {configMapKeyRef: {name: c1, key: k}},
              exampleFrom: {configMapKeyRef: {name: c2, key: k}},
              variants: [{when: 'true', schemaFrom: {configMapKeyRef: {name: c3, key: k}},
                          exampleFrom: {configMapKeyRef: {name: c4, key: k}}}],
              app: {fieldsFrom: [{secretRef: {name: s1}}, {configMapRef: {name: c5}}]},
              webhook: {authentication: [{token: {keys: [{secretKeyRef: {name: s2, key: k}}]}}],
                handshakes: [{when: 'true', respond: {}, authentication:
                  [{basic: {username: u, passwords: [{secretKeyRef: {name: s3, key: k}}]}}]}]}}",
        )
        .unwrap();
        let customer: CustomerSpec = serde_saphyr::from_str(
            "{fieldsFrom: [{secretRef: {name: s4}}, {configMapRef: {name: c6}}]}",
        )
        .unwrap();
        let subscription: EventSubscriptionSpec = serde_saphyr::from_str(
            "{eventTypeRef: {name: t}, sink: {uri: 'https://sink.example',
              headers: {A: {valueFrom: {secretKeyRef: {name: s5, key: k}}}, B: {value: x}},
              signing: {secretKeyRef: {name: s6, key: k}},
              tls: {caBundleFrom: {configMapKeyRef: {name: c7, key: k}},
                    clientCertificateFrom: {secretRef: {name: s7}}}}}",
        )
        .unwrap();
        let mut references = References::default();
        references.add_event_type("n", &event_type);
        references.add_customer("n", &customer);
        references.add_subscription("n", &subscription);
        let named = |letter: char, count: usize| -> BTreeSet<ObjectName> {
            (1..=count)
                .map(|number| ObjectName::new("n", format!("{letter}{number}")))
                .collect()
        };
        assert_eq!(references.secrets, named('s', 7));
        assert_eq!(references.config_maps, named('c', 7));
    }
}
