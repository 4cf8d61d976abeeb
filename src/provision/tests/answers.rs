//! What answers mean by themselves, whatever a subscription says of them.

use super::*;

const WHOLE: &str = r#"
subscription:
  request: {url: "https://api.crm.example/hooks", body: {target: $(webhookUri)}}
  response: {id: response.body.id}
  prepare: [{name: me, request: {url: "https://api.crm.example/me"}, response: {values: {org: response.body.org}}}]
  renewal: {every: 24h, request: {url: "https://api.crm.example/renew"}}
  lookup: {request: {method: GET, url: "https://api.crm.example/hooks"}, id: response.body}
  unsubscribe: {steps: [{name: delete, request: {method: DELETE, url: "https://api.crm.example/hooks/1"}}], gone: [404, 422]}
"#;

/// Only the first word of what it means.
fn word(setting: &Setting, kind: &RequestKind, answer: &Answer) -> String {
    let words = in_words(&setting.read_answer(kind, answer).0);
    words.split([',', ':', ' ']).next().unwrap().to_owned()
}

#[test]
fn a_status_says_whether_something_was_done() {
    let setting = Setting::read(WHOLE);
    let check = |kind: RequestKind, status: u16, expected: &str| {
        let answer = answer(status, &[], r#"{"id": "1", "org": 2}"#);
        assert_eq!(
            word(&setting, &kind, &answer),
            expected,
            "{kind:?} {status}"
        );
    };
    for status in [200, 201, 202, 299] {
        check(RequestKind::Subscribe, status, "succeeded");
        check(RequestKind::Prepare(0), status, "succeeded");
        check(RequestKind::Renew, status, "succeeded");
        check(RequestKind::Unsubscribe(0), status, "succeeded");
    }
    for status in [
        301, 302, 307, 400, 401, 403, 404, 409, 410, 422, 425, 429, 499,
    ] {
        check(RequestKind::Subscribe, status, "refused");
        check(RequestKind::Prepare(0), status, "refused");
        check(RequestKind::Lookup(None), status, "refused");
    }
    for status in [100, 199, 408, 500, 501, 502, 503, 504, 599] {
        for kind in [
            RequestKind::Subscribe,
            RequestKind::Prepare(0),
            RequestKind::Lookup(None),
            RequestKind::Renew,
            RequestKind::Unsubscribe(0),
        ] {
            check(kind, status, "unknown");
        }
    }
    check(RequestKind::Subscribe, 303, "unknown");
    check(RequestKind::Renew, 404, "gone");
    check(RequestKind::Renew, 410, "gone");
    check(RequestKind::Renew, 403, "refused");
    check(RequestKind::Unsubscribe(0), 404, "gone");
    check(RequestKind::Unsubscribe(0), 422, "gone");
    check(RequestKind::Unsubscribe(0), 410, "refused");
    // A step that is not declared any more.
    check(RequestKind::FollowUp(7), 200, "unknown");
}

#[test]
fn an_app_says_how_long_to_wait() {
    let setting = Setting::read(WHOLE);
    let check = |status: u16, expected: &str| {
        let answer = Answer {
            retry_after: Some(std::time::Duration::from_secs(30)),
            ..answer(status, &[], "")
        };
        let words = in_words(&setting.read_answer(&RequestKind::Subscribe, &answer).0);
        assert_eq!(words, expected);
    };
    check(
        429,
        "refused, to wait 30 s: the app refused request with 429",
    );
    check(
        503,
        "unknown, to wait 30 s: the app answered 503 to request",
    );
    check(
        403,
        "refused, to wait 30 s: the app refused request with 403",
    );
}

#[test]
fn an_expression_that_fails_on_a_success_leaves_it_unknown_and_on_a_refusal_changes_nothing() {
    let read = |rules: &str, status: u16, body: &'static str| {
        let setting = Setting::read(&format!(
            "subscription: {{request: {{url: 'https://a.example/'}}, response: {rules}}}"
        ));
        in_words(
            &setting
                .read_answer(&RequestKind::Subscribe, &answer(status, &[], body))
                .0,
        )
    };
    let ok = r#"{success: "size(response.body.errors) == 0"}"#;
    assert_eq!(read(ok, 200, r#"{"errors": []}"#), "succeeded");
    assert_eq!(
        read(ok, 200, r#"{"errors": [1]}"#),
        "refused: the app answered 200 to request, but by success that is a failure"
    );
    assert_eq!(
        read(ok, 200, "oops"),
        "unknown: the app answered 200 to request, but success could not be read from it: there is no field `errors`"
    );
    assert_eq!(
        read(ok, 403, "oops"),
        "refused: the app refused request with 403"
    );
    assert_eq!(
        read(ok, 500, "oops"),
        "unknown: the app answered 500 to request"
    );
    let conflict = r#"{conflict: "response.body.code == 'exists'"}"#;
    assert_eq!(read(conflict, 200, "oops"), "succeeded");
    assert!(read(conflict, 400, r#"{"code": "exists"}"#).starts_with("conflict: "));
    let not_bool = r#"{success: "response.status"}"#;
    assert_eq!(
        read(not_bool, 200, ""),
        "unknown: the app answered 200 to request, but success could not be read from it: the expression is neither true nor false"
    );
    let also = r#"{success: "response.status in [200, 409]"}"#;
    assert_eq!(read(also, 409, ""), "succeeded");
}

#[test]
fn an_id_is_a_text_or_a_whole_number() {
    let read = |expression: &str, body: &'static str| {
        let setting = Setting::read(&format!(
            "subscription: {{request: {{url: 'https://a.example/'}}, response: {{id: '{expression}'}}}}"
        ));
        in_words(
            &setting
                .read_answer(&RequestKind::Subscribe, &answer(200, &[], body))
                .0,
        )
    };
    assert_eq!(
        read("response.body.id", r#"{"id": "a"}"#),
        "succeeded with id a"
    );
    assert_eq!(
        read("response.body.id", r#"{"id": 7}"#),
        "succeeded with id 7"
    );
    assert_eq!(
        read("response.body.id", r#"{"id": 18446744073709551615}"#),
        "succeeded with id 18446744073709551615"
    );
    assert_eq!(
        read("response.body", "plain-id"),
        "succeeded with id plain-id"
    );
    for body in [
        r#"{"id": ""}"#,
        r#"{"id": null}"#,
        r#"{"id": [1]}"#,
        r#"{"id": 1.5}"#,
        r#"{"id": true}"#,
    ] {
        let words = read("response.body.id", body);
        assert!(
            words.ends_with("an id has to be a text or a whole number"),
            "{body}: {words}"
        );
    }
}

#[test]
fn a_lookup_finds_one_several_or_none() {
    let setting = Setting::read(WHOLE);
    let read = |body: &'static str| {
        in_words(
            &setting
                .read_answer(&RequestKind::Lookup(None), &answer(200, &[], body))
                .0,
        )
    };
    assert_eq!(read(""), "found nothing");
    assert_eq!(read("null"), "found nothing");
    assert_eq!(read("[]"), "found nothing");
    assert_eq!(read("7"), "found 7");
    assert_eq!(read(r#""a""#), "found a");
    assert_eq!(read(r#"["a", 7]"#), "found a and 7");
    for body in [r#"[null]"#, r#"[""]"#, r#"{"a": 1}"#, "true", "[1.5]"] {
        let words = read(body);
        assert!(
            words.contains("lookup.id could not be read"),
            "{body}: {words}"
        );
    }
}

#[test]
fn headers_are_read_by_their_lower_case_names_and_joined() {
    let setting = Setting::read(
        "subscription: {request: {url: 'https://a.example/'}, response: {id: 'response.headers[\"x-id\"]', values: {status: string(response.status)}}}",
    );
    let answer = answer(201, &[("X-Id", "a"), ("X-ID", "b")], "");
    let (outcome, _) = setting.read_answer(&RequestKind::Subscribe, &answer);
    assert_eq!(
        in_words(&outcome),
        r#"succeeded with id a, b, values {"status":"201"}"#
    );
}

#[test]
fn a_renewal_reads_what_the_answer_to_the_request_says_unless_it_says_itself() {
    let read = |renewal: &str| {
        let setting = Setting::read(&format!(
            "subscription: {{request: {{url: 'https://a.example/'}}, response: {{expiresAt: timestamp(response.body.until), values: {{v: response.body.v}}}}, renewal: {{before: 1h, request: {{url: 'https://a.example/renew'}}{renewal}}}}}"
        ));
        let body = r#"{"until": "2027-01-01T00:00:00Z", "v": 1}"#;
        in_words(
            &setting
                .read_answer(&RequestKind::Renew, &answer(200, &[], body))
                .0,
        )
    };
    assert_eq!(
        read(""),
        r#"succeeded, until 2027-01-01T00:00:00Z, values {"v":1}"#
    );
    assert_eq!(
        read(", response: {expiresAt: now + duration('1h')}"),
        "succeeded, until 2026-11-25T23:00:00Z"
    );
    assert_eq!(
        read(", response: {values: {v: '2'}}"),
        r#"succeeded, values {"v":2}"#
    );
}
