use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::api::condition::reason;
use crate::compile::{Compiled, Environment, Identity, Kind, Others, State, compile};
use crate::event::ObjectName;
use crate::manifest::{Manifests, load};
use crate::outbound::PrivateAddresses;
use crate::provision::subscription_name;

const TYPE: &str = r#"
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: contact-created, namespace: crm}
spec:
  example: {id: c_1}
  app: {fieldsFrom: [{secretRef: {name: app}}]}
  webhook:
    authentication: [{hmac: {keys: [{signingSecret: {}}], signature: 'request.headers["x-signature"]'}}]
    events: {when: item.realm == customer.fields.realm}
  subscription:
    hosts: ["*.crm.example"]
    signingSecret: {generate: {}}
    request:
      method: PUT
      url: https://$(customer.fields.domain)/hooks
      headers: {Authorization: Bearer $(customer.fields.token), X-App: $(app.fields.key)}
      body: {target: $(webhookUri), secret: $(signingSecret), realm: $(customer.fields.realm)}
    unsubscribe: {steps: [{name: delete, request: {method: DELETE, url: "https://$(customer.fields.domain)/hooks/1"}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: app, namespace: crm}
stringData: {key: app-key}
"#;

const CUSTOMERS: &str = r#"
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {name: acme, namespace: crm, labels: {plan: pro}}
spec: {fields: {domain: acme.crm.example, realm: 1}, fieldsFrom: [{secretRef: {name: acme}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: acme, namespace: crm}
stringData: {token: acme-token}
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {name: beta, namespace: crm, labels: {plan: pro}}
spec: {fields: {domain: beta.crm.example, realm: 2, token: plain}}
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {name: free, namespace: crm, labels: {plan: free}}
spec: {fields: {domain: free.crm.example, realm: 3, token: plain}}
"#;

fn subscription(name: &str, namespace: &str, selects: &str) -> String {
    format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: EventSubscription\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{eventTypeRef: {{name: contact-created, namespace: crm}}, sink: {{uri: 'https://sink.example'}}{selects}}}\n"
    )
}

const PRO: &str = ", customerSelector: {matchLabels: {plan: pro}}";

fn compiled(documents: &[&str]) -> Compiled {
    let manifests = Manifests::new([load("test.yaml", &documents.join("\n---\n"))]);
    compile(
        &manifests.resources,
        &Environment {
            public_url: "https://hooks.example.com/",
            gateway: ObjectName::new("tidegate", "default"),
            default_gateway: ObjectName::new("tidegate", "default"),
            others: Others::Told,
            private_addresses: &PrivateAddresses::NONE,
            unusable_paths: &[],
            webhook_token: &|_| "GlobalTok3n".to_owned(),
            service_url: &|_, _, _| Err("none".to_owned()),
            identity: &|_, name| Identity {
                uid: name.to_string(),
                since: Timestamp::UNIX_EPOCH,
            },
        },
    )
}

fn name(customer: Option<&str>) -> ObjectName {
    let customer = customer.map(|customer| ObjectName::new("crm", customer));
    subscription_name(
        &ObjectName::new("crm", "contact-created"),
        customer.as_ref(),
    )
}

/// Which customers' subscriptions are wished for, and which are held.
fn check(documents: &[&str], wished: &[&str], held: &[&str]) {
    let compiled = compiled(documents);
    let names = |customers: &[&str]| -> BTreeSet<ObjectName> {
        customers.iter().map(|one| name(Some(one))).collect()
    };
    let found: BTreeSet<ObjectName> = compiled
        .upstream
        .iter()
        .map(|wish| wish.name.clone())
        .collect();
    assert_eq!(found, names(wished), "wished: {:#?}", compiled.verdicts);
    let mut held = names(held);
    held.retain(|name| !found.contains(name));
    let mut really = compiled.held.clone();
    really.remove(&name(None));
    assert_eq!(really, held, "held: {:#?}", compiled.verdicts);
}

#[test]
fn each_customer_that_somebody_selects_is_wished_for_once() {
    let by_label = &subscription("pro", "crm", PRO);
    let by_name = &subscription("acme", "crm", ", customerRef: {name: acme}");
    let suspended = &subscription("free", "crm", ", suspend: true, customerRef: {name: free}");
    let all = &subscription("all", "crm", "");
    let nobody = &subscription(
        "nobody",
        "crm",
        ", customerSelector: {matchLabels: {plan: gone}}",
    );
    check(&[TYPE, CUSTOMERS], &[], &[]);
    check(&[TYPE, CUSTOMERS, all], &[], &[]);
    check(&[TYPE, CUSTOMERS, nobody], &[], &[]);
    check(&[TYPE, CUSTOMERS, by_label], &["acme", "beta"], &[]);
    check(
        &[TYPE, CUSTOMERS, by_label, by_name],
        &["acme", "beta"],
        &[],
    );
    check(&[TYPE, CUSTOMERS, suspended, all], &["free"], &[]);
    let plain = TYPE.replace(
        "  subscription:",
        "  deletionPolicy: Orphan\n  subscription:",
    );
    check(&[&plain, CUSTOMERS, by_name], &["acme"], &[]);
}

#[test]
fn a_wish_holds_all_that_its_requests_need() {
    let compiled = compiled(&[TYPE, CUSTOMERS, &subscription("pro", "crm", PRO)]);
    let wish = (compiled.upstream.iter())
        .find(|wish| wish.name == name(Some("acme")))
        .unwrap();
    let inputs = &wish.inputs;
    assert_eq!(inputs.public_url, "https://hooks.example.com");
    assert_eq!(inputs.type_, "contact-created");
    assert!(!inputs.global && inputs.global_webhook_path.is_none());
    assert_eq!(inputs.app.sensitive["key"].expose(), b"app-key");
    let customer = inputs.customer.as_ref().unwrap();
    assert_eq!(customer.id, "acme");
    assert_eq!(customer.fields.plain["realm"], 1);
    assert_eq!(customer.fields.sensitive["token"].expose(), b"acme-token");
    assert_eq!(
        inputs.webhook_fields.shown,
        BTreeSet::from(["realm".to_owned()])
    );
    assert!(inputs.webhook_fields.keys.is_empty());
    assert!(!wish.allow_re_registration);
    let allowed = TYPE.replace(
        "namespace: crm}\nspec:\n  example",
        "namespace: crm, annotations: {tidegate.dev/allow-re-registration: 'true'}}\nspec:\n  example",
    );
    let compiled = self::compiled(&[&allowed, CUSTOMERS, &subscription("pro", "crm", PRO)]);
    assert!(
        compiled
            .upstream
            .iter()
            .all(|wish| wish.allow_re_registration)
    );
}

#[test]
fn what_is_missing_or_broken_holds_and_what_is_gone_does_not() {
    let pro = &subscription("pro", "crm", PRO);
    let acme = &subscription("acme", "crm", ", customerRef: {name: acme}");
    let without_secret = CUSTOMERS.replace(
        "kind: Secret\nmetadata: {name: acme,",
        "kind: Secret\nmetadata: {name: other,",
    );
    check(&[TYPE, &without_secret, pro], &["beta"], &["acme"]);
    let without_app = TYPE.replace(
        "kind: Secret\nmetadata: {name: app,",
        "kind: Secret\nmetadata: {name: other,",
    );
    check(&[&without_app, CUSTOMERS, pro], &[], &["acme", "beta"]);
    let without_field = CUSTOMERS.replace("domain: beta.crm.example, ", "");
    check(&[TYPE, &without_field, pro], &["acme"], &["beta"]);
    let elsewhere = CUSTOMERS.replace("beta.crm.example", "beta.evil.example");
    check(&[TYPE, &elsewhere, pro], &["acme"], &["beta"]);
    let broken_request = TYPE.replace("$(webhookUri)", "$(webhookUrl)");
    check(&[&broken_request, CUSTOMERS, pro], &[], &["acme", "beta"]);
    let broken_webhook = TYPE.replace("item.realm ==", "itm.realm ==");
    check(&[&broken_webhook, CUSTOMERS, pro], &[], &["acme", "beta"]);
    let invalid_type = TYPE.replace("  webhook:\n", "  unknownField: 1\n  webhook:\n");
    check(&[&invalid_type, CUSTOMERS, acme], &[], &["acme"]);
    let invalid_customer = CUSTOMERS.replace(
        "spec: {fields: {domain: acme",
        "spec: {unknown: 1, fields: {domain: acme",
    );
    check(&[TYPE, &invalid_customer, acme], &[], &["acme"]);
    // It may be one of the selected.
    check(&[TYPE, &invalid_customer, pro], &["beta"], &["acme"]);
    let broken_filter = &subscription(
        "acme",
        "crm",
        ", filter: 'evnt.x', customerRef: {name: acme}",
    );
    check(&[TYPE, CUSTOMERS, broken_filter], &[], &["acme"]);
    let taken = CUSTOMERS.replace(
        "spec: {fields: {domain: beta",
        "spec: {id: acme, fields: {domain: beta",
    );
    check(&[TYPE, &taken, pro], &["acme"], &["beta"]);
    // These are gone, and so are their registrations.
    check(&[CUSTOMERS, pro], &[], &[]);
    check(&[TYPE, pro], &[], &[]);
    let no_subscription = TYPE.split("  subscription:").next().unwrap();
    let none = no_subscription
        .replace("keys: [{signingSecret: {}}]", "keys: [{appField: key}]")
        .replace(
            "    events: {when: item.realm == customer.fields.realm}\n",
            "",
        );
    check(&[&none, CUSTOMERS, pro], &[], &[]);
}

#[test]
fn other_namespaces_are_wished_for_only_where_the_type_admits_them() {
    let customers = CUSTOMERS.replace("namespace: crm", "namespace: sales");
    let sales = &subscription("pro", "sales", PRO);
    let names = |compiled: &Compiled| compiled.upstream.len();
    assert_eq!(names(&compiled(&[TYPE, &customers, sales])), 0);
    let open = TYPE.replace(
        "  subscription:",
        "  allowedNamespaces: {from: All}\n  subscription:",
    );
    let compiled = compiled(&[&open, &customers, sales]);
    assert_eq!(names(&compiled), 2);
    assert!(
        compiled
            .upstream
            .iter()
            .all(|wish| wish.name.namespace == "sales")
    );
}

#[test]
fn a_namespace_that_is_no_longer_admitted_loses_its_wishes_and_nothing_holds_them() {
    let customers = CUSTOMERS.replace("namespace: crm", "namespace: sales");
    let sales = &subscription("pro", "sales", PRO);
    let with = |namespaces: &str| {
        let allowed = format!("  allowedNamespaces: {namespaces}\n  subscription:");
        compiled(&[
            &TYPE.replace("  subscription:", &allowed),
            &customers,
            sales,
        ])
    };
    let admitted = with("{from: All}");
    assert_eq!(admitted.upstream.len(), 2);
    for edited in [
        with("{from: Same}"),
        with("{from: Selector, selector: {matchLabels: {team: marketing}}}"),
        compiled(&[TYPE, &customers, sales]),
    ] {
        assert!(edited.upstream.is_empty(), "{:#?}", edited.upstream);
        for wish in &admitted.upstream {
            assert!(!edited.held.contains(&wish.name), "{} is held", wish.name);
        }
        let mut verdicts = edited.verdicts.iter();
        let verdict = verdicts.find(|it| it.kind == Kind::EventSubscription);
        let state = &verdict.unwrap().state;
        assert!(
            matches!(
                state,
                State::Waiting {
                    reason: reason::NOT_ALLOWED,
                    ..
                }
            ),
            "{state:?}"
        );
    }
    // A type that is broken as well says nothing about whom it admits: then they are held.
    let broken = with("{from: Nobody}");
    assert!(broken.upstream.is_empty());
    for wish in &admitted.upstream {
        assert!(broken.held.contains(&wish.name), "{} is lost", wish.name);
    }
}

#[test]
fn what_holds_a_wish_is_said_where_it_is_made() {
    let without_field = CUSTOMERS.replace("domain: beta.crm.example, ", "");
    let compiled = compiled(&[TYPE, &without_field, &subscription("pro", "crm", PRO)]);
    let verdict = (compiled.verdicts.iter())
        .find(|verdict| verdict.kind == Kind::EventSubscription)
        .unwrap();
    let message = "Customer crm/beta: failed to make request.url: there is no field `domain`";
    assert_eq!(
        verdict.state,
        State::Waiting {
            reason: reason::REQUEST_NOT_SENT,
            message: message.to_owned()
        }
    );
    assert_eq!(verdict.problems.len(), 1);
    assert_eq!(verdict.problems[0].path.as_str(), "spec.customerSelector");
    assert!(!verdict.problems[0].is_error());
    // Its events are delivered all the same.
    assert_eq!(compiled.configuration.subscriptions.len(), 1);
}

#[test]
fn a_field_that_the_webhook_reads_and_that_comes_from_a_secret_is_doubtful() {
    let type_ = TYPE.replace("customer.fields.realm}", "customer.fields.token}");
    let compiled = compiled(&[&type_, CUSTOMERS, &subscription("pro", "crm", PRO)]);
    let verdict = (compiled.verdicts.iter())
        .find(|verdict| verdict.kind == Kind::EventSubscription)
        .unwrap();
    assert_eq!(verdict.state, State::Ready);
    assert!(
        verdict.problems[0]
            .message
            .contains("reads customer.fields.token, which comes from a Secret"),
        "{:?}",
        verdict.problems
    );
    let acme = (compiled.upstream.iter())
        .find(|wish| wish.name == name(Some("acme")))
        .unwrap();
    assert!(acme.inputs.webhook_fields.shown.is_empty());
}

const GLOBAL: &str = r#"
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: contact-created, namespace: crm}
spec:
  example: {id: c_1}
  app: {fields: {id: a1}, fieldsFrom: [{secretRef: {name: app}}]}
  webhook: {authentication: [{none: {}}]}
  globalWebhook:
    registration:
      request: {method: PUT, url: "https://api.crm.example/apps/$(app.fields.id)", headers: {X: $(app.fields.key)}, body: {url: $(webhookUri)}}
      unsubscribe: {steps: [{name: delete, request: {method: DELETE, url: "https://api.crm.example/apps/$(app.fields.id)"}}]}
"#;

#[test]
fn a_global_webhook_is_registered_once_whoever_subscribes() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: app, namespace: crm}\nstringData: {key: app-key}\n";
    let whole = compiled(&[GLOBAL, secret]);
    assert_eq!(whole.upstream.len(), 1, "{:#?}", whole.verdicts);
    let wish = &whole.upstream[0];
    assert_eq!(wish.name, name(None));
    assert!(wish.inputs.global && wish.inputs.customer.is_none());
    assert_eq!(
        wish.inputs.global_webhook_path.as_deref(),
        Some("/h/GlobalTok3n")
    );
    assert!(whole.held.is_empty());
    let waiting = compiled(&[GLOBAL]);
    assert!(waiting.upstream.is_empty());
    assert_eq!(waiting.held, BTreeSet::from([name(None)]));
    let invalid = GLOBAL.replace("  webhook:", "  unknownField: 1\n  webhook:");
    assert_eq!(
        compiled(&[&invalid, secret]).held,
        BTreeSet::from([name(None)])
    );
}

