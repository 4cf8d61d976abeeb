//! What is said of a gateway in each of its states.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use super::super::plan::Deviation;
use super::super::status::{Failure, Known, status};
use super::{after, first, gateway};
use crate::api::{EventGatewayStatus, MAX_LISTED_ORPHANS, OrphanStatus};

const NOW: i64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// The StatefulSet of a gateway of two, with a status.
fn running(written: Value) -> StatefulSet {
    let mut set = after(&first(json!({}))).stateful_set.unwrap();
    set.metadata.generation = Some(1);
    set.status = Some(serde_json::from_value(written).unwrap());
    set
}

fn whole() -> StatefulSet {
    running(json!({
        "observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2,
        "currentRevision": "a", "updateRevision": "a",
    }))
}

fn conditions(status: &EventGatewayStatus) -> Vec<(&str, &str, &str)> {
    let conditions = status.conditions.iter();
    conditions
        .map(|one| (one.type_.as_str(), one.status.as_str(), one.reason.as_str()))
        .collect()
}

fn check(
    known: &Known,
    set: Option<&StatefulSet>,
    deviations: &[Deviation],
    failure: Option<&Failure>,
    expected: &[(&str, &str, &str)],
    words: &str,
) {
    let status = status(&gateway(json!({})), known, set, deviations, failure, now());
    assert_eq!(conditions(&status), expected);
    let all = format!("{:?}", status.conditions);
    assert!(all.contains(words), "{all} should say {words:?}");
    for condition in &status.conditions {
        assert_eq!(condition.observed_generation, Some(3));
    }
}

#[test]
fn a_gateway_is_ready_when_as_many_pods_as_wanted_take_requests() {
    let known = Known::default();
    let ready = [("Ready", "True", "Programmed")];
    let waiting = [
        ("Ready", "False", "PodsNotReady"),
        ("Reconciling", "True", "PodsNotReady"),
    ];
    check(
        &known,
        Some(&whole()),
        &[],
        None,
        &ready,
        "2 pods take requests",
    );
    check(&known, None, &[], None, &waiting, "no pod was made yet");
    let one = running(
        json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 1, "updatedReplicas": 2}),
    );
    check(
        &known,
        Some(&one),
        &[],
        None,
        &waiting,
        "1 of 2 pods take requests",
    );
    let stale = running(json!({"observedGeneration": 0, "replicas": 2, "readyReplicas": 2}));
    check(
        &known,
        Some(&stale),
        &[],
        None,
        &waiting,
        "is being updated",
    );
    let rolling = running(json!({
        "observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1,
        "currentRevision": "a", "updateRevision": "b",
    }));
    check(
        &known,
        Some(&rolling),
        &[],
        None,
        &waiting,
        "1 of 2 pods are of the newest form",
    );
}

#[test]
fn pods_that_go_are_told_of_and_not_waited_for() {
    let known = Known::default();
    let going = |left| Deviation::HandingOver {
        wanted: 1,
        pods: vec![("tidegate-gateway-default-1".to_owned(), left)],
    };
    let expected = [
        ("Ready", "True", "Programmed"),
        ("Reconciling", "True", "HandingOver"),
    ];
    let one = running(json!({
        "observedGeneration": 1, "replicas": 2, "readyReplicas": 1, "updatedReplicas": 2,
    }));
    let check = |left, words| check(&known, Some(&one), &[going(left)], None, &expected, words);
    check(Some(12), "tidegate-gateway-default-1 (12 left)");
    check(Some(12), "1 pod takes requests");
    check(None, "it has not said what it has left");
}

#[test]
fn what_somebody_has_to_change_is_said_as_stalled() {
    let known = Known::default();
    let class = Deviation::OtherStorageClass {
        there: None,
        wanted: Some("fast".to_owned()),
    };
    check(
        &known,
        Some(&whole()),
        &[class],
        None,
        &[
            ("Ready", "True", "Programmed"),
            ("Stalled", "True", "NotAsSpecified"),
        ],
        "write spec.storage.storageClassName as it was",
    );
    let invalid = Known {
        invalid: Some("metadata.name has a dot in it".to_owned()),
        ..Known::default()
    };
    check(
        &invalid,
        Some(&whole()),
        &[],
        None,
        &[
            ("Ready", "False", "Invalid"),
            ("Stalled", "True", "Invalid"),
        ],
        "a dot in it",
    );
    let failure = |is_final| Failure {
        message: "failed to apply the Service a".to_owned(),
        is_final,
    };
    check(
        &known,
        None,
        &[],
        Some(&failure(true)),
        &[
            ("Ready", "False", "NotApplied"),
            ("Stalled", "True", "NotApplied"),
        ],
        "failed to apply",
    );
    check(
        &known,
        None,
        &[],
        Some(&failure(false)),
        &[
            ("Ready", "False", "NotApplied"),
            ("Reconciling", "True", "NotApplied"),
        ],
        "failed to apply",
    );
}

#[test]
fn the_scale_subresource_finds_what_it_needs() {
    let orphan = |since: usize| OrphanStatus {
        event_type_ref: serde_json::from_value(json!({"name": "a", "namespace": "crm"})).unwrap(),
        customer: None,
        namespace: "crm".to_owned(),
        number: 1,
        last_number: None,
        id: None,
        reason: "AnswerLost".to_owned(),
        since: format!("2026-01-01T00:00:00.{since:03}Z"),
    };
    let known = Known {
        configuration_revision: Some("1.2".to_owned()),
        orphans: (0..150).map(orphan).collect(),
        ..Known::default()
    };
    let found = status(
        &gateway(json!({})),
        &known,
        Some(&whole()),
        &[],
        None,
        now(),
    );
    assert_eq!((found.replicas, found.ready_replicas), (Some(2), Some(2)));
    assert_eq!(
        found.selector.as_deref(),
        Some("app.kubernetes.io/instance=default,app.kubernetes.io/name=tidegate-gateway")
    );
    assert_eq!(found.configuration_revision.as_deref(), Some("1.2"));
    assert_eq!(json!(found.deduplication), json!("PerPod"));
    assert_eq!(found.orphans.len(), MAX_LISTED_ORPHANS);
    assert_eq!(found.orphans[0], orphan(149));
    let one = status(
        &gateway(json!({"replicas": 1})),
        &known,
        None,
        &[],
        None,
        now(),
    );
    assert_eq!(json!(one.deduplication), json!("PerGateway"));
}

#[test]
fn nothing_changes_where_nothing_happened() {
    let mut gateway = gateway(json!({}));
    let known = Known::default();
    let first = status(&gateway, &known, Some(&whole()), &[], None, now());
    gateway.status = Some(first.clone());
    let later = Timestamp::from_second(NOW + 60).unwrap();
    assert_eq!(
        status(&gateway, &known, Some(&whole()), &[], None, later),
        first
    );
}
