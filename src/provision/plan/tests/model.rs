//! Random histories against model apps: whatever happens in whatever order, what must hold holds
//! after every step, and all is well once the weather is fair again.
//!
//! A failure names its scenario and its seed; `TIDEGATE_MODEL_SEED=<seed>` runs that history alone,
//! `TIDEGATE_MODEL_HISTORIES=<number>` more of them for each scenario than an ordinary run.
//!
//! How long is waited after a failure is no matter here: a history only has to come to rest, and to
//! ask less than so often in fair weather. Backoff is held by the named cases alone, those in
//! `cases` and the driver's with an app that is down or busy.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jiff::SignedDuration;

use super::invariants::{Memory, check, check_removed, check_standing, may_be_made};
use super::scenarios::{Scenario, scenarios};
use super::weather::Weather;
use super::world::World;
use crate::api::LifecycleAction;
use crate::configuration::{CaptureAnswer, Captured, Sensitive};
use crate::provision::plan::{Action, Turn, Waiting, captured, noticed, received};
use crate::provision::record::{Departure, Leaving, Phase, Search};

/// What histories must come to, or they would show nothing about it.
const EVERY_STATE: &[&str] = &[
    "Preparing",
    "Waiting",
    "Subscribing",
    "Unsure",
    "Resolving",
    "FollowingUp",
    "Active",
    "Removing",
    "Twin",
    "Unwanted",
    "Replaced",
    "Failed",
    "Renew",
    "Resubscribe",
    "Gone",
    "AnswerLost",
    "Conflict",
    "NoUnsubscribe",
    "GaveUp",
    "AwaitingSecret",
    "AskedWhileDown",
];

const HISTORIES: u64 = 36;
const STEPS: u64 = 240;

#[test]
fn whatever_happens_at_most_one_stands_none_is_lost_and_none_foreign_is_touched() {
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    let only = number("TIDEGATE_MODEL_SEED");
    let histories = number("TIDEGATE_MODEL_HISTORIES").unwrap_or(HISTORIES);
    let mut steps = 0;
    let mut seen = BTreeSet::new();
    let all = scenarios();
    for (index, scenario) in all.iter().enumerate() {
        for history in 0..histories {
            let seed = history * 1_000 + u64::try_from(index).unwrap();
            if only.is_some_and(|only| only != seed) {
                continue;
            }
            let mut world = World::new(scenario, seed);
            let run = catch_unwind(AssertUnwindSafe(|| live(&mut world, scenario)));
            if run.is_err() {
                panic!(
                    "scenario {:?}, seed {seed}\n{}",
                    scenario.name,
                    world.story()
                );
            }
            steps += run.unwrap();
            seen.append(&mut world.seen);
        }
    }
    if only.is_none() {
        assert!(steps >= 100_000, "only {steps} steps");
        for state in EVERY_STATE {
            assert!(
                seen.contains(*state),
                "no history came to {state}, only to {seen:?}"
            );
        }
    }
}

/// One history; how many steps it had.
fn live(world: &mut World, scenario: &Scenario) -> u64 {
    let mut memory = Memory::default();
    world.weather = Weather::Foul;
    for _ in 0..STEPS {
        step(world, scenario, &mut memory);
        check(world, &mut memory);
    }
    world.weather = Weather::Fair;
    world.turn = Turn::Granted;
    world.wish.allow_re_registration = true;
    world.is_desired = true;
    let sends = world.sends;
    let mut steps = STEPS + calm(world, &mut memory, Duration::from_mins(30));
    world.skew = SignedDuration::ZERO;
    steps += calm(world, &mut memory, Duration::from_hours(60));
    check_standing(world);
    assert!(
        world.sends - sends < 300,
        "{} requests in fair weather",
        world.sends - sends
    );
    // Nothing is written while nothing happens.
    let writes = world.writes;
    steps += calm(world, &mut memory, Duration::from_mins(10));
    assert!(
        world.writes - writes <= 3,
        "it writes while nothing happens"
    );
    world.is_desired = false;
    steps += calm(world, &mut memory, Duration::from_hours(3));
    check_removed(world, world.real);
    // Thirty days later nothing is left of it but orphans.
    steps += calm(world, &mut memory, Duration::from_hours(31 * 24));
    let orphans = world
        .stored
        .as_ref()
        .map_or(0, |record| record.orphans.len());
    assert!(
        world.stored.is_none() || orphans > 0,
        "it is remembered for ever"
    );
    steps
}

