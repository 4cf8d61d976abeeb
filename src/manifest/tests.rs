//! Files in, typed objects and placed problems out.

use std::fs;

use super::*;
use crate::api::{NamespacesFrom, OnInvalid};

const WHOLE: &str = r#"
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: order-placed}
spec:
  example: {id: o_1, account: acme, total: 12.5}
  webhook: {authentication: [{token: {keys: [{secretKeyRef: {name: shop, key: token}}]}}]}
  globalWebhook: {customer: item.account}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {name: invoicing}
spec: {eventTypeRef: {name: order-placed}, sink: {service: {name: invoicing, port: 80}}}
"#;

/// The problems of one file, as lines.
fn problems(text: &str) -> Vec<String> {
    load("a.yaml", text)
        .problems
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// Each expected line begins a line of the problems, or is part of it after `…`.
fn check(text: &str, expected: &[&str]) {
    let found = problems(text);
    let matches = |line: &String, expected: &&str| match expected.split_once('…') {
        Some((start, part)) => line.starts_with(start) && line.contains(part),
        None => line == expected,
    };
    assert!(
        found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(line, expected)| matches(line, expected)),
        "{text}\nshould say {expected:#?}\nbut says {found:#?}"
    );
}

#[test]
fn the_whole_type_of_the_design_is_right() {
    check(WHOLE, &[]);
    let resources = load("a.yaml", WHOLE).resources;
    let [event_type] = resources.event_types.as_slice() else {
        panic!()
    };
    assert_eq!(event_type.metadata.namespace.as_deref(), Some("default"));
    assert_eq!(event_type.spec.on_invalid(), OnInvalid::DeadLetter);
    assert_eq!(event_type.spec.namespaces_from(), NamespacesFrom::Same);
    assert_eq!(resources.subscriptions.len(), 1);
}

#[test]
fn all_kinds_are_read() {
    let text = r#"
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: crm, labels: {team: blue}}}
- apiVersion: v1
  kind: Secret
  metadata: {name: s, namespace: crm}
  data: {a: aHVudGVyMg==, b: eA==}
  stringData: {b: "12"}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: crm}, data: {k: "v"}}
- {apiVersion: tidegate.dev/v1alpha1, kind: Customer, metadata: {name: acme}, spec: {fields: {plan: 3}}}
- {apiVersion: tidegate.dev/v1alpha1, kind: EventGateway, metadata: {name: g}, spec: {publicUrl: "https://a.example"}}
"#;
    check(text, &[]);
    let resources = load("a.yaml", text).resources;
    assert_eq!(resources.namespaces[0].labels["team"], "blue");
    let secret = resources.secret("crm", "s").unwrap();
    assert_eq!(secret.data["a"].expose(), b"hunter2");
    assert_eq!(secret.data["b"].expose(), b"12", "stringData wins");
    assert!(!format!("{resources:?}").contains("hunter2"));
    assert_eq!(resources.config_map("crm", "c").unwrap().data["k"], "v");
    assert_eq!(resources.customers[0].id(), "acme");
    assert_eq!(resources.gateways[0].spec.public_url, "https://a.example");
}

#[test]
fn what_a_gateway_says_of_its_pods_is_checked_like_everything_else() {
    let gateway = |pod: &str| {
        format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: EventGateway\nmetadata: {{name: g}}\nspec:\n  publicUrl: \
             https://a.example\n  replicas: 3\n  storage: {{size: 1Gi, storageClassName: fast}}\n  ingress: {{}}\n  pod: \
             {{{pod}}}\n"
        )
    };
    check(
        &gateway("resources: {requests: {cpu: 2, memory: 1Gi}, limits: {cpu: 500m}}"),
        &[],
    );
    check(
        &gateway("tolerations: [{key: a, operator: Exists}], labels: {team: blue}"),
        &[],
    );
    let path = "spec.pod.resources.requests.cpu";
    check(
        &gateway("resources: {requests: {cpu: 1.5}}"),
        &[&format!(
            "a.yaml:9:37: error: EventGateway default/g: {path}: must be a whole number or text…not"
        )],
    );
    check(
        &gateway("resources: {requests: {cpu: much}}"),
        &[&format!(
            "a.yaml:9:37: error: EventGateway default/g: {path}: …"
        )],
    );
    check(
        &gateway("nodeSelektor: {disk: ssd}"),
        &[
            "a.yaml:9:9: error: EventGateway default/g: spec.pod.nodeSelektor: …did you mean `nodeSelector`?",
        ],
    );
}

