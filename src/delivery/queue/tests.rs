//! What the queue lets go, and when.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::configuration::Ordering as Order;
use crate::delivery::positions;
use crate::delivery::{FailureKind, tests::support::settings};

const NOW: Millis = 1_800_000_000_000;

fn item(sequence: u64, customer: u64) -> Item {
    Item {
        sequence,
        position: Position {
            segment: sequence / 100,
            offset: sequence as u32,
            length: 68,
        },
        customer,
        since: (NOW / 1000) as u32,
        place: Place::Queued,
        replayed: false,
    }
}

fn queue(change: impl FnOnce(&mut DeliverySettings)) -> Queue {
    let mut settings = settings();
    change(&mut settings);
    Queue::new(settings, Positions::default(), HashMap::new())
}

fn failure() -> Failure {
    Failure {
        kind: FailureKind::Status,
        status: Some(500),
        message: "the sink answered 500".into(),
    }
}

fn retry() -> Outcome {
    Outcome::Retry {
        failure: failure(),
        after: None,
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered { status: 200 }
}

fn sequences(taken: &[Taken]) -> Vec<u64> {
    taken.iter().map(|taken| taken.sequence).collect()
}

#[test]
fn customers_take_turns_however_many_events_one_of_them_has() {
    let mut queue = queue(|settings| settings.max_in_flight = 6);
    for sequence in 0..100 {
        queue.push(item(sequence, 1), None, NOW);
    }
    queue.push(item(100, 2), None, NOW);
    queue.push(item(101, 3), None, NOW);
    queue.push(item(102, 2), None, NOW);
    assert_eq!(sequences(&queue.take(NOW)), [0, 100, 101, 1, 102, 2]);
}

#[test]
fn no_more_than_max_in_flight_and_8_mib_are_tried_at_the_same_time() {
    let mut queue = queue(|settings| settings.max_in_flight = 4);
    for sequence in 0..10 {
        queue.push(item(sequence, sequence), None, NOW);
    }
    assert_eq!(queue.take(NOW).len(), 4);
    assert_eq!(queue.take(NOW).len(), 0);
    queue.finish(0, &delivered(), NOW, 0.5);
    assert_eq!(sequences(&queue.take(NOW)), [4]);

    let mut queue = self::queue(|settings| settings.max_in_flight = 4);
    for sequence in 0..10 {
        let mut large = item(sequence, sequence);
        large.position.length = 7 << 20;
        queue.push(large, None, NOW);
    }
    assert_eq!(queue.take(NOW).len(), 2);
}

#[test]
fn a_failed_event_waits_for_its_backoff_and_keeps_its_number_of_attempts() {
    let mut queue = queue(|_| {});
    queue.push(item(1, 1), None, NOW);
    let mut now = NOW;
    for attempt in 1..=5u32 {
        let taken = queue.take(now);
        assert_eq!(taken[0].attempt, attempt);
        let due = now + 500 * 2u64.pow(attempt - 1);
        assert_eq!(queue.finish(1, &retry(), now, 0.5), Verdict::Again(due));
        assert!(queue.take(due - 1).is_empty());
        assert_eq!(queue.next_wake(now), Some(due));
        now = due;
    }
}

#[test]
fn what_a_failure_means_follows_from_the_settings() {
    let check = |name: &str, change: fn(&mut DeliverySettings), age: u64, outcome, expected| {
        let mut queue = queue(change);
        queue.push(item(1, 1), None, NOW);
        queue.take(NOW);
        let verdict = match queue.finish(1, &outcome, NOW + age, 0.5) {
            Verdict::Delivered => None,
            Verdict::Again(due) => Some(Err(due - NOW)),
            Verdict::GiveUp(given_up) => Some(Ok(given_up.code)),
        };
        assert_eq!(verdict, expected, "{name}");
    };
    let after = |seconds| Outcome::Retry {
        failure: failure(),
        after: Some(Duration::from_secs(seconds)),
    };
    let refused = Outcome::Refused { failure: failure() };
    check("delivered", |_| {}, 0, delivered(), None);
    check("retried with jitter", |_| {}, 0, retry(), Some(Err(500)));
    check(
        "refused",
        |_| {},
        0,
        refused,
        Some(Ok(ReasonCode::SinkRefused)),
    );
    check("Retry-After", |_| {}, 0, after(90), Some(Err(90_000)));
    check(
        "Retry-After beyond maxAge ends at maxAge",
        |settings| settings.max_age = Duration::from_secs(60),
        0,
        after(90),
        Some(Err(60_000)),
    );
    check(
        "the last attempt",
        |settings| settings.max_attempts = 1,
        0,
        retry(),
        Some(Ok(ReasonCode::AttemptsExhausted)),
    );
    check(
        "another attempt",
        |settings| settings.max_attempts = 2,
        0,
        retry(),
        Some(Err(500)),
    );
    check(
        "too old when it fails",
        |settings| settings.max_age = Duration::from_secs(60),
        60_000,
        retry(),
        Some(Ok(ReasonCode::TooOld)),
    );
}

#[test]
fn per_customer_keeps_the_order_of_a_customer_while_another_goes_on() {
    let mut queue = queue(|settings| settings.ordering = Order::PerCustomer);
    for (sequence, customer) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 1)] {
        queue.push(item(sequence, customer), None, NOW);
    }
    assert_eq!(sequences(&queue.take(NOW)), [1, 3]);
    queue.finish(1, &retry(), NOW, 0.5);
    queue.finish(3, &delivered(), NOW, 0.5);
    assert_eq!(sequences(&queue.take(NOW)), [4]);
    queue.finish(4, &delivered(), NOW, 0.5);
    assert!(queue.take(NOW + 499).is_empty());
    assert_eq!(sequences(&queue.take(NOW + 500)), [1]);
    let verdict = queue.finish(1, &Outcome::Refused { failure: failure() }, NOW, 0.5);
    assert!(matches!(verdict, Verdict::GiveUp(_)));
    assert!(
        queue.take(NOW + 500).is_empty(),
        "its dead letter is not kept yet"
    );
    queue.settle(1);
    assert_eq!(sequences(&queue.take(NOW + 500)), [2]);
    queue.finish(2, &delivered(), NOW, 0.5);
    assert_eq!(sequences(&queue.take(NOW + 500)), [5]);
}