/// Drives until so much time has passed; how many steps that took.
fn calm(world: &mut World, memory: &mut Memory, time: Duration) -> u64 {
    let end = world.real + time;
    let mut steps = 0;
    while world.real < end {
        steps += 1;
        assert!(steps < 5_000, "it never rests");
        let action = world.drive();
        check(world, memory);
        let left = Duration::try_from(end.duration_since(world.real)).unwrap();
        match action {
            Action::Wait {
                until: Some(until), ..
            } => {
                let wait = Duration::try_from(until.duration_since(world.now())).unwrap();
                world.pass(wait.min(left));
            }
            Action::Wait { until: None, .. } | Action::Nothing | Action::Forget => world.pass(left),
            Action::Store(_) | Action::Send { .. } => world.pass(Duration::from_millis(50)),
        }
        check(world, memory);
    }
    steps
}

fn step(world: &mut World, scenario: &Scenario, memory: &mut Memory) {
    if world.weather == Weather::Down && world.dice.below(12) == 0 {
        world.weather = Weather::Foul;
    }
    let die = world.dice.below(100);
    if die >= 75 {
        world.tell(format!("event {die}"));
    }
    match die {
        0..62 => {
            if let Action::Wait { until, because } = world.drive() {
                rest(
                    world,
                    until.map(|it| it.duration_since(world.now())),
                    because,
                );
            }
        }
        62..72 => {
            let seconds = world.dice.below(90);
            world.pass(Duration::from_secs(seconds));
        }
        74 => world.weather = Weather::Down,
        72..74 => {
            let hours = world.dice.below(30);
            world.pass(Duration::from_hours(hours));
        }
        75..79 => world.wish.version = u32::try_from(1 + world.dice.below(4)).unwrap(),
        79..82 => world.wish.token += 1,
        82..84 => {
            world.wish.public_url = ["https://hooks.example", "https://new.example"]
                [usize::try_from(world.dice.below(2)).unwrap()];
            world.wish.allow_re_registration = world.dice.below(2) == 0;
        }
        84..87 => world.is_desired = false,
        87..92 => world.is_desired = true,
        92..94 => notice(world),
        94 if is_watched(world) || scenario.rules.lifetime.is_some() => {
            if let Some(id) = first_of_ours(world) {
                world.app.end(&id, world.real);
                *memory = Memory::default();
            }
        }
        95 if is_watched(world) && !scenario.rules.sets_url => {
            if let Some(id) = first_of_ours(world) {
                world.app.copy(&id, world.real);
            }
        }
        96 => set_clock(world),
        97 => world.crash(),
        98 => {
            world.turn = [Turn::Granted, Turn::Waiting, Turn::Stopped]
                [usize::try_from(world.dice.below(3)).unwrap()];
        }
        _ => {
            let at = world.now();
            shake_hands_again(world);
            if let Some(next) = world
                .record
                .as_ref()
                .and_then(|record| received(record, at))
            {
                world.store(next);
            }
        }
    }
    world.idle_writes = 0;
}

/// Whether scheduled lookups notice what happens at the app.
fn is_watched(world: &World) -> bool {
    let lookup = world.wish.subscription.lookup.as_ref();
    lookup.is_some_and(|lookup| lookup.every.is_some())
}

fn first_of_ours(world: &World) -> Option<String> {
    world.app.ours(world.real).next().map(|it| it.id.clone())
}

/// Sleeps as a driver does; now and then it wakes early.
fn rest(world: &mut World, left: Option<SignedDuration>, because: Waiting) {
    let left = left.map_or(Duration::from_hours(1), |left| {
        Duration::try_from(left).unwrap()
    });
    // Long waits are cut, so that a history holds more than renewals.
    let most = if because == Waiting::Due {
        Duration::from_hours(2)
    } else {
        left
    };
    let wait = left.min(most);
    let is_early = world.dice.below(4) == 0;
    world.pass(if is_early { wait / 2 } else { wait });
}

fn notice(world: &mut World) {
    let Some(record) = world.record.clone() else {
        return;
    };
    let Some(number) = record.current().map(|current| current.number) else {
        return;
    };
    let action = match world.dice.below(3) {
        0 => LifecycleAction::Renew,
        1 => LifecycleAction::Resubscribe,
        // Only of what is gone an app says so.
        _ => {
            let gone = !world
                .app
                .ours(world.real)
                .any(|it| it.number == Some(number));
            if !gone {
                return;
            }
            LifecycleAction::Gone
        }
    };
    if let Some(next) = noticed(&record, number, action) {
        world.store(next);
    }
}

