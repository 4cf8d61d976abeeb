mod registered;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::super::fixtures::{Memory, TOKEN_KEY, apply, configuration, event_type, ingest, open};
use super::super::store::StoreError;
use super::*;
use crate::configuration::{Configuration, RouteEntry};
use crate::event::ObjectName;

/// A handler with some types, and what it stores.
struct Setup {
    ingest: Arc<Ingest>,
    memory: Arc<Memory>,
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

fn types() -> Configuration {
    let schema = json!({"type": "object", "required": ["id"]}).to_string();
    let by_id = json!({"id": "item.id"});
    let token = json!([{"token": {"value": "request.headers[\"x-key\"]", "keys": [{"secretKeyRef": {"name": "shop", "key": "token"}}]}}]);
    let key = |value: Value| json!([{"source": {"secretKeyRef": {"name": "shop", "key": "token"}}, "value": value}]);
    let mut configuration = configuration(vec![
        event_type(
            "plain",
            json!({"authentication": open(), "events": by_id}),
            json!({"schema": schema}),
        ),
        event_type(
            "reject",
            json!({"authentication": open()}),
            json!({"schema": schema, "on_invalid": "Reject"}),
        ),
        event_type(
            "known",
            json!({"authentication": open()}),
            json!({"global_webhook": {"customer": "item.account", "onUnknownCustomer": "Reject"}}),
        ),
        event_type(
            "small",
            json!({"authentication": open(), "maxBodyBytes": 10, "maxEvents": 2, "methods": ["POST", "PUT"]}),
            json!({}),
        ),
        event_type(
            "keyed",
            json!({"authentication": token}),
            json!({"keys": key(json!(b"secret"))}),
        ),
        event_type(
            "keyless",
            json!({"authentication": token}),
            json!({"keys": key(Value::Null)}),
        ),
        event_type(
            "answering",
            json!({
                "authentication": open(),
                "respond": {"status": 200, "headers": {"x-seen": "$(request.method)"}, "text": "thanks"},
                "handshakes": [{
                    "when": "'challenge' in request.query",
                    "respond": {"text": "$(request.query['challenge'][0])"},
                }],
            }),
            json!({}),
        ),
    ]);
    configuration.routes.push(Arc::new(RouteEntry {
        path: "/shop/never-good".into(),
        event_type: ObjectName::new("shop", "never-good"),
    }));
    configuration
}

impl Setup {
    fn new() -> Self {
        Self::with(&types())
    }

    fn with(configuration: &Configuration) -> Self {
        let memory = Memory::new();
        let ingest = ingest(memory.clone(), &Bounds::default());
        apply(&ingest, configuration);
        Self { ingest, memory }
    }

    async fn send(&self, request: request::Builder, body: &[u8]) -> Answered {
        let request = request
            .body(Full::new(Bytes::copy_from_slice(body)))
            .unwrap();
        let peer = IpAddr::from([192, 0, 2, 1]);
        let response = self.ingest.answer(request, peer).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body)
                .unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into()),
        }
    }

    async fn post(&self, uri: &str, body: &[u8]) -> Answered {
        let request = Request::post(uri).header(CONTENT_TYPE, "application/json");
        self.send(request, body).await
    }

    fn last(&self) -> Arc<super::super::request_log::RequestRecord> {
        self.ingest.requests.page(None, 1).items.remove(0)
    }
}

