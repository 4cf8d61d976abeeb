//! Subscriptions at the app's own API stand exactly once, whatever is killed when, and whatever the
//! app is like: they are made, kept, changed, restored and removed by the real process, and the app
//! has no reason to give up on us.

mod deletion;
mod edits;
mod forged;
mod kills;
mod moods;
mod random_kills;
mod secrets;
mod spec;
mod templates;
mod thousands;
mod world;

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Scenarios that run at the same time: each waits most of the time.
const AT_ONCE: usize = 8;

/// Runs scenarios at the same time; tells which of them failed.
async fn all_of<F: Future<Output = ()> + Send + 'static>(
    scenarios: impl IntoIterator<Item = (String, F)>,
) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    let mut names = std::collections::BTreeMap::new();
    for (name, scenario) in scenarios {
        let turns = Arc::clone(&turns);
        let handle = running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            scenario.await;
        });
        names.insert(handle.id(), name);
    }
    let mut failed = Vec::new();
    while let Some(ended) = running.join_next_with_id().await {
        if let Err(error) = ended {
            failed.push(format!("{}: {error}", names[&error.id()]));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