#[test]
fn json_files_are_read_too() {
    let text = "{\n\t\"apiVersion\": \"tidegate.dev/v1alpha1\",\n\t\"kind\": \"Customer\",\n\t\"metadata\": {\"name\": \"acme\"},\n\t\"spec\": {\"ids\": 1}\n}\n";
    check(
        text,
        &[
            "a.yaml:5:11: error: Customer default/acme: spec.ids: there is no field `ids` here; did you mean `id`?",
        ],
    );
}

#[test]
fn all_mistakes_of_a_file_are_said_at_once_each_at_its_place() {
    check(
        r#"apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata:
  name: Order_Placed
spec:
  exampel: {id: o_1}
  example: {id: o_1}
  onInvalid: Deadletter
  type: $(item.type)
  webhook:
    maxBodyBytes: 100000000
    maxEvents: many
    authentication:
    - hmac:
        signature: 5
        key: x
        timestamp: {value: a, tolerance: 5 minutes}
    events: {from: {a: b}}
    respond: {text: a, body: b}
    deduplication:
"#,
        &[
            "a.yaml:4:9: error: AppEventType default/Order_Placed: metadata.name: does not have the form…Lower-case letters",
            "a.yaml:6:3: error: AppEventType default/Order_Placed: spec.exampel: there is no field `exampel` here; did you mean `example`?",
            "a.yaml:8:14: error: AppEventType default/Order_Placed: spec.onInvalid: must be one of DeadLetter, Reject, Accept; did you mean DeadLetter?",
            "a.yaml:9:9: error: AppEventType default/Order_Placed: spec.type: holds a placeholder…taken literally",
            "a.yaml:11:19: error: AppEventType default/Order_Placed: spec.webhook.maxBodyBytes: must be between 1 and 33554432, not 100000000",
            "a.yaml:12:16: error: AppEventType default/Order_Placed: spec.webhook.maxEvents: must be a whole number, not text",
            "a.yaml:14:7: error: AppEventType default/Order_Placed: spec.webhook.authentication[0].hmac: `keys` is missing…Keys; the signature must match",
            "a.yaml:15:20: error: AppEventType default/Order_Placed: spec.webhook.authentication[0].hmac.signature: must be text, but Kubernetes reads `5` as the number 5; write \"5\"",
            "a.yaml:16:9: error: AppEventType default/Order_Placed: spec.webhook.authentication[0].hmac.key: there is no field `key` here; did you mean `keys`?",
            "a.yaml:17:42: error: AppEventType default/Order_Placed: spec.webhook.authentication[0].hmac.timestamp.tolerance: must be a time span…15s",
            "a.yaml:18:20: error: AppEventType default/Order_Placed: spec.webhook.events.from: must be a path…not an object",
            "a.yaml:19:14: error: AppEventType default/Order_Placed: spec.webhook.respond: write at most one of text and body",
            "a.yaml:20:18: error: AppEventType default/Order_Placed: spec.webhook.deduplication: has no value…leave the field out",
        ],
    );
}

