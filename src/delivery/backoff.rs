//! When an event is tried again: exponential backoff with full jitter, `Retry-After`, and the
//! gate that keeps a dead sink from being hammered. Pure: time and randomness are arguments.

use std::time::Duration;

/// Milliseconds since the epoch, as delivery's clock counts them.
pub(super) type Millis = u64;

/// The delay after the `attempts`th failed attempt (from 1): a random part of
/// `initial × 2^(attempts − 1)`, which never exceeds `max`; not shorter than what the sink asked
/// for with `Retry-After`.
///
/// `random` is in `[0, 1)`. Full jitter spreads the retries of events that failed together better
/// than a fixed delay with a little noise.
pub(super) fn delay(
    attempts: u32,
    initial: Duration,
    max: Duration,
    after: Option<Duration>,
    random: f64,
) -> Duration {
    let doublings = attempts.saturating_sub(1).min(63);
    let ceiling = (initial.as_secs_f64() * 2f64.powi(doublings as i32)).min(max.as_secs_f64());
    let own = Duration::try_from_secs_f64(ceiling * random.clamp(0.0, 1.0)).unwrap_or(max);
    own.max(after.unwrap_or_default())
}

/// Consecutive failures after which a sink counts as dead. More than the usual `maxInFlight`, so
/// that one bad batch does not slow a subscription down, and enough that a handful of events
/// reaches `maxAttempts` on its own schedule.
const FAILURES_TO_OPEN: u32 = 32;

/// The first wait between two probes of a dead sink.
const FIRST_PROBE: Millis = 50;

/// The longest wait between two probes, unless the sink asks for more: a sink that recovers is
/// noticed within this time, and a dead one costs two requests a second.
const SLOWEST_PROBE: Millis = 500;

/// Lets everything through while a sink answers, and one probe at a time while it is dead.
///
/// Without it a dead sink with a million undelivered events, each on its own schedule, would be
/// asked thousands of times a second. Every event's own schedule stays a lower bound: the gate
/// only ever delays.
#[derive(Debug, Default)]
pub(super) struct Gate {
    failures: u32,
    open: Option<Probing>,
}

#[derive(Debug)]
struct Probing {
    next: Millis,
    wait: Millis,
}

impl Gate {
    /// How many attempts may run at the same time just now, of `most` in a healthy subscription.
    pub fn allowance(&self, now: Millis, most: u32) -> u32 {
        match &self.open {
            None => most,
            Some(probing) if now >= probing.next => most.min(1),
            Some(_) => 0,
        }
    }

    /// When the next probe may go, if the gate is what holds attempts back.
    pub fn opens_at(&self, now: Millis) -> Option<Millis> {
        self.open
            .as_ref()
            .map(|probing| probing.next)
            .filter(|next| *next > now)
    }

    /// Whether the sink counts as dead.
    pub fn is_probing(&self) -> bool {
        self.open.is_some()
    }

    /// The sink answered sensibly: everything may go.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// An attempt failed in a way that says something about the sink and not about the event.
    /// `after` is its `Retry-After`, already bounded by the subscription's longest backoff.
    pub fn failed(&mut self, now: Millis, after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_TO_OPEN {
            return;
        }
        let wait = match &self.open {
            None => FIRST_PROBE,
            Some(probing) => (probing.wait + probing.wait / 4).min(SLOWEST_PROBE),
        };
        let asked = after.map_or(0, |after| after.as_millis() as Millis);
        self.open = Some(Probing {
            next: now + wait.max(asked),
            wait,
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_delay_doubles_until_the_longest_and_is_jittered_in_full() {
        let check = |attempts, random, after, expected: Duration| {
            assert_eq!(
                delay(attempts, SECOND, 600 * SECOND, after, random),
                expected,
                "attempt {attempts}, random {random}"
            );
        };
        check(1, 1.0, None, SECOND);
        check(1, 0.0, None, Duration::ZERO);
        check(2, 0.5, None, SECOND);
        check(5, 1.0, None, 16 * SECOND);
        check(11, 1.0, None, 600 * SECOND);
        check(u32::MAX, 1.0, None, 600 * SECOND);
        check(1, 0.3, Some(90 * SECOND), 90 * SECOND);
        check(11, 1.0, Some(SECOND), 600 * SECOND);
    }

    proptest! {
        #[test]
        fn the_delay_stays_within_its_bounds(
            attempts in 0u32..,
            initial in 1u64..100_000,
            max in 1u64..10_000_000,
            random in 0.0f64..1.0,
        ) {
            let max = Duration::from_millis(max);
            prop_assert!(delay(attempts, Duration::from_millis(initial), max, None, random) <= max);
        }
    }

    #[test]
    fn a_dead_sink_is_probed_one_at_a_time_and_at_most_twice_a_second_in_the_end() {
        let mut gate = Gate::default();
        for _ in 1..FAILURES_TO_OPEN {
            gate.failed(0, None);
            assert_eq!(gate.allowance(0, 16), 16);
        }
        gate.failed(0, None);
        assert_eq!(gate.allowance(0, 16), 0);
        let mut now = 0;
        let mut probes = 0;
        while now < 60_000 {
            now = gate.opens_at(now).unwrap();
            assert_eq!(gate.allowance(now, 16), 1);
            gate.failed(now, None);
            probes += 1;
        }
        assert!((100..140).contains(&probes), "{probes} probes in a minute");
        gate.succeeded();
        assert_eq!(gate.allowance(now, 16), 16);
    }

    #[test]
    fn a_dead_sink_that_asks_for_time_is_left_alone_for_that_time() {
        let mut gate = Gate::default();
        for _ in 0..FAILURES_TO_OPEN {
            gate.failed(0, Some(30 * SECOND));
        }
        assert_eq!(gate.opens_at(0), Some(30_000));
    }
}
