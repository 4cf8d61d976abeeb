//! The process is killed again and again at moments that nobody chose, while everything changes and
//! the app is in its worst mood.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::all_of;
use super::installation::Installation;
use super::lives::never_twice;
use super::spec::{Renewal, Secret, Spec, limits};
use super::world::World;
use crate::support::model_app::{Fault, Handshake, ModelApp, Moods, Op, SecretFrom};

/// How often each is killed.
const KILLS: usize = 20;

/// As long as the process takes to begin at the most where nothing else is done.
const BEGIN: Duration = Duration::from_millis(300);

/// So many customers unsubscribe and subscribe again meanwhile.
const LEAVING: usize = 4;

type Declare = fn(&mut Spec);
type Behave = fn(&mut Moods);

/// The kinds of app; each with its own seed.
const APPS: [(&str, Declare, Behave); 5] = [
    (
        "generated secrets, lagging pages",
        |spec| (spec.settle, spec.enable) = ("2s", true),
        |moods| {
            (moods.list_lag, moods.page) = (Duration::from_millis(700), Some(1));
            moods.needs_enabling = true;
        },
    ),
    (
        "secrets in answers",
        |spec| spec.secret = Secret::FromResponse,
        |moods| moods.secret = SecretFrom::Answer,
    ),
    (
        "secrets in handshakes",
        |spec| (spec.secret, spec.handshake) = (Secret::FromHandshake, Some(Handshake::Secret)),
        |moods| moods.handshake = Some(Handshake::Secret),
    ),
    ("one URL", |spec| spec.set_url = true, |_| {}),
    (
        "conflicts and renewals",
        |spec| (spec.conflict, spec.renewal) = (true, Some(Renewal::Recreate)),
        |moods| (moods.conflict, moods.lifetime) = (true, Some(Duration::from_secs(3600))),
    ),
];

#[test]
fn killed_at_random_moments_everything_stands_once_in_the_end() {
    all_of(APPS.iter().enumerate().map(|(seed, (name, spec, moods))| {
        let scenario = move || killed_at_random(seed as u64, *spec, *moods);
        (format!("{name}, seed {seed}"), scenario)
    }));
}

async fn killed_at_random(seed: u64, spec: Declare, moods: Behave) {
    let mut random = StdRng::seed_from_u64(seed);
    let names: Vec<String> = (0..6).map(|number| format!("customer-{number}")).collect();
    let mut begin = Spec::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    // Failures are many here, and no reason to stop.
    begin.rollout = Some(json!({"stopAfterFailures": 1000}));
    begin.limits = limits("3s");
    spec(&mut begin);
    let mut world = World::prepare(begin).await;
    world.app.pause_sending();
    for name in &names {
        world.app.set(name, |all| {
            moods(all);
            all.is_patient = true;
        });
        world.app.add_foreign(name, "http://127.0.0.1:9/foreign");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(send_all_the_time(
        Arc::clone(&world.app),
        names.clone(),
        Arc::clone(&stop),
    ));
    let mut pace = 1.0;
    for kill in 0..KILLS {
        for name in &names {
            let fault = match random.random_range(0..8) {
                0 => Fault::DoneBut500,
                1 => Fault::DoneButGarbage,
                2 => Fault::AnsweredAfter(Duration::from_millis(300)),
                3 => Fault::TooMany(1),
                _ => continue,
            };
            let op = if random.random_bool(0.7) {
                Op::Create
            } else {
                Op::Delete
            };
            world.app.next(name, op, fault);
        }
        match random.random_range(0..5) {
            0 => world.edit(|spec| spec.label = json!(kill)),
            1 => {
                let name = names[random.random_range(0..LEAVING)].clone();
                world.edit(|spec| {
                    let before = spec.without_subscription.len();
                    spec.without_subscription.retain(|other| *other != name);
                    if spec.without_subscription.len() == before {
                        spec.without_subscription.push(name);
                    }
                });
            }
            2 => world.edit(|spec| spec.token = format!("-{kill}")),
            _ => {}
        }
        world.dev.spawn();
        // From before anything is sent until long after everything is.
        let pause = random.random_range(0..=3000_u64);
        let pause = Duration::from_millis(pause * pause / 3000).mul_f64(pace);
        let mut began = pause;
        let _ = tokio::time::timeout(pause, serve(&world, &mut began)).await;
        // On a busy machine all takes longer; it would else be killed before it does anything.
        if began < pause || pause > BEGIN.mul_f64(pace) {
            pace = began.div_duration_f64(BEGIN).clamp(1.0, 10.0);
        }
        world.app.pause_sending();
        world.dev.kill();
    }
    world.app.recover();
    world.dev.run().await;
    world.app.resume_sending();
    // However little it came to while it was killed: one more change, and some load.
    world.edit(|spec| spec.label = json!("the last one"));
    for name in &names {
        if world.spec.without_subscription.contains(name) {
            world.is_gone(name).await;
        } else {
            let is_changed = async || {
                let live = world.app.live(name);
                live.iter()
                    .any(|hook| hook.body["label"] == world.spec.label)
            };
            let what = format!("{name} is changed for the last time");
            world.wait(&what, is_changed).await;
            world.stands(name).await;
            world.arrives(name).await;
        }
    }
    for name in &names[LEAVING..] {
        let is_loaded = async || acknowledged(&world.app, name).len() > 5;
        world.wait("there was some load", is_loaded).await;
    }
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    // Whoever unsubscribed gets nothing more; all others get all that was acknowledged.
    for name in &names[LEAVING..] {
        let acknowledged = acknowledged(&world.app, name);
        let is_delivered = async || acknowledged.is_subset(&world.delivered(name));
        let what = format!("all events of {name} that were acknowledged are delivered");
        world.wait(&what, is_delivered).await;
    }
    world.edit(|spec| spec.customers.clear());
    for name in &names {
        world.is_gone(name).await;
    }
    let is_recreated = world.spec.renewal == Some(Renewal::Recreate);
    let overlapped = names
        .iter()
        .map(|name| never_twice(&world.app, name, is_recreated));
    let overlapped: usize = overlapped.sum();
    assert_eq!(overlapped == 0, world.spec.set_url, "{overlapped} times");
    world.app.assert_unharmed();
}

/// Events are sent as soon as the process takes them, which is noted; until it is killed.
async fn serve(world: &World, began: &mut Duration) {
    let since = Instant::now();
    let url = world.dev.admin_url("/readyz");
    loop {
        let answer = world.dev.client.get(&url).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            *began = since.elapsed();
            world.app.resume_sending();
            return std::future::pending().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends events to every webhook all the time, each once the one before has had its time.
async fn send_all_the_time(app: Arc<ModelApp>, names: Vec<String>, stop: Arc<AtomicBool>) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        for name in names.iter().filter(|name| app.is_idle(name)) {
            number += 1;
            app.send(name, &format!("busy-{number}"));
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// The events of a customer that we have taken over from the app.
fn acknowledged(app: &ModelApp, name: &str) -> BTreeSet<String> {
    let sent = app.sent(name).into_iter();
    let taken = sent.filter(|sent| matches!(sent.status, Some(200..300)));
    taken.map(|sent| sent.event_id).collect()
}
