//! Requests to the URIs of registrations: whose the events are, which keys count, what is captured,
//! what is a notice, and that what we lack is never the sender's fault.

mod mistakes;
mod notices;

use serde_json::{Value, json};

use super::*;
use crate::configuration::RegistrationCustomer;
use crate::event::CustomerKey;

/// `subscription` that says nothing but where the secret is from.
fn subscription(signing_secret: &str) -> String {
    format!("{{request: {{url: 'https://crm.example/hooks'}}, signingSecret: {signing_secret}}}")
}

/// A type with this `webhook` and a per-customer subscription.
fn per_customer(webhook: &str) -> String {
    format!(
        "{{webhook: {webhook}, subscription: {}}}",
        subscription("{generate: {}}")
    )
}

/// A type with this `webhook` whose secret comes out of a handshake.
fn shaken(webhook: &str) -> String {
    format!(
        "{{webhook: {webhook}, subscription: {}}}",
        subscription("{fromHandshake: {}}")
    )
}

/// The registration of customer `acme` of namespace `sales`.
fn acme() -> LiveRegistration {
    LiveRegistration {
        customer: Some(RegistrationCustomer {
            key: CustomerKey {
                namespace: "sales".into(),
                id: "acme".into(),
            },
            fields: BTreeMap::from([("plan".to_owned(), json!(3))]),
            keys: BTreeMap::from([("token".to_owned(), Sensitive::from("acme's token"))]),
        }),
        id: Some("wh_1".into()),
        values: BTreeMap::from([("resource".to_owned(), json!("res-1"))]),
        signing_secret: Some(Sensitive::from("acme's secret")),
        capture_open: false,
    }
}

/// The registration of a global webhook.
fn global() -> LiveRegistration {
    LiveRegistration {
        customer: None,
        ..acme()
    }
}

fn at(receiver: &Receiver, request: &Request, registration: &LiveRegistration, expected: &str) {
    let verdict = summary(&receive_at(receiver, request, registration));
    assert!(
        verdict.starts_with(expected),
        "expected {expected:?}, found {verdict:?}"
    );
}

fn bearer(body: &str, token: &str) -> Request {
    with_headers(post(body.to_owned()), &[("authorization", token)])
}

const BY_SECRET: &str = "{token: {keys: [{signingSecret: {}}]}}";
const BY_FIELD: &str = "{token: {keys: [{customerField: token}]}}";

