//! The driver with an app in memory, on a clock that stands still unless somebody waits.

mod counts;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::api::{LifecycleAction, SubscriptionState};
use crate::configuration::{CaptureAnswer, Captured, RegistrationState, Reports, Sensitive};
use world::{Mood, World, desired, many, subscription};

#[tokio::test(start_paused = true)]
async fn one_customer_is_subscribed_with_two_writes_and_unsubscribed() {
    let world = World::new().await;
    let wish = desired(&subscription("created", ""), "acme");
    world.want(vec![wish.clone()]);
    world.wait(5).await;
    assert_eq!(world.app.count(), 1);
    assert_eq!(world.store.most_writes(), 2);
    assert_eq!(world.in_state(SubscriptionState::Active), 1);
    assert_eq!(world.show.told.lock().unwrap()[&wish.name], 1);
    let view = world.driver.views(None, usize::MAX).pop().unwrap();
    let shown = view.object.status.unwrap().webhook_uri.unwrap();
    assert_eq!(shown, "https://hooks.example/h/***/1");
    assert!(view.webhook_uri.unwrap().contains("/h/token-"));

    world.want(Vec::new());
    world.wait(5).await;
    assert_eq!(world.app.count(), 0);
    let states: Vec<_> = world
        .gateway
        .live
        .lock()
        .unwrap()
        .values()
        .cloned()
        .collect();
    assert_eq!(states, [RegistrationState::Removed]);
    // The URI answers 410 for 30 days; then nothing is left. People see nothing of that.
    assert!(world.driver.views(None, usize::MAX).is_empty());
    assert!(world.show.gone.lock().unwrap().contains(&wish.name));
    world.wait(31 * 24 * 3_600).await;
    assert!(world.gateway.live.lock().unwrap().is_empty());
    assert!(world.store.records.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_customers_cost_two_writes_each_and_then_nothing() {
    let world = World::new().await;
    world.want(many(&subscription("created", ""), 10_000));
    let start = Instant::now();
    while world.app.count() < 10_000 {
        world.wait(1).await;
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{}",
            world.app.count()
        );
    }
    world.wait(60).await;
    assert_eq!(world.in_state(SubscriptionState::Active), 10_000);
    assert_eq!(
        (world.store.most_writes(), world.store.all_writes()),
        (2, 20_000)
    );
    // What people see is told once each: the third write.
    assert!(
        world
            .show
            .told
            .lock()
            .unwrap()
            .values()
            .all(|count| *count == 1)
    );
    assert_eq!(world.app.requests(), 10_000);
    assert!(world.app.most_open.load(Ordering::Relaxed) <= 16);
    // The same wish again, and a day.
    world.want(many(&subscription("created", ""), 10_000));
    world.wait(24 * 3_600).await;
    assert_eq!(
        (world.store.all_writes(), world.app.requests()),
        (20_000, 10_000)
    );
    // A restart changes nothing either.
    let world = world.restarted().await;
    world.want(many(&subscription("created", ""), 10_000));
    world.wait(3_600).await;
    assert_eq!(
        (world.store.all_writes(), world.app.requests()),
        (20_000, 10_000)
    );
    assert_eq!(world.gateway.live.lock().unwrap().len(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_down_for_ten_minutes_is_asked_seldom_and_recovers_by_itself() {
    let world = World::new().await;
    world.app.mood(Mood::Down);
    world.want(many(&subscription("created", ""), 1_000));
    world.wait(600).await;
    let asked = world.app.requests();
    assert!((10..100).contains(&asked), "asked {asked} times");
    assert!(
        world.store.all_writes() < 300,
        "{}",
        world.store.all_writes()
    );
    world.app.mood(Mood::Well);
    world.wait(120).await;
    // All but those few that were tried, which wait for their own time.
    assert!(world.app.count() > 950, "{}", world.app.count());
    world.wait(3_600).await;
    assert_eq!(world.app.count(), 1_000);
    assert_eq!(world.in_state(SubscriptionState::Active), 1_000);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_asks_for_a_pause_gets_it_from_everybody() {
    let world = World::new().await;
    world.app.mood(Mood::Busy(300));
    world.want(many(&subscription("created", ""), 200));
    world.wait(290).await;
    // Those that were under way when it first said so.
    assert!(world.app.requests() <= 16, "{}", world.app.requests());
    world.app.mood(Mood::Well);
    world.wait(700).await;
    assert_eq!(world.app.count(), 200);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_nothing_can_be_stored() {
    let world = World::new().await;
    world.store.fails.store(true, Ordering::Relaxed);
    world.want(many(&subscription("created", ""), 20));
    world.wait(600).await;
    assert_eq!(world.app.requests(), 0);
    let tries = world.store.tries.load(Ordering::Relaxed);
    assert!((20..600).contains(&tries), "{tries} tries");
    world.store.fails.store(false, Ordering::Relaxed);
    world.wait(120).await;
    assert_eq!((world.app.count(), world.app.requests()), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_could_not_be_stored_is_stored_later_and_not_asked_for_again() {
    let world = World::new().await;
    world.app.mood(Mood::Slow(3));
    let wish = desired(&subscription("created", ""), "acme");
    world.want(vec![wish.clone()]);
    world.wait(1).await;
    world.store.fails.store(true, Ordering::Relaxed);
    world.wait(60).await;
    assert_eq!((world.app.count(), world.app.requests()), (1, 1));
    let id = || {
        let records = world.store.records.lock().unwrap();
        records[&wish.name].registrations[0].id.clone()
    };
    assert_eq!(id(), None);
    // Nor is anybody told of what the next kill would undo.
    assert_eq!(world.in_state(SubscriptionState::Active), 0);
    world.store.fails.store(false, Ordering::Relaxed);
    world.wait(61).await;
    assert_eq!(id().as_deref(), Some("1"));
    assert_eq!(world.in_state(SubscriptionState::Active), 1);
    assert_eq!(world.app.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_rolled_out_at_its_pace_with_the_new_one_first() {
    let world = World::new().await;
    let rollout = "rollout: {maxConcurrent: 3, stopAfterFailures: 5}";
    world.want(many(&subscription("created", rollout), 100));
    world.wait(60).await;
    assert_eq!(world.app.count(), 100);
    world.app.mood(Mood::Slow(10));
    world.want(many(&subscription("changed", rollout), 100));
    world.wait(35).await;
    let asked = world.app.requests() - 100;
    assert!((6..25).contains(&asked), "{asked} requests");
    assert!(world.app.count() >= 100, "nobody is ever without one");
    world.app.mood(Mood::Well);
    world.wait(600).await;
    assert_eq!(world.app.count(), 100);
    // Made twice, removed once.
    assert_eq!(world.app.requests(), 300);
}

#[tokio::test(start_paused = true)]
async fn those_who_are_no_longer_wanted_keep_nobody_from_a_turn() {
    let world = World::new().await;
    let rollout = "rollout: {maxConcurrent: 2}";
    world.want(many(&subscription("created", rollout), 30));
    world.wait(60).await;
    world.app.mood(Mood::Slow(10));
    world.want(many(&subscription("changed", rollout), 30));
    world.wait(5).await;
    // Those who hold turns, and those who are next, go.
    let all = many(&subscription("changed", rollout), 30);
    let mut names: Vec<_> = all.iter().map(|one| one.name.clone()).collect();
    names.sort();
    let left = all
        .into_iter()
        .filter(|one| names[20..].contains(&one.name));
    world.want(left.collect());
    world.app.mood(Mood::Well);
    world.wait(3_600).await;
    assert_eq!(world.app.count(), 10);
    assert_eq!(world.in_state(SubscriptionState::Active), 10);
    let before = world.app.requests();
    world.want(many(&subscription("changed", rollout), 10));
    world.wait(60).await;
    assert!(world.app.requests() > before, "they come back");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_fails_stops_and_leaves_the_others_as_they_are() {
    let world = World::new().await;
    let rollout = "rollout: {maxConcurrent: 2, stopAfterFailures: 4}";
    world.want(many(&subscription("created", rollout), 50));
    world.wait(60).await;
    world.app.mood(Mood::Refusing);
    world.want(many(&subscription("changed", rollout), 50));
    world.wait(6 * 3_600).await;
    let refused = world.app.requests() - 50;
    assert!((4..=6).contains(&refused), "{refused} were refused");
    assert_eq!(world.app.count(), 50);
    let stopped = |view: &View| {
        let conditions = view.status().conditions;
        conditions
            .iter()
            .any(|condition| condition.reason == "RolloutStopped")
    };
    assert!(
        world
            .driver
            .views(None, usize::MAX)
            .iter()
            .filter(|view| stopped(view))
            .count()
            > 40
    );
    // Edited once more, and the app agrees.
    world.app.mood(Mood::Well);
    world.want(many(&subscription("mended", rollout), 50));
    world.wait(6 * 3_600).await;
    assert_eq!(world.app.count(), 50);
    assert!(!world.driver.views(None, usize::MAX).iter().any(stopped));
    assert_eq!(world.in_state(SubscriptionState::Active), 50);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_obtained_once_for_all_and_again_when_it_is_not_taken() {
    let world = World::new().await;
    let credentials = "credentials: {request: {url: 'https://login.example/token', form: {grant: app}}, \
                       accessToken: response.body.token}\n\
                       defaults: {headers: {Authorization: Bearer $(credentials.accessToken)}}";
    world.want(many(&subscription("created", credentials), 100));
    world.wait(60).await;
    assert_eq!(world.app.count(), 100);
    assert_eq!(world.app.tokens.load(Ordering::Relaxed), 1);
    world.app.mood(Mood::Unauthorised);
    let all = many(&subscription("created", credentials), 101);
    world.want(all);
    world.wait(5).await;
    world.app.mood(Mood::Well);
    world.wait(3_600).await;
    assert_eq!(world.app.count(), 101);
    let tokens = world.app.tokens.load(Ordering::Relaxed);
    assert!((2..=4).contains(&tokens), "{tokens} tokens");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_used_until_shortly_before_it_expires_and_then_obtained_again() {
    let world = World::new().await;
    let credentials = "credentials: {request: {url: 'https://login.example/token', form: {grant: app}}, \
                       accessToken: response.body.token, expiresIn: 'duration(\"60s\")'}\n\
                       defaults: {headers: {Authorization: Bearer $(credentials.accessToken)}}";
    let subscription = subscription("created", credentials);
    // A tenth of its lifetime is kept in reserve: it is used for 54 seconds.
    for (customers, wait, tokens) in [(1, 50, 1), (2, 70, 1), (3, 10, 2)] {
        world.want(many(&subscription, customers));
        world.wait(wait).await;
        assert_eq!(world.app.count(), customers);
        assert_eq!(world.app.tokens.load(Ordering::Relaxed), tokens);
        let bearer = world.app.bearer.lock().unwrap().clone();
        assert_eq!(bearer, Some(format!("Bearer t-{}", tokens - 1)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_handshake_brings_is_stored_while_the_request_is_open_and_the_first_wins() {
    let world = World::new().await;
    let wish = desired(
        &subscription("created", "signingSecret: {fromHandshake: {}}"),
        "acme",
    );
    let (driver, name) = (world.driver.clone(), wish.name.clone());
    let answers = Arc::new(Mutex::new(Vec::new()));
    let noted = answers.clone();
    *world.app.on_create.lock().unwrap() = Some(Arc::new(move |_| {
        let (driver, name, noted) = (driver.clone(), name.clone(), noted.clone());
        async move {
            for secret in ["first", "first", "second"] {
                let captured = Captured {
                    signing_secret: Some(Sensitive::from(secret)),
                    expires_at: None,
                };
                let answer = driver.captured(&name, 1, captured).await;
                noted.lock().unwrap().push(answer);
            }
        }
        .boxed()
    }));
    world.want(vec![wish.clone()]);
    world.wait(10).await;
    use CaptureAnswer::{Refused, Taken};
    assert_eq!(*answers.lock().unwrap(), [Taken, Taken, Refused]);
    assert_eq!(world.in_state(SubscriptionState::Active), 1);
    let live: Vec<_> = world
        .gateway
        .live
        .lock()
        .unwrap()
        .values()
        .cloned()
        .collect();
    let [RegistrationState::Live(live)] = &live[..] else {
        panic!("{live:?}")
    };
    assert_eq!(live.signing_secret, Some(Sensitive::from("first")));
    // Stored with the answer, not lost by it.
    let records = world.store.records.lock().unwrap();
    let registration = &records[&wish.name].registrations[0];
    assert_eq!(registration.id.as_deref(), Some("1"));
    assert_eq!(registration.signing_secret, Some(Sensitive::from("first")));
}

#[tokio::test(start_paused = true)]
async fn a_capture_that_cannot_be_stored_is_answered_within_five_seconds() {
    let world = World::new().await;
    let wish = desired(
        &subscription("created", "signingSecret: {fromHandshake: {}}"),
        "acme",
    );
    world.app.mood(Mood::Slow(60));
    world.want(vec![wish.clone()]);
    world.wait(1).await;
    let captured = || Captured {
        signing_secret: Some(Sensitive::from("first")),
        expires_at: None,
    };
    world.store.fails.store(true, Ordering::Relaxed);
    let answer = world.driver.captured(&wish.name, 1, captured()).await;
    assert_eq!(answer, CaptureAnswer::Unavailable);
    world.store.fails.store(false, Ordering::Relaxed);
    let answer = world.driver.captured(&wish.name, 1, captured()).await;
    assert_eq!(answer, CaptureAnswer::Taken);
    let answer = world.driver.captured(&wish.name, 7, captured()).await;
    assert_eq!(answer, CaptureAnswer::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_stored_before_it_is_acknowledged_and_leads_to_a_new_registration() {
    let world = World::new().await;
    let wish = desired(&subscription("created", ""), "acme");
    world.want(vec![wish.clone()]);
    world.wait(3_600).await;
    world.store.fails.store(true, Ordering::Relaxed);
    let gone = LifecycleAction::Gone;
    assert!(world.driver.noticed(&wish.name, 1, gone).await.is_err());
    world.store.fails.store(false, Ordering::Relaxed);
    assert!(world.driver.noticed(&wish.name, 1, gone).await.is_ok());
    world.app.hooks.lock().unwrap().clear();
    world.wait(3_600).await;
    assert_eq!(world.app.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_last_event_is_stored_once_an_hour() {
    let world = World::new().await;
    let wish = desired(&subscription("created", ""), "acme");
    world.want(vec![wish.clone()]);
    world.wait(10).await;
    let before = world.store.all_writes();
    for _ in 0..150 {
        for _ in 0..10 {
            world.driver.received(&wish.name, 1, world.driver.0.now());
        }
        world.wait(60).await;
    }
    assert_eq!(world.store.all_writes() - before, 3);
    let last = world.driver.views(None, usize::MAX)[0]
        .status()
        .last_event_time;
    assert!(last.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_held_or_not_known_to_be_unwanted_is_not_removed() {
    let world = World::new().await;
    let wishes = many(&subscription("created", ""), 3);
    world.want(wishes.clone());
    world.wait(10).await;
    // Its type is broken, so nobody knows.
    world.driver.apply(Wishes {
        desired: wishes[1..].to_vec(),
        held: BTreeSet::from([wishes[0].name.clone()]),
        is_complete: true,
    });
    world.wait(3_600).await;
    assert_eq!(world.app.count(), 3);
    // A folder that could not be read at the start.
    let world = world.restarted().await;
    world.driver.apply(Wishes::default());
    world.wait(3_600).await;
    assert_eq!((world.app.count(), world.app.requests()), (3, 3));
    // Now it could.
    world.want(wishes[..1].to_vec());
    world.wait(3_600).await;
    assert_eq!(world.app.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_neither_overwritten_nor_made_anew() {
    let wish = desired(&subscription("created", ""), "acme");
    let store = Arc::new(world::MemoryStore::default());
    store
        .unreadable
        .lock()
        .unwrap()
        .push(wish.name.name.clone());
    let world = World::with(Arc::default(), store).await;
    world.want(vec![wish]);
    world.wait(3_600).await;
    assert_eq!(
        (
            world.app.requests(),
            world.store.tries.load(Ordering::Relaxed)
        ),
        (0, 0)
    );
    let status = world.driver.views(None, usize::MAX)[0].status();
    assert_eq!(status.state, Some(SubscriptionState::Failed));
    assert!(status.last_error.unwrap().contains("is damaged"));
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_open_requests_and_stores_what_came_of_them() {
    let world = World::new().await;
    world.app.mood(Mood::Slow(4));
    world.want(many(&subscription("created", ""), 100));
    world.wait(2).await;
    world.driver.drain(Duration::from_secs(10)).await;
    let open = world.app.requests();
    assert!((1..=16).contains(&open), "{open}");
    let known = |world: &World| {
        let records = world.store.records.lock().unwrap();
        let known = records
            .values()
            .filter(|record| record.registrations[0].id.is_some());
        known.count()
    };
    assert_eq!(known(&world), open);
    world.wait(3_600).await;
    assert_eq!(world.app.requests(), open);
    // The next start goes on.
    let world = world.restarted().await;
    world.app.mood(Mood::Well);
    world.want(many(&subscription("created", ""), 100));
    world.wait(600).await;
    assert_eq!((world.app.count(), known(&world)), (100, 100));
}
