//! Making a registration, and finding out whether one was made.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::super::scenarios::lookup;
use super::{Story, by_uri, done, found, listed, made, not_sent, put, refused, unknown, with};
use crate::provision::plan::{Action, Waiting};
use crate::provision::record::{OrphanReason, Phase};
use crate::provision::{Findings, Outcome, RequestKind};

#[test]
fn an_ordinary_subscription_is_stored_twice_and_then_rests() {
    let mut story = Story::of(&listed());
    assert_eq!(story.expect("Subscribe"), 1);
    assert_eq!(story.writes, 1, "the intent comes first");
    story.answer(&made("wh_1"));
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.writes, 2);
    assert_eq!(story.current().id.as_deref(), Some("wh_1"));
    assert_eq!(
        story.current().webhook_uri.as_deref(),
        Some("https://hooks.example/h/t0/1")
    );
}

#[test]
fn nothing_is_done_for_what_nobody_wants() {
    let mut story = Story::of(&listed());
    story.is_desired = false;
    assert_eq!(story.next(), Action::Nothing);
}

#[test]
fn the_deadline_is_the_start_and_the_timeout_and_five_seconds() {
    let mut story = Story::of(&with(listed(), "limits", json!({"timeout": "20s"})));
    let Action::Send { deadline, .. } = story.next() else {
        panic!("nothing is sent");
    };
    assert_eq!(deadline, story.now + Duration::from_secs(25));
}

#[test]
fn after_a_crash_an_attempt_counts_as_sent_and_is_looked_up_after_its_deadline() {
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    story.crash();
    assert_eq!(story.rests(), Waiting::Answer);
    let began = story.now;
    story.expect("Lookup(None)");
    assert_eq!(story.now, began + Duration::from_secs(35));
    story.answer(&found(&["wh_1"]));
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.current().id.as_deref(), Some("wh_1"));
}

#[test]
fn a_5xx_is_looked_up_and_two_empty_answers_settle_apart_mean_that_it_is_not_there() {
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    let attempt = story.current().attempt.id.clone();
    story.answer(&unknown());
    story.expect("Lookup(None)");
    story.answer(&found(&[]));
    assert_eq!(story.rests(), Waiting::Retry);
    story.now += Duration::from_secs(29);
    assert_eq!(story.rests(), Waiting::Settling);
    story.expect("Lookup(None)");
    story.answer(&found(&[]));
    assert_eq!(story.expect("Subscribe"), 1);
    assert_ne!(
        story.current().attempt.id,
        attempt,
        "nothing was made, so it is another attempt"
    );
}

#[test]
fn all_pages_are_read_and_pages_are_not_stored() {
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Lookup(None)");
    let writes = story.writes;
    story.answer(&Outcome::Found {
        ids: vec![],
        next: Some("p2".into()),
    });
    story.expect("Lookup(Some(\"p2\"))");
    assert_eq!(story.writes, writes);
    story.answer(&Outcome::Found {
        ids: vec!["wh_1".into()],
        next: None,
    });
    assert!(story.current().is_active());
}

#[test]
fn a_list_without_end_is_a_failure_not_a_loop() {
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Lookup(None)");
    story.answer(&Outcome::Found {
        ids: vec![],
        next: Some("p".into()),
    });
    story.expect("Lookup(Some(\"p\"))");
    story.answer(&Outcome::Found {
        ids: vec![],
        next: Some("p".into()),
    });
    assert!(story.current().trouble.is_some());
    story.expect("Lookup(None)");
}

#[test]
fn what_is_found_without_its_secret_is_replaced() {
    let secret = json!({"fromResponse": "response.body.secret"});
    let mut story = Story::of(&with(listed(), "signingSecret", secret));
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_1"]));
    assert_eq!(story.expect("Unsubscribe(0)"), 1);
    story.answer(&done());
    assert_eq!(story.expect("Subscribe"), 2);
}