/// Somebody sends a handshake for a registration whose secret is known: it must change nothing.
fn shake_hands_again(world: &World) {
    let at = world.now();
    for registration in world.record.iter().flat_map(|record| &record.registrations) {
        let other = Captured {
            signing_secret: Some(Sensitive::from("another")),
            expires_at: None,
        };
        if registration.signing_secret.is_some()
            && let Some(record) = &world.record
        {
            let (answer, next) = captured(record, registration.number, &other, at);
            assert!(
                answer != CaptureAnswer::Taken && next.is_none(),
                "another secret was taken"
            );
        }
    }
}

/// Sets our clock. Forwards only while no wait for the app is under way: a wait that did not take
/// place cannot be noticed.
fn set_clock(world: &mut World) {
    let minutes = i64::try_from(world.dice.below(2 * 24 * 60)).unwrap();
    let is_waiting = world.record.as_ref().is_some_and(|record| {
        record.watch.search != Search::default()
            || record
                .registrations
                .iter()
                .any(|it| matches!(it.phase, Phase::Subscribing | Phase::Resolving(_)))
    });
    if minutes % 2 == 0 {
        world.skew -= SignedDuration::from_mins(minutes);
    } else if !is_waiting && world.on_the_way.is_empty() {
        world.skew += SignedDuration::from_mins(minutes);
    }
}

#[test]
fn the_invariants_themselves_can_fail() {
    // The kind of app, what is broken, and what is said about it.
    let broken = |scenario: &str, break_it: &dyn Fn(&mut World), said: &str| {
        let all = scenarios();
        let scenario = all.iter().find(|it| it.name.starts_with(scenario)).unwrap();
        let (mut world, mut memory) = (World::new(scenario, 1), Memory::default());
        calm(&mut world, &mut memory, Duration::from_mins(5));
        check(&world, &mut memory);
        break_it(&mut world);
        fails(&mut || check(&world, &mut memory), said);
    };
    let list = "a list, with pages";
    let forget = |world: &mut World| world.stored.as_mut().unwrap().registrations.clear();
    broken(list, &forget, "stands and nobody knows");
    let twice = |world: &mut World| {
        let id = first_of_ours(world).unwrap();
        world.app.copy(&id, world.real);
        world.app.all.last_mut().unwrap().is_copy = false;
    };
    broken(list, &twice, "was made twice");
    let touch = |world: &mut World| world.app.touched = 1;
    broken(list, &touch, "a foreign registration was touched");
    let lead_astray =
        |world: &mut World| world.stored.as_mut().unwrap().registrations[0].path = "/h/t0/2".into();
    broken(list, &lead_astray, "calls a URI that is not served");
    let unset = |world: &mut World| {
        let id = first_of_ours(world).unwrap();
        world.app.end(&id, world.real);
    };
    broken("one URL, set by PUT", &unset, "left without its URL");
    let sign_otherwise = |world: &mut World| {
        let secret = &mut world.app.all.last_mut().unwrap().secret;
        assert!(secret.is_some());
        *secret = Some(Sensitive::from("another"));
    };
    broken(
        "secret only in the answer",
        &sign_otherwise,
        "signs with another secret",
    );
}

#[test]
fn a_second_one_may_be_made_only_in_an_overlap() {
    let mut world = World::new(&scenarios()[0], 1);
    calm(&mut world, &mut Memory::default(), Duration::from_mins(5));
    let mut record = world.stored.clone().unwrap();
    let mut second = record.registrations[0].clone();
    (second.number, second.since) = (2, None);
    second.phase = Phase::Subscribing;
    record.registrations.push(second);
    // Beside one that works.
    may_be_made(&record, 2);
    // Not while the fate of the first one is unknown, nor while it is about to go.
    record.registrations[0].phase = Phase::Resolving(Search::default());
    fails(
        &mut || may_be_made(&record, 2),
        "2 is made while 1 is Resolving",
    );
    let mut leave = |why| {
        let since = world.real;
        record.registrations[0].phase = Phase::Removing { next: 0 };
        record.registrations[0].leaving = Some(Leaving { since, why });
        record.clone()
    };
    let unwanted = leave(Departure::Unwanted);
    fails(
        &mut || may_be_made(&unwanted, 2),
        "2 is made while 1 is Removing",
    );
    may_be_made(&leave(Departure::Replaced), 2);
}

/// Sees that something fails, and says so.
fn fails(what: &mut dyn FnMut(), said: &str) {
    let failure = catch_unwind(AssertUnwindSafe(what)).expect_err("nothing was noticed");
    let text = failure.downcast_ref::<String>().map(String::as_str);
    let text = text.or(failure.downcast_ref::<&str>().copied());
    let text = text.unwrap_or_default();
    assert!(text.contains(said), "it says {text:?}, and not {said:?}");
}
