//! The validating webhook: what cannot work is refused when it is applied, and nobody is held up while no controller is there.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use super::SIMPLE;
use crate::support::api_server::controller::Controller;
use crate::support::eventually;

const BROKEN: &str = "
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {name: broken}
spec: {eventTypeRef: {name: orders}, filter: event.data., sink: {uri: 'https://sink.example'}}
";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_refused_when_it_is_applied() {
    let mut controller = Controller::prepare(&[]).await;
    let namespace = controller.namespace.clone();
    let name = format!("tidegate-{namespace}");
    let api: Api<ValidatingWebhookConfiguration> = Api::all(controller.admin.clone());
    // As the chart makes it, but for the way to the controller, which is no pod here.
    let configuration = json!({
        "metadata": {"name": name},
        "webhooks": [{
            "name": "check.tidegate.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "timeoutSeconds": 5,
            "clientConfig": {"url": format!("https://{}/v1/admission", controller.configuration)},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{
                "apiGroups": ["tidegate.dev"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["appeventtypes", "customers", "eventsubscriptions", "eventgateways"],
            }],
        }],
    });
    let configuration = serde_json::from_value(configuration).unwrap();
    api.create(&PostParams::default(), &configuration)
        .await
        .unwrap();
    // Nobody answers yet: everything is stored.
    controller.apply(&namespace, BROKEN).await;
    let consumers = controller.ours(&namespace, "EventSubscription");
    consumers
        .delete("broken", &DeleteParams::default())
        .await
        .unwrap();

    controller.start_with(&[format!("--webhook-configuration={name}")]);
    controller.run().await;
    eventually(
        "the API server asks the controller",
        async || match controller.try_apply(&namespace, BROKEN).await.remove(0) {
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("spec.filter"), "{error}");
                true
            }
            Ok(_) => {
                consumers
                    .delete("broken", &DeleteParams::default())
                    .await
                    .unwrap();
                false
            }
        },
    )
    .await;
    controller.apply(&namespace, SIMPLE).await;
    // Nobody is held up while it is away.
    controller.kill();
    controller.apply(&namespace, BROKEN).await;
    api.delete(&name, &DeleteParams::default()).await.unwrap();
}
