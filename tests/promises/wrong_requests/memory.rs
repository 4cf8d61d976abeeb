//! Resident memory after 100,000 bad requests.
//!
//! The gateway runs in a process of its own, so that neither the clients nor other tests count.
//! That process is this test binary again, asked for one test that is otherwise ignored.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use tidegate::gateway::Bounds;
use tokio::io::AsyncWriteExt as _;

use super::server::{Server, good};
use super::wire::{self, Connection, Request};
use super::{gzip, signed, with_signature};
use crate::support::command::spawn;

const BAD_REQUESTS: usize = 100_000;
/// What comes before memory is measured, of the same kind: buffers, threads and the log of requests
/// are there from then on.
const WARMING_UP: usize = 8_000;
const CLIENTS: usize = 8;
/// Requests written before their answers are read.
const PIPELINED: usize = 50;
/// What the memory may grow by, in KiB.
const MOST_GROWTH: u64 = 20 * 1024;

/// Serves until its standard input ends. Not a test of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the test below measures"]
async fn the_gateway_that_is_measured() {
    let server = Server::start(Bounds::default()).await;
    println!("\nlistening on {}", server.address());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()))
        .await
        .unwrap()
        .unwrap();
    server.end().await;
}

struct Measured {
    process: Child,
    /// Kept open: a process that cannot write its report fails.
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Measured {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("promises::wrong_requests::memory::the_gateway_that_is_measured")
            .env("RUST_TEST_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = spawn(&mut command);
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let address = output.by_ref().lines().find_map(|line| {
            line.unwrap()
                .strip_prefix("listening on ")
                .map(|address| address.parse().unwrap())
        });
        Self {
            address: address.expect("the process says where it listens"),
            process,
            output,
        }
    }

    /// Resident memory in KiB.
    fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        self.output.read_to_end(&mut Vec::new()).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

/// Bad requests of every kind that leaves the connection usable, each with its answer.
fn bad() -> Vec<(Vec<u8>, u16)> {
    let junk = "x".repeat(2_000);
    vec![
        (with_signature("sha256=00").bytes(), 401),
        (with_signature("").header("x-junk", &junk).bytes(), 401),
        (
            Request::post("/shop/signed").body(junk.clone()).bytes(),
            401,
        ),
        (Request::post(&format!("/{junk}")).body(*b"{}").bytes(), 404),
        (
            Request::post(&format!("/shop/absent?{junk}={junk}"))
                .body(junk.clone())
                .bytes(),
            404,
        ),
        (signed(*b"{\"id\":").bytes(), 400),
        (signed(*b"{\"no\": \"id\"}").bytes(), 422),
        (signed("[".repeat(2_000)).bytes(), 400),
        (
            signed(gzip(&vec![b' '; 2 << 20]))
                .header("content-encoding", "gzip")
                .bytes(),
            413,
        ),
        (signed(*b"{}").header("content-encoding", "br").bytes(), 415),
        (
            Request::post("/shop/empty-key")
                .header("x-token", "x")
                .body(*b"{}")
                .bytes(),
            503,
        ),
        (
            Request::new("DELETE", "/shop/posted").body(*b"{}").bytes(),
            405,
        ),
    ]
}

/// Sends so many bad requests from all clients at once.
async fn send(address: SocketAddr, count: usize) {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(client(address, number, count / CLIENTS)))
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

async fn client(address: SocketAddr, number: usize, count: usize) {
    let bad = bad();
    let (mut read, mut write) = Connection::open(address).await.split();
    let mut left = count;
    let mut next = number;
    while left > 0 {
        let count = PIPELINED.min(left);
        let mut expected = Vec::with_capacity(count);
        let mut bytes = Vec::new();
        for _ in 0..count {
            let (request, status) = &bad[next % bad.len()];
            bytes.extend_from_slice(request);
            expected.push(*status);
            next += 1;
        }
        let writing = async { write.write_all(&bytes).await.unwrap() };
        let reading = async {
            for status in &expected {
                let response = wire::response(&mut read).await.expect("an answer");
                assert_eq!(response.status, *status, "{}", response.body);
            }
        };
        tokio::join!(writing, reading);
        left -= count;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_bad_requests() {
    let measured = tokio::task::spawn_blocking(Measured::start).await.unwrap();
    let serves = async || {
        let mut connection = Connection::open(measured.address).await;
        assert_eq!(connection.response_to(&good()).await.unwrap().status, 202);
    };
    serves().await;
    send(measured.address, WARMING_UP).await;
    let before = measured.resident();
    send(measured.address, BAD_REQUESTS).await;
    let after = measured.resident();
    serves().await;
    println!("{before} KiB before, {after} KiB after {BAD_REQUESTS} bad requests");
    let growth = after.saturating_sub(before);
    assert!(
        growth <= MOST_GROWTH,
        "{before} KiB before, {after} KiB after"
    );
    tokio::task::spawn_blocking(|| measured.end())
        .await
        .unwrap();
}
