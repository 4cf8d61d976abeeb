//! Requests that real apps signed pass, and the same with anything in them changed do not: judged
//! as they are, and sent to the real process.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use tidegate::webhook::{CustomerIndex, Receiver, Verdict};

use crate::support::dev::Dev;
use crate::support::signatures::Signed;

fn verdict(signed: &Signed) -> Verdict {
    let receiver = Receiver::compile(&signed.event_type())
        .unwrap_or_else(|problems| panic!("{}: {problems:#?}", signed.scheme));
    assert!(receiver.warnings().is_empty(), "{:?}", receiver.warnings());
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    receiver.receive(
        &signed.request(),
        None,
        now,
        &CustomerIndex::default(),
        &mut || "id".into(),
    )
}

fn check(signed: &Signed) {
    match (verdict(signed), signed.genuine) {
        (Verdict::Accepted(_), true) | (Verdict::Unauthenticated(_), false) => {}
        (verdict, _) => panic!("{}: {verdict:#?}", signed.name),
    }
}

#[test]
fn every_signed_request_gets_the_verdict_it_deserves() {
    let all = Signed::all();
    assert_eq!(all.len(), 38);
    assert_eq!(all.iter().filter(|signed| signed.signs_url()).count(), 10);
    all.iter().for_each(check);
}

#[test]
fn a_signed_request_in_which_anything_is_changed_is_refused() {
    let mut forged = 0;
    for signed in Signed::all().iter().filter(|signed| signed.genuine) {
        for forgery in signed.forgeries() {
            check(&forgery);
            forged += 1;
        }
    }
    // Ten and more for each genuine request; a helper that finds nothing to change would show here.
    assert!(forged > 290, "only {forged} forgeries");
}

#[test]
fn a_signature_is_refused_under_a_missing_and_an_empty_key_and_it_is_our_fault() {
    for signed in Signed::all().iter().filter(|signed| signed.genuine) {
        for value in [None, Some("".into())] {
            let mut entry = signed.event_type();
            entry.keys[0].value = value;
            let receiver = Receiver::compile(&entry).unwrap();
            let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
            let verdict = receiver.receive(
                &signed.request(),
                None,
                now,
                &CustomerIndex::default(),
                &mut || "id".into(),
            );
            assert!(
                matches!(verdict, Verdict::KeyMissing(_)),
                "{}: {verdict:#?}",
                signed.name
            );
        }
    }
}

/// The types that verify these requests, each at its [`path`], as JSON, which is YAML.
fn manifests(all: &[Signed]) -> String {
    let documents = all.iter().enumerate().flat_map(|(number, signed)| {
        let name = path(number).rsplit('/').next().unwrap().to_owned();
        // Only the keys' Secret differs from what the scheme says.
        let authentication = serde_json::to_string(&signed.authentication())
            .unwrap()
            .replace(r#""name":"app""#, &format!(r#""name":"{name}""#));
        let authentication: serde_json::Value = serde_json::from_str(&authentication).unwrap();
        [
            json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "stringData": {"key": signed.key},
            }),
            json!({
                "apiVersion": "tidegate.dev/v1alpha1",
                "kind": "AppEventType",
                "metadata": {"name": name},
                "spec": {
                    "schema": {},
                    "webhook": {"authentication": authentication},
                    "globalWebhook": {"path": name},
                },
            }),
        ]
    });
    let documents: Vec<String> = documents.map(|document| document.to_string()).collect();
    documents.join("\n---\n")
}

/// The path of the type that verifies the request of this number.
fn path(number: usize) -> String {
    format!("/default/signed-{number}")
}

async fn starts(all: &[Signed], public_url: &str) -> Dev {
    let arguments = ["--public-url", public_url];
    Dev::start_with(&manifests(all), &arguments).await
}

/// Sends a request to the type of this number and compares the answer with what it deserves.
async fn check_over_http(dev: &Dev, number: usize, signed: &Signed) {
    let query = signed
        .url
        .find('?')
        .map_or("", |query| &signed.url[query..]);
    let mut request = dev.client.request(
        signed.method.parse().unwrap(),
        dev.url(&format!("{}{query}", path(number))),
    );
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    let answer = request.body(signed.body.clone()).send().await.unwrap();
    let deserved = match signed.genuine {
        true => StatusCode::ACCEPTED,
        false => StatusCode::UNAUTHORIZED,
    };
    assert_eq!(answer.status(), deserved, "{}", signed.name);
}

/// Where a request goes, without its query.
fn address(url: &str) -> &str {
    url.split('?').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_for_any_url_gets_its_verdict_over_http_as_it_is() {
    let mut all = Signed::all();
    all.retain(|signed| !signed.signs_url());
    assert_eq!(all.len(), 28);
    let dev = starts(&all, "https://gw.example").await;
    let mut forged = 0;
    for (number, signed) in all.iter().enumerate() {
        check_over_http(&dev, number, signed).await;
        if !signed.genuine {
            continue;
        }
        // The key is the type's: another one would be another type.
        for forgery in signed.forgeries() {
            if forgery.key == signed.key {
                check_over_http(&dev, number, &forgery).await;
                forged += 1;
            }
        }
    }
    assert!(forged > 190, "only {forged} forgeries");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_for_one_url_passes_over_http_when_it_is_signed_for_ours() {
    let mut all = Signed::all();
    all.retain(Signed::signs_url);
    assert_eq!(all.len(), 10);
    let mut by_origin: BTreeMap<String, Vec<Signed>> = BTreeMap::new();
    for signed in all {
        assert!(signed.genuine);
        let again = signed.signed_again_for(signed.url.clone());
        assert_eq!(again.headers, signed.headers, "signed as the app does");
        let host = signed.url.find("://").unwrap() + 3;
        let end = host + signed.url[host..].find('/').unwrap();
        let origin = signed.url[..end].to_owned();
        by_origin.entry(origin).or_default().push(signed);
    }
    let mut forged = 0;
    for (origin, all) in &by_origin {
        let dev = starts(all, origin).await;
        for (number, signed) in all.iter().enumerate() {
            let query = signed
                .url
                .find('?')
                .map_or("", |query| &signed.url[query..]);
            let url = format!("{origin}{}{query}", path(number));
            let again = signed.signed_again_for(url);
            check_over_http(&dev, number, &again).await;
            let of_another_url = Signed {
                genuine: false,
                ..signed.clone()
            };
            check_over_http(&dev, number, &of_another_url).await;
            for forgery in again.forgeries() {
                // Our own URL stands in the type, and another path is another type.
                if forgery.key == again.key && address(&forgery.url) == address(&again.url) {
                    check_over_http(&dev, number, &forgery).await;
                    forged += 1;
                }
            }
        }
    }
    assert_eq!(by_origin.len(), 5);
    assert!(forged > 75, "only {forged} forgeries");
}