#[test]
fn nothing_goes_while_it_is_held_and_everything_after() {
    let mut queue = queue(|_| {});
    queue.configure(&settings(), true);
    queue.push(item(1, 1), None, NOW);
    assert!(queue.take(NOW).is_empty());
    queue.configure(&settings(), false);
    assert_eq!(queue.take(NOW).len(), 1);
}

#[test]
fn another_sink_gets_everything_at_once() {
    let mut queue = queue(|_| {});
    for sequence in 0..100 {
        queue.push(item(sequence, sequence), None, NOW);
    }
    for _ in 0..10 {
        for taken in queue.take(NOW) {
            queue.finish(taken.sequence, &retry(), NOW, 0.9);
        }
    }
    assert!(queue.is_probing());
    queue.start_afresh(NOW);
    assert_eq!(queue.take(NOW).len(), settings().max_in_flight as usize);
}

#[test]
fn events_older_than_max_age_are_given_up_in_batches_oldest_first() {
    let mut queue = queue(|settings| settings.max_age = Duration::from_secs(60));
    for sequence in 0..1000 {
        queue.push(item(sequence, sequence), None, NOW);
    }
    assert!(queue.expire(NOW + 59_999).is_empty());
    assert_eq!(queue.next_wake(NOW), Some(NOW + 60_000));
    let mut given_up = Vec::new();
    loop {
        let batch = queue.expire(NOW + 60_000);
        if batch.is_empty() {
            break;
        }
        assert!(batch.len() <= BURIALS);
        assert!(queue.expire(NOW + 60_000).is_empty(), "one batch at a time");
        for one in batch {
            assert_eq!(one.code, ReasonCode::TooOld);
            given_up.push(one.sequence);
            queue.settle(one.sequence);
        }
    }
    assert!(given_up.into_iter().eq(0..1000));
    assert_eq!(queue.len(), 0);
}

