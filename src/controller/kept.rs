//! What the controller keeps for itself: Secrets in its own namespace.
//!
//! Written only where something is different, and never over what another controller has written in
//! the meantime.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};

use super::watch::KEPT_LABEL;
use super::write::FIELD_MANAGER;
use crate::configuration::Sensitive;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Secrets read at once.
const PAGE: u32 = 200;

/// Why something could not be kept, or read.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The API server said no, or nothing that helps.
    #[error("failed to {action} Secret {name}")]
    Request {
        /// What was being done.
        action: &'static str,
        /// The Secret.
        name: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
    /// There was no answer.
    #[error("failed to {action} Secret {name}: the API server did not answer in time")]
    Slow {
        /// What was being done.
        action: &'static str,
        /// The Secret.
        name: String,
    },
    /// Somebody else has written it.
    #[error("failed to write Secret {name}: somebody else has changed it")]
    Changed {
        /// The Secret.
        name: String,
    },
}

/// One Secret that is kept, with its version.
#[derive(Clone, Debug)]
pub struct KeptSecret {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its values.
    pub data: BTreeMap<String, Sensitive>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What is to be kept.
#[derive(Clone, Debug)]
pub struct ToKeep {
    /// The Secret's name.
    pub name: String,
    /// What it is for, as the value of a label: by it the Secrets of one purpose are listed.
    pub purpose: &'static str,
    /// Its values.
    pub data: BTreeMap<String, Sensitive>,
    /// Annotations, for people.
    pub annotations: BTreeMap<String, String>,
}

/// The Secrets of the controller's namespace.
#[derive(Clone)]
pub struct Kept {
    api: Api<Secret>,
}

impl Kept {
    /// Those in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
        }
    }

    /// The Secret of that name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self, name: &str) -> Result<Option<KeptSecret>, KeptError> {
        let found = timely("read", name, self.api.get_opt(name)).await?;
        Ok(found.map(kept))
    }

    /// All Secrets of a purpose.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list(&self, purpose: &str) -> Result<Vec<KeptSecret>, KeptError> {
        let mut all = Vec::new();
        let mut parameters = ListParams::default()
            .labels(&format!("{KEPT_LABEL}={purpose}"))
            .limit(PAGE);
        loop {
            let page = timely("list", purpose, self.api.list(&parameters)).await?;
            all.extend(page.items.into_iter().map(kept));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    /// Makes a Secret that must not be there yet. Its version.
    ///
    /// # Errors
    /// When it cannot be made; [`KeptError::Changed`] where there is one.
    pub async fn create(&self, keep: ToKeep) -> Result<String, KeptError> {
        let name = keep.name.clone();
        let secret = secret(keep, None);
        let parameters = post();
        let made = timely("create", &name, self.api.create(&parameters, &secret)).await?;
        Ok(made.metadata.resource_version.unwrap_or_default())
    }

    /// Replaces a Secret that still has this version. Its new version.
    ///
    /// # Errors
    /// When it cannot be written; [`KeptError::Changed`] where it has another version, or is gone.
    pub async fn replace(&self, keep: ToKeep, version: &str) -> Result<String, KeptError> {
        let name = keep.name.clone();
        let secret = secret(keep, Some(version.to_owned()));
        let parameters = post();
        let write = self.api.replace(&name, &parameters, &secret);
        let written = timely("write", &name, write).await?;
        Ok(written.metadata.resource_version.unwrap_or_default())
    }

    /// Removes a Secret; one that is not there is removed already.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove(&self, name: &str) -> Result<(), KeptError> {
        let parameters = kube::api::DeleteParams::default();
        match timely("remove", name, self.api.delete(name, &parameters)).await {
            Ok(_) => Ok(()),
            Err(KeptError::Changed { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The value `key` of a Secret that is made once: with `make` where there is none.
    ///
    /// # Errors
    /// When it can neither be read nor made, or lacks the value.
    pub async fn once(
        &self,
        name: &str,
        purpose: &'static str,
        key: &str,
        make: impl FnOnce() -> Sensitive,
    ) -> Result<Option<Sensitive>, KeptError> {
        if let Some(mut known) = self.read(name).await? {
            return Ok(known.data.remove(key));
        }
        let made = make();
        let keep = ToKeep {
            name: name.to_owned(),
            purpose,
            data: [(key.to_owned(), made.clone())].into(),
            annotations: BTreeMap::new(),
        };
        match self.create(keep).await {
            Ok(_) => Ok(Some(made)),
            // Another controller was faster: what it made counts.
            Err(KeptError::Changed { .. }) => {
                let known = self.read(name).await?;
                Ok(known.and_then(|mut known| known.data.remove(key)))
            }
            Err(error) => Err(error),
        }
    }
}

fn post() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn secret(keep: ToKeep, version: Option<String>) -> Secret {
    let ToKeep {
        name,
        purpose,
        data,
        annotations,
    } = keep;
    let labels = [
        (KEPT_LABEL.to_owned(), purpose.to_owned()),
        (
            "app.kubernetes.io/managed-by".to_owned(),
            "tidegate".to_owned(),
        ),
    ];
    Secret {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(labels.into()),
            annotations: (!annotations.is_empty()).then_some(annotations),
            resource_version: version,
            ..ObjectMeta::default()
        },
        data: Some(
            data.into_iter()
                .map(|(key, value)| (key, ByteString(value.expose().to_vec())))
                .collect(),
        ),
        ..Secret::default()
    }
}

fn kept(secret: Secret) -> KeptSecret {
    KeptSecret {
        name: secret.metadata.name.unwrap_or_default(),
        version: secret.metadata.resource_version.unwrap_or_default(),
        data: secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, Sensitive::new(value.0)))
            .collect(),
        annotations: secret.metadata.annotations.unwrap_or_default(),
    }
}

async fn timely<T>(
    action: &'static str,
    name: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, KeptError> {
    let name = name.to_owned();
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
            Err(KeptError::Changed { name })
        }
        Ok(Err(error)) => Err(KeptError::Request {
            action,
            name,
            source: Box::new(error),
        }),
        Err(_) => Err(KeptError::Slow { action, name }),
    }
}
