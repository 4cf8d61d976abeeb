//! No secret anywhere: what stands in Secrets, what an app sends to prove itself, and the token of
//! an unguessable URI appear in no log line, answer, metric and file outside `secrets/`, in none of
//! six encodings, whatever goes right or wrong. The table at start alone shows the URI.

use std::path::Path;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::json;

use crate::support::app::{hmac_sha256_hex, token};
use crate::support::command::tidegate;
use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::{Answer, Sink};

// Each looks different in each encoding. Those that travel in headers are ASCII.
const HMAC: &str = r#"hm>?"ac\/é&=%+-key-1"#;
const WEBHOOKS: &str = "whsec_c3Q/Pj4+c3RhbmRhcmQ/Pz4+d2ViaG9va3M+Pj8/a2V5";
const TOKEN: &str = r#"to>?~ken"\/&=%+-2"#;
const PASSWORD: &str = r#"pass>?~word"\/&=%+-3"#;
const JWT: &str = r#"jwt>?~key"\/&=%+-4-at-least-thirty-two-bytes-long"#;
const IN_QUERY: &str = r#"query>?~key"\/&=%+-5"#;
const APP_FIELD: &str = r#"app>?~field"\/&=%+-6"#;
const SINK_HEADER: &str = r#"sink>?~header"\/&=%+-7"#;
const SIGNING: &str = "whsec_c2lnbmluZz8/Pj4+Pz8/c2luaz4+Pj4/Pz8+a2V5PT4/";
const CUSTOMER_FIELD: &str = r#"cust>?~field"\/é&=%+-8"#;
const UNUSED: &str = r#"un>?used"\/é&=%+-9"#;
const BROKEN: &str = "bro>?~ken=/&%+-10";
const NUMBER: &str = "8364917304651827";
const TIME: &str = "1987-06-05";

fn secrets() -> Vec<(&'static str, Vec<u8>)> {
    let mut secrets: Vec<(&str, Vec<u8>)> = [
        ("the HMAC key", HMAC),
        ("the Standard Webhooks key", WEBHOOKS),
        ("the token", TOKEN),
        ("the password", PASSWORD),
        ("the JWT key", JWT),
        ("the key in the query", IN_QUERY),
        ("the app's field", APP_FIELD),
        ("the sink's header", SINK_HEADER),
        ("the sink's signing key", SIGNING),
        ("the customer's field", CUSTOMER_FIELD),
        ("the unused one", UNUSED),
        ("the one in broken manifests", BROKEN),
        ("the one that YAML reads as a number", NUMBER),
        ("the one that YAML reads as a time", TIME),
    ]
    .map(|(name, value)| (name, value.as_bytes().to_vec()))
    .into();
    for (name, key) in [
        ("the Standard Webhooks key's bytes", WEBHOOKS),
        ("the signing key's bytes", SIGNING),
    ] {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(&key["whsec_".len()..])
            .unwrap();
        secrets.push((name, bytes));
    }
    secrets
}

/// How a value may look: plain, and in five encodings in the forms that they have.
fn encodings(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![value.to_vec()];
    // In the middle of something longer, base64 has one of three alignments.
    for offset in 0..3 {
        let shifted = [&vec![b'x'; offset][..], value].concat();
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&shifted);
            let whole = shifted.len() / 3 * 4;
            all.push(encoded[[0, 2, 3][offset]..whole].into());
        }
    }
    let percent = percent_encode(value, NON_ALPHANUMERIC).to_string();
    all.push(percent.to_lowercase().into());
    all.push(percent.into());
    all.push(
        form_urlencoded::byte_serialize(value)
            .collect::<String>()
            .into(),
    );
    all.push(hex::encode(value).into());
    all.push(hex::encode_upper(value).into());
    if let Ok(text) = std::str::from_utf8(value) {
        let json = json!(text).to_string();
        all.push(json.trim_matches('"').into());
        let json = &json[1..json.len() - 1];
        all.push(json.into());
        // Some escape the slash, too, and everything that is not ASCII.
        all.push(json.replace('/', "\\/").replace('é', "\\u00e9").into());
        all.push(format!("{text:?}")[1..].trim_end_matches('"').into());
    }
    all.sort();
    all.dedup();
    all
}

