//! Subscriptions at the app's own API stand exactly once, whatever is killed when, and whatever the
//! app is like: they are made, kept, changed, restored and removed by the real process, and the app
//! has no reason to give up on us.

mod deletion;
mod edits;
mod forged;
mod global;
mod kills;
mod lives;
mod moods;
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

/// Scenarios that run at the same time: each waits most of the time.
const AT_ONCE: usize = 20;

/// Runs scenarios at the same time, each in a thread of its own; tells which of them failed.
fn all_of<S, F>(scenarios: impl IntoIterator<Item = (String, S)>)
where
    S: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()>,
{
    let waiting: Mutex<VecDeque<(String, S)>> = Mutex::new(scenarios.into_iter().collect());
    let failed: Mutex<Vec<String>> = Mutex::default();
    let next = || waiting.lock().unwrap().pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
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
