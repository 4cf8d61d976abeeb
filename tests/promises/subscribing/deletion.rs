//! What is no longer wanted is removed at the app, from the record alone: whatever else was deleted
//! with it, and whether the process ran then or not.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;

use super::installation::Installation;
use super::spec::Spec;
use super::world::World;
use crate::support::model_app::{Fault, Op};

async fn begin(customers: &[&str]) -> World {
    let mut world = World::prepare(Spec::of(customers)).await;
    world.dev.run().await;
    for customer in customers {
        world.stands(customer).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_objects_are_unsubscribed_though_their_secrets_are_gone() {
    let mut world = begin(&["unwanted", "vanished", "kept"]).await;
    let uris = ["unwanted", "vanished"].map(|customer| world.stands_now(customer).target);
    // An EventSubscription alone; and a Customer with its Secret and all.
    world.edit(|spec| spec.without_subscription.push("unwanted".to_owned()));
    world.edit(|spec| spec.customers.retain(|customer| customer != "vanished"));
    for (customer, uri) in ["unwanted", "vanished"].into_iter().zip(uris) {
        world.is_gone(customer).await;
        assert_eq!(world.app.count(customer, Op::Delete), 1);
        // For whoever sends there still: it is over, from when Tidegate says so.
        let answer = world.dev.client.post(&uri).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::GONE, "{customer}");
    }
    world.arrives("kept").await;
    // Wanted again, it gets another number.
    world.edit(|spec| spec.without_subscription.clear());
    world.stands("unwanted").await;
    let all = world.app.all("unwanted");
    assert!(all.len() == 2 && all[0].target != all[1].target, "{all:?}");
    world.arrives("unwanted").await;

    // The type and everything else, while nobody looks; something must be left, or it may be the
    // wrong folder.
    world.dev.kill();
    for file in std::fs::read_dir(&world.dev.manifests).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}});
    world.dev.edit("other.yaml", &other.to_string());
    world.dev.run().await;
    for customer in ["unwanted", "vanished", "kept"] {
        world.is_gone(customer).await;
    }
    world.app.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_by_stopping_or_by_files_that_cannot_be_read() {
    // Where the machine stood still while a file was gone, that was long enough to count as deleted.
    for _ in 0..30 {
        if is_nothing_removed_in_time().await {
            return;
        }
    }
    panic!("this machine was never quick enough");
}

