//! Renewals, notices, scheduled lookups: what keeps a registration that stands.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::scenarios::lookup;
use super::{Story, by_uri, done, expiring, found, listed, made, put, unknown, with};
use crate::api::LifecycleAction;
use crate::configuration::Captured;
use crate::provision::plan::{Waiting, captured, noticed};
use crate::provision::record::Phase;
use crate::provision::{Findings, Outcome};

fn renewed(before: &str) -> Value {
    let request = json!({"method": "PATCH", "url": "https://app.example/hooks/$(subscription.id)"});
    json!({"renewal": {"before": before, "request": request}})
}

/// A registration that expires so many hours after it was made.
fn made_for(declared: &Value, hours: u64) -> Story {
    let mut story = Story::of(declared);
    story.expect("Subscribe");
    let expires_at = story.now + Duration::from_hours(hours);
    story.answer(&expiring("wh_1", expires_at));
    story
}

fn hours_until(story: &Story, began: Timestamp) -> f64 {
    story.now.duration_since(began).as_secs_f64() / 3_600.0
}

#[test]
fn it_is_renewed_before_it_expires_but_not_before_half_of_its_lifetime() {
    // The jitter is at its most: a tenth of what is left.
    for (before, lifetime, expected) in [("12h", 100, 89.2), ("90h", 100, 55.0)] {
        let mut story = made_for(&renewed(before), lifetime);
        let began = story.now;
        story.expect("Renew");
        let found = hours_until(&story, began);
        assert!(
            (found - expected).abs() < 0.01,
            "{before} before {lifetime} h: after {found} h"
        );
    }
}

#[test]
fn a_renewal_moves_the_expiry_and_is_retried_when_it_fails() {
    let mut story = made_for(&renewed("12h"), 24);
    story.expect("Renew");
    story.answer(&unknown());
    assert!(story.current().is_active());
    story.expect("Renew");
    let renewed_at = story.now;
    let expires_at = renewed_at + Duration::from_hours(48);
    story.answer(&Outcome::Succeeded(Findings {
        expires_at: Some(expires_at),
        ..Findings::default()
    }));
    assert_eq!(story.current().expires_at, Some(expires_at));
    assert_eq!(story.current().trouble, None);
    story.expect("Renew");
    assert!(hours_until(&story, renewed_at) >= 36.0);
}

#[test]
fn a_renewal_that_does_not_say_when_it_expires_lasts_as_long_again() {
    let mut story = made_for(&renewed("12h"), 24);
    story.expect("Renew");
    story.answer(&done());
    assert_eq!(
        story.current().expires_at,
        Some(story.now + Duration::from_hours(24))
    );
}

#[test]
fn a_renewal_of_what_is_not_there_makes_a_new_registration() {
    let mut story = made_for(&renewed("12h"), 24);
    story.expect("Renew");
    story.answer(&Outcome::Gone);
    assert_eq!(story.expect("Subscribe"), 2);
    story.answer(&made("wh_2"));
    assert_eq!(story.rests(), Waiting::Due);
}

#[test]
fn recreating_makes_the_new_one_first() {
    let mut story = made_for(
        &json!({"renewal": {"before": "2h", "mode": "Recreate"}}),
        24,
    );
    let began = story.now;
    assert_eq!(story.expect("Subscribe"), 2);
    assert!((21.9..22.3).contains(&hours_until(&story, began)));
    story.answer(&unknown());
    assert_eq!(story.phases()[0], Phase::Active);
    assert_eq!(story.expect("Subscribe"), 3);
    story.answer(&made("wh_3"));
    assert_eq!(story.expect("Unsubscribe(0)"), 1);
}

#[test]
fn a_fixed_lifetime_is_renewed_every_so_often() {
    let request = json!({"method": "PUT", "url": "https://app.example/refresh"});
    let mut story = Story::standing(&json!({"renewal": {"every": "10h", "request": request}}));
    let began = story.now;
    story.expect("Renew");
    assert!((hours_until(&story, began) - 9.0).abs() < 0.01);
}

#[test]
fn what_has_expired_without_a_renewal_is_made_anew() {
    let mut story = made_for(&json!({}), 24);
    let began = story.now;
    assert_eq!(story.expect("Subscribe"), 2);
    assert!((hours_until(&story, began) - 24.0).abs() < 0.1);
}

#[test]
fn an_expiry_that_had_passed_when_it_was_said_causes_no_request_without_pause() {
    let mut story = Story::of(&renewed("1h"));
    story.expect("Subscribe");
    let began = story.now;
    story.answer(&expiring("wh_1", began - Duration::from_hours(5)));
    story.expect("Renew");
    assert!(hours_until(&story, began) >= 0.5);
}

