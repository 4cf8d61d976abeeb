//! The examples do what README and their own comments promise, in the real process; and the
//! commands that README shows do their work on them.

use std::path::{Path, PathBuf};

use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA512};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::app::{hmac_sha256_base64, hmac_sha256_hex, hmac_sha512_base64, token};
use crate::support::command::tidegate;
use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::{Delivery, Sink};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// The example as it stands, but for the address of its sinks.
async fn start(name: &str, sink: &Sink) -> Dev {
    Dev::start_copy(&example(name), "http://127.0.0.1:9090", &sink.url("")).await
}

async fn post(dev: &Dev, path: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, Value) {
    let mut request = dev
        .client
        .post(dev.url(path))
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body.to_owned()).send().await.unwrap();
    let status = answer.status();
    (
        status,
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(),
    )
}

/// Ids at a path of the sink, sorted.
fn ids(deliveries: &[Delivery]) -> Vec<String> {
    let mut ids: Vec<String> = deliveries
        .iter()
        .map(|delivery| match delivery.id() {
            "" => serde_json::from_slice::<Value>(&delivery.body).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned(),
            id => id.to_owned(),
        })
        .collect();
    ids.sort();
    ids
}

/// Waits until a path of the sink has got this many, and that nothing more comes with them.
async fn arrived(sink: &Sink, path: &str, count: usize) -> Vec<Delivery> {
    eventually(&format!("{path} has {count}"), async || {
        sink.at(path).len() >= count
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let deliveries = sink.at(path);
    assert_eq!(deliveries.len(), count, "{path}: {:?}", ids(&deliveries));
    deliveries
}

fn in_shop(body: &str) -> [(&'static str, String); 1] {
    [(
        "x-shop-signature",
        format!(
            "sha256={}",
            hmac_sha256_hex("quickstart-secret", body.as_bytes())
        ),
    )]
}

async fn order(dev: &Dev, body: &str) -> (StatusCode, Value) {
    let [(name, value)] = in_shop(body);
    post(dev, "/shop/orders", &[(name, &value)], body).await
}

/// README's own request.
const ORDERS: &str = r#"{"events": [
  {"id": "o-1", "account": "acme", "total": 250.0, "items": [{"sku": "tea", "quantity": 2}]},
  {"id": "o-2", "account": "globex", "total": 12.5, "items": []}
]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_is_what_readme_says() {
    let sink = Sink::start().await;
    let mut dev = start("quickstart", &sink).await;

    let (status, answer) = order(&dev, ORDERS).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        answer,
        json!({"accepted": 2, "duplicates": 0, "deadLettered": 0, "ids": ["o-1", "o-2"]})
    );
    let invoicing = arrived(&sink, "/invoicing", 2).await;
    assert_eq!(ids(&invoicing), ["o-1", "o-2"]);
    let first = invoicing
        .iter()
        .find(|delivery| delivery.id() == "o-1")
        .unwrap();
    assert_eq!(
        first.body,
        r#"{"id": "o-1", "account": "acme", "total": 250.0, "items": [{"sku": "tea", "quantity": 2}]}"#
    );
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-type", "com.example.shop.order.placed"),
        ("ce-source", "/shop/order-placed/acme"),
        ("ce-subject", "acme"),
        ("ce-customerid", "acme"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(first.header(name), value, "{name}");
    }
    signed_document(&arrived(&sink, "/acme", 1).await[0]);

    let (status, answer) = order(&dev, ORDERS).await;
    assert_eq!(
        (status, &answer["accepted"], &answer["duplicates"]),
        (StatusCode::ACCEPTED, &json!(0), &json!(2))
    );

    let [(name, value)] = in_shop(ORDERS);
    let changed = ORDERS.replace("12.5", "12.6");
    let (status, answer) = post(&dev, "/shop/orders", &[(name, &value)], &changed).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    assert_eq!(
        post(&dev, "/shop/orders", &[], ORDERS).await.0,
        StatusCode::UNAUTHORIZED
    );

    let (status, answer) = order(
        &dev,
        r#"{"events": [{"id": "o-3", "account": "acme", "items": []}]}"#,
    )
    .await;
    assert_eq!(
        (status, &answer["deadLettered"]),
        (StatusCode::ACCEPTED, &json!(1)),
        "{answer}"
    );
    let letters = dev.admin("/v1/dead-letters").await;
    let [letter] = &letters["items"].as_array().unwrap()[..] else {
        panic!("{letters}")
    };
    assert_eq!(letter["id"], "o-3");
    assert_eq!(letter["eventType"], "shop/order-placed");
    assert_eq!(letter["reasons"][0]["code"], "SchemaViolation");
    assert!(
        letter["reasons"][0]["message"]
            .as_str()
            .unwrap()
            .contains("total"),
        "{letter}"
    );
    let shown = tidegate(&["dead-letters", "--admin", &dev.admin_url("")]);
    assert!(
        shown.code == 0
            && shown.stdout.contains("SchemaViolation")
            && shown.stdout.contains("total"),
        "{shown:?}"
    );

    // Below the filter of acme-large-orders, at it, and another customer's.
    let more = r#"{"events": [
        {"id": "o-4", "account": "acme", "total": 99.99, "items": []},
        {"id": "o-5", "account": "acme", "total": 100.0, "items": []},
        {"id": "o-6", "account": "globex", "total": 900.0, "items": []}]}"#;
    assert_eq!(order(&dev, more).await.0, StatusCode::ACCEPTED);
    arrived(&sink, "/invoicing", 5).await;
    assert_eq!(ids(&arrived(&sink, "/acme", 2).await), ["o-1", "o-5"]);

    // Stop the sink, send an order, kill the gateway, start both again: the order arrives.
    let address = sink.address;
    drop(sink);
    let (status, _) = order(
        &dev,
        r#"{"events": [{"id": "o-7", "account": "globex", "total": 1.0, "items": []}]}"#,
    )
    .await;
    assert_eq!(status, StatusCode::ACCEPTED);
    dev.kill();
    let sink = restarted(address).await;
    dev.run().await;
    eventually("the order arrives", async || {
        sink.at("/invoicing").iter().any(|one| one.id() == "o-7")
    })
    .await;
}

