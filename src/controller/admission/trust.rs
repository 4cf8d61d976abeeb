//! The API server has to trust the certificate that the webhook shows: the authorities are written
//! into the webhook's configuration, and again when they change.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error};
use serde_json::{Value, json};
use tokio::sync::watch;

/// How often it is looked whether somebody has written something else.
const LOOKS: Duration = Duration::from_secs(60);

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// Keeps the authorities `bundle` (PEM) in the configuration `name`, as long as it is waited for.
pub async fn keep_trusted(client: Client, name: String, mut bundle: watch::Receiver<String>) {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client);
    loop {
        let wanted = STANDARD.encode(bundle.borrow_and_update().as_bytes());
        let wait = match write(&api, &name, &wanted).await {
            Ok(()) => LOOKS,
            Err(error) => {
                tracing::warn!(
                    %error,
                    name,
                    "failed to have the API server trust the validating webhook; until then nothing is validated before it is stored"
                );
                PAUSE
            }
        };
        if let Ok(Err(_)) = tokio::time::timeout(wait, bundle.changed()).await {
            return;
        }
    }
}

async fn write(
    api: &Api<ValidatingWebhookConfiguration>,
    name: &str,
    wanted: &str,
) -> Result<(), Error> {
    let there = serde_json::to_value(api.get(name).await?).unwrap_or_default();
    let hooks = there["webhooks"].as_array().cloned().unwrap_or_default();
    let has = |hook: &Value| hook["clientConfig"]["caBundle"] == wanted;
    if hooks.iter().all(has) {
        return Ok(());
    }
    // Only this field: everything else is the chart's. The version keeps the numbers right.
    let mut steps = vec![json!({
        "op": "test",
        "path": "/metadata/resourceVersion",
        "value": there["metadata"]["resourceVersion"],
    })];
    steps.extend((0..hooks.len()).map(|number| {
        json!({
            "op": "add",
            "path": format!("/webhooks/{number}/clientConfig/caBundle"),
            "value": wanted,
        })
    }));
    // A list of such steps is a JSON Patch.
    let Ok(patch) = serde_json::from_value(Value::Array(steps)) else {
        return Ok(());
    };
    let patch: Patch<()> = Patch::Json(patch);
    api.patch(name, &PatchParams::default(), &patch).await?;
    tracing::info!(name, "the API server trusts the validating webhook");
    Ok(())
}
