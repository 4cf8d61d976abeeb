//! What an edit of a subscription means for its undelivered events, and replays.

use std::sync::Arc;

use super::support::*;
use crate::configuration::Customers;
use crate::delivery::{DeliveryState, EventQuery, ReplayError, ReplayRequest};
use crate::event::ObjectName;

#[tokio::test(flavor = "multi_thread")]
async fn another_sink_gets_what_the_first_did_not_take() {
    let world = World::new();
    world.sinks.behave("first", Behaviour::Answer500);
    let mut moved = entry("first");
    let delivery = world.start(&[moved.clone()]).await;
    let ids = world.ingest("e", 50).await;
    until("it was tried", || world.sinks.attempts("first") > 32).await;
    moved.sink.uri = "second".into();
    apply(&delivery, &[moved]).await;
    world.until_accepted("second", &ids).await;
    assert!(world.sinks.accepted("first").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_subscription_loses_its_events_and_a_new_one_of_its_name_has_none() {
    let world = World::new();
    let mut suspended = entry("gone");
    suspended.suspend = true;
    let delivery = world.start(&[suspended.clone()]).await;
    world.ingest("old", 10).await;
    until("all are routed", || undelivered(&delivery, "gone") == 10).await;
    apply(&delivery, &[]).await;
    assert!(delivery.status().is_empty());
    let mut again = entry("gone");
    again.uid = "another".into();
    apply(&delivery, &[again.clone()]).await;
    let ids = world.ingest("new", 10).await;
    world.until_accepted("gone", &ids).await;
    drop(delivery);
    // Another uid right away, and after a restart.
    again.uid = "a third".into();
    let delivery = world.start(&[again]).await;
    let newer = world.ingest("newer", 3).await;
    let all: Vec<_> = ids.into_iter().chain(newer).collect();
    world.until_accepted("gone", &all).await;
    drop(delivery);
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_events_follow_an_edit_of_filter_and_customers() {
    let world = World::new();
    let mut edited = entry("edited");
    edited.suspend = true;
    let delivery = world.start(&[edited.clone()]).await;
    let ids = world.ingest("e", 30).await;
    until("all are routed", || undelivered(&delivery, "edited") == 30).await;
    edited.suspend = false;
    edited.filter = Some("event.id.endsWith(\"0\") || event.id.endsWith(\"3\")".into());
    edited.customers = Customers::Only(Arc::new([customer("acme")].into_iter().collect()));
    apply(&delivery, &[edited.clone()]).await;
    // 0, 3 and 30 are divisible by three, which makes them acme's.
    let wanted: Vec<_> = ids
        .iter()
        .enumerate()
        .filter(|(number, id)| number % 3 == 0 && (id.ends_with('0') || id.ends_with('3')))
        .map(|(_, id)| id.clone())
        .collect();
    world.until_accepted("edited", &wanted).await;
    until("the others are dropped", || {
        undelivered(&delivery, "edited") == 0
    })
    .await;
    until("they are counted", || {
        status(&delivery, "edited").unwanted as usize == 30 - wanted.len()
    })
    .await;
    // An edit that wants more again brings back nothing that was considered before.
    edited.filter = None;
    edited.customers = Customers::All;
    apply(&delivery, &[edited]).await;
    let more = world.ingest("f", 3).await;
    let all: Vec<_> = wanted.into_iter().chain(more).collect();
    world.until_accepted("edited", &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_subscription_gets_every_event_stored_after_it_was_applied_and_none_before() {
    let world = World::new();
    let delivery = world.start(&[entry("first")]).await;
    let mut entries = vec![entry("first")];
    let mut expected: Vec<(String, Vec<String>)> = Vec::new();
    for round in 0..20 {
        let name = format!("late-{round}");
        entries.push(entry(&name));
        apply(&delivery, &entries).await;
        expected.push((name, Vec::new()));
        let ids = world.ingest(&format!("r{round}"), 5).await;
        for (_, wanted) in &mut expected {
            wanted.extend(ids.iter().cloned());
        }
    }
    for (name, ids) in &expected {
        world.until_accepted(name, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_brings_back_what_was_selected_and_goes_on_after_a_restart() {
    let world = World::new();
    let mut delivery = world.start(&[entry("one"), entry("two")]).await;
    let ids = world.ingest("e", 2000).await;
    world.until_accepted("one", &ids).await;
    world.until_accepted("two", &ids).await;
    until("all are settled", || {
        undelivered(&delivery, "one") == 0 && undelivered(&delivery, "two") == 0
    })
    .await;
    world.sinks.forget();
    let request = ReplayRequest {
        subscription: Some(ObjectName::new("shop", "one")),
        customer: Some("acme".into()),
        ..ReplayRequest::default()
    };
    // Slow enough that the restart comes in between.
    world.sinks.behave("one", Behaviour::Answer500);
    delivery.replay(request.clone()).await.unwrap();
    until("some are under way", || undelivered(&delivery, "one") > 100).await;
    assert!(
        undelivered(&delivery, "one") < 667,
        "it waits for its subscription"
    );
    until("the state is written", || {
        std::fs::metadata(world.state_file()).is_ok()
    })
    .await;
    delivery.drain(std::time::Duration::from_secs(120)).await;
    drop(delivery);
    world.sinks.behave("one", Behaviour::Accept);
    delivery = world.start(&[entry("one"), entry("two")]).await;
    let of_acme: Vec<_> = ids.iter().step_by(3).cloned().collect();
    world.until_accepted("one", &of_acme).await;
    until("the replay is over", || delivery.replays().is_empty()).await;
    assert!(world.sinks.accepted("two").is_empty());

    let unknown = ReplayRequest {
        subscription: Some(ObjectName::new("shop", "nobody")),
        ..ReplayRequest::default()
    };
    let refused = delivery.replay(unknown).await.unwrap_err();
    assert!(matches!(refused, ReplayError::UnknownSubscription(_)));
    world.sinks.forget();
    let by_id = ReplayRequest {
        id: Some("e-00042".into()),
        ..ReplayRequest::default()
    };
    delivery.replay(by_id).await.unwrap();
    for name in ["one", "two"] {
        world.until_accepted(name, &["e-00042".to_owned()]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivered_dead_letter_goes_to_its_subscription_only() {
    let world = World::new();
    let delivery = world.start(&[entry("one"), entry("two")]).await;
    let event = event("lost", Some("acme"));
    delivery
        .redeliver(&ObjectName::new("shop", "one"), &event)
        .await
        .unwrap();
    world.until_accepted("one", &["lost".to_owned()]).await;
    let ids = world.ingest("e", 2).await;
    world.until_accepted("two", &ids).await;
    let unknown = delivery
        .redeliver(&ObjectName::new("shop", "no"), &event)
        .await;
    assert!(unknown.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_in_both_directions_page_by_page() {
    let world = World::new();
    let mut suspended = entry("suspended");
    suspended.suspend = true;
    let delivery = world.start(&[entry("all"), suspended]).await;
    let ids = world.ingest("e", 25).await;
    world.until_accepted("all", &ids).await;
    until("all are settled", || undelivered(&delivery, "all") == 0).await;
    until("all are held", || undelivered(&delivery, "suspended") == 25).await;
    for newest_first in [false, true] {
        let mut query = EventQuery {
            newest_first,
            limit: 10,
            ..EventQuery::default()
        };
        let mut listed = Vec::new();
        let mut pages = 0;
        loop {
            let page = delivery.events(query.clone()).await.unwrap();
            assert!(page.items.len() <= 10);
            pages += 1;
            for item in page.items {
                let states: Vec<_> = item
                    .deliveries
                    .iter()
                    .map(|one| (one.subscription.name.as_str(), one.state))
                    .collect();
                assert!(states.contains(&("all", DeliveryState::Settled)));
                assert!(states.contains(&("suspended", DeliveryState::Pending)));
                listed.push(item.event.attributes.id);
            }
            let Some(next) = page.next else { break };
            query.after = Some(next.to_string().parse().unwrap());
        }
        if newest_first {
            listed.reverse();
        }
        assert_eq!(listed, ids, "newest first: {newest_first}");
        assert!(pages >= 3);
    }
    let check = async |select: ReplayRequest, expected: usize| {
        let query = EventQuery {
            limit: 100,
            select,
            ..EventQuery::default()
        };
        assert_eq!(delivery.events(query).await.unwrap().items.len(), expected);
    };
    let all = ReplayRequest::default;
    check(
        ReplayRequest {
            customer: Some("beta".into()),
            ..all()
        },
        8,
    )
    .await;
    check(
        ReplayRequest {
            id: Some("e-00007".into()),
            ..all()
        },
        1,
    )
    .await;
    check(
        ReplayRequest {
            event_type: Some(ObjectName::new("shop", "x")),
            ..all()
        },
        0,
    )
    .await;
    check(
        ReplayRequest {
            subscription: Some(ObjectName::new("shop", "all")),
            ..all()
        },
        25,
    )
    .await;
    check(
        ReplayRequest {
            subscription: Some(ObjectName::new("shop", "x")),
            ..all()
        },
        0,
    )
    .await;
    check(
        ReplayRequest {
            until: Some("2020-01-01T00:00:00Z".parse().unwrap()),
            ..all()
        },
        0,
    )
    .await;
    check(
        ReplayRequest {
            from: Some("2020-01-01T00:00:00Z".parse().unwrap()),
            ..all()
        },
        25,
    )
    .await;
}
