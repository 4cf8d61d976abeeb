//! Changes of what is wanted: of the request, of its inputs, of the public URL.

use std::time::Duration;

use serde_json::json;

use super::{Story, done, listed, made, put, refused, unknown, with};
use crate::api::LifecycleAction;
use crate::provision::Outcome;
use crate::provision::plan::{
    RolloutResult, Turn, Waiting, is_changing, needs_turn, noticed, rollout_result,
};
use crate::provision::record::Phase;

#[test]
fn a_changed_request_makes_a_new_registration_before_the_old_one_is_removed() {
    let mut story = Story::standing(&listed());
    story.wish.version = 2;
    assert_eq!(story.expect("Subscribe"), 2);
    assert_eq!(story.phases()[0], Phase::Active);
    story.answer(&made("wh_2"));
    assert_eq!(story.expect("Unsubscribe(0)"), 1);
    story.answer(&done());
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.record().removed[0].number, 1);
}

#[test]
fn a_refused_change_that_is_taken_back_makes_nothing() {
    let mut story = Story::standing(&listed());
    story.wish.version = 2;
    assert_eq!(story.expect("Subscribe"), 2);
    story.answer(&refused());
    story.wish.version = 1;
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.current().number, 1);
    assert_eq!(story.record().making, None);
    story.wish.version = 3;
    assert_eq!(story.expect("Subscribe"), 3);
}

#[test]
fn in_place_it_is_sent_again_with_the_same_number_uri_and_secret_and_nothing_is_removed() {
    let declared = with(put(), "signingSecret", json!({"generate": {}}));
    let mut story = Story::standing(&declared);
    let before = story.current().clone();
    story.wish.version = 2;
    assert_eq!(story.expect("Subscribe"), 1);
    story.answer(&done());
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.current().webhook_uri, before.webhook_uri);
    assert_eq!(story.current().signing_secret, before.signing_secret);
    assert_eq!(story.current().request_hash, "h2");
    assert_eq!(story.record().removed, []);
}

#[test]
fn in_place_an_uncertain_change_is_sent_again_even_if_the_wish_is_what_it_was() {
    let mut story = Story::standing(&put());
    story.wish.version = 2;
    story.expect("Subscribe");
    story.answer(&unknown());
    story.wish.version = 1;
    assert_eq!(story.expect("Subscribe"), 1);
}

#[test]
fn in_place_a_refused_change_leaves_what_stands_and_is_tried_again() {
    let mut story = Story::standing(&put());
    story.wish.version = 2;
    story.expect("Subscribe");
    story.answer(&refused());
    assert_eq!(story.current().phase, Phase::Active);
    assert_eq!(story.current().request_hash, "h1");
    story.wish.version = 1;
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(
        story.record().making,
        None,
        "what failed is not wanted any more"
    );
}

#[test]
fn a_mere_change_of_inputs_rewrites_the_record_once_and_sends_nothing() {
    let mut story = Story::standing(&listed());
    story.wish.token = 2;
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.writes, 1);
    assert_eq!(story.record().inputs, story.wish.desired().inputs);
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.writes, 1);
}

#[test]
fn another_public_url_registers_anew_only_with_the_annotation() {
    let mut story = Story::standing(&listed());
    story.wish.public_url = "https://new.example";
    assert_eq!(story.rests(), Waiting::Due);
    story.wish.allow_re_registration = true;
    assert_eq!(story.expect("Subscribe"), 2);
    assert_eq!(
        story.current().webhook_uri.as_deref(),
        Some("https://new.example/h/t0/2")
    );

    let mut story = Story::standing(&put());
    story.wish.public_url = "https://new.example";
    story.wish.version = 2;
    story.expect("Subscribe");
    let uri = story.current().webhook_uri.as_deref();
    assert_eq!(
        uri,
        Some("https://hooks.example/h/t0/1"),
        "a change alone keeps the URI"
    );
    story.answer(&done());
    story.wish.allow_re_registration = true;
    assert_eq!(story.expect("Subscribe"), 1);
    assert_eq!(
        story.current().webhook_uri.as_deref(),
        Some("https://new.example/h/t0/1")
    );
}

