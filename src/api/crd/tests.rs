//! What every published CRD must be, whatever fields it has.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::*;
use crate::api::{
    Backoff, Deduplication, Delivery, EventGatewaySpec, FieldPath, GeneratedSecret, GlobalWebhook,
    Limits, MAX_EXPRESSION_CHARACTERS, Renewal, RequestLimits, Rollout, Sink, Storage, TEXT_KIND,
};

/// Largest CRD that is published. A client-side apply keeps a copy in an annotation, which may hold 256 KiB in all.
const MAX_CRD_BYTES: usize = 200 << 10;

/// Calls `visit` with every schema of every CRD, its path and whether it stands below a list.
fn walk(visit: &mut impl FnMut(&str, &FieldPath, &Value, bool)) {
    for crd in crds() {
        walk_schema(crd.kind, &FieldPath::root(), &crd.schema, false, visit);
    }
}

fn walk_schema(
    kind: &str,
    path: &FieldPath,
    schema: &Value,
    below_list: bool,
    visit: &mut impl FnMut(&str, &FieldPath, &Value, bool),
) {
    visit(kind, path, schema, below_list);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk_schema(kind, &path.field(name), property, below_list, visit);
    }
    if schema["items"].is_object() {
        walk_schema(kind, &path.index(0), &schema["items"], true, visit);
    }
    if schema["additionalProperties"].is_object() {
        walk_schema(
            kind,
            &path.field("*"),
            &schema["additionalProperties"],
            below_list,
            visit,
        );
    }
}

/// Whether a schema is not one of Kubernetes' own.
fn is_ours(path: &FieldPath) -> bool {
    let path = path.as_str();
    !path.starts_with("status.conditions")
        && !path.starts_with("spec.pod.affinity.")
        && !path.starts_with("spec.pod.tolerations[0].")
        && !path.to_ascii_lowercase().contains("selector.")
}

#[test]
fn there_is_one_definition_for_each_resource() {
    let names: Vec<_> = crds().iter().map(|crd| crd.file_name.clone()).collect();
    assert_eq!(
        names,
        [
            "appeventtypes.yaml",
            "customers.yaml",
            "eventsubscriptions.yaml",
            "upstreamsubscriptions.yaml",
            "eventgateways.yaml"
        ]
    );
}

#[test]
fn the_committed_files_are_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut committed: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut generated: Vec<_> = crds().iter().map(|crd| crd.file_name.clone()).collect();
    committed.sort();
    generated.sort();
    assert_eq!(committed, generated);
    for crd in crds() {
        let path = folder.join(&crd.file_name);
        assert!(
            fs::read_to_string(&path).unwrap() == crd.yaml,
            "crds/{} differs from the types: run `make generate`",
            crd.file_name
        );
    }
}

#[test]
fn the_yaml_says_the_same_as_the_definition() {
    for crd in crds() {
        let yaml: Value = serde_saphyr::from_str(&crd.yaml).unwrap();
        assert_eq!(yaml, serde_json::to_value(&crd.definition).unwrap());
    }
}

#[test]
fn every_definition_is_small_enough_to_be_applied() {
    for crd in crds() {
        let bytes = crd.yaml.len();
        assert!(bytes <= MAX_CRD_BYTES, "{}: {bytes} bytes", crd.kind);
    }
}

