//! The process is killed while a request is open, done or not, in every step and at every kind of
//! app: making, steps before and after it, renewal, overlap and removal. Afterwards there is exactly
//! one registration, or what may be left over is listed; and events authenticate and arrive.
//!
//! Kills between requests are in `stores`; the same scenarios at an API server in `operator::kills`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::all_of;
use super::installation::Installation;
use super::lives::never_twice;
use super::moods::{MOODS, Mood};
use super::spec::{Renewal, Spec, limits};
use super::world::World;
use crate::support::model_app::{End, Go, Op, Stage};

/// Who each stand for one of [`HELD`].
pub(in crate::promises) const CUSTOMERS: [&str; 3] = ["lost", "done", "unanswered"];

/// How far a request has come when the process is killed, and what the app makes of it then.
const HELD: [(Stage, Go); 3] = [
    (Stage::Received, Go::Nowhere),
    (Stage::Received, Go::On),
    (Stage::Done, Go::On),
];

#[test]
fn killed_while_requests_are_open() {
    all_of(
        MOODS
            .iter()
            .map(|mood| (mood.name.to_owned(), move || in_one_process(mood))),
    );
}

async fn in_one_process(mood: &'static Mood) {
    killed_while_open(begin(mood, &CUSTOMERS).await, mood).await;
}

/// Kills the process of an installation that is prepared for [`CUSTOMERS`], with nothing started.
pub(in crate::promises) async fn killed_while_open(mut world: impl Installation, mood: &Mood) {
    let customers = world.customers();

    // The first registration.
    let mut gates = hold(&world, mood, Op::Create);
    world.spawn().await;
    die_at(&mut world, &mut gates).await;
    if world.spec().lookup && !world.spec().set_url {
        // Killed once more, now while it looks for what it may have made.
        let mut gate = world.app().gate("done", Op::List, Stage::Received);
        world.spawn().await;
        gate.reached().await;
        world.kill();
        gate.go(Go::On);
    }
    world.run().await;
    is_well(&mut world, mood).await;

    // A changed one: the new one first, then the old one is removed.
    kill_during(&mut world, mood, Op::Create, |spec| {
        spec.label = json!("second")
    })
    .await;
    is_well(&mut world, mood).await;
    if !world.spec().set_url {
        kill_during(&mut world, mood, Op::Delete, |spec| {
            spec.label = json!("third")
        })
        .await;
        is_well(&mut world, mood).await;
    }
    if world.spec().enable {
        kill_during(&mut world, mood, Op::Enable, |spec| {
            spec.label = json!("fourth")
        })
        .await;
        is_well(&mut world, mood).await;
        kill_during(&mut world, mood, Op::Prepare, |spec| {
            spec.label = json!("fifth")
        })
        .await;
        is_well(&mut world, mood).await;
    }
    if let Some(renewal) = world.spec().renewal {
        renewed(&mut world, mood, renewal).await;
    }

    // Removal.
    kill_during(&mut world, mood, Op::Delete, |spec| {
        spec.without_subscription = spec.customers.clone()
    })
    .await;
    for customer in &customers {
        is_removed(&world, mood, customer).await;
    }
    end(&world, mood).await;
}

/// The app gives notice that registrations must be renewed, and the process dies of it.
async fn renewed(world: &mut impl Installation, mood: &Mood, renewal: Renewal) {
    let customers = world.customers();
    let before: Vec<_> = customers
        .iter()
        .map(|it| world.app().live(it).remove(0))
        .collect();
    // A notice about a registration that is younger than a minute waits, and all are to be held at
    // the same time: longer than an attempt's deadline nothing may be held.
    let youngest = before.iter().map(|hook| hook.made).max().unwrap();
    tokio::time::sleep(Duration::from_secs(62).saturating_sub(youngest.elapsed())).await;
    let op = match renewal {
        Renewal::Update => Op::Renew,
        Renewal::Recreate => Op::Create,
    };
    let mut gates = hold(world, mood, op);
    for customer in &customers {
        world.tell(customer, "renew").await;
    }
    die_at(world, &mut gates).await;
    world.run().await;
    is_well(world, mood).await;
    for (customer, before) in customers.iter().zip(before) {
        let is_renewed = async || {
            let now = world.app().live(customer);
            let [now] = &now[..] else { return false };
            let is_another = now.id != before.id;
            now.expires > before.expires && is_another == (renewal == Renewal::Recreate)
        };
        world
            .wait(&format!("{customer} is renewed"), is_renewed)
            .await;
    }
}

