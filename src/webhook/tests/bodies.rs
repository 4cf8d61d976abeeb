//! What a body is, how it is split, and that its bytes are never touched.

use super::*;

/// The items of a body under `events.from`, or whatever else becomes of it.
fn split(from: &str, body: &str, expected: &str) {
    let receiver = open(&format!("{{from: {from}}}"));
    let request = post(body.to_owned());
    let verdict = receive(&receiver, &request);
    assert_eq!(summary(&verdict), expected, "{from} in {body}");
    if let Verdict::Accepted(accepted) = verdict {
        for item in accepted.items {
            let ItemOutcome::Events(outcomes) = item else {
                continue;
            };
            for outcome in outcomes {
                let event = match outcome {
                    Outcome::Event(event) => event,
                    Outcome::DeadLetter(letter) => letter.event,
                };
                let data = event.data.unwrap();
                let inside = request.body.as_ptr_range().contains(&data.as_ptr());
                assert!(inside || data.is_empty(), "{body}: the data are a copy");
            }
        }
    }
}

#[test]
fn by_default_the_elements_of_an_array_are_the_events_and_anything_else_is_one() {
    let check = |body: &str, expected: &str| {
        let receiver = open("{}");
        assert_eq!(
            summary(&receive(&receiver, &post(body.to_owned()))),
            expected,
            "{body}"
        );
    };
    check(
        r#"[{"a": 1}, [2] ,3,"x",null]"#,
        r#"{"a": 1} | [2] | 3 | "x" | null"#,
    );
    check(" \r\n[1]\r\n", "1");
    check("[]", "");
    // One event is the body as it came, white space included.
    check("{\"b\":1,  \"a\":1.50}\r\n", "{\"b\":1,  \"a\":1.50}\r\n");
    check("7", "7");
    check("null", "null");
}

