//! Reading what is there and carrying a plan out: server-side apply under one field manager. The only I/O here.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{DynamicObject, NamespaceResourceScope};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::exposure::http_route_resource;
use super::names::Names;
use super::plan::{Expansion, HANDED_OVER, Note, Objects, Observed, Plan};
use crate::api::EventGateway;

/// Who the fields of what is applied belong to.
pub const FIELD_MANAGER: &str = "tidegate";

/// Why objects could not be read or applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object could not be read.
    #[error("failed to read the {kind} {name}")]
    Read {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object could not be written.
    #[error("failed to apply the {kind} {name}")]
    Write {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The Gateway API is not there.
    #[error(
        "failed to apply the HTTPRoute {name}: the cluster has no kind HTTPRoute; install the Gateway API, or remove \
         spec.httpRoute"
    )]
    NoHttpRoutes {
        /// Its name.
        name: String,
    },
}

impl ApplyError {
    /// Whether it stays so until somebody changes the EventGateway or the cluster.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::NoHttpRoutes { .. } => true,
            Self::Read { .. } => false,
            // What the API server finds invalid or forbidden it will find so again.
            Self::Write { source, .. } => {
                matches!(source.as_ref(), kube::Error::Api(status) if matches!(status.code, 403 | 422))
            }
        }
    }
}

/// What is there of `gateway`'s objects.
pub async fn observe(client: &Client, gateway: &EventGateway) -> Result<Observed, ApplyError> {
    let names = Names::of(gateway);
    let namespace = names.namespace();
    let shared = names.shared();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let listed = claims
        .list(&ListParams::default().labels(&names.selector_text()))
        .await;
    let claims = listed.map_err(|source| ApplyError::Read {
        kind: "PersistentVolumeClaims of",
        name: shared.clone(),
        source: Box::new(source),
    })?;
    let keys: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let key = keys.get_metadata_opt(&names.key()).await;
    let key = key.map_err(|source| ApplyError::Read {
        kind: "Secret",
        name: names.key(),
        source: Box::new(source),
    })?;
    Ok(Observed {
        stateful_set: get(client, namespace, "StatefulSet", &shared).await?,
        claims: claims.items,
        has_key: key.is_some(),
        ingress: get(client, namespace, "Ingress", &shared).await?,
        http_route: http_route(client, gateway, &names).await?,
        retirements: BTreeMap::new(),
    })
}

/// A cluster without the Gateway API has no HTTPRoutes. Where none was ever wanted it is not asked, so that nobody needs
/// rights for a kind that they do not have.
async fn http_route(
    client: &Client,
    gateway: &EventGateway,
    names: &Names,
) -> Result<Option<DynamicObject>, ApplyError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), names.namespace(), &http_route_resource());
    match api.get_opt(&names.shared()).await {
        Ok(found) => Ok(found),
        Err(kube::Error::Api(status))
            if gateway.spec.http_route.is_none() && matches!(status.code, 403 | 404) =>
        {
            Ok(None)
        }
        Err(source) => Err(ApplyError::Read {
            kind: "HTTPRoute",
            name: names.shared(),
            source: Box::new(source),
        }),
    }
}

async fn get<K>(
    client: &Client,
    namespace: &str,
    kind: &'static str,
    name: &str,
) -> Result<Option<K>, ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await;
    found.map_err(|source| ApplyError::Read {
        kind,
        name: name.to_owned(),
        source: Box::new(source),
    })
}

