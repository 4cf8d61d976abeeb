//! How long an acknowledgement takes at half the load that can be borne, against a bare fdatasync.
//!
//! Requests are due at fixed times, and each one's time counts from when it was due, so that a
//! pause is charged to all that waited in it. The sync is measured before every round, because
//! other tenants of a disk come and go.

use super::load::{self, Target, closed_loop, open_loop};
use super::orders;
use super::system::System;
use crate::support::disk::{Disk, sync_p50};
use crate::support::report::Report;
use crate::support::{median, round};

const ROUNDS: usize = 5;
/// A tenth: ten times the bare fdatasync.
const GOAL: f64 = 0.10;
const PATH: &str = "/shop/order-placed";
const CONNECTIONS: usize = 512;

pub fn run() {
    let disk = Disk::prepare("latency");
    let mut report = Report::new("latency", &disk, load::FROM);
    let system = System::start(&disk.folder, &orders::one_route(PATH));
    let target = Target::new(system.address(), PATH);
    closed_loop(&target, CONNECTIONS, round() / 4);
    let mut ratios = Vec::new();
    for number in 0..ROUNDS {
        // The load that can be borne changes with the neighbours too.
        let most = closed_loop(&target, CONNECTIONS, round() / 2).per_second;
        let sync = sync_p50(&disk.folder);
        let ours = open_loop(&target, CONNECTIONS, most / 2.0, round());
        let ratio = f64::from(sync) / f64::from(ours.p99);
        println!(
            "  round {number}: {ours}, half of {most:.0}/s, bare fdatasync p50 {sync} µs, {ratio:.3}"
        );
        ratios.push(ratio);
    }
    report.ratio("bare fdatasync p50 / p99", median(&ratios), GOAL);
    system.stop();
    report.finish();
}
