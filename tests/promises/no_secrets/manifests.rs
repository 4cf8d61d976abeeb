//! Manifests in which every kind of secret is used, and broken ones that hold one.

use serde_json::json;

use super::search::{
    APP_FIELD, BROKEN, CUSTOMER_FIELD, HMAC, IN_QUERY, JWT, NUMBER, PASSWORD, SIGNING, SINK_HEADER,
    TIME, TOKEN, UNUSED, WEBHOOKS,
};
use crate::support::sink::Sink;

/// Every way to authenticate, each with sinks that take, fail, refuse and are not there.
pub fn manifests(sink: &Sink, refusing: &str) -> String {
    let mut text = format!(
        r#"
apiVersion: v1
kind: Secret
metadata: {{name: app}}
stringData:
  hmac: {}
  webhooks: {}
  token: {}
  password: {}
  jwt: {}
  query: {}
  header: {}
  signing: {}
  unused: {}
---
apiVersion: v1
kind: Secret
metadata: {{name: fields}}
stringData: {{field: {}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: of-the-customer}}
stringData: {{password: {}}}
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {{name: acme}}
spec: {{fieldsFrom: [{{secretRef: {{name: of-the-customer}}}}]}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventGateway
metadata: {{name: default, namespace: tidegate}}
spec: {{publicUrl: "https://hooks.example.com", storage: {{size: 32Mi}}}}
"#,
        yaml(HMAC),
        yaml(WEBHOOKS),
        yaml(TOKEN),
        yaml(PASSWORD),
        yaml(JWT),
        yaml(IN_QUERY),
        yaml(SINK_HEADER),
        yaml(SIGNING),
        yaml(UNUSED),
        yaml(APP_FIELD),
        yaml(CUSTOMER_FIELD),
    );
    let key = |key: &str| format!("keys: [{{secretKeyRef: {{name: app, key: {key}}}}}]");
    for (name, authentication) in [
        (
            "hmac",
            format!(
                "hmac: {{{}, signature: 'request.headers[\"x-signature\"]'}}",
                key("hmac")
            ),
        ),
        (
            "digest",
            format!(
                "digest: {{{}, algorithm: SHA256, signature: 'request.headers[\"x-signature\"]'}}",
                key("hmac")
            ),
        ),
        (
            "webhooks",
            format!("standardWebhooks: {{{}}}", key("webhooks")),
        ),
        ("token", format!("token: {{{}}}", key("token"))),
        (
            "basic",
            "basic: {username: app, passwords: [{secretKeyRef: {name: app, key: password}}]}"
                .to_owned(),
        ),
        (
            "jwt",
            format!(
                "jwt: {{{}, algorithms: [HS256], requireExpiry: false}}",
                key("jwt")
            ),
        ),
        (
            "query",
            format!(
                "token: {{{}, value: 'request.query[\"key\"][0]'}}",
                key("query")
            ),
        ),
        ("field", "token: {keys: [{appField: field}]}".to_owned()),
        ("unguessable", format!("token: {{{}}}", key("token"))),
    ] {
        let path = if name == "unguessable" {
            String::new()
        } else {
            format!("path: {name}, ")
        };
        text += &format!(
            r#"---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: {name}}}
spec:
  schema: {{type: object, required: [id], properties: {{id: {{type: string, maxLength: 8}}}}, additionalProperties: false}}
  onInvalid: {}
  app: {{fieldsFrom: [{{secretRef: {{name: fields}}}}]}}
  webhook:
    authentication: [{{{authentication}}}]
    events: {{id: item.id}}
  globalWebhook: {{{path}customer: '"acme"'}}
---
"#,
            if name == "hmac" {
                "DeadLetter"
            } else {
                "Reject"
            }
        );
        let sinks = [
            ("good", sink.url("/good")),
            ("failing", sink.url("/failing")),
            ("refused", sink.url("/refused")),
            ("nobody", refusing.to_owned()),
        ];
        for (kind, uri) in sinks {
            text += &format!(
                r#"---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: {name}-{kind}}}
spec:
  eventTypeRef: {{name: {name}}}
  sink:
    uri: "{uri}"
    headers: {{X-Api-Key: {{valueFrom: {{secretKeyRef: {{name: app, key: header}}}}}}}}
    signing: {{secretKeyRef: {{name: app, key: signing}}}}
  delivery: {{maxAttempts: 3, backoff: {{initial: 50ms, max: 100ms}}}}
"#
            );
        }
    }
    text
}

fn yaml(text: &str) -> String {
    // A JSON string is a YAML string.
    json!(text).to_string()
}

/// Manifests that are wrong and hold a secret, each with what is told of them.
pub fn broken() -> Vec<(&'static str, String)> {
    let secret =
        |rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: broken}}\n{rest}\n");
    vec![
        (
            "not-closed",
            secret(&format!("stringData: {{key: \"{BROKEN}")),
        ),
        (
            "a-list",
            secret(&format!("stringData: {{key: [\"{BROKEN}\"]}}")),
        ),
        (
            "not-base64",
            secret(&format!("data: {{key: \"{BROKEN}\"}}")),
        ),
        (
            "a-number",
            secret(&format!("stringData: {{key: {NUMBER}}}")),
        ),
        (
            "numbers",
            secret(&format!(
                "data: {{key: {NUMBER}}}\nstringData: {{key: [{TIME}, -{NUMBER}]}}"
            )),
        ),
        (
            "a-document",
            secret(&format!("stringData: {{key: x}}\n---\n{BROKEN}")),
        ),
        (
            "below-nothing",
            secret(&format!("stringData:\n  key: x\n    {BROKEN}: {BROKEN}")),
        ),
        (
            "an-anchor",
            secret(&format!("stringData: {{key: *{NUMBER}}}")),
        ),
        (
            "twice",
            secret(&format!(
                "stringData: {{key: \"{BROKEN}\", key: \"{BROKEN}\"}}"
            )),
        ),
        (
            "another-field",
            secret(&format!("stringdata: {{key: \"{BROKEN}\"}}")),
        ),
        ("plain-text", secret(&format!("stringData: \"{BROKEN}\""))),
        (
            "a-type",
            secret(&format!("type: [\"{BROKEN}\"]\nstringData: {{key: x}}")),
        ),
        (
            "a-header",
            secret(&format!("stringData: {{key: \"{BROKEN}\\n{BROKEN}\"}}"))
                + "---\napiVersion: tidegate.dev/v1alpha1\nkind: EventSubscription\nmetadata: {name: broken}\nspec:\n  \
                   eventTypeRef: {name: hmac}\n  sink: {uri: \"http://127.0.0.1:9/\", headers: {X-A: {valueFrom: \
                   {secretKeyRef: {name: broken, key: key}}}}, signing: {secretKeyRef: {name: broken, key: key}}}\n",
        ),
        (
            "a-key",
            secret(&format!("stringData: {{key: \"{BROKEN}\"}}"))
                + "---\napiVersion: tidegate.dev/v1alpha1\nkind: AppEventType\nmetadata: {name: broken}\nspec:\n  \
                   schema: {type: object}\n  webhook:\n    authentication:\n    - jwt: {keys: [{secretKeyRef: {name: \
                   broken, key: key}}], algorithms: [RS256]}\n    - hmac: {keys: [{secretKeyRef: {name: broken, key: \
                   key}}], keyEncoding: Hex, signature: request.headers.x}\n  globalWebhook: {path: broken}\n",
        ),
    ]
}