/// Carries `plan` out, the pods last. Returns the StatefulSet as it is then.
pub async fn apply(client: &Client, names: &Names, plan: &Plan) -> Result<StatefulSet, ApplyError> {
    let applier = Applier {
        client,
        namespace: names.namespace(),
    };
    let Plan {
        objects,
        new_key,
        notes,
        expansions,
        remove_ingress,
        remove_http_route,
        deviations: _,
    } = plan;
    let Objects {
        service_account,
        ca,
        public_service,
        headless_service,
        disruption_budget,
        network_policy,
        stateful_set,
        ingress,
        http_route,
    } = objects;
    applier
        .typed::<ServiceAccount>("ServiceAccount", service_account)
        .await?;
    applier.typed::<ConfigMap>("ConfigMap", ca).await?;
    if let Some(key) = new_key {
        applier.create_key(key).await?;
    }
    applier.typed::<Service>("Service", public_service).await?;
    applier
        .typed::<Service>("Service", headless_service)
        .await?;
    applier
        .typed::<PodDisruptionBudget>("PodDisruptionBudget", disruption_budget)
        .await?;
    applier
        .typed::<NetworkPolicy>("NetworkPolicy", network_policy)
        .await?;
    for note in notes {
        applier.note(note).await?;
    }
    let applied = applier
        .typed::<StatefulSet>("StatefulSet", stateful_set)
        .await?;
    if let Some(ingress) = ingress {
        applier.typed::<Ingress>("Ingress", ingress).await?;
    }
    if let Some(route) = http_route {
        applier.http_route(route).await?;
    }
    if *remove_ingress {
        let api: Api<Ingress> = Api::namespaced(client.clone(), names.namespace());
        applier.remove("Ingress", &api, &names.shared()).await?;
    }
    if *remove_http_route {
        let resource = http_route_resource();
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), names.namespace(), &resource);
        applier.remove("HTTPRoute", &api, &names.shared()).await?;
    }
    for expansion in expansions {
        applier.expand(expansion).await?;
    }
    Ok(applied)
}

struct Applier<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Applier<'_> {
    async fn typed<K>(&self, kind: &'static str, object: &K) -> Result<K, ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Serialize
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let name = object.name_any();
        // Everything under these names is ours alone: what somebody else wrote into it is set right.
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api.patch(&name, &parameters, &Patch::Apply(object)).await;
        applied.map_err(|source| ApplyError::Write {
            kind,
            name,
            source: Box::new(source),
        })
    }

    async fn http_route(&self, route: &DynamicObject) -> Result<(), ApplyError> {
        let resource = http_route_resource();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), self.namespace, &resource);
        let name = route.name_any();
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        match api.patch(&name, &parameters, &Patch::Apply(route)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                Err(ApplyError::NoHttpRoutes { name })
            }
            Err(source) => Err(ApplyError::Write {
                kind: "HTTPRoute",
                name,
                source: Box::new(source),
            }),
        }
    }

    /// The first key stays: another would make every pod's last snapshot unreadable.
    async fn create_key(&self, key: &Secret) -> Result<(), ApplyError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
        match api.create(&PostParams::default(), key).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(source) => Err(ApplyError::Write {
                kind: "Secret",
                name: key.name_any(),
                source: Box::new(source),
            }),
        }
    }

    async fn remove<K>(
        &self,
        kind: &'static str,
        api: &Api<K>,
        name: &str,
    ) -> Result<(), ApplyError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        match api.delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(ApplyError::Write {
                kind,
                name: name.to_owned(),
                source: Box::new(source),
            }),
        }
    }

    async fn note(&self, note: &Note) -> Result<(), ApplyError> {
        let Note { claim, handed_over } = note;
        let value = handed_over.then_some("true");
        let patch = json!({"metadata": {"annotations": {HANDED_OVER: value}}});
        self.patch_claim(claim, &patch).await
    }

    async fn expand(&self, expansion: &Expansion) -> Result<(), ApplyError> {
        let Expansion { claim, storage } = expansion;
        let patch = json!({"spec": {"resources": {"requests": {"storage": storage}}}});
        self.patch_claim(claim, &patch).await
    }

    async fn patch_claim(&self, claim: &str, patch: &Value) -> Result<(), ApplyError> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), self.namespace);
        let patched = api
            .patch(claim, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.map(drop).map_err(|source| ApplyError::Write {
            kind: "PersistentVolumeClaim",
            name: claim.to_owned(),
            source: Box::new(source),
        })
    }
}
