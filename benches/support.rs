//! What the benchmarks share: where they run, what a disk's sync costs there, and how a ratio is
//! printed, kept and compared.
//!
//! Every figure is a ratio against a baseline of the same run, so that it says something on any
//! machine. `BENCH_FOLDER` names another folder to work in, `BENCH_SECONDS` the length of a round;
//! `BENCH_CHECK=1` compares with the committed ratios and fails 15 % below them, `BENCH_WRITE=1`
//! commits new ones.

#![allow(
    dead_code,
    reason = "each benchmark is a program of its own and uses a part of this"
)]

pub mod app;
pub mod disk;
pub mod report;
pub mod runner;

use std::time::Duration;

/// How long one round takes: long enough to fill several segments.
pub fn round() -> Duration {
    let seconds = std::env::var("BENCH_SECONDS").ok();
    Duration::from_secs_f64(seconds.map_or(3.0, |text| text.parse().expect("a number of seconds")))
}

/// The value below which `share` (0 to 1) of `values` lie. Sorts them.
pub fn quantile(values: &mut [u32], share: f64) -> u32 {
    values.sort_unstable();
    let index = (values.len() as f64 * share) as usize;
    values.get(index).or(values.last()).copied().unwrap_or(0)
}

/// The middle one of an odd number of values.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
