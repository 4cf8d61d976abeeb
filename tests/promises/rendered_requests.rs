//! `tidegate render` shows what would be sent, and nothing that is secret.

use crate::support::command::{Ran, tidegate};

const MANIFESTS: &str = r#"
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: contact-created, namespace: crm}
spec:
  example: {id: c_1}
  app: {fieldsFrom: [{secretRef: {name: app}}]}
  webhook: {authentication: [{token: {value: 'request.headers["x-token"]', keys: [{signingSecret: {}}]}}]}
  globalWebhook:
    registration:
      request: {method: PUT, url: "https://api.crm.example/app", body: {url: $(webhookUri)}}
      unsubscribe: {steps: [{name: clear, request: {method: DELETE, url: "https://api.crm.example/app"}}]}
  subscription:
    hosts: ["*.crm.example"]
    signingSecret: {generate: {}}
    credentials:
      request: {url: "https://login.crm.example/token", form: {secret: $(app.fields.secret)}}
      accessToken: response.body.token
    defaults: {headers: {Authorization: Bearer $(credentials.accessToken)}}
    prepare:
    - {name: me, request: {method: GET, url: "https://$(customer.fields.domain)/me"}, response: {values: {org: response.body.org}}}
    request:
      url: https://$(customer.fields.domain)/hooks
      query: {org: $(steps.me.org)}
      body: {target: $(webhookUri), secret: $(signingSecret), note: "for $(customer.id): $(customer.fields.note)"}
    response: {id: response.body.uri}
    followUps: [{name: enable, request: {method: PUT, url: $(subscription.id)}}]
    lookup: {request: {method: GET, url: "https://$(customer.fields.domain)/hooks"}, id: response.body.ids}
    renewal: {every: 24h, request: {url: "https://$(customer.fields.domain)/renew", text: "$(int(subscription.id))"}}
    unsubscribe: {steps: [{name: delete, request: {method: DELETE, url: $(subscription.id)}}]}
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {name: acme, namespace: crm}
spec: {fields: {domain: acme.crm.example}, fieldsFrom: [{secretRef: {name: acme}}]}
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {name: beta, namespace: crm}
spec: {fields: {domain: beta.evil.example, note: hello}}
---
apiVersion: v1
kind: Secret
metadata: {name: acme, namespace: crm}
stringData: {note: hunter2-hunter2}
---
apiVersion: v1
kind: Secret
metadata: {name: app, namespace: crm}
stringData: {secret: correct-horse-battery}
"#;

fn render(manifests: &str, arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crm.yaml");
    std::fs::write(&path, manifests).unwrap();
    let path = path.to_str().unwrap();
    let ran = tidegate(&[&["render", path], arguments].concat());
    for secret in ["hunter2", "correct-horse", "of-an-example", "token-of"] {
        assert!(!format!("{ran:?}").contains(secret), "{ran:?}");
    }
    ran
}

const EXPECTED: &str = r#"# credentials
POST https://login.crm.example/token
content-type: application/x-www-form-urlencoded

secret=***

# prepare me
GET https://acme.crm.example/me
authorization: Bearer ***

# request
POST https://acme.crm.example/hooks?org=example-org
authorization: Bearer ***
content-type: application/json

{"note":"for acme: ***","secret":"***","target":"https://gateway.example/h/***/1"}

# followUps enable
PUT https://acme.crm.example/example-id
authorization: Bearer ***

# lookup
GET https://acme.crm.example/hooks
authorization: Bearer ***

# renewal
cannot be shown with example values: failed to make renewal.request.text: `int` needs a text that is a whole number

# unsubscribe delete
DELETE https://acme.crm.example/example-id
authorization: Bearer ***
"#;

#[test]
fn all_requests_of_a_customer_are_shown_in_the_order_they_are_sent() {
    let ran = render(MANIFESTS, &["contact-created", "crm/acme"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let normal = |text: &str| {
        let lines = text.lines().map(|line| {
            // The order of members means nothing.
            match serde_json::from_str::<serde_json::Value>(line) {
                Ok(json) if json.is_object() => {
                    let sorted: std::collections::BTreeMap<String, serde_json::Value> =
                        serde_json::from_value(json).unwrap();
                    serde_json::to_string(&sorted).unwrap()
                }
                _ => line.to_owned(),
            }
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(normal(&ran.stdout), normal(EXPECTED), "{ran:?}");
}

#[test]
fn programs_get_json() {
    let ran = render(
        MANIFESTS,
        &["crm/contact-created", "acme", "--output", "json"],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let items = ran.json()["items"].as_array().unwrap().clone();
    let names: Vec<&str> = items
        .iter()
        .map(|item| item["request"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "credentials",
            "prepare me",
            "request",
            "followUps enable",
            "lookup",
            "renewal",
            "unsubscribe delete"
        ]
    );
    assert_eq!(items[2]["method"], "POST");
    assert_eq!(items[2]["headers"]["authorization"], "Bearer ***");
    assert!(
        items[5]["error"].is_string() && items[5]["method"].is_null(),
        "{items:#?}"
    );
}

#[test]
fn without_a_customer_it_is_the_global_webhooks_registration() {
    let ran = render(MANIFESTS, &["contact-created"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout
            .starts_with("# request\nPUT https://api.crm.example/app\n")
            && ran.stdout.contains("https://gateway.example/h/***/1"),
        "{ran:?}"
    );
}

#[test]
fn what_cannot_be_rendered_says_why() {
    let check = |manifests: &str, arguments: &[&str], code: i32, expected: &str| {
        let ran = render(manifests, arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{expected}: {ran:?}");
    };
    check(
        MANIFESTS,
        &["nothing", "acme"],
        1,
        "there is no AppEventType nothing",
    );
    check(
        MANIFESTS,
        &["contact-created", "nobody"],
        1,
        "there is no Customer nobody",
    );
    check(
        MANIFESTS,
        &["contact-created", "beta"],
        1,
        "leads to a host that neither hosts nor any URL names; add it to hosts",
    );
    check(
        &MANIFESTS.replace(
            "name: acme, namespace: crm}\nstringData",
            "name: other, namespace: crm}\nstringData",
        ),
        &["contact-created", "acme"],
        1,
        "Secret crm/acme does not exist",
    );
    check(
        &MANIFESTS.replace("$(steps.me.org)", "$(steps.me.or)"),
        &["contact-created", "acme"],
        1,
        "`steps.me` has no field `or`",
    );
    check(
        MANIFESTS,
        &["no-such-file", "contact-created", "acme"],
        2,
        "there is no file or folder no-such-file",
    );
    let ran = tidegate(&["render"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let help = tidegate(&["render", "--help"]);
    assert!(
        help.code == 0 && help.stdout.contains("Example: tidegate render"),
        "{help:?}"
    );
}
