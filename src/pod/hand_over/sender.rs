//! Sends batches to the pods that stay: to the first that takes one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Client;
use reqwest::StatusCode;

use super::receiver::{PATH, TICKET};
use super::sealed::Key;
use crate::configuration::stream::Members;

/// How long connecting may take, and how long a batch.
const CONNECT: Duration = Duration::from_secs(3);
const MOST: Duration = Duration::from_secs(60);

/// How long a pod may take to say whether it is ready.
const READY: Duration = Duration::from_secs(3);

/// What sends.
pub struct Sender {
    pod: String,
    key: Arc<Key>,
    peers: Vec<String>,
    client: Option<Client>,
}

impl Sender {
    /// From a pod to the members.
    pub fn new(pod: &str, key: Arc<Key>, members: &Members) -> Self {
        // Pods talk to each other directly, whatever the environment says of proxies.
        let client = Client::builder()
            .no_proxy()
            // Nothing is encrypted by TLS here, and the image has no certificates that could be looked for.
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(MOST)
            .build();
        if let Err(error) = &client {
            tracing::error!(%error, "failed to prepare requests to other pods");
        }
        let peers = members.peers_of(pod);
        Self {
            pod: pod.to_owned(),
            key,
            peers: peers.into_iter().map(str::to_owned).collect(),
            client: client.ok(),
        }
    }

    /// Whether one of the members takes requests.
    pub async fn somebody_is_ready(&self) -> bool {
        let Some(client) = &self.client else {
            return false;
        };
        for peer in &self.peers {
            let request = client.get(format!("http://{peer}/readyz")).timeout(READY);
            let answer = request.send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
        }
        false
    }

    /// Sends a batch; whether a pod has it on disk now. Where the answer of one was lost, the same id
    /// goes to it first the next time, and to others only if it refuses or cannot be reached.
    pub async fn send(&self, id: &str, batch: &[u8], now: Timestamp) -> bool {
        let Some(client) = &self.client else {
            return false;
        };
        for peer in &self.peers {
            let nonces = [rand::random(), rand::random()];
            let at = now.as_millisecond();
            let sealed = self.key.seal(&self.pod, id, at, batch, nonces);
            let Ok((ticket, body)) = sealed else {
                tracing::error!("failed to encrypt what is handed over");
                return false;
            };
            let request = client
                .post(format!("http://{peer}{PATH}"))
                .header(TICKET, ticket)
                .body(body);
            match request.send().await {
                Ok(answer) if answer.status() == StatusCode::NO_CONTENT => return true,
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    tracing::warn!(peer, status, "a pod does not take what is handed over");
                }
                Err(error) if error.is_connect() => {
                    tracing::warn!(peer, "a pod that shall stay cannot be reached");
                }
                Err(error) => {
                    let error = error.without_url();
                    tracing::warn!(peer, %error, "the answer to what is handed over was lost");
                    // It may have it: asked again before anybody else is.
                    return false;
                }
            }
        }
        false
    }
}