/// Whether it was quick enough to tell.
async fn is_nothing_removed_in_time() -> bool {
    let mut world = begin(&["acme", "globex"]).await;
    assert!(world.dev.stop().await.success());
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.dev.run().await;
    // Broken, then gone and back again before it counts as deleted.
    world.dev.edit("acme.yaml", "kind: [Customer\n");
    world.dev.edit("type.yaml", "kind: [AppEventType\n");
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.write();
    let file = world.dev.manifests.join("globex.yaml");
    let since = Instant::now();
    std::fs::remove_file(&file).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    world.write();
    if since.elapsed() >= Duration::from_secs(2) {
        return false;
    }
    // A folder that cannot be read at a start.
    world.dev.kill();
    let away = world.dev.manifests.with_extension("away");
    std::fs::rename(&world.dev.manifests, &away).unwrap();
    world.dev.spawn();
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.dev.kill();
    std::fs::rename(&away, &world.dev.manifests).unwrap();
    world.dev.run().await;
    for customer in ["acme", "globex"] {
        world.stands(customer).await;
        world.arrives(customer).await;
        assert_eq!(world.app.count(customer, Op::Create), 1);
        assert_eq!(world.app.count(customer, Op::Delete), 0);
    }
    world.app.assert_unharmed();
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whose_token_is_dead_blocks_nothing_and_is_listed() {
    let mut spec = Spec::of(&["dead"]);
    spec.give_up_after = Some("2s");
    let mut world = World::prepare(spec).await;
    world.dev.run().await;
    let hook = world.stands("dead").await;
    for _ in 0..50 {
        world.app.next("dead", Op::Delete, Fault::Refused(401));
    }
    world.edit(|spec| spec.customers.clear());
    world
        .wait("it is listed as an orphan", async || {
            let shown = world.subscription("dead").await.unwrap_or_default();
            let orphans = shown["orphans"].as_array();
            orphans
                .is_some_and(|orphans| orphans.len() == 1 && orphans[0]["id"] == hook.id.as_str())
        })
        .await;
    let tries = world.app.count("dead", Op::Delete);
    assert!((1..10).contains(&tries), "{tries}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.app.count("dead", Op::Delete), tries, "given up");
    // The app sends there still. It was not told to stop, so it is told that all is well; and nobody
    // wants what it sends.
    let delivered = world.delivered("dead").len();
    assert_eq!(world.app.send("dead", "late"), 1);
    world
        .wait("the app is through with it", async || {
            world.app.is_idle("dead")
        })
        .await;
    let sent = world.app.sent("dead");
    assert_eq!(sent.last().unwrap().status, Some(202), "{sent:?}");
    assert_eq!(world.delivered("dead").len(), delivered);
    world.app.assert_unharmed();
}

/// Nobody can say whether a lost answer left a registration behind. If it did, the app calls it: its
/// events count while nothing else brings them, and once another one does they come once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_answer_left_behind_is_never_told_to_stop_and_brings_nothing_twice() {
    let mut spec = Spec::of(&["acme"]);
    spec.lookup = false;
    let mut world = World::prepare(spec).await;
    world.app.set("acme", |moods| moods.no_list = true);
    world.app.next("acme", Op::Create, Fault::DoneBut500);
    world.app.next("acme", Op::Create, Fault::Refused(403));
    world.dev.run().await;
    let orphans = async |world: &World| {
        let shown = world.subscription("acme").await.unwrap_or_default();
        shown["orphans"].as_array().map_or(0, Vec::len)
    };
    world
        .wait("it is listed as an orphan", async || {
            orphans(&world).await == 1
        })
        .await;
    assert_eq!(world.app.live("acme").len(), 1, "the orphan");
    world.arrives("acme").await;
    // Also after a start, when only the record tells of it.
    world.dev.kill();
    world.dev.run().await;
    world.arrives("acme").await;
    world
        .wait("another one stands", async || {
            world.app.live("acme").len() == 2
        })
        .await;
    let is_active = async || {
        let shown = world.subscription("acme").await.unwrap_or_default();
        shown["state"] == "Active"
    };
    world.wait("it is known", is_active).await;
    for number in 0..5 {
        assert_eq!(world.app.send("acme", &format!("both-{number}")), 2);
    }
    world.arrives("acme").await;
    world
        .wait("the app is through with all", async || {
            world.app.is_idle("acme")
        })
        .await;
    let is_through =
        async || (0..5).all(|number| world.delivered("acme").contains(&format!("both-{number}")));
    world.wait("all is delivered", is_through).await;
    let count = |world: &World, id: &str| {
        let all = world.sink.deliveries();
        all.iter().filter(|one| one.id() == id).count()
    };
    for number in 0..5 {
        assert_eq!(count(&world, &format!("both-{number}")), 1);
    }
    assert!(
        world
            .app
            .sent("acme")
            .iter()
            .all(|sent| sent.status == Some(202))
    );

    // Not wanted any more: the one that is known is removed, and the orphan is left alone.
    world.edit(|spec| spec.without_subscription.push("acme".to_owned()));
    world
        .wait("what is known is removed", async || {
            world.app.count("acme", Op::Delete) == 1
        })
        .await;
    let is_through = async || {
        let shown = world.subscription("acme").await.unwrap_or_default();
        shown["registrations"].as_array().is_none_or(Vec::is_empty)
    };
    world.wait("it is through", is_through).await;
    assert_eq!(world.app.send("acme", "too-late"), 1);
    world
        .wait("the app is through with it", async || {
            world.app.is_idle("acme")
        })
        .await;
    assert_eq!(world.app.sent("acme").last().unwrap().status, Some(202));
    assert_eq!(count(&world, "too-late"), 0);
    world.app.assert_unharmed();
}
