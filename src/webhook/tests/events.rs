//! From an item to an event: attributes, customers, projections, variants, duplicates.

use super::*;
use crate::event::ExtensionValue;

const EXPRESSION_FAILED: &str = "ExpressionFailed";

/// The first line of an event's or dead letter's fate under `events`.
fn fate(events: &str, body: &str, expected: &str) {
    assert_eq!(
        summary(&receive(&open(events), &post(body.to_owned()))),
        expected,
        "{events}"
    );
}

fn starts(events: &str, body: &str, expected: &str) {
    let found = summary(&receive(&open(events), &post(body.to_owned())));
    assert!(found.starts_with(expected), "{events}: {found}");
}

#[test]
fn an_event_has_the_attributes_that_the_type_says() {
    let spec = r#"
        type: com.example.contact
        schema: {type: object}
        webhook:
          authentication: [{none: {}}]
          events:
            type: '"com.example.contact." + item.kind'
            id: item.id
            time: item.at
            extensions: {topic: 'request.headers["x-topic"]', count: item.count, vip: item.vip, none: 'get(item, "missing", null)'}
        globalWebhook: {customer: item.account}
    "#;
    let body = r#"{"kind":"new","id":7,"at":"2025-12-31T23:00:00+01:00","count":3,"vip":true,"account":"acme"}"#;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = with_headers(
        post(body),
        &[("x-topic", "contacts"), ("traceparent", traceparent)],
    );
    let event = events(receive_for(
        &receiver(spec, &[]),
        &request,
        &customers(&["acme"]),
    ))
    .remove(0);
    assert_eq!(event.data.as_deref(), Some(body.as_bytes()));
    let attributes = event.attributes;
    assert_eq!(attributes.id, "7");
    assert_eq!(attributes.source, "/crm/contact/acme");
    assert_eq!(attributes.event_type, "com.example.contact.new");
    assert_eq!(attributes.subject.as_deref(), Some("acme"));
    assert_eq!(attributes.time.to_string(), "2025-12-31T22:00:00Z");
    assert_eq!(
        attributes.data_content_type.as_deref(),
        Some("application/json")
    );
    assert_eq!(attributes.app_event_type, ObjectName::new("crm", "contact"));
    assert_eq!(attributes.customer.unwrap().id, "acme");
    let text = |text: &str| ExtensionValue::Text(text.into());
    assert_eq!(
        attributes.extensions,
        BTreeMap::from([
            ("customerid".into(), text("acme")),
            ("topic".into(), text("contacts")),
            ("traceparent".into(), text(traceparent)),
            ("count".into(), ExtensionValue::Integer(3)),
            ("vip".into(), ExtensionValue::Boolean(true)),
        ])
    );
    assert_eq!(
        attributes.deduplication.unwrap().until,
        now().as_second() + 24 * 3_600
    );
}

#[test]
fn without_expressions_an_event_has_its_defaults() {
    let event = events(receive(&open("{}"), &post("{}"))).remove(0);
    let attributes = event.attributes;
    assert_eq!(attributes.id, "id-1");
    assert_eq!(attributes.source, "/crm/contact");
    assert_eq!(attributes.event_type, "contact");
    assert_eq!((attributes.subject, attributes.customer), (None, None));
    assert_eq!(attributes.time, now());
    assert_eq!(attributes.extensions, BTreeMap::new());
    assert_eq!(attributes.deduplication, None);
}

#[test]
fn a_traceparent_that_is_none_is_left_out() {
    for header in [
        "",
        "00",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
    ] {
        let request = with_headers(post("{}"), &[("traceparent", header)]);
        let event = events(receive(&open("{}"), &request)).remove(0);
        assert_eq!(event.attributes.extensions, BTreeMap::new(), "{header:?}");
    }
}

