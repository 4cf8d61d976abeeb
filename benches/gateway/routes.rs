//! 100,000 URIs of ten types against one URI of one: how fast they are live, what they take of
//! memory, and what they cost a request.

use std::sync::Arc;
use std::time::Instant;

use tidegate::configuration::{Configuration, RouteEntry, Sensitive};
use tidegate::gateway::token;

use super::load::{self, Target, closed_loop};
use super::orders;
use super::system::{System, TOKEN_KEY};
use crate::support::disk::Disk;
use crate::support::report::Report;
use crate::support::{median, round};

const ROUNDS: usize = 7;
const URIS: usize = 100_000;
const TYPES: usize = 10;
const CONNECTIONS: usize = 64;
const GOAL: f64 = 0.95;
/// Seconds until all of them are live.
const LIVE_WITHIN: f64 = 2.0;
/// Bytes of memory for each.
const BYTES: f64 = 1024.0;

pub fn run() {
    let disk = Disk::prepare("routes");
    let mut report = Report::new("routes", &disk, load::FROM);
    let empty = resident();
    let many = configuration(URIS, TYPES);
    let start = Instant::now();
    let system = System::start(&disk.folder, &many);
    let last = Target::new(system.address(), &many.routes[URIS - 1].path);
    closed_loop(&last, 1, std::time::Duration::from_micros(1));
    let live = start.elapsed().as_secs_f64();
    let bytes = (resident() - empty) as f64 / URIS as f64;
    println!(
        "  live after {live:.3} s, {bytes:.0} bytes of memory for each URI, entries and an idle gateway among them"
    );
    report.ratio("2 s / time until live", LIVE_WITHIN / live, 1.0);
    report.ratio("1 KiB / memory of a URI", BYTES / bytes, 1.0);

    let one = configuration(1, 1);
    let mut ratios = Vec::new();
    for number in 0..ROUNDS {
        let measure = |configuration: &Configuration| {
            system.apply(configuration);
            let paths = configuration.routes.iter().map(|route| route.path.clone());
            let target = Target {
                address: system.address(),
                paths: paths.collect(),
            };
            closed_loop(&target, CONNECTIONS, round() / 8);
            closed_loop(&target, CONNECTIONS, round() * 2 / 3)
        };
        // Which of them is first alternates too.
        let (few, all) = if number % 2 == 0 {
            let few = measure(&one);
            (few, measure(&many))
        } else {
            let all = measure(&many);
            (measure(&one), all)
        };
        let ratio = all.per_second / few.per_second;
        println!("  round {number}: {URIS} URIs {all}, one {few}, {ratio:.2}");
        ratios.push(ratio);
    }
    report.ratio("100,000 URIs / 1 URI", median(&ratios), GOAL);
    system.stop();
    report.finish();
}

fn configuration(uris: usize, types: usize) -> Configuration {
    let key = Sensitive::from(TOKEN_KEY);
    let routes = (0..uris).map(|number| RouteEntry {
        path: format!("/h/{}", token::issue(&key, &number.to_string())),
        event_type: orders::type_name(number % types),
    });
    orders::configuration(types, routes.map(Arc::new).collect())
}

/// Bytes of this process that are in memory (proc(5)).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("it is there");
    let kibibytes: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    kibibytes * 1024
}
