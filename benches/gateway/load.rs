//! Load over HTTP/1.1 keep-alive from one thread: closed loops, where each connection sends its
//! next request when it has its answer, and open ones, where requests are due at their times
//! whatever became of those before.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::orders::Requests;
use crate::support::quantile;

/// What the load is said to be.
pub const FROM: &str = "one thread of the same process over loopback TCP";

/// Where requests go.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// Paths of one length, taken in turn.
    pub paths: Arc<[String]>,
}

impl Target {
    pub fn new(address: SocketAddr, path: &str) -> Self {
        Self {
            address,
            paths: [path.to_owned()].into(),
        }
    }
}

/// What came of a round.
pub struct Outcome {
    pub per_second: f64,
    /// In microseconds.
    pub p50: u32,
    pub p99: u32,
}

impl Outcome {
    fn new(mut micros: Vec<u32>, elapsed: Duration) -> Self {
        Self {
            per_second: micros.len() as f64 / elapsed.as_secs_f64(),
            p50: quantile(&mut micros, 0.50),
            p99: quantile(&mut micros, 0.99),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            per_second,
            p50,
            p99,
        } = self;
        write!(formatter, "{per_second:.0}/s (p50 {p50} µs, p99 {p99} µs)")
    }
}

/// Each connection sends the next request when it has its answer, for `time`.
pub fn closed_loop(target: &Target, connections: usize, time: Duration) -> Outcome {
    on_one_thread(async {
        let streams = connect(target, connections).await;
        let start = Instant::now();
        let end = start + time;
        let mut tasks = JoinSet::new();
        for (mut stream, mut requests) in streams {
            let paths = Arc::clone(&target.paths);
            tasks.spawn(async move {
                let mut micros = Vec::with_capacity(1 << 12);
                for path in walk(&paths) {
                    let before = Instant::now();
                    if before >= end {
                        break;
                    }
                    stream.exchange(requests.next(path)).await;
                    micros.push(before.elapsed().as_micros() as u32);
                }
                micros
            });
        }
        let micros = tasks.join_all().await.concat();
        Outcome::new(micros, start.elapsed())
    })
}

/// A request is due every `1 / per_second`, and its time counts from when it was due, so that a
/// server that stands still is charged for all that it kept waiting.
pub fn open_loop(target: &Target, connections: usize, per_second: f64, time: Duration) -> Outcome {
    on_one_thread(async {
        let streams = connect(target, connections).await;
        let all = (per_second * time.as_secs_f64()) as u64;
        let (due, taken) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
        let start = Instant::now() + Duration::from_millis(20);
        let at = move |number: u64| start + Duration::from_secs_f64(number as f64 / per_second);
        // A thread, because the runtime's clock has steps of a millisecond.
        let clock = std::thread::spawn({
            let due = Arc::clone(&due);
            move || {
                for number in 0..all {
                    let wait = at(number).saturating_duration_since(Instant::now());
                    // A shorter sleep would last longer than it should.
                    if wait > Duration::from_micros(30) {
                        std::thread::sleep(wait);
                    }
                    due.add_permits(1);
                }
                due.add_permits(connections);
            }
        });
        let mut tasks = JoinSet::new();
        for (mut stream, mut requests) in streams {
            let (due, taken) = (Arc::clone(&due), Arc::clone(&taken));
            let path = target.paths[0].clone();
            tasks.spawn(async move {
                let mut micros = Vec::new();
                loop {
                    due.acquire().await.expect("it is never closed").forget();
                    let number = taken.fetch_add(1, Ordering::Relaxed);
                    if number >= all {
                        return micros;
                    }
                    stream.exchange(requests.next(&path)).await;
                    micros.push(at(number).elapsed().as_micros() as u32);
                }
            });
        }
        let micros = tasks.join_all().await.concat();
        clock.join().expect("the clock does not panic");
        Outcome::new(micros, start.elapsed())
    })
}

/// Sends requests that were made before, each once, over so many connections. How long it took.
pub fn send_all(address: SocketAddr, connections: usize, requests: Vec<Vec<u8>>) -> Duration {
    on_one_thread(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            streams.push(Connection::open(address).await);
        }
        let requests = Arc::new(requests);
        let taken = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for mut stream in streams {
            let (requests, taken) = (Arc::clone(&requests), Arc::clone(&taken));
            tasks.spawn(async move {
                while let Some(request) =
                    requests.get(taken.fetch_add(1, Ordering::Relaxed) as usize)
                {
                    stream.exchange(request).await;
                }
            });
        }
        tasks.join_all().await;
        start.elapsed()
    })
}

/// The paths in turn, without end, from a random one on.
fn walk(paths: &[String]) -> impl Iterator<Item = &str> {
    let start = rand::random::<u64>() as usize % paths.len();
    // A stride that shares no factor with a power of ten meets every path.
    (0_usize..).map(move |step| &*paths[(start + step * 7_919) % paths.len()])
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(work)
}

async fn connect(target: &Target, connections: usize) -> Vec<(Connection, Requests)> {
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        let requests = Requests::new(&target.paths[0], 1);
        streams.push((Connection::open(target.address).await, requests));
    }
    streams
}

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        stream.set_nodelay(true).expect("TCP");
        Self {
            stream,
            received: Vec::with_capacity(16 << 10),
        }
    }

    /// Sends a request and takes its answer, which must be 202.
    pub async fn exchange(&mut self, request: &[u8]) {
        self.stream
            .write_all(request)
            .await
            .expect("the server reads");
        self.received.clear();
        loop {
            let count = self
                .stream
                .read_buf(&mut self.received)
                .await
                .expect("the server answers");
            assert!(count > 0, "the server closed the connection");
            if is_whole(&self.received) {
                break;
            }
        }
        let is_good = self.received.starts_with(b"HTTP/1.1 202");
        assert!(is_good, "{}", String::from_utf8_lossy(&self.received));
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = std::str::from_utf8(&answer[..end]).expect("a head is text");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().expect("a length is a number"));
    answer.len() >= end + 4 + length
}
