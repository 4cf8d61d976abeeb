//! What a customer's value may be in each place of a request, and how it is written there.

use serde_json::json;

use super::*;

/// What is sent where the value of `customer.fields.x` is `value`.
fn sent(request: &str, value: &str) -> Result<Outgoing, String> {
    let mut setting = Setting::of_request(request, json!({"x": value}));
    setting.subscription.hosts = vec!["*.crm.example".into()];
    setting
        .render(&RequestKind::Subscribe)
        .map_err(|error| error.to_string())
}

/// Values that would break out of their place if they were written as they are.
const HOSTILE: [&str; 15] = [
    "a/b",
    "a@evil.example",
    "a?b=c",
    "a#b",
    "a\r\nX-Evil: 1",
    "..",
    "../../admin",
    "%2e%2e",
    "evil.example",
    "\"quoted\"",
    "'single'",
    "$(signingSecret)",
    "a&b=c",
    "a\\b",
    "é\u{0}\u{7f}",
];

#[test]
fn in_a_path_a_value_is_one_segment() {
    let request = r#"{url: "https://api.crm.example/a/$(customer.fields.x)/b"}"#;
    for value in HOSTILE {
        match sent(request, value) {
            Ok(sent) => {
                let segments: Vec<&str> = sent.url.path_segments().unwrap().collect();
                assert_eq!(segments.len(), 3, "{value}");
                let decoded = percent_encoding::percent_decode_str(segments[1]);
                assert_eq!(decoded.decode_utf8().unwrap(), value);
                assert_eq!(
                    (sent.url.query(), sent.url.fragment()),
                    (None, None),
                    "{value}"
                );
                assert_eq!(sent.url.host_str(), Some("api.crm.example"), "{value}");
            }
            Err(error) => {
                assert_eq!(value, "..", "{error}");
                assert!(
                    error.contains("the URL's path holds `.` or `..`"),
                    "{error}"
                );
            }
        }
    }
    let empty = sent(request, "").unwrap_err();
    assert!(
        empty.contains("a value in a URL's path is empty"),
        "{empty}"
    );
}

#[test]
fn in_a_path_between_slashes_no_value_climbs() {
    let request = r#"{url: "https://api.crm.example/a/$(path(customer.fields.x))/b"}"#;
    let check = |value: &str, expected: Result<&str, ()>| {
        let path = sent(request, value).map(|sent| sent.url.path().to_owned());
        assert_eq!(path.as_deref().map_err(drop), expected, "{value}");
    };
    check("acme/shop", Ok("/a/acme/shop/b"));
    check("acme?x=#y", Ok("/a/acme%3Fx%3D%23y/b"));
    check("../../admin", Err(()));
    check("a/./b", Err(()));
    check("%2e%2e/x", Ok("/a/%252e%252e/x/b"));
}

#[test]
fn in_a_query_a_value_is_one_parameter() {
    for request in [
        r#"{url: "https://api.crm.example/a?q=$(customer.fields.x)&r=1"}"#,
        r#"{url: "https://api.crm.example/a", query: {q: $(customer.fields.x), r: "1"}}"#,
        r#"{url: "https://api.crm.example/a?q=$(customer.fields.x)", query: {r: "1"}}"#,
    ] {
        for value in HOSTILE {
            let sent = sent(request, value).unwrap();
            let pairs: Vec<(String, String)> = sent.url.query_pairs().into_owned().collect();
            let expected = [("q".to_owned(), value.to_owned()), ("r".into(), "1".into())];
            assert_eq!(pairs, expected, "{request}");
            assert_eq!(sent.url.fragment(), None);
        }
    }
}

#[test]
fn in_a_header_a_value_breaks_no_line() {
    let request =
        r#"{url: "https://api.crm.example/", headers: {X-Value: "v $(customer.fields.x)"}}"#;
    for value in HOSTILE {
        match sent(request, value) {
            Ok(sent) => {
                assert_eq!(sent.headers.len(), 1);
                assert_eq!(
                    sent.headers["x-value"].as_bytes(),
                    format!("v {value}").as_bytes()
                );
                assert!(sent.headers["x-value"].is_sensitive());
            }
            Err(error) => {
                assert!(value.contains(['\r', '\u{0}']), "{value:?}: {error}");
                let expected = "failed to make request.headers.x-value: a value for a header holds a line break or another control character";
                assert_eq!(error, expected);
            }
        }
    }
}

