//! GitHub's own payload shapes, headers and signatures.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{arrived, post, start};
use crate::support::app::hmac_sha256_hex;
use crate::support::sink::Sink;

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