#[test]
fn events_of_a_customers_uri_are_that_customers() {
    let spec = format!(
        "{{webhook: {{authentication: [{{none: {{}}}}]}}, globalWebhook: {{customer: item.account, onUnknownCustomer: Reject}}, subscription: {}}}",
        subscription("{generate: {}}")
    );
    let receiver = receiver(&spec, &[]);
    let request = post(r#"{"account":"other"}"#);
    let event = events(receive_at(&receiver, &request, &acme())).remove(0);
    let attributes = event.attributes;
    assert_eq!(attributes.subject.as_deref(), Some("acme"));
    assert_eq!(attributes.source, "/crm/contact/sales/acme");
    assert_eq!(
        attributes.customer,
        acme().customer.map(|customer| customer.key)
    );
    // On the global URI, and on that of the global webhook's registration, the expression decides.
    check(
        &receiver,
        &request,
        "422 0: UnknownCustomer (no Customer with this value is declared)",
    );
    at(&receiver, &request, &global(), "422 0: UnknownCustomer");
    let known = customers(&["other"]);
    let verdict = receive_by(&receiver, &request, Some(&global()), &known);
    assert_eq!(
        events(verdict)[0].attributes.subject.as_deref(),
        Some("other")
    );
}

#[test]
fn dead_letters_of_a_customers_uri_are_that_customers_too() {
    let letter = |events: &str, request: Request| {
        let spec = per_customer(&format!(
            "{{authentication: [{BY_SECRET}], events: {events}}}"
        ));
        let request = with_headers(request, &[("authorization", "acme's secret")]);
        let Verdict::Accepted(accepted) = receive_at(&receiver(&spec, &[]), &request, &acme())
        else {
            panic!("{events}")
        };
        match &accepted.items[0] {
            ItemOutcome::Events(outcomes) => match &outcomes[0] {
                Outcome::DeadLetter(letter) => letter.event.attributes.subject.clone(),
                Outcome::Event(_) => panic!("{events}"),
            },
            other => panic!("{other:?}"),
        }
    };
    let acme = Some("acme".to_owned());
    assert_eq!(letter("{}", post("{oops")), acme);
    assert_eq!(letter("{when: item.missing}", post("{}")), acme);
    assert_eq!(letter("{require: 'false'}", post("{}")), acme);
    assert_eq!(letter("{from: request.body.a}", post("{}")), acme);
}

#[test]
fn a_key_of_a_registration_counts_at_its_uri_only() {
    let by_secret = receiver(
        &per_customer(&format!("{{authentication: [{BY_SECRET}]}}")),
        &[],
    );
    let by_field = receiver(
        &per_customer(&format!("{{authentication: [{BY_FIELD}]}}")),
        &[],
    );
    let mut other = acme();
    other.signing_secret = Some(Sensitive::from("other's secret"));
    other.customer.as_mut().unwrap().keys =
        BTreeMap::from([("token".to_owned(), Sensitive::from("other's token"))]);
    let check_both = |receiver: &Receiver, acmes: &str, others: &str| {
        at(receiver, &bearer("1", acmes), &acme(), "1");
        at(receiver, &bearer("2", others), &other, "2");
        at(receiver, &bearer("1", others), &acme(), "401");
        at(receiver, &bearer("1", acmes), &other, "401");
        at(receiver, &bearer("1", ""), &acme(), "401");
        // Where the URI belongs to no registration there is no such key, and nothing is missing.
        check(
            receiver,
            &bearer("1", acmes),
            "401 authentication[0].token: the token is another",
        );
    };
    check_both(&by_secret, "acme's secret", "other's secret");
    check_both(&by_field, "acme's token", "other's token");
    at(&by_field, &bearer("1", "acme's token"), &global(), "401");
    at(&by_secret, &bearer("1", "acme's secret"), &global(), "1");
}

#[test]
fn a_key_that_a_registration_lacks_is_our_fault() {
    let missing = "503 authentication[0].token: our key is missing or empty";
    let by_secret = receiver(
        &per_customer(&format!("{{authentication: [{BY_SECRET}]}}")),
        &[],
    );
    let by_field = receiver(
        &per_customer(&format!("{{authentication: [{BY_FIELD}]}}")),
        &[],
    );
    for value in [None, Some(Sensitive::from(""))] {
        let mut registration = acme();
        registration.signing_secret.clone_from(&value);
        registration.customer.as_mut().unwrap().keys = value
            .map(|value| ("token".to_owned(), value))
            .into_iter()
            .collect();
        for receiver in [&by_secret, &by_field] {
            at(receiver, &bearer("1", "x"), &registration, missing);
            at(receiver, &bearer("1", ""), &registration, missing);
            at(receiver, &post("1"), &registration, missing);
        }
    }
    let hex = receiver(
        &per_customer(
            "{authentication: [{hmac: {keyEncoding: Hex, keys: [{signingSecret: {}}], signature: 'request.headers[\"x\"]'}}]}",
        ),
        &[],
    );
    at(
        &hex,
        &with_headers(post("1"), &[("x", "00")]),
        &acme(),
        "503 authentication[0].hmac: our key cannot be used",
    );
}

#[test]
fn the_types_own_keys_go_on_counting_beside_those_of_a_registration() {
    let spec = per_customer(
        "{authentication: [{token: {keys: [{secretKeyRef: {name: app, key: k}}, {signingSecret: {}}]}}]}",
    );
    let receiver = receiver(&spec, &[("k", b"shared")]);
    let mut without = acme();
    without.signing_secret = None;
    at(&receiver, &bearer("1", "shared"), &acme(), "1");
    at(&receiver, &bearer("1", "acme's secret"), &acme(), "1");
    at(&receiver, &bearer("1", "shared"), &without, "1");
    at(&receiver, &bearer("1", "acme's secret"), &without, "503");
    check(&receiver, &bearer("1", "shared"), "1");
    check(
        &receiver,
        &bearer("1", "acme's secret"),
        "401 authentication[0].token: the token is another",
    );
}

#[test]
fn every_method_takes_the_signing_secret() {
    let secret = b"acme's secret";
    let tag = |algorithm, message: &[u8]| {
        let key = aws_lc_rs::hmac::Key::new(algorithm, secret);
        aws_lc_rs::hmac::sign(&key, message)
    };
    use base64::Engine as _;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let sha256 = aws_lc_rs::hmac::HMAC_SHA256;
    let hashed = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"acme's secret{}");
    let seconds = now().as_second();
    let standard = format!(
        "v1,{}",
        base64(tag(sha256, format!("m.{seconds}.{{}}").as_bytes()).as_ref())
    );
    let token = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256),
        &json!({"exp": seconds + 60}),
        &jsonwebtoken::EncodingKey::from_secret(secret),
    )
    .unwrap();
    let check_method = |method: &str, headers: &[(&str, &str)]| {
        let keys = "[{signingSecret: {}}]";
        let method = method.replace("KEYS", keys);
        let spec = per_customer(&format!("{{authentication: [{method}]}}"));
        let receiver = receiver(&spec, &[]);
        let mut registration = acme();
        if method.contains("standardWebhooks") {
            registration.signing_secret = Some(Sensitive::from(base64(secret).as_str()));
        }
        let request = with_headers(post("{}"), headers);
        at(&receiver, &request, &registration, "{}");
        registration.signing_secret = Some(Sensitive::from("YW5vdGhlcg=="));
        at(&receiver, &request, &registration, "401");
        registration.signing_secret = None;
        at(&receiver, &request, &registration, "503");
        assert!(summary(&receive(&receiver, &request)).starts_with("401"));
    };
    let signature = hex::encode(tag(sha256, b"{}"));
    check_method(
        "{hmac: {keys: KEYS, signature: 'request.headers[\"x\"]'}}",
        &[("x", &signature)],
    );
    check_method(
        "{digest: {keys: KEYS, signature: 'request.headers[\"x\"]', algorithm: SHA256, message: '$(key)$(request.rawBody)'}}",
        &[("x", &hex::encode(hashed))],
    );
    check_method(
        "{token: {keys: KEYS}}",
        &[("authorization", "Bearer acme's secret")],
    );
    let basic = format!("Basic {}", base64(b"app:acme's secret"));
    check_method(
        "{basic: {username: app, passwords: KEYS}}",
        &[("authorization", &basic)],
    );
    check_method(
        "{standardWebhooks: {keys: KEYS}}",
        &[
            ("webhook-id", "m"),
            ("webhook-timestamp", &seconds.to_string()),
            ("webhook-signature", &standard),
        ],
    );
    check_method(
        "{jwt: {keys: KEYS, algorithms: [HS256]}}",
        &[("authorization", &format!("Bearer {token}"))],
    );
}

