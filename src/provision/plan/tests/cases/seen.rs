//! What others see of a record: people, gateways, a later version.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::json;

use super::{Story, done, expiring, listed, made, put, refused, unknown, with};
use crate::api::condition::reason;
use crate::api::{DeletionPolicy, ReceivedResponse, UpstreamSubscriptionStatus};
use crate::configuration::{RegistrationState, Sensitive};
use crate::provision::plan::{Turn, received};
use crate::provision::record::{ReadError, read, write};
use crate::provision::{Findings, Outcome, entries, keep_transitions, status};

fn shown(story: &Story) -> UpstreamSubscriptionStatus {
    let desired = story.is_desired.then(|| story.wish.desired());
    status(
        story.record.as_ref(),
        desired.as_ref(),
        story.turn,
        story.now,
    )
}

/// State, and conditions as `Type=Status/Reason`.
fn summary(story: &Story) -> String {
    let status = shown(story);
    let conditions = status.conditions.iter();
    let conditions: Vec<String> = conditions
        .map(|it| format!("{}={}/{}", it.type_, it.status, it.reason))
        .collect();
    let state = status
        .state
        .map_or("-".to_owned(), |state| format!("{state:?}"));
    format!("{state} {}", conditions.join(" "))
}

#[test]
fn the_status_follows_the_record() {
    let mut story = Story::of(&listed());
    assert_eq!(
        summary(&story),
        "Pending Subscribed=False/Subscribing Reconciling=True/Subscribing"
    );
    story.expect("Subscribe");
    assert_eq!(
        summary(&story),
        "Subscribing Subscribed=False/Subscribing Reconciling=True/Subscribing"
    );
    assert_eq!(shown(&story).attempt.unwrap().number, 1);
    story.answer(&unknown());
    assert_eq!(
        summary(&story),
        "Subscribing Subscribed=False/AppUnreachable Reconciling=True/AppUnreachable"
    );
    story.expect("Lookup(None)");
    story.answer(&super::found(&["wh_1"]));
    assert_eq!(summary(&story), "Active Subscribed=True/Subscribed");
    assert_eq!(shown(&story).last_error, None);
    story.wish.version = 2;
    story.turn = Turn::Waiting;
    story.next();
    assert_eq!(
        summary(&story),
        "Active Subscribed=True/Subscribed Reconciling=True/WaitingForTurn"
    );
    story.turn = Turn::Stopped;
    assert_eq!(
        summary(&story),
        "Active Subscribed=True/Subscribed Stalled=True/RolloutStopped"
    );
    story.turn = Turn::Granted;
    story.expect("Subscribe");
    story.answer(&made("wh_2"));
    assert_eq!(shown(&story).registrations.len(), 2);
    story.is_desired = false;
    story.next();
    assert_eq!(
        summary(&story),
        "Unsubscribing Subscribed=False/Unsubscribing Reconciling=True/Unsubscribing"
    );
}

#[test]
fn what_the_app_refuses_again_and_again_has_failed_until_it_works() {
    let mut story = Story::of(&listed());
    for _ in 0..3 {
        story.expect("Subscribe");
        story.answer(&refused());
    }
    assert_eq!(
        summary(&story),
        "Failed Subscribed=False/AppRefused Reconciling=True/AppRefused"
    );
    assert_eq!(shown(&story).last_error.as_deref(), Some("403"));
    story.expect("Subscribe");
    story.answer(&made("wh_1"));
    assert_eq!(summary(&story), "Active Subscribed=True/Subscribed");
}

#[test]
fn people_are_warned_before_it_expires_and_when_it_is_quiet() {
    let mut story = Story::of(&with(listed(), "quietPeriod", json!("10h")));
    story.expect("Subscribe");
    let expires_at = story.now + Duration::from_hours(100);
    story.answer(&expiring("wh_1", expires_at));
    story.now += Duration::from_hours(9);
    let next = received(story.record(), story.now).unwrap();
    assert_eq!(
        received(&next, story.now + Duration::from_mins(59)),
        None,
        "once an hour"
    );
    story.store(next);
    story.now += Duration::from_hours(9);
    assert!(summary(&story).contains("True/Subscribed"));
    story.now += Duration::from_hours(1);
    assert!(summary(&story).contains("True/QuietTooLong"));
    story.now = expires_at - Duration::from_hours(2);
    assert!(summary(&story).contains("True/ExpiringSoon"));
}

#[test]
fn orphans_and_another_public_url_are_told() {
    let mut story = Story::of(&json!({}));
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Subscribe");
    story.answer(&made("wh_2"));
    let message = shown(&story).conditions[0].message.clone();
    assert!(
        message.ends_with("may still stand at the app: registration 1"),
        "{message}"
    );
    story.wish.public_url = "https://new.example";
    story.next();
    assert!(summary(&story).contains(reason::PUBLIC_URL_CHANGED));
}

