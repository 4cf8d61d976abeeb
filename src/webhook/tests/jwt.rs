//! JSON Web Tokens: whose they are, what for, until when, and that no key is taken for another kind.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, KeyPair as _};
use aws_lc_rs::{digest, hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value as Json, json};

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn part(json: &Json) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn token(header: &Json, claims: &Json, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn hs(algorithm: hmac::Algorithm, key: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, key);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

fn hs256(claims: &Json) -> String {
    token(
        &json!({"alg": "HS256", "typ": "JWT"}),
        claims,
        hs(hmac::HMAC_SHA256, SECRET),
    )
}

fn pem(der: &[u8]) -> String {
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der)
    )
}

fn type_with(jwt: &str, key: &[u8]) -> Receiver {
    let spec = format!(
        "{{webhook: {{authentication: [{{jwt: {{keys: [{{secretKeyRef: {{name: app, key: k}}}}], {jwt}}}}}], events: {{extensions: {{claims: json.encode(auth.claims)}}}}}}}}"
    );
    receiver(&spec, &[("k", key)])
}

fn sent(receiver: &Receiver, token: &str) -> String {
    let request = with_headers(post("{}"), &[("authorization", &format!("Bearer {token}"))]);
    summary(&receive(receiver, &request))
}

fn valid() -> Json {
    json!({"exp": now().as_second() + 60, "iss": "app", "aud": "us", "tenant": "acme"})
}

fn refused(cause: &str) -> String {
    format!("401 authentication[0].jwt: {cause}")
}

#[test]
fn every_algorithm_passes_with_its_own_key_and_with_no_other() {
    let random = SystemRandom::new();
    let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let rsa_pem = pem(rsa.public_key().as_der().unwrap().as_ref());
    let ec =
        signature::EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ec_pem = pem(ec.public_key().as_der().unwrap().as_ref());
    let ed = signature::Ed25519KeyPair::generate().unwrap();
    let ed_pem = pem(ed.public_key().as_der().unwrap().as_ref());
    let sign_rsa = |encoding: &'static dyn signature::RsaEncoding, message: &[u8]| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(encoding, &random, message, &mut signature)
            .unwrap();
        signature
    };
    let sign = |algorithm: &str, message: &[u8]| match algorithm {
        "HS256" => hs(hmac::HMAC_SHA256, SECRET)(message),
        "HS384" => hs(hmac::HMAC_SHA384, SECRET)(message),
        "HS512" => hs(hmac::HMAC_SHA512, SECRET)(message),
        "RS256" => sign_rsa(&signature::RSA_PKCS1_SHA256, message),
        "PS256" => sign_rsa(&signature::RSA_PSS_SHA256, message),
        "ES256" => ec.sign(&random, message).unwrap().as_ref().to_vec(),
        _ => ed.sign(message).as_ref().to_vec(),
    };
    let kinds = [
        ("HS256", SECRET),
        ("HS384", SECRET),
        ("HS512", SECRET),
        ("RS256", rsa_pem.as_bytes()),
        ("PS256", rsa_pem.as_bytes()),
        ("ES256", ec_pem.as_bytes()),
        ("EdDSA", ed_pem.as_bytes()),
    ];
    for (algorithm, key) in kinds {
        let receiver = type_with(&format!("algorithms: [{algorithm}]"), key);
        assert_eq!(receiver.warnings(), []);
        for (signed_as, _) in kinds {
            for named in [algorithm, signed_as] {
                let token = token(&json!({"alg": named}), &valid(), |message| {
                    sign(signed_as, message)
                });
                let found = sent(&receiver, &token);
                match (named == algorithm, signed_as == algorithm) {
                    (true, true) => assert_eq!(found, "{}", "{algorithm}"),
                    (true, false) => assert_eq!(
                        found,
                        refused("the token's signature does not match"),
                        "{algorithm} {signed_as}"
                    ),
                    _ => assert_eq!(
                        found,
                        refused("the token's algorithm is not one of the type's"),
                        "{algorithm} {named}"
                    ),
                }
            }
        }
        // The classic: signed with the public key as if it were a shared secret.
        let forged = token(
            &json!({"alg": "HS256"}),
            &valid(),
            hs(hmac::HMAC_SHA256, key),
        );
        if algorithm != "HS256" {
            assert_eq!(
                sent(&receiver, &forged),
                refused("the token's algorithm is not one of the type's")
            );
        }
        for algorithm in ["none", "None", ""] {
            let unsigned = token(&json!({"alg": algorithm}), &valid(), |_| Vec::new());
            assert_eq!(
                sent(&receiver, &unsigned),
                refused("the token's algorithm is not one of the type's")
            );
        }
    }
    // A public key where a secret belongs, the wrong kind of key, and a private key are no keys.
    for (algorithm, key) in [
        ("HS256", rsa_pem.as_bytes()),
        ("RS256", ec_pem.as_bytes()),
        ("ES256", ed_pem.as_bytes()),
        ("EdDSA", SECRET),
    ] {
        let receiver = type_with(&format!("algorithms: [{algorithm}]"), key);
        assert_eq!(receiver.warnings().len(), 1, "{algorithm}");
        assert_eq!(
            sent(&receiver, &hs256(&valid())),
            "503 authentication[0].jwt: our key cannot be used"
        );
    }
    let several = type_with("algorithms: [RS256, PS256, ES256]", rsa_pem.as_bytes());
    let token = token(&json!({"alg": "PS256"}), &valid(), |message| {
        sign("PS256", message)
    });
    assert_eq!(sent(&several, &token), "{}");
}

