//! Requests that are answered and never become events, and answers in general.

use super::*;

fn answer(verdict: Verdict) -> (u16, Vec<(String, String)>, String) {
    let answer = match verdict {
        Verdict::Handshake(answer) => answer,
        Verdict::Accepted(accepted) => accepted.answer.unwrap(),
        other => panic!("{}", summary(&other)),
    };
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    (
        answer.status.as_u16(),
        headers,
        String::from_utf8(answer.body.to_vec()).unwrap(),
    )
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers
        .iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value.as_str())
}

const TOKEN: &str = "{token: {keys: [{secretKeyRef: {name: app, key: k}}]}}";

#[test]
fn a_handshake_takes_any_method_and_has_its_own_authentication_or_the_types() {
    let spec = format!(
        r#"
        webhook:
          methods: [POST]
          authentication: [{TOKEN}]
          handshakes:
          - when: '"validationToken" in request.query'
            authentication: [{{none: {{}}}}]
            respond: {{text: '$(request.query["validationToken"][0])'}}
          - when: 'request.body.type == "url_verification"'
            respond: {{status: 201, headers: {{X-Echo: 'got $(request.method)'}}, body: {{challenge: $(request.body.challenge), n: 1}}}}
          - when: request.method == "HEAD"
            respond: {{status: 204}}
    "#
    );
    let receiver = receiver(&spec, &[("k", b"secret")]);
    let mut request = post("");
    request.path_and_query = "/x?validationToken=a%2Bb+c&validationToken=z".into();
    for method in ["POST", "GET", "OPTIONS", "HEAD", "PROPFIND"] {
        request.method = method.parse().unwrap();
        let (status, headers, body) = answer(receive(&receiver, &request));
        assert_eq!((status, body.as_str()), (200, "a+b c"));
        assert_eq!(
            header(&headers, "content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(header(&headers, "x-content-type-options"), Some("nosniff"));
    }
    let slack = post(r#"{"type":"url_verification","challenge":{"a":1}}"#);
    assert!(summary(&receive(&receiver, &slack)).starts_with("401 "));
    let slack = with_headers(slack, &[("authorization", "secret")]);
    let (status, headers, body) = answer(receive(&receiver, &slack));
    assert_eq!(
        (status, body.as_str()),
        (201, r#"{"challenge":{"a":1},"n":1}"#)
    );
    assert_eq!(header(&headers, "content-type"), Some("application/json"));
    assert_eq!(header(&headers, "x-echo"), Some("got POST"));
    let mut head = with_headers(post(""), &[("authorization", "secret")]);
    head.method = Method::HEAD;
    assert_eq!(
        answer(receive(&receiver, &head)),
        (
            204,
            vec![("x-content-type-options".into(), "nosniff".into())],
            String::new()
        )
    );
    // What is no handshake has to have the method; who sent it does not matter yet.
    head.method = Method::GET;
    check(&receiver, &head, "405 POST");
}

#[test]
fn without_a_list_every_method_makes_events_but_head_and_options() {
    let receiver = open("{}");
    for (method, expected) in [
        ("POST", "1"),
        ("PUT", "1"),
        ("GET", "1"),
        ("DELETE", "1"),
        ("PURGE", "1"),
        ("HEAD", "405 GET, POST, PUT, PATCH, DELETE"),
        ("OPTIONS", "405 GET, POST, PUT, PATCH, DELETE"),
    ] {
        let mut request = post("1");
        request.method = method.parse().unwrap();
        check(&receiver, &request, expected);
    }
    let listed = super::receiver(
        "{webhook: {methods: [OPTIONS, POST], authentication: [{none: {}}]}}",
        &[],
    );
    let mut request = post("1");
    request.method = Method::OPTIONS;
    check(&listed, &request, "1");
    request.method = Method::GET;
    check(&listed, &request, "405 OPTIONS, POST");
}

#[test]
fn an_error_in_when_means_no_and_the_first_match_answers() {
    let spec = r#"
        webhook:
          authentication: [{none: {}}]
          handshakes:
          - {when: request.body.missing.deep == 1, respond: {status: 500}}
          - {when: request.body.n, respond: {status: 500}}
          - {when: request.body.n == 1, respond: {text: first}}
          - {when: request.body.n == 1, respond: {text: second}}
    "#;
    let receiver = receiver(spec, &[]);
    assert_eq!(answer(receive(&receiver, &post(r#"{"n":1}"#))).2, "first");
    check(&receiver, &post(r#"{"n":2}"#), r#"{"n":2}"#);
    check(&receiver, &post("{oops"), "400");
}

#[test]
fn before_authentication_a_large_body_cannot_be_read() {
    let spec = format!(
        "{{webhook: {{authentication: [{TOKEN}], handshakes: [{{when: request.body.challenge != \"\", authentication: [{{none: {{}}}}], respond: {{text: $(request.body.challenge)}}}}]}}}}"
    );
    let receiver = receiver(&spec, &[("k", b"secret")]);
    let body = |length: usize| {
        let frame = r#"{"challenge":""}"#.len();
        format!(r#"{{"challenge":"{}"}}"#, "x".repeat(length - frame))
    };
    assert!(matches!(
        receive(&receiver, &post(body(16 << 10))),
        Verdict::Handshake(_)
    ));
    assert!(matches!(
        receive(&receiver, &post(body((16 << 10) + 1))),
        Verdict::Unauthenticated(_)
    ));
}

#[test]
fn an_answer_that_cannot_be_made_is_none() {
    let spec = |respond: &str| {
        format!(
            "{{webhook: {{authentication: [{{none: {{}}}}], handshakes: [{{when: 'true', respond: {respond}}}]}}}}"
        )
    };
    let fails = |respond: &str, expected: &str| {
        let found = summary(&receive(
            &receiver(&spec(respond), &[]),
            &post(r#"{"s":"a\nb","n":1}"#),
        ));
        assert!(found.starts_with(expected), "{respond}: {found}");
    };
    fails(
        "{text: $(request.body.missing)}",
        "handshake 0 failed: respond.text: ",
    );
    fails(
        "{headers: {X-A: $(request.body.s)}}",
        "handshake 0 failed: respond.headers[\"x-a\"]: ",
    );
    fails(
        "{body: {a: $(request.body.missing)}}",
        "handshake 0 failed: respond.body: ",
    );
}

#[test]
fn a_good_request_gets_the_types_answer_and_an_answer_that_fails_loses_no_event() {
    let spec = |respond: &str| {
        format!("{{webhook: {{respond: {respond}, authentication: [{{none: {{}}}}]}}}}")
    };
    let compiled = receiver(
        &spec("{status: 200, body: [$(auth.method), '$(size(request.body))']}"),
        &[],
    );
    assert_eq!(
        answer(receive(&compiled, &post("[1,2]"))).2,
        r#"["none",2]"#
    );
    let compiled = receiver(&spec("{headers: {X-A: '$(request.query.a[0])'}}"), &[]);
    let Verdict::Accepted(accepted) = receive(&compiled, &post("[1,2]")) else {
        panic!()
    };
    assert_eq!(accepted.items.len(), 2);
    assert_eq!(accepted.answer.unwrap().status.as_u16(), 202);
    assert!(
        accepted
            .answer_failure
            .unwrap()
            .starts_with("respond.headers[\"x-a\"]: ")
    );
    let Verdict::Accepted(accepted) = receive(&open("{}"), &post("1")) else {
        panic!()
    };
    assert_eq!(accepted.answer, None);
}
