use super::*;

#[test]
fn names_of_secrets_are_told_by_their_words() {
    for name in [
        "token",
        "accessToken",
        "access_token",
        "X-Auth-Token",
        "secret",
        "clientSecret",
        "macSecretBase64",
        "signing_key",
        "signingKey",
        "key",
        "keys",
        "apikey",
        "API_KEY",
        "password",
        "http_auth_password",
        "Authorization",
        "proxy-authorization",
        "Set-Cookie",
        "cookie",
        "credentials",
        "x-api-key",
        "auth",
    ] {
        assert!(is_named_like_a_secret(name), "{name}");
    }
    for name in [
        "id",
        "monkey",
        "keyword",
        "turkey",
        "author",
        "authority",
        "url",
        "passenger",
        "compass",
        "name",
        "status",
        "",
        "sessions-count",
    ] {
        assert!(!is_named_like_a_secret(name), "{name}");
    }
}

#[test]
fn a_short_secret_is_masked_where_it_is_a_whole_value() {
    let masker = Masker::new([&b"abc"[..], b"7"]);
    let json = serde_json::json!({"a": "abc", "b": "abcd", "n": 7, "m": 77});
    assert_eq!(
        masker.json(&json),
        serde_json::json!({"a": "***", "b": "abcd", "n": "***", "m": 77})
    );
}

#[test]
fn a_secret_is_also_known_without_the_line_break_of_its_file_and_without_its_dress() {
    let masker = Masker::new([&b"hunter2hunter2\n"[..], b"whsec_MTIzNDU2Nzg5MDEyMzQ1Ng=="]);
    assert_eq!(masker.text("a hunter2hunter2 b"), "a *** b");
    assert_eq!(masker.text("MTIzNDU2Nzg5MDEyMzQ1Ng=="), "***");
    assert_eq!(masker.text("1234567890123456"), "***");
}

#[test]
fn the_token_of_a_uri_is_what_follows_its_last_h() {
    let check = |uri: &str, expected: &str| assert_eq!(without_token(uri), expected);
    check("https://a.example/h/tok/1", "https://a.example/h/***/1");
    check(
        "https://a.example/h/h/tok/12",
        "https://a.example/h/h/***/12",
    );
    check("https://a.example/h/tok", "https://a.example/h/***");
    check(
        "https://a.example/shop/contacts/1",
        "https://a.example/shop/contacts/1",
    );
    check("https://a.example/h/", "https://a.example/h/");
}

#[test]
fn what_is_cut_ends_at_a_character() {
    for length in 2_030..2_060 {
        let text = cut("é".repeat(length / 2) + "x");
        assert!(text.len() <= SHOWN_BYTES);
    }
    assert_eq!(cut("short".to_owned()), "short");
}
