//! Every rule on objects that keep it and on objects that break it.

mod provisioning;

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::api::crd_of;

#[test]
fn every_rule_compiles_and_has_a_message() {
    assert!(RULES.len() > 20, "{}", RULES.len());
    for (source, compiled) in RULES.iter() {
        assert!(compiled.is_ok(), "{source}: {compiled:?}");
    }
}

/// A rule on an unbounded list, or on a text without a longest length, makes an API server refuse the whole CRD for
/// what it estimates the rule to cost. So rules name few things, and long texts are only compared with constants.
#[test]
fn every_rule_is_short_and_goes_through_lists_once() {
    for source in RULES.keys() {
        assert!(source.len() < 512, "{source}");
        for call in ["map(", "filter(", "matches(", "split(", "sort"] {
            assert!(!source.contains(call), "{source}");
        }
        assert!(source.matches(".exists").count() < 2, "{source}");
    }
}

fn event_type(change: impl FnOnce(&mut Value)) -> (&'static str, Value) {
    let mut spec = json!({
        "example": {"id": "o_1"},
        "webhook": {"authentication": [{"token": {"keys": [{"appField": "token"}]}}]},
    });
    change(&mut spec);
    ("AppEventType", spec)
}

fn subscription(change: impl FnOnce(&mut Value)) -> (&'static str, Value) {
    let mut spec = json!({"eventTypeRef": {"name": "a"}, "sink": {"uri": "https://a.example"}});
    change(&mut spec);
    ("EventSubscription", spec)
}

fn customer(spec: Value) -> (&'static str, Value) {
    ("Customer", spec)
}

fn gateway(namespaces: Value) -> (&'static str, Value) {
    (
        "EventGateway",
        json!({"publicUrl": "https://a.example", "allowedNamespaces": namespaces}),
    )
}

fn broken((kind, spec): (&str, Value)) -> Vec<String> {
    let schema = &crd_of(kind).unwrap().schema;
    let mut object = json!({"spec": spec});
    fill_defaults(&mut object, schema);
    violations(&object, schema)
        .into_iter()
        .map(|Violation { path, message }| format!("{path}: {message}"))
        .collect()
}

/// Every case, so that the same can be tried at a real API server.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rules.json");