#[test]
fn paths_lead_to_arrays_and_objects_through_several_levels() {
    split(
        "request.body.events",
        r#"{"x":[0],"events":[{"a" :1},2]}"#,
        r#"{"a" :1} | 2"#,
    );
    split("request.body.events", r#"{"events":[]}"#, "");
    split(
        "request.body.event",
        r#"{"event":{"a" : 1}}"#,
        r#"{"a" : 1}"#,
    );
    split("request.body", r#"{"a" : 1}"#, r#"{"a" : 1}"#);
    split("request.body", "[1, 2]", "1 | 2");
    split(r#"'request.body["a.b"].c'"#, r#"{"a.b":{"c":[1]}}"#, "1");
    split("request.body.a", r#"{"\u0061":[1]}"#, "1");
    let entries = r#"{"entry":[{"changes":[1,{"x":2}]},{"changes":[]},{"changes":[3]}]}"#;
    split(
        "[request.body.entry, item.changes]",
        entries,
        r#"1 | {"x":2} | 3"#,
    );
    split(
        "[request.body.a, item.b, item.c]",
        r#"{"a":[{"b":[{"c":[1]},{"c":{"d":2}}]}]}"#,
        r#"1 | {"d":2}"#,
    );
    split(
        "[request.body.a, item]",
        r#"{"a":[[1,2],[3]]}"#,
        "1 | 2 | 3",
    );
}

#[test]
fn a_path_that_leads_to_no_list_and_no_object_makes_an_invalid_event_of_where_it_started() {
    let dead = "ExpressionFailed (events.from does not lead to a list or an object)";
    for body in [
        r#"{"event":[1]}"#,
        r#"{"events":1}"#,
        r#"{"events":null}"#,
        "[1]",
        "5",
        r#""events""#,
    ] {
        split("request.body.events", body, &format!("dead {body}: {dead}"));
    }
    split(
        "[request.body.entry, item.changes]",
        r#"{"entry":[{"changes":[1]},{"messaging":[2]}, 3]}"#,
        &format!(r#"1 | dead {{"messaging":[2]}}: {dead} | dead 3: {dead}"#),
    );
    split(
        "request.body.a.b",
        r#"{"a":[{"b":[1]}]}"#,
        &format!(r#"dead {{"a":[{{"b":[1]}}]}}: {dead}"#),
    );
}

#[test]
fn of_a_name_that_occurs_twice_the_last_counts_for_splitting_and_for_expressions_alike() {
    split(
        "request.body.events",
        r#"{"events":[1],"events":[2,3]}"#,
        "2 | 3",
    );
    split("request.body.events", r#"{"events":7,"events":[2]}"#, "2");
    split(
        "request.body.e",
        r#"{"e":{"a":1},"e":{"b":2}}"#,
        r#"{"b":2}"#,
    );
    split(
        "request.body.a.b",
        r#"{"a":{"b":[1]},"a":{"b":{"c":1}},"a":{"b":{"d":1}}}"#,
        r#"{"d":1}"#,
    );
    let dead = "ExpressionFailed (events.from does not lead to a list or an object)";
    split(
        "request.body.events",
        r#"{"events":[2],"events":7}"#,
        &format!(r#"dead {{"events":[2],"events":7}}: {dead}"#),
    );
    let receiver = open("{id: item.id, when: request.body.id == item.id}");
    let found = events(receive(&receiver, &post(r#"{"id":"first","id":"last"}"#)));
    assert_eq!(found[0].attributes.id, "last");
}

#[test]
fn what_is_no_json_is_malformed_wherever_the_fault_is() {
    let receiver = receiver(
        "{onInvalid: Reject, webhook: {authentication: [{none: {}}], events: {from: request.body.e}}}",
        &[],
    );
    for body in [
        "{",
        "{\"e\":[1]",
        "{\"e\":[1]}}",
        "{\"e\":[1,]}",
        "{\"e\":[1]} x",
        "{'e':[1]}",
        "{\"e\":[01]}",
        "{\"e\":[1],\"x\":tru}",
        "{\"x\":\"\u{1}\",\"e\":[]}",
        "\u{feff}{\"e\":[]}",
        "",
        " ",
    ] {
        let expected = if body.is_empty() {
            "422 0: ExpressionFailed (events.from does not lead to a list or an object)"
        } else {
            "400"
        };
        check(&receiver, &post(body.to_owned()), expected);
    }
    for body in [&b"{\"e\":[\"\xff\"]}"[..], b"\xff", b"{\"\xc3\":1}"] {
        check(&receiver, &post(body.to_vec()), "400");
    }
}

#[test]
fn a_body_that_does_not_parse_is_a_dead_letter_unless_the_type_rejects_or_anybody_may_send() {
    let with = |on_invalid: &str, authentication: &str| {
        let spec =
            format!("{{onInvalid: {on_invalid}, webhook: {{authentication: [{authentication}]}}}}");
        let receiver = receiver(&spec, &[("k", b"secret")]);
        let request = with_headers(post("{oops"), &[("authorization", "Bearer secret")]);
        summary(&receive(&receiver, &request))
    };
    let token = "{token: {keys: [{secretKeyRef: {name: app, key: k}}]}}";
    let dead = "dead {oops: MalformedBody (the body cannot be parsed as JSON)";
    assert_eq!(with("DeadLetter", token), dead);
    assert_eq!(with("Accept", token), dead);
    assert_eq!(with("Reject", token), "400");
    assert_eq!(with("DeadLetter", "{none: {}}"), "400");
}

#[test]
fn depth_is_no_danger_and_an_item_that_no_tree_can_hold_is_invalid_alone() {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let dead =
        |body: &str| format!("dead {body}: MalformedBody (the event cannot be parsed as JSON)");
    let receiver = open("{from: request.body.e, when: item != 2}");
    let body = |item: &str| format!("{{\"e\":[1,{item},2,3]}}");
    for item in [
        deep(200),
        deep(100_000),
        r#""\ud800""#.into(),
        "1e999".into(),
    ] {
        let expected = format!("1 | {} | skipped | 3", dead(&item));
        check(&receiver, &post(body(&item)), &expected);
    }
    check(
        &receiver,
        &post(body(&deep(100))),
        &format!("1 | {} | skipped | 3", deep(100)),
    );
    // As one event it is the whole body that does not parse.
    check(
        &open("{when: item != 2}"),
        &post(format!("{{\"a\":{}}}", deep(100_000))),
        "400",
    );
    check(&open("{id: request.body.id}"), &post(deep(100_000)), &{
        let inner = deep(99_999);
        format!("dead {inner}: ExpressionFailed (events.id: the body cannot be parsed as JSON)")
    });
}

/// Data, content type, and the value that expressions see.
fn kind(
    headers: &[(&str, &str)],
    query: &str,
    body: &[u8],
    expected: (Option<&[u8]>, Option<&str>, &str),
) {
    let receiver = open("{extensions: {seen: json.encode(item), body: json.encode(request.body)}}");
    let mut request = with_headers(post(body.to_vec()), headers);
    if headers.is_empty() {
        request.headers.clear();
    }
    request.path_and_query.push_str(query);
    let event = events(receive(&receiver, &request)).remove(0);
    let shown = |name| event.attributes.extensions[name].to_string();
    assert_eq!(
        (
            event.data.as_deref(),
            event.attributes.data_content_type.as_deref(),
            &*format!("{} of {}", shown("seen"), shown("body"))
        ),
        expected,
        "{headers:?} {query:?} {body:?}"
    );
}

#[test]
fn the_content_type_decides_what_a_body_is() {
    let json = Some("application/json");
    kind(
        &[("content-type", "application/vnd.x+json;charset=utf-8")],
        "",
        br#"{"a":1}"#,
        (
            Some(br#"{"a":1}"#),
            Some("application/vnd.x+json;charset=utf-8"),
            r#"{"a":1} of {"a":1}"#,
        ),
    );
    // Amazon's notifications are JSON that calls itself text.
    kind(
        &[("content-type", "text/plain; charset=UTF-8")],
        "",
        br#"{"a":1}"#,
        (Some(br#"{"a":1}"#), json, r#"{"a":1} of {"a":1}"#),
    );
    kind(
        &[],
        "",
        br#"{"a":1}"#,
        (Some(br#"{"a":1}"#), json, r#"{"a":1} of {"a":1}"#),
    );
    kind(
        &[],
        "",
        b"a=1",
        (Some(b"a=1"), Some("text/plain"), r#""a=1" of "a=1""#),
    );
    kind(
        &[("content-type", "text/csv")],
        "",
        b"a;1",
        (Some(b"a;1"), Some("text/csv"), r#""a;1" of "a;1""#),
    );
    kind(
        &[("content-type", "text/xml")],
        "",
        b"<a/>",
        (Some(b"<a/>"), Some("text/xml"), r#""<a/>" of "<a/>""#),
    );
    kind(
        &[("content-type", "application/soap+xml")],
        "",
        b"7",
        (Some(b"7"), Some("application/soap+xml"), r#""7" of "7""#),
    );
    kind(
        &[("content-type", "text/plain")],
        "",
        b"\xff",
        (Some(b"\xff"), Some("text/plain"), "null of null"),
    );
    kind(
        &[("content-type", "image/png")],
        "",
        b"{}",
        (Some(b"{}"), Some("image/png"), "null of null"),
    );
    kind(
        &[
            ("content-type", "application/json"),
            ("content-type", "text/plain"),
        ],
        "",
        b"{}",
        (
            Some(b"{}"),
            Some("application/octet-stream"),
            "null of null",
        ),
    );
    kind(
        &[("content-type", "application/json")],
        "",
        b"",
        (None, None, "null of null"),
    );
    kind(
        &[("content-type", "image/png")],
        "?a=1&b=2&a=%C3%BC+3",
        b"",
        (
            Some(r#"{"a":["1","ü 3"],"b":"2"}"#.as_bytes()),
            json,
            r#"{"a":["1","ü 3"],"b":"2"} of null"#,
        ),
    );
    let form = [("content-type", "application/x-www-form-urlencoded")];
    kind(
        &form,
        "?c=9",
        b"a=1&b=2&a=3&e",
        (
            Some(br#"{"a":["1","3"],"b":"2","e":""}"#),
            json,
            r#"{"a":["1","3"],"b":"2","e":""} of {"a":["1","3"],"b":["2"],"e":[""]}"#,
        ),
    );
    kind(
        &form,
        "",
        b"%ff=%00",
        (
            Some(r#"{"�":"\u0000"}"#.as_bytes()),
            json,
            r#"{"�":"\u0000"} of {"�":["\u0000"]}"#,
        ),
    );
}

#[test]
fn a_form_can_hold_json() {
    let receiver =
        open(r#"{data: "json.decode(item.payload)", id: "json.decode(item.payload).id"}"#);
    let request = with_headers(
        post("payload=%7B%22id%22%3A+%22x%22%7D"),
        &[("content-type", "application/x-www-form-urlencoded")],
    );
    check(&receiver, &request, r#"{"id":"x"}"#);
    check(
        &open("{from: request.body.p}"),
        &with_headers(
            post("p=1&p=2"),
            &[("content-type", "application/x-www-form-urlencoded")],
        ),
        r#""1" | "2""#,
    );
}

#[test]
fn more_events_than_allowed_are_too_many_at_every_level() {
    let check = |events: &str, body: &str, expected: &str| {
        let spec = format!(
            "{{webhook: {{maxEvents: 3, authentication: [{{none: {{}}}}], events: {events}}}}}"
        );
        assert_eq!(
            summary(&receive(&receiver(&spec, &[]), &post(body.to_owned()))),
            expected,
            "{body}"
        );
    };
    check("{}", "[1,2,3]", "1 | 2 | 3");
    check("{}", "[1,2,3,4]", "413");
    check("{}", "[1,2,3,4", "400");
    let nested = "{from: [request.body.a, item.b]}";
    check(nested, r#"{"a":[{"b":[1,2]},{"b":[3]}]}"#, "1 | 2 | 3");
    check(nested, r#"{"a":[{"b":[1,2]},{"b":[3,4]}]}"#, "413");
    check(
        nested,
        r#"{"a":[{"b":[]},{"b":[]},{"b":[]},{"b":[]}]}"#,
        "413",
    );
}

#[test]
fn parent_is_the_element_around_the_item() {
    let receiver = open("{from: [request.body.entry, item.changes], id: parent.id + item.id}");
    let body = r#"{"entry":[{"id":"a","changes":[{"id":"1"},{"id":"2"}]},{"id":"b","changes":[{"id":"3"}]}]}"#;
    let ids: Vec<_> = events(receive(&receiver, &post(body)))
        .into_iter()
        .map(|event| event.attributes.id)
        .collect();
    assert_eq!(ids, ["a1", "a2", "b3"]);
}
