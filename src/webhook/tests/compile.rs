//! What is wrong with a type is said all at once, each with its field and its place in it.

use super::*;

/// The only problem of a type begins so.
fn only(spec: &str, expected: &str) {
    let found = problems(spec);
    assert!(
        found.len() == 1 && found[0].starts_with(expected),
        "{spec}: {found:#?}"
    );
}

fn webhook(rest: &str, expected: &str) {
    only(
        &format!("{{webhook: {{authentication: [{{none: {{}}}}], {rest}}}}}"),
        expected,
    );
}

fn authentication(entries: &str, expected: &str) {
    let entries = entries.replace("KEYS", "keys: [{secretKeyRef: {name: app, key: k}}]");
    only(
        &format!("{{webhook: {{authentication: [{entries}]}}}}"),
        expected,
    );
}

#[test]
fn each_problem_names_its_field_and_place() {
    webhook("events: {id: item.}", "error spec.webhook.events.id@");
    webhook(
        "events: {id: itm.id}",
        "error spec.webhook.events.id@0: unknown name `itm`; did you mean `item`?",
    );
    webhook(
        "events: {extensions: {topic: item.x + nope}}",
        "error spec.webhook.events.extensions.topic@9: ",
    );
    webhook(
        "events: {from: request.body.a + 1}",
        "error spec.webhook.events.from@",
    );
    webhook(
        "events: {from: [request.body.a, request.body.b]}",
        "error spec.webhook.events.from[1]: ",
    );
    webhook("events: {from: item.a}", "error spec.webhook.events.from: ");
    webhook("events: {from: []}", "error spec.webhook.events.from: ");
    webhook(
        "handshakes: [{when: 'true', respond: {headers: {X-A: $(item.x)}}}]",
        "error spec.webhook.handshakes[0].respond.headers[\"X-A\"]@2: `item` does not exist in a handshake",
    );
    webhook(
        "handshakes: [{when: 'true', respond: {body: {a: [1, $(nope)]}}}]",
        "error spec.webhook.handshakes[0].respond.body.a[1]@2: ",
    );
    webhook(
        "respond: {text: $(item.x)}",
        "error spec.webhook.respond.text@2: ",
    );
    webhook(
        "respond: {status: 404}",
        "error spec.webhook.respond.status: ",
    );
    webhook(
        "respond: {headers: {Content-Length: '1'}}",
        "error spec.webhook.respond.headers[\"Content-Length\"]: ",
    );
    webhook(
        "respond: {headers: {'a b': '1'}}",
        "error spec.webhook.respond.headers[\"a b\"]: ",
    );
    webhook("methods: [post]", "error spec.webhook.methods[0]: ");
    webhook(
        "deduplication: {window: 1h}",
        "error spec.webhook.deduplication: ",
    );
    for name in [
        "Topic",
        "to-pic",
        "abcdefghijklmnopqrstu",
        "id",
        "data",
        "specversion",
        "customerid",
        "tidegateinvalid",
    ] {
        webhook(
            &format!("events: {{extensions: {{{name}: item.x}}}}"),
            "error spec.webhook.events.extensions",
        );
    }
    only(
        "{webhook: {authentication: [{none: {}}]}, globalWebhook: {customer: itm}}",
        "error spec.globalWebhook.customer@0: ",
    );
    only(
        "{webhook: {authentication: [{none: {}}]}, globalWebhook: {customerField: x}}",
        "error spec.globalWebhook.customerField: ",
    );
    only(
        "{webhook: {authentication: [{none: {}}]}, globalWebhook: {customer: item.a, customerField: $(x)}}",
        "error spec.globalWebhook.customerField@0: ",
    );
    only(
        "{webhook: {authentication: [{none: {}}]}, schema: {type: objekt}}",
        "error spec.schema: ",
    );
    only(
        "{webhook: {authentication: [{none: {}}]}, variants: [{when: item.x, schema: {}}]}",
        "error spec.variants[0].when@0: ",
    );
    only(
        "{webhook: {authentication: [{none: {}}]}, variants: [{when: 'true', schema: {type: objekt}}]}",
        "error spec.variants[0].schema: ",
    );
}

