//! Restarts: killed or drained, with or without the state file, nothing is lost.

use std::time::Duration;

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_everything_arrives() {
    let world = World::new();
    world.sinks.behave("flaky", Behaviour::FailFirst(1));
    let entries = [entry("flaky"), entry("well")];
    let mut ids = Vec::new();
    for round in 0..10 {
        let delivery = world.start(&entries).await;
        ids.extend(world.ingest(&format!("e{round}"), 40).await);
        // As if the process had been killed: nothing is written after this.
        drop(delivery);
    }
    let delivery = world.start(&entries).await;
    for name in ["flaky", "well"] {
        world.until_accepted(name, &ids).await;
        until("nothing is undelivered", || {
            undelivered(&delivery, name) == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_draining_nothing_comes_twice() {
    let world = World::new();
    let mut ids = Vec::new();
    for round in 0..3 {
        let delivery = world.start(&[entry("well")]).await;
        ids.extend(world.ingest(&format!("e{round}"), 50).await);
        until("some have come", || {
            world.sinks.accepted("well").len() > round * 50 + 10
        })
        .await;
        delivery.drain(Duration::from_secs(120)).await;
    }
    let delivery = world.start(&[entry("well")]).await;
    world.until_accepted("well", &ids).await;
    until("nothing is undelivered", || {
        undelivered(&delivery, "well") == 0
    })
    .await;
    assert_eq!(world.sinks.attempts("well"), ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_counted_across_restarts() {
    let world = World::new();
    world.sinks.behave("fails", Behaviour::Answer500);
    let mut fails = entry("fails");
    fails.delivery.max_attempts = 6;
    fails.delivery.backoff_initial = Duration::from_millis(200);
    fails.delivery.backoff_max = Duration::from_millis(200);
    let delivery = world.start(&[fails.clone()]).await;
    world.ingest("e", 1).await;
    until("it was tried", || world.sinks.attempts("fails") >= 2).await;
    delivery.drain(Duration::from_secs(120)).await;
    drop(delivery);
    let delivery = world.start(&[fails]).await;
    until("it was given up", || !world.dead_letters.ids().is_empty()).await;
    assert_eq!(
        world.dead_letters.kept.lock().unwrap()[0].verdict.attempts,
        6
    );
    assert_eq!(world.sinks.attempts("fails"), 6);
    drop(delivery);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_damaged_state_file_costs_a_redelivery_and_no_event() {
    for damaged in [false, true] {
        let world = World::new();
        let delivery = world.start(&[entry("well")]).await;
        let mut ids = world.ingest("e", 30).await;
        world.until_accepted("well", &ids).await;
        delivery.drain(Duration::from_secs(120)).await;
        drop(delivery);
        // Stored while nobody delivers.
        ids.extend(world.ingest("f", 30).await);
        // The file is free once another can open it.
        drop(world.open().await);
        until("the file is free", || {
            redb::Database::open(world.state_file()).is_ok()
        })
        .await;
        if damaged {
            std::fs::write(world.state_file(), vec![0xA5; 100_000]).unwrap();
        } else {
            std::fs::remove_file(world.state_file()).unwrap();
        }
        let delivery = world.start(&[entry("well")]).await;
        world.until_accepted("well", &ids).await;
        until("nothing is undelivered", || {
            undelivered(&delivery, "well") == 0
        })
        .await;
        assert_eq!(
            world.sinks.attempts("well"),
            90,
            "the first thirty came again"
        );
        let set_aside = files(world.folder.path())
            .iter()
            .any(|name| name.starts_with("state.redb.damaged"));
        assert_eq!(set_aside, damaged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_while_nobody_ran_is_dropped() {
    let world = World::new();
    let mut suspended = entry("suspended");
    suspended.suspend = true;
    let delivery = world.start(&[suspended.clone(), entry("well")]).await;
    let ids = world.ingest("e", 10).await;
    world.until_accepted("well", &ids).await;
    until("all are routed", || {
        undelivered(&delivery, "suspended") == 10
    })
    .await;
    delivery.drain(Duration::from_secs(120)).await;
    drop(delivery);
    let delivery = world.start(&[entry("well")]).await;
    delivery.drain(Duration::from_secs(120)).await;
    drop(delivery);
    suspended.suspend = false;
    let delivery = world.start(&[suspended, entry("well")]).await;
    let newer = world.ingest("f", 3).await;
    world.until_accepted("suspended", &newer).await;
    drop(delivery);
}

#[tokio::test(flavor = "multi_thread")]
async fn undelivered_events_of_a_suspended_subscription_survive_many_restarts() {
    let world = World::new();
    let mut suspended = entry("suspended");
    suspended.suspend = true;
    let mut ids = Vec::new();
    for round in 0..4 {
        let delivery = world.start(&[suspended.clone()]).await;
        ids.extend(world.ingest(&format!("e{round}"), 10).await);
        until("all are there", || {
            undelivered(&delivery, "suspended") == ids.len() as u64
        })
        .await;
        if round % 2 == 0 {
            delivery.drain(Duration::from_secs(120)).await;
        }
    }
    suspended.suspend = false;
    let delivery = world.start(&[suspended]).await;
    world.until_accepted("suspended", &ids).await;
    drop(delivery);
}
