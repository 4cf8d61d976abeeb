//! What was broken when, so that answers can be judged by whether anything was.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::load::Load;

/// How long after a fault is over it still counts as an excuse.
const AFTER: Duration = Duration::from_secs(5);

/// The times in which something was broken, by the clock of a load.
pub struct Windows {
    began: Instant,
    windows: Vec<Window>,
}

struct Window {
    what: String,
    from: f64,
    to: f64,
}

impl Windows {
    /// None yet of `load`, which sends already.
    pub fn of(load: &Load) -> Self {
        let before = Instant::now();
        let report = load.report().unwrap();
        let now = Duration::from_secs_f64(report["now"].as_f64().unwrap());
        // The answer was written at some moment in between.
        let asked = before + before.elapsed() / 2;
        Self {
            began: asked.checked_sub(now).unwrap(),
            windows: Vec::new(),
        }
    }

    /// Breaks something with `act`, which comes back when it is whole again, and lets some time pass after it in which
    /// there is no excuse.
    pub fn during(&mut self, what: &str, act: impl FnOnce()) {
        let from = self.began.elapsed();
        act();
        let whole = self.began.elapsed();
        let to = whole + AFTER;
        println!(
            "{what}: from {:.1} s to {:.1} s",
            from.as_secs_f64(),
            whole.as_secs_f64()
        );
        self.windows.push(Window {
            what: what.to_owned(),
            from: from.as_secs_f64(),
            to: to.as_secs_f64(),
        });
        std::thread::sleep(AFTER + Duration::from_secs(3));
    }

    /// Panics where the answers were not as they have to be: 99.9 % of them 2xx and the rest 503, those and missing answers
    /// while something was broken only, and 99 % of the others within half a second.
    pub fn judge(&self, report: &Value) {
        let statuses = report["statuses"].as_object().unwrap();
        for status in statuses.keys() {
            assert!(["202", "503"].contains(&status.as_str()), "{report}");
        }
        let of = |status: &str| statuses.get(status).and_then(Value::as_u64).unwrap_or(0);
        assert!(of("202") >= 999 * of("503"), "{report}");
        let (mut answered, mut slow) = (0, 0);
        for (second, counts) in report["seconds"].as_array().unwrap().iter().enumerate() {
            let count = |index: usize| counts[index].as_u64().unwrap();
            if let Some(window) = self.at(second) {
                if count(1) + count(3) > 0 {
                    println!("{second} s ({}): {counts}", window.what);
                }
                continue;
            }
            assert!(
                count(1) + count(3) == 0,
                "in second {second} nothing was broken: {report}"
            );
            answered += count(0);
            slow += count(2);
        }
        println!("{answered} answers while nothing was broken, {slow} of them slower than 500 ms");
        assert!(answered > 0 && slow * 100 <= answered, "{report}");
    }

    /// What was broken in a second since the load's start, if anything was. A request that was under way when something broke
    /// was due up to a second before.
    fn at(&self, second: usize) -> Option<&Window> {
        let (from, to) = (second as f64, second as f64 + 1.0);
        self.windows
            .iter()
            .find(|window| from < window.to && to > window.from - 1.0)
    }
}
