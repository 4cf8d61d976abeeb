//! From the request to the sink: how long one event takes when nothing else is going on, and how
//! many a second leave a log that is full of them, against a bare client loop to the same sink.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use tidegate::configuration::{
    Configuration, Customers, DeliverySettings, Format, Ordering, Sink, SubscriptionEntry, Tls,
};
use tidegate::delivery;
use tidegate::event::{Attributes, Event, ObjectName, source};
use tokio::runtime::Runtime;

use super::load::{self, Connection};
use super::orders::{self, Requests};
use super::system::System;
use crate::support::disk::Disk;
use crate::support::report::Report;
use crate::support::{median, quantile};

const PATH: &str = "/shop/order-placed";
const ROUNDS: usize = 5;
/// Events of one round.
const BACKLOG: usize = 10_000;
const IN_FLIGHT: usize = 16;
const GOAL: f64 = 0.80;
/// Events that are sent one by one.
const SINGLE: usize = 400;
/// Microseconds from sending one to its arrival.
const WITHIN: f64 = 5_000.0;
/// How long an event may be missing before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn run() {
    let disk = Disk::prepare("delivery");
    let mut report = Report::new("delivery", &disk, load::FROM);
    let sink = CountingSink::start();
    let system = System::start(&disk.folder, &configuration(&sink, false));

    let mut micros = one_by_one(&system, &sink);
    let (p50, p99) = (quantile(&mut micros, 0.5), quantile(&mut micros, 0.99));
    println!("  one by one: p50 {p50} µs, p99 {p99} µs from sending to the sink");
    report.ratio("5 ms / p50 when unloaded", WITHIN / f64::from(p50), 1.0);

    let mut ratios = Vec::new();
    for number in 0..ROUNDS {
        let bare = bare_loop(&sink);
        let ours = drain_backlog(&system, &sink);
        let ratio = ours / bare;
        println!("  round {number}: delivery {ours:.0}/s, client loop {bare:.0}/s, {ratio:.2}");
        ratios.push(ratio);
    }
    report.ratio("sustained", median(&ratios), GOAL);
    system.stop();
    report.finish();
}