#[test]
fn a_replayed_event_is_as_old_as_its_replay() {
    let mut queue = queue(|settings| settings.max_age = Duration::from_secs(60));
    let mut old = item(1, 1);
    old.since -= 3600;
    assert!(queue.replay(old, NOW));
    assert!(!queue.replay(old, NOW), "it is undelivered already");
    assert!(queue.expire(NOW).is_empty());
    assert_eq!(queue.replaying(), 1);
    let changes = queue.take_changes();
    let retries = changes
        .retries
        .into_iter()
        .map(|(s, retry)| (s, retry.unwrap()));
    let mut restarted = Queue::new(
        queue.settings.clone(),
        Positions::new(BTreeMap::from_iter(
            changes
                .chunks
                .into_iter()
                .map(|(chunk, bytes)| (chunk, bytes.unwrap())),
        )),
        retries.collect(),
    );
    assert!(restarted.recover(old, None, NOW));
    assert!(restarted.expire(NOW + 59_000).is_empty());
    assert_eq!(restarted.take(NOW).len(), 1);
    restarted.finish(1, &delivered(), NOW, 0.5);
    assert_eq!(restarted.replaying(), 0);
}

#[test]
fn beyond_its_share_the_oldest_are_given_up_and_no_more_than_needed() {
    let mut queue = queue(|_| {});
    for sequence in 0..10 {
        queue.push(item(sequence, 1), None, NOW);
    }
    assert_eq!(queue.bytes(), 1000);
    assert!(queue.shrink(1000).is_empty());
    let given_up = queue.shrink(750);
    let codes: BTreeSet<_> = given_up.iter().map(|one| one.code.as_str()).collect();
    assert_eq!(codes, BTreeSet::from(["ShareExceeded"]));
    let gone: Vec<u64> = given_up.iter().map(|one| one.sequence).collect();
    assert_eq!(gone, [0, 1, 2]);
    assert!(
        queue.shrink(750).is_empty(),
        "those on their way count as gone"
    );
    for sequence in gone {
        queue.settle(sequence);
    }
    assert_eq!(queue.bytes(), 700);
}

#[test]
fn a_dead_sink_with_a_million_events_is_asked_a_few_times_and_takes_bounded_memory() {
    let mut queue = queue(|_| {});
    for sequence in 0..1_000_000 {
        queue.push(item(sequence, sequence % 1000), None, NOW);
    }
    let mut now = NOW;
    let mut attempts = 0;
    while now < NOW + 60_000 {
        for taken in queue.take(now) {
            attempts += 1;
            queue.finish(taken.sequence, &retry(), now, 0.5);
        }
        now = queue.next_wake(now).unwrap().max(now + 1);
    }
    assert!(
        (100..300).contains(&attempts),
        "{attempts} attempts in a minute"
    );
    assert!(queue.retries.len() <= attempts);
    // It recovers: everything flows.
    let mut delivered_events = 0;
    while delivered_events < 10_000 {
        let taken = queue.take(now);
        if taken.is_empty() {
            now = queue.next_wake(now).unwrap().max(now + 1);
        }
        for taken in taken {
            queue.finish(taken.sequence, &delivered(), now, 0.5);
            delivered_events += 1;
        }
        assert!(now < NOW + 62_000);
    }
}

#[test]
fn what_is_written_is_what_is_undelivered() {
    let mut queue = queue(|_| {});
    for sequence in [1, 2, 5000] {
        queue.push(item(sequence, 1), None, NOW);
    }
    queue.take(NOW);
    queue.finish(1, &delivered(), NOW, 0.5);
    queue.finish(2, &retry(), NOW, 0.5);
    let changes = queue.take_changes();
    let chunks: Vec<_> = changes
        .chunks
        .iter()
        .map(|(chunk, bytes)| positions::decode(*chunk, bytes.as_ref().unwrap()).unwrap())
        .collect();
    assert_eq!(chunks, [vec![2], vec![5000]]);
    assert_eq!(changes.retries.len(), 1);
    assert_eq!(queue.take_changes(), Changes::default());
    queue.give_back(&changes);
    assert_eq!(queue.take_changes(), changes);
    queue.take(NOW + 1000);
    for sequence in [2, 5000] {
        queue.finish(sequence, &delivered(), NOW, 0.5);
    }
    let changes = queue.take_changes();
    assert_eq!(changes.chunks, [(0, None), (1, None)]);
    assert_eq!(changes.retries, [(2, None)]);
}

