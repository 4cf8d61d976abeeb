//! No secret anywhere: what stands in Secrets, what an app sends to prove itself, and the token of
//! an unguessable URI appear in no log line, answer, metric and file outside `secrets/`, in none of
//! six encodings, whatever goes right or wrong. The table at start alone shows the URI.

mod manifests;
pub mod search;

use std::path::Path;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::json;

use self::manifests::{broken, manifests};
use self::search::{
    APP_FIELD, HMAC, IN_QUERY, JWT, PASSWORD, SINK_HEADER, Search, TOKEN, WEBHOOKS, secrets,
};
use crate::support::app::{hmac_sha256_base64, hmac_sha256_hex, token};
use crate::support::command::tidegate;
use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::{Answer, Sink};

/// Types that a good request is sent to.
const TYPES: usize = 9;

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
        sink.at("/good").len() >= TYPES
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
        letters["items"].as_array().unwrap().len() >= 3 * TYPES
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

/// What came back from somewhere, and from where.
type Heard = Vec<(String, Vec<u8>)>;

async fn listen(heard: &mut Heard, place: &str, request: reqwest::RequestBuilder) -> StatusCode {
    let mut answer = None;
    // A connection may break off before a body that is too large has gone out.
    eventually(&format!("{place} answers"), async || {
        answer = request.try_clone().unwrap().send().await.ok();
        answer.is_some()
    })
    .await;
    let answer = answer.unwrap();
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
    let basic = STANDARD.encode(format!("app:{PASSWORD}"));
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
        let basic = STANDARD.encode(format!("{secret}:{secret}"));
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
    // What these check depends on the body.
    let now = Timestamp::now().as_second();
    let key = STANDARD.decode(&WEBHOOKS["whsec_".len()..]).unwrap();
    let signed = hmac_sha256_base64(&key, format!("msg-{id}.{now}.{body}").as_bytes());
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        format!("{HMAC}{body}").as_bytes(),
    );
    for (good, expected) in [
        (true, StatusCode::ACCEPTED),
        (false, StatusCode::UNAUTHORIZED),
    ] {
        let wrong = if good { "" } else { "x" };
        let request = dev
            .client
            .post(dev.url("/default/webhooks"))
            .header("content-type", "application/json")
            .header("webhook-id", format!("msg-{id}"))
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", format!("v1,{wrong}{signed}"));
        assert_eq!(
            listen(heard, "webhooks", request.body(body.clone())).await,
            expected
        );
        let request = dev
            .client
            .post(dev.url("/default/digest"))
            .header("content-type", "application/json")
            .header("x-signature", format!("{wrong}{}", hex::encode(digest)));
        assert_eq!(
            listen(heard, "digest", request.body(body.clone())).await,
            expected
        );
    }
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