#[tokio::test]
async fn every_case_of_the_table_has_its_answer() {
    let setup = Setup::new();
    let check = async |uri: &str, body: &str, status: u16, outcome: Outcome| {
        let answered = setup.post(uri, body.as_bytes()).await;
        assert_eq!(answered.status, status, "{uri} {body}: {}", answered.body);
        assert_eq!(setup.last().verdict, outcome, "{uri} {body}");
        assert_eq!(answered.headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answered.headers[CACHE_CONTROL], "no-store");
        assert_eq!(
            answered.headers["x-request-id"].to_str().unwrap(),
            setup.last().id
        );
        assert!(!answered.headers.contains_key("server"));
        assert_eq!(
            answered.headers.contains_key(RETRY_AFTER),
            [429, 503].contains(&status)
        );
        if status >= 400 {
            assert_eq!(answered.headers[CONTENT_TYPE], "application/problem+json");
            assert_eq!(answered.body["status"], status);
        }
    };
    check("/shop/plain", r#"{"id": "1"}"#, 202, Outcome::Accepted).await;
    check("/shop/plain", "[]", 202, Outcome::Accepted).await;
    check("/shop/plain", r#"{"no": "id"}"#, 202, Outcome::Accepted).await;
    check("/shop/plain", "{", 400, Outcome::Malformed).await;
    check("/shop/reject", r#"{"no": "id"}"#, 422, Outcome::Rejected).await;
    check("/shop/reject", "{", 400, Outcome::Malformed).await;
    check(
        "/shop/known",
        r#"{"account": "nobody"}"#,
        422,
        Outcome::Rejected,
    )
    .await;
    check(
        "/shop/known",
        r#"{"account": "acme"}"#,
        202,
        Outcome::Accepted,
    )
    .await;
    check("/shop/small", "12345678901", 413, Outcome::TooLarge).await;
    check("/shop/small", "[1,2,3]", 413, Outcome::TooLarge).await;
    check("/shop/keyed", "{}", 401, Outcome::Unauthenticated).await;
    check("/shop/keyless", "{}", 503, Outcome::KeyMissing).await;
    check("/shop/never-good", "{}", 503, Outcome::TypeUnusable).await;
    check("/shop/absent", "{}", 404, Outcome::NotFound).await;
    check("/h/abc", "{}", 404, Outcome::NotFound).await;
    let ours = token::issue(&Sensitive::from(TOKEN_KEY), "shop/other");
    check(&format!("/h/{ours}"), "{}", 503, Outcome::TokenNotHereYet).await;
    check(&format!("/h/{ours}/01"), "{}", 404, Outcome::NotFound).await;
    setup.memory.fail(Some(StoreError::Full));
    check("/shop/plain", r#"{"id": "2"}"#, 503, Outcome::StorageFull).await;
    setup.memory.fail(Some(StoreError::Failed));
    check("/shop/plain", r#"{"id": "2"}"#, 503, Outcome::StorageFailed).await;
    setup.memory.fail(None);
    check("/shop/plain", r#"{"id": "2"}"#, 202, Outcome::Accepted).await;
}

#[tokio::test]
async fn an_accepted_request_is_told_what_became_of_each_item() {
    let setup = Setup::new();
    let body = br#"[{"id": "1"}, {"id": "2"}, {"no": "id"}, {"id": "1"}]"#;
    let answered = setup.post("/shop/plain", body).await;
    assert_eq!(
        answered.body,
        json!({"accepted": 2, "duplicates": 1, "deadLettered": 1, "ids": ["1", "2", null, null]})
    );
    let again = setup.post("/shop/plain", br#"{"id": "2"}"#).await;
    assert_eq!(
        (again.status, again.body),
        (
            202,
            json!({"accepted": 0, "duplicates": 1, "deadLettered": 0, "ids": [null]})
        )
    );
    assert_eq!(setup.memory.stored(), ["1", "2"]);
    let letters = setup.memory.letters.lock().unwrap();
    assert_eq!(
        letters[0].event.data.as_deref(),
        Some(&br#"{"no": "id"}"#[..])
    );
}

#[tokio::test]
async fn a_rejected_request_names_each_bad_event_without_its_values() {
    let setup = Setup::new();
    let body = br#"[{"id": 1}, {"hunter2": "hunter2"}, "hunter2"]"#;
    let answered = setup.post("/shop/reject", body).await;
    assert_eq!(answered.status, 422);
    let errors = answered.body["errors"].as_array().unwrap();
    let indexes: Vec<_> = errors
        .iter()
        .map(|error| error["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes, [1, 2]);
    assert_eq!(errors[0]["reasons"][0]["code"], "SchemaViolation");
    assert!(
        !answered.body.to_string().contains("hunter2"),
        "{}",
        answered.body
    );
    assert!(!setup.last().detail.as_deref().unwrap().contains("hunter2"));
    assert!(setup.memory.stored().is_empty());
}

#[tokio::test]
async fn methods_are_told_and_handshakes_take_any() {
    let setup = Setup::new();
    let check = async |method: &str, uri: &str, status: u16, allow: Option<&str>| {
        let answered = setup
            .send(Request::builder().method(method).uri(uri), b"")
            .await;
        assert_eq!(answered.status, status, "{method} {uri}");
        let told = answered
            .headers
            .get(ALLOW)
            .map(|value| value.to_str().unwrap());
        assert_eq!(told, allow, "{method} {uri}");
    };
    check("GET", "/shop/small", 405, Some("POST, PUT")).await;
    check("PUT", "/shop/small", 202, None).await;
    check(
        "HEAD",
        "/shop/plain",
        405,
        Some("GET, POST, PUT, PATCH, DELETE"),
    )
    .await;
    check(
        "OPTIONS",
        "/shop/plain",
        405,
        Some("GET, POST, PUT, PATCH, DELETE"),
    )
    .await;
    check("PATCH", "/shop/plain", 202, None).await;
    check("OPTIONS", "/shop/answering?challenge=x", 200, None).await;
    check("HEAD", "/shop/absent", 404, None).await;
}

#[tokio::test]
async fn a_types_own_answers_go_out_as_declared() {
    let setup = Setup::new();
    let answered = setup.post("/shop/answering", b"{}").await;
    assert_eq!((answered.status, answered.body), (200, json!("thanks")));
    assert_eq!(answered.headers["x-seen"], "POST");
    let shaken = setup.post("/shop/answering?challenge=a%20b", b"").await;
    assert_eq!((shaken.status, shaken.body), (200, json!("a b")));
    assert_eq!(setup.last().verdict, Outcome::Handshake);
}

#[tokio::test]
async fn only_the_exact_path_is_a_webhook() {
    let setup = Setup::new();
    let check = async |path: &str, status: u16| {
        let answered = setup.post(path, br#"{"id": "1"}"#).await;
        assert_eq!(answered.status, status, "{path}");
    };
    check("/shop/plain", 202).await;
    check("/shop/%70lain?x=1", 202).await;
    check("http://anything.example/shop/plain", 202).await;
    for path in [
        "/",
        "//shop/plain",
        "/shop//plain",
        "/shop/plain/",
        "/shop/plain/.",
        "/shop/./plain",
        "/x/../shop/plain",
        "/shop/x/%2e%2e/plain",
        "/shop%2fplain",
        "/shop%2Fplain",
        "/Shop/plain",
        "/shop/PLAIN",
        "/shop/plain;a=b",
        "/shop/plain%00",
        "/shop/plain%20",
        "/shop/plain%",
        "/%",
        "/shop\\plain",
        "/shop/%5cplain",
        "/shop/%2570lain",
        "/shop/plain%3Fx",
        "/shop",
        "/h/",
        "/h",
    ] {
        check(path, 404).await;
    }
}

#[tokio::test]
async fn without_a_configuration_everything_is_to_come_again() {
    let memory = Memory::new();
    let setup = Setup {
        ingest: ingest(memory.clone(), &Bounds::default()),
        memory,
    };
    let answered = setup.post("/anything", b"{}").await;
    assert_eq!(answered.status, 503);
    assert!(answered.headers.contains_key(RETRY_AFTER));
    assert_eq!(setup.last().verdict, Outcome::NotConfigured);
}

#[tokio::test]
async fn more_requests_a_second_than_declared_are_told_when_to_come_again() {
    let mut configuration = types();
    configuration.gateway.requests_per_second = Some(3);
    let setup = Setup::with(&configuration);
    for _ in 0..3 {
        assert_eq!(setup.post("/shop/small", b"1").await.status, 202);
    }
    let refused = setup.post("/shop/small", b"1").await;
    assert_eq!(
        (refused.status, &refused.headers[RETRY_AFTER]),
        (429, &"1".parse().unwrap())
    );
    assert_eq!(setup.post("/shop/absent", b"1").await.status, 404);
}

#[tokio::test]
async fn clients_behind_a_proxy_have_half_of_the_requests_each() {
    let setup = Setup::new();
    setup.ingest.open.resize(4);
    setup.memory.gate.forget_permits(Semaphore::MAX_PERMITS);
    let send = |client: &'static str| {
        let ingest = Arc::clone(&setup.ingest);
        tokio::spawn(async move {
            let request = Request::post("/shop/plain")
                .header("x-forwarded-for", client)
                .body(Full::new(Bytes::from_static(b"{\"id\": \"1\", \"x\": 1}")))
                .unwrap();
            ingest
                .answer(request, IpAddr::from([10, 0, 0, 1]))
                .await
                .status()
                .as_u16()
        })
    };
    let open = [
        send("203.0.113.1"),
        send("203.0.113.1"),
        send("203.0.113.2"),
    ];
    while setup.ingest.open.taken() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(send("203.0.113.1").await.unwrap(), 429);
    let last = send("203.0.113.2");
    while setup.ingest.open.taken() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(send("203.0.113.3").await.unwrap(), 503);
    setup.memory.gate.add_permits(10);
    for request in open.into_iter().chain([last]) {
        assert_eq!(request.await.unwrap(), 202);
    }
    assert_eq!(setup.ingest.open.taken(), 0);
}

#[tokio::test]
async fn a_panic_ends_one_request() {
    struct Panics;
    impl Body for Panics {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            panic!("for the test")
        }
    }
    let setup = Setup::new();
    let request = Request::post("/shop/plain")
        .header(EXPECT, "100-continue")
        .body(Panics)
        .unwrap();
    let response = setup
        .ingest
        .answer(request, IpAddr::from([192, 0, 2, 1]))
        .await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert_eq!(setup.last().verdict, Outcome::Failed);
    assert_eq!(
        setup.post("/shop/plain", b"{\"id\": \"1\"}").await.status,
        202
    );
    assert_eq!(setup.ingest.open.taken(), 0);
}

#[tokio::test]
async fn what_is_written_down_holds_names_and_no_values() {
    let setup = Setup::new();
    let ours = token::issue(&Sensitive::from(TOKEN_KEY), "shop/other");
    let request = Request::post(format!("/h/{ours}?q=hunter2&hunter2")).header("x-key", "hunter2");
    setup.send(request, b"hunter2").await;
    let shown = serde_json::to_string(&*setup.last()).unwrap();
    assert!(
        !shown.contains("hunter2") && !shown.contains(&ours),
        "{shown}"
    );
    let request = Request::post("/shop/keyed?q=hunter2").header("x-key", "hunter2");
    setup.send(request, b"hunter2").await;
    let record = setup.last();
    let shown = serde_json::to_string(&*record).unwrap();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        record
            .detail
            .as_deref()
            .unwrap()
            .starts_with("authentication[0].token"),
        "{shown}"
    );
    assert_eq!(record.event_type, Some(ObjectName::new("shop", "keyed")));
    assert_eq!(
        (record.query.as_slice(), record.body_bytes),
        (&["q".to_owned()][..], 7)
    );
}

#[tokio::test]
async fn a_client_that_goes_away_is_written_down_too() {
    let setup = Setup::new();
    setup.memory.gate.forget_permits(Semaphore::MAX_PERMITS);
    let ingest = Arc::clone(&setup.ingest);
    let request = tokio::spawn(async move {
        let request = Request::post("/shop/plain")
            .body(Full::new(Bytes::from("{\"id\":\"1\"}")))
            .unwrap();
        ingest.answer(request, IpAddr::from([192, 0, 2, 1])).await
    });
    while setup.ingest.open.taken() == 0 {
        tokio::task::yield_now().await;
    }
    request.abort();
    assert!(request.await.is_err());
    assert_eq!(
        (setup.last().verdict, setup.last().status),
        (Outcome::Abandoned, None)
    );
    assert_eq!(setup.ingest.open.taken(), 0);
}

#[tokio::test]
async fn a_large_body_is_judged_all_the_same() {
    let setup = Setup::new();
    let body = json!({"id": "1", "text": "x".repeat(100_000)}).to_string();
    assert_eq!(setup.post("/shop/plain", body.as_bytes()).await.status, 202);
    assert_eq!(
        setup.memory.events.lock().unwrap()[0].data.as_deref(),
        Some(body.as_bytes())
    );
    assert_eq!(setup.ingest.memory.used(), 0);
}
