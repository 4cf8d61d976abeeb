//! Ratios: printed, kept in `benches/baselines.jsonl`, and compared with what stands there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::disk::Disk;

/// How far below its committed ratio a figure may fall.
const TOLERANCE: f64 = 0.15;

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The benchmark's name.
    pub bench: String,
    /// Which of its cases.
    pub case: String,
    /// Ours against the baseline of the same run; more is better.
    pub ratio: f64,
    /// The goal.
    pub goal: f64,
    pub file_system: String,
    /// The bare fdatasync's median in microseconds.
    pub sync_p50: u32,
}

/// The figures of one benchmark.
pub struct Report<'a> {
    bench: &'static str,
    disk: &'a Disk,
    figures: Vec<Figure>,
}

impl<'a> Report<'a> {
    /// Opens the report: what it is, where it runs, and where its load comes from.
    pub fn new(bench: &'static str, disk: &'a Disk, load: &str) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        println!(
            "{bench}: {cores} cores, {}, bare fdatasync p50 {} µs, load from {load}",
            disk.file_system, disk.sync_p50
        );
        Self {
            bench,
            disk,
            figures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn ratio(&mut self, case: impl Into<String>, ratio: f64, goal: f64) {
        let case = case.into();
        let verdict = if ratio >= goal { "reached" } else { "missed" };
        println!(
            "{} / {case}: {ratio:.2} (goal {goal:.2}, {verdict})",
            self.bench
        );
        self.figures.push(Figure {
            bench: self.bench.into(),
            case,
            ratio,
            goal,
            file_system: self.disk.file_system.clone(),
            sync_p50: self.disk.sync_p50,
        });
    }

    /// Prints the figures as JSON lines; compares or keeps them as the environment says.
    pub fn finish(self) {
        for figure in &self.figures {
            println!("{}", line(figure));
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/baselines.jsonl");
        if std::env::var_os("BENCH_WRITE").is_some() {
            self.keep(&path);
        }
        if std::env::var_os("BENCH_CHECK").is_some() && !self.holds(&path) {
            std::process::exit(1);
        }
    }

    fn keep(&self, path: &Path) {
        let mut kept = read(path);
        for figure in &self.figures {
            kept.insert((figure.bench.clone(), figure.case.clone()), figure.clone());
        }
        let lines: String = kept.values().map(|figure| line(figure) + "\n").collect();
        fs::write(path, lines).expect("the baselines can be written");
    }

    fn holds(&self, path: &Path) -> bool {
        let kept = read(path);
        let mut holds = true;
        for figure in &self.figures {
            let Some(old) = kept.get(&(figure.bench.clone(), figure.case.clone())) else {
                eprintln!(
                    "{} / {}: no baseline is committed",
                    figure.bench, figure.case
                );
                holds = false;
                continue;
            };
            let least = old.ratio * (1.0 - TOLERANCE);
            if figure.ratio < least {
                eprintln!(
                    "{} / {}: {:.2} is below {least:.2}, that is 15 % under the committed {:.2}",
                    figure.bench, figure.case, figure.ratio, old.ratio
                );
                holds = false;
            }
        }
        holds
    }
}

fn line(figure: &Figure) -> String {
    serde_json::to_string(figure).expect("a figure is plain data")
}

fn read(path: &Path) -> BTreeMap<(String, String), Figure> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| {
            let figure: Figure = serde_json::from_str(line).expect("a baseline is a figure");
            ((figure.bench.clone(), figure.case.clone()), figure)
        })
        .collect()
}
