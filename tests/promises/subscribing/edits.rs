//! What an edit means: what changes by itself registers nobody anew; a changed request registers
//! each customer once more, at the rollout's pace, and loses no event.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::installation::Installation;
use super::spec::Spec;
use super::world::World;
use crate::support::model_app::{End, Fault, Go, ModelApp, Op, Stage};

async fn begin(spec: Spec) -> World {
    let mut world = World::prepare(spec).await;
    world.dev.run().await;
    for customer in world.customers() {
        world.stands(&customer).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_by_itself_registers_nobody_anew() {
    let mut world = begin(Spec::of(&["acme", "globex"])).await;
    let before: Vec<_> = ["acme", "globex"].map(|it| world.stands_now(it)).into();
    // `now` is in the body all the time.
    world.edit(|spec| spec.token = "-two".to_owned());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    world.edit(|spec| spec.header = "two".to_owned());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(world.dev.stop().await.success());
    world.dev.run().await;
    world.dev.kill();
    world.dev.run().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for (customer, before) in ["acme", "globex"].into_iter().zip(before) {
        assert_eq!(world.stands(customer).await.id, before.id);
        assert_eq!(world.app.count(customer, Op::Create), 1);
        assert_eq!(world.app.count(customer, Op::Delete), 0);
        world.arrives(customer).await;
    }
    // The edits did count: this request has the new token and header.
    world.edit(|spec| spec.label = json!("second"));
    for customer in ["acme", "globex"] {
        let anew = async || world.app.count(customer, Op::Delete) == 1;
        world.wait("the old one is removed", anew).await;
        world.stands(customer).await;
        let asked = world.app.asked(customer);
        let created: Vec<_> = asked.iter().filter(|it| it.op == Op::Create).collect();
        assert_eq!(created.len(), 2, "one new registration");
        let (token, label) = (
            &created[1].headers["authorization"],
            &created[1].headers["x-label"],
        );
        assert_eq!(token, format!("Bearer token-{customer}-two").as_str());
        assert_eq!(label, "two");
        let deleted = asked.iter().find(|it| it.op == Op::Delete).unwrap();
        assert!(
            deleted.at > created[1].answered_at.unwrap(),
            "the new one first"
        );
    }
    world.app.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_url_or_body_registers_each_customer_once_and_loses_nothing() {
    let mut world = begin(Spec::of(&["acme", "globex", "initech"])).await;
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = send_all_the_time(Arc::clone(&world.app), world.customers(), &stop, &count);
    let edits = async {
        for (round, edit) in [
            (|spec: &mut Spec| spec.label = json!("second")) as fn(&mut Spec),
            |spec| spec.url_query = "?version=2".to_owned(),
            |spec| spec.label = json!({"third": [1, 2]}),
        ]
        .into_iter()
        .enumerate()
        {
            world.edit(edit);
            for customer in world.customers() {
                let is_changed = async || {
                    let all = world.app.all(&customer);
                    all.len() == round + 2
                        && all.iter().filter(|it| it.ended.is_some()).count() == round + 1
                };
                world
                    .wait(&format!("{customer} is registered anew"), is_changed)
                    .await;
                world.stands(&customer).await;
            }
            is_loaded(&world, &count).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(load, edits);
    nothing_is_lost(&world, sent).await;
    for customer in world.customers() {
        assert_eq!(world.app.count(&customer, Op::Create), 4);
        assert_eq!(world.app.count(&customer, Op::Delete), 3);
        let all = world.app.all(&customer);
        let targets: BTreeSet<_> = all.iter().map(|hook| &hook.target).collect();
        assert_eq!(targets.len(), 4, "each has a URI of its own");
    }
    world.app.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_the_same_uri_is_set_again_and_nothing_removed() {
    let mut world = begin(Spec {
        set_url: true,
        ..Spec::of(&["acme", "globex"])
    })
    .await;
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = send_all_the_time(Arc::clone(&world.app), world.customers(), &stop, &count);
    let edits = async {
        for round in 1..4 {
            world.edit(|spec| spec.label = json!(format!("round {round}")));
            for customer in world.customers() {
                let is_set = async || world.app.count(&customer, Op::Create) == round + 1;
                world
                    .wait(&format!("{customer} is set again"), is_set)
                    .await;
            }
            is_loaded(&world, &count).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(load, edits);
    nothing_is_lost(&world, sent).await;
    for customer in world.customers() {
        let all = world.app.all(&customer);
        let uris: BTreeSet<_> = all
            .iter()
            .map(|hook| (&hook.target, &hook.secret))
            .collect();
        assert_eq!((all.len(), uris.len()), (4, 1), "{customer}: {uris:?}");
        let ends: Vec<_> = all.iter().filter_map(|hook| Some(hook.ended?.1)).collect();
        assert_eq!(ends, [End::Replaced; 3]);
        assert_eq!(world.app.count(&customer, Op::Delete), 0);
    }
    world.app.assert_unharmed();
}

/// What is written wins over what the method would mean.
#[tokio::test(flavor = "multi_thread")]
async fn change_may_be_written_out_against_the_method() {
    // PUT means in place, unless each number is another webhook: then they overlap.
    let mut world = begin(Spec {
        put_by_name: true,
        change: Some("Overlap"),
        ..Spec::of(&["acme"])
    })
    .await;
    world.edit(|spec| spec.label = json!("second"));
    let is_removed = async || world.app.count("acme", Op::Delete) == 1;
    world.wait("the old one is removed", is_removed).await;
    let new = world.stands("acme").await;
    let all = world.app.all("acme");
    let lines: Vec<String> = { world.app.asked("acme") }
        .into_iter()
        .map(|asked| asked.line)
        .collect();
    assert_eq!(
        lines,
        [
            "PUT /acme/hooks/tidegate-1",
            "PUT /acme/hooks/tidegate-2",
            "DELETE /acme/hooks/tidegate-1"
        ]
    );
    assert_ne!(all[0].target, new.target);
    assert_ne!(all[0].secret, new.secret);
    let (ended, why) = all[0].ended.unwrap();
    assert!(why == End::Deleted && ended > new.made, "the new one first");
    world.arrives("acme").await;
    world.app.assert_unharmed();

    // POST means an overlap, unless the app recognises the target.
    let mut world = World::prepare(Spec {
        change: Some("InPlace"),
        ..Spec::of(&["acme"])
    })
    .await;
    world.app.set("acme", |moods| moods.upsert = true);
    world.dev.run().await;
    let first = world.stands("acme").await;
    world.edit(|spec| spec.label = json!("second"));
    let is_set = async || world.app.all("acme").len() == 2;
    world.wait("it is sent again", is_set).await;
    let second = world.stands("acme").await;
    assert_eq!(second.body["label"], "second");
    assert_eq!(
        (&first.target, &first.secret),
        (&second.target, &second.secret)
    );
    let ended = world.app.all("acme")[0].ended.unwrap();
    assert_eq!(ended, (second.made, End::Replaced), "never without one");
    assert_eq!(world.app.count("acme", Op::Delete), 0);
    world.arrives("acme").await;
    // Killed with an answer that was lost, it is sent once more, and still nothing is removed.
    let mut gate = world.app.gate("acme", Op::Create, Stage::Done);
    world.edit(|spec| spec.label = json!("third"));
    gate.reached().await;
    world.dev.kill();
    gate.go(Go::Nowhere);
    world.dev.run().await;
    let is_set = async || world.app.all("acme").len() >= 4;
    world.wait("it is sent once more", is_set).await;
    assert_eq!(world.stands("acme").await.target, first.target);
    assert_eq!(world.app.count("acme", Op::Delete), 0);
    world.arrives("acme").await;
    world.app.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_keeps_its_pace_and_stops_where_it_fails() {
    let customers: Vec<String> = (0..12).map(|number| format!("customer-{number}")).collect();
    let names: Vec<&str> = customers.iter().map(String::as_str).collect();
    let mut world = begin(Spec {
        rollout: Some(json!({"maxConcurrent": 2, "stopAfterFailures": 3})),
        ..Spec::of(&names)
    })
    .await;
    let slow = Fault::AnsweredAfter(Duration::from_millis(400));
    for customer in &customers {
        world.app.next(customer, Op::Create, slow);
    }
    let begin = Instant::now();
    world.edit(|spec| spec.label = json!("second"));
    for customer in &customers {
        let is_changed = async || world.app.count(customer, Op::Delete) == 1;
        world
            .wait(&format!("{customer} is changed"), is_changed)
            .await;
    }
    let mut open: Vec<(Instant, i32)> = Vec::new();
    for customer in &customers {
        for asked in world.app.asked(customer) {
            if asked.op == Op::Create && asked.at > begin {
                open.extend([(asked.at, 1), (asked.answered_at.unwrap(), -1)]);
            }
        }
    }
    open.sort();
    let mut now = 0;
    let most = open.iter().map(|(_, change)| {
        now += change;
        now
    });
    assert_eq!(most.max(), Some(2), "at the rollout's pace");

    // From now on the app says no: the change stops, and the old ones stay.
    for customer in &customers {
        for _ in 0..9 {
            world.app.next(customer, Op::Create, Fault::Refused(403));
        }
    }
    world.edit(|spec| spec.label = json!("third"));
    let tried = || -> usize {
        let count = |customer: &String| world.app.count(customer, Op::Create) - 2;
        customers.iter().map(count).sum()
    };
    world
        .wait("it has failed often enough", async || tried() >= 3)
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(tried() <= 4, "{}", tried());
    for customer in &customers {
        assert_eq!(world.app.live(customer).len(), 1);
    }
    world.app.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanished_at_the_app_is_restored() {
    let mut world = begin(Spec {
        lookup_every: Some("2s"),
        ..Spec::of(&["looked-up", "told-gone", "told-resubscribe"])
    })
    .await;
    world.app.forget("looked-up");
    let gone = world.stands_now("told-gone");
    world.tell("told-gone", "gone").await;
    world.app.forget("told-gone");
    world.tell("told-resubscribe", "resubscribe").await;
    for customer in world.customers() {
        let is_anew = async || world.app.all(&customer).len() == 2;
        world
            .wait(&format!("{customer} is registered anew"), is_anew)
            .await;
        world.stands(&customer).await;
        world.arrives(&customer).await;
    }
    assert_eq!(world.app.count("told-resubscribe", Op::Delete), 1);
    assert_ne!(world.stands_now("told-gone").target, gone.target);
    world.app.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_public_url_registers_anew_only_where_that_is_allowed() {
    let mut world = begin(Spec::of(&["acme", "globex"])).await;
    let before: Vec<_> = ["acme", "globex"].map(|it| world.stands_now(it)).into();
    let public = format!("http://localhost:{}", world.dev.listen.port());
    let mut arguments = vec!["--public-url".to_owned(), public.clone()];
    world.dev.kill();
    world.dev.start_as(&arguments);
    world.dev.run().await;
    let is_told = async || {
        let said = "The public URL changed, and 2 subscriptions at apps still name the former one. \
            They stay as they are; start with --allow-re-registration to register them anew.";
        world.dev.output().contains(said)
    };
    world.wait("it says what did not happen", is_told).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for (customer, before) in ["acme", "globex"].into_iter().zip(&before) {
        assert_eq!(world.app.asked(customer).len(), 1, "nothing is asked");
        assert_eq!(world.stands(customer).await.id, before.id);
        world.arrives(customer).await;
    }

    world.dev.kill();
    arguments.push("--allow-re-registration".to_owned());
    world.dev.start_as(&arguments);
    // Once more, to see that it is done once.
    for _ in 0..2 {
        world.dev.run().await;
        for (customer, before) in ["acme", "globex"].into_iter().zip(&before) {
            let is_removed = async || world.app.count(customer, Op::Delete) == 1;
            world.wait("the old one is removed", is_removed).await;
            let new = world.stands(customer).await;
            assert_ne!(new.id, before.id);
            assert!(new.target.starts_with(&public), "{}", new.target);
            world.arrives(customer).await;
            let all = world.app.all(customer);
            assert_eq!((all.len(), world.app.count(customer, Op::Delete)), (2, 1));
            assert!(all[0].ended.unwrap().0 > new.made, "the new one first");
        }
        world.dev.kill();
    }
    world.app.assert_unharmed();
}

/// Sends an event to each customer all the time; whose and which.
async fn send_all_the_time(
    app: Arc<ModelApp>,
    customers: Vec<String>,
    stop: &AtomicBool,
    count: &AtomicUsize,
) -> Vec<(String, String)> {
    let mut sent = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for customer in &customers {
            let id = format!("busy-{customer}-{}", sent.len());
            assert!(app.send(customer, &id) > 0, "{customer} is without one");
            sent.push((customer.clone(), id));
            count.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sent
}

/// Waits until some more events were sent, however quick the edit before was.
async fn is_loaded(world: &World, count: &AtomicUsize) {
    let before = count.load(Ordering::Relaxed);
    let is_sent = async || count.load(Ordering::Relaxed) >= before + 11;
    world.wait("some more events are sent", is_sent).await;
}

async fn nothing_is_lost(world: &World, sent: Vec<(String, String)>) {
    assert!(sent.len() > 30, "there was some load: {}", sent.len());
    for customer in world.customers() {
        let of = sent.iter().filter(|(whose, _)| *whose == customer);
        let ids: BTreeSet<String> = of.map(|(_, id)| id.clone()).collect();
        world
            .wait(
                &format!("all events of {customer} are delivered"),
                async || ids.is_subset(&world.delivered(&customer)),
            )
            .await;
    }
}