#[test]
fn mistakes_in_a_subscription_are_said_each_at_its_place() {
    check(
        r#"apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: a}
spec:
  example: {}
  webhook:
    authentication:
    - token: {keys: [{customerField: $(customer.id)}]}
    - basic: {username: a, passwords: [{signingSecret: }]}
  subscription:
    hosts: ["https://a.example", "$(customer.fields.domain)", "*.b.example", 127.0.0.1]
    signingSecret: {fromHandshake: yes}
    request:
      method: post
      url: https://$(customer.fields.domain)/hooks
      query: {limit: 10, all: "$(webhookUri)"}
      body: {target: $(webhookUri), sum: 1.10}
      form: {a: b}
    prepare:
    - {name: $(a), request: {url: ""}}
    unsubscribe: {steps: [], gone: [404, 99], giveUpAfter: never}
    rollout: {maxConcurrent: 0}
"#,
        &[
            "a.yaml:8:38: error: AppEventType default/a: spec.webhook.authentication[0].token.keys[0].customerField: holds a placeholder…taken literally",
            "a.yaml:9:54: error: AppEventType default/a: spec.webhook.authentication[1].basic.passwords[0].signingSecret: has no value…an object is wanted",
            "a.yaml:11:13: error: AppEventType default/a: spec.subscription.hosts[0]: does not have the form…without scheme and port",
            "a.yaml:11:34: error: AppEventType default/a: spec.subscription.hosts[1]: holds a placeholder…taken literally",
            "a.yaml:12:36: error: AppEventType default/a: spec.subscription.signingSecret.fromHandshake: must be an object, not true",
            "a.yaml:13:5: error: AppEventType default/a: spec.subscription.request: write at most one of body and form",
            "a.yaml:14:15: error: AppEventType default/a: spec.subscription.request.method: does not have the form…in capitals",
            "a.yaml:16:22: error: AppEventType default/a: spec.subscription.request.query.limit: must be text, but Kubernetes reads `10` as the number 10; write \"10\"",
            "a.yaml:17:42: warning: AppEventType default/a: spec.subscription.request.body.sum: Kubernetes reads `1.10` as the number 1.1…",
            "a.yaml:20:14: error: AppEventType default/a: spec.subscription.prepare[0].name: holds a placeholder…taken literally",
            "a.yaml:20:35: error: AppEventType default/a: spec.subscription.prepare[0].request.url: must not be empty",
            "a.yaml:21:26: error: AppEventType default/a: spec.subscription.unsubscribe.steps: needs at least one entry",
            "a.yaml:21:42: error: AppEventType default/a: spec.subscription.unsubscribe.gone[1]: must be between 100 and 599, not 99",
            "a.yaml:21:60: error: AppEventType default/a: spec.subscription.unsubscribe.giveUpAfter: must be a time span…15s",
            "a.yaml:22:30: error: AppEventType default/a: spec.subscription.rollout.maxConcurrent: must be between 1 and 1000, not 0",
        ],
    );
}

#[test]
fn broken_rules_are_said_at_what_they_are_about() {
    check(
        r#"apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: a}
spec:
  webhook:
    authentication:
    - none: {}
      require: "true"
"#,
        &[
            "a.yaml:4:1: error: AppEventType default/a: spec: say what the event looks like…",
            "a.yaml:7:7: error: AppEventType default/a: spec.webhook.authentication[0]: none stands alone…",
        ],
    );
}

#[test]
fn no_authentication_is_an_error_that_says_what_to_write() {
    check(
        "apiVersion: tidegate.dev/v1alpha1\nkind: AppEventType\nmetadata: {name: a}\nspec: {example: {}, webhook: {}}\n",
        &[
            "a.yaml:4:30: error: AppEventType default/a: spec.webhook: `authentication` is missing…How requests are trusted",
        ],
    );
}

