//! Everything that a controller does, one after the other.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};
use serde_json::{Value, json};

use super::super::pod::Pod;
use super::{SYSTEM, TENANT, placed};
use crate::promises::subscribing::spec::Spec;
use crate::support::api_server::ApiServer;
use crate::support::api_server::controller::Controller;
use crate::support::dev::free_address;
use crate::support::eventually;
use crate::support::model_app::ModelApp;

/// What is in a cluster with the Gateway API, as far as it matters here.
const HTTP_ROUTES: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: httproutes.gateway.networking.k8s.io
  annotations: {api-approved.kubernetes.io: 'unapproved, for a test'}
spec:
  group: gateway.networking.k8s.io
  names: {kind: HTTPRoute, plural: httproutes, singular: httproute, listKind: HTTPRouteList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

/// A class whose volumes can grow.
const STORAGE: &str = "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: growing}
provisioner: example.com/none
allowVolumeExpansion: true
";

/// A controller with the chart's rights, and an app.
pub struct Scenario {
    controller: Controller,
    app: Arc<ModelApp>,
    spec: Spec,
    gateway: Value,
    _folder: tempfile::TempDir,
}

impl Scenario {
    /// Applies what the chart has of accounts, roles and webhooks; the controller is not started yet.
    pub async fn prepare(
        server: &'static ApiServer,
        objects: &[Value],
        looks_at_all: bool,
    ) -> Self {
        let app = Arc::new(ModelApp::start().await);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("allow-list.yaml");
        let port = app.address.port();
        let list = json!([{"host": "127.0.0.1", "ports": [port], "namespaces": [TENANT]}]);
        std::fs::write(&path, list.to_string()).unwrap();
        let admin = server.admin().await;
        for object in objects {
            let kind = object["kind"].as_str().unwrap();
            let is_about_rights = kind == "ServiceAccount" || kind.contains("Role");
            if is_about_rights || kind == "ValidatingWebhookConfiguration" {
                apply(&admin, object).await;
            }
        }
        for text in [HTTP_ROUTES, STORAGE] {
            apply(&admin, &serde_saphyr::from_str(text).unwrap()).await;
        }
        let kubeconfig = server.kubeconfig_of(SYSTEM, "tidegate-controller").await;
        let others = vec![TENANT.to_owned()];
        let mut controller =
            Controller::prepare_at(server, SYSTEM.to_owned(), others, kubeconfig).await;
        if looks_at_all {
            controller.look_at_all();
        }
        controller.start_with(&[
            format!("--allow-list={}", path.display()),
            format!("--webhook-configuration=tidegate-{SYSTEM}"),
        ]);
        let spec = Spec {
            app: app.url().to_owned(),
            sink: "https://sink.example/events".to_owned(),
            ..Spec::of(&["acme"])
        };
        Self {
            controller,
            app,
            spec,
            gateway: json!({
                "apiVersion": "tidegate.dev/v1alpha1", "kind": "EventGateway",
                "metadata": {"name": "default"},
                "spec": {"publicUrl": "https://hooks.example.com", "replicas": 1},
            }),
            _folder: folder,
        }
    }

    /// Runs it until everything was needed.
    pub async fn run(mut self) -> Self {
        self.controller.run().await;
        let spec =
            json!({"storage": {"size": "1Gi", "storageClassName": "growing"}, "ingress": {}});
        self.gateway(spec).await;
        self.is_there("Ingress", "networking.k8s.io/v1", true).await;
        self.claim().await;
        // A pod connects, and is asked who it is.
        let _pod = Pod::start(&self.controller, "default", free_address()).await;

        self.declare().await;
        let served = ("True", "Programmed");
        for (kind, name) in [("AppEventType", "contacts"), ("Customer", "acme")] {
            let condition = self
                .controller
                .condition(TENANT, kind, name, "Ready", served);
            condition.await;
        }
        eventually("the customer is subscribed", async || {
            self.app.live("acme").len() == 1 && self.is_active().await
        })
        .await;

        // Told twice: what repeats is counted in the same Event.
        for _ in 0..2 {
            for (example, state) in [("[", ("False", "Invalid")), ("{}", served)] {
                self.example(example).await;
                let kind = "AppEventType";
                let ready = self
                    .controller
                    .condition(TENANT, kind, "second", "Ready", state);
                ready.await;
            }
        }

        // The way in changes, and the log grows.
        let parents = json!([{"name": "public"}]);
        let spec = json!({
            "storage": {"size": "2Gi", "storageClassName": "growing"},
            "ingress": null, "httpRoute": {"parentRefs": parents},
        });
        self.gateway(spec).await;
        self.is_there("Ingress", "networking.k8s.io/v1", false)
            .await;
        self.is_there("HTTPRoute", "gateway.networking.k8s.io/v1", true)
            .await;
        eventually("the claim asks for more", async || {
            let claims = self.api("v1", "PersistentVolumeClaim", SYSTEM);
            let claim = claims.get("data-tidegate-gateway-default-0").await.unwrap();
            claim.data["spec"]["resources"]["requests"]["storage"] != "1Gi"
        })
        .await;
        self.gateway(json!({"httpRoute": null})).await;
        self.is_there("HTTPRoute", "gateway.networking.k8s.io/v1", false)
            .await;

        // A certificate authority comes to be trusted; a key that a type names is another one.
        let name = format!("tidegate-{SYSTEM}");
        let webhooks = self.all(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
        );
        eventually("the webhook trusts the controller", async || {
            let webhook = webhooks.get(&name).await.unwrap();
            webhook.data["webhooks"][0]["clientConfig"]["caBundle"].is_string()
        })
        .await;

        // Another customer comes and goes, and with it what was registered for it and its record.
        let customers = self.controller.ours(TENANT, "Customer");
        customers
            .delete("acme", &DeleteParams::background())
            .await
            .unwrap();
        eventually("it is unsubscribed", async || {
            let objects = self.controller.ours(TENANT, "UpstreamSubscription");
            let left = objects.list(&ListParams::default()).await.unwrap();
            self.app.live("acme").is_empty() && left.items.is_empty()
        })
        .await;
        // What was kept of a type goes with it.
        let types = self.controller.ours(TENANT, "AppEventType");
        types
            .delete("second", &DeleteParams::background())
            .await
            .unwrap();
        eventually("its last good form is forgotten", async || {
            let secrets = self.api("v1", "Secret", SYSTEM);
            let secrets = secrets.list(&ListParams::default()).await.unwrap();
            let names = secrets.items.iter().flat_map(|it| &it.metadata.name);
            let kept = names.filter(|name| name.starts_with("tidegate-last-good-"));
            kept.count() == 1
        })
        .await;
        self.declare().await;
        eventually("it is subscribed again", async || self.is_active().await).await;
        assert!(self.controller.stop().await.success());
        self
    }

    /// `tidegate release` with the rights that the chart gives it.
    pub async fn release(&self, objects: &[Value], hooks: &[Value], looks_at_all: bool) {
        let (server, admin) = (self.controller.server, &self.controller.admin);
        for object in objects.iter().filter(|it| it["kind"] == "Deployment") {
            apply(admin, object).await;
        }
        for object in hooks {
            let kind = object["kind"].as_str().unwrap();
            if kind == "ServiceAccount" || kind.contains("Role") {
                apply(admin, object).await;
            }
        }
        let job = hooks.iter().find(|it| it["kind"] == "Job").unwrap();
        let arguments = job["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        let arguments: Vec<String> = serde_json::from_value(arguments).unwrap();
        let names_them = arguments.iter().any(|it| it.contains("--watch-namespaces"));
        assert_eq!(names_them, !looks_at_all);
        let kubeconfig: PathBuf = server.kubeconfig_of(SYSTEM, "tidegate-release").await;
        let output = tokio::task::spawn_blocking(move || {
            Command::new(env!("CARGO_BIN_EXE_tidegate"))
                .args(arguments)
                .env("KUBECONFIG", kubeconfig)
                .output()
                .unwrap()
        });
        let output = output.await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let objects = self.controller.ours(TENANT, "UpstreamSubscription");
        let left = objects.list(&ListParams::default()).await.unwrap();
        let is_free = |it: &DynamicObject| it.metadata.finalizers.iter().flatten().count() == 0;
        assert!(!left.items.is_empty() && left.items.iter().all(is_free));
        // For the next one.
        for kind in [
            "UpstreamSubscription",
            "EventSubscription",
            "Customer",
            "AppEventType",
        ] {
            let api = self.controller.ours(TENANT, kind);
            let parameters = DeleteParams::background();
            api.delete_collection(&parameters, &ListParams::default())
                .await
                .unwrap();
        }
        let system = [
            ("v1", "Secret"),
            ("v1", "ConfigMap"),
            ("v1", "PersistentVolumeClaim"),
            ("v1", "Pod"),
            ("v1", "Service"),
            ("v1", "ServiceAccount"),
            ("apps/v1", "StatefulSet"),
            ("policy/v1", "PodDisruptionBudget"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
            ("coordination.k8s.io/v1", "Lease"),
            ("tidegate.dev/v1alpha1", "EventGateway"),
        ];
        for (version, kind) in system {
            let api = self.api(version, kind, SYSTEM);
            for object in api.list(&ListParams::default()).await.unwrap() {
                let name = object.metadata.name.unwrap();
                let parameters = DeleteParams::background().grace_period(0);
                let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                api.patch(&name, &PatchParams::default(), &patch)
                    .await
                    .unwrap();
                api.delete(&name, &parameters).await.unwrap();
            }
        }
    }

    async fn declare(&self) {
        let files = self.spec.files().into_iter().map(|(_, text)| text);
        let files: Vec<String> = files.collect();
        self.controller.apply(TENANT, &files.join("\n---\n")).await;
    }

    /// A type whose example is in a ConfigMap.
    async fn example(&self, text: &str) {
        let manifests = format!(
            "
apiVersion: v1
kind: ConfigMap
metadata: {{name: second}}
data: {{example: '{text}'}}
---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: second}}
spec:
  exampleFrom: {{configMapKeyRef: {{name: second, key: example}}}}
  webhook: {{authentication: [{{none: {{}}}}]}}
  globalWebhook: {{path: second}}
"
        );
        self.controller.apply(TENANT, &manifests).await;
    }

    /// Changes the gateway's spec.
    async fn gateway(&mut self, spec: Value) {
        for (name, value) in spec.as_object().unwrap() {
            self.gateway["spec"][name] = value.clone();
        }
        let mut object = self.gateway.clone();
        let members = object["spec"].as_object_mut().unwrap();
        members.retain(|_, value| !value.is_null());
        self.controller.apply(SYSTEM, &object.to_string()).await;
    }

    /// The claim that a StatefulSet's controller would make, bound as a provisioner would bind it.
    async fn claim(&self) {
        let claims = self.api("v1", "PersistentVolumeClaim", SYSTEM);
        let sets = self.api("apps/v1", "StatefulSet", SYSTEM);
        let mut template = Value::Null;
        eventually("there is a StatefulSet", async || {
            let set = sets.get_opt("tidegate-gateway-default").await.unwrap();
            template = set.map_or(Value::Null, |set| set.data["spec"].clone());
            !template.is_null()
        })
        .await;
        let mut claim = template["volumeClaimTemplates"][0].clone();
        claim["apiVersion"] = json!("v1");
        claim["kind"] = json!("PersistentVolumeClaim");
        claim["metadata"]["name"] = json!("data-tidegate-gateway-default-0");
        claim["metadata"]["labels"] = template["selector"]["matchLabels"].clone();
        claim.as_object_mut().unwrap().remove("status");
        apply(&self.controller.admin, &claim).await;
        let volume = json!({"spec": {"volumeName": "some"}});
        let (name, parameters) = ("data-tidegate-gateway-default-0", PatchParams::default());
        claims
            .patch(name, &parameters, &Patch::Merge(volume))
            .await
            .unwrap();
        let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
        let patch = Patch::Merge(bound);
        claims
            .patch_status(name, &parameters, &patch)
            .await
            .unwrap();
    }

    async fn is_active(&self) -> bool {
        let objects = self.controller.ours(TENANT, "UpstreamSubscription");
        let objects = objects.list(&ListParams::default()).await.unwrap();
        matches!(&objects.items[..], [one] if one.data["status"]["state"] == "Active")
    }

    /// Waits until the gateway's object of a kind is there, or is not.
    async fn is_there(&self, kind: &str, version: &str, is_there: bool) {
        let api = self.api(version, kind, SYSTEM);
        eventually(&format!("{kind} is there: {is_there}"), async || {
            let found = api.get_opt("tidegate-gateway-default").await.unwrap();
            found.is_some() == is_there
        })
        .await;
    }

    fn api(&self, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let admin = self.controller.admin.clone();
        Api::namespaced_with(admin, namespace, &resource(version, kind))
    }

    fn all(&self, version: &str, kind: &str) -> Api<DynamicObject> {
        Api::all_with(self.controller.admin.clone(), &resource(version, kind))
    }
}

fn resource(version: &str, kind: &str) -> ApiResource {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = GroupVersionKind::gvk(group, version, kind);
    let mut resource = ApiResource::from_gvk(&kind);
    if resource.kind == "NetworkPolicy" {
        resource.plural = "networkpolicies".to_owned();
    }
    resource
}

async fn apply(admin: &kube::Client, object: &Value) {
    let object = placed(object);
    let version = object["apiVersion"].as_str().unwrap();
    let resource = resource(version, object["kind"].as_str().unwrap());
    let name = object["metadata"]["name"].as_str().unwrap();
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(admin.clone(), namespace, &resource),
        None => Api::all_with(admin.clone(), &resource),
    };
    let parameters = PatchParams::apply("tests").force();
    let applied = api.patch(name, &parameters, &Patch::Apply(&object)).await;
    applied.unwrap_or_else(|error| panic!("{error}: {object:#}"));
}