#[test]
fn expressions_read_the_customer_and_the_subscription() {
    let spec = per_customer(
        r#"{
            authentication: [{token: {keys: [{signingSecret: {}}]}, require: 'request.headers["x-channel"] == subscription.id'}],
            events: {
                when: customer.fields.plan > 2,
                id: '[customer.id, subscription.id, subscription.values.resource].join("/")',
            },
            respond: {text: $(customer.id)},
        }"#,
    );
    let receiver = receiver(&spec, &[]);
    let request = with_headers(
        post("{}"),
        &[("authorization", "acme's secret"), ("x-channel", "wh_1")],
    );
    let Verdict::Accepted(accepted) = receive_at(&receiver, &request, &acme()) else {
        panic!()
    };
    assert_eq!(accepted.answer.as_ref().unwrap().body, "acme");
    assert!(accepted.authenticated);
    let id = events(Verdict::Accepted(accepted)).remove(0).attributes.id;
    assert_eq!(id, "acme/wh_1/res-1");
    let wrong = with_headers(request.clone(), &[("x-channel", "wh_2")]);
    at(
        &receiver,
        &wrong,
        &acme(),
        "401 authentication[0].require: is false",
    );
    // The global URI belongs to no registration, so an entry that names one fails there.
    let spec = per_customer(
        r#"{authentication: [{token: {keys: [{secretKeyRef: {name: app, key: k}}]}, require: 'request.headers["x"] == customer.id'}]}"#,
    );
    check(
        &super::receiver(&spec, &[("k", b"k")]),
        &with_headers(bearer("1", "k"), &[("x", "acme")]),
        "401 authentication[0].require: `customer` has no value: the URI belongs to no customer's registration",
    );
}

