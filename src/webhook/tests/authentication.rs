//! Entries, methods, keys: what passes, what does not, and whose fault it is.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const KEYS: &[(&str, &[u8])] = &[("k", b"secret"), ("other", b"another"), ("empty", b"")];

/// A type with one list of entries; `K` stands for the key `k`.
fn with(authentication: &str) -> Receiver {
    let authentication =
        authentication.replace("KEYS", "keys: [{secretKeyRef: {name: app, key: k}}]");
    receiver(
        &format!("{{webhook: {{authentication: [{authentication}]}}}}"),
        KEYS,
    )
}

fn verdict(authentication: &str, headers: &[(&str, &str)]) -> String {
    summary(&receive(
        &with(authentication),
        &with_headers(post("{}"), headers),
    ))
}

#[test]
fn a_token_must_be_one_of_the_keys() {
    let check = |headers: &[(&str, &str)], expected: &str| {
        assert_eq!(verdict("{token: {KEYS}}", headers), expected, "{headers:?}");
    };
    check(&[("authorization", "Bearer secret")], "{}");
    check(&[("authorization", "bearer  secret")], "{}");
    check(&[("authorization", "secret")], "{}");
    let other = "401 authentication[0].token: the token is another";
    for header in [
        "Bearer secre",
        "Bearer secrets",
        "Bearer ",
        "Bearer",
        "",
        "Basic secret",
        "Bearer Secret",
    ] {
        check(&[("authorization", header)], other);
    }
    let missing =
        "401 authentication[0].token: the Authorization header is missing, repeated or no text";
    check(&[], missing);
    check(
        &[
            ("authorization", "Bearer secret"),
            ("authorization", "Bearer secret"),
        ],
        missing,
    );
    check(
        &[
            ("authorization", "Bearer x"),
            ("authorization", "Bearer secret"),
        ],
        missing,
    );
}