#[test]
fn only_changes_of_what_stands_wait_for_a_turn() {
    let mut story = Story::of(&listed());
    story.turn = Turn::Waiting;
    story.expect("Subscribe");
    story.answer(&made("wh_1"));
    story.now += Duration::from_hours(1);
    let next = noticed(story.record(), 1, LifecycleAction::Resubscribe).unwrap();
    story.store(next);
    assert_eq!(story.expect("Subscribe"), 2, "a restoration needs none");
    story.answer(&made("wh_2"));
    story.expect("Unsubscribe(0)");
    story.answer(&done());
    story.wish.version = 2;
    let desired = story.wish.desired();
    assert!(needs_turn(story.record(), &desired, story.now));
    assert_eq!(story.rests(), Waiting::Turn);
    story.turn = Turn::Stopped;
    assert_eq!(story.rests(), Waiting::RolloutStopped);
    story.turn = Turn::Granted;
    assert_eq!(story.expect("Subscribe"), 3);
}

#[test]
fn a_rollout_is_told_who_is_changing_and_how_it_went() {
    for declared in [listed(), put()] {
        let mut story = Story::standing(&declared);
        story.wish.version = 2;
        story.expect("Subscribe");
        assert!(is_changing(story.record(), story.now));
        let before = story.record().clone();
        story.answer(&refused());
        assert_eq!(
            rollout_result(&before, story.record()),
            Some(RolloutResult::Failed)
        );
        assert!(
            !is_changing(story.record(), story.now),
            "who waits to try again holds no turn"
        );
        story.turn = Turn::Waiting;
        story.now += Duration::from_mins(1);
        assert_eq!(story.rests(), Waiting::Turn);
        story.turn = Turn::Granted;
        story.expect("Subscribe");
        let before = story.record().clone();
        story.answer(&made("wh_2"));
        assert_eq!(
            rollout_result(&before, story.record()),
            Some(RolloutResult::Succeeded)
        );
        assert!(!is_changing(story.record(), story.now));
    }
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    let before = story.record().clone();
    assert!(!is_changing(&before, story.now));
    story.answer(&refused());
    assert_eq!(
        rollout_result(&before, story.record()),
        None,
        "a first registration is no change"
    );
}

#[test]
fn a_change_while_one_is_being_made_asks_for_the_latest() {
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    story.answer(&refused());
    story.wish.version = 2;
    assert_eq!(story.expect("Subscribe"), 1);
    story.answer(&made("wh_1"));
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.current().request_hash, "h2");
}

#[test]
fn an_idempotent_request_that_changed_is_not_repeated_under_the_same_id() {
    let request = json!({"url": "https://app.example/hooks", "idempotent": true, "body": {"target": "$(webhookUri)"}});
    let mut story = Story::of(&json!({"request": request}));
    story.expect("Subscribe");
    let attempt = story.current().attempt.id.clone();
    story.answer(&unknown());
    story.wish.version = 2;
    assert_eq!(story.expect("Subscribe"), 2);
    assert_ne!(story.current().attempt.id, attempt);
    assert_eq!(story.record().orphans[0].number, 1);
}

#[test]
fn a_change_that_comes_while_the_answer_was_lost_follows_the_adopted_one() {
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    story.answer(&unknown());
    story.wish.version = 2;
    story.expect("Lookup(None)");
    story.answer(&super::found(&["wh_1"]));
    assert_eq!(story.current().request_hash, "h1");
    assert_eq!(story.expect("Subscribe"), 2);
    story.answer(&Outcome::Refused {
        error: "no".into(),
        retry_after: None,
    });
    assert_eq!(story.phases(), [Phase::Active, Phase::Waiting]);
}