/// A world whose app is so; nothing is started.
pub(super) async fn begin(mood: &Mood, customers: &[&str]) -> World {
    let spec = Spec {
        limits: limits("3s"),
        ..Spec::of(customers)
    };
    let world = World::prepare(mood.spec(spec)).await;
    for customer in customers {
        mood.apply(&world.app, customer, world.dev.listen);
    }
    world
}

type Gates = Vec<(crate::support::model_app::Gate, Go)>;

/// Holds the next such request of each customer, each at another stage.
fn hold(world: &impl Installation, mood: &Mood, op: Op) -> Gates {
    let customers = world.customers();
    let held = customers.iter().zip(HELD.into_iter().cycle());
    held.map(|(customer, (stage, go))| {
        // What is refused is never done, and so never held there.
        if !(mood.is_refusing() && stage == Stage::Done) {
            mood.go_wrong(world.app(), customer);
        }
        (world.app().gate(customer, op, stage), go)
    })
    .collect()
}

/// Kills while all of them are held.
async fn die_at(world: &mut impl Installation, gates: &mut Gates) {
    for (gate, _) in &mut *gates {
        gate.reached().await;
    }
    world.kill();
    for (gate, go) in gates.drain(..) {
        gate.go(go);
    }
}

async fn kill_during(
    world: &mut impl Installation,
    mood: &Mood,
    op: Op,
    change: impl FnOnce(&mut Spec),
) {
    let mut gates = hold(world, mood, op);
    world.declare(change).await;
    die_at(world, &mut gates).await;
    world.run().await;
}

/// Every customer has one registration, which sends events that arrive.
pub(super) async fn is_well(world: &mut impl Installation, mood: &Mood) {
    for customer in world.customers() {
        if mood.is_knowable {
            world.stands(&customer).await;
        } else {
            is_listed(world, &customer).await;
        }
        world.arrives(&customer).await;
    }
}

/// How many registrations are on the orphan list: several alike in a row are one entry.
fn listed(shown: &Value) -> usize {
    let orphans = shown["orphans"].as_array().into_iter().flatten();
    let numbers = orphans.map(|orphan| {
        let number = |name: &str| orphan[name].as_u64().unwrap();
        number("lastNumber") - number("number") + 1
    });
    usize::try_from(numbers.sum::<u64>()).unwrap()
}

/// Of a customer's registrations at the app one stands, and all others are listed as orphans.
async fn is_listed(world: &impl Installation, customer: &str) {
    world
        .wait(
            &format!("{customer} stands and the rest is listed"),
            async || {
                let shown = world.subscription(customer).await.unwrap_or_default();
                let orphans = listed(&shown);
                let live = world.app().live(customer);
                let known = |id: &Value| live.iter().any(|hook| id == hook.id.as_str());
                shown["state"] == "Active"
                    && shown["registrations"]
                        .as_array()
                        .is_some_and(|all| all.len() == 1 && known(&all[0]["id"]))
                    && live.len() <= 1 + orphans
            },
        )
        .await;
}

/// All that Tidegate knows of is removed at the app.
pub(super) async fn is_removed(world: &impl Installation, mood: &Mood, customer: &str) {
    if mood.is_knowable {
        world.is_gone(customer).await;
        return;
    }
    world
        .wait(&format!("{customer} is through"), async || {
            let shown = world.subscription(customer).await.unwrap_or_default();
            let orphans = listed(&shown);
            let registrations = shown["registrations"].as_array();
            registrations.is_none_or(Vec::is_empty) && world.app().live(customer).len() <= orphans
        })
        .await;
}

/// What holds of every app in the end.
pub(super) async fn end(world: &impl Installation, mood: &Mood) {
    let is_knowable = mood.is_knowable;
    // Whatever might still be sent is sent by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.app().assert_unharmed();
    let mut overlapped = 0;
    for customer in world.customers() {
        let all = world.app().all(&customer);
        if world.spec().set_url {
            // Never without a URL, until it was removed.
            for pair in all.windows(2) {
                let (ended, why) = pair[0].ended.unwrap();
                assert_eq!((why, ended), (End::Replaced, pair[1].made), "{customer}");
            }
        }
        if is_knowable {
            let left: Vec<_> = all.iter().filter(|hook| hook.ended.is_none()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
        let is_recreated = world.spec().renewal == Some(Renewal::Recreate);
        if is_knowable {
            let overlaps = never_twice(world.app(), &customer, is_recreated);
            assert!(overlaps == 0 || !world.spec().set_url, "there is one URL");
            overlapped += overlaps;
        }
        let last: Option<Instant> = all.iter().filter_map(|hook| Some(hook.ended?.0)).max();
        assert!(last.is_some() || !is_knowable, "{customer} had one");
    }
    assert!(
        overlapped > 0 || world.spec().set_url || !is_knowable,
        "changes overlap"
    );
}
