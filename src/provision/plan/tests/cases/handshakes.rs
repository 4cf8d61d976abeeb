//! Secrets that come in handshakes: the first one wins, and none is waited for without end.

use std::time::Duration;

use serde_json::json;

use super::{Story, done, listed, made, refused, with};
use crate::configuration::{CaptureAnswer, Captured, Sensitive};
use crate::provision::plan::{Waiting, captured};

fn capture(secret: &str) -> Captured {
    Captured {
        signing_secret: Some(Sensitive::from(secret)),
        expires_at: None,
    }
}

#[test]
fn the_first_captured_secret_wins_also_while_the_request_is_open() {
    let mut story = Story::of(&with(
        listed(),
        "signingSecret",
        json!({"fromHandshake": {}}),
    ));
    story.expect("Subscribe");
    let at = |story: &Story, secret: &str| captured(story.record(), 1, &capture(secret), story.now);
    let (answer, next) = at(&story, "one");
    assert_eq!(answer, CaptureAnswer::Taken);
    story.store(next.unwrap());
    assert_eq!(at(&story, "one"), (CaptureAnswer::Taken, None));
    assert_eq!(at(&story, "two"), (CaptureAnswer::Refused, None));
    assert_eq!(at(&story, ""), (CaptureAnswer::Refused, None));
    story.answer(&made("wh_1"));
    assert!(story.current().is_active());
    assert_eq!(story.current().signing_secret, Some(Sensitive::from("one")));
    assert_eq!(at(&story, "one"), (CaptureAnswer::Closed, None));
    assert_eq!(
        captured(story.record(), 2, &capture("x"), story.now).0,
        CaptureAnswer::Closed
    );
}

#[test]
fn a_registration_whose_handshake_does_not_come_is_replaced() {
    let mut story = Story::of(&with(
        listed(),
        "signingSecret",
        json!({"fromHandshake": {}}),
    ));
    story.expect("Subscribe");
    story.answer(&made("wh_1"));
    assert_eq!(story.rests(), Waiting::Secret);
    let (answer, next) = captured(story.record(), 1, &capture("late"), story.now);
    assert_eq!(answer, CaptureAnswer::Taken);
    assert!(next.unwrap().current().unwrap().is_active());
    let began = story.now;
    assert_eq!(story.expect("Unsubscribe(0)"), 1);
    assert_eq!(story.now, began + Duration::from_mins(5));
    story.answer(&done());
    assert_eq!(story.expect("Subscribe"), 2);
}

#[test]
fn a_number_that_captured_a_secret_is_not_tried_again() {
    let mut story = Story::of(&with(
        listed(),
        "signingSecret",
        json!({"fromHandshake": {}}),
    ));
    story.expect("Subscribe");
    let next = captured(story.record(), 1, &capture("one"), story.now)
        .1
        .unwrap();
    story.store(next);
    story.answer(&refused());
    assert_eq!(story.expect("Subscribe"), 2);
    assert_eq!(story.current().signing_secret, None);
}
