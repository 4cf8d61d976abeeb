//! When the log fills: history goes, a greedy subscription pays for itself, sparse segments are
//! emptied, and nobody else notices.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::support::*;
use crate::configuration::Ordering;
use crate::event::ReasonCode;
use crate::event_log::{AppendError, Space};

/// Stores an event of `size` bytes of data, waiting while the log is full; its id.
async fn store(world: &World, number: usize, customer: &str, size: usize) -> String {
    let id = format!("{customer}-{number:05}");
    let mut event = event(&id, Some(customer));
    let text = format!(
        "{{\"id\": \"{id}\", \"filling\": \"{}\"}}",
        "x".repeat(size)
    );
    event.data = Some(Bytes::from(text));
    for _ in 0..6000 {
        match world.append(&event).await {
            Ok(_) => return id,
            Err(AppendError::Full) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the log stays full");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_makes_room_and_replay_retention_bounds_it() {
    let mut world = World::with_capacity(4 << 20);
    // However slow this machine is, the sink that works must not lose its share.
    world.settings.undelivered_share = 100;
    let delivery = world.start(&[entry("well")]).await;
    let mut ids = Vec::new();
    // Three times the capacity.
    for number in 0..200 {
        ids.push(store(&world, number, "acme", 64 << 10).await);
    }
    world.until_accepted("well", &ids).await;
    assert!(world.log.usage().used <= 4 << 20);
    let with_history = world.log.segments().len();
    assert!(with_history > 3, "history stays while there is room");
    delivery.configure(crate::delivery::Settings {
        undelivered_share: 100,
        replay_retention: Duration::ZERO,
    });
    until("history is gone", || world.log.segments().len() <= 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_share_a_subscription_loses_its_oldest_events_and_nobody_else_notices() {
    let world = World::with_capacity(8 << 20);
    let mut suspended = entry("suspended");
    suspended.suspend = true;
    world.sinks.behave("dead", Behaviour::Answer500);
    let mut entries = [suspended, entry("dead"), entry("well")];
    let delivery = world.start(&entries).await;
    let mut ids = Vec::new();
    for number in 0..400 {
        ids.push(store(&world, number, "acme", 32 << 10).await);
        if number % 20 == 0 {
            // However slow this machine is, the sink that works must not lose its share.
            world.until_accepted("well", &ids).await;
        }
    }
    world.until_accepted("well", &ids).await;
    let share = (8 << 20) / 100 * 20;
    for name in ["suspended", "dead"] {
        until("it is within its share", || {
            status(&delivery, name).undelivered_bytes <= share
        })
        .await;
        let status = status(&delivery, name);
        assert!(status.undelivered > 30, "{name} keeps what fits");
        assert_eq!(status.delivering.reason.as_str(), "ShareExceeded");
    }
    let kept = world.dead_letters.kept.lock().unwrap().clone();
    let of = |name: &str| -> BTreeSet<String> {
        kept.iter()
            .filter(|letter| letter.verdict.subscription.as_ref().unwrap().name == name)
            .inspect(|letter| {
                assert_eq!(letter.verdict.reasons[0].code, ReasonCode::ShareExceeded);
            })
            .map(|letter| letter.event.attributes.id.clone())
            .collect()
    };
    assert!(of("well").is_empty());
    let dead_letters = of("suspended");
    entries[0].suspend = false;
    apply(&delivery, &entries).await;
    let rest: Vec<String> = ids
        .iter()
        .filter(|id| !dead_letters.contains(*id))
        .cloned()
        .collect();
    world.until_accepted("suspended", &rest).await;
    let oldest: BTreeSet<String> = ids[..dead_letters.len()].iter().cloned().collect();
    assert_eq!(
        dead_letters, oldest,
        "the oldest went, and nothing is missing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_old_events_are_relocated_and_keep_their_order() {
    let mut world = World::with_capacity(4 << 20);
    world.settings.undelivered_share = 100;
    let mut slow = entry("slow");
    slow.suspend = true;
    slow.delivery.ordering = Ordering::PerCustomer;
    slow.customers = crate::configuration::Customers::Only(std::sync::Arc::new(
        [customer("rare")].into_iter().collect(),
    ));
    let mut entries = [slow, entry("well")];
    let mut delivery = world.start(&entries).await;
    let mut rare = Vec::new();
    let mut all = Vec::new();
    for number in 0..300 {
        if number % 20 == 0 {
            let id = store(&world, number, "rare", 10).await;
            rare.push(id.clone());
            all.push(id);
        }
        all.push(store(&world, number, "acme", 64 << 10).await);
    }
    world.until_accepted("well", &all).await;
    until("all are routed", || {
        undelivered(&delivery, "slow") == rare.len() as u64
    })
    .await;
    // What is relocated must be found again after a kill, in its order.
    drop(delivery);
    delivery = world.start(&entries).await;
    until("all are found", || {
        undelivered(&delivery, "slow") == rare.len() as u64
    })
    .await;
    for number in 300..330 {
        all.push(store(&world, number, "acme", 64 << 10).await);
    }
    entries[0].suspend = false;
    apply(&delivery, &entries).await;
    world.until_accepted("slow", &rare).await;
    assert_eq!(world.sinks.accepted("slow"), rare);
    assert!(world.dead_letters.ids().is_empty());
    until("there is room", || {
        *world.log.space().borrow() == Space::Ample
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_full_of_undelivered_events_refuses_and_takes_again_when_they_go() {
    let mut world = World::with_capacity(4 << 20);
    world.settings.undelivered_share = 100;
    let mut suspended = entry("suspended");
    suspended.suspend = true;
    let delivery = world.start(&[suspended.clone()]).await;
    let mut ids = Vec::new();
    let refused = loop {
        let id = format!("e-{:05}", ids.len());
        let mut event = event(&id, Some("acme"));
        let text = format!(
            "{{\"id\": \"{id}\", \"filling\": \"{}\"}}",
            "x".repeat(64 << 10)
        );
        event.data = Some(Bytes::from(text));
        match world.append(&event).await {
            Ok(_) => ids.push(id),
            Err(error) => break error,
        }
        assert!(ids.len() < 100, "it takes more than its capacity");
    };
    assert_eq!(refused, AppendError::Full);
    suspended.suspend = false;
    apply(&delivery, &[suspended]).await;
    ids.push(store(&world, 1, "after", 64 << 10).await);
    world.until_accepted("suspended", &ids).await;
    assert!(world.dead_letters.ids().is_empty());
}
