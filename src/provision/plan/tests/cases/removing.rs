//! Removing registrations, and what is left when they cannot be removed.

use std::time::Duration;

use serde_json::json;

use super::{Story, done, found, listed, made, put, refused, unknown, with};
use crate::api::{DeletionPolicy, LifecycleAction};
use crate::provision::Outcome;
use crate::provision::plan::{Action, Waiting, noticed, orphans_removed};
use crate::provision::record::{OrphanReason, Phase};

#[test]
fn what_is_no_longer_wanted_is_removed_remembered_for_thirty_days_and_forgotten() {
    let mut story = Story::standing(&listed());
    story.is_desired = false;
    assert_eq!(story.expect("Unsubscribe(0)"), 1);
    story.answer(&done());
    assert_eq!(story.rests(), Waiting::Tombstone);
    assert_eq!(story.record().removed[0].number, 1);
    let customer = story.record().inputs.customer.as_ref().unwrap();
    assert!(
        customer.fields.sensitive.is_empty(),
        "secrets go with the last registration"
    );
    story.now += Duration::from_hours(30 * 24);
    assert_eq!(story.next(), Action::Forget);
}

#[test]
fn already_gone_is_success_for_every_step() {
    let step = |name: &str| json!({"name": name, "request": {"url": "https://app.example/$(subscription.id)"}});
    let declared = with(
        listed(),
        "unsubscribe",
        json!({"steps": [step("off"), step("delete")]}),
    );
    let mut story = Story::standing(&declared);
    story.is_desired = false;
    story.expect("Unsubscribe(0)");
    story.answer(&Outcome::Gone);
    story.crash();
    story.expect("Unsubscribe(1)");
    story.answer(&Outcome::Gone);
    assert_eq!(story.rests(), Waiting::Tombstone);
}