#[test]
fn what_yaml_reads_otherwise_than_people_is_said() {
    check(
        r#"apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {name: acme, labels: {version: 1.10, on-call: yes}}
spec:
  id: 0123
  fields: {country: no, version: 1.10, plan: 3, ok: true, zip: 01234, text: "no"}
"#,
        &[
            "a.yaml:3:42: error: Customer default/acme: metadata.labels.version: must be text, but Kubernetes reads `1.10` as the number 1.1; write \"1.10\"",
            "a.yaml:3:57: error: Customer default/acme: metadata.labels[\"on-call\"]: must be text, but Kubernetes reads `yes` as true; write \"yes\"",
            "a.yaml:5:7: error: Customer default/acme: spec.id: must be text, but Kubernetes reads `0123` as the number 83; write \"0123\"",
            "a.yaml:6:21: warning: Customer default/acme: spec.fields.country: Kubernetes reads `no` as false…",
            "a.yaml:6:34: warning: Customer default/acme: spec.fields.version: Kubernetes reads `1.10` as the number 1.1…",
            "a.yaml:6:64: warning: Customer default/acme: spec.fields.zip: Kubernetes reads `01234` as the number 668…",
        ],
    );
}

#[test]
fn unknown_kinds_and_versions_are_told_apart_from_what_is_not_ours() {
    let check = |api_version: &str, kind: &str, expected: &str| {
        check(
            &format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\n"),
            &[expected],
        );
    };
    check(
        "tidegate.dev/v1alpha1",
        "AppEventtype",
        "a.yaml:2:7: error: kind: …did you mean AppEventType?",
    );
    check(
        "tidegate.dev/v1alpha1",
        "Widget",
        "a.yaml:2:7: error: kind: …there are AppEventType, Customer",
    );
    for kind in ["UpstreamSubscription", "UpstreamSubscriptionList"] {
        check(
            "tidegate.dev/v1alpha1",
            kind,
            "a.yaml:2:7: error: kind: …is made by Tidegate, and read by people alone; remove it from the files",
        );
    }
    check(
        "tidegate.dev/v1",
        "Customer",
        "a.yaml:1:13: error: apiVersion: …write tidegate.dev/v1alpha1",
    );
    check(
        "tidegate.io/v1alpha1",
        "EventGateway",
        "a.yaml:1:13: error: apiVersion: …tidegate.dev/v1alpha1",
    );
    check(
        "crm.example/v1",
        "Customer",
        "a.yaml:1:1: note: the Customer (crm.example/v1)…ignored",
    );
    check(
        "v1",
        "Service",
        "a.yaml:1:1: note: the Service (v1)…ignored",
    );
    check("apps/v1", "Deployment", "a.yaml:1:1: note: …ignored");
}

#[test]
fn what_is_no_object_is_said() {
    check(
        "a: 1\n",
        &["a.yaml:1:1: warning: not a Kubernetes object…ignored"],
    );
    check(
        "- a\n",
        &["a.yaml:1:1: error: a manifest is an object with apiVersion and kind, not a list"],
    );
    check(
        "kind: Secret\n",
        &["a.yaml:1:1: error: the Secret has no apiVersion"],
    );
    check(
        "apiVersion: v1\n",
        &["a.yaml:1:1: error: the object has no kind"],
    );
    check(
        "apiVersion: tidegate.dev/v1alpha1\nkind: Customer\nmetadata: {}\nspec: {}\n",
        &["a.yaml:3:11: error: Customer default/: metadata: `name` is missing…Lower-case letters"],
    );
}

#[test]
fn no_message_repeats_a_value_of_a_secret() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {a: '{hunter2}', b: 4711}\nstringData: {c: 4711, d: [hunter2], e: \"$(hunter2)\"}\n";
    let found = problems(text);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        !found.concat().contains("hunter2") && !found.concat().contains("4711"),
        "{found:#?}"
    );
    check(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {a: '{hunter2}'}\n",
        &[
            "a.yaml:4:11: error: Secret default/a: data.a: is not base64; text as it is goes into stringData",
        ],
    );
}

#[test]
fn an_object_that_is_wrong_is_known_but_not_used() {
    let loaded = load("a.yaml", &WHOLE.replace("port: 80", "port: 99999"));
    assert_eq!(loaded.resources.subscriptions, []);
    assert_eq!(loaded.resources.event_types.len(), 1);
    let invalid: Vec<_> = loaded
        .resources
        .invalid
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(invalid, ["EventSubscription default/invoicing"]);
    assert!(!loaded.is_broken, "every object could be read");
    assert!(load("a.yaml", "a: [").is_broken);
}

