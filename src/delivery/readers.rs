//! Reads events back from the log for attempts whose payload is no longer in memory.
//!
//! A few threads of their own rather than one blocking task an event: a read usually comes from
//! the page cache and is over before such a task would have been scheduled.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::record;
use crate::event::Event;
use crate::event_log::{EventLog, Position, ReadError};

/// Threads; enough that a slow disk read does not hold up those served from memory.
const THREADS: usize = 4;

type Answer = oneshot::Sender<Result<Event, Unreadable>>;

/// Why an event could not be read back.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// Its segment was freed: it has been relocated, or settled.
    Gone,
    /// Its record is damaged for good.
    Damaged(String),
    /// The storage failed; it may work later.
    Later(String),
}

/// The handle of the threads; they end when the last one goes.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    requests: mpsc::UnboundedSender<(Position, Answer)>,
}

impl Readers {
    /// Starts the threads.
    pub fn start(log: &EventLog) -> io::Result<Self> {
        let (requests, receiver) = mpsc::unbounded_channel::<(Position, Answer)>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..THREADS {
            let (log, receiver) = (log.clone(), receiver.clone());
            std::thread::Builder::new()
                .name("delivery-reader".into())
                .spawn(move || {
                    loop {
                        let next = receiver
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .blocking_recv();
                        let Some((position, answer)) = next else {
                            return;
                        };
                        // Nobody waits any more when a subscription was deleted.
                        if !answer.is_closed() {
                            answer.send(read(&log, position)).ok();
                        }
                    }
                })?;
        }
        Ok(Self { requests })
    }

    /// Reads one event. The number of requests under way is bounded by the attempts.
    pub async fn read(&self, position: Position) -> Result<Event, Unreadable> {
        let (answer, event) = oneshot::channel();
        self.requests
            .send((position, answer))
            .map_err(|_| Unreadable::Later("the readers have stopped".into()))?;
        event
            .await
            .unwrap_or_else(|_| Err(Unreadable::Later("a reader has stopped".into())))
    }
}

fn read(log: &EventLog, position: Position) -> Result<Event, Unreadable> {
    let entry = log.read(position).map_err(|error| match error {
        ReadError::Gone(_) => Unreadable::Gone,
        ReadError::Damaged(_) => Unreadable::Damaged(error.to_string()),
        ReadError::Storage { ref source, .. } => Unreadable::Later(format!("{error}: {source}")),
    })?;
    record::decode(&entry.bytes)
        .map(|record| record.event)
        .map_err(|error| Unreadable::Damaged(error.to_string()))
}