#[test]
fn a_dead_token_blocks_no_deletion_for_ever() {
    let mut story = Story::standing(&listed());
    story.is_desired = false;
    let began = story.now;
    while story.record().orphans.is_empty() {
        assert!(
            story.now < began + Duration::from_hours(3),
            "it is never given up"
        );
        match story.next() {
            Action::Send { .. } => story.answer(&refused()),
            Action::Wait {
                until: Some(until), ..
            } => story.now = until,
            // It is given up, and nothing is left to do.
            Action::Wait { until: None, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let took = story.record().orphans[0]
        .since
        .duration_since(began)
        .as_secs();
    assert!((3_600..4_300).contains(&took), "{took} s");
    let orphan = &story.record().orphans[0];
    assert_eq!(
        (orphan.id.as_deref(), orphan.why),
        (Some("wh_1"), OrphanReason::GaveUp)
    );
    story.now += Duration::from_hours(40 * 24);
    assert_eq!(
        story.rests(),
        Waiting::Tombstone,
        "orphans are not forgotten"
    );
}

#[test]
fn one_failure_is_not_given_up_however_long_the_process_was_down() {
    let mut story = Story::standing(&listed());
    story.is_desired = false;
    story.expect("Unsubscribe(0)");
    story.answer(&unknown());
    story.crash();
    story.now += Duration::from_hours(5);
    story.expect("Unsubscribe(0)");
    assert!(story.record().orphans.is_empty());
}

#[test]
fn what_cannot_or_must_not_be_removed_is_listed() {
    let mut story = Story::standing(&with(listed(), "unsubscribe", json!(null)));
    story.is_desired = false;
    assert_eq!(story.rests(), Waiting::Tombstone);
    assert_eq!(story.record().orphans[0].why, OrphanReason::NoUnsubscribe);

    let mut story = Story::standing(&listed());
    story.wish.policy = DeletionPolicy::Orphan;
    story.next();
    story.is_desired = false;
    assert_eq!(story.rests(), Waiting::Tombstone);
    assert_eq!(story.record().orphans[0].why, OrphanReason::Policy);
}

#[test]
fn an_attempt_that_was_not_sent_is_withdrawn_without_a_request() {
    let mut story = Story::of(&listed());
    let Action::Store(record) = story.planned() else {
        panic!("nothing is stored");
    };
    story.store(*record);
    story.is_desired = false;
    assert_eq!(story.rests(), Waiting::Tombstone);
    assert!(story.record().orphans.is_empty());
}

#[test]
fn an_attempt_that_may_have_been_sent_is_found_out_about_before_it_is_removed() {
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    story.crash();
    story.is_desired = false;
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_1", "wh_2"]));
    for _ in 0..2 {
        story.expect("Unsubscribe(0)");
        story.answer(&done());
    }
    assert_eq!(story.rests(), Waiting::Tombstone);

    let request = json!({"url": "https://app.example/hooks", "idempotent": true, "body": {"target": "$(webhookUri)"}});
    let mut story = Story::of(&json!({"request": request}));
    story.expect("Subscribe");
    story.answer(&unknown());
    story.is_desired = false;
    story.expect("Subscribe");
    story.answer(&made("wh_1"));
    story.expect("Unsubscribe(0)");
}

#[test]
fn what_is_removed_by_its_uri_needs_not_be_found_first() {
    let unsubscribe = json!({"steps": [{"name": "remove", "request": {
        "url": "https://app.example/subscriptions", "form": {"callback": "$(webhookUri)"}}}]});
    let mut story = Story::of(&json!({"unsubscribe": unsubscribe}));
    story.expect("Subscribe");
    story.answer(&unknown());
    story.is_desired = false;
    story.expect("Unsubscribe(0)");
    story.answer(&Outcome::Gone);
    assert_eq!(story.rests(), Waiting::Tombstone);
    assert!(story.record().orphans.is_empty());
}

#[test]
fn wanted_again_while_it_is_removed_it_gets_a_new_number_after_the_old_one_is_gone() {
    let mut story = Story::standing(&listed());
    story.is_desired = false;
    story.expect("Unsubscribe(0)");
    story.is_desired = true;
    story.answer(&unknown());
    assert_eq!(story.expect("Unsubscribe(0)"), 1);
    story.answer(&done());
    assert_eq!(story.expect("Subscribe"), 2);
    assert_eq!(story.record().token, "t0");
}

#[test]
fn a_removal_that_fails_again_and_again_does_not_keep_a_new_one_from_being_made() {
    let mut story = Story::standing(&listed());
    story.is_desired = false;
    story.next();
    story.is_desired = true;
    for _ in 0..2 {
        story.answer(&refused());
        story.expect("Unsubscribe(0)");
    }
    story.answer(&refused());
    assert_eq!(story.expect("Subscribe"), 2);

    let mut story = Story::standing(&put());
    story.is_desired = false;
    story.next();
    story.is_desired = true;
    for _ in 0..5 {
        story.answer(&refused());
        story.expect("Unsubscribe(0)");
    }
    assert_eq!(
        story.phases(),
        [Phase::Removing { next: 0 }],
        "unsetting would undo what is set"
    );
}

#[test]
fn what_the_app_has_removed_is_replaced_without_a_request_to_remove_it() {
    let mut story = Story::standing(&listed());
    story.now += Duration::from_hours(1);
    let next = noticed(story.record(), 1, LifecycleAction::Gone).unwrap();
    story.store(next);
    assert_eq!(story.expect("Subscribe"), 2);
    assert_eq!(story.phases()[0], Phase::Active, "it is served until then");
    story.answer(&made("wh_2"));
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.record().registrations.len(), 1);
}

#[test]
fn what_was_removed_and_perhaps_set_again_is_removed_by_us() {
    let mut story = Story::standing(&put());
    story.now += Duration::from_hours(1);
    let next = noticed(story.record(), 1, LifecycleAction::Gone).unwrap();
    story.store(next);
    assert_eq!(story.expect("Subscribe"), 1);
    story.answer(&unknown());
    story.is_desired = false;
    assert_eq!(story.expect("Unsubscribe(0)"), 1);
    story.answer(&done());
    assert_eq!(story.rests(), Waiting::Tombstone);
    assert!(story.record().orphans.is_empty());
}

#[test]
fn an_orphan_that_somebody_has_removed_is_forgotten() {
    let mut story = Story::standing(&listed());
    story.wish.policy = DeletionPolicy::Orphan;
    story.next();
    story.is_desired = false;
    assert_eq!(story.rests(), Waiting::Tombstone);
    let path = story.record().left_behind[0].path.clone();
    let since = story.record().orphans[0].since;
    let earlier = since - Duration::from_secs(1);
    assert_eq!(orphans_removed(story.record(), earlier, story.now), None);
    // An orphan never ends by itself.
    story.now += Duration::from_hours(24 * 365);
    assert_eq!(story.rests(), Waiting::Tombstone);
    let next = orphans_removed(story.record(), since, story.now).unwrap();
    story.store(next);
    let record = story.record();
    assert!(record.orphans.is_empty() && record.left_behind.is_empty());
    assert_eq!(record.removed[0].path, path);
    assert_eq!(orphans_removed(record, story.now, story.now), None);
    assert_eq!(story.rests(), Waiting::Tombstone);
    story.now += Duration::from_hours(24 * 365);
    assert_eq!(story.planned(), Action::Forget);
}
