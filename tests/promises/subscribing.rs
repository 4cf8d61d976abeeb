//! Subscriptions at the app's own API stand exactly once, whatever is killed when, and whatever the
//! app is like: they are made, kept, changed, restored and removed by the real process, and the app
//! has no reason to give up on us.

mod deletion;
mod edits;
mod forged;
mod global;
pub(in crate::promises) mod installation;
pub(in crate::promises) mod kills;
mod lives;
pub(in crate::promises) mod moods;
mod random_kills;
mod record_file;
mod secrets;
pub(in crate::promises) mod spec;
mod stores;
mod templates;
// It counts with what the kernel of Linux has for that.
#[cfg(target_os = "linux")]
mod thousands;
mod world;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread;

/// Runs scenarios at the same time, each in a thread of its own; tells which of them failed. Each waits
/// most of the time.
fn all_of<S, F>(scenarios: impl IntoIterator<Item = (String, S)>)
where
    S: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()>,
{
    all_of_so_many(20, scenarios);
}

/// The same, so many at a time.
pub(in crate::promises) fn all_of_so_many<S, F>(
    at_once: usize,
    scenarios: impl IntoIterator<Item = (String, S)>,
) where
    S: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()>,
{
    let waiting: Mutex<VecDeque<(String, S)>> = Mutex::new(scenarios.into_iter().collect());
    let failed: Mutex<Vec<String>> = Mutex::default();
    let next = || waiting.lock().unwrap().pop_front();
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((name, scenario)) = next() {
                    // A panic names the thread that it was in.
                    let thread = thread::Builder::new().name(name.clone());
                    let run = || {
                        let runtime = tokio::runtime::Builder::new_current_thread();
                        let runtime = { runtime }.enable_all().build().unwrap();
                        runtime.block_on(scenario());
                    };
                    if thread.spawn(run).unwrap().join().is_err() {
                        failed.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:#?}");
}
