//! No secret is in anything that is shown, in whatever encoding an app repeats it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::json;

use super::*;

/// Each looks different in each encoding.
const CUSTOMER: &str = r#"cust>?~token"\/é&=%+-1"#;
const APP: &str = r#"app>?~secret"\/&=%+-2"#;
const SIGNING: &str = "whsec_c3Q/Pj4+c3RhbmRhcmQ/Pz4+d2ViaG9va3M+Pj8/a2V5";

fn setting() -> Setting {
    let mut setting = Setting::read(
        r#"
subscription:
  signingSecret: {fromResponse: response.body.key}
  request:
    url: https://api.crm.example/hooks/$(customer.fields.token)
    query: {q: $(app.fields.secret), plain: $(customer.fields.plan)}
    headers:
      Authorization: Bearer $(customer.fields.token)
      X-Hash: $(hex(sha256(customer.fields.token)))
      X-All: $(json.encode(customer.fields))
      X-Plan: $(string(customer.fields.plan))
    body:
      target: $(webhookUri)
      also: at $(webhookUri)!
      encoded: $(base64.encode(bytes(webhookUri)))
      key: $(app.fields.secret)
      dynamic: $(customer.fields[customer.fields.name])
      plan: $(customer.fields.plan)
  response: {values: {copy: response.body.copy}}
  unsubscribe: {steps: [{name: delete, request: {method: DELETE, url: "https://api.crm.example/$(subscription.values.copy)"}}]}
fields: {plan: 3, name: plan}
"#,
    );
    setting.secrets.insert("token".into(), CUSTOMER.into());
    setting.app_secrets.insert("secret".into(), APP.into());
    setting
}

fn encodings(value: &str) -> Vec<String> {
    let json = json!(value).to_string();
    let json = json[1..json.len() - 1].to_owned();
    vec![
        value.to_owned(),
        STANDARD.encode(value),
        STANDARD.encode(format!("user:{value}:rest")),
        STANDARD.encode(format!("u:{value}")),
        STANDARD.encode(format!("us:{value}")),
        URL_SAFE_NO_PAD.encode(value),
        percent_encode(value.as_bytes(), NON_ALPHANUMERIC).to_string(),
        percent_encode(value.as_bytes(), NON_ALPHANUMERIC)
            .to_string()
            .to_lowercase(),
        form_urlencoded::byte_serialize(value.as_bytes()).collect(),
        hex::encode(value),
        hex::encode_upper(value),
        json.replace('/', "\\/").replace('é', "\\u00e9"),
        json,
    ]
}

/// That none of the secrets can be found, encoded or not.
fn none_in(text: &str) {
    for secret in [CUSTOMER, APP, SIGNING, &SIGNING[6..], TOKEN] {
        // Base64 inside of something longer keeps all but its first and last characters.
        for form in encodings(secret) {
            let middle =
                &form[form.ceil_char_boundary(4)..form.floor_char_boundary(form.len() - 4)];
            if secret != TOKEN {
                assert!(!text.contains(middle), "{middle} in {text}");
            }
            assert!(!text.contains(&form), "{form} in {text}");
        }
    }
}

#[test]
fn of_a_request_what_an_expression_made_of_a_secret_is_masked_whole() {
    let sent = setting().render(&RequestKind::Subscribe).unwrap();
    let shown = shown_text(&sent.shown);
    none_in(&shown);
    none_in(&format!("{sent:?}"));
    let uri = STANDARD.encode("https://hooks.example.com/h/***/1");
    assert_eq!(
        shown,
        format!(
            "POST https://api.crm.example/hooks/***?plain=3&q=***\n\
             authorization: Bearer ***\ncontent-type: application/json\nx-all: ***\nx-hash: ***\nx-plan: 3\n\n{}\n",
            json!({
                "target": "https://hooks.example.com/h/***/1",
                "also": "at https://hooks.example.com/h/***/1!",
                "encoded": uri,
                "key": "***",
                "dynamic": "***",
                "plan": 3,
            })
        )
    );
    // And yet it was sent whole.
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(body["key"], APP);
    assert_eq!(body["dynamic"], 3);
    assert_eq!(
        body["target"],
        format!("https://hooks.example.com/h/{TOKEN}/1")
    );
}

#[test]
fn of_an_answer_every_known_secret_is_masked_in_every_encoding() {
    let setting = setting();
    let check = |answer: Answer| {
        let (outcome, shown) = setting.read_answer(&RequestKind::Subscribe, &answer);
        let text = format!("{} {:?}", shown.body.unwrap_or_default(), shown.headers);
        none_in(&text);
        (outcome, text)
    };
    for secret in [CUSTOMER, APP, SIGNING] {
        for form in encodings(secret) {
            let body = json!({"key": SIGNING, "echo": format!("<{form}>"), "list": [{ "a": form.clone() }], (form.clone()): 1});
            let (_, text) = check(answer(201, &[], body.to_string()));
            assert!(text.contains("***"), "{text}");
            // The app's own secret is known only from an answer that holds it where it should.
            if secret != SIGNING {
                check(answer(400, &[], format!("<p>no {form} here")));
                check(answer(400, &[], format!("a={form}&b=1")));
            }
            if let Ok(value) = http::HeaderValue::from_str(&form) {
                let mut answer = answer(201, &[], body.to_string());
                answer.headers.insert("x-echo", value);
                check(answer);
            }
        }
    }
    let uri = format!("https://hooks.example.com/h/{TOKEN}/1");
    let body = json!({"key": SIGNING, "url": uri, "copy": uri}).to_string();
    let (outcome, text) = check(answer(201, &[("location", uri.as_str())], body));
    assert!(text.contains("https://hooks.example.com/h/***/1"), "{text}");
    // What is kept is kept whole, and shown masked.
    let Outcome::Succeeded(findings) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(findings.values["copy"], uri);
    let masker = setting.known(|known| masker(&setting.inputs(), known, None));
    let shown = masker.members(&findings.values);
    assert_eq!(shown["copy"], "https://hooks.example.com/h/***/1");
}