#[test]
fn an_adopted_registration_is_renewed_at_once_to_learn_when_it_expires() {
    let mut story = Story::of(&with(renewed("12h"), "lookup", lookup()));
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_1"]));
    story.expect("Renew");
}

#[test]
fn an_expiry_that_a_handshake_told_counts() {
    let mut story = Story::of(&renewed("12h"));
    story.expect("Subscribe");
    let expires_at = story.now + Duration::from_hours(100);
    let told = Captured {
        signing_secret: None,
        expires_at: Some(expires_at),
    };
    let next = captured(story.record(), 1, &told, story.now).1.unwrap();
    story.store(next);
    story.answer(&made("wh_1"));
    assert_eq!(story.current().expires_at, Some(expires_at));
    assert!(story.current().renew_at.is_some());
}

#[test]
fn notices_are_acted_upon_but_not_without_pause() {
    let mut story = made_for(&renewed("12h"), 1_000);
    let began = story.now;
    let next = noticed(story.record(), 1, LifecycleAction::Renew).unwrap();
    assert_eq!(
        noticed(&next, 1, LifecycleAction::Renew),
        None,
        "it is known"
    );
    story.store(next);
    story.expect("Renew");
    assert_eq!(story.now.duration_since(began).as_secs(), 60);
    story.answer(&done());
    assert_eq!(story.current().notice, None);
    let next = noticed(story.record(), 1, LifecycleAction::Resubscribe).unwrap();
    assert_eq!(
        noticed(&next, 1, LifecycleAction::Renew),
        None,
        "the greater notice stays"
    );
    story.store(next);
    let renewed_at = story.now;
    assert_eq!(story.expect("Subscribe"), 2);
    assert_eq!(story.now.duration_since(renewed_at).as_secs(), 60);
    assert_eq!(
        noticed(story.record(), 2, LifecycleAction::Gone),
        None,
        "it is not made yet"
    );
}

#[test]
fn a_scheduled_lookup_finds_it_and_is_stored_once() {
    let every = with(lookup(), "every", json!("24h"));
    let mut story = Story::standing(&json!({"lookup": every}));
    let began = story.now;
    story.expect("Lookup(None)");
    assert!((21.5..=24.1).contains(&hours_until(&story, began)));
    story.answer(&found(&["wh_1", "wh_2"]));
    assert_eq!(
        story.expect("Unsubscribe(0)"),
        2,
        "another one at our own URI is removed"
    );
    story.answer(&done());
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.current().id.as_deref(), Some("wh_1"));
}

#[test]
fn what_a_scheduled_lookup_finds_beside_it_goes_with_it_where_it_is_removed_by_its_uri() {
    let every = with(lookup(), "every", json!("24h"));
    let mut story = Story::standing(&json!({"lookup": every, "unsubscribe": by_uri()}));
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_1", "wh_2"]));
    assert_eq!(story.expect("Subscribe"), 2, "the new one first");
    assert_eq!(story.record().serving().unwrap().number, 1);
    story.answer(&made("wh_3"));
    assert_eq!(story.expect("Unsubscribe(0)"), 1);
    story.answer(&done());
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.current().id.as_deref(), Some("wh_3"));
}

#[test]
fn a_scheduled_lookup_restores_what_vanished_after_two_empty_answers() {
    let every = with(lookup(), "every", json!("24h"));
    let mut story = Story::standing(&json!({"lookup": every.clone()}));
    story.expect("Lookup(None)");
    story.answer(&found(&[]));
    story.expect("Lookup(None)");
    story.answer(&found(&[]));
    assert_eq!(story.expect("Subscribe"), 2);

    let mut story = Story::standing(&with(put(), "lookup", every));
    story.expect("Lookup(None)");
    story.answer(&found(&[]));
    story.expect("Lookup(None)");
    story.answer(&found(&[]));
    assert_eq!(story.expect("Subscribe"), 1, "in place it is set again");
}

#[test]
fn a_lookup_that_fails_does_not_delay_renewals() {
    let every = with(lookup(), "every", json!("1h"));
    let mut story = made_for(&with(renewed("2h"), "lookup", every), 4);
    story.expect("Lookup(None)");
    for _ in 0..12 {
        story.answer(&unknown());
        story.expect("Lookup(None)");
        if story
            .record()
            .watch
            .trouble
            .as_ref()
            .is_some_and(|it| it.failures >= 6)
        {
            break;
        }
    }
    story.answer(&unknown());
    story.now = story.current().renew_at.unwrap();
    story.expect("Renew");
}

#[test]
fn nothing_is_stored_while_nothing_happens() {
    let mut story = Story::standing(&listed());
    for _ in 0..100 {
        story.now += Duration::from_hours(1);
        assert_eq!(story.rests(), Waiting::Due);
    }
    assert_eq!(story.writes, 0);
}
