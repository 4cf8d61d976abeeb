//! The event log against a bare writer thread.
//!
//! The bare one takes batches of up to 1,024, appends them to a file and does one fdatasync each,
//! without any format. Both get 1 KiB records from the same number of tasks on the same kind of
//! runtime, each of which waits for its answer before it sends the next. Rounds alternate. The log
//! works as it does in the gateway: it fills segments ahead, and its owner frees old ones.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot run ends with what it lacks"
)]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use bytes::Bytes;
use tidegate::event_log::{EventLog, FileStorage, Options, Record, Space};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

mod support;

use support::disk::Disk;
use support::report::Report;

const PAIRS: usize = 5;
const RECORD: usize = 1024;
const GOAL: f64 = 0.90;

fn main() {
    let disk = Disk::prepare("log");
    let mut report = Report::new("log", &disk, "tasks of the same process");
    let body = Bytes::from(vec![b'x'; RECORD]);
    for producers in [64, 512] {
        let mut ratios = Vec::new();
        for pair in 0..PAIRS {
            let bare = bare_round(&disk.folder, producers, &body);
            let ours = log_round(&disk.folder, producers, &body);
            let ratio = ours.per_second / bare.per_second;
            println!("  {producers} producers, round {pair}: log {ours}, bare {bare}, {ratio:.2}");
            ratios.push(ratio);
        }
        let case = format!("{producers} producers");
        report.ratio(case, support::median(&ratios), GOAL);
    }
    report.finish();
}

/// What one side did in one round.
struct Outcome {
    per_second: f64,
    p50: u32,
    p99: u32,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            per_second,
            p50,
            p99,
        } = self;
        write!(formatter, "{per_second:.0}/s (p50 {p50} µs, p99 {p99} µs)")
    }
}

/// Runs the producers for a round; `append` makes one record durable.
fn produce<Append, Answer>(producers: usize, append: Append) -> Outcome
where
    Append: Fn() -> Answer + Clone + Send + 'static,
    Answer: Future<Output = ()> + Send,
{
    let runtime = Runtime::new().expect("a runtime starts");
    let start = Instant::now();
    let end = start + support::round();
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let append = append.clone();
            runtime.spawn(async move {
                let mut times = Vec::with_capacity(1 << 14);
                loop {
                    let before = Instant::now();
                    if before >= end {
                        return times;
                    }
                    append().await;
                    times.push(before.elapsed().as_micros() as u32);
                }
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(runtime.block_on(task).expect("no producer panics"));
    }
    let elapsed = start.elapsed();
    Outcome {
        per_second: times.len() as f64 / elapsed.as_secs_f64(),
        p50: support::quantile(&mut times, 0.50),
        p99: support::quantile(&mut times, 0.99),
    }
}

fn log_round(folder: &Path, producers: usize, body: &Bytes) -> Outcome {
    let folder = folder.join("log");
    let options = Options::for_capacity(1 << 30);
    let (log, _) = EventLog::open(FileStorage::new(&folder), options).expect("the log opens");
    let owner = std::thread::spawn({
        let log = log.clone();
        move || free_old_segments(&log)
    });
    let outcome = produce(producers, {
        let (log, body) = (log.clone(), body.clone());
        move || {
            let (log, body) = (log.clone(), body.clone());
            async move {
                let record = Record {
                    header: Vec::new(),
                    body,
                };
                log.append(vec![record]).await.expect("the log has room");
            }
        }
    });
    let runtime = Runtime::new().expect("a runtime starts");
    runtime.block_on(log.close());
    drop(log);
    owner.join().expect("the owner does not panic");
    std::fs::remove_dir_all(folder).expect("the folder is ours");
    outcome
}

/// Frees the oldest segments when space is low, as the gateway does once all is delivered.
fn free_old_segments(log: &EventLog) {
    let mut space = log.space();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    let closed = {
        let log = log.clone();
        async move { log.closed().await }
    };
    runtime.block_on(async {
        tokio::pin!(closed);
        loop {
            tokio::select! {
                () = &mut closed => return,
                _ = space.wait_for(|space| *space != Space::Ample) => {
                    let oldest = log.segments().first().map(|segment| segment.id);
                    if let Some(oldest) = oldest {
                        log.free(oldest).expect("the oldest is sealed");
                    }
                }
            }
        }
    });
}

fn bare_round(folder: &Path, producers: usize, body: &Bytes) -> Outcome {
    let path = folder.join("bare");
    let file = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(&path)
        .expect("a file can be made");
    let (queue, requests) = mpsc::channel();
    let writer = std::thread::spawn(move || write_bare(file, &requests));
    let outcome = produce(producers, {
        let body = body.clone();
        let queue = Arc::new(queue);
        move || {
            let (queue, body) = (queue.clone(), body.clone());
            async move {
                let (reply, answer) = oneshot::channel();
                queue.send((body, reply)).expect("the writer runs");
                answer.await.expect("the writer answers");
            }
        }
    });
    writer.join().expect("the writer does not panic");
    std::fs::remove_file(path).expect("the file is ours");
    outcome
}

/// The baseline itself.
fn write_bare(mut file: File, requests: &mpsc::Receiver<(Bytes, oneshot::Sender<()>)>) {
    let mut buffer = Vec::new();
    let mut replies = Vec::new();
    while let Ok(first) = requests.recv() {
        buffer.clear();
        for (body, reply) in std::iter::once(first).chain(requests.try_iter()).take(1024) {
            buffer.extend_from_slice(&body);
            replies.push(reply);
        }
        file.write_all(&buffer).expect("the disk has room");
        file.sync_data().expect("the disk syncs");
        for reply in replies.drain(..) {
            let _ = reply.send(());
        }
    }
}
