//! The commands that README shows, on the examples and on broken copies of them.

use serde_json::json;

use super::{arrived, example, start};
use crate::support::command::tidegate;
use crate::support::eventually;
use crate::support::sink::Sink;

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
    let example = [
        "send",
        "examples/quickstart",
        "order-placed",
        "--public-url",
        &url,
    ];
    let sent = tidegate(&example);
    assert!(
        sent.code == 0 && sent.stdout.contains(r#""accepted":1"#),
        "{sent:?}"
    );
    let delivered = arrived(&sink, "/invoicing", 1).await;
    let again = tidegate(&example);
    assert!(
        again.code == 0 && again.stderr.contains("came before"),
        "{again:?}"
    );

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
fn effective_manifests_are_manifests_and_what_is_said_of_them_stands_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifests.yaml");
    // A Secret that is not there is a warning.
    let text = "apiVersion: tidegate.dev/v1alpha1\nkind: AppEventType\nmetadata: {name: a}\nspec:\n  \
                schema: {type: object}\n  webhook: {authentication: [{token: {keys: [{secretKeyRef: {name: \
                absent, key: k}}]}}]}\n  globalWebhook: {path: a}\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let ran = tidegate(&["check", "--effective", file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("warning"), "{ran:?}");
    assert!(ran.stdout.contains("onInvalid: DeadLetter"), "{ran:?}");
    let effective = folder.path().join("effective.yaml");
    std::fs::write(&effective, &ran.stdout).unwrap();
    let again = tidegate(&["check", "--effective", effective.to_str().unwrap()]);
    assert_eq!((again.code, &again.stdout), (0, &ran.stdout), "{again:?}");

    let json = tidegate(&["check", "--effective", "--output", "json", file]).json();
    assert_eq!(json["items"][0]["severity"], "warning", "{json}");
    assert_eq!(json["effective"][0]["spec"]["onInvalid"], "DeadLetter");
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
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("data").display().to_string();
    let nothing_there = "http://127.0.0.1:9";
    let cases: &[(&[&str], i32)] = &[
        (&[], 2),
        (&["swim"], 2),
        (&["check"], 2),
        (&["check", "examples/quickstart", "--output", "morse"], 2),
        (
            &[
                "check",
                "examples/quickstart",
                "--effective",
                "--output",
                "github",
            ],
            2,
        ),
        (&["send", "examples/quickstart"], 2),
        (&["send", "examples/quickstart", "order-cancelled"], 2),
        (&["send", "examples/github", "github"], 2),
        (&["replay"], 2),
        (&["replay", "--dead-letter", "1", "--customer", "acme"], 2),
        (&["dev", "examples/quickstart", "--listen", "everywhere"], 2),
        (&["events", "--from", "yesterday"], 2),
        (&["check", missing], 1),
        (&["dev", missing, "--data-dir", &nowhere], 1),
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
    // A key of each registration's own stands in no manifest; it says so, and what to do.
    let url = "http://127.0.0.1:9/h/token/1";
    let ran = tidegate(&["send", "examples/crm", "contact-created", "--url", url]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("let the app send one"), "{ran:?}");
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
