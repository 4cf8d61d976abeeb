//! What handshakes bring to keep, and the app's own notices.

use super::*;

const CAPTURING: &str = r#"{
    authentication: [{token: {keys: [{signingSecret: {}}]}}],
    handshakes: [{
        when: '"x-hook-secret" in request.headers',
        authentication: [{none: {}}],
        respond: {headers: {X-Hook-Secret: '$(request.headers["x-hook-secret"])'}},
        capture: {signingSecret: 'request.headers["x-hook-secret"]', expiresAt: 'timestamp(request.query.until[0])'},
    }],
}"#;

#[test]
fn a_capture_exists_only_while_it_is_open() {
    let receiver = receiver(&shaken(CAPTURING), &[]);
    let mut request = with_headers(post(""), &[("x-hook-secret", "s3cret")]);
    request.path_and_query = "/x?until=2026-02-01T00:00:00Z".into();
    let mut open = acme();
    open.capture_open = true;
    open.signing_secret = None;
    at(
        &receiver,
        &request,
        &open,
        "handshake 0 brings s3cret 2026-02-01T00:00:00Z, 200",
    );
    // Closed, or without a registration, the request is one as any other.
    at(&receiver, &request, &acme(), "401");
    check(
        &receiver,
        &request,
        "401 authentication[0].token: the Authorization header is missing, repeated or no text",
    );
    request.path_and_query = "/x?until=tomorrow".into();
    at(
        &receiver,
        &request,
        &open,
        "handshake 0 failed: capture.expiresAt: ",
    );
    let long = "x".repeat(4097);
    for secret in ["", long.as_str()] {
        let request = with_headers(post(""), &[("x-hook-secret", secret)]);
        at(
            &receiver,
            &request,
            &open,
            "handshake 0 failed: capture.signingSecret: it is no text of 1 to 4,096 bytes",
        );
    }
}

#[test]
fn a_closed_capture_leaves_the_request_to_the_next_handshake() {
    let spec = shaken(
        r#"{
        authentication: [{none: {}}],
        handshakes: [
            {when: 'true', respond: {status: 201}, capture: {signingSecret: request.body.s}},
            {when: 'true', respond: {status: 204}},
        ],
    }"#,
    );
    let receiver = receiver(&spec, &[]);
    let mut open = acme();
    open.capture_open = true;
    at(
        &receiver,
        &post(r#"{"s":"a"}"#),
        &open,
        "handshake 0 brings a -, 201",
    );
    at(&receiver, &post(r#"{"s":"a"}"#), &acme(), "handshake 204");
    check(&receiver, &post(r#"{"s":"a"}"#), "handshake 204");
}

#[test]
fn a_notice_makes_no_event_and_the_others_flow() {
    let spec = format!(
        r#"{{
        schema: {{type: object, required: [id]}},
        webhook: {{
            authentication: [{BY_SECRET}],
            events: {{from: request.body.value}},
            lifecycle: [
                {{when: item.lifecycleEvent == "reauthorizationRequired", action: Renew}},
                {{when: item.lifecycleEvent == "subscriptionRemoved", action: Resubscribe}},
                {{when: item.kind == "sync" && auth.method == "token" && item.gone, action: Gone}},
            ],
        }},
        subscription: {},
    }}"#,
        subscription("{generate: {}}")
    );
    let receiver = receiver(&spec, &[]);
    let check_notices = |body: Value, expected: &str, notices: &[&str]| {
        let request = bearer(&body.to_string(), "acme's secret");
        let verdict = receive_at(&receiver, &request, &acme());
        assert_eq!(summary(&verdict), expected, "{body}");
        let found = match verdict {
            Verdict::Accepted(accepted) => accepted.notices,
            Verdict::Rejected(rejection) => rejection.notices,
            other => panic!("{}", summary(&other)),
        };
        let found: Vec<_> = found.iter().map(|action| format!("{action:?}")).collect();
        assert_eq!(found, notices, "{body}");
    };
    check_notices(
        json!({"value": [{"lifecycleEvent": "reauthorizationRequired"}, {"id": 1}]}),
        r#"skipped | {"id":1}"#,
        &["Renew"],
    );
    // Each is told once; what is no notice is judged as ever.
    check_notices(
        json!({"value": [
            {"lifecycleEvent": "subscriptionRemoved"},
            {"lifecycleEvent": "missed"},
            {"kind": "sync", "gone": true},
            {"lifecycleEvent": "subscriptionRemoved"},
        ]}),
        r#"skipped | dead {"lifecycleEvent":"missed"}: SchemaViolation at "" | skipped | skipped"#,
        &["Resubscribe", "Gone"],
    );
    // An error in `when` means no.
    check_notices(
        json!({"value": [{"kind": "sync", "gone": 1, "id": 1}]}),
        r#"{"gone":1,"id":1,"kind":"sync"}"#,
        &[],
    );
    // Notices have shapes of their own: events.from need not lead anywhere.
    check_notices(
        json!({"lifecycleEvent": "subscriptionRemoved"}),
        "skipped",
        &["Resubscribe"],
    );
    // Nobody who is not trusted gives notice.
    let forged = bearer(
        r#"{"value":[{"lifecycleEvent":"subscriptionRemoved"}]}"#,
        "x",
    );
    at(&receiver, &forged, &acme(), "401");
}

#[test]
fn a_notice_is_told_though_others_of_the_request_are_rejected() {
    let spec = format!(
        "{{onInvalid: Reject, webhook: {{authentication: [{{none: {{}}}}], events: {{require: has(item.id)}}, lifecycle: [{{when: item.gone, action: Gone}}]}}, subscription: {}}}",
        subscription("{generate: {}}")
    );
    let verdict = receive_at(
        &receiver(&spec, &[]),
        &post(r#"[{"gone":true},{}]"#),
        &acme(),
    );
    let Verdict::Rejected(rejection) = verdict else {
        panic!("{}", summary(&verdict))
    };
    assert_eq!(rejection.count, 1);
    assert_eq!(rejection.items[0].index, 1);
    assert_eq!(rejection.notices, [crate::api::LifecycleAction::Gone]);
}

#[test]
fn a_request_without_items_is_authenticated_only_as_a_whole() {
    let authenticated = |entry: &str, request: Request| {
        let spec = per_customer(&format!("{{authentication: [{entry}]}}"));
        match receive_at(&receiver(&spec, &[]), &request, &acme()) {
            Verdict::Accepted(accepted) => accepted.authenticated,
            other => panic!("{}", summary(&other)),
        }
    };
    assert!(authenticated(BY_SECRET, bearer("[]", "acme's secret")));
    assert!(!authenticated(
        "{token: {value: item.s, keys: [{signingSecret: {}}]}}",
        post("[]")
    ));
}
