//! What Tidegate is measured against.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http::StatusCode;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// An axum handler that reads the body and answers 202, on a runtime like the gateway's.
pub struct BareHandler {
    pub address: SocketAddr,
    _runtime: Runtime,
}

impl BareHandler {
    pub fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let router = Router::new().fallback(post(|body: Bytes| async move {
            std::hint::black_box(body);
            StatusCode::ACCEPTED
        }));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            _runtime: runtime,
        }
    }
}

/// A writer thread that takes batches of up to 1,024 records, appends them to a file without any
/// format, and does one fdatasync each. `producers` tasks wait for it. Records a second.
pub fn bare_log(folder: &Path, producers: usize, bytes: usize, time: Duration) -> f64 {
    let path = folder.join("bare");
    let file = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(&path)
        .expect("a file can be made");
    let (queue, requests) = mpsc::channel();
    let writer = std::thread::spawn(move || write(file, &requests));
    let runtime = Runtime::new().expect("a runtime starts");
    let start = Instant::now();
    let body = Bytes::from(vec![b'x'; bytes]);
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let (queue, body) = (queue.clone(), body.clone());
            runtime.spawn(async move {
                let mut count = 0_u64;
                while start.elapsed() < time {
                    let (reply, answer) = oneshot::channel();
                    queue.send((body.clone(), reply)).expect("the writer runs");
                    answer.await.expect("the writer answers");
                    count += 1;
                }
                count
            })
        })
        .collect();
    drop(queue);
    let counts = tasks
        .into_iter()
        .map(|task| runtime.block_on(task).expect("no producer panics"));
    let count: u64 = counts.sum();
    let per_second = count as f64 / start.elapsed().as_secs_f64();
    writer.join().expect("the writer does not panic");
    std::fs::remove_file(path).expect("the file is ours");
    per_second
}

fn write(mut file: File, requests: &mpsc::Receiver<(Bytes, oneshot::Sender<()>)>) {
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