#[test]
fn a_token_can_stand_anywhere() {
    let entry = "{token: {value: 'request.headers[\"x-token\"]', KEYS}}";
    assert_eq!(verdict(entry, &[("x-token", "secret")]), "{}");
    assert_eq!(
        verdict(entry, &[("x-token", "")]),
        "401 authentication[0].token: the token is another"
    );
    assert!(verdict(entry, &[]).starts_with("401 authentication[0].token: "));
    assert_eq!(
        verdict(entry, &[("x-token", "secret"), ("x-token", "secret")]),
        "401 authentication[0].token: the token is another"
    );
    let entry = "{token: {value: 'request.body.token', KEYS}}";
    let receiver = with(entry);
    check(
        &receiver,
        &post(r#"{"token":"secret"}"#),
        r#"{"token":"secret"}"#,
    );
    check(
        &receiver,
        &post(r#"{"token":["secret"]}"#),
        "401 authentication[0].token: the token is no text",
    );
    check(
        &receiver,
        &post(r#"{"token":"#),
        "401 authentication[0].token: the body cannot be parsed as JSON",
    );
}

#[test]
fn header_bytes_that_are_no_text_count_as_missing() {
    let mut request = with_headers(post("{}"), &[("authorization", "x")]);
    request.headers.insert(
        "authorization",
        HeaderValue::from_bytes(b"Bearer secret\xff").unwrap(),
    );
    let found = summary(&receive(&with("{token: {KEYS}}"), &request));
    assert_eq!(
        found,
        "401 authentication[0].token: the Authorization header is missing, repeated or no text"
    );
    let receiver = with("{token: {value: 'request.headers.authorization', KEYS}}");
    assert!(summary(&receive(&receiver, &request)).starts_with("401 "));
}

#[test]
fn basic_takes_the_user_name_and_one_of_the_passwords() {
    let entry = "{basic: {username: app, passwords: [{secretKeyRef: {name: app, key: other}}, {secretKeyRef: {name: app, key: k}}]}}";
    let encoded = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let check = |header: &str, expected: &str| {
        assert_eq!(
            verdict(entry, &[("authorization", header)]),
            expected,
            "{header}"
        );
    };
    check(&encoded("app:secret"), "{}");
    check(&encoded("app:another"), "{}");
    check(&encoded("app:secret").replace("Basic", "basic"), "{}");
    for text in [
        "app:",
        "app:secretx",
        "App:secret",
        ":secret",
        "app:secret:",
        "apps:ecret",
    ] {
        check(
            &encoded(text),
            "401 authentication[0].basic: the user name or the password is another",
        );
    }
    for header in [
        encoded("appsecret"),
        "Basic !".into(),
        "Basic".into(),
        "Bearer secret".into(),
        "app:secret".into(),
    ] {
        check(
            &header,
            "401 authentication[0].basic: the Authorization header holds no Basic credentials",
        );
    }
}

#[test]
fn every_hash_in_every_encoding() {
    let body = "{\"a\": \"ü\"}";
    for (name, keyed, plain) in [
        (
            "SHA1",
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
        ),
        ("SHA256", hmac::HMAC_SHA256, &digest::SHA256),
        ("SHA384", hmac::HMAC_SHA384, &digest::SHA384),
        ("SHA512", hmac::HMAC_SHA512, &digest::SHA512),
    ] {
        let tag = hmac::sign(&hmac::Key::new(keyed, b"secret"), body.as_bytes());
        let hash = digest::digest(plain, format!("secret{body}").as_bytes());
        for (method, value) in [("hmac", tag.as_ref()), ("digest", hash.as_ref())] {
            for (encoding, text) in [
                ("Hex", hex::encode(value)),
                ("Hex", hex::encode_upper(value)),
                ("Base64", STANDARD.encode(value)),
            ] {
                let receiver = with(&format!(
                    "{{{method}: {{algorithm: {name}, KEYS, encoding: {encoding}, signature: 'request.headers[\"x-s\"]', prefix: v1=}}}}"
                ));
                let sent = |header: &str| {
                    summary(&receive(
                        &receiver,
                        &with_headers(post(body), &[("x-s", header)]),
                    ))
                };
                assert_eq!(sent(&format!("v1={text}")), body);
                let no_match = format!("401 authentication[0].{method}: no signature matches");
                let none = format!(
                    "401 authentication[0].{method}: the request carries no signature in the expected form"
                );
                assert_eq!(
                    sent(&format!(
                        "v1={}",
                        text.replacen(['0', '1', 'a', 'A', 'b', 'B'], "7", 1)
                    )),
                    no_match
                );
                // Of another length.
                assert_eq!(
                    sent(
                        &format!("v1={text}{text}")
                            .replace('=', "")
                            .replace("v1", "v1=")[..]
                    ),
                    if encoding == "Hex" {
                        no_match.clone()
                    } else {
                        sent(
                            &format!("v1={text}{text}")
                                .replace('=', "")
                                .replace("v1", "v1="),
                        )
                    }
                );
                for header in [
                    text.clone(),
                    format!("v2={text}"),
                    format!("V1={text}"),
                    "v1=".into(),
                    "".into(),
                    format!("v1={text}!"),
                ] {
                    let found = sent(&header);
                    assert!(
                        found == none || found == no_match && header == "v1=",
                        "{header}: {found}"
                    );
                }
            }
        }
    }
}

fn sign(key: &[u8], message: &str) -> String {
    hex::encode(hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, key),
        message.as_bytes(),
    ))
}

#[test]
fn one_candidate_of_several_is_enough_and_a_missing_header_only_passes_its_own_over() {
    let entry = r#"{hmac: {KEYS, signature: '[request.headers["x-one"], request.headers["x-two"], get(request.headers, "x-list", "").split(",")]'}}"#;
    let right = sign(b"secret", "{}");
    let wrong = sign(b"wrong", "{}");
    assert_eq!(
        verdict(entry, &[("x-one", &right), ("x-two", &wrong)]),
        "{}"
    );
    assert_eq!(verdict(entry, &[("x-two", &right)]), "{}");
    assert_eq!(
        verdict(entry, &[("x-list", &format!("{wrong},{right}"))]),
        "{}"
    );
    assert_eq!(
        verdict(entry, &[("x-one", &wrong)]),
        "401 authentication[0].hmac: no signature matches"
    );
    assert!(verdict(entry, &[]).starts_with("401 authentication[0].hmac: "));
    // Past the most that are compared.
    let many = vec![wrong.as_str(); 64].join(",");
    assert_eq!(
        verdict(entry, &[("x-list", &format!("{many},{right}"))]),
        "401 authentication[0].hmac: no signature matches"
    );
}

#[test]
fn the_signature_is_over_the_bytes_as_they_were_sent() {
    let receiver = with("{hmac: {KEYS, signature: 'request.headers[\"x-s\"]'}}");
    let sent = b"\x1f\x8bcompressed".to_vec();
    let tag = hex::encode(hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, b"secret"),
        &sent,
    ));
    let mut request = with_headers(post("{}"), &[("x-s", &tag)]);
    assert!(summary(&receive(&receiver, &request)).starts_with("401"));
    request.raw_body = sent.into();
    check(&receiver, &request, "{}");
}

