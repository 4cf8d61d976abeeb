use super::*;

fn ask(kind: &str, object: &Value, before: &Value) -> Value {
    let asked = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "u-1", "kind": {"kind": kind}, "object": object, "oldObject": before},
    });
    let answer = review(&asked).unwrap();
    assert_eq!(answer["response"]["uid"], "u-1");
    answer["response"].clone()
}

fn object(kind: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "it", "namespace": "shop"}, "spec": spec,
    })
}

fn check(kind: &str, spec: Value, refused_with: Option<&str>) {
    let answer = ask(kind, &object(kind, spec), &Value::Null);
    match refused_with {
        None => assert_eq!(answer["allowed"], true, "{answer}"),
        Some(words) => {
            assert_eq!(answer["allowed"], false, "{answer}");
            let message = answer["status"]["message"].as_str().unwrap();
            assert!(message.contains(words), "{message}");
        }
    }
}

fn event_type(more: Value) -> Value {
    let mut spec = json!({
        "example": {"id": "o_1"},
        "webhook": {"authentication": [{"token": {"keys": [{"secretKeyRef": {"name": "shop", "key": "token"}}]}}]},
        "globalWebhook": {},
    });
    let more = more.as_object().unwrap().clone();
    spec.as_object_mut().unwrap().extend(more);
    spec
}

#[test]
fn what_is_wrong_in_itself_is_refused_with_its_place() {
    check(
        "AppEventType",
        event_type(json!({"schema": {"type": 7}})),
        Some("spec.schema"),
    );
    check(
        "AppEventType",
        event_type(json!({"globalWebhook": {"customer": "item."}})),
        Some("spec.globalWebhook.customer"),
    );
    let subscription = |filter: &str| {
        json!({
            "eventTypeRef": {"name": "orders"}, "customerRef": {"name": "acme"}, "filter": filter,
            "sink": {"uri": "https://sink.example"},
        })
    };
    check(
        "EventSubscription",
        subscription("event.data."),
        Some("spec.filter"),
    );
    check(
        "EventSubscription",
        subscription("event.nothing == 1"),
        Some("spec.filter"),
    );
    check(
        "EventSubscription",
        json!({"sink": 7}),
        Some("cannot be read"),
    );
}

#[test]
fn what_something_refers_to_may_come_later() {
    check("AppEventType", event_type(json!({})), None);
    check(
        "Customer",
        json!({"fieldsFrom": [{"secretRef": {"name": "acme"}}]}),
        None,
    );
    let sink = json!({
        "uri": "https://sink.example",
        "headers": {"Authorization": {"valueFrom": {"secretKeyRef": {"name": "orders", "key": "auth"}}}},
    });
    for selected in [
        json!({"customerRef": {"name": "acme"}}),
        json!({"customerSelector": {"matchLabels": {"plan": "pro"}}}),
        json!({}),
    ] {
        let mut spec =
            json!({"eventTypeRef": {"name": "orders", "namespace": "crm"}, "sink": sink});
        spec.as_object_mut()
            .unwrap()
            .extend(selected.as_object().unwrap().clone());
        check("EventSubscription", spec, None);
    }
    check(
        "EventGateway",
        json!({"publicUrl": "https://hooks.example.com"}),
        None,
    );
}

#[test]
fn what_is_there_and_broken_can_be_labelled_and_go() {
    let broken = object("AppEventType", event_type(json!({"schema": {"type": 7}})));
    let mut labelled = broken.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(ask("AppEventType", &labelled, &broken)["allowed"], true);
    let good = object("AppEventType", event_type(json!({})));
    assert_eq!(ask("AppEventType", &broken, &good)["allowed"], false);
    let mut going = broken.clone();
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(ask("AppEventType", &going, &good)["allowed"], true);
    assert_eq!(ask("AppEventType", &Value::Null, &good)["allowed"], true);
    assert_eq!(ask("Pod", &broken, &Value::Null)["allowed"], true);
}

#[test]
fn something_else_than_a_review_is_not_answered() {
    for other in [
        json!(null),
        json!({}),
        json!({"request": {}}),
        json!({"request": {"uid": 7}}),
    ] {
        assert_eq!(review(&other), None);
    }
}