#[test]
fn what_the_app_has_not_told_yet_is_asked_for_again() {
    let mut new = acme();
    new.id = None;
    new.values.clear();
    let with = |webhook: &str| receiver(&per_customer(webhook), &[]);
    let open = "authentication: [{none: {}}]";
    let by_id = with(
        r#"{authentication: [{token: {keys: [{signingSecret: {}}]}, require: 'request.headers["x"] == subscription.id'}]}"#,
    );
    let request = with_headers(bearer("{}", "acme's secret"), &[("x", "wh_1")]);
    at(&by_id, &request, &acme(), "{}");
    at(
        &by_id,
        &request,
        &new,
        "503 authentication[0].require: reads something",
    );
    let token = with(
        r#"{authentication: [{token: {value: item.s, keys: [{signingSecret: {}}]}, require: item.id == subscription.id}]}"#,
    );
    let by_item = post(r#"[{"s":"acme's secret","id":"wh_1"}]"#);
    at(&token, &by_item, &acme(), "{\"s\"");
    at(&token, &by_item, &new, "503 authentication[0].require");
    for events in [
        "{id: subscription.id}",
        "{require: subscription.values.resource == 'res-1'}",
        "{when: subscription.id == 'wh_1'}",
    ] {
        let receiver = with(&format!("{{{open}, events: {events}}}"));
        at(&receiver, &post("{}"), &acme(), "{}");
        at(&receiver, &post("{}"), &new, "503");
        // What is asked for only where it is there changes nothing.
        let careful = with(&format!(
            "{{{open}, events: {{when: 'has(subscription.id) || true'}}}}"
        ));
        at(&careful, &post("{}"), &new, "{}");
    }
    let shake = with(&format!(
        "{{{open}, handshakes: [{{when: 'true', respond: {{text: $(subscription.id)}}}}]}}"
    ));
    at(&shake, &post("{}"), &acme(), "handshake 200");
    at(&shake, &post("{}"), &new, "503");
}

#[test]
fn a_field_that_a_customer_lacks_refuses_nothing() {
    let mut without = acme();
    without.customer.as_mut().unwrap().fields.clear();
    let rejecting = |events: &str, on_invalid: &str| {
        let spec = format!(
            "{{onInvalid: {on_invalid}, webhook: {{authentication: [{{none: {{}}}}], events: {events}}}, subscription: {}}}",
            subscription("{generate: {}}")
        );
        receiver(&spec, &[])
    };
    let require = "{require: item.plan == customer.fields.plan}";
    let request = post(r#"{"plan":3}"#);
    at(&rejecting(require, "Reject"), &request, &acme(), "{");
    at(&rejecting(require, "Reject"), &request, &without, "503");
    at(
        &rejecting(require, "Reject"),
        &post(r#"{"plan":4}"#),
        &acme(),
        "422",
    );
    // What is kept loses nothing: the letter says what was wrong.
    at(
        &rejecting(require, "DeadLetter"),
        &request,
        &without,
        "dead {\"plan\":3}: ExpressionFailed (events.require: there is no field `plan`)",
    );
}
