//! What is read of registrations, found when a type is compiled.

use super::*;

#[test]
fn a_type_tells_which_fields_it_reads() {
    let spec = per_customer(
        r#"{
        authentication: [{token: {keys: [{customerField: token}, {customerField: old}]}, require: customer.fields.region == "eu"}],
        handshakes: [{ when: 'customer.fields["a.b"] == 1', respond: {text: '$(customer.fields.greeting) $(customer.id)'}}],
        events: {id: 'get(customer.fields.nested, "x.y", "-")', extensions: {plan: customer.fields.plan}},
        respond: {body: {a: [$(customer.fields.deep)]}},
    }"#,
    );
    let receiver = receiver(&spec, &[]);
    let names = |set: &std::collections::BTreeSet<String>| {
        set.iter().cloned().collect::<Vec<_>>().join(" ")
    };
    let fields = receiver.customer_fields();
    assert_eq!(names(&fields.keys), "old token");
    assert_eq!(names(&fields.shown), "a.b deep greeting nested plan region");
}

#[test]
fn mistakes_about_registrations_are_found() {
    let only = |spec: &str, expected: &str| {
        let found = problems(spec);
        assert_eq!(found.len(), 1, "{spec}: {found:#?}");
        assert!(found[0].starts_with(expected), "{expected}: {found:#?}");
    };
    let plain = |entry: &str, expected: &str| {
        only(
            &format!("{{webhook: {{authentication: [{entry}]}}}}"),
            expected,
        );
    };
    let path = "error spec.webhook.authentication[0]";
    plain(
        BY_SECRET,
        &format!("{path}.token.keys[0]: signingSecret needs a subscription"),
    );
    plain(
        BY_FIELD,
        &format!("{path}.token.keys[0]: customerField needs a per-customer subscription"),
    );
    plain(
        "{token: {keys: [{signingSecret: {}, appField: x}]}}",
        &format!(
            "{path}.token.keys[0]: write exactly one of secretKeyRef, appField, signingSecret and customerField"
        ),
    );
    plain(
        "{token: {keys: [{}]}}",
        &format!("{path}.token.keys[0]: write exactly one of"),
    );
    let none = "authentication: [{none: {}}]";
    only(
        &per_customer(&format!("{{{none}, events: {{id: customer.name}}}}")),
        "error spec.webhook.events.id@9: `customer` has no field `name`",
    );
    for whole in ["customer.fields", "customer", "customer.fields[item.x]"] {
        only(
            &per_customer(&format!("{{{none}, events: {{id: 'string({whole})'}}}}")),
            "error spec.webhook.events.id: name each field that is read",
        );
    }
    only(
        &per_customer(&format!("{{{none}, events: {{id: signingSecret}}}}")),
        "error spec.webhook.events.id@0: `signingSecret` is no value here",
    );
    // A type whose only registration is the global webhook's has no customer.
    let global = |webhook: &str, customer: &str| {
        format!(
            "{{webhook: {webhook}, globalWebhook: {{customer: {customer}, registration: {}}}}}",
            subscription("{generate: {}}")
        )
    };
    only(
        &global(
            &format!("{{{none}, events: {{id: customer.id}}}}"),
            "item.c",
        ),
        "error spec.webhook.events.id@0: `customer` needs a per-customer subscription",
    );
    assert!(
        problems(&global(
            &format!("{{{none}, events: {{id: subscription.id}}}}"),
            "subscription.values.c"
        ))
        .is_empty()
    );
    only(
        &format!(
            "{{webhook: {{{none}}}, globalWebhook: {{customer: customer.id}}, subscription: {}}}",
            subscription("{generate: {}}")
        ),
        "error spec.globalWebhook.customer@0: `customer` does not exist here",
    );
    only(
        &format!(
            "{{webhook: {{{none}}}, globalWebhook: {{customer: subscription.id}}, subscription: {}}}",
            subscription("{generate: {}}")
        ),
        "error spec.globalWebhook.customer@0: `subscription` needs a registration of the global webhook",
    );
    only(
        &format!("{{webhook: {{{none}, lifecycle: [{{when: item.x, action: Gone}}]}}}}"),
        "warning spec.webhook.lifecycle: nothing follows from these notices",
    );
    only(
        &per_customer(&format!(
            "{{{none}, lifecycle: [{{when: itm.x, action: Gone}}]}}"
        )),
        "error spec.webhook.lifecycle[0].when@0: unknown name `itm`",
    );
}

#[test]
fn mistakes_about_captures_are_found() {
    let only = |spec: &str, expected: &str| {
        let found = problems(spec);
        assert_eq!(found.len(), 1, "{spec}: {found:#?}");
        assert!(found[0].starts_with(expected), "{expected}: {found:#?}");
    };
    let with = |capture: &str, authentication: &str| {
        format!(
            "{{authentication: [{BY_SECRET}], handshakes: [{{when: 'true', authentication: {authentication}, respond: {{}}, capture: {capture}}}]}}"
        )
    };
    let none = "[{none: {}}]";
    let secret = "{signingSecret: request.body.s}";
    let path = "error spec.webhook.handshakes[0].capture";
    assert!(problems(&shaken(&with(secret, none))).is_empty());
    only(
        &per_customer(&with(secret, none)),
        &format!("{path}.signingSecret: a captured signing secret is taken where"),
    );
    assert!(
        problems(&per_customer(&with(
            "{expiresAt: timestamp(request.body.s)}",
            none
        )))
        .is_empty()
    );
    only(
        &shaken(&with("{signingSecret: request.bdy}", none)),
        &format!("{path}.signingSecret@8: `request` has no field `bdy`"),
    );
    only(
        &shaken(&with("{signingSecret: item.s}", none)),
        &format!("{path}.signingSecret@0: `item` does not exist in a handshake"),
    );
    only(
        &shaken(&with(secret, &format!("[{BY_SECRET}]"))),
        "error spec.webhook.handshakes[0].authentication: this handshake brings the signing secret",
    );
    only(
        &shaken(&format!(
            "{{authentication: [{BY_SECRET}], handshakes: [{{when: 'true', respond: {{}}, capture: {secret}}}]}}"
        )),
        "error spec.webhook.handshakes[0].authentication: this handshake brings the signing secret",
    );
    only(
        &shaken(&format!("{{authentication: [{BY_SECRET}]}}")),
        "error spec.webhook.handshakes: signingSecret.fromHandshake needs a handshake",
    );
    only(
        "{webhook: {authentication: [{none: {}}], handshakes: [{when: 'true', respond: {}, capture: {expiresAt: request.body.s}}]}}",
        &format!("{path}: capture keeps something for a registration"),
    );
    only(
        &per_customer(
            "{authentication: [{none: {}}], handshakes: [{when: 'true', respond: {}, capture: {}}]}",
        ),
        &format!("{path}: write signingSecret or expiresAt"),
    );
}
