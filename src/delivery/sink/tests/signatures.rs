//! Standard Webhooks signatures, against vectors that the specification's libraries publish.

use http::HeaderMap;
use jiff::Timestamp;

use crate::configuration::{Header, Sensitive, SigningKey};
use crate::delivery::sink::headers::{self, HeaderRefused};
use crate::delivery::sink::signing::{EmptyKey, NotWhsec, Signer, decode_whsec};

fn sign(secret: &str, id: &str, seconds: i64, body: &[u8]) -> HeaderMap {
    let key = SigningKey(decode_whsec(secret.as_bytes()).unwrap());
    let mut headers = HeaderMap::new();
    let at = Timestamp::from_second(seconds).unwrap();
    Signer::new(&key).unwrap().sign(id, at, body, &mut headers);
    headers
}

#[test]
fn signatures_are_those_of_the_published_vectors() {
    let check = |secret: &str, id: &str, seconds: i64, body: &str, expected: &str| {
        let headers = sign(secret, id, seconds, body.as_bytes());
        assert_eq!(headers["webhook-id"], id);
        assert_eq!(headers["webhook-timestamp"], seconds.to_string());
        assert_eq!(headers["webhook-signature"], expected);
    };
    check(
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1_649_367_553,
        r#"{"email":"test@example.com","username":"test_user"}"#,
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    );
    check(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        r#"{"test": 2432232314}"#,
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    );
}

#[test]
fn an_id_is_signed_as_it_stands_in_its_header() {
    let odd = sign("c2VjcmV0", "ü 1\r\nx: y", 1, b"{}");
    let plain = sign("c2VjcmV0", "%C3%BC%201%0D%0Ax:%20y", 1, b"{}");
    assert_eq!(odd["webhook-id"], "%C3%BC%201%0D%0Ax:%20y");
    // The encoded id itself would be encoded once more; its signature is over other bytes.
    assert_ne!(odd["webhook-signature"], plain["webhook-signature"]);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"secret");
    let tag = aws_lc_rs::hmac::sign(&key, b"%C3%BC%201%0D%0Ax:%20y.1.{}");
    use base64::Engine;
    let expected = base64::engine::general_purpose::STANDARD.encode(tag);
    assert_eq!(odd["webhook-signature"], format!("v1,{expected}"));
}

#[test]
fn keys_are_read_with_and_without_prefix_and_padding() {
    let check = |secret: &str, expected: Result<&[u8], NotWhsec>| {
        let key = decode_whsec(secret.as_bytes());
        assert_eq!(
            key.as_ref().map(Sensitive::expose),
            expected.as_ref().map(|k| *k)
        );
    };
    check("whsec_c2VjcmV0IQ==", Ok(b"secret!"));
    check("c2VjcmV0IQ==", Ok(b"secret!"));
    check("whsec_c2VjcmV0IQ", Ok(b"secret!"));
    check("  whsec_c2VjcmV0IQ==\n", Ok(b"secret!"));
    check("whsec_", Ok(b""));
    check("whsec_not base64", Err(NotWhsec));
    check("whsec_c2Vj-_c=", Err(NotWhsec));
    check("WHSEC_c2VjcmV0", Err(NotWhsec));
}

#[test]
fn an_empty_key_signs_nothing() {
    let empty = SigningKey(Sensitive::from(""));
    assert!(matches!(Signer::new(&empty), Err(EmptyKey)));
}

#[test]
fn headers_that_are_ours_cannot_be_configured() {
    let check = |name: &str, refused: bool| {
        assert_eq!(headers::check_name(name, true).is_err(), refused, "{name}");
    };
    for name in [
        "Content-Type",
        "content-length",
        "Content-Encoding",
        "Transfer-Encoding",
        "Host",
        "Connection",
        "Keep-Alive",
        "Upgrade",
        "TE",
        "Trailer",
        "Expect",
        "Proxy-Authorization",
        "ce-id",
        "CE-Anything",
        "Webhook-Signature",
        "webhook-id",
        "webhook-timestamp",
        "",
        "two words",
        "x\r\ny",
        "x:",
        "ü",
    ] {
        check(name, true);
    }
    for name in [
        "Authorization",
        "X-Team",
        "User-Agent",
        "traceparent",
        "Accept",
        "Cookie",
    ] {
        check(name, false);
    }
    // Without signing they are names like any other.
    assert!(headers::check_name("webhook-id", false).is_ok());
}

#[test]
fn header_values_cannot_smuggle_a_second_header() {
    let check = |value: &[u8], refused: bool| {
        let header = Header {
            name: "X-Team".into(),
            value: Sensitive::new(value),
        };
        let result = headers::configured(&[header], false);
        assert_eq!(
            result.err(),
            refused.then(|| HeaderRefused::Value("X-Team".into())),
            "{value:?}"
        );
    };
    check(b"blue", false);
    check(b"", false);
    check("ü".as_bytes(), false);
    check(b"a\tb", false);
    check(b"blue\r\nx-injected: 1", true);
    check(b"blue\nx-injected: 1", true);
    check(b"blue\r", true);
    check(b"a\0b", true);
}

#[test]
fn a_header_set_twice_is_refused_in_any_case_and_values_are_not_shown() {
    let header = |name: &str| Header {
        name: name.into(),
        value: "hunter2".into(),
    };
    let both = [header("X-Team"), header("x-team")];
    assert_eq!(
        headers::configured(&both, false),
        Err(HeaderRefused::Twice("x-team".into()))
    );
    let map = headers::configured(&both[..1], false).unwrap();
    assert!(!format!("{map:?}").contains("hunter2"));
}