/// A stopped sink's port is free a moment later.
async fn restarted(address: std::net::SocketAddr) -> Sink {
    eventually("the sink's port is free", async || {
        tokio::net::TcpListener::bind(address).await.is_ok()
    })
    .await;
    Sink::start_at(address).await
}

/// A structured CloudEvent, signed as Standard Webhooks has it with the key of the example.
fn signed_document(delivery: &Delivery) {
    assert_eq!(
        delivery.header("content-type").split(';').next(),
        Some("application/cloudevents+json")
    );
    let document: Value = serde_json::from_slice(&delivery.body).unwrap();
    assert_eq!(document["specversion"], "1.0");
    assert_eq!(document["id"], "o-1");
    assert_eq!(document["subject"], "acme");
    assert_eq!(document["data"]["total"], 250.0);
    let (id, timestamp) = (
        delivery.header("webhook-id"),
        delivery.header("webhook-timestamp"),
    );
    let age = Timestamp::now().as_second() - timestamp.parse::<i64>().unwrap();
    assert!((-5..300).contains(&age), "{timestamp}");
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(&delivery.body);
    let expected = format!(
        "v1,{}",
        hmac_sha256_base64(b"quickstart-sink-signing-key", &signed)
    );
    assert_eq!(delivery.header("webhook-signature"), expected);
}

const TOKEN_KEY: &str = "customer-tokens-example-key-0123456789abcdef0123456789abcdef0123456789";
const BODY_KEY: &str = "customer-tokens-example-body-key";

fn claims(merchant: &str) -> Value {
    json!({
        "merchant": merchant,
        "iss": "https://payments.example.com",
        "aud": "tidegate",
        "exp": Timestamp::now().as_second() + 300,
    })
}