/// An API server drops what a schema does not describe. `signingSecret: {}` and its like say everything by being
/// there, so they must be described as objects, and pruning must leave them as they are.
#[test]
fn empty_objects_that_mean_something_are_described() {
    let mut found = Vec::new();
    walk(&mut |kind, path, schema, _| {
        let is_empty = schema["type"] == json!("object")
            && schema["properties"]
                .as_object()
                .is_none_or(serde_json::Map::is_empty)
            && schema.get("additionalProperties").is_none();
        if is_empty && schema["x-kubernetes-preserve-unknown-fields"] != json!(true) {
            assert!(schema.get("default").is_none(), "{kind} {path}");
            found.push(
                path.as_str()
                    .rsplit('.')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
    });
    found.sort();
    found.dedup();
    assert_eq!(found, ["fromHandshake", "none", "signingSecret"]);
}

#[test]
fn nothing_has_a_default_below_a_list() {
    walk(&mut |kind, path, schema, below_list| {
        assert!(
            !below_list || schema.get("default").is_none(),
            "{kind} {path}"
        );
    });
}

#[test]
fn every_field_says_what_it_is() {
    walk(&mut |kind, path, schema, _| {
        let is_element = path.as_str().ends_with(']') || path.as_str().ends_with("[\"*\"]");
        if is_ours(path) && !is_element && path.as_str() != "spec" {
            let description = schema["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{kind} {path} has no description");
            assert!(
                !description.contains('\n'),
                "{kind} {path} has a wrapped description"
            );
        }
    });
}

#[test]
fn every_schema_is_structural() {
    walk(&mut |kind, path, schema, _| {
        for keyword in [
            "$ref",
            "definitions",
            "oneOf",
            "anyOf",
            "allOf",
            "nullable",
            "const",
            "title",
        ] {
            assert!(schema.get(keyword).is_none(), "{kind} {path} has {keyword}");
        }
        let is_typed = schema["type"].is_string();
        assert!(
            is_typed
                || schema["x-kubernetes-preserve-unknown-fields"] == json!(true)
                || schema["x-kubernetes-int-or-string"] == json!(true),
            "{kind} {path} has no type"
        );
        assert!(
            schema["additionalProperties"] != json!(false),
            "{kind} {path}"
        );
    });
}

#[test]
fn everything_in_a_spec_is_bounded() {
    walk(&mut |kind, path, schema, _| {
        if !path.as_str().starts_with("spec") || !is_ours(path) {
            return;
        }
        let bound = match schema["type"].as_str() {
            Some("array") => "maxItems",
            Some("string") if schema.get("enum").is_none() => "maxLength",
            Some("integer") => "maximum",
            Some("object") if schema.get("additionalProperties").is_some() => "maxProperties",
            _ => return,
        };
        assert!(schema.get(bound).is_some(), "{kind} {path} has no {bound}");
    });
}

#[test]
fn expressions_and_templates_are_marked_and_have_no_format_or_pattern() {
    let mut expressions = 0;
    walk(&mut |kind, path, schema, _| {
        if schema.get(TEXT_KIND).is_some() {
            assert!(
                schema.get("format").is_none() && schema.get("pattern").is_none(),
                "{kind} {path}"
            );
        }
        if schema[TEXT_KIND] == json!("expression") {
            expressions += 1;
            assert_eq!(
                schema["maxLength"],
                json!(MAX_EXPRESSION_CHARACTERS),
                "{kind} {path}"
            );
        }
    });
    assert!(expressions > 20, "{expressions}");
    for crd in crds() {
        assert!(!crd.yaml.contains(TEXT_KIND), "markers are not published");
    }
}

#[test]
fn what_the_crd_fills_in_is_what_the_types_assume() {
    let filled_in = |kind: &str, path: &str| -> Value {
        let mut schema = &crd_of(kind).unwrap().schema;
        for name in path.split('.') {
            schema = &schema["properties"][name];
        }
        schema["default"].clone()
    };
    let mut expected = Vec::new();
    let mut check = |kind: &str, path: &str, assumed: Value| {
        assert_eq!(filled_in(kind, path), assumed, "{kind} {path}");
        expected.push(format!("{kind} {path}"));
    };

    check("Customer", "spec", json!(CustomerSpec::default()));
    let spec: AppEventTypeSpec =
        serde_json::from_value(json!({"webhook": {"authentication": [{"none": {}}]}})).unwrap();
    check("AppEventType", "spec.onInvalid", json!(spec.on_invalid()));
    check(
        "AppEventType",
        "spec.webhook.maxBodyBytes",
        json!(spec.webhook.max_body_bytes()),
    );
    check(
        "AppEventType",
        "spec.webhook.maxEvents",
        json!(spec.webhook.max_events()),
    );
    check(
        "AppEventType",
        "spec.webhook.deduplication.by",
        json!(Deduplication::default().by()),
    );
    check(
        "AppEventType",
        "spec.globalWebhook.onUnknownCustomer",
        json!(GlobalWebhook::default().on_unknown_customer()),
    );
    let limits = RequestLimits::default();
    let rollout = Rollout::default();
    let renewal: Renewal = serde_json::from_value(json!({"every": "1h"})).unwrap();
    for place in ["subscription", "globalWebhook.registration"] {
        for (field, assumed) in [
            (
                "limits.requestsPerSecond",
                json!(limits.requests_per_second()),
            ),
            ("limits.concurrency", json!(limits.concurrency())),
            (
                "signingSecret.generate.bytes",
                json!(GeneratedSecret::default().bytes()),
            ),
            (
                "signingSecret.generate.encoding",
                json!(GeneratedSecret::default().encoding()),
            ),
            ("renewal.mode", json!(renewal.mode())),
            ("rollout.maxConcurrent", json!(rollout.max_concurrent())),
            (
                "rollout.stopAfterFailures",
                json!(rollout.stop_after_failures()),
            ),
        ] {
            check("AppEventType", &format!("spec.{place}.{field}"), assumed);
        }
    }
    check(
        "AppEventType",
        "spec.allowedNamespaces.from",
        json!(spec.namespaces_from()),
    );
    check(
        "EventSubscription",
        "spec.sink.format",
        json!(Sink::default().format()),
    );
    let delivery = Delivery::default();
    check(
        "EventSubscription",
        "spec.delivery.timeout",
        json!(delivery.timeout()),
    );
    check(
        "EventSubscription",
        "spec.delivery.maxAttempts",
        json!(delivery.max_attempts()),
    );
    check(
        "EventSubscription",
        "spec.delivery.maxAge",
        json!(delivery.max_age()),
    );
    check(
        "EventSubscription",
        "spec.delivery.maxInFlight",
        json!(delivery.max_in_flight()),
    );
    check(
        "EventSubscription",
        "spec.delivery.ordering",
        json!(delivery.ordering()),
    );
    check(
        "EventSubscription",
        "spec.delivery.backoff.initial",
        json!(Backoff::default().initial()),
    );
    check(
        "EventSubscription",
        "spec.delivery.backoff.max",
        json!(Backoff::default().max()),
    );
    let gateway: EventGatewaySpec =
        serde_json::from_value(json!({"publicUrl": "https://a.example"})).unwrap();
    check("EventGateway", "spec.replicas", json!(gateway.replicas()));
    check(
        "EventGateway",
        "spec.storage.replayRetention",
        json!(Storage::default().replay_retention()),
    );
    check(
        "EventGateway",
        "spec.limits.undeliveredShare",
        json!(Limits::default().undelivered_share()),
    );
    check(
        "EventGateway",
        "spec.allowedNamespaces.from",
        json!(gateway.namespaces_from()),
    );

    walk(&mut |kind, path, schema, _| {
        if schema.get("default").is_some() {
            assert!(
                expected.contains(&format!("{kind} {path}")),
                "{kind} {path} is not checked here"
            );
        }
    });
}

#[test]
fn what_is_written_is_what_is_read() {
    let written = json!({
        "type": "a.b",
        "example": {"n": 1},
        "webhook": {
            "authentication": [{"jwt": {"keys": [{"appField": "key"}], "algorithms": ["EdDSA", "RS256"]}}],
            "handshakes": [{"when": "true", "respond": {"body": null}, "capture": {"signingSecret": "a"}}],
            "events": {"from": ["request.body.a", "item.b"], "type": "item.type"},
            "lifecycle": [{"when": "true", "action": "Resubscribe"}],
        },
        "globalWebhook": {"registration": {"request": {"url": "u", "body": null}}},
        "subscription": {
            "signingSecret": {"fromHandshake": {}},
            "request": {"method": "PUT", "url": "u", "query": {"a": "b"}, "form": {"a": "b"}, "idempotent": true},
            "unsubscribe": {"steps": [{"name": "a", "request": {"url": "u", "text": "t"}}], "gone": []},
        },
        "deletionPolicy": "Orphan",
    });
    let spec: AppEventTypeSpec = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(spec).unwrap(), written);
}