#[test]
fn in_json_a_form_and_a_text_a_value_is_a_value() {
    for value in HOSTILE {
        let json = r#"{url: "https://api.crm.example/", body: {a: "$(customer.fields.x)", b: "<$(customer.fields.x)>"}}"#;
        let body: Value = serde_json::from_slice(&sent(json, value).unwrap().body).unwrap();
        assert_eq!(body, json!({"a": value, "b": format!("<{value}>")}));
        let form =
            r#"{url: "https://api.crm.example/", form: {a: "$(customer.fields.x)", b: "1"}}"#;
        let body = sent(form, value).unwrap().body;
        let pairs: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        assert_eq!(
            pairs,
            [("a".to_owned(), value.to_owned()), ("b".into(), "1".into())]
        );
        let text = r#"{url: "https://api.crm.example/", text: "<$(customer.fields.x)>"}"#;
        assert_eq!(sent(text, value).unwrap().body, format!("<{value}>"));
    }
}

#[test]
fn in_a_host_a_value_leads_only_where_hosts_says() {
    let whole = r#"{url: "https://$(customer.fields.x)/hooks"}"#;
    let part = r#"{url: "https://$(customer.fields.x).crm.example/hooks"}"#;
    let check = |request: &str, value: &str, expected: Result<&str, &str>| {
        let url = sent(request, value).map(|sent| sent.url.to_string());
        match (url, expected) {
            (Ok(url), Ok(expected)) => assert_eq!(url, expected),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{value}: {error}"),
            (url, expected) => panic!("{value}: {url:?}, and not {expected:?}"),
        }
    };
    check(
        whole,
        "acme.crm.example",
        Ok("https://acme.crm.example/hooks"),
    );
    check(
        whole,
        "ACME.crm.example",
        Ok("https://acme.crm.example/hooks"),
    );
    check(part, "acme", Ok("https://acme.crm.example/hooks"));
    check(part, "a.b", Ok("https://a.b.crm.example/hooks"));
    let elsewhere = "leads to a host that neither hosts nor any URL names";
    for value in [
        "crm.example",
        "evil.example",
        "acme.crm.example.evil.example",
        "evilcrm.example",
        "127.0.0.1",
        "2130706433",
    ] {
        check(whole, value, Err(elsewhere));
    }
    for value in HOSTILE {
        if value != "evil.example" {
            check(whole, value, Err("is not a hostname"));
            check(part, value, Err("is not a hostname"));
        }
    }
    for value in ["", "a.", ".a", "a..b", "a:80", "[::1]", "a b", "user:pw@a"] {
        check(part, value, Err("is not a hostname"));
    }
}

#[test]
fn a_url_that_is_one_value_leads_only_to_hosts_that_are_written_or_listed() {
    let check = |value: &str, expected: Result<(), &str>| {
        let sent = sent("{url: $(customer.fields.x)}", value).map(drop);
        match (sent, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{value}: {error}"),
            (sent, expected) => panic!("{value}: {sent:?}, and not {expected:?}"),
        }
    };
    let elsewhere = "leads to a host that neither hosts nor any URL names";
    check("https://acme.crm.example/hooks/1?a=b", Ok(()));
    check("https://acme.crm.example:443/hooks", Ok(()));
    check("https://acme.crm.example:8443/hooks", Err(elsewhere));
    check("https://evil.example/", Err(elsewhere));
    check(
        "https://evil.example/#.crm.example",
        Err("not an http or https URL"),
    );
    check("https://evil.example?.crm.example", Err(elsewhere));
    check(
        "https://evil.example\\.crm.example",
        Err("not an http or https URL"),
    );
    check(
        "https://acme.crm.example@evil.example/",
        Err("no host, or a user"),
    );
    check("https://u:p@acme.crm.example/", Err("no host, or a user"));
    check("http://acme.crm.example/", Err("plain http"));
    check("ftp://acme.crm.example/", Err("not an http or https URL"));
    check("file:///etc/passwd", Err("not an http or https URL"));
    check("//acme.crm.example/", Err("not an http or https URL"));
    check("https://acme.crm.example/a/../b", Err("`.` or `..`"));
    check(
        "https://acme.crm.example/\r\nX: 1",
        Err("not an http or https URL"),
    );
    check("", Err("not an http or https URL"));
}

#[test]
fn what_is_missing_is_named_and_no_value_is() {
    let setting = Setting::of_request(
        r#"{url: "https://api.crm.example/$(customer.fields.nothing)"}"#,
        json!({"x": "hunter2-hunter2"}),
    );
    let error = setting.render(&RequestKind::Subscribe).unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to make request.url: there is no field `nothing`"
    );
    let error = setting.render(&RequestKind::Renew).unwrap_err();
    assert_eq!(error, RenderError::NoSuchRequest);
}

#[test]
fn a_body_has_an_end() {
    let body = "x".repeat(60_000);
    let setting = Setting::of_request(
        &format!(
            "{{url: 'https://a.example/', text: '{}'}}",
            "$(customer.fields.x)".repeat(20)
        ),
        json!({"x": body}),
    );
    assert_eq!(
        setting
            .render(&RequestKind::Subscribe)
            .unwrap_err()
            .to_string(),
        "the request's body is longer than 1024 KiB"
    );
}