#[test]
fn a_timestamp_is_refused_when_too_old_or_too_far_ahead() {
    let at = |format: &str, value: &str| {
        let entry = format!(
            "{{hmac: {{KEYS, signature: 'request.headers[\"x-s\"]', message: '$(request.headers[\"x-t\"])$(request.rawBody)', timestamp: {{value: 'request.headers[\"x-t\"]', format: {format}, tolerance: 5m}}}}}}"
        );
        verdict(
            &entry,
            &[
                ("x-t", value),
                ("x-s", &sign(b"secret", &format!("{value}{{}}"))),
            ],
        )
    };
    let seconds = now().as_second();
    assert_eq!(at("Seconds", &seconds.to_string()), "{}");
    assert_eq!(at("Seconds", &(seconds - 300).to_string()), "{}");
    assert_eq!(at("Seconds", &(seconds + 300).to_string()), "{}");
    let old = "401 authentication[0].hmac: the timestamp is older than the tolerance";
    let new =
        "401 authentication[0].hmac: the timestamp is further in the future than the tolerance";
    assert_eq!(at("Seconds", &(seconds - 301).to_string()), old);
    assert_eq!(at("Seconds", &(seconds + 301).to_string()), new);
    assert_eq!(at("Seconds", &(seconds * 100).to_string()), new);
    assert_eq!(
        at("Milliseconds", &(seconds * 1_000 - 300_001).to_string()),
        old
    );
    assert_eq!(at("Milliseconds", &(seconds * 1_000).to_string()), "{}");
    assert_eq!(at("Rfc3339", NOW), "{}");
    for value in [
        "",
        "now",
        "1e9",
        "9223372036854775807",
        "99999999999999999999999",
    ] {
        let found = at("Seconds", value);
        assert!(
            found.starts_with("401 authentication[0].hmac: the timestamp is"),
            "{value}: {found}"
        );
    }
}

#[test]
fn standard_webhooks_takes_several_signatures_keys_and_prefixes() {
    let raw: Vec<u8> = (0..32).collect();
    let key = STANDARD.encode(&raw);
    let whsec = format!("whsec_{key}");
    let stamp = now().as_second().to_string();
    let tag = STANDARD.encode(hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, &raw),
        format!("msg_1.{stamp}.{{}}").as_bytes(),
    ));
    for key in [key.as_str(), &whsec] {
        let keys: &[(&str, &[u8])] = &[("k", key.as_bytes())];
        let spec = "{webhook: {authentication: [{standardWebhooks: {headerPrefix: svix, keys: [{secretKeyRef: {name: app, key: k}}]}}]}}";
        let receiver = receiver(spec, keys);
        let sent = |id: &str, stamp: &str, signature: &str| {
            let headers = [
                ("svix-id", id),
                ("svix-timestamp", stamp),
                ("svix-signature", signature),
            ];
            summary(&receive(&receiver, &with_headers(post("{}"), &headers)))
        };
        assert_eq!(sent("msg_1", &stamp, &format!("v1,{tag}")), "{}");
        assert_eq!(
            sent("msg_1", &stamp, &format!("v1a,{tag} v1,AAAA v1,{tag}")),
            "{}"
        );
        for (id, stamp, signature) in [
            ("msg_2", stamp.as_str(), format!("v1,{tag}")),
            ("", &stamp, format!("v1,{tag}")),
            ("msg_1", "1", format!("v1,{tag}")),
            ("msg_1", &stamp, format!("v2,{tag}")),
            ("msg_1", &stamp, tag.clone()),
            ("msg_1", &stamp, "v1,".into()),
            ("msg_1", &stamp, String::new()),
        ] {
            let found = sent(id, stamp, &signature);
            assert!(
                found.starts_with("401 authentication[0].standardWebhooks: "),
                "{id} {signature}: {found}"
            );
        }
    }
}