/// Finds a value in what was collected.
struct Search {
    needles: Vec<(&'static str, regex::bytes::Regex)>,
}

impl Search {
    fn new(secrets: &[(&'static str, Vec<u8>)]) -> Self {
        let needles = secrets.iter().map(|(name, value)| {
            let forms = encodings(value).into_iter().map(|form| {
                form.iter()
                    .map(|byte| format!("\\x{byte:02x}"))
                    .collect::<String>()
            });
            let pattern = format!("(?-u){}", forms.collect::<Vec<_>>().join("|"));
            (
                *name,
                regex::bytes::RegexBuilder::new(&pattern)
                    .size_limit(64 << 20)
                    .build()
                    .unwrap(),
            )
        });
        Self {
            needles: needles.collect(),
        }
    }

    /// The names of the secrets that are in `text`, and what surrounds each.
    fn found(&self, text: &[u8]) -> Vec<(&'static str, String)> {
        let found = self.needles.iter().filter_map(|(name, pattern)| {
            let hit = pattern.find(text)?;
            let around = &text[hit.start().saturating_sub(120)..(hit.end() + 40).min(text.len())];
            Some((*name, String::from_utf8_lossy(around).into_owned()))
        });
        found.collect()
    }

    fn none_in(&self, place: &str, text: &[u8]) {
        let found = self.found(text);
        assert!(found.is_empty(), "{place}: {found:#?}");
    }
}

fn yaml(text: &str) -> String {
    // A JSON string is a YAML string.
    json!(text).to_string()
}

fn manifests(sink: &Sink, refusing: &str) -> String {
    let mut text = format!(
        r#"
apiVersion: v1
kind: Secret
metadata: {{name: app}}
stringData:
  hmac: {}
  webhooks: {}
  token: {}
  password: {}
  jwt: {}
  query: {}
  header: {}
  signing: {}
  unused: {}
---
apiVersion: v1
kind: Secret
metadata: {{name: fields}}
stringData: {{field: {}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: of-the-customer}}
stringData: {{password: {}}}
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {{name: acme}}
spec: {{fieldsFrom: [{{secretRef: {{name: of-the-customer}}}}]}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventGateway
metadata: {{name: default, namespace: tidegate}}
spec: {{publicUrl: "https://hooks.example.com", storage: {{size: 32Mi}}}}
"#,
        yaml(HMAC),
        yaml(WEBHOOKS),
        yaml(TOKEN),
        yaml(PASSWORD),
        yaml(JWT),
        yaml(IN_QUERY),
        yaml(SINK_HEADER),
        yaml(SIGNING),
        yaml(UNUSED),
        yaml(APP_FIELD),
        yaml(CUSTOMER_FIELD),
    );
    let key = |key: &str| format!("keys: [{{secretKeyRef: {{name: app, key: {key}}}}}]");
    for (name, authentication) in [
        (
            "hmac",
            format!(
                "hmac: {{{}, signature: 'request.headers[\"x-signature\"]'}}",
                key("hmac")
            ),
        ),
        (
            "digest",
            format!(
                "digest: {{{}, algorithm: SHA256, signature: 'request.headers[\"x-signature\"]'}}",
                key("hmac")
            ),
        ),
        (
            "webhooks",
            format!("standardWebhooks: {{{}}}", key("webhooks")),
        ),
        ("token", format!("token: {{{}}}", key("token"))),
        (
            "basic",
            "basic: {username: app, passwords: [{secretKeyRef: {name: app, key: password}}]}"
                .to_owned(),
        ),
        (
            "jwt",
            format!(
                "jwt: {{{}, algorithms: [HS256], requireExpiry: false}}",
                key("jwt")
            ),
        ),
        (
            "query",
            format!(
                "token: {{{}, value: 'request.query[\"key\"][0]'}}",
                key("query")
            ),
        ),
        ("field", "token: {keys: [{appField: field}]}".to_owned()),
        ("unguessable", format!("token: {{{}}}", key("token"))),
    ] {
        let path = if name == "unguessable" {
            String::new()
        } else {
            format!("path: {name}, ")
        };
        text += &format!(
            r#"---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: {name}}}
spec:
  schema: {{type: object, required: [id], properties: {{id: {{type: string, maxLength: 8}}}}, additionalProperties: false}}
  onInvalid: {}
  app: {{fieldsFrom: [{{secretRef: {{name: fields}}}}]}}
  webhook:
    authentication: [{{{authentication}}}]
    events: {{id: item.id}}
  globalWebhook: {{{path}customer: '"acme"'}}
---
"#,
            if name == "hmac" {
                "DeadLetter"
            } else {
                "Reject"
            }
        );
        let sinks = [
            ("good", sink.url("/good")),
            ("failing", sink.url("/failing")),
            ("refused", sink.url("/refused")),
            ("nobody", refusing.to_owned()),
        ];
        for (kind, uri) in sinks {
            text += &format!(
                r#"---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: {name}-{kind}}}
spec:
  eventTypeRef: {{name: {name}}}
  sink:
    uri: "{uri}"
    headers: {{X-Api-Key: {{valueFrom: {{secretKeyRef: {{name: app, key: header}}}}}}}}
    signing: {{secretKeyRef: {{name: app, key: signing}}}}
  delivery: {{maxAttempts: 3, backoff: {{initial: 50ms, max: 100ms}}}}
"#
            );
        }
    }
    text
}

/// What came back from somewhere, and from where.
type Heard = Vec<(String, Vec<u8>)>;

async fn listen(heard: &mut Heard, place: &str, request: reqwest::RequestBuilder) -> StatusCode {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let mut text = format!("{status} {:?}\n", answer.headers()).into_bytes();
    text.extend_from_slice(&answer.bytes().await.unwrap());
    heard.push((place.to_owned(), text));
    status
}

/// A good request to every type, and a number of bad ones that carry the secrets.
async fn requests(dev: &Dev, heard: &mut Heard, unguessable: &str, id: &str) {
    let body = format!(r#"{{"id": "{id}"}}"#);
    let signature = hmac_sha256_hex(HMAC, body.as_bytes());
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("app:{PASSWORD}"));
    let web_token = token(
        "HS256",
        Some((aws_lc_rs::hmac::HMAC_SHA256, JWT)),
        &json!({"sub": "app"}),
    );
    let query: String = form_urlencoded::byte_serialize(IN_QUERY.as_bytes()).collect();
    let good = [
        ("/default/hmac".to_owned(), "x-signature", signature.clone()),
        (
            "/default/token".to_owned(),
            "authorization",
            format!("Bearer {TOKEN}"),
        ),
        (
            "/default/basic".to_owned(),
            "authorization",
            format!("Basic {basic}"),
        ),
        (
            "/default/jwt".to_owned(),
            "authorization",
            format!("Bearer {web_token}"),
        ),
        (
            format!("/default/query?key={query}"),
            "x-nothing",
            String::new(),
        ),
        (
            "/default/field".to_owned(),
            "authorization",
            format!("Bearer {APP_FIELD}"),
        ),
        (
            unguessable.to_owned(),
            "authorization",
            format!("Bearer {TOKEN}"),
        ),
    ];
    // A key or a name of a member that is a secret: these types refuse, so that nothing is stored.
    let telling =
        [TOKEN, PASSWORD, JWT].map(|secret| json!({"id": secret, secret: [secret]}).to_string());
    for (path, header, value) in &good {
        let post = |body: &str| {
            let request = dev
                .client
                .post(dev.url(path))
                .header("content-type", "application/json");
            request.body(body.to_owned())
        };
        let name = path.split('?').next().unwrap();
        let status = listen(heard, name, post(&body).header(*header, value)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{name}");
        if name != "/default/hmac" {
            for telling in &telling {
                let status = listen(heard, name, post(telling).header(*header, value)).await;
                assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
            }
            let status = listen(heard, name, post(&telling[0][1..]).header(*header, value)).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{name}");
        }
        // Nearly right, at the wrong place, twice, by another method, too large.
        listen(
            heard,
            name,
            post(&body).header(*header, format!("{value}x")),
        )
        .await;
        listen(heard, name, post(&body).header("x-other", value)).await;
        listen(
            heard,
            name,
            post(&body).header(*header, value).header(*header, value),
        )
        .await;
        listen(
            heard,
            name,
            dev.client.delete(dev.url(path)).header(*header, value),
        )
        .await;
        listen(
            heard,
            name,
            post(&" ".repeat(2 << 20)).header(*header, value),
        )
        .await;
    }
    for secret in [TOKEN, IN_QUERY, PASSWORD] {
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        // As values: the names of parameters are the stranger's own words, and noted.
        for path in ["/default/hmac", "/default/token"] {
            let url = dev.url(&format!("{path}?x={encoded}&y={encoded}"));
            assert_eq!(
                listen(heard, "a query", dev.client.post(url).body("{}")).await,
                StatusCode::UNAUTHORIZED
            );
        }
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{secret}:{secret}"));
        let request = dev
            .client
            .post(dev.url("/default/basic"))
            .header("authorization", format!("Basic {basic}"));
        assert_eq!(
            listen(heard, "a wrong user", request.body("{}")).await,
            StatusCode::UNAUTHORIZED
        );
    }
    for path in ["x", "/1", "?x=1"] {
        listen(
            heard,
            "beside the URI",
            dev.client
                .post(dev.url(&format!("{unguessable}{path}")))
                .body("{}"),
        )
        .await;
    }
    let request = dev.client.post(dev.url("/default/webhooks"));
    let request = request
        .header("webhook-id", "1")
        .header("webhook-timestamp", "1")
        .header("webhook-signature", "v1,x");
    assert_eq!(
        listen(heard, "webhooks", request.body("{}")).await,
        StatusCode::UNAUTHORIZED
    );
    let request = dev
        .client
        .post(dev.url("/default/digest"))
        .header("x-signature", signature);
    assert_eq!(
        listen(heard, "digest", request.body("{}")).await,
        StatusCode::UNAUTHORIZED
    );
}

async fn admin(dev: &Dev, heard: &mut Heard) {
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/v1/requests?limit=1000",
        "/v1/events?limit=1000",
        "/v1/dead-letters?limit=1000",
        "/v1/subscriptions",
        "/v1/event-types",
        "/v1/replays",
        "/v1/nothing",
    ] {
        listen(heard, path, dev.client.get(dev.admin_url(path))).await;
    }
    let letters = dev.admin("/v1/dead-letters?limit=1000").await;
    let letters = letters["items"].as_array().unwrap();
    assert!(!letters.is_empty(), "sinks refuse");
    for letter in letters {
        let path = format!(
            "/v1/dead-letters/{}",
            letter["deadLetter"].as_str().unwrap()
        );
        listen(heard, &path, dev.client.get(dev.admin_url(&path))).await;
    }
}

/// Every file of the data folder but those in `secrets/`.
fn files(folder: &Path, search: &Search) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("secrets") {
                count += files(&path, search);
            }
            continue;
        }
        search.none_in(&path.display().to_string(), &std::fs::read(&path).unwrap());
        count += 1;
    }
    count
}

/// Manifests that are wrong and hold a secret, each with what is told of them.
fn broken() -> Vec<(&'static str, String)> {
    let secret =
        |rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: broken}}\n{rest}\n");
    vec![
        (
            "not-closed",
            secret(&format!("stringData: {{key: \"{BROKEN}")),
        ),
        (
            "a-list",
            secret(&format!("stringData: {{key: [\"{BROKEN}\"]}}")),
        ),
        (
            "not-base64",
            secret(&format!("data: {{key: \"{BROKEN}\"}}")),
        ),
        (
            "a-number",
            secret(&format!("stringData: {{key: {NUMBER}}}")),
        ),
        (
            "numbers",
            secret(&format!(
                "data: {{key: {NUMBER}}}\nstringData: {{key: [{TIME}, -{NUMBER}]}}"
            )),
        ),
        (
            "a-document",
            secret(&format!("stringData: {{key: x}}\n---\n{BROKEN}")),
        ),
        (
            "below-nothing",
            secret(&format!("stringData:\n  key: x\n    {BROKEN}: {BROKEN}")),
        ),
        (
            "an-anchor",
            secret(&format!("stringData: {{key: *{NUMBER}}}")),
        ),
        (
            "twice",
            secret(&format!(
                "stringData: {{key: \"{BROKEN}\", key: \"{BROKEN}\"}}"
            )),
        ),
        (
            "another-field",
            secret(&format!("stringdata: {{key: \"{BROKEN}\"}}")),
        ),
        ("plain-text", secret(&format!("stringData: \"{BROKEN}\""))),
        (
            "a-type",
            secret(&format!("type: [\"{BROKEN}\"]\nstringData: {{key: x}}")),
        ),
        (
            "a-header",
            secret(&format!("stringData: {{key: \"{BROKEN}\\n{BROKEN}\"}}"))
                + "---\napiVersion: tidegate.dev/v1alpha1\nkind: EventSubscription\nmetadata: {name: broken}\nspec:\n  \
                   eventTypeRef: {name: hmac}\n  sink: {uri: \"http://127.0.0.1:9/\", headers: {X-A: {valueFrom: \
                   {secretKeyRef: {name: broken, key: key}}}}, signing: {secretKeyRef: {name: broken, key: key}}}\n",
        ),
        (
            "a-key",
            secret(&format!("stringData: {{key: \"{BROKEN}\"}}"))
                + "---\napiVersion: tidegate.dev/v1alpha1\nkind: AppEventType\nmetadata: {name: broken}\nspec:\n  \
                   schema: {type: object}\n  webhook:\n    authentication:\n    - jwt: {keys: [{secretKeyRef: {name: \
                   broken, key: key}}], algorithms: [RS256]}\n    - hmac: {keys: [{secretKeyRef: {name: broken, key: \
                   key}}], keyEncoding: Hex, signature: request.headers.x}\n  globalWebhook: {path: broken}\n",
        ),
    ]
}