#[test]
fn per_customer_waits_until_everything_is_recovered() {
    let chunk = positions::encode(&[3, 7]).unwrap();
    let mut settings = settings();
    settings.ordering = Order::PerCustomer;
    let mut queue = Queue::new(
        settings,
        Positions::new(BTreeMap::from([(0, chunk)])),
        HashMap::new(),
    );
    assert!(!queue.recover(item(4, 1), None, NOW), "it was settled");
    assert!(queue.recover(item(7, 1), None, NOW));
    assert!(
        queue.take(NOW).is_empty(),
        "an older one may stand behind it"
    );
    assert!(queue.recover(item(3, 1), None, NOW));
    assert_eq!(sequences(&queue.take(NOW)), [3]);
    assert_eq!(queue.len(), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Take,
    Finish(usize, u8),
    Pass(u64),
    Bury,
    Shrink(u64),
    Order(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..5).prop_map(Step::Push),
        4 => Just(Step::Take),
        6 => (any::<usize>(), 0u8..4).prop_map(|(which, how)| Step::Finish(which, how)),
        2 => (1u64..3000).prop_map(Step::Pass),
        2 => Just(Step::Bury),
        1 => (0u64..3000).prop_map(Step::Shrink),
        1 => any::<bool>().prop_map(Step::Order),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    /// Whatever happens in whatever order: no event is lost or doubled, limits hold, order holds,
    /// and in the end everything is delivered or given up.
    #[test]
    fn no_event_is_lost_and_no_limit_is_passed(steps in steps()) {
        let mut queue = queue(|settings| settings.max_in_flight = 3);
        let mut per_customer = false;
        let mut customers = HashMap::new();
        let mut undelivered = BTreeSet::new();
        let mut in_flight: Vec<u64> = Vec::new();
        let mut burying: Vec<u64> = Vec::new();
        let mut now = NOW;
        let mut next = 0;
        for step in steps {
            match step {
                Step::Push(customer) => {
                    queue.push(item(next, customer), None, now);
                    customers.insert(next, customer);
                    undelivered.insert(next);
                    next += 1;
                }
                Step::Take => {
                    let before: Vec<u64> = in_flight.clone();
                    for taken in queue.take(now) {
                        let customer = customers[&taken.sequence];
                        if per_customer {
                            let older = undelivered
                                .range(..taken.sequence)
                                .any(|other| customers[other] == customer && !before.contains(other));
                            prop_assert!(!older, "{} overtook", taken.sequence);
                        }
                        in_flight.push(taken.sequence);
                    }
                    prop_assert!(in_flight.len() <= 3);
                }
                Step::Finish(which, how) => {
                    if in_flight.is_empty() { continue; }
                    let sequence = in_flight.swap_remove(which % in_flight.len());
                    let outcome = match how {
                        0 | 1 => delivered(),
                        2 => retry(),
                        _ => Outcome::Refused { failure: failure() },
                    };
                    match queue.finish(sequence, &outcome, now, 0.5) {
                        Verdict::Delivered => { undelivered.remove(&sequence); }
                        Verdict::Again(due) => prop_assert!(due >= now),
                        Verdict::GiveUp(_) => burying.push(sequence),
                    }
                }
                Step::Pass(millis) => now += millis,
                Step::Bury => {
                    for sequence in burying.drain(..) {
                        queue.settle(sequence);
                        undelivered.remove(&sequence);
                    }
                }
                Step::Shrink(share) => {
                    burying.extend(queue.shrink(share).iter().map(|one| one.sequence));
                }
                Step::Order(on) => {
                    // Turned on with several in flight, order holds from then on.
                    if !in_flight.is_empty() { continue; }
                    per_customer = on;
                    let mut settings = queue.settings.clone();
                    settings.ordering = if on { Order::PerCustomer } else { Order::None };
                    queue.configure(&settings, false);
                }
            }
            prop_assert_eq!(queue.len(), undelivered.len());
            prop_assert_eq!(queue.in_flight() as usize, in_flight.len());
            prop_assert_eq!(queue.bytes(), 100 * undelivered.len() as u64);
        }
        for _ in 0..100_000 {
            for sequence in burying.drain(..).chain(in_flight.drain(..)) {
                queue.settle(sequence);
                undelivered.remove(&sequence);
            }
            if undelivered.is_empty() { break; }
            in_flight.extend(queue.take(now).iter().map(|taken| taken.sequence));
            now += 1000;
        }
        prop_assert!(undelivered.is_empty());
        prop_assert!(queue.lanes.is_tidy());
    }
}
