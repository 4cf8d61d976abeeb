//! HMAC, schema, deduplication and a sync before each 202, one event of 1 KiB in a request, against
//! the lesser of a handler that only reads the body and answers, and a bare log.

use super::baseline::{BareHandler, bare_log};
use super::load::{self, Target, closed_loop};
use super::orders;
use super::system::System;
use crate::support::disk::Disk;
use crate::support::report::Report;
use crate::support::{median, round};

const ROUNDS: usize = 5;
const GOAL: f64 = 0.60;
const PATH: &str = "/shop/order-placed";

pub fn run() {
    let disk = Disk::prepare("ingest");
    let mut report = Report::new("ingest", &disk, load::FROM);
    let system = System::start(&disk.folder, &orders::one_route(PATH));
    let handler = BareHandler::start();
    let (ours, bare) = (
        Target::new(system.address(), PATH),
        Target::new(handler.address, PATH),
    );
    closed_loop(&ours, 64, round() / 4);
    closed_loop(&bare, 64, round() / 4);
    for connections in [64, 512] {
        let mut ratios = Vec::new();
        for number in 0..ROUNDS {
            let log = bare_log(&disk.folder, connections, orders::EVENT_BYTES, round() / 2);
            let bare = closed_loop(&bare, connections, round());
            let ours = closed_loop(&ours, connections, round());
            let ratio = ours.per_second / bare.per_second.min(log);
            println!(
                "  {connections} connections, round {number}: ingest {ours}, handler {bare}, bare log {log:.0}/s, {ratio:.2}"
            );
            ratios.push(ratio);
        }
        report.ratio(format!("{connections} connections"), median(&ratios), GOAL);
    }
    system.stop();
    report.finish();
}