/// Times of events that come with pauses between them, each over a connection that is kept.
fn one_by_one(system: &System, sink: &CountingSink) -> Vec<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime starts");
    let mut connection = runtime.block_on(Connection::open(system.address()));
    let mut requests = Requests::new(PATH, 1);
    let mut micros = Vec::new();
    for number in 0..SINGLE {
        let request = requests.next(PATH).to_vec();
        let sent = Instant::now();
        runtime.block_on(connection.exchange(&request));
        let arrived = sink.arrivals(1);
        // The first ones open connections and files.
        if number >= SINGLE / 10 {
            micros.push(arrived[0].duration_since(sent).as_micros() as u32);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    micros
}

/// Fills the log while deliveries are held, lets them go, and measures between the first arrival
/// and the last.
fn drain_backlog(system: &System, sink: &CountingSink) -> f64 {
    system.apply(&configuration(sink, true));
    let events: Vec<Event> = (0..BACKLOG).map(|_| event()).collect();
    for some in events.chunks(500) {
        let records = some.iter().map(delivery::encode).collect();
        system
            .runtime
            .block_on(system.log.append(records))
            .expect("the log has room");
    }
    let start = Instant::now();
    while system.delivery.status()[0].undelivered < BACKLOG as u64 {
        assert!(
            start.elapsed() < PATIENCE,
            "the router does not read the log"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    system.apply(&configuration(sink, false));
    rate(sink.arrivals(BACKLOG))
}

/// As many requests at a time as the subscription may have open, from a client of the same library
/// on a runtime of the same size, with the headers that an event has.
fn bare_loop(sink: &CountingSink) -> f64 {
    let runtime = Runtime::new().expect("a runtime starts");
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let url = format!("http://{}/", sink.address);
    let body = Bytes::from(orders::order(0));
    let left = Arc::new(Mutex::new(BACKLOG));
    for _ in 0..IN_FLIGHT {
        let (client, url, body, left) =
            (client.clone(), url.clone(), body.clone(), Arc::clone(&left));
        runtime.spawn(async move {
            while take_one(&left) {
                let request = client
                    .post(&url)
                    .header("content-type", "application/json")
                    .header("ce-specversion", "1.0")
                    .header("ce-id", format!("{:016x}", orders::next_number()))
                    .header("ce-source", "/shop/order-placed-0/acct-00")
                    .header("ce-type", "com.example.order.placed")
                    .header("ce-subject", "acct-00")
                    .header("ce-customerid", "acct-00")
                    .header("ce-time", "2026-01-02T03:04:05Z")
                    .body(body.clone());
                let answer = request.send().await.expect("the sink answers");
                assert!(answer.status().is_success());
                answer.bytes().await.expect("the answer ends");
            }
        });
    }
    rate(sink.arrivals(BACKLOG))
}

fn take_one(left: &Mutex<usize>) -> bool {
    let mut left = left.lock().unwrap();
    let any = *left > 0;
    *left -= usize::from(any);
    any
}

fn rate(arrivals: Vec<Instant>) -> f64 {
    let (first, last) = (arrivals[0], arrivals[arrivals.len() - 1]);
    (arrivals.len() - 1) as f64 / last.duration_since(first).as_secs_f64()
}

fn event() -> Event {
    let number = orders::next_number();
    let name = orders::type_name(0);
    Event {
        data: Some(Bytes::from(orders::order(number))),
        attributes: Attributes {
            id: format!("{number:016x}"),
            source: source(&name, None),
            event_type: "com.example.order.placed".into(),
            subject: None,
            time: Timestamp::now(),
            data_content_type: Some("application/json".into()),
            extensions: Default::default(),
            app_event_type: name,
            customer: None,
            deduplication: None,
        },
    }
}

fn configuration(sink: &CountingSink, suspend: bool) -> Configuration {
    let mut configuration = orders::one_route(PATH);
    configuration
        .subscriptions
        .push(Arc::new(SubscriptionEntry {
            name: ObjectName::new("shop", "orders"),
            uid: "orders-1".into(),
            event_type: orders::type_name(0),
            customers: Customers::All,
            filter: None,
            sink: Sink {
                uri: format!("http://{}/", sink.address),
                may_be_private: true,
                format: Format::Binary,
                headers: Vec::new(),
                signing: None,
                tls: Tls::default(),
            },
            delivery: DeliverySettings {
                timeout: Duration::from_secs(15),
                backoff_initial: Duration::from_secs(1),
                backoff_max: Duration::from_secs(600),
                max_attempts: 0,
                max_age: Duration::from_secs(24 * 3600),
                max_in_flight: IN_FLIGHT as u32,
                ordering: Ordering::None,
            },
            suspend,
            held: None,
        }));
    configuration
}

/// A sink that says when an event came that it did not have yet.
struct CountingSink {
    address: SocketAddr,
    arrivals: mpsc::Receiver<Arrival>,
    _runtime: Runtime,
}

struct Arrival {
    at: Instant,
    id: String,
}

impl CountingSink {
    fn start() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (sender, arrivals) = mpsc::channel();
        let router = Router::new().fallback(post(take)).with_state(sender);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            arrivals,
            _runtime: runtime,
        }
    }

    /// When the next so many different events came.
    fn arrivals(&self, count: usize) -> Vec<Instant> {
        let mut known = std::collections::HashSet::new();
        let mut times = Vec::with_capacity(count);
        while times.len() < count {
            let arrival = self
                .arrivals
                .recv_timeout(PATIENCE)
                .expect("the event arrives");
            if known.insert(arrival.id) {
                times.push(arrival.at);
            }
        }
        times
    }
}

async fn take(
    State(arrivals): State<mpsc::Sender<Arrival>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    std::hint::black_box(body);
    let id = headers["ce-id"].to_str().expect("an id is text").to_owned();
    // The benchmark has its figures and goes.
    let _ = arrivals.send(Arrival {
        at: Instant::now(),
        id,
    });
    StatusCode::NO_CONTENT
}
