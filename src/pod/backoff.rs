//! How long to wait before the next connection: pure, randomness is an argument.

use std::time::Duration;

/// The longest wait after the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(250);

/// The longest wait of all. A controller that comes back is found within it.
const LONGEST: Duration = Duration::from_secs(10);

/// The longest wait where a replica answered that another one leads: the next connection may reach
/// that one, and asking costs little.
const ELSEWHERE: Duration = Duration::from_millis(300);

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was in use, and the other side ended it: another one leads, or it shall show its token
    /// anew.
    Orderly,
    /// A replica answered that it does not lead.
    NotLeading,
    /// Something else went wrong, for the n-th time in a row, from 1 on.
    Failed(u32),
}

/// How long to wait: full jitter, so that many pods do not come at the same time. `random` is in
/// `[0, 1)`.
#[must_use]
pub fn wait(ended: Ended, random: f64) -> Duration {
    let longest = match ended {
        Ended::Orderly => FIRST,
        Ended::NotLeading => ELSEWHERE,
        Ended::Failed(times) => {
            let doubled = FIRST.saturating_mul(1 << times.saturating_sub(1).min(16));
            doubled.min(LONGEST)
        }
    };
    longest.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_are_spread() {
        let check = |ended: Ended, random: f64, expected: u64| {
            let expected = Duration::from_millis(expected);
            assert_eq!(wait(ended, random), expected, "{ended:?} {random}");
        };
        check(Ended::Orderly, 1.0, 250);
        check(Ended::NotLeading, 0.5, 150);
        check(Ended::Failed(1), 1.0, 250);
        check(Ended::Failed(2), 1.0, 500);
        check(Ended::Failed(5), 0.5, 2_000);
        check(Ended::Failed(7), 1.0, 10_000);
        check(Ended::Failed(u32::MAX), 1.0, 10_000);
        check(Ended::Failed(9), 0.0, 0);
    }
}