#[test]
fn even_adopt_does_not_adopt_what_signs_with_an_unknown_secret() {
    let lookup = with(lookup(), "onFound", json!("Adopt"));
    let secret = json!({"fromResponse": "response.body.secret"});
    let mut story = Story::of(&json!({"lookup": lookup, "signingSecret": secret}));
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_1"]));
    story.expect("Unsubscribe(0)");
}

#[test]
fn a_success_without_the_secret_it_should_hold_is_looked_up() {
    let secret = json!({"fromResponse": "response.body.secret"});
    let mut story = Story::of(&with(listed(), "signingSecret", secret));
    story.expect("Subscribe");
    story.answer(&made("wh_1"));
    story.expect("Lookup(None)");
}

#[test]
fn of_several_at_one_uri_the_first_is_kept_and_the_others_are_removed() {
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_1", "wh_2", "wh_3"]));
    assert_eq!(story.current().id.as_deref(), Some("wh_1"));
    for _ in 0..2 {
        let number = story.expect("Unsubscribe(0)");
        assert_eq!(
            story.record().registration(number).unwrap().twin_of,
            Some(1)
        );
        story.answer(&done());
    }
    assert_eq!(story.rests(), Waiting::Due);
    assert!(story.record().removed.is_empty(), "the URI stays");
}

#[test]
fn of_several_at_one_uri_none_is_kept_where_they_are_removed_by_the_uri() {
    let mut story = Story::of(&with(listed(), "unsubscribe", by_uri()));
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_1", "wh_2"]));
    // One request removes both, or each of them one.
    for outcome in [done(), Outcome::Gone] {
        story.expect("Unsubscribe(0)");
        assert!(story.record().current().is_none(), "none of them counts");
        story.answer(&outcome);
    }
    let number = story.expect("Subscribe");
    story.answer(&made("wh_3"));
    assert_eq!(story.rests(), Waiting::Due);
    assert_eq!(story.current().path, format!("/h/t0/{number}"));
    assert_ne!(number, 1, "at a URI of its own");
}

#[test]
fn a_lost_answer_is_repeated_with_the_same_id_where_that_is_harmless() {
    let request = json!({"url": "https://app.example/hooks", "idempotent": true, "body": {"target": "$(webhookUri)"}});
    let mut story = Story::of(&json!({"request": request}));
    story.expect("Subscribe");
    let attempt = story.current().attempt.id.clone();
    story.answer(&unknown());
    assert_eq!(story.expect("Subscribe"), 1);
    assert_eq!(story.current().attempt.id, attempt);
    // A refusal now does not mean that the first one made nothing.
    story.answer(&refused());
    assert_eq!(story.current().phase, Phase::Unsure);
    assert_eq!(story.expect("Subscribe"), 1);
    assert_eq!(story.current().attempt.id, attempt);
}

#[test]
fn with_no_way_to_find_out_it_waits_for_the_deadline_lists_an_orphan_and_takes_a_new_number() {
    let mut story = Story::of(&json!({}));
    story.expect("Subscribe");
    let began = story.now;
    story.answer(&unknown());
    assert_eq!(story.expect("Subscribe"), 2);
    assert_eq!(story.now, began + Duration::from_secs(35));
    let orphan = &story.record().orphans[0];
    assert_eq!((orphan.number, orphan.why), (1, OrphanReason::AnswerLost));
    story.answer(&unknown());
    story.expect("Subscribe");
    assert_eq!(
        story.record().orphans.len(),
        1,
        "several in a row are one entry"
    );
    assert_eq!(story.record().orphans[0].last_number, 2);
}

#[test]
fn a_conflict_is_looked_up() {
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    story.answer(&Outcome::Conflict("exists".into()));
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_1"]));
    assert!(story.current().is_active());
}

#[test]
fn a_conflict_that_nothing_can_find_is_an_orphan_and_a_new_number() {
    let mut story = Story::of(&json!({}));
    for number in 1..4 {
        assert_eq!(story.expect("Subscribe"), number);
        story.answer(&Outcome::Conflict("exists".into()));
    }
    let orphans = &story.record().orphans;
    assert_eq!(orphans.len(), 1, "one entry tells of what was there before");
    assert_eq!(orphans[0].why, OrphanReason::Conflict);
}