#[test]
fn a_key_that_is_missing_empty_or_unreadable_is_our_fault() {
    let ours = |entry: &str, keys: &[(&str, &[u8])], headers: &[(&str, &str)]| {
        let spec = format!("{{webhook: {{authentication: [{entry}]}}}}");
        summary(&receive(
            &receiver(&spec, keys),
            &with_headers(post("{}"), headers),
        ))
    };
    let token = "{token: {keys: [{secretKeyRef: {name: app, key: k}}]}}";
    for keys in [&[][..], &[("k", &b""[..])], &[("other", b"secret")]] {
        for headers in [
            &[][..],
            &[("authorization", "")],
            &[("authorization", "Bearer secret")],
        ] {
            assert_eq!(
                ours(token, keys, headers),
                "503 authentication[0].token: our key is missing or empty"
            );
        }
    }
    let hmac = "{hmac: {keyEncoding: Base64, signature: 'request.headers[\"x\"]', keys: [{secretKeyRef: {name: app, key: k}}]}}";
    assert_eq!(
        ours(hmac, &[("k", b"!")], &[("x", "00")]),
        "503 authentication[0].hmac: our key cannot be used"
    );
    // With a second key that is there, only what does not match under it is our fault.
    let two = "{token: {keys: [{secretKeyRef: {name: app, key: k}}, {secretKeyRef: {name: app, key: gone}}]}}";
    assert_eq!(
        ours(two, &[("k", b"secret")], &[("authorization", "secret")]),
        "{}"
    );
    assert!(ours(two, &[("k", b"secret")], &[("authorization", "x")]).starts_with("503"));
    // Another entry that passes is enough; one that fails does not take the blame.
    let either = format!(
        "{token}, {{basic: {{username: u, passwords: [{{secretKeyRef: {{name: app, key: other}}}}]}}}}"
    );
    let basic = format!("Basic {}", STANDARD.encode("u:p"));
    assert_eq!(
        ours(&either, &[("other", b"p")], &[("authorization", &basic)]),
        "{}"
    );
    assert!(ours(&either, &[("other", b"q")], &[("authorization", &basic)]).starts_with("503 "));
    // A method beside it that fails makes it the sender's fault.
    let both = "{token: {keys: [{secretKeyRef: {name: app, key: gone}}]}, basic: {username: u, passwords: [{secretKeyRef: {name: app, key: k}}]}}";
    assert!(
        ours(both, &[("k", b"p")], &[("authorization", "Basic eDp4")])
            .starts_with("401 authentication[0].basic")
    );
}

#[test]
fn entries_are_alternatives_and_all_in_an_entry_must_pass() {
    let entries = "{token: {value: 'request.headers[\"x-a\"]', KEYS}, basic: {username: u, passwords: [{secretKeyRef: {name: app, key: k}}]}}, {token: {value: 'request.headers[\"x-b\"]', KEYS}, require: 'request.headers[\"x-version\"] == \"1\"'}";
    let basic = format!("Basic {}", STANDARD.encode("u:secret"));
    assert_eq!(
        verdict(entries, &[("x-a", "secret"), ("authorization", &basic)]),
        "{}"
    );
    assert_eq!(
        verdict(entries, &[("x-b", "secret"), ("x-version", "1")]),
        "{}"
    );
    assert!(verdict(entries, &[("x-a", "secret")]).starts_with("401 authentication[0].basic: "));
    assert!(
        verdict(entries, &[("authorization", &basic)]).starts_with("401 authentication[0].token: ")
    );
    assert!(
        verdict(entries, &[("x-b", "secret"), ("x-version", "2")])
            .ends_with("authentication[1].require: is false")
    );
    assert!(verdict(entries, &[("x-b", "secret")]).contains("authentication[1].require: "));
}

