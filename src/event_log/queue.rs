//! The queue in front of the writer, and the log's two threads.
//!
//! The queue is bounded in bytes: who appends waits for room before it puts its records in, so
//! memory stays bounded whatever comes in. The writer takes all that waits at once.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, watch};

use super::AppendError;
use super::segments::{Filled, Shared, lock};
use super::writer::{Request, Writer};

/// Requests on their way to the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    /// One permit per byte.
    room: Semaphore,
    bound: u32,
    stopped: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    closed: bool,
    /// The writer waits: only then it needs waking.
    idle: bool,
}

impl Queue {
    pub(super) fn new(bound: u32) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            room: Semaphore::new(bound as usize),
            bound,
            stopped: watch::Sender::new(false),
        }
    }

    /// Puts a request in, waiting for room.
    pub(super) async fn push(&self, mut request: Request) -> Result<(), AppendError> {
        // One that is larger than the queue goes in alone.
        let size = u32::try_from(request.size())
            .unwrap_or(u32::MAX)
            .min(self.bound);
        let permit = self.room.acquire_many(size).await;
        permit.map_err(|_| AppendError::Closed)?.forget();
        request.permits = size;
        let mut state = lock(&self.state);
        if state.closed {
            return Err(AppendError::Closed);
        }
        state.requests.push_back(request);
        if state.idle {
            state.idle = false;
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.room.close();
        self.arrived.notify_one();
    }

    /// Waits until the threads have ended.
    pub(super) async fn stopped(&self) {
        // The sender is ours, so this cannot fail.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Adds what waits to `pending`; waits for something if that is empty. False: never again.
    fn take(&self, pending: &mut VecDeque<Request>) -> bool {
        let mut state = lock(&self.state);
        while pending.is_empty() && state.requests.is_empty() {
            if state.closed {
                return false;
            }
            state.idle = true;
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if pending.is_empty() {
            std::mem::swap(pending, &mut state.requests);
        } else {
            pending.append(&mut state.requests);
        }
        true
    }
}

/// Starts the writer and the thread that fills segments ahead. `log_lock` is given up at the end.
pub(super) fn start(
    shared: Arc<Shared>,
    writer: Writer,
    queue: Arc<Queue>,
    log_lock: Box<dyn Send>,
) -> io::Result<()> {
    let filler = thread::Builder::new().name("log-filler".into()).spawn({
        let shared = shared.clone();
        move || fill(&shared)
    })?;
    let started = thread::Builder::new().name("log-writer".into()).spawn({
        let shared = shared.clone();
        move || {
            write(&shared, writer, &queue);
            stop_filling(&shared);
            let _ = filler.join();
            drop(log_lock);
            queue.stopped.send_replace(true);
        }
    });
    if started.is_err() {
        stop_filling(&shared);
    }
    started.map(drop)
}

fn write(shared: &Shared, mut writer: Writer, queue: &Queue) {
    let mut pending = VecDeque::new();
    // A panic must not leave callers waiting for answers that never come.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        while queue.take(&mut pending) {
            let permits = writer.commit(&mut pending);
            queue.room.add_permits(permits);
        }
    }));
    if ended.is_err() {
        shared.fail_because("the writer panicked".into());
        queue.close();
        drop(writer);
        pending.clear();
        lock(&queue.state).requests.clear();
    }
}

fn stop_filling(shared: &Shared) {
    lock(&shared.table).stopped = true;
    shared.changed.notify_all();
}

fn fill(shared: &Shared) {
    let mut table = lock(&shared.table);
    while !table.stopped {
        if shared.wants_spare(&table) {
            drop(table);
            let filled = catch_unwind(AssertUnwindSafe(|| shared.fill_one()));
            table = match filled {
                Ok(Filled::NoSpace) => {
                    let table = lock(&shared.table);
                    // Freeing a segment ends the wait.
                    shared
                        .changed
                        .wait_timeout_while(table, shared.options.space_check, |table| {
                            !table.stopped && shared.disk_is_full(table)
                        })
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                Ok(_) => lock(&shared.table),
                Err(_) => {
                    shared.fail_because("the thread that fills segments panicked".into());
                    return;
                }
            };
        } else {
            table = shared
                .changed
                .wait(table)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
