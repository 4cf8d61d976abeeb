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

use std::process::ExitCode;

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
    measure::runner::main(&BENCHMARKS)
}
