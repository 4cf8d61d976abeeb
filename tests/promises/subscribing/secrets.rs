//! No secret anywhere, of none of the kinds that subscribing knows: customers' tokens, access
//! tokens, signing secrets that are generated, given by customers, invented by the app in its
//! answer, or captured in a handshake; in none of six encodings, though the app repeats all that it
//! is told in its answers.

use std::path::Path;

use super::super::documentation::documents_all_of;
use super::all_of;
use super::installation::Installation;
use super::spec::{Secret, Spec, limits};
use super::world::World;
use crate::promises::no_secrets::search::Search;
use crate::support::command::tidegate;
use crate::support::model_app::{Fault, Handshake, Moods, Op, SecretFrom};

/// A part of tokens that looks different in each encoding.
const PART: &str = r#">?~x"\/&=%+-refreshed"#;

type Behave = fn(&mut Moods);

/// Every printable ASCII character and one more that a header can carry, and what templates are made of.
const PRINTABLE: &str = r##"-$(x)'$(now)"!"#$%&'()*+,-./0123456789:;<=>?@[\]^_`{|}~abcxyzABCXYZé"##;

/// In a body it may be any character.
const ANY: &str = "-é✓\u{1F511}$(x)\"'%41+/\\&=<>#\t|";

const KINDS: [(&str, Secret, Behave); 5] = [
    ("generated", Secret::Generated, |_| {}),
    ("the customer's", Secret::CustomerField, |_| {}),
    ("invented in an answer", Secret::FromResponse, |moods| {
        (moods.secret, moods.secret_end) = (SecretFrom::Answer, PRINTABLE);
    }),
    (
        "invented in an answer, any character",
        Secret::FromResponse,
        |moods| {
            (moods.secret, moods.secret_end) = (SecretFrom::Answer, ANY);
        },
    ),
    ("captured in a handshake", Secret::FromHandshake, |moods| {
        moods.handshake = Some(Handshake::Secret);
        moods.secret_end = PRINTABLE;
    }),
];

#[test]
fn no_secret_of_a_subscription_is_shown() {
    all_of(KINDS.iter().map(|(name, secret, moods)| {
        let scenario = move || nothing_is_shown(*secret, *moods);
        ((*name).to_owned(), scenario)
    }));
}

async fn nothing_is_shown(secret: Secret, moods: Behave) {
    let mut spec = Spec::of(&["acme", "refused"]);
    spec.limits = limits("10s");
    (spec.secret, spec.token, spec.credentials) = (secret, PART.to_owned(), true);
    if secret == Secret::FromHandshake {
        spec.handshake = Some(Handshake::Secret);
    }
    let mut world = World::prepare(spec).await;
    world.dev.log_as("trace");
    for customer in world.customers() {
        world.app.set(&customer, |all| {
            moods(all);
            (all.echo, all.needs_token) = (true, true);
        });
    }
    for _ in 0..20 {
        world
            .app
            .next("refused", Op::Create, Fault::RefusedWithEcho);
    }
    world.dev.run().await;
    let hook = world.stands("acme").await;
    world.arrives("acme").await;
    let shown = world.subscription("acme").await.unwrap().to_string();
    let is_masked = shown.contains("***") && shown.contains("debug");
    assert!(is_masked, "the answer is shown, masked: {shown}");
    world
        .wait("the app refuses the other", async || {
            let shown = world.subscription("refused").await.unwrap_or_default();
            shown["lastError"].is_string()
        })
        .await;
    // Answers that are lost, another registration, and its removal.
    world.app.next("acme", Op::Create, Fault::DoneButGarbage);
    world.edit(|spec| spec.label = serde_json::json!("second"));
    let is_anew = async || world.app.all("acme").len() >= 2;
    world.wait("it is made anew", is_anew).await;
    world.stands("acme").await;
    world.dev.kill();
    world.dev.run().await;
    let forged = world
        .dev
        .client
        .post(&hook.target)
        .header("x-signature", "sha256=00");
    let forged = forged.body(r#"{"id": "x"}"#).send().await.unwrap();
    assert!(!forged.status().is_success());

    let mut heard: Vec<(String, Vec<u8>)> = vec![("the first answer".to_owned(), shown.into())];
    for path in [
        "/v1/subscriptions",
        "/v1/requests",
        "/v1/events",
        "/v1/dead-letters",
        "/metrics",
    ] {
        let answer = world
            .dev
            .client
            .get(world.dev.admin_url(path))
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{path}");
        let body = answer.bytes().await.unwrap().to_vec();
        if path == "/metrics" {
            documents_all_of(std::str::from_utf8(&body).unwrap());
        }
        heard.push((path.to_owned(), body));
    }
    let folder = world.dev.manifests.to_str().unwrap().to_owned();
    for arguments in [
        &["render", &folder, "contacts", "acme"][..],
        &["check", &folder],
        &["check", "--effective", &folder],
    ] {
        let ran = tidegate(arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
        heard.push((
            format!("{arguments:?}"),
            (ran.stdout + &ran.stderr).into_bytes(),
        ));
    }
    world.edit(|spec| spec.customers.clear());
    world.is_gone("acme").await;
    world.app.assert_unharmed();
    assert!(world.dev.stop().await.success());

    let mut secrets: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for customer in ["acme", "refused"] {
        secrets.push(("the token", format!("token-{customer}{PART}").into_bytes()));
        secrets.push((
            "the field",
            format!("signing-{customer}-0123456789").into_bytes(),
        ));
        for token in world.app.access_tokens(customer) {
            secrets.push(("the access token", token.into_bytes()));
        }
        for hook in world.app.all(customer) {
            assert!(hook.secret.len() >= 16, "{hook:?}");
            secrets.push(("the signing secret", hook.secret.into_bytes()));
        }
    }
    assert!(secrets.len() >= 8, "{}", secrets.len());
    let search = Search::new(&secrets);
    let output = world.dev.output();
    assert!(output.contains("TRACE"), "it logs");
    search.none_in("the log", output.as_bytes());
    for (place, text) in &heard {
        search.none_in(place, text);
    }
    assert!(files(&world.dev.data, &search) >= 4, "log, objects, state");

    // The URI's token is in the table at start alone.
    let token = hook.target.rsplit('/').nth(1).unwrap().as_bytes().to_vec();
    assert!(token.len() >= 20);
    let search = Search::new(&[("the URI's token", token)]);
    let rest: Vec<&str> = output
        .lines()
        .filter(|line| !line.starts_with("  "))
        .collect();
    search.none_in("the log", rest.join("\n").as_bytes());
    for (place, text) in &heard {
        search.none_in(place, text);
    }
    files(&world.dev.data, &search);
}

/// Searches every file outside of `secrets/`; how many there were.
fn files(folder: &Path, search: &Search) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("secrets") {
                count += files(&path, search);
            }
        } else {
            search.none_in(&path.display().to_string(), &std::fs::read(&path).unwrap());
            count += 1;
        }
    }
    count
}
