//! A token names the customer, else what the payload says, else the request is refused.

use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA512};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{arrived, post, start};
use crate::support::app::{hmac_sha256_hex, hmac_sha512_base64, token};
use crate::support::sink::Sink;

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