#[test]
fn require_and_events_see_what_authentication_found_out() {
    let spec = "{webhook: {authentication: [{token: {keys: [{secretKeyRef: {name: app, key: k}}]}, require: auth.method == \"token\" && size(auth.claims) == 0}], events: {extensions: {method: auth.method}}}}";
    let request = with_headers(post("{}"), &[("authorization", "secret")]);
    let event = events(receive(&receiver(spec, KEYS), &request)).remove(0);
    assert_eq!(event.attributes.extensions["method"].to_string(), "token");
}

#[test]
fn an_entry_that_mentions_the_item_is_checked_for_each_and_refuses_the_others() {
    let entry = "{token: {value: item.t, KEYS}}";
    let receiver = with(entry);
    check(
        &receiver,
        &post(r#"[{"t":"secret"},{"t":"no"},{},{"t":"secret","n":2}]"#),
        r#"{"t":"secret"} | refused | refused | {"t":"secret","n":2}"#,
    );
    let found = summary(&receive(&receiver, &post(r#"[{"t":"no"},{}]"#)));
    assert_eq!(found, "401 authentication[0].token: the token is another");
    // Nothing came, so nothing is taken, and a heartbeat is answered.
    check(&receiver, &post("[]"), "");
    // Not even JSON: nobody has shown anything.
    check(&receiver, &post("[{"), "400");
    check(
        &with(&format!(
            "{entry}, {{basic: {{username: u, passwords: [{{secretKeyRef: {{name: app, key: k}}}}]}}}}"
        )),
        &with_headers(
            post(r#"[{"t":"no"}]"#),
            &[(
                "authorization",
                &format!("Basic {}", STANDARD.encode("u:secret")),
            )],
        ),
        r#"{"t":"no"}"#,
    );
    // Our own missing key refuses none of them for good.
    let missing = super::receiver(
        "{webhook: {authentication: [{token: {value: item.t, keys: [{secretKeyRef: {name: app, key: gone}}]}}]}}",
        &[],
    );
    assert!(summary(&receive(&missing, &post(r#"[{"t":"x"}]"#))).starts_with("503 "));
}

#[test]
fn keys_can_be_fields_of_the_app() {
    let mut entry = entry(
        "{webhook: {authentication: [{token: {keys: [{appField: secret}]}}]}}",
        &[],
    );
    entry.keys.push(KeyEntry {
        source: KeySource {
            app_field: Some("secret".into()),
            ..KeySource::default()
        },
        value: Some("s".into()),
    });
    let receiver = Receiver::compile(&entry).unwrap();
    check(
        &receiver,
        &with_headers(post("{}"), &[("authorization", "s")]),
        "{}",
    );
}

#[test]
fn no_verdict_and_no_compiled_type_shows_a_key() {
    let entry = "{token: {KEYS}}, {basic: {username: u, passwords: [{secretKeyRef: {name: app, key: k}}]}}, {hmac: {KEYS, signature: 'request.headers[\"x\"]'}}, {digest: {KEYS, signature: 'request.headers[\"x\"]'}}, {jwt: {KEYS, algorithms: [HS256]}}";
    let receiver = with(entry);
    let request = with_headers(
        post("{}"),
        &[("authorization", "Bearer presented"), ("x", "presented")],
    );
    let shown = format!("{receiver:#?} {:#?}", receive(&receiver, &request));
    for secret in [
        "secret\"",
        hex::encode("secret").as_str(),
        &STANDARD.encode("secret"),
        "presented",
        "115, 101, 99",
    ] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
