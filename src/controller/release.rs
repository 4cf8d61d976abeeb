//! Letting go before Tidegate is uninstalled: without a controller nobody takes a finalizer off any more, and namespaces
//! that hold UpstreamSubscriptions could never be deleted.
//!
//! The controller is stopped first, or it would put them back. Registrations at apps are left where they are: whoever
//! wants them removed deletes the EventSubscriptions while the controller still runs.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::api::UpstreamSubscription;
use crate::event::ObjectName;

/// How long the controller may take to stop: its grace period and some more.
const STOPPING: Duration = Duration::from_secs(120);

/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Objects a page, of which an installation may have very many.
const PAGE: u32 = 500;

/// How all finalizers of ours begin.
const OURS: &str = "tidegate.dev/";

/// Why not everything was let go.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The controller could not be stopped.
    #[error("failed to stop the controller {deployment}")]
    Stop {
        /// Its Deployment.
        deployment: ObjectName,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The controller did not stop in time.
    #[error(
        "failed to stop the controller {deployment}: {pods} of its pods are still there after {} s",
        STOPPING.as_secs()
    )]
    StillThere {
        /// Its Deployment.
        deployment: ObjectName,
        /// How many pods there are.
        pods: usize,
    },
    /// The UpstreamSubscriptions could not be listed.
    #[error("failed to list UpstreamSubscriptions")]
    List(#[source] Box<kube::Error>),
    /// One of them could not be changed.
    #[error("failed to take the finalizer off UpstreamSubscription {name}")]
    Change {
        /// Which.
        name: ObjectName,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Stops the controller and takes our finalizers off all UpstreamSubscriptions of `namespaces`, or of all if there are
/// none. Returns how many had one.
///
/// # Errors
/// When something could not be done. What was done stays done, and doing all of it again does the rest.
pub async fn release(
    client: &Client,
    controller: &ObjectName,
    namespaces: &[String],
) -> Result<usize, ReleaseError> {
    stop(client, controller).await?;
    if namespaces.is_empty() {
        return release_in(&Api::all(client.clone()), client).await;
    }
    let mut released = 0;
    for namespace in namespaces {
        let api = Api::namespaced(client.clone(), namespace);
        released += release_in(&api, client).await?;
    }
    Ok(released)
}

async fn stop(client: &Client, controller: &ObjectName) -> Result<(), ReleaseError> {
    let failed = |source| ReleaseError::Stop {
        deployment: controller.clone(),
        source: Box::new(source),
    };
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &controller.namespace);
    let Some(deployment) = deployments
        .get_opt(&controller.name)
        .await
        .map_err(failed)?
    else {
        return Ok(());
    };
    let none = json!({"spec": {"replicas": 0}});
    deployments
        .patch_scale(
            &controller.name,
            &PatchParams::default(),
            &Patch::Merge(&none),
        )
        .await
        .map_err(failed)?;
    let labels = deployment
        .spec
        .and_then(|spec| spec.selector.match_labels)
        .unwrap_or_default();
    let selector: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let parameters = ListParams::default().labels(&selector.join(","));
    // A Deployment does not count pods that are going; they still run.
    let pods: Api<Pod> = Api::namespaced(client.clone(), &controller.namespace);
    let began = tokio::time::Instant::now();
    loop {
        let left = pods.list(&parameters).await.map_err(failed)?.items.len();
        if left == 0 {
            return Ok(());
        }
        if began.elapsed() > STOPPING {
            return Err(ReleaseError::StillThere {
                deployment: controller.clone(),
                pods: left,
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn release_in(
    listed: &Api<UpstreamSubscription>,
    client: &Client,
) -> Result<usize, ReleaseError> {
    let mut released = 0;
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = match listed.list(&parameters).await {
            Ok(page) => page,
            // Without the kind there is nothing to let go.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(released),
            Err(source) => return Err(ReleaseError::List(Box::new(source))),
        };
        for object in page.items {
            if let Some(others) = without_ours(object.finalizers()) {
                change(client, &object, &others).await?;
                released += 1;
            }
        }
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => parameters = parameters.continue_token(&token),
            _ => return Ok(released),
        }
    }
}

async fn change(
    client: &Client,
    object: &UpstreamSubscription,
    finalizers: &[String],
) -> Result<(), ReleaseError> {
    let name = ObjectName::new(object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<UpstreamSubscription> = Api::namespaced(client.clone(), &name.namespace);
    let patch = json!({"metadata": {"finalizers": finalizers}});
    match api
        .patch(&name.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(ReleaseError::Change {
            name,
            source: Box::new(source),
        }),
    }
}

/// What is left of finalizers without ours; `None` where none is ours.
fn without_ours(finalizers: &[String]) -> Option<Vec<String>> {
    let (ours, others): (Vec<_>, Vec<_>) = finalizers
        .iter()
        .cloned()
        .partition(|finalizer| finalizer.starts_with(OURS));
    (!ours.is_empty()).then_some(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_finalizers_are_taken_off() {
        let check = |finalizers: &[&str], expected: Option<&[&str]>| {
            let texts = |of: &[&str]| of.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            assert_eq!(
                without_ours(&texts(finalizers)),
                expected.map(texts),
                "{finalizers:?}"
            );
        };
        check(&[], None);
        check(&["example.com/keep"], None);
        check(&["tidegate.dev/registration"], Some(&[]));
        check(
            &["example.com/keep", "tidegate.dev/registration"],
            Some(&["example.com/keep"]),
        );
    }
}