#[test]
fn another_subscriptions_record_stalls() {
    let mut story = Story::standing(&listed());
    let mut record = story.record.take().unwrap();
    std::sync::Arc::make_mut(&mut record.inputs).event_type.name = "another".into();
    story.record = Some(record);
    assert_eq!(
        summary(&story),
        "Failed Subscribed=False/NotOurs Stalled=True/NotOurs"
    );
}

#[test]
fn the_token_of_the_uri_is_not_shown() {
    let story = Story::standing(&with(listed(), "signingSecret", json!({"generate": {}})));
    let status = shown(&story);
    assert_eq!(
        status.webhook_uri.as_deref(),
        Some("https://hooks.example/h/***/1")
    );
    let text = serde_json::to_string(&status).unwrap();
    assert!(!text.contains("t0"), "{text}");
    assert!(!text.contains(&hex::encode([7; 32])), "{text}");
}

#[test]
fn a_condition_keeps_its_time_until_its_status_flips() {
    let mut story = Story::of(&listed());
    let before = shown(&story).conditions;
    story.expect("Subscribe");
    story.now += Duration::from_secs(5);
    let time = |conditions: &[Condition]| conditions[0].last_transition_time.0;
    let mut after = shown(&story).conditions;
    keep_transitions(&before, &mut after);
    assert_eq!(time(&after), time(&before));
    story.answer(&made("wh_1"));
    let mut after = shown(&story).conditions;
    keep_transitions(&before, &mut after);
    assert_eq!(time(&after), story.now);
}

/// Entries as `path: state`.
fn served(story: &Story) -> Vec<String> {
    let entries = entries(story.record(), story.now);
    let told = entries.iter().map(|entry| match &entry.state {
        RegistrationState::Orphaned => format!("{} orphaned", entry.path),
        RegistrationState::Removed => format!("{} removed", entry.path),
        RegistrationState::Live(live) if live.capture_open => format!("{} open", entry.path),
        RegistrationState::Live(_) => format!("{} live", entry.path),
    });
    told.collect()
}

#[test]
fn a_uri_is_served_before_the_app_knows_it_and_answers_410_for_thirty_days() {
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    assert_eq!(served(&story), ["/h/t0/1 open"]);
    story.answer(&made("wh_1"));
    assert_eq!(
        served(&story),
        ["/h/t0/1 open"],
        "some apps verify a moment later"
    );
    story.now += Duration::from_mins(5);
    assert_eq!(served(&story), ["/h/t0/1 live"]);
    story.wish.version = 2;
    story.expect("Subscribe");
    story.answer(&made("wh_2"));
    story.now += Duration::from_mins(5);
    story.expect("Unsubscribe(0)");
    assert_eq!(served(&story), ["/h/t0/1 live", "/h/t0/2 live"]);
    story.answer(&done());
    assert_eq!(served(&story), ["/h/t0/1 removed", "/h/t0/2 live"]);
    story.now += Duration::from_hours(30 * 24);
    assert_eq!(served(&story), ["/h/t0/2 live"]);
}

#[test]
fn the_uri_of_an_orphan_is_served_as_long_as_the_app_may_call_it() {
    let two_months = Duration::from_hours(60 * 24);
    // Its answer was lost and nothing can find it: its events count, as in an overlap.
    let generated = json!({"signingSecret": {"generate": {}}, "lookup": null});
    let mut story = Story::of(&generated);
    story.expect("Subscribe");
    story.crash();
    assert_eq!(story.expect("Subscribe"), 2);
    assert_eq!(served(&story), ["/h/t0/1 live", "/h/t0/2 open"]);
    let secret = |story: &Story| match &entries(story.record(), story.now)[0].state {
        RegistrationState::Live(live) => live.signing_secret.clone(),
        RegistrationState::Orphaned | RegistrationState::Removed => None,
    };
    assert_eq!(secret(&story), Some(hex::encode([7; 32]).as_str().into()));
    story.answer(&made("wh_2"));
    story.now += two_months;
    assert_eq!(served(&story), ["/h/t0/1 live", "/h/t0/2 live"]);
    // Once nobody wants them, they are acknowledged, and what they sign with is forgotten.
    story.is_desired = false;
    story.expect("Unsubscribe(0)");
    assert_eq!(story.record().left_behind[0].known, None);
    story.answer(&done());
    assert_eq!(served(&story), ["/h/t0/1 orphaned", "/h/t0/2 removed"]);
    story.now += two_months;
    assert_eq!(served(&story), ["/h/t0/1 orphaned"]);
    // Wanted again, another one brings all of it.
    story.is_desired = true;
    story.expect("Subscribe");
    assert_eq!(served(&story), ["/h/t0/1 orphaned", "/h/t0/3 open"]);

    // Nobody knows what it signs with, so nothing of it can be believed.
    let secret = json!({"fromResponse": "response.body.secret"});
    let mut story = Story::of(&json!({"signingSecret": secret}));
    story.expect("Subscribe");
    story.crash();
    story.expect("Subscribe");
    assert_eq!(served(&story), ["/h/t0/1 orphaned", "/h/t0/2 open"]);

    // Another one has taken over.
    let mut story = Story::standing(&with(listed(), "unsubscribe", json!(null)));
    story.wish.version = 2;
    story.expect("Subscribe");
    story.answer(&made("wh_2"));
    story.now += two_months;
    story.rests();
    assert_eq!(served(&story), ["/h/t0/1 orphaned", "/h/t0/2 live"]);

    // It was left standing on purpose.
    let mut story = Story::standing(&listed());
    story.wish.policy = DeletionPolicy::Orphan;
    story.next();
    story.is_desired = false;
    story.rests();
    assert_eq!(served(&story), ["/h/t0/1 orphaned"]);
}