thread_local! {
    static SEEN: std::cell::RefCell<Vec<Value>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn see((kind, spec): &(&str, Value), message: Option<&str>) {
    let case = json!({"kind": kind, "spec": spec, "message": message});
    SEEN.with_borrow_mut(|seen| seen.push(case));
}

/// The file with all cases is what the cases are.
fn cases_are_written() {
    let seen = SEEN.with_borrow(|seen| {
        let lines: Vec<String> = seen.iter().map(Value::to_string).collect();
        format!("[\n{}\n]\n", lines.join(",\n"))
    });
    if std::env::var_os("UPDATE_TEST_DATA").is_some() {
        std::fs::write(CASES, &seen).unwrap();
    }
    let written = std::fs::read_to_string(CASES).unwrap_or_default();
    assert!(
        written == seen,
        "tests/data/rules.json is not what the cases here are; run this test with UPDATE_TEST_DATA=1"
    );
}

fn good(object: (&str, Value)) {
    see(&object, None);
    let shown = object.1.to_string();
    assert_eq!(broken(object), Vec::<String>::new(), "{shown}");
}

fn bad(object: (&str, Value), path: &str, words: &str) -> String {
    let shown = object.1.to_string();
    let broken = broken(object.clone());
    let [message] = broken.as_slice() else {
        panic!("{shown} should break one rule, but breaks {broken:#?}");
    };
    assert!(
        message.starts_with(&format!("{path}: ")) && message.contains(words),
        "{shown} should say {words:?} at {path}, but says {message}"
    );
    assert!(!message.contains("failed to check"), "{message}");
    let message = message.split_once(": ").unwrap().1.to_owned();
    see(&object, Some(&message));
    message
}

#[test]
fn each_rule_refuses_what_it_is_there_for_and_nothing_else() {
    let key = || json!([{"secretKeyRef": {"name": "a", "key": "b"}}]);
    let mut seen = BTreeSet::new();
    let mut bad = |object, path: &str, words: &str| {
        seen.insert(bad(object, path, words));
    };

    good(event_type(|_| {}));
    good(event_type(|spec| spec["schema"] = json!({})));
    bad(
        event_type(|spec| *spec = json!({"webhook": spec["webhook"]})),
        "spec",
        "what the event looks like",
    );
    bad(
        event_type(|spec| {
            spec["schema"] = json!({});
            spec["schemaFrom"] = json!({"configMapKeyRef": {"name": "a", "key": "b"}});
        }),
        "spec",
        "at most one of schema and schemaFrom",
    );
    bad(
        event_type(|spec| {
            spec["exampleFrom"] = json!({"configMapKeyRef": {"name": "a", "key": "b"}})
        }),
        "spec",
        "at most one of example and exampleFrom",
    );

    good(event_type(
        |spec| {
            spec["variants"] = json!([{"when": "true", "schema": {}}, {"when": "true", "example": {}, "schema": {}}])
        },
    ));
    bad(
        event_type(|spec| spec["variants"] = json!([{"when": "true"}])),
        "spec.variants[0]",
        "what the variant looks like",
    );
    bad(
        event_type(
            |spec| spec["variants"] = json!([{"when": "true", "schema": {}, "schemaFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]),
        ),
        "spec.variants[0]",
        "at most one of schema and schemaFrom",
    );
    bad(
        event_type(
            |spec| spec["variants"] = json!([{"when": "true", "example": {}, "exampleFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]),
        ),
        "spec.variants[0]",
        "at most one of example and exampleFrom",
    );

    good(event_type(|spec| spec["allowedNamespaces"] = json!({})));
    good(event_type(|spec| {
        spec["allowedNamespaces"] = json!({"from": "Selector", "selector": {}})
    }));
    bad(
        event_type(|spec| spec["allowedNamespaces"] = json!({"selector": {}})),
        "spec.allowedNamespaces",
        "with from: Selector",
    );
    let exposed = |exposure: Value| {
        let (kind, mut spec) = gateway(json!({}));
        for (field, value) in exposure.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        (kind, spec)
    };
    good(exposed(json!({"ingress": {}})));
    good(exposed(
        json!({"httpRoute": {"parentRefs": [{"name": "public"}]}}),
    ));
    bad(
        exposed(json!({"ingress": {}, "httpRoute": {"parentRefs": [{"name": "public"}]}})),
        "spec",
        "at most one of ingress and httpRoute",
    );
    bad(
        event_type(|spec| spec["allowedNamespaces"] = json!({"from": "Selector"})),
        "spec.allowedNamespaces",
        "with from: Selector",
    );
    good(gateway(json!({"from": "All"})));
    bad(
        gateway(json!({"from": "Same", "selector": {}})),
        "spec.allowedNamespaces",
        "with from: Selector",
    );

    good(event_type(|spec| {
        spec["webhook"]["authentication"] = json!([{"none": {}}])
    }));
    good(event_type(|spec| {
        spec["webhook"]["authentication"][0]["require"] = json!("true")
    }));
    bad(
        event_type(|spec| spec["webhook"]["authentication"] = json!([{}])),
        "spec.webhook.authentication[0]",
        "needs a method",
    );
    bad(
        event_type(|spec| spec["webhook"]["authentication"] = json!([{"require": "true"}])),
        "spec.webhook.authentication[0]",
        "needs a method",
    );
    bad(
        event_type(|spec| {
            spec["webhook"]["authentication"] = json!([{"none": {}, "require": "true"}])
        }),
        "spec.webhook.authentication[0]",
        "none stands alone",
    );
    bad(
        event_type(|spec| {
            spec["webhook"]["authentication"] =
                json!([{"none": {}, "basic": {"username": "a", "passwords": key()}}])
        }),
        "spec.webhook.authentication[0]",
        "none stands alone",
    );
    bad(
        event_type(|spec| {
            spec["webhook"]["authentication"] = json!([{"none": {}}, {"token": {"keys": key()}}])
        }),
        "spec.webhook",
        "the only entry",
    );

    let handshake = |authentication: Value| {
        event_type(|spec| {
            spec["webhook"]["handshakes"] =
                json!([{"when": "true", "respond": {}, "authentication": authentication}]);
        })
    };
    good(handshake(json!([{"none": {}}])));
    good(event_type(|spec| {
        spec["webhook"]["handshakes"] = json!([{"when": "true", "respond": {}}])
    }));
    bad(
        handshake(json!([{"token": {"keys": key()}}, {"none": {}}])),
        "spec.webhook.handshakes[0]",
        "the only entry",
    );
    bad(
        handshake(json!([{}])),
        "spec.webhook.handshakes[0].authentication[0]",
        "needs a method",
    );

    let jwt = |algorithms: Value| {
        event_type(|spec| {
            spec["webhook"]["authentication"] =
                json!([{"jwt": {"keys": key(), "algorithms": algorithms}}])
        })
    };
    good(jwt(json!(["HS256", "HS512"])));
    good(jwt(json!(["RS256", "EdDSA"])));
    bad(
        jwt(json!(["HS256", "RS256"])),
        "spec.webhook.authentication[0].jwt",
        "not both",
    );

    good(event_type(|spec| {
        spec["webhook"]["respond"] = json!({"status": 204})
    }));
    good(event_type(|spec| {
        spec["webhook"]["respond"] = json!({"text": "ok"})
    }));
    bad(
        event_type(|spec| spec["webhook"]["respond"] = json!({"status": 302})),
        "spec.webhook",
        "200 to 299",
    );
    good(event_type(|spec| {
        spec["webhook"]["deduplication"] = json!({"window": "1h"});
        spec["webhook"]["events"] = json!({"id": "item.id"});
    }));
    good(event_type(|spec| {
        spec["webhook"]["deduplication"] = json!({"by": "Content"})
    }));
    bad(
        event_type(|spec| spec["webhook"]["deduplication"] = json!({"window": "1h"})),
        "spec.webhook",
        "needs events.id",
    );

    good(event_type(|spec| spec["globalWebhook"] = json!({})));
    good(event_type(|spec| {
        spec["globalWebhook"] = json!({"customer": "item.a", "customerField": "a"})
    }));
    bad(
        event_type(|spec| spec["globalWebhook"] = json!({"customerField": "a"})),
        "spec.globalWebhook",
        "needs customer",
    );

    provisioning::check(&mut bad);

    good(customer(json!({})));
    good(customer(
        json!({"fieldsFrom": [{"secretRef": {"name": "a"}}, {"configMapRef": {"name": "a"}}]}),
    ));
    bad(
        customer(json!({"fieldsFrom": [{}]})),
        "spec.fieldsFrom[0]",
        "exactly one of secretRef and configMapRef",
    );
    bad(
        event_type(|spec| {
            spec["app"] =
                json!({"fieldsFrom": [{"secretRef": {"name": "a"}, "configMapRef": {"name": "a"}}]})
        }),
        "spec.app.fieldsFrom[0]",
        "exactly one of secretRef and configMapRef",
    );

    good(subscription(|spec| {
        spec["customerRef"] = json!({"name": "a"})
    }));
    good(subscription(|spec| spec["customerSelector"] = json!({})));
    bad(
        subscription(|spec| {
            spec["customerRef"] = json!({"name": "a"});
            spec["customerSelector"] = json!({});
        }),
        "spec",
        "at most one of customerRef and customerSelector",
    );
    good(subscription(
        |spec| spec["sink"] = json!({"service": {"name": "a", "port": 80}, "tls": {"caBundleFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}}),
    ));
    bad(
        subscription(|spec| spec["sink"] = json!({})),
        "spec.sink",
        "exactly one of uri and service",
    );
    bad(
        subscription(|spec| spec["sink"]["service"] = json!({"name": "a", "port": 80})),
        "spec.sink",
        "exactly one of uri and service",
    );
    bad(
        subscription(
            |spec| spec["sink"] = json!({"uri": "http://a.example", "tls": {"clientCertificateFrom": {"secretRef": {"name": "a"}}}}),
        ),
        "spec.sink",
        "https://",
    );
    bad(
        subscription(|spec| spec["sink"]["tls"] = json!({})),
        "spec.sink.tls",
        "caBundleFrom, clientCertificateFrom or both",
    );
    bad(
        subscription(|spec| spec["sink"]["tls"] = json!({"caBundleFrom": {}})),
        "spec.sink.tls.caBundleFrom",
        "exactly one of configMapKeyRef and secretKeyRef",
    );
    good(subscription(
        |spec| spec["sink"]["headers"] = json!({"A": {"value": ""}, "B": {"valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}}),
    ));
    bad(
        subscription(|spec| spec["sink"]["headers"] = json!({"X-Team": {}})),
        "spec.sink.headers[\"X-Team\"]",
        "exactly one of value and valueFrom",
    );

    good(subscription(
        |spec| {
            spec["delivery"] =
                json!({"timeout": "1ms", "maxAge": "1h", "backoff": {"initial": "10m"}})
        },
    ));
    bad(
        subscription(|spec| spec["delivery"] = json!({"timeout": "0s"})),
        "spec.delivery",
        "timeout must be longer",
    );
    bad(
        subscription(|spec| spec["delivery"] = json!({"maxAge": "0h0m"})),
        "spec.delivery",
        "maxAge must be longer",
    );
    bad(
        subscription(|spec| spec["delivery"] = json!({"backoff": {"initial": "0ms"}})),
        "spec.delivery.backoff",
        "initial must be longer",
    );
    bad(
        subscription(|spec| spec["delivery"] = json!({"backoff": {"initial": "11m"}})),
        "spec.delivery.backoff",
        "longer than max",
    );

    let mut messages = Vec::new();
    for crd in crds() {
        collect_messages(&crd.schema, &mut messages);
    }
    for message in messages {
        assert!(
            seen.contains(&message),
            "no object here breaks the rule that says: {message}"
        );
    }
    cases_are_written();
}

fn collect_messages(schema: &Value, messages: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        messages.push(
            rule["message"]
                .as_str()
                .expect("every rule has a message")
                .to_owned(),
        );
    }
    for (_, property) in schema["properties"].as_object().into_iter().flatten() {
        collect_messages(property, messages);
    }
    for inner in [&schema["items"], &schema["additionalProperties"]] {
        if inner.is_object() {
            collect_messages(inner, messages);
        }
    }
}

#[test]
fn defaults_are_filled_in_only_where_their_object_is() {
    let schema = &crd_of("EventSubscription").unwrap().schema;
    let mut object =
        json!({"spec": {"sink": {"uri": "https://a.example"}, "delivery": {"backoff": {}}}});
    fill_defaults(&mut object, schema);
    assert_eq!(
        object,
        json!({"spec": {
            "sink": {"uri": "https://a.example", "format": "Binary"},
            "delivery": {
                "timeout": "15s", "maxAttempts": 0, "maxAge": "24h", "maxInFlight": 16, "ordering": "None",
                "backoff": {"initial": "1s", "max": "10m"},
            },
        }})
    );
}