#[test]
fn claims_are_checked_and_then_known_to_expressions() {
    let receiver = type_with(
        "algorithms: [HS256], issuer: app, audience: [them, us], claims: {tenant: acme, ok: \"true\", n: \"1\"}",
        SECRET,
    );
    let claims = |change: &Json| {
        let mut claims = valid();
        claims["ok"] = json!(true);
        claims["n"] = json!(1);
        for (name, value) in change.as_object().unwrap() {
            match value {
                Json::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims
                    .as_object_mut()
                    .unwrap()
                    .insert(name.clone(), value.clone()),
            };
        }
        claims
    };
    let check = |change: Json, expected: &str| {
        assert_eq!(
            sent(&receiver, &hs256(&claims(&change))),
            expected,
            "{change}"
        );
    };
    check(json!({}), "{}");
    check(json!({"aud": ["x", "us"]}), "{}");
    for issuer in [json!("other"), json!(null), json!(["app"]), json!("")] {
        check(json!({"iss": issuer}), &refused("iss is another"));
    }
    for audience in [
        json!("other"),
        json!(null),
        json!([]),
        json!(["x"]),
        json!({"us": 1}),
    ] {
        check(json!({"aud": audience}), &refused("aud is another"));
    }
    for tenant in [json!("bolt"), json!(null), json!(["acme"])] {
        check(
            json!({"tenant": tenant}),
            &refused("the claim \"tenant\" is another"),
        );
    }
    check(
        json!({"ok": false}),
        &refused("the claim \"ok\" is another"),
    );
    let request = with_headers(
        post("{}"),
        &[(
            "authorization",
            &format!("Bearer {}", hs256(&claims(&json!({})))),
        )],
    );
    let event = events(receive(&receiver, &request)).remove(0);
    assert!(
        event.attributes.extensions["claims"]
            .to_string()
            .contains(r#""tenant":"acme""#)
    );
}

#[test]
fn a_token_is_valid_from_nbf_to_exp_give_or_take_the_leeway() {
    let second = now().as_second();
    let check = |jwt: &str, claims: Json, expected: &str| {
        let receiver = type_with(&format!("algorithms: [HS256]{jwt}"), SECRET);
        assert_eq!(sent(&receiver, &hs256(&claims)), expected, "{claims}");
    };
    let expired = refused("the token has expired");
    check("", json!({"exp": second - 59}), "{}");
    check("", json!({"exp": second - 60}), &expired);
    check(", leeway: 0s", json!({"exp": second + 1}), "{}");
    check(", leeway: 0s", json!({"exp": second}), &expired);
    check(", leeway: 0s", json!({"exp": second as f64 + 0.5}), "{}");
    check("", json!({}), &refused("the token has no exp"));
    check(", requireExpiry: false", json!({}), "{}");
    check(
        ", requireExpiry: false",
        json!({"exp": second - 60}),
        &expired,
    );
    check("", json!({"exp": second + 9, "nbf": second + 60}), "{}");
    check(
        "",
        json!({"exp": second + 9, "nbf": second + 61}),
        &refused("the token is not valid yet"),
    );
    for exp in [json!("soon"), json!(null), json!([second])] {
        check(
            ", requireExpiry: false",
            json!({"exp": exp}),
            &refused("exp or nbf is no number"),
        );
    }
    check("", json!({"exp": 1e300}), "{}");
    check(
        "",
        json!([1]),
        &refused("the token is no signed JSON Web Token"),
    );
}

#[test]
fn what_is_no_token_is_refused() {
    let receiver = type_with("algorithms: [HS256]", SECRET);
    let good = hs256(&valid());
    let malformed = refused("the token is no signed JSON Web Token");
    let (message, signature) = good.rsplit_once('.').unwrap();
    for token in [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        message,
        &format!("{good}."),
        &format!("{good}.x"),
        &format!("{good}="),
        &good.replace('.', " "),
    ] {
        let found = sent(&receiver, token);
        assert!(found == malformed, "{token}: {found}");
    }
    assert_eq!(
        sent(&receiver, &format!("{message}.")),
        refused("the token's signature does not match")
    );
    let other = if signature.starts_with('A') { "B" } else { "A" };
    assert_eq!(
        sent(&receiver, &format!("{message}.{other}{}", &signature[1..])),
        refused("the token's signature does not match")
    );
    let critical = token(
        &json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
        &valid(),
        hs(hmac::HMAC_SHA256, SECRET),
    );
    assert_eq!(
        sent(&receiver, &critical),
        refused("the token needs extensions that are not supported")
    );
    let long = hs256(&json!({"exp": now().as_second() + 9, "x": "x".repeat(16 << 10)}));
    assert_eq!(
        sent(&receiver, &long),
        refused("the token is longer than 16 KiB")
    );
    let no_algorithm = token(
        &json!({"typ": "JWT"}),
        &valid(),
        hs(hmac::HMAC_SHA256, SECRET),
    );
    assert_eq!(sent(&receiver, &no_algorithm), malformed);
}

#[test]
fn a_claim_can_bind_the_token_to_the_body() {
    for (encoding, text) in [
        ("Hex", hex::encode(digest::digest(&digest::SHA256, b"{}"))),
        (
            "Base64",
            STANDARD.encode(digest::digest(&digest::SHA256, b"{}")),
        ),
    ] {
        let receiver = type_with(
            &format!("algorithms: [HS256], bodyHash: {{claim: hash, encoding: {encoding}}}"),
            SECRET,
        );
        let check = |hash: Json, expected: &str| {
            let mut claims = valid();
            claims["hash"] = hash;
            assert_eq!(sent(&receiver, &hs256(&claims)), expected);
        };
        check(json!(text), "{}");
        let another = match encoding {
            "Hex" => hex::encode(digest::digest(&digest::SHA256, b"{ }")),
            _ => STANDARD.encode(digest::digest(&digest::SHA256, b"{ }")),
        };
        check(
            json!(another),
            &refused("the body is not the one that the token was made for"),
        );
        for missing in [json!(null), json!(7), json!("!")] {
            check(
                missing,
                &refused("the claim with the body's hash is missing or not in its encoding"),
            );
        }
        check(
            json!(""),
            &refused("the body is not the one that the token was made for"),
        );
    }
}

#[test]
fn the_token_can_stand_elsewhere_and_a_customer_can_come_from_it() {
    let spec = "{webhook: {authentication: [{jwt: {token: 'request.headers[\"x-jwt\"]', keys: [{secretKeyRef: {name: app, key: k}}], algorithms: [HS512]}}]}, globalWebhook: {customer: auth.claims.tenant}}";
    let token = token(
        &json!({"alg": "HS512"}),
        &valid(),
        hs(hmac::HMAC_SHA512, SECRET),
    );
    let event = events(receive(
        &receiver(spec, &[("k", SECRET)]),
        &with_headers(post("{}"), &[("x-jwt", &token)]),
    ))
    .remove(0);
    assert_eq!(event.attributes.subject.as_deref(), Some("acme"));
}
