//! Runs benchmarks by their names, or all of them.

use std::process::{Command, ExitCode};

/// The program's `main`. Each benchmark runs in a process of its own, so that none meets the memory of
/// another.
pub fn main(benchmarks: &[(&str, fn())]) -> ExitCode {
    // Cargo adds `--bench`.
    let names: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with("--"))
        .collect();
    if let [name] = &*names {
        let Some((_, run)) = benchmarks.iter().find(|(known, _)| known == name) else {
            eprintln!("there is no benchmark {name}");
            return ExitCode::from(2);
        };
        run();
        return ExitCode::SUCCESS;
    }
    let mut all_well = true;
    for (name, _) in benchmarks {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            let program = std::env::current_exe().expect("this program has a path");
            let status = Command::new(program).arg(name).status();
            all_well &= status.expect("it starts again").success();
        }
    }
    match all_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs what a benchmark waits for, on one thread beside the processes that are measured.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime starts").block_on(work)
}

/// The most memory that a process had, in mebibytes (proc(5)).
pub fn peak_mebibytes(process: u32) -> f64 {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(path).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.expect("it is there").trim().trim_end_matches(" kB");
    kibibytes.parse::<f64>().expect("a number") / 1024.0
}
