//! A hundred events of 1 KiB in one request, against a loop that only splits and validates the
//! same bytes, on as many threads as there are cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::value::RawValue;

use super::load::{self, send_all};
use super::orders::{self, Requests};
use super::system::System;
use crate::support::disk::Disk;
use crate::support::median;
use crate::support::report::Report;

const ROUNDS: usize = 7;
const GOAL: f64 = 0.50;
const PATH: &str = "/shop/order-placed";
const EVENTS: usize = 100;
const REQUESTS: usize = 200;
const CONNECTIONS: usize = 16;

pub fn run() {
    let disk = Disk::prepare("batch");
    let mut report = Report::new("batch", &disk, load::FROM);
    let system = System::start(&disk.folder, &orders::one_route(PATH));
    let mut maker = Requests::new(PATH, EVENTS);
    let mut ratios = Vec::new();
    for number in 0..ROUNDS {
        let (mut requests, mut bodies) = (Vec::new(), Vec::new());
        for _ in 0..REQUESTS {
            requests.push(maker.next(PATH).to_vec());
            bodies.push(maker.body().to_vec());
        }
        let loops = events_per_second(split_and_validate(&bodies));
        let ours = events_per_second(send_all(system.address(), CONNECTIONS, requests));
        let ratio = ours / loops;
        println!(
            "  round {number}: batches {ours:.0} events/s, loop {loops:.0} events/s, {ratio:.2}"
        );
        ratios.push(ratio);
    }
    report.ratio("100 events in a request", median(&ratios), GOAL);
    system.stop();
    report.finish();
}

fn events_per_second(took: Duration) -> f64 {
    (REQUESTS * EVENTS) as f64 / took.as_secs_f64()
}

fn split_and_validate(bodies: &[Vec<u8>]) -> Duration {
    let schema: Value = serde_json::from_str(orders::SCHEMA).expect("the schema is JSON");
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("the schema is good");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let items: Vec<&RawValue> = serde_json::from_slice(body).expect("an array");
                    for item in items {
                        let item: Value = serde_json::from_str(item.get()).expect("JSON");
                        assert!(validator.is_valid(&item));
                    }
                }
            });
        }
    });
    start.elapsed()
}