#[test]
fn an_error_in_each_expression_means_what_it_should() {
    for (field, expression) in [
        ("id", "item.missing"),
        ("type", "item.missing"),
        ("time", "item.missing"),
        ("data", "item.missing"),
        ("require", "item.missing"),
        ("require", "item.n"),
        ("id", "item.empty"),
        ("id", "item.flag"),
        ("id", "item.nothing"),
        ("id", "item.control"),
        ("type", "item.n"),
        ("type", "item.empty"),
        ("type", "item.control"),
        ("time", "item.n"),
        ("time", "item.control"),
    ] {
        let body = r#"{"n":1,"empty":"","flag":true,"nothing":null,"control":"a\nb"}"#;
        starts(
            &format!("{{{field}: {expression}}}"),
            body,
            &format!("dead {body}: {EXPRESSION_FAILED} (events.{field}: "),
        );
    }
    fate(
        "{require: item.ok}",
        r#"{"ok":false}"#,
        r#"dead {"ok":false}: RequirementFailed (events.require is false)"#,
    );
    fate("{when: item.ok}", r#"{"ok":false}"#, "skipped");
    // What may be an event is never dropped.
    starts(
        "{when: item.missing}",
        "{}",
        "dead {}: ExpressionFailed (events.when: ",
    );
    starts(
        "{when: item.n}",
        r#"{"n":1}"#,
        r#"dead {"n":1}: ExpressionFailed (events.when: "#,
    );
    starts(
        "{extensions: {x: item.missing}}",
        "{}",
        "dead {}: ExpressionFailed (events.extensions.x: ",
    );
    for value in ["1.5", "3000000000", "[1]", "{}", r#""a\u0000""#] {
        starts(
            "{extensions: {x: item.v}}",
            &format!(r#"{{"v":{value}}}"#),
            "dead ",
        );
    }
}

#[test]
fn all_that_is_wrong_is_said_and_nothing_of_the_payload() {
    let events =
        "{id: item.secret, time: item.secret, require: item.ok, type: 'item[item.secret]'}";
    let found = summary(&receive(
        &open(events),
        &post(r#"{"secret":"hunter2\u0007","ok":false}"#),
    ));
    assert_eq!(found.matches(EXPRESSION_FAILED).count(), 3, "{found}");
    assert!(found.contains("RequirementFailed"), "{found}");
    let reasons = found.split_once("}: ").unwrap().1;
    assert!(!reasons.contains("hunter2"), "{reasons}");
}

#[test]
fn when_rejects_even_under_reject_only_what_is_known_to_be_an_event() {
    let receiver = receiver(
        "{onInvalid: Reject, webhook: {authentication: [{none: {}}], events: {when: item.kind == 1, id: item.id}}}",
        &[],
    );
    check(
        &receiver,
        &post(r#"[{"kind":2},{"kind":1,"id":"a"}]"#),
        r#"skipped | {"kind":1,"id":"a"}"#,
    );
    let found = summary(&receive(
        &receiver,
        &post(r#"[{"id":"x"},{"kind":1,"id":"a"}]"#),
    ));
    assert!(
        found.starts_with(r#"dead {"id":"x"}: ExpressionFailed (events.when"#),
        "{found}"
    );
    let found = summary(&receive(
        &receiver,
        &post(r#"[{"kind":1,"id":"a"},{"kind":1}]"#),
    ));
    assert!(
        found.starts_with("422 1: ExpressionFailed (events.id: "),
        "{found}"
    );
}

/// The customers of the events of one item, or what else becomes of it.
fn customer(global: &str, body: &str, expected: &str) {
    let spec =
        format!("{{webhook: {{authentication: [{{none: {{}}}}]}}, globalWebhook: {global}}}");
    let verdict = receive_for(
        &receiver(&spec, &[]),
        &post(body.to_owned()),
        &customers(&["acme", "bolt"]),
    );
    let Verdict::Accepted(accepted) = &verdict else {
        assert_eq!(summary(&verdict), expected, "{global} {body}");
        return;
    };
    let ItemOutcome::Events(outcomes) = &accepted.items[0] else {
        panic!()
    };
    let shown: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let (event, reasons) = match outcome {
                Outcome::Event(event) => (event, String::new()),
                Outcome::DeadLetter(letter) => (
                    &letter.event,
                    format!("!{}", letter.verdict.reasons[0].code),
                ),
            };
            let key = event.attributes.customer.as_ref();
            let key = key.map_or("-".into(), |key| format!("{}/{}", key.namespace, key.id));
            assert_eq!(
                event.attributes.subject,
                event.attributes.customer.as_ref().map(|key| key.id.clone())
            );
            format!("{key}{reasons}")
        })
        .collect();
    assert_eq!(shown.join(" "), expected, "{global} {body}");
}

#[test]
fn an_event_belongs_to_the_customers_that_the_type_finds_in_it() {
    customer("{}", "{}", "-");
    customer("{customer: item.a}", r#"{"a":"acme"}"#, "crm/acme");
    customer(
        "{customer: item.a}",
        r#"{"a":["acme","bolt","acme"]}"#,
        "crm/acme crm/bolt",
    );
    customer(
        "{customer: item.a, customerField: portal}",
        r#"{"a":"portal-bolt"}"#,
        "crm/bolt",
    );
    customer("{customer: string(item.a)}", r#"{"a":7}"#, "crm/7");
    customer("{customer: item.a}", r#"{"a":"nobody"}"#, "crm/nobody");
    customer(
        "{customer: item.a, customerField: portal}",
        r#"{"a":"acme"}"#,
        "crm/acme",
    );
    customer(
        "{customer: item.a, onUnknownCustomer: DeadLetter}",
        r#"{"a":["acme","x"]}"#,
        "crm/acme crm/x!UnknownCustomer",
    );
    customer(
        "{customer: item.a, onUnknownCustomer: Reject}",
        r#"{"a":["acme","x"]}"#,
        "422 0: UnknownCustomer (no Customer with this value is declared)",
    );
    for nothing in ["null", r#""""#, "[]", "[null]", r#"[""]"#] {
        customer(
            "{customer: item.a}",
            &format!(r#"{{"a":{nothing}}}"#),
            "-!MissingCustomer",
        );
    }
    for wrong in ["7", "true", "{}", "[7]", r#"["acme",[]]"#, r#""a\u0000""#] {
        customer(
            "{customer: item.a}",
            &format!(r#"{{"a":{wrong}}}"#),
            "-!ExpressionFailed",
        );
    }
    customer("{customer: item.a}", "{}", "-!ExpressionFailed");
}

#[test]
fn all_events_of_an_item_share_its_id_and_differ_in_source() {
    let spec = "{webhook: {authentication: [{none: {}}]}, globalWebhook: {customer: item.a}}";
    let request = post(r#"{"a":["acme","bolt"]}"#);
    let found = events(receive_for(
        &receiver(spec, &[]),
        &request,
        &customers(&["acme"]),
    ));
    assert_eq!(found[0].attributes.id, found[1].attributes.id);
    assert_eq!(found[0].attributes.source, "/crm/contact/acme");
    assert_eq!(found[1].attributes.source, "/crm/contact/bolt");
}

#[test]
fn giving_one_item_to_many_customers_does_not_fill_the_log() {
    let spec = "{webhook: {maxBodyBytes: 1000, maxEvents: 100, authentication: [{none: {}}]}, globalWebhook: {customer: item.a}}";
    let receiver = receiver(spec, &[]);
    let body = |count: usize, padding: usize| {
        let ids: Vec<_> = (0..count).map(|id| format!("\"c{id}\"")).collect();
        format!(
            r#"{{"a":[{}],"p":"{}"}}"#,
            ids.join(","),
            "x".repeat(padding)
        )
    };
    assert!(matches!(
        receive(&receiver, &post(body(10, 600))),
        Verdict::Accepted(_)
    ));
    assert!(matches!(
        receive(&receiver, &post(body(30, 600))),
        Verdict::TooManyEvents
    ));
    assert!(matches!(
        receive(&receiver, &post(body(101, 0))),
        Verdict::TooManyEvents
    ));
}

#[test]
fn a_projection_is_the_data_and_what_the_schema_is_checked_against() {
    let spec = r#"
        schema: {type: object, required: [a], properties: {a: {type: integer}}, additionalProperties: false}
        webhook: {authentication: [{none: {}}], events: {data: '{"a": item.b + 1}'}}
    "#;
    check(&receiver(spec, &[]), &post(r#"{"b":1}"#), r#"{"a":2}"#);
    let typed = |data: &str, body: &str| {
        let event = events(receive(
            &open(&format!("{{data: '{data}'}}")),
            &post(body.to_owned()),
        ))
        .remove(0);
        (
            String::from_utf8(event.data.unwrap().to_vec()).unwrap(),
            event.attributes.data_content_type.unwrap(),
        )
    };
    assert_eq!(
        typed("item.t", r#"{"t":"x"}"#),
        (r#""x""#.into(), "application/json".into())
    );
    assert_eq!(
        typed("null", "{}"),
        ("null".into(), "application/json".into())
    );
    assert_eq!(
        typed("base64.decode(item.t)", r#"{"t":"aGk="}"#),
        ("hi".into(), "application/octet-stream".into())
    );
    // The dead letter of a projection that does not match is what came.
    check(
        &receiver(spec, &[]),
        &post(r#"{"b":1.5}"#),
        r#"dead {"b":1.5}: ExpressionFailed (events.data: `+` cannot be applied to values of these types)"#,
    );
}

#[test]
fn the_first_variant_that_matches_decides_schema_and_what_invalid_means() {
    let spec = r#"
        schema: {type: object, required: [main]}
        onInvalid: DeadLetter
        webhook: {authentication: [{none: {}}], events: {type: item.t}}
        variants:
        - {when: event.type == "a", schema: {type: object, required: [a]}, onInvalid: Accept}
        - {when: event.type == "b" && event.data.strict, schema: {type: object, required: [b]}, onInvalid: Reject}
        - {when: event.type == "a", schema: {type: object, required: [never]}}
    "#;
    let receiver = receiver(spec, &[]);
    check(
        &receiver,
        &post(r#"{"t":"x","main":1}"#),
        r#"{"t":"x","main":1}"#,
    );
    check(
        &receiver,
        &post(r#"{"t":"x"}"#),
        r#"dead {"t":"x"}: SchemaViolation at """#,
    );
    check(&receiver, &post(r#"{"t":"a","a":1}"#), r#"{"t":"a","a":1}"#);
    check(
        &receiver,
        &post(r#"{"t":"b","strict":true,"b":1}"#),
        r#"{"t":"b","strict":true,"b":1}"#,
    );
    check(
        &receiver,
        &post(r#"{"t":"b","strict":true}"#),
        r#"422 0: SchemaViolation at """#,
    );
    // Not taken for the shape of the others because nobody can tell.
    let found = summary(&receive(&receiver, &post(r#"{"t":"b"}"#)));
    assert!(
        found.contains("ExpressionFailed (variants[1].when: "),
        "{found}"
    );
    let event = events(receive(&receiver, &post(r#"{"t":"a"}"#))).remove(0);
    assert_eq!(
        event.attributes.extensions["tidegateinvalid"],
        ExtensionValue::Boolean(true)
    );
}

#[test]
fn a_variant_can_depend_on_the_customer() {
    let spec = r#"
        schema: {type: object}
        webhook: {authentication: [{none: {}}]}
        globalWebhook: {customer: item.a}
        variants: [{when: event.customer == "bolt", schema: {type: object, required: [b]}}]
    "#;
    let verdict = receive_for(
        &receiver(spec, &[]),
        &post(r#"{"a":["acme","bolt"]}"#),
        &customers(&["acme", "bolt"]),
    );
    assert_eq!(
        summary(&verdict),
        r#"{"a":["acme","bolt"]} & dead {"a":["acme","bolt"]}: SchemaViolation at """#
    );
}

#[test]
fn an_event_without_data_is_not_checked_and_other_bodies_are_as_what_they_are() {
    let with = |schema: &str, content_type: &str, body: &str| {
        let spec = format!("{{schema: {schema}, webhook: {{authentication: [{{none: {{}}}}]}}}}");
        let request = with_headers(post(body.to_owned()), &[("content-type", content_type)]);
        summary(&receive(&receiver(&spec, &[]), &request))
    };
    assert_eq!(with("{type: object}", "application/json", ""), "-");
    assert_eq!(
        with("{type: string, maxLength: 3}", "text/xml", "<a>"),
        "<a>"
    );
    assert_eq!(
        with("{type: string, maxLength: 3}", "text/xml", "<ab>"),
        r#"dead <ab>: SchemaViolation at """#
    );
    assert_eq!(
        with(
            "{type: object, required: [a]}",
            "application/x-www-form-urlencoded",
            "a=1"
        ),
        r#"{"a":"1"}"#
    );
    assert_eq!(
        with("{type: object}", "image/png", "x"),
        r#"dead x: SchemaViolation at """#
    );
    assert_eq!(with("{type: 'null'}", "image/png", "x"), "x");
}

#[test]
fn the_same_event_has_the_same_key_and_another_has_another() {
    let spec = |deduplication: &str, events: &str| {
        format!(
            "{{webhook: {{authentication: [{{none: {{}}}}], deduplication: {deduplication}, events: {events}}}, globalWebhook: {{customer: item.c}}}}"
        )
    };
    let key = |spec: &str, body: &str| {
        let event = events(receive(&receiver(spec, &[]), &post(body.to_owned()))).remove(0);
        event
            .attributes
            .deduplication
            .map(|deduplication| deduplication.key)
    };
    let by_id = spec("{window: 1h}", "{id: item.id}");
    let one = key(&by_id, r#"{"id":"1","c":"a"}"#);
    assert!(one.is_some());
    assert_eq!(one, key(&by_id, r#"{"id":"1","c":"a","more":1}"#));
    assert_ne!(one, key(&by_id, r#"{"id":"2","c":"a"}"#));
    assert_ne!(one, key(&by_id, r#"{"id":"1","c":"b"}"#));
    assert_ne!(
        key(&by_id, r#"{"id":"1a","c":"b"}"#),
        key(&by_id, r#"{"id":"a","c":"b1"}"#)
    );
    let by_content = spec("{by: Content}", "{id: item.id}");
    let one = key(&by_content, r#"{"id":"1","c":"a"}"#);
    assert_eq!(one, key(&by_content, r#"{"id":"1","c":"a"}"#));
    assert_ne!(one, key(&by_content, r#"{"id":"1", "c":"a"}"#));
    assert!(
        key(
            &spec("{}", "{id: item.id}").replace("deduplication: {}, ", ""),
            r#"{"id":"1","c":"a"}"#
        )
        .is_some()
    );
    assert_eq!(
        key(
            &spec("{}", "{}").replace("deduplication: {}, ", ""),
            r#"{"id":"1","c":"a"}"#
        ),
        None
    );
}
