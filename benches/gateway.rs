//! A running gateway against baselines of the same run: `ingest`, `batch`, `latency`, `routes`,
//! `delivery` and `subscribing`, each by its name, all of them without one.
//!
//! Everything is in this process: the product's parts as `tidegate dev` puts them together, on a
//! real listener and a real disk; the baselines; and the load, which comes from one thread over
//! TCP on the loopback device. So the load takes a share of the same cores from either side alike.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot go on fails"
)]

use std::process::ExitCode;

mod support;

/// One file per benchmark, and what they share.
mod gateway {
    pub mod baseline;
    pub mod batch;
    pub mod delivery;
    pub mod ingest;
    pub mod latency;
    pub mod load;
    pub mod orders;
    pub mod routes;
    pub mod subscribing;
    pub mod system;
}

/// As the product has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BENCHMARKS: [(&str, fn()); 6] = [
    ("ingest", gateway::ingest::run),
    ("batch", gateway::batch::run),
    ("latency", gateway::latency::run),
    ("routes", gateway::routes::run),
    ("delivery", gateway::delivery::run),
    ("subscribing", gateway::subscribing::run),
];

fn main() -> ExitCode {
    support::runner::main(&BENCHMARKS)
}
