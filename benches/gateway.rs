//! A running gateway against baselines of the same run: `ingest`, `batch`, `latency`, `routes`,
//! `delivery` and `subscribing`, each by its name, all of them without one.
//!
//! Everything is in this process: the product's parts as `tidegate dev` puts them together, on a
//! real listener and a real disk; the baselines; and the load, which comes from one thread over
//! TCP on the loopback device. So the load takes a share of the same cores from either side alike.
//! Each benchmark runs in a process of its own, so that none meets the memory of another.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot go on fails"
)]

use std::process::{Command, ExitCode};

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
    // Cargo adds `--bench`.
    let names: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with("--"))
        .collect();
    if let [name] = &*names {
        let Some((_, run)) = BENCHMARKS.iter().find(|(known, _)| known == name) else {
            eprintln!("there is no benchmark {name}");
            return ExitCode::from(2);
        };
        run();
        return ExitCode::SUCCESS;
    }
    let mut all_well = true;
    for (name, _) in BENCHMARKS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            let program = std::env::current_exe().expect("this program has a path");
            let status = Command::new(program)
                .arg(name)
                .status()
                .expect("it starts again");
            all_well &= status.success();
        }
    }
    if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