#[test]
fn authentication_that_could_not_protect_anything_is_refused() {
    authentication("", "error spec.webhook.authentication: ");
    authentication(
        "{}",
        "error spec.webhook.authentication[0]: an entry needs a method",
    );
    authentication(
        "{none: {}}, {token: {KEYS}}",
        "error spec.webhook.authentication: none accepts every request",
    );
    authentication(
        "{none: {}, require: 'true'}",
        "error spec.webhook.authentication[0]: none stands alone",
    );
    authentication(
        "{token: {keys: []}}",
        "error spec.webhook.authentication[0].token.keys: ",
    );
    authentication(
        "{token: {keys: [{}]}}",
        "error spec.webhook.authentication[0].token.keys[0]: ",
    );
    authentication(
        "{hmac: {KEYS, signature: 'request.headers[\"x\"]', message: fixed}}",
        "error spec.webhook.authentication[0].hmac.message: ",
    );
    authentication(
        "{hmac: {KEYS, signature: 'request.headers[\"X-Sig\"]'}}",
        "error spec.webhook.authentication[0].hmac.signature@",
    );
    authentication(
        "{hmac: {KEYS, signature: 'request.headers[\"x\"]', message: $(key)$(request.rawBody)}}",
        "error spec.webhook.authentication[0].hmac.message@2: ",
    );
    authentication(
        "{hmac: {KEYS, signature: 'request.headers[\"x\"]', prefix: $(x)}}",
        "error spec.webhook.authentication[0].hmac.prefix@0: ",
    );
    authentication(
        "{digest: {KEYS, signature: 'request.headers[\"x\"]', message: $(request.rawBody)}}",
        "error spec.webhook.authentication[0].digest.message: $(key) must occur",
    );
    authentication(
        "{digest: {KEYS, signature: 'request.headers[\"x\"]', message: $(key)}}",
        "error spec.webhook.authentication[0].digest.message: the message holds nothing",
    );
    authentication(
        "{basic: {username: 'a:b', passwords: [{appField: p}]}}",
        "error spec.webhook.authentication[0].basic.username: ",
    );
    authentication(
        "{standardWebhooks: {headerPrefix: 'a b', KEYS}}",
        "error spec.webhook.authentication[0].standardWebhooks.headerPrefix: ",
    );
    authentication(
        "{jwt: {KEYS, algorithms: []}}",
        "error spec.webhook.authentication[0].jwt.algorithms: ",
    );
    authentication(
        "{jwt: {KEYS, algorithms: [HS256, RS256]}}",
        "error spec.webhook.authentication[0].jwt.algorithms: ",
    );
    authentication(
        "{token: {KEYS}, require: auth.claim.x}",
        "error spec.webhook.authentication[0].require@",
    );
    authentication(
        "{token: {value: auth.method, KEYS}}",
        "error spec.webhook.authentication[0].token.value@0: ",
    );
    authentication(
        "{token: {value: customer.fields.x, KEYS}}",
        "error spec.webhook.authentication[0].token.value@0: `customer` needs a per-customer subscription",
    );
    authentication(
        "{token: {value: parent.x, KEYS}}",
        "error spec.webhook.authentication[0].token.value@0: `parent` is the element around",
    );
    only(
        "{webhook: {authentication: [{none: {}}], handshakes: [{when: 'true', authentication: [{token: {value: item.x, keys: [{appField: t}]}}], respond: {}}]}}",
        "error spec.webhook.handshakes[0].authentication[0].token.value@0: ",
    );
}

#[test]
fn all_problems_are_found_at_once() {
    let found = problems(
        r#"
        schema: {type: objekt}
        webhook:
          methods: [get]
          authentication: [{token: {value: nope, keys: [{appField: t}]}}]
          events: {id: nope, time: nope}
        globalWebhook: {customer: nope}
    "#,
    );
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn what_works_but_is_hardly_meant_is_a_warning() {
    let entry = "{hmac: {KEYS, signature: 'request.headers[\"x\"]', timestamp: {value: 'request.headers[\"t\"]'}}}";
    authentication(
        entry,
        "warning spec.webhook.authentication[0].hmac.timestamp.value: the timestamp is no part of message",
    );
    for value in [
        "item.clientState",
        "request.body.token",
        "'request.form.token[0]'",
    ] {
        authentication(
            &format!("{{token: {{value: {value}, KEYS}}}}"),
            "warning spec.webhook.authentication[0].token.value: the token stands in the body",
        );
    }
    only(
        "{webhook: {authentication: [{none: {}}]}, schema: {typ: object}}",
        "warning spec.schema: ",
    );
}

#[test]
fn a_type_without_its_keys_compiles() {
    assert_eq!(
        problems(
            "{webhook: {authentication: [{hmac: {keys: [{secretKeyRef: {name: app, key: k}}], signature: 'request.headers[\"x\"]'}}]}}"
        ),
        Vec::<String>::new()
    );
}
