//! The controller against a real API server, with 10,000 objects: `edits`, how soon a change is live
//! in gateway pods, and `cold`, how long it takes to subscribe so many customers and what that costs.
//! Each by its name, both without one.
//!
//! The API server and its etcd are the tests' (see tests/support/api_server.rs): they run on the same
//! cores, and take their share of them. Controller and pods are processes of the program as released.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot go on fails"
)]

use std::process::{Command, ExitCode};

#[path = "."]
mod benches {
    pub mod support;
}
#[path = "../tests"]
#[allow(
    dead_code,
    unused_imports,
    reason = "not all that tests need is needed here"
)]
mod tests {
    pub mod support;
    pub mod promises {
        pub mod operator {
            pub mod pod;
        }
    }
}

mod operator {
    pub mod cold;
    pub mod edits;
    pub mod objects;
}

use benches::support as measure;
use tests::promises::operator::pod;
use tests::support;

const BENCHMARKS: [(&str, fn()); 2] = [
    ("edits", operator::edits::run),
    ("cold", operator::cold::run),
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
    // Each in a process of its own: all of a process share one API server.
    for (name, _) in BENCHMARKS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            let program = std::env::current_exe().expect("this program has a path");
            let status = Command::new(program).arg(name).status();
            if !status.expect("it starts again").success() {
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