#[test]
fn no_cut_leaves_a_part_of_a_secret() {
    let setting = setting();
    for length in 1_960..2_060 {
        for body in [
            json!({"key": SIGNING, "echo": format!("{}{CUSTOMER}{}", "é".repeat(length / 2), "x".repeat(99))}).to_string(),
            format!("{}{CUSTOMER}", "x".repeat(length)),
        ] {
            let (_, shown) =
                setting.read_answer(&RequestKind::Subscribe, &answer(400, &[("x-echo", "1")], body));
            let text = shown.body.unwrap();
            assert!(text.len() <= 2_048, "{}", text.len());
            assert!(!text.contains("cust"), "{text}");
        }
    }
}

#[test]
fn what_is_named_like_a_secret_is_masked_though_nobody_knows_it() {
    let setting = setting();
    let body = json!({
        "key": SIGNING,
        "access_token": "unknown-1", "clientSecret": "unknown-2", "nested": {"apiKey": {"a": "unknown-3"}, "Password": 4711},
        "authScheme": ["unknown-5"], "set-cookie": "unknown-6",
        "keyword": "shown-1", "monkey": "shown-2", "id": "shown-3", "secret": null,
    });
    let headers = [
        ("set-cookie", "session=unknown-7"),
        ("x-auth-token", "unknown-8"),
        ("www-authenticate", "Bearer unknown-9-abc"),
        ("x-request-id", "shown-4"),
    ];
    let (_, shown) = setting.read_answer(
        &RequestKind::Subscribe,
        &answer(201, &headers, body.to_string()),
    );
    let text = format!("{} {:?}", shown.body.unwrap(), shown.headers);
    assert!(
        !text.contains("unknown-") && !text.contains("4711"),
        "{text}"
    );
    for shown in ["shown-1", "shown-2", "shown-3", "shown-4"] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    for body in [
        "access_token=unknown-1&scope=shown",
        "<response><token>unknown-1</token><id>shown</id></response>",
        "token: unknown-1\nid: shown",
        "{\"id\": \"shown\", \"refresh_token\": \"unknown-1",
        "Authorization: Bearer unknown-1.abc shown",
        "password = 'unknown-1' shown",
    ] {
        let (_, shown) =
            setting.read_answer(&RequestKind::Subscribe, &answer(400, &[], body.to_owned()));
        let text = shown.body.unwrap();
        assert!(!text.contains("unknown-1"), "{text}");
        assert!(text.contains("shown"), "{text}");
    }
}

#[test]
fn an_answer_whose_declared_secret_was_not_found_is_not_shown() {
    let setting = setting();
    let body = json!({"elsewhere": "a-secret-of-the-app"}).to_string();
    let (outcome, shown) = setting.read_answer(
        &RequestKind::Subscribe,
        &answer(200, &[("x-other", "a-secret-of-the-app")], body),
    );
    assert!(in_words(&outcome).starts_with("unknown"));
    assert_eq!(shown.body.as_deref(), Some("***"));
    assert!(shown.headers.is_empty());
}

#[test]
fn a_value_that_an_answer_gave_and_is_named_like_a_secret_is_masked_in_later_requests() {
    let mut setting = Setting::read(
        r#"
subscription:
  prepare: [{name: login, request: {url: "https://a.example/login"}, response: {values: {sessionToken: response.body.t, plain: response.body.p}}}]
  request: {url: "https://a.example/", body: {a: $(steps.login.sessionToken), b: $(steps.login.plain), c: $(steps)}}
"#,
    );
    let login = [
        ("sessionToken".to_owned(), json!("unknown-1")),
        ("plain".into(), json!("shown")),
    ];
    setting.steps.insert("login".into(), login.into());
    let sent = setting.render(&RequestKind::Subscribe).unwrap();
    let body: Value = serde_json::from_str(&sent.shown.body.unwrap()).unwrap();
    assert_eq!(body, json!({"a": "***", "b": "shown", "c": "***"}));
}

#[test]
fn what_is_shown_of_a_request_is_cut_and_at_a_character() {
    let setting = Setting::of_request(
        "{url: 'https://a.example/', text: $(customer.fields.x)}",
        json!({"x": "é".repeat(3_000)}),
    );
    let sent = setting.render(&RequestKind::Subscribe).unwrap();
    let shown = sent.shown.body.unwrap();
    assert!(
        shown.len() <= 2_048 && shown.starts_with("éé") && shown.ends_with('…'),
        "{shown}"
    );
    assert_eq!(sent.body.len(), 6_000);
}