/// What is said about the type: by the rules of its resource, or else by compilation.
fn said(type_: &str) -> Vec<String> {
    let refused = load("test.yaml", type_).problems;
    let refused = refused.into_iter().map(|placed| placed.problem);
    let verdicts = compiled(&[type_]).verdicts.into_iter();
    let compiled = verdicts
        .filter(|verdict| verdict.kind == Kind::AppEventType)
        .flat_map(|verdict| verdict.problems);
    refused
        .chain(compiled)
        .map(|problem| format!("{} {}", problem.path, problem.message))
        .collect()
}

#[test]
fn webhook_and_subscription_fit_together() {
    let check = |from: &str, to: &str, expected: &str| {
        assert!(TYPE.contains(from), "{from}");
        let said = said(&TYPE.replace(from, to));
        assert!(
            said.iter().any(|one| one.contains(expected)),
            "{expected}: {said:#?}"
        );
    };
    assert_eq!(said(TYPE), Vec::<String>::new());
    check(
        "keys: [{signingSecret: {}}]",
        "keys: [{appField: key}]",
        "spec.subscription.signingSecret no authentication entry uses it",
    );
    check(
        "    unsubscribe:",
        "    renewal: {before: 1h, mode: Recreate}\n    unsubscribe:",
        "subscription.renewal.before needs to know when a registration expires",
    );
    check(
        "target: $(webhookUri)",
        "target: $(globalWebhookUri)",
        "spec.subscription.request.body.target `globalWebhookUri` needs spec.globalWebhook",
    );
    check(
        "target: $(webhookUri), ",
        "target: $(globalWebhookUri), ",
        "spec.webhook.authentication[0].hmac.keys[0] requests come to the global webhook's URI",
    );
}