#[test]
fn while_an_answer_in_place_may_bring_another_secret_none_is_served() {
    let declared = with(
        put(),
        "signingSecret",
        json!({"fromResponse": "response.body.secret"}),
    );
    let secret = |story: &Story| match &entries(story.record(), story.now)[0].state {
        RegistrationState::Live(live) => live.signing_secret.clone(),
        RegistrationState::Orphaned | RegistrationState::Removed => panic!("it stands"),
    };
    let answer = |text: &str| {
        Outcome::Succeeded(Findings {
            signing_secret: Some(text.into()),
            ..Findings::default()
        })
    };
    let mut story = Story::of(&declared);
    story.expect("Subscribe");
    story.answer(&answer("one"));
    assert_eq!(secret(&story), Some("one".into()));
    story.wish.version = 2;
    story.expect("Subscribe");
    assert_eq!(secret(&story), None);
    story.answer(&unknown());
    assert_eq!(secret(&story), None);
    story.expect("Subscribe");
    story.answer(&answer("two"));
    assert_eq!(secret(&story), Some("two".into()));
}

#[test]
fn a_secret_that_comes_to_be_known_later_is_masked_in_what_was_kept_before() {
    let mut story = Story::standing(&listed());
    let record = story.record.as_mut().unwrap();
    let registration = record.registrations.first_mut().unwrap();
    registration.signing_secret = Some("a-secret-of-the-app".into());
    registration.id = Some("https://app.example/h/a-secret-of-the-app".into());
    registration.response = Some(ReceivedResponse {
        status: 201,
        body: Some("{\"note\": \"a-secret-of-the-app\"}".into()),
        headers: [("x-note".to_owned(), "a-secret-of-the-app".to_owned())].into(),
        received_at: "2026-01-01T00:00:00Z".into(),
    });
    let text = serde_json::to_string(&shown(&story)).unwrap();
    assert!(text.contains("x-note"), "{text}");
    assert!(!text.contains("a-secret-of-the-app"), "{text}");
}

#[test]
fn an_entry_holds_what_requests_are_judged_by_and_nothing_else() {
    let secret = json!({"customerField": "token"});
    let story = Story::standing(&with(put(), "signingSecret", secret));
    let mut record = story.record().clone();
    let inputs = std::sync::Arc::make_mut(&mut record.inputs);
    let customer = inputs.customer.as_mut().unwrap();
    for (name, value) in [
        ("shown", json!("a")),
        ("other", json!("b")),
        ("number", json!(7)),
        ("empty", json!("")),
    ] {
        customer.fields.plain.insert(name.into(), value);
    }
    inputs.webhook_fields.shown = ["shown".into(), "token".into(), "missing".into()].into();
    inputs.webhook_fields.keys = ["token".into(), "number".into(), "empty".into()].into();
    let entries = entries(&record, story.now);
    let RegistrationState::Live(live) = &entries[0].state else {
        panic!("{entries:?}");
    };
    assert_eq!(
        live.signing_secret,
        Some(Sensitive::from("t1")),
        "a rotated field counts at once"
    );
    let customer = live.customer.as_ref().unwrap();
    assert_eq!(customer.fields, [("shown".to_owned(), json!("a"))].into());
    let keys: Vec<(&str, &[u8])> = customer
        .keys
        .iter()
        .map(|(name, key)| (name.as_str(), key.expose()))
        .collect();
    assert_eq!(keys, [("number", &b"7"[..]), ("token", &b"t1"[..])]);
}

#[test]
fn a_record_reads_back_and_a_newer_or_damaged_one_is_refused() {
    let story = Story::standing(&with(
        listed(),
        "signingSecret",
        json!({"generate": {"encoding": "Whsec"}}),
    ));
    let bytes = write(story.record()).unwrap();
    assert_eq!(read(&bytes).unwrap(), *story.record());
    let error = read(br#"{"format": 2, "record": "what a later version writes"}"#).unwrap_err();
    assert!(matches!(error, ReadError::Newer { found: 2 }));
    assert!(error.to_string().contains("format 2"), "{error}");
    let error = read(&bytes[..bytes.len() - 9]).unwrap_err().to_string();
    assert!(error.contains("damaged at line 1"), "{error}");
    assert!(!error.contains("whsec"), "{error}");
}
