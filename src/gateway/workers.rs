//! Threads for work that would hold up one that serves connections: as many at a time as there are
//! cores, because more would only take turns, each with its memory.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Runs work elsewhere.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Semaphore>);

/// The runtime is going down and runs nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to run a piece of work: the process is ending")]
pub struct Ending;

impl Workers {
    /// One for each core.
    pub fn for_all_cores() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores)))
    }

    /// Runs `work` when it is its turn. A panic in it goes on here, where the request is that
    /// caused it.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Ending> {
        let permit = Arc::clone(&self.0)
            .acquire_owned()
            .await
            .map_err(|_| Ending)?;
        let running = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        match running.await {
            Ok(result) => Ok(result),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Ending),
        }
    }
}