#[test]
fn the_search_finds_a_secret_in_each_encoding() {
    let secrets = secrets();
    let search = Search::new(&secrets);
    for (name, value) in &secrets {
        for form in encodings(value) {
            let text = [b"before ", &form[..], b" after"].concat();
            let found = search.found(&text);
            assert!(
                found.iter().any(|(other, _)| other == name),
                "{name} as {form:?}"
            );
        }
        let credentials = [b"user:", &value[..], b":more"].concat();
        let credentials = STANDARD_NO_PAD.encode(credentials);
        assert!(
            search
                .found(credentials.as_bytes())
                .iter()
                .any(|(other, _)| other == name),
            "{name}"
        );
    }
    assert!(search.found(b"nothing of interest").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_logs_answers_metrics_and_files() {
    let sink = Sink::start().await;
    sink.answer(
        "/failing",
        Answer::Status(StatusCode::INTERNAL_SERVER_ERROR),
    );
    sink.answer("/refused", Answer::Status(StatusCode::BAD_REQUEST));
    let mut dev = Dev::start_logging(&manifests(&sink, "http://127.0.0.1:9/nobody"), "trace").await;
    eventually("the table is printed", async || {
        dev.output().contains("default/unguessable-nobody ")
    })
    .await;
    let table = dev.output();
    let line = table
        .lines()
        .find(|line| line.contains("default/unguessable "))
        .unwrap_or_else(|| panic!("{table}"));
    let uri = line
        .split_whitespace()
        .find(|word| word.starts_with("http"))
        .unwrap();
    let unguessable = uri
        .strip_prefix("https://hooks.example.com")
        .unwrap()
        .to_owned();
    let uri_token = unguessable.rsplit('/').next().unwrap().to_owned();
    assert!(uri_token.len() >= 20, "{uri}");

    let mut secrets = secrets();
    let search = Search::new(&secrets);
    let mut heard = Heard::new();
    requests(&dev, &mut heard, &unguessable, "e-1").await;
    eventually("the good sink has everything", async || {
        sink.at("/good").len() >= 7
    })
    .await;
    let with_header = sink.at("/good");
    let header = with_header[0].headers["x-api-key"].as_bytes();
    assert_eq!(
        header,
        SINK_HEADER.as_bytes(),
        "the secrets are the ones in use"
    );
    eventually("the failing sinks are given up", async || {
        let letters = dev.admin("/v1/dead-letters?limit=1000").await;
        letters["items"].as_array().unwrap().len() >= 3 * 7
    })
    .await;
    admin(&dev, &mut heard).await;

    for (name, text) in broken() {
        let file = format!("{name}.yaml");
        let path = dev.manifests.join(&file);
        dev.edit(&file, &text);
        let ran = tidegate(&["check", path.to_str().unwrap()]);
        assert_ne!(ran.code, 2, "{name}: {ran:?}");
        heard.push((
            format!("check of {name}"),
            format!("{}{}", ran.stdout, ran.stderr).into_bytes(),
        ));
        if name == "a-key" {
            // Whether a key is one shows when it is used.
            let request = || {
                dev.client
                    .post(dev.url("/default/broken"))
                    .header("x", "00")
                    .body("{}")
            };
            eventually("it is served", async || {
                request().send().await.unwrap().status() != StatusCode::NOT_FOUND
            })
            .await;
            let status = listen(&mut heard, name, request().bearer_auth("a.b.c")).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "a fault of ours");
        } else {
            assert!(
                ran.code == 1 && ran.stdout.contains(&file),
                "{name}: {ran:?}"
            );
            eventually(&format!("{name} is told"), async || {
                dev.output().contains(&file)
            })
            .await;
        }
        std::fs::remove_file(path).unwrap();
    }
    let whole = tidegate(&["check", "--effective", dev.manifests.to_str().unwrap()]);
    assert_eq!(whole.code, 0, "{whole:?}");
    heard.push((
        "check --effective".to_owned(),
        format!("{}{}", whole.stdout, whole.stderr).into_bytes(),
    ));

    dev.kill();
    dev.run().await;
    requests(&dev, &mut heard, &unguessable, "e-2").await;
    admin(&dev, &mut heard).await;
    assert!(dev.stop().await.success());
    dev.run().await;
    admin(&dev, &mut heard).await;
    assert!(dev.stop().await.success());

    let output = dev.output();
    assert!(
        output.contains("/default/hmac") && output.contains("TRACE"),
        "it logs"
    );
    search.none_in("the log", output.as_bytes());
    for (place, text) in &heard {
        search.none_in(place, text);
    }
    assert!(
        files(&dev.data, &search) >= 4,
        "log, dead letters, state, lock"
    );
    let checked = heard
        .iter()
        .filter(|(place, _)| place.starts_with("/v1/dead-letters/"))
        .count();
    assert!(checked > 20, "{checked}");

    // The URI's token: in the table of each of the three starts, and nowhere else.
    secrets.clear();
    secrets.push(("the URI's token", uri_token.into_bytes()));
    let search = Search::new(&secrets);
    let (tables, rest): (Vec<&str>, Vec<&str>) = output
        .lines()
        .partition(|line| line.starts_with("  default/unguessable "));
    assert_eq!(tables.len(), 3, "{tables:?}");
    search.none_in("the log", rest.join("\n").as_bytes());
    for (place, text) in &heard {
        search.none_in(place, text);
    }
    files(&dev.data, &search);
}
