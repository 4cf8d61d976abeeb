//! A sink that fails costs its own subscription only, and loses nothing.

use std::time::Duration;

use super::support::*;
use crate::configuration::Ordering;
use crate::delivery::DeliveringReason;
use crate::event::ReasonCode;

#[tokio::test(flavor = "multi_thread")]
async fn every_event_reaches_every_subscription_that_wants_it() {
    let world = World::new();
    let mut vip = entry("vip");
    vip.filter = Some("event.id.endsWith(\"7\")".into());
    let mut acme = entry("acme");
    acme.customers = crate::configuration::Customers::Only(std::sync::Arc::new(
        [customer("acme")].into_iter().collect(),
    ));
    let mut other = entry("other");
    other.event_type.name = "another-type".into();
    let delivery = world.start(&[entry("all"), vip, acme, other]).await;
    let ids = world.ingest("e", 100).await;
    world.until_accepted("all", &ids).await;
    let sevens: Vec<_> = ids.iter().filter(|id| id.ends_with('7')).cloned().collect();
    world.until_accepted("vip", &sevens).await;
    let of_acme: Vec<_> = ids.iter().step_by(3).cloned().collect();
    world.until_accepted("acme", &of_acme).await;
    until("nothing is undelivered", || {
        undelivered(&delivery, "all") == 0
    })
    .await;
    assert!(world.sinks.accepted("other").is_empty());
    assert_eq!(world.sinks.attempts("all"), 100, "each event went once");
    until("they are counted", || {
        status(&delivery, "all").delivered == 100
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sick_sinks_hold_up_nobody_and_get_everything_when_they_recover() {
    let world = World::new();
    let sick = [
        ("hangs", Behaviour::Hang),
        ("fails", Behaviour::Answer500),
        ("panics", Behaviour::Panic),
    ];
    let mut entries = vec![entry("well"), entry("suspended")];
    entries[1].suspend = true;
    for (name, behaviour) in sick {
        let mut sick = entry(name);
        // A sender ends by itself; this one has to be cut off, so the edit below replaces it.
        sick.delivery.timeout = Duration::from_secs(3600);
        entries.push(sick);
        world.sinks.behave(name, behaviour);
    }
    let delivery = world.start(&entries).await;
    let ids = world.ingest("e", 300).await;
    world.until_accepted("well", &ids).await;
    until("the failing sink is failing", || {
        let status = status(&delivery, "fails");
        status.delivering.reason == DeliveringReason::SinkFailing
    })
    .await;
    until("all are held", || {
        undelivered(&delivery, "suspended") == 300
    })
    .await;
    let held = status(&delivery, "suspended");
    assert_eq!(held.delivering.reason, DeliveringReason::Suspended);
    until("as many hang as may", || {
        world.sinks.attempts("hangs") == 16
    })
    .await;
    assert_eq!(status(&delivery, "hangs").in_flight, 16);

    for (name, _) in sick {
        world.sinks.behave(name, Behaviour::Accept);
    }
    entries[1].suspend = false;
    apply(&delivery, &entries).await;
    for name in ["fails", "panics", "suspended"] {
        world.until_accepted(name, &ids).await;
    }
    // Those that hang are still open; all others cannot go before, as every slot is taken.
    assert_eq!(world.sinks.accepted("hangs").len(), 0);
    drop(delivery);
    let delivery = world.start(&entries).await;
    world.until_accepted("hangs", &ids).await;
    drop(delivery);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_a_customer_holds_through_failures_and_restarts() {
    let world = World::new();
    let mut ordered = entry("ordered");
    ordered.delivery.ordering = Ordering::PerCustomer;
    world.sinks.behave("ordered", Behaviour::FailFirst(2));
    let mut ids = Vec::new();
    for round in 0..4 {
        let delivery = world.start(std::slice::from_ref(&ordered)).await;
        ids.extend(world.ingest(&format!("e{round}"), 60).await);
        until("some have come", || {
            world.sinks.accepted("ordered").len() > round * 20
        })
        .await;
        drop(delivery);
    }
    let delivery = world.start(&[ordered]).await;
    world.until_accepted("ordered", &ids).await;
    until("nothing is undelivered", || {
        undelivered(&delivery, "ordered") == 0
    })
    .await;
    let accepted = world.sinks.accepted("ordered");
    for customer in 0..3 {
        let of_customer = |id: &&String| {
            let number: usize = id.rsplit('-').next().unwrap().parse().unwrap();
            number % 3 == customer
        };
        // After a restart a few may come again, all in their order; the first time of each counts.
        let mut seen = std::collections::BTreeSet::new();
        let first: Vec<_> = accepted
            .iter()
            .filter(of_customer)
            .filter(|id| seen.insert(*id))
            .collect();
        let expected: Vec<_> = ids.iter().filter(of_customer).collect();
        assert_eq!(first, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_becomes_a_dead_letter_with_its_reason() {
    let world = World::new();
    let mut few = entry("few");
    few.delivery.max_attempts = 3;
    world.sinks.behave("few", Behaviour::Answer500);
    world.sinks.behave("picky", Behaviour::RefuseIds("e-00001"));
    let delivery = world.start(&[few, entry("picky")]).await;
    world.ingest("e", 3).await;
    until("there are four dead letters", || {
        world.dead_letters.kept.lock().unwrap().len() == 4
    })
    .await;
    let kept = world.dead_letters.kept.lock().unwrap().clone();
    for letter in kept {
        let verdict = &letter.verdict;
        let name = verdict.subscription.as_ref().unwrap().name.as_str();
        let (code, attempts, error) = match name {
            "few" => (ReasonCode::AttemptsExhausted, 3, "500"),
            _ => (ReasonCode::SinkRefused, 1, "400"),
        };
        assert_eq!(
            (verdict.reasons[0].code, verdict.attempts),
            (code, attempts)
        );
        assert!(
            verdict.reasons[0].message.contains(error),
            "{:?}",
            verdict.reasons
        );
        assert!(letter.event.data.is_some());
    }
    until("nothing is undelivered", || {
        undelivered(&delivery, "few") == 0
    })
    .await;
    until("the others came", || {
        world.sinks.accepted("picky").len() == 2
    })
    .await;
    until("they are counted", || {
        status(&delivery, "few").dead_letters == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_too_old_becomes_a_dead_letter_even_if_it_is_suspended() {
    let world = World::new();
    let mut suspended = entry("suspended");
    suspended.suspend = true;
    suspended.delivery.max_age = Duration::from_secs(1);
    let delivery = world.start(&[suspended]).await;
    let ids = world.ingest("e", 5).await;
    until("all are dead letters", || {
        world.dead_letters.ids().len() == ids.len()
    })
    .await;
    let kept = world.dead_letters.kept.lock().unwrap().clone();
    assert!(
        kept.iter()
            .all(|letter| letter.verdict.reasons[0].code == ReasonCode::TooOld)
    );
    until("nothing is undelivered", || {
        undelivered(&delivery, "suspended") == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stays_undelivered_until_its_dead_letter_is_kept() {
    let world = World::new();
    world.sinks.behave("refuses", Behaviour::Refuse);
    *world.dead_letters.broken.lock().unwrap() = true;
    let delivery = world.start(&[entry("refuses")]).await;
    world.ingest("e", 4).await;
    until("all were tried", || world.sinks.attempts("refuses") == 4).await;
    assert_eq!(undelivered(&delivery, "refuses"), 4);
    drop(delivery);
    *world.dead_letters.broken.lock().unwrap() = false;
    let delivery = world.start(&[entry("refuses")]).await;
    until("all are dead letters", || {
        world.dead_letters.ids().len() == 4
    })
    .await;
    until("nothing is undelivered", || {
        undelivered(&delivery, "refuses") == 0
    })
    .await;
    assert_eq!(
        world.dead_letters.kept.lock().unwrap().len(),
        4,
        "each once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_cannot_decide_delivers_nothing_and_says_so() {
    let world = World::new();
    let mut filtered = entry("filtered");
    filtered.filter = Some("event.data.missing.deeper".into());
    let delivery = world.start(&[filtered, entry("all")]).await;
    let ids = world.ingest("e", 12).await;
    world.until_accepted("all", &ids).await;
    until("the filter has seen all", || {
        status(&delivery, "filtered").filter_errors == 12
    })
    .await;
    let status = status(&delivery, "filtered");
    assert_eq!(status.delivering.reason, DeliveringReason::FilterFailing);
    assert!(world.sinks.accepted("filtered").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_cannot_be_used_holds_its_events_and_says_so() {
    let world = World::new();
    let mut unusable = entry("unusable");
    let mut held = entry("held");
    held.held = Some("Secret shop/orders is missing".into());
    let delivery = world.start(&[unusable.clone(), held.clone()]).await;
    let ids = world.ingest("e", 3).await;
    until("all are routed", || {
        undelivered(&delivery, "unusable") == 3 && undelivered(&delivery, "held") == 3
    })
    .await;
    for (name, message) in [("unusable", "its URL is none"), ("held", "shop/orders")] {
        let status = status(&delivery, name);
        assert_eq!(status.delivering.reason, DeliveringReason::Held);
        assert!(status.delivering.message.contains(message));
    }
    unusable.sink.uri = "usable".into();
    held.held = None;
    apply(&delivery, &[unusable, held]).await;
    world.until_accepted("usable", &ids).await;
    world.until_accepted("held", &ids).await;
}
