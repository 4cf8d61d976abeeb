//! What the pod tells about itself: what it has taken, again and again, as long as there is somebody
//! to tell.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::link::Link;
use crate::configuration::stream::report::Acknowledgement;

/// How often it is told although nothing has changed: a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long telling may take, and how long to wait after it did not work.
const MOST: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(200);

/// The connection that is in use, if there is one.
pub type Current = watch::Sender<Option<Arc<Link>>>;

/// Tells what was taken, as long as the process lives.
pub async fn acknowledge(
    mut acknowledgement: watch::Receiver<Acknowledgement>,
    mut current: watch::Receiver<Option<Arc<Link>>>,
) {
    loop {
        let link = current.borrow_and_update().clone();
        let Some(link) = link else {
            if current.changed().await.is_err() {
                return;
            }
            continue;
        };
        let told = acknowledgement.borrow_and_update().clone();
        if let Err(error) = link.tell("/v1/acknowledgement", &told, MOST).await {
            tracing::debug!(%error, "what was taken could not be told; it is told again");
            // Whoever waits for it is told as soon as there is another connection.
            let _ = timeout(AGAIN, current.changed()).await;
            continue;
        }
        tokio::select! {
            changed = acknowledgement.changed() => if changed.is_err() {
                return;
            },
            changed = current.changed() => if changed.is_err() {
                return;
            },
            () = sleep(HEARTBEAT) => {}
        }
    }
}
