//! Templates cannot be abused: whatever a customer's field holds, each position's rule holds. In a
//! path it is one segment, in a query one value, in a header one line, in a body one value, and no
//! host is called that was not allowed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::spec::documents;
use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::model_app::{Asked, ModelApp};

/// What fields hold, by the name of the customer.
const VALUES: [(&str, &str); 16] = [
    ("plain", "plain"),
    ("slash", "a/b"),
    ("traversal", "../../admin"),
    ("dots", ".."),
    ("encoded-dots", "%2e%2e"),
    ("at", "user@evil.example"),
    ("question", "a?b=c&d=e"),
    ("hash", "a#b"),
    ("line", "a\r\nX-Evil: yes\r\n\r\nGET / HTTP/1.1"),
    ("newline", "a\nb"),
    ("quotes", "a\"b'c"),
    ("json", "\"}, \"evil\": {\"a\": \""),
    ("template", "$(customer.fields.secret) $$(x)"),
    ("cel", "' + customer.fields.secret + '"),
    ("percent", "100%&+ ;=,"),
    ("letters", "é 漢 😀"),
];

/// Positions: each is a type, called at `/<name>/…`.
fn request(position: &str, app: &str) -> Value {
    let url = format!("{app}/{position}/of");
    match position {
        "in-path" => json!({"url": format!("{url}/$(customer.fields.x)/end?of=$(customer.id)")}),
        "in-query" => json!({
            "url": format!("{url}?a=$(customer.fields.x)&b=end"),
            "query": {"c": "$(customer.fields.x)", "of": "$(customer.id)"},
        }),
        "in-header" => json!({
            "url": format!("{url}?of=$(customer.id)"),
            "headers": {"X-Field": "<$(customer.fields.x)>"},
        }),
        "in-body" => json!({
            "url": format!("{url}?of=$(customer.id)"),
            "body": {"whole": "$(customer.fields.x)", "part": "<$(customer.fields.x)>", "last": 1},
        }),
        "in-form" => json!({
            "url": format!("{url}?of=$(customer.id)"),
            "form": {"whole": "$(customer.fields.x)", "last": "1"},
        }),
        position => panic!("{position}"),
    }
}

const POSITIONS: [&str; 5] = ["in-path", "in-query", "in-header", "in-body", "in-form"];

fn event_type(name: &str, request: Value, hosts: Value, app: &str) -> Value {
    let delete = json!({"method": "DELETE", "url": format!("{app}/{name}/removed")});
    let mut subscription = json!({
        "request": request,
        "unsubscribe": {"steps": [{"name": "delete", "request": delete}]},
        "limits": {"timeout": "60s", "requestsPerSecond": 1000},
    });
    if hosts != json!([]) {
        subscription["hosts"] = hosts;
    }
    json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "AppEventType", "metadata": {"name": name},
        "spec": {
            "schema": {"type": "object"},
            "webhook": {"authentication": [{"none": {}}]},
            "subscription": subscription,
        },
    })
}