#[test]
fn a_refusal_backs_off_longer_than_an_outage_and_is_tried_again() {
    let wait = |outcome: &Outcome| {
        let mut story = Story::of(&listed());
        story.expect("Subscribe");
        let began = story.now;
        story.answer(outcome);
        assert_eq!(story.rests(), Waiting::Retry);
        assert_eq!(story.expect("Subscribe"), 1);
        story.now.duration_since(began).as_secs()
    };
    assert_eq!(wait(&not_sent()), 1);
    assert_eq!(wait(&refused()), 30);
    let throttled = |seconds| Outcome::Refused {
        error: "429".into(),
        retry_after: Some(Duration::from_secs(seconds)),
    };
    assert_eq!(wait(&throttled(90)), 91);
    assert_eq!(wait(&throttled(1_000_000)), 3_601, "an hour at most");
}

#[test]
fn an_app_that_is_down_for_ten_minutes_gets_few_requests_and_then_recovers() {
    for declared in [listed(), put(), json!({})] {
        for outcome in [unknown(), not_sent(), refused()] {
            let mut story = Story::of(&declared);
            let end = story.now + Duration::from_mins(10);
            let mut sent = 0;
            while story.now < end {
                match story.next() {
                    Action::Send { .. } => {
                        sent += 1;
                        story.answer(&outcome);
                    }
                    Action::Wait { until, .. } => story.now = until.unwrap(),
                    other => panic!("{other:?}"),
                }
            }
            assert!(
                (2..=25).contains(&sent),
                "{sent} requests after {outcome:?}"
            );
            let limit = story.now + Duration::from_mins(12);
            while !story.record().current().is_some_and(|it| it.is_active()) {
                assert!(story.now < limit, "it does not recover");
                match story.next() {
                    Action::Send {
                        kind: RequestKind::Lookup(_),
                        ..
                    } => story.answer(&found(&[])),
                    Action::Send { .. } => story.answer(&made("wh_1")),
                    Action::Wait { until, .. } => story.now = until.unwrap(),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(story.record().making, None);
        }
    }
}

#[test]
fn prepare_is_sent_once_for_each_number_and_its_results_are_kept() {
    let steps = json!([{"name": "one", "request": {"url": "https://app.example/1"}},
                       {"name": "two", "request": {"url": "https://app.example/2"}}]);
    let mut story = Story::of(&with(listed(), "prepare", steps));
    story.expect("Prepare(0)");
    let found = Outcome::Succeeded(Findings {
        values: [("id".into(), json!(7))].into(),
        ..Findings::default()
    });
    story.answer(&found);
    story.expect("Prepare(1)");
    story.crash();
    story.expect("Prepare(1)");
    story.answer(&done());
    story.expect("Subscribe");
    assert_eq!(story.current().steps["one"]["id"], json!(7));
    story.answer(&refused());
    assert_eq!(
        story.expect("Subscribe"),
        1,
        "what was prepared serves the next try"
    );
}

#[test]
fn follow_ups_go_on_where_they_were_after_a_crash_and_run_after_adoption() {
    let steps = json!([{"name": "one", "request": {"url": "https://app.example/1"}},
                       {"name": "two", "request": {"url": "https://app.example/2"}}]);
    let mut story = Story::of(&with(listed(), "followUps", steps));
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_1"]));
    story.expect("FollowUp(0)");
    story.answer(&done());
    story.expect("FollowUp(1)");
    story.crash();
    story.expect("FollowUp(1)");
    story.answer(&unknown());
    story.expect("FollowUp(1)");
    story.answer(&done());
    assert!(story.current().is_active());
}

#[test]
fn a_follow_up_that_fails_for_good_removes_the_registration_and_starts_over_later() {
    let steps = json!([{"name": "one", "request": {"url": "https://app.example/1"}}]);
    let mut story = Story::of(&with(listed(), "followUps", steps));
    story.expect("Subscribe");
    story.answer(&made("wh_1"));
    for _ in 0..3 {
        assert_eq!(story.expect("FollowUp(0)"), 1);
        story.answer(&refused());
    }
    let failed_at = story.now;
    assert_eq!(story.expect("Unsubscribe(0)"), 1);
    story.answer(&done());
    assert_eq!(story.expect("Subscribe"), 2);
    assert!(
        story.now >= failed_at + Duration::from_secs(60),
        "starting over is no busy loop"
    );
}

#[test]
fn an_attempt_that_was_stored_too_long_ago_is_given_a_new_time_before_it_is_sent() {
    let mut story = Story::of(&listed());
    let Action::Store(record) = story.planned() else {
        panic!("nothing is stored");
    };
    story.store(*record);
    story.now += Duration::from_mins(3);
    let Action::Send { deadline, .. } = story.next() else {
        panic!("nothing is sent");
    };
    assert_eq!(deadline, story.now + Duration::from_secs(35));
    assert_eq!(story.writes, 2);
}

#[test]
fn a_clock_that_was_set_back_delays_nothing_for_as_long_as_it_was_wrong() {
    let early: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
    let mut story = Story::of(&listed());
    story.expect("Subscribe");
    story.crash();
    story.now = early;
    story.expect("Lookup(None)");
    assert!(story.now <= early + Duration::from_secs(35));
    story.answer(&unknown());
    story.now = early - Duration::from_hours(99);
    let began = story.now;
    story.expect("Lookup(None)");
    assert!(story.now <= began + Duration::from_secs(1));
}

#[test]
fn another_subscriptions_record_is_not_touched() {
    let mut story = Story::standing(&listed());
    let mut record = story.record.take().unwrap();
    std::sync::Arc::make_mut(&mut record.inputs).event_type.name = "another".into();
    story.record = Some(record);
    assert_eq!(story.rests(), Waiting::NotOurs);
}

#[test]
fn a_request_that_names_the_global_uri_alone_gets_none_of_its_own() {
    let request =
        json!({"url": "https://app.example/hooks", "body": {"target": "$(globalWebhookUri)"}});
    let mut story = Story::of(&json!({"request": request}));
    story.expect("Subscribe");
    assert_eq!(story.current().webhook_uri, None);
    let uri = story.current().global_webhook_uri.as_deref();
    assert_eq!(uri, Some("https://hooks.example/crm/contacts"));
}

#[test]
fn without_a_uri_of_its_own_what_is_found_is_not_touched_unless_it_is_vouched_for() {
    let declared = |on_found: Option<&str>| {
        let mut lookup = lookup();
        if let Some(on_found) = on_found {
            lookup["onFound"] = json!(on_found);
        }
        json!({"lookup": lookup, "request": {"url": "https://app.example/hooks",
               "body": {"target": "$(globalWebhookUri)"}}})
    };
    let mut story = Story::of(&declared(None));
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_9"]));
    let orphan = &story.record().orphans[0];
    assert_eq!(
        (orphan.id.as_deref(), orphan.why),
        (Some("wh_9"), OrphanReason::NotSurelyOurs)
    );
    assert_eq!(story.expect("Subscribe"), 2);

    let mut story = Story::of(&declared(Some("Adopt")));
    story.expect("Subscribe");
    story.answer(&unknown());
    story.expect("Lookup(None)");
    story.answer(&found(&["wh_9", "wh_10"]));
    assert!(story.current().is_active());
    assert_eq!(story.current().id.as_deref(), Some("wh_9"));
    // Perhaps ours, perhaps somebody else's of the same name: listed, and never touched.
    let orphans = story.record().orphans.iter();
    let listed: Vec<_> = orphans.map(|it| (it.id.as_deref(), it.why)).collect();
    assert_eq!(listed, [(Some("wh_10"), OrphanReason::NotSurelyOurs)]);
    assert_eq!(story.rests(), Waiting::Due);
}