fn payment(id: &str, extra: &str) -> String {
    format!(
        r#"{{"paymentId": "{id}", "amount": 99.50, "currency": "EUR", "settledAt": "2026-01-02T03:04:05Z"{extra}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_or_else_the_payload_names_the_customer_or_else_the_request_is_refused() {
    let sink = Sink::start().await;
    let dev = start("customer-tokens", &sink).await;
    let settled = async |token: Option<String>, signature: Option<String>, body: &str| {
        let token = token.map(|token| format!("Bearer {token}"));
        let mut headers = Vec::new();
        headers.extend(token.as_deref().map(|token| ("authorization", token)));
        headers.extend(
            signature
                .as_deref()
                .map(|signature| ("x-payments-signature", signature)),
        );
        post(&dev, "/payments/settled", &headers, body).await
    };
    let good = |claims: &Value| Some(token("HS512", Some((HMAC_SHA512, TOKEN_KEY)), claims));
    let signed = |body: &str| Some(hmac_sha512_base64(BODY_KEY, body.as_bytes()));

    // The token's word counts, even where the payload would say something else.
    let body = payment("p-1", r#", "region": "eu", "shop": 17"#);
    let (status, answer) = settled(good(&claims("tea-house")), None, &body).await;
    assert_eq!(
        (status, &answer["ids"]),
        (StatusCode::ACCEPTED, &json!(["p-1"])),
        "{answer}"
    );
    let tea_house = arrived(&sink, "/tea-house", 1).await;
    assert_eq!(
        tea_house[0].body,
        body.as_bytes(),
        "Raw: the event's own bytes"
    );
    assert!(
        !tea_house[0]
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("ce-"))
    );
    let ledger = arrived(&sink, "/ledger", 1).await;
    assert_eq!(ledger[0].header("ce-customerid"), "tea-house");
    assert_eq!(ledger[0].header("ce-time"), "2026-01-02T03:04:05Z");

    let body = payment("p-2", r#", "region": "eu", "shop": 17"#);
    let (status, answer) = settled(None, signed(&body), &body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let ledger = arrived(&sink, "/ledger", 2).await;
    let second = ledger
        .iter()
        .find(|delivery| delivery.id() == "p-2")
        .unwrap();
    assert_eq!(second.header("ce-customerid"), "eu-17");
    arrived(&sink, "/tea-house", 1).await;

    let body = payment("p-3", r#", "region": "eu", "shop": 17"#);
    let mut expired = claims("tea-house");
    expired["exp"] = json!(Timestamp::now().as_second() - 600);
    let mut of_another_issuer = claims("tea-house");
    of_another_issuer["iss"] = json!("https://payments.example.org");
    let mut for_another = claims("tea-house");
    for_another["aud"] = json!("another");
    let other_algorithm = token(
        "HS256",
        Some((HMAC_SHA256, TOKEN_KEY)),
        &claims("tea-house"),
    );
    let mislabelled = token(
        "HS512",
        Some((HMAC_SHA256, TOKEN_KEY)),
        &claims("tea-house"),
    );
    let unsigned = token("none", None, &claims("tea-house"));
    let labelled_only = token("HS512", None, &claims("tea-house"));
    let wrong_key = token("HS512", Some((HMAC_SHA512, BODY_KEY)), &claims("tea-house"));
    let mut changed = signed(&body).unwrap();
    changed.replace_range(0..1, if changed.starts_with('A') { "B" } else { "A" });
    for (case, token, signature) in [
        ("neither", None, None),
        ("HS256 with the same key", Some(other_algorithm), None),
        ("HS256 that says HS512", Some(mislabelled), None),
        ("alg none", Some(unsigned), None),
        ("HS512 without a signature", Some(labelled_only), None),
        ("another key", Some(wrong_key), None),
        ("an expired token", good(&expired), None),
        ("another issuer", good(&of_another_issuer), None),
        ("another audience", good(&for_another), None),
        ("no token at all after Bearer", Some(String::new()), None),
        ("a changed signature", None, Some(changed)),
        ("another body's signature", None, signed("{}")),
        ("an empty signature", None, Some(String::new())),
        (
            "a signature in hexadecimal",
            None,
            Some(hmac_sha256_hex(BODY_KEY, body.as_bytes())),
        ),
    ] {
        let (status, answer) = settled(token, signature, &body).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{case}: {answer}");
    }

    let (status, answer) = settled(good(&claims("nobody-we-know")), None, &body).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(answer["errors"][0]["reasons"][0]["code"], "UnknownCustomer");
    assert!(!answer.to_string().contains("nobody-we-know"), "{answer}");
    // Neither a token nor what the formula needs.
    let without = payment("p-3", "");
    let (status, answer) = settled(None, signed(&without), &without).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let unknown = payment("p-3", r#", "region": "us", "shop": 17"#);
    let (status, answer) = settled(None, signed(&unknown), &unknown).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let invalid = payment("p-3", r#", "region": "eu", "shop": "17"#);
    let (status, _) = settled(None, signed(&invalid), &invalid).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let invalid = body.replace("EUR", "euro");
    let (status, answer) = settled(good(&claims("tea-house")), None, &invalid).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        answer["errors"][0]["reasons"][0]["pointer"], "/currency",
        "{answer}"
    );
    assert!(!answer.to_string().contains("euro"), "{answer}");

    // Nothing of all that was stored: the same payment is no duplicate.
    let (status, answer) = settled(good(&claims("tea-house")), None, &body).await;
    assert_eq!(
        (status, &answer["accepted"]),
        (StatusCode::ACCEPTED, &json!(1))
    );
    arrived(&sink, "/ledger", 3).await;
    assert_eq!(dev.admin("/v1/dead-letters").await["items"], json!([]));
}

const GITHUB_KEY: &str = "It's a Secret to Everybody";

/// What GitHub sends when something is pushed, shortened in its links alone.
fn push(owner: &str, branch: &str) -> String {
    json!({
        "ref": format!("refs/heads/{branch}"),
        "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "after": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5",
        "repository": {
            "id": 17273051, "node_id": "MDEwOlJlcG9zaXRvcnkxNzI3MzA1MQ==", "name": "octo-repo",
            "full_name": format!("{owner}/octo-repo"), "private": true,
            "owner": {"name": owner, "email": null, "login": owner, "id": 6811672, "type": "Organization", "site_admin": false},
            "html_url": format!("https://github.com/{owner}/octo-repo"), "description": null, "fork": false,
            "created_at": 1393009193, "updated_at": "2026-01-02T03:04:05Z", "pushed_at": 1767323045,
            "default_branch": "main", "topics": [], "visibility": "private", "master_branch": "main",
        },
        "pusher": {"name": "octocat", "email": "octocat@github.com"},
        "sender": {"login": "octocat", "id": 583231, "type": "User", "site_admin": false},
        "created": false, "deleted": false, "forced": false, "base_ref": null,
        "compare": format!("https://github.com/{owner}/octo-repo/compare/6113728f27ae...59b20b8d5c6f"),
        "commits": [{
            "id": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5",
            "tree_id": "f9d2a07e9488b91af2641b26b9407fe22a451433", "distinct": true,
            "message": "Say \"hello\"\n\nto the wörld", "timestamp": "2026-01-02T04:04:05+01:00",
            "author": {"name": "The Octocat", "email": "octocat@github.com", "username": "octocat"},
            "committer": {"name": "GitHub", "email": "noreply@github.com", "username": "web-flow"},
            "added": ["README.md"], "removed": [], "modified": [],
        }],
        "head_commit": null,
    })
    .to_string()
}

fn issue_opened(owner: &str) -> String {
    json!({
        "action": "opened",
        "issue": {
            "url": format!("https://api.github.com/repos/{owner}/octo-repo/issues/7"), "id": 444500041, "number": 7,
            "title": "Spelling error in the README file", "state": "open", "locked": false, "assignee": null,
            "user": {"login": "octocat", "id": 583231, "type": "User"},
            "labels": [{"id": 208045946, "name": "bug", "color": "d73a4a", "default": true}],
            "comments": 0, "created_at": "2026-01-02T03:04:05Z", "closed_at": null, "body": "It looks like you accidentally spelled \"commit\" with two \"t\"s.",
            "reactions": {"total_count": 0, "+1": 0, "-1": 0},
        },
        "repository": {"id": 17273051, "name": "octo-repo", "full_name": format!("{owner}/octo-repo"), "owner": {"login": owner, "id": 6811672}},
        "organization": {"login": owner, "id": 6811672},
        "sender": {"login": "octocat", "id": 583231, "type": "User", "site_admin": false},
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_understood_as_it_speaks() {
    let sink = Sink::start().await;
    let dev = start("github", &sink).await;
    let deliver = async |event: &str, id: &str, key: &str, body: &str| {
        let signature = format!("sha256={}", hmac_sha256_hex(key, body.as_bytes()));
        let headers = [
            ("user-agent", "GitHub-Hookshot/044aadd"),
            ("x-github-delivery", id),
            ("x-github-event", event),
            ("x-github-hook-id", "292430182"),
            ("x-github-hook-installation-target-type", "organization"),
            (
                "x-hub-signature",
                "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6",
            ),
            ("x-hub-signature-256", signature.as_str()),
        ];
        post(&dev, "/code/github", &headers, body).await
    };
    let accepted = |(status, answer): (StatusCode, Value), accepted: u64, duplicates: u64| {
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        assert_eq!(answer["accepted"], accepted, "{answer}");
        assert_eq!(answer["duplicates"], duplicates, "{answer}");
        assert_eq!(answer["deadLettered"], 0, "{answer}");
    };

    let ping = json!({
        "zen": "Keep it logically awesome.", "hook_id": 292430182,
        "hook": {"type": "Organization", "id": 292430182, "name": "web", "active": true, "events": ["*"]},
        "organization": {"login": "octo-org"}, "sender": {"login": "octocat"},
    })
    .to_string();
    accepted(
        deliver(
            "ping",
            "5f2d8c10-0000-11f1-9d5a-000000000000",
            GITHUB_KEY,
            &ping,
        )
        .await,
        0,
        0,
    );

    let main = push("octo-org", "main");
    let first = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    accepted(deliver("push", first, GITHUB_KEY, &main).await, 1, 0);
    accepted(deliver("push", first, GITHUB_KEY, &main).await, 0, 1);
    accepted(
        deliver(
            "push",
            "72d3162e-cc78-11e3-81ab-4c9367dc0959",
            GITHUB_KEY,
            &push("octo-org", "topic"),
        )
        .await,
        1,
        0,
    );
    let issue = issue_opened("octo-org");
    accepted(
        deliver(
            "issues",
            "72d3162e-cc78-11e3-81ab-4c9367dc0960",
            GITHUB_KEY,
            &issue,
        )
        .await,
        1,
        0,
    );

    let builds = arrived(&sink, "/builds", 1).await;
    assert_eq!(builds[0].id(), first);
    assert_eq!(builds[0].body, main.as_bytes());
    assert_eq!(builds[0].header("ce-type"), "com.github.push");
    assert_eq!(builds[0].header("ce-githubhook"), "292430182");
    assert_eq!(builds[0].header("ce-customerid"), "octo-org");
    let triage = arrived(&sink, "/triage", 1).await;
    let document: Value = serde_json::from_slice(&triage[0].body).unwrap();
    assert_eq!(document["type"], "com.github.issues.opened");
    assert_eq!(
        document["data"],
        serde_json::from_str::<Value>(&issue).unwrap()
    );
    assert!(
        String::from_utf8_lossy(&triage[0].body).contains(&issue),
        "the data's own bytes"
    );

    // Nobody declared this owner: the push goes to who wants every push, the issue to nobody.
    let unknown = "72d3162e-cc78-11e3-81ab-4c9367dc0961";
    accepted(
        deliver("push", unknown, GITHUB_KEY, &push("another-org", "main")).await,
        1,
        0,
    );
    let id = "72d3162e-cc78-11e3-81ab-4c9367dc0962";
    accepted(
        deliver("issues", id, GITHUB_KEY, &issue_opened("another-org")).await,
        1,
        0,
    );
    let builds = arrived(&sink, "/builds", 2).await;
    assert_eq!(builds[1].id(), unknown);
    arrived(&sink, "/triage", 1).await;

    // What is relied on is pinned down.
    let (status, answer) = deliver(
        "push",
        "bad",
        GITHUB_KEY,
        &main.replace("\"before\":\"6113728f", "\"before\":\"xyz"),
    )
    .await;
    assert_eq!(
        (status, &answer["deadLettered"]),
        (StatusCode::ACCEPTED, &json!(1)),
        "{answer}"
    );
    let letters = dev.admin("/v1/dead-letters").await;
    assert_eq!(
        letters["items"][0]["reasons"][0]["pointer"], "/before",
        "{letters}"
    );

    for (case, key, body) in [
        ("another key", "It's a secret to everybody", main.clone()),
        ("an empty key", "", main.clone()),
    ] {
        let (status, answer) = deliver("push", "wrong", key, &body).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{case}: {answer}");
    }
    let signature = format!("sha256={}", hmac_sha256_hex(GITHUB_KEY, main.as_bytes()));
    let changed = main.replace("octocat@", "octocatt@");
    let (status, _) = post(
        &dev,
        "/code/github",
        &[("x-hub-signature-256", &signature)],
        &changed,
    )
    .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // The same bytes as a form: another content type reads them differently, so it is not trusted.
    let form = dev
        .client
        .post(dev.url("/code/github"))
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = form
        .header("x-hub-signature-256", &signature)
        .body(main)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn every_example_passes_check() {
    let mut examples = 0;
    for folder in std::fs::read_dir(example("")).unwrap() {
        let folder = folder.unwrap().path();
        let ran = tidegate(&["check", folder.to_str().unwrap()]);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (0, ""),
            "{}: {ran:?}",
            folder.display()
        );
        examples += 1;
    }
    assert!(examples >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn send_events_dead_letters_and_replay_work_on_the_quickstart() {
    let sink = Sink::start().await;
    let dev = start("quickstart", &sink).await;
    let (url, admin) = (dev.url(""), dev.admin_url(""));
    let sent = tidegate(&[
        "send",
        "examples/quickstart",
        "order-placed",
        "--public-url",
        &url,
    ]);
    assert!(
        sent.code == 0 && sent.stdout.contains(r#""accepted":1"#),
        "{sent:?}"
    );
    let delivered = arrived(&sink, "/invoicing", 1).await;

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("order.json");
    std::fs::write(&data, r#"{"events": [{"id": "o-9", "account": "acme"}]}"#).unwrap();
    let data = data.to_str().unwrap();
    let send = [
        "send",
        "examples/quickstart",
        "shop/order-placed",
        "--public-url",
        &url,
        "--data",
        data,
    ];
    let sent = tidegate(&send);
    assert!(
        sent.code == 0 && sent.stdout.contains(r#""deadLettered":1"#),
        "{sent:?}"
    );
    // A header of the user's own is sent as it is.
    let refused = tidegate(&[&send[..], &["-H", "x-shop-signature: sha256=00"]].concat());
    assert!(
        refused.code == 1 && refused.stdout.contains("401"),
        "{refused:?}"
    );

    eventually("the delivery is noted", async || {
        let listed = tidegate(&["events", "--admin", &admin, "--output", "json"]);
        let listed = listed.json();
        let event = &listed["items"][0];
        assert_eq!(event["id"], delivered[0].id());
        event["deliveries"][0]["state"]
            .as_str()
            .is_some_and(|state| state.eq_ignore_ascii_case("settled"))
    })
    .await;
    let listed = tidegate(&["events", "--admin", &admin, "--customer", "acme"]);
    assert!(
        listed.code == 0 && listed.stdout.contains("shop/order-placed"),
        "{listed:?}"
    );
    let listed = tidegate(&[
        "events",
        "--admin",
        &admin,
        "--customer",
        "nobody",
        "--output",
        "json",
    ]);
    assert_eq!(listed.json()["items"], json!([]));

    let letters = tidegate(&["dead-letters", "--admin", &admin, "--output", "json"]);
    assert_eq!(letters.json()["items"][0]["id"], "o-9", "{letters:?}");
    let number = letters.json()["items"][0]["deadLetter"]
        .as_str()
        .unwrap()
        .to_owned();
    let letter = tidegate(&["dead-letters", "--admin", &admin, &number]);
    assert_eq!(
        letter.json()["data"],
        json!({"id": "o-9", "account": "acme"}),
        "{letter:?}"
    );

    let replayed = tidegate(&[
        "replay",
        "--admin",
        &admin,
        "--subscription",
        "shop/invoicing",
    ]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    let again = arrived(&sink, "/invoicing", 2).await;
    assert_eq!(again[1].id(), again[0].id());
    assert_eq!(again[1].body, again[0].body);
}

#[test]
fn broken_manifests_are_told_with_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let quickstart = std::fs::read_to_string(example("quickstart/app.yaml")).unwrap();
    let check = |case: &str, text: &str, places: &[&str]| {
        let file = folder.path().join(format!("{case}.yaml"));
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let ran = tidegate(&["check", file]);
        assert_eq!(ran.code, 1, "{case}: {ran:?}");
        for place in places {
            assert!(
                ran.stdout.contains(&format!("{file}:{place}")),
                "{case}, {place}: {ran:?}"
            );
        }
        let json = tidegate(&["check", file, "--output", "json"]);
        assert!(
            json.code == 1 && json.json()["items"][0]["line"].is_u64(),
            "{case}: {json:?}"
        );
        let annotations = tidegate(&["check", file, "--output", "github"]);
        assert!(
            annotations.stdout.starts_with("::error file="),
            "{case}: {annotations:?}"
        );
    };
    check(
        "a field that does not exist",
        &quickstart.replace("  webhook:\n", "  webhok:\n"),
        &["10:3"],
    );
    check(
        "an expression that does not parse",
        &quickstart.replace("id: item.id", "id: item.("),
        &["18:16"],
    );
    check("no YAML at all", "kind: [AppEventType\n", &["1:7"]);
    check(
        "a sink for a type that is not there",
        "apiVersion: tidegate.dev/v1alpha1\nkind: EventSubscription\nmetadata: {name: a}\nspec:\n  \
         eventTypeRef: {name: absent}\n  sink: {uri: \"https://sink.example\"}\n",
        &["5:"],
    );
}

#[test]
fn wrong_usage_exits_with_2_and_problems_with_1() {
    let missing = "/nowhere/at/all";
    let nothing_there = "http://127.0.0.1:9";
    let cases: &[(&[&str], i32)] = &[
        (&[], 2),
        (&["swim"], 2),
        (&["check"], 2),
        (&["check", "examples/quickstart", "--output", "morse"], 2),
        (&["send", "examples/quickstart"], 2),
        (&["send", "examples/quickstart", "order-cancelled"], 2),
        (&["send", "examples/github", "github"], 2),
        (&["replay"], 2),
        (&["replay", "--dead-letter", "1", "--customer", "acme"], 2),
        (&["dev", "examples/quickstart", "--listen", "everywhere"], 2),
        (&["check", missing], 1),
        (&["schema", missing], 1),
        (&["events", "--admin", nothing_there], 1),
        (&["dead-letters", "--admin", nothing_there], 1),
        (
            &["replay", "--customer", "acme", "--admin", nothing_there],
            1,
        ),
        (
            &[
                "send",
                "examples/quickstart",
                "order-placed",
                "--public-url",
                nothing_there,
            ],
            1,
        ),
    ];
    for (arguments, expected) in cases {
        let ran = tidegate(arguments);
        assert_eq!(ran.code, *expected, "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.trim().is_empty(), "{arguments:?} says why");
        assert!(!ran.stderr.contains("panicked"), "{arguments:?}: {ran:?}");
    }
    for command in [
        "dev",
        "check",
        "schema",
        "send",
        "display",
        "events",
        "dead-letters",
        "replay",
        "crds",
    ] {
        let help = tidegate(&[command, "--help"]);
        assert_eq!(help.code, 0, "{help:?}");
        assert!(
            help.stdout
                .contains(&format!("Example: tidegate {command}")),
            "{help:?}"
        );
    }
}
