//! What is wrong with a subscription, and where it says so.

use super::*;
use crate::api::ObjectReference;

/// What is said about a subscription: `path[+offset]: message`, errors first letter `E`, warnings `W`.
fn said(yaml: &str, global: bool) -> Vec<String> {
    let subscription: Subscription = serde_saphyr::from_str(yaml).unwrap();
    let surroundings = Surroundings {
        global,
        has_global_webhook: global,
    };
    let object = ObjectReference::new("AppEventType", "crm", "contact-created");
    let (program, problems) = Program::check(object, &subscription, surroundings);
    let wrong = problems.iter().any(|problem| problem.is_error());
    assert_eq!(program.is_none(), wrong, "{problems:#?}");
    problems
        .iter()
        .map(|problem| {
            let path = problem.path.as_str();
            let path = path
                .strip_prefix(match global {
                    true => "spec.globalWebhook.registration",
                    false => "spec.subscription",
                })
                .unwrap();
            let path = path.trim_start_matches('.');
            let severity = if problem.is_error() { 'E' } else { 'W' };
            let at = problem
                .offset
                .map(|at| format!("+{at}"))
                .unwrap_or_default();
            format!("{severity} {path}{at}: {}", problem.message)
        })
        .collect()
}

/// A subscription that is fine but for `more`.
fn check_with(more: &str, expected: &[&str]) {
    let fine = "unsubscribe: {steps: [{name: delete, request: {method: DELETE, url: 'https://a.example/1'}}]}\n";
    let request = match more.contains("\nrequest:") || more.starts_with("request:") {
        true => "",
        false => "request: {method: PUT, url: 'https://a.example/'}\n",
    };
    let fine = if more.contains("unsubscribe:") {
        ""
    } else {
        fine
    };
    assert_eq!(
        said(&format!("{fine}{request}{more}"), false),
        expected,
        "{more}"
    );
}

#[test]
fn a_whole_subscription_is_fine() {
    check_with("", &[]);
    check_with(
        "hosts: ['*.a.example', b.example]\nrequest: {method: PUT, url: 'https://$(customer.fields.x).a.example/'}",
        &[],
    );
    check_with(
        "request: {method: PUT, url: 'https://a.example/', headers: {X: '$(customer.fields[customer.id])'}}",
        &[],
    );
}

#[test]
fn a_name_exists_only_where_it_has_a_value() {
    let later =
        "`subscription` exists only after the request: in followUps, renewal and unsubscribe";
    check_with(
        "request: {method: PUT, url: 'https://a.example/$(subscription.id)'}",
        &[&format!("E request.url+20: {later}")],
    );
    check_with(
        "prepare: [{name: a, request: {url: 'https://a.example/$(steps.a.x)'}}]",
        &["E prepare[0].request.url+26: step a runs only after this request"],
    );
    check_with(
        "prepare: [{name: a, request: {url: 'https://a.example/'}, response: {values: {x: response.body.x}}}]\nrequest: {method: PUT, url: 'https://a.example/$(steps.a.y)'}",
        &["E request.url+28: `steps.a` has no field `y`; did you mean `x`?"],
    );
    check_with(
        "followUps: [{name: b, request: {url: 'https://a.example/$(subscription.id)'}}]",
        &[
            "E followUps[0].request.url+33: `subscription.id` needs response.id, which reads it from the app's answer",
        ],
    );
    check_with(
        "response: {id: response.body.id}\nfollowUps: [{name: b, request: {url: 'https://a.example/$(subscription.values.x)'}}]",
        &["E followUps[0].request.url+40: `subscription.values` has no field `x`"],
    );
    check_with(
        "request: {method: PUT, url: 'https://a.example/', body: {a: {b: [$(signingSecret)]}}}",
        &[
            "E request.body.a.b[0]+2: `signingSecret` is not declared: write signingSecret: {generate: {}} to have one made for each registration",
        ],
    );
    check_with(
        "signingSecret: {fromResponse: response.body.s}\nrequest: {method: PUT, url: 'https://a.example/', text: $(signingSecret)}",
        &[
            "E request.text+2: `signingSecret` is not known yet when this request is sent: the app says it later",
        ],
    );
    check_with(
        "request: {method: PUT, url: 'https://a.example/', headers: {X: $(credentials.accessToken)}}",
        &[
            "E request.headers.X+2: `credentials` is not declared: write credentials with the request that obtains the token",
        ],
    );
    check_with(
        "credentials: {request: {url: 'https://a.example/$(attempt.id)'}, accessToken: response.body.t}",
        &[
            "E credentials.request.url+20: `attempt` does not exist in credentials: a token serves many registrations",
        ],
    );
    check_with(
        "request: {method: PUT, url: 'https://a.example/', text: $(globalWebhookUri)}",
        &["E request.text+2: `globalWebhookUri` needs spec.globalWebhook"],
    );
    check_with(
        "request: {method: PUT, url: 'https://a.example/$(response.status)'}",
        &[
            "E request.url+20: `response` exists only where an answer is read: in response, lookup.id, lookup.next, credentials and signingSecret.fromResponse",
        ],
    );
    check_with(
        "response: {id: respnse.body.id}",
        &["E response.id+0: unknown name `respnse`; did you mean `response`?"],
    );
    check_with(
        "response: {id: 'response.headers.Location'}",
        &[
            "E response.id+17: names in `response.headers` are lower case: write `location`, not `Location`",
        ],
    );
    assert_eq!(
        said(
            "{request: {method: PUT, url: 'https://a.example/$(customer.id)'}, unsubscribe: {steps: [{name: d, request: {url: 'https://a.example/'}}]}}",
            true
        ),
        [
            "E request.url+20: `customer` does not exist in a global webhook's registration: it is one for all customers"
        ],
    );
}