#[test]
fn an_object_that_two_files_hold_is_an_error_and_the_first_counts() {
    let manifests = Manifests::new([load("a.yaml", WHOLE), load("b.yaml", WHOLE)]);
    let found: Vec<_> = manifests.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "b.yaml:2:1: error: AppEventType default/order-placed: is declared twice; first at a.yaml:2:1",
            "b.yaml:10:1: error: EventSubscription default/invoicing: is declared twice; first at a.yaml:10:1",
        ]
    );
    assert_eq!(manifests.resources.event_types.len(), 1);
    assert!(manifests.has_errors());
}

#[test]
fn problems_found_elsewhere_get_their_places() {
    let text = r#"apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: a}
spec:
  example: {id: 1}
  webhook:
    authentication: [{none: {}}]
    events:
      id: item.idd
      when: "item.kind == 1"
      data: |
        {
          "a": item.b,
        }
"#;
    let manifests = Manifests::new([load("a.yaml", text)]);
    let object = ObjectReference::new("AppEventType", "default", "a");
    let check = |path: &str, offset: Option<usize>, expected: &str| {
        let mut problem = Problem::error(&object, path, "x");
        problem.offset = offset;
        assert_eq!(
            manifests.place(&problem).unwrap().to_string(),
            expected,
            "{path} {offset:?}"
        );
    };
    check("spec.webhook.events.id", None, "a.yaml:9:11");
    check("spec.webhook.events.id", Some(5), "a.yaml:9:16");
    check("spec.webhook.events.when", Some(5), "a.yaml:10:19");
    check("spec.webhook.events.data", Some(9), "a.yaml:13:16");
    check("spec.webhook.events.time", None, "a.yaml:8:5");
    check("spec.webhook.authentication[0].none", None, "a.yaml:7:29");
    check("status", None, "a.yaml:1:1");
    let stranger = Problem::error(
        &ObjectReference::new("Customer", "default", "a"),
        "spec",
        "x",
    );
    assert_eq!(manifests.place(&stranger), None);
}

#[test]
fn folders_are_read_without_what_editors_leave_behind() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "a: 1\n").unwrap();
    };
    for name in [
        "b.yaml",
        "a.yml",
        "sub/c.JSON",
        ".hidden.yaml",
        ".git/d.yaml",
        "e.yaml~",
        ".#f.yaml",
        "#g.yaml#",
        "h.yaml.swp",
        "i.txt",
        "README.md",
        ".j.yaml.swp",
        "4913",
    ] {
        write(name);
    }
    let read = read_paths([folder.path()]);
    let names: Vec<_> = read
        .sources
        .iter()
        .map(|source| {
            source
                .path
                .strip_prefix(folder.path())
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    assert_eq!(names, ["a.yml", "b.yaml", "sub/c.JSON"]);
    assert!(read.errors.is_empty());

    let named = read_paths([
        folder.path().join("i.txt"),
        folder.path().join("a.yml"),
        folder.path().join("a.yml"),
    ]);
    assert_eq!(
        named.sources.len(),
        2,
        "a file that is named is read, and once"
    );

    let missing = read_paths([folder.path().join("nothing")]);
    assert_eq!(missing.sources, []);
    assert!(missing.errors[0].to_string().contains("nothing"));
}

#[test]
fn what_is_not_text_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), b"a: \xff\n").unwrap();
    assert_eq!(read_paths([folder.path()]).errors.len(), 1);
}

#[test]
fn every_example_is_right() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let read = read_paths([examples]);
    assert!(read.errors.is_empty() && !read.sources.is_empty());
    for source in read.sources {
        let found: Vec<_> = source
            .load()
            .problems
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, Vec::<String>::new(), "{}", source.path.display());
    }
}