fn customer(name: &str, field: &str, types: &[&str]) -> Vec<Value> {
    let customer = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "Customer", "metadata": {"name": name},
        "spec": {"fieldsFrom": [{"secretRef": {"name": name}}]},
    });
    // From a Secret, where nobody checks what it holds before it is used.
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "stringData": {"x": field, "secret": "not-to-be-read"},
    });
    let subscriptions = types.iter().map(|event_type| {
        json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "EventSubscription",
            "metadata": {"name": format!("{event_type}-{name}")},
            "spec": {
                "eventTypeRef": {"name": event_type}, "customerRef": {"name": name},
                "sink": {"uri": "http://127.0.0.1:9/"},
            },
        })
    });
    [customer, secret]
        .into_iter()
        .chain(subscriptions)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_stays_where_it_was_put() {
    let app = ModelApp::start().await;
    let mut all: Vec<Value> = POSITIONS
        .iter()
        .map(|position| event_type(position, request(position, app.url()), json!([]), app.url()))
        .collect();
    for (name, value) in VALUES {
        all.extend(customer(name, value, &POSITIONS));
    }
    let dev = Dev::start(&documents(&all)).await;
    for position in POSITIONS {
        let arrives = |name: &&str| !is_refused(position, name);
        let expected = VALUES.iter().filter(|(name, _)| arrives(name)).count();
        eventually(
            &format!("the requests of {position} have come"),
            async || by_customer(&app.asked(position)).len() >= expected,
        )
        .await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for position in POSITIONS {
        let asked = by_customer(&app.asked(position));
        for (name, value) in VALUES {
            match asked.get(name) {
                Some(_) if is_refused(position, name) => panic!("{position}, {name}: sent"),
                None if !is_refused(position, name) => panic!("{position}, {name}: not sent"),
                Some(asked) => stays(position, name, value, asked),
                None => {}
            }
        }
    }
    let all = app.asked_count();
    let known: usize = POSITIONS
        .iter()
        .map(|position| app.asked(position).len())
        .sum();
    assert_eq!(all, known, "nothing else was called");
    app.assert_unharmed();
    drop(dev);
}

/// Where a value cannot be put at all, nothing is sent.
fn is_refused(position: &str, name: &str) -> bool {
    match position {
        // A segment of dots is never a name, in any spelling that is sent.
        "in-path" => name == "dots",
        "in-header" => matches!(name, "line" | "newline"),
        _ => false,
    }
}

/// The first request of each customer.
fn by_customer(asked: &[Asked]) -> BTreeMap<String, Asked> {
    let mut all = BTreeMap::new();
    for asked in asked {
        let parameters = query(&asked.line);
        let of: Vec<_> = parameters.iter().filter(|(name, _)| name == "of").collect();
        assert_eq!(of.len(), 1, "{}", asked.line);
        all.entry(of[0].1.clone()).or_insert(asked.clone());
    }
    all
}

fn query(line: &str) -> Vec<(String, String)> {
    let query = line.split_once('?').unwrap_or_default().1;
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

fn stays(position: &str, name: &str, value: &str, asked: &Asked) {
    let line = &asked.line;
    let case = format!("{position}, {name}: {line}");
    let path = line.split_once(' ').unwrap().1;
    let path = path.split('?').next().unwrap();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let expected = if position == "in-path" { 4 } else { 2 };
    assert_eq!((segments.len(), segments[1]), (expected, "of"), "{case}");
    assert!(asked.headers.get("x-evil").is_none(), "{case}");
    match position {
        "in-path" => {
            assert_eq!(segments[3], "end", "{case}");
            let decoded = percent_encoding::percent_decode_str(segments[2]);
            assert_eq!(decoded.decode_utf8().unwrap(), value, "{case}");
        }
        "in-query" => {
            let parameters = query(line);
            let expected = [("a", value), ("b", "end"), ("c", value), ("of", name)];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(parameters, expected, "{case}");
        }
        "in-header" => {
            let header = asked.headers["x-field"].as_bytes();
            assert_eq!(header, format!("<{value}>").as_bytes(), "{case}");
        }
        "in-body" => {
            let body: Value = serde_json::from_str(&asked.body).unwrap();
            let expected = json!({"whole": value, "part": format!("<{value}>"), "last": 1});
            assert_eq!(body, expected, "{case}");
        }
        _ => {
            let form: Vec<(String, String)> = form_urlencoded::parse(asked.body.as_bytes())
                .into_owned()
                .collect();
            let mut expected = [("last", "1"), ("whole", value)];
            expected.sort_unstable();
            let mut form: Vec<_> = form.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            form.sort_unstable();
            assert_eq!(form, expected, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_host_is_called_that_was_not_allowed() {
    let app = ModelApp::start().await;
    // Whoever is called instead would notice.
    let other = ModelApp::start().await;
    let (port, elsewhere) = (app.address.port(), other.address);
    let in_host = json!({"url": format!("http://$(customer.fields.x):{port}/in-host")});
    let whole = json!({"url": "$(customer.fields.x)"});
    // A plain http URL is accepted because the declaration itself writes one here.
    let removal = format!("http://localhost:{port}");
    let mut all = vec![
        event_type("in-host", in_host, json!(["localhost"]), &removal),
        event_type("whole", whole, json!(["localhost"]), &removal),
    ];
    let hosts = [
        ("good", "localhost".to_owned()),
        ("ip", "127.0.0.1".to_owned()),
        ("decimal", "2130706433".to_owned()),
        ("slash", format!("{elsewhere}/")),
        ("hash", format!("{elsewhere}#")),
        ("question", format!("{elsewhere}?")),
        ("at", format!("localhost@{elsewhere}")),
        ("userinfo", "user:password@localhost".to_owned()),
        ("port", "localhost:1".to_owned()),
        ("line", "localhost\r\nX: y".to_owned()),
        ("backslash", format!("{elsewhere}\\")),
        ("empty", String::new()),
    ];
    for (name, host) in &hosts {
        all.extend(customer(&format!("host-{name}"), host, &["in-host"]));
    }
    let urls = [
        ("good", format!("http://localhost:{port}/whole")),
        ("other", format!("http://{elsewhere}/whole")),
        ("ip", format!("http://127.0.0.1:{port}/whole")),
        ("at", format!("http://localhost@{elsewhere}/whole")),
        ("userinfo", format!("http://user@localhost:{port}/whole")),
        ("backslash", format!("http://{elsewhere}\\@localhost/whole")),
        ("scheme", "file:///etc/passwd".to_owned()),
        ("line", format!("http://localhost:{port}/whole\r\nX: y")),
    ];
    for (name, url) in &urls {
        all.extend(customer(&format!("url-{name}"), url, &["whole"]));
    }
    let dev = Dev::start(&documents(&all)).await;
    for position in ["in-host", "whole"] {
        eventually(
            &format!("the good one of {position} has come"),
            async || !app.asked(position).is_empty(),
        )
        .await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for position in ["in-host", "whole"] {
        // A refused request may be tried again, but only the good one is sent.
        for asked in app.asked(position) {
            let host = asked.headers["host"].to_str().unwrap();
            assert_eq!(host, format!("localhost:{port}"), "{}", asked.line);
            assert_eq!(asked.line, format!("POST /{position}"));
            assert!(asked.headers.get("authorization").is_none());
        }
    }
    assert_eq!(other.asked_count(), 0);
    app.assert_unharmed();
    drop(dev);
}