#[test]
fn a_default_header_is_reported_once() {
    check_with(
        "defaults: {headers: {X: $(nothing)}}\nlookup: {request: {url: 'https://a.example/'}, id: 'null'}",
        &[
            "E defaults.headers.X+2: unknown name `nothing`; the names here are app, eventType, now, customer, webhookUri, steps, attempt",
        ],
    );
}

#[test]
fn a_host_that_values_decide_on_is_listed() {
    check_with(
        "request: {method: PUT, url: 'https://$(customer.fields.x)/'}",
        &[
            "E request.url: a value decides on the host, so list in hosts where it may lead: hosts: [\"*.example.com\"]",
        ],
    );
    check_with(
        "unsubscribe: {steps: [{name: d, request: {url: $(customer.fields.u)}}]}\nrequest: {method: PUT, url: $(customer.fields.u)}",
        &[
            "E request.url: values decide where this leads, so list in hosts where it may: hosts: [\"api.example.com\"]",
            "E unsubscribe.steps[0].request.url: values decide where this leads, so list in hosts where it may: hosts: [\"api.example.com\"]",
        ],
    );
    let no_host =
        "this is neither a host name nor `*.` and a domain; write no scheme, port or path";
    for host in [
        "https://a.example",
        "a.example:80",
        "a.example/x",
        "*",
        "*.",
        "a.*",
        "a.example.",
        "",
    ] {
        check_with(
            &format!("hosts: ['{host}']"),
            &[&format!("E hosts[0]: {no_host}")],
        );
    }
    check_with(
        "hosts: ['*.127.0.0.1']",
        &["E hosts[0]: an address has no names below it: write it without `*.`"],
    );
    check_with(
        "hosts: ['$(app.fields.x)']",
        &[
            "E hosts[0]+0: this field is literal: `$(` is not replaced here",
            &format!("E hosts[0]: {no_host}"),
        ],
    );
}

#[test]
fn parts_fit_together() {
    check_with(
        "request: {method: PUT, url: 'https://a.example/', headers: {Host: x, Content-Length: '1', 'a b': c}}",
        &[
            "E request.headers[\"Content-Length\"]: this header belongs to the connection and cannot be declared",
            "E request.headers.Host: this header belongs to the connection and cannot be declared",
            "E request.headers[\"a b\"]: this is no name of a header",
        ],
    );
    check_with(
        "prepare: [{name: a, request: {url: 'https://a.example/'}}]\nfollowUps: [{name: a, request: {url: 'https://a.example/'}}]",
        &["E followUps[0].name: another step has this name already"],
    );
    check_with(
        "signingSecret: {generate: {}}\nfollowUps: [{name: a, request: {url: 'https://a.example/'}, response: {signingSecret: response.body.s}}]",
        &["E followUps[0].response.signingSecret: the signing secret already comes from elsewhere"],
    );
    check_with(
        "request: {url: 'https://a.example/'}",
        &[
            "W : without lookup, and with a request that is not idempotent, a lost answer means that the request is repeated: the app may then have two registrations, of which the unknown one is listed as an orphan",
        ],
    );
    assert_eq!(
        said("{request: {method: PUT, url: 'https://a.example/'}}", false),
        [
            "W : without unsubscribe, a registration that is no longer wanted stays at the app and is listed as an orphan"
        ],
    );
    check_with(
        "limits: {timeout: 0s}",
        &["E limits.timeout: must be longer than zero"],
    );
    assert_eq!(
        said(
            "{signingSecret: {customerField: x}, request: {method: PUT, url: 'https://a.example/'}, unsubscribe: {steps: [{name: d, request: {url: 'https://a.example/'}}]}}",
            true
        ),
        [
            "E signingSecret.customerField: a global webhook's registration has no customer; use generate"
        ],
    );
}

#[test]
fn registrations_without_a_uri_of_their_own_are_told_apart_by_something_else() {
    let of = |id: &str, more: &str| {
        let yaml = format!(
            "{{request: {{method: PUT, url: 'https://a.example/', text: $(globalWebhookUri)}}, lookup: {{request: {{url: 'https://a.example/'}}, id: '{id}', onFound: Adopt}}{more}, unsubscribe: {{steps: [{{name: d, request: {{url: 'https://a.example/'}}}}]}}}}"
        );
        let subscription: Subscription = serde_saphyr::from_str(&yaml).unwrap();
        assert!(!has_own_uri(&subscription));
        let surroundings = Surroundings {
            global: false,
            has_global_webhook: true,
        };
        let object = ObjectReference::new("AppEventType", "crm", "contact-created");
        let (_, problems) = Program::check(object, &subscription, surroundings);
        problems
            .into_iter()
            .map(|problem| problem.message)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(
            "response.body.filter(w, w.url == globalWebhookUri).map(w, w.id)",
            ""
        ),
        [
            "registrations share globalWebhookUri, so this finds those of other customers: compare something of the customer as well, or write onFound: Replace"
        ]
    );
    assert!(
        of(
            "response.body.filter(w, w.account == customer.id).map(w, w.id)",
            ""
        )
        .is_empty()
    );
    assert_eq!(
        of(
            "response.body.filter(w, w.url == webhookUri).map(w, w.id)",
            ""
        ),
        [
            "registrations have no `webhookUri` of their own here, because the request names globalWebhookUri and not webhookUri"
        ]
    );
}

#[test]
fn in_place_no_handshake_can_bring_the_secret() {
    check_with(
        "signingSecret: {fromHandshake: {}}",
        &[
            "E signingSecret.fromHandshake: a request that is sent again in place brings another \
             secret, which could not be told from a forged one: write change: Overlap",
        ],
    );
    check_with("signingSecret: {fromHandshake: {}}\nchange: Overlap", &[]);
}
