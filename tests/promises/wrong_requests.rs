//! The right answer to everything wrong: whatever comes in, it gets the answer that the design
//! gives it, nothing panics, and a good request right after it is served.
//!
//! Everything goes over real sockets, written byte by byte, because HTTP clients would not send
//! most of this. Time limits are shortened; no test measures how long something took.

mod memory;
mod registrations;
mod server;
mod wire;

use std::io::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use tidegate::gateway::Bounds;
use tokio::io::AsyncWriteExt as _;

use crate::support::eventually;
use server::{Server, signature, signed_at};
use wire::{Connection, Request};

/// Limits short enough for clients that have to run into them, and long enough for good clients on
/// a busy machine.
fn impatient() -> Bounds {
    Bounds {
        header_timeout: Duration::from_secs(8),
        body_timeout: Duration::from_secs(10),
        body_grace: Duration::from_secs(5),
        body_bytes_per_second: 1_000,
        idle_timeout: Duration::from_secs(20),
        ..Bounds::default()
    }
}

/// Sends `request`, expects `status`, and then that a good request is served: on the same
/// connection where the server keeps it, and on a new one.
async fn check(server: &Server, name: &str, request: Request, status: u16) -> wire::Response {
    let mut connection = server.connect().await;
    connection.send(&request.bytes()).await;
    let response = connection
        .response()
        .await
        .unwrap_or_else(|| panic!("{name}: no answer"));
    assert_eq!(response.status, status, "{name}: {}", response.body);
    assert!(
        response.status < 500 || response.header("retry-after").is_some(),
        "{name}"
    );
    if response.header("connection") != Some("close") {
        connection.send(&server.good().bytes()).await;
        let next = connection
            .response()
            .await
            .unwrap_or_else(|| panic!("{name}: not kept alive"));
        assert_eq!(next.status, 202, "right after {name}: {}", next.body);
    }
    serves(server, name).await;
    response
}

async fn serves(server: &Server, name: &str) {
    let mut connection = server.connect().await;
    connection.send(&server.good().bytes()).await;
    let response = connection
        .response()
        .await
        .unwrap_or_else(|| panic!("after {name}: no answer"));
    assert_eq!(response.status, 202, "after {name}: {}", response.body);
}

/// A signed request whose headers can be spoilt.
fn signed(body: impl Into<Vec<u8>>) -> Request {
    let body = body.into();
    Request::post("/shop/signed")
        .header("x-signature", &signature(&body))
        .body(body)
}

fn with_signature(value: &str) -> Request {
    Request::post("/shop/signed")
        .header("x-signature", value)
        .body(*b"{\"id\": \"1\"}")
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_signatures_are_401() {
    let server = Server::start(Bounds::default()).await;
    let body = br#"{"id": "1"}"#;
    let right = signature(body);
    let none = Request::post("/shop/signed").body(*body);
    for (name, request) in [
        ("no signature", none.clone()),
        ("an empty signature", with_signature("")),
        ("a prefix alone", with_signature("sha256=")),
        (
            "a signature without its prefix",
            with_signature(&right["sha256=".len()..]),
        ),
        (
            "a truncated signature",
            with_signature(&right[..right.len() - 2]),
        ),
        ("half a byte", with_signature(&right[..right.len() - 1])),
        ("a longer signature", with_signature(&format!("{right}00"))),
        (
            "a signature of something else",
            with_signature(&signature(b"{}")),
        ),
        (
            "a signature that is no hex",
            with_signature(&right.replace(['a', '1'], "z")),
        ),
        (
            "two signatures",
            with_signature(&right).header("x-signature", &right),
        ),
        (
            "bytes that are no text",
            none.clone().raw_header(b"x-signature: \xff\xfe"),
        ),
        ("another body", signed(*body).body(*b"{\"id\": \"2\"}")),
        ("an empty body", signed(*body).body(*b"")),
        (
            "an empty key",
            Request::post("/shop/empty-key")
                .header("x-token", "x")
                .body(*body),
        ),
    ] {
        let expected = if name == "an empty key" { 503 } else { 401 };
        let response = check(&server, name, request, expected).await;
        assert!(
            !response.body.contains("signature"),
            "{name}: {}",
            response.body
        );
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_and_future_timestamps_are_401() {
    let server = Server::start(Bounds::default()).await;
    let now = jiff::Timestamp::now().as_second();
    let body = br#"{"id": "1"}"#;
    let at = |time: &str| {
        Request::post("/shop/timed")
            .header("x-timestamp", time)
            .header("x-signature", &signed_at(time, body))
            .body(*body)
    };
    check(&server, "now", at(&now.to_string()), 202).await;
    for (name, time) in [
        ("an hour ago", (now - 3_600).to_string()),
        ("in an hour", (now + 3_600).to_string()),
        ("no number", "yesterday".to_owned()),
        ("empty", String::new()),
        ("the largest number", u64::MAX.to_string()),
        ("below every number", format!("-{}", u64::MAX)),
        ("milliseconds", (now * 1_000).to_string()),
    ] {
        check(&server, name, at(&time), 401).await;
    }
    let missing = Request::post("/shop/timed")
        .header("x-signature", &signed_at("", body))
        .body(*body);
    check(&server, "no timestamp", missing, 401).await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_do_not_parse_are_400_and_large_ones_413() {
    let server = Server::start(Bounds::default()).await;
    let deep = |open: &str, close: &str| {
        format!("{}{}", open.repeat(100_000), close.repeat(100_000)).into_bytes()
    };
    for (name, body) in [
        ("malformed JSON", b"{\"id\": ".to_vec()),
        ("two values", b"{} {}".to_vec()),
        ("a bare word", b"nonsense".to_vec()),
        ("no UTF-8", b"{\"id\": \"\xff\xfe\"}".to_vec()),
        ("NUL bytes", vec![0; 1_000]),
        (
            "a number beyond all range",
            b"{\"id\": 1e999999999}".to_vec(),
        ),
    ] {
        check(&server, name, signed(body), 400).await;
    }
    for (name, body) in [
        ("arrays in arrays", deep("[", "]")),
        (
            "objects in objects",
            deep("{\"a\":", "}").into_iter().collect(),
        ),
        (
            "arrays that are never closed",
            "[".repeat(100_000).into_bytes(),
        ),
    ] {
        let mut connection = server.connect().await;
        connection.send(&signed(body).bytes()).await;
        let status = connection.response().await.unwrap().status;
        assert!([400, 422].contains(&status), "{name}: {status}");
        serves(&server, name).await;
    }
    let duplicate = check(
        &server,
        "a key twice",
        signed(*br#"{"id": "first", "id": "last"}"#),
        202,
    )
    .await;
    assert!(duplicate.body.contains("\"last\""), "{}", duplicate.body);
    let declared = Request::post("/shop/signed").header("content-length", "104857600");
    check_closing(&server, "100 MB that are declared", &declared.head(), 413).await;
    let bomb = gzip(&vec![b' '; 100 << 20]);
    assert!(bomb.len() < 200_000);
    let request = signed(bomb).header("content-encoding", "gzip");
    check(&server, "a compressed bomb", request, 413).await;
    let twice = gzip(&gzip(&vec![0; 50 << 20]));
    check(
        &server,
        "a bomb in a bomb",
        signed(twice).header("content-encoding", "gzip, gzip"),
        415,
    )
    .await;
    check(
        &server,
        "a coding nobody knows",
        signed(*b"{}").header("content-encoding", "br"),
        415,
    )
    .await;
    check(
        &server,
        "no gzip",
        signed(*b"{}").header("content-encoding", "gzip"),
        400,
    )
    .await;
    let small = gzip(br#"{"id": "compressed"}"#);
    check(
        &server,
        "honest gzip",
        signed(small).header("content-encoding", "gzip"),
        202,
    )
    .await;
    server.end().await;
}

/// A request whose body never comes: the answer does not wait for it.
async fn check_closing(server: &Server, name: &str, head: &[u8], status: u16) {
    let mut connection = server.connect().await;
    connection.send(head).await;
    let response = connection
        .response()
        .await
        .unwrap_or_else(|| panic!("{name}: no answer"));
    assert_eq!(response.status, status, "{name}");
    serves(server, name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_are_refused_however_they_come() {
    let server = Server::start(Bounds::default()).await;
    for chunked in [false, true] {
        let (mut read, mut write) = server.connect().await.split();
        let sending = tokio::spawn(async move {
            let head = Request::post("/shop/signed");
            let head = if chunked {
                head.header("transfer-encoding", "chunked")
            } else {
                head.header("content-length", "104857600")
            };
            write.write_all(&head.head()).await?;
            let mut piece = vec![b'x'; 1 << 20];
            if chunked {
                piece = [b"100000\r\n", &piece[..], b"\r\n"].concat();
            }
            for _ in 0..100 {
                write.write_all(&piece).await?;
            }
            if chunked {
                write.write_all(b"0\r\n\r\n").await?;
            }
            std::io::Result::Ok(write)
        });
        let response = wire::response(&mut read).await.expect("an answer");
        assert_eq!(response.status, 413, "chunked: {chunked}");
        // What is written later may find the connection closed; that is up to the client.
        let _ = sending.await.unwrap();
        serves(&server, "100 MB").await;
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_addresses_are_404_and_tokens_of_ours_503() {
    let server = Server::start(Bounds::default()).await;
    for path in [
        "/",
        "/shop",
        "/shop/absent",
        "//shop/signed",
        "/shop/signed/",
        "/shop/./signed",
        "/x/../shop/signed",
        "/shop/x/%2e%2e/signed",
        "/shop%2fsigned",
        "/shop/signed;x",
        "/Shop/signed",
        "/shop/signed%00",
        "/shop/%",
        "/h/",
        "/h/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "/..",
        "/%2e%2e/%2e%2e/etc/passwd",
    ] {
        check(&server, path, Request::post(path).body(*b"{}"), 404).await;
    }
    let ours = format!("/h/{}", server.token("shop/another"));
    check(
        &server,
        "a token of ours",
        Request::post(&ours).body(*b"{}"),
        503,
    )
    .await;
    let encoded = signed(*br#"{"id": "1"}"#).to("/shop/%73igned");
    check(&server, "needless percent-encoding", encoded, 202).await;
    check(
        &server,
        "another method",
        Request::new("GET", "/shop/posted"),
        405,
    )
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_is_cut_off() {
    let server = Server::start(impatient()).await;
    let long = "x".repeat(64 * 1024);
    let many: String = (0..200)
        .map(|number| format!("x-{number}: 1\r\n"))
        .collect();
    for (name, bytes) in [
        ("nonsense", "NONSENSE\r\n\r\n".to_owned()),
        ("bytes of TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".repeat(20)),
        ("a path without end", format!("POST /{long} HTTP/1.1\r\n")),
        ("a header without end", format!("POST / HTTP/1.1\r\nhost: x\r\nx-long: {long}")),
        ("too many headers", format!("POST /shop/signed HTTP/1.1\r\nhost: x\r\n{many}\r\n")),
        (
            "two lengths",
            "POST /shop/signed HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
        ),
        (
            "chunks that are none",
            "POST /shop/signed HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        ),
        ("a header name with a space", "POST / HTTP/1.1\r\nho st: x\r\n\r\n".to_owned()),
    ] {
        let mut connection = server.connect().await;
        connection.send(bytes.as_bytes()).await;
        if let Some(response) = connection.response().await {
            assert!((400..500).contains(&response.status), "{name}: {}", response.status);
        }
        assert!(connection.is_closed().await, "{name}: still open");
        serves(&server, name).await;
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_and_trickling_clients_are_cut_off() {
    let server = Server::start(impatient()).await;
    let head = Request::post("/shop/signed")
        .header("content-length", "1000")
        .head();
    /// A name, what is sent at once, what then trickles, and the answer.
    type Case = (&'static str, Vec<u8>, &'static [u8], Option<u16>);
    let cases: [Case; 7] = [
        ("a client that says nothing", Vec::new(), b"", None),
        ("half a request line", b"POST /sho".to_vec(), b"", None),
        (
            "half the headers",
            head[..head.len() - 2].to_vec(),
            b"",
            None,
        ),
        (
            "headers that trickle",
            b"POST / HTTP/1.1\r\nhost: x\r\nx-a: ".to_vec(),
            b"a",
            None,
        ),
        (
            "half the preface of HTTP/2",
            b"PRI * HTTP/2.0\r\n".to_vec(),
            b"",
            None,
        ),
        ("a body that does not come", head.clone(), b"", Some(408)),
        ("a body that trickles", head.clone(), b"x", Some(408)),
    ];
    // At the same time, because each takes as long as its limit.
    join_all(cases.map(async |(name, first, then, status)| {
        let (mut read, mut write) = server.connect().await.split();
        write.write_all(&first).await.unwrap();
        let trickling = tokio::spawn(async move {
            while !then.is_empty() && write.write_all(then).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            std::future::pending::<()>().await;
        });
        let response = wire::response(&mut read).await;
        assert_eq!(response.map(|response| response.status), status, "{name}");
        assert!(wire::ends(&mut read).await, "{name}: still open");
        trickling.abort();
        serves(&server, name).await;
    }))
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_holds_at_most_half_of_the_connections() {
    let server = Server::start(Bounds {
        connections: 8,
        ..Bounds::default()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut connection = server.connect().await;
        connection.send(&server.good().bytes()).await;
        assert_eq!(connection.response().await.unwrap().status, 202);
        held.push(connection);
    }
    let mut refused = server.connect().await;
    let response = refused.response().await.unwrap();
    assert_eq!(
        (response.status, response.header("retry-after")),
        (503, Some("5"))
    );
    assert!(refused.is_closed().await);
    let mut other = server.connect_from([127, 0, 0, 2]).await;
    other.send(&server.good().bytes()).await;
    assert_eq!(
        other.response().await.unwrap().status,
        202,
        "another client is served"
    );
    drop(held);
    eventually("there is room again", async || {
        let mut again = server.connect().await;
        let response = again.response_to(&server.good()).await;
        response.is_some_and(|response| response.status == 202)
    })
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ways_of_http_work() {
    let server = Server::start(Bounds::default()).await;
    let good = server.good();

    let mut old = server.connect().await;
    old.send(&good.clone().version("HTTP/1.0").bytes()).await;
    assert_eq!(old.response().await.unwrap().status, 202, "HTTP/1.0");
    assert!(old.is_closed().await, "HTTP/1.0 without keep-alive");

    let mut pipelined = server.connect().await;
    pipelined
        .send(
            &[
                good.bytes(),
                Request::post("/absent").body(*b"x").bytes(),
                good.bytes(),
            ]
            .concat(),
        )
        .await;
    for status in [202, 404, 202] {
        assert_eq!(
            pipelined.response().await.unwrap().status,
            status,
            "pipelined"
        );
    }

    let mut polite = server.connect().await;
    let asking = good.clone().header("expect", "100-continue");
    polite.send(&asking.head_with_length()).await;
    assert_eq!(polite.response().await.unwrap().status, 100);
    polite.send(&asking.content()).await;
    assert_eq!(
        polite.response().await.unwrap().status,
        202,
        "after 100-continue"
    );

    let mut refused = server.connect().await;
    let too_much = Request::post("/shop/signed")
        .header("expect", "100-continue")
        .header("content-length", "99999999");
    refused.send(&too_much.head()).await;
    assert_eq!(
        refused.response().await.unwrap().status,
        413,
        "without asking for the body"
    );

    let chunks = b"POST /shop/signed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nx-signature: ";
    let mut chunked = server.connect().await;
    let body = br#"{"id": "chunked"}"#;
    chunked
        .send(
            &[
                &chunks[..],
                signature(body).as_bytes(),
                b"\r\n\r\n5\r\n",
                &body[..5],
                b"\r\nc\r\n",
                &body[5..],
                b"\r\n0\r\n\r\n",
            ]
            .concat(),
        )
        .await;
    assert_eq!(chunked.response().await.unwrap().status, 202, "chunked");

    let mut half_closed = server.connect().await;
    half_closed.send(&good.bytes()).await;
    half_closed.finish_sending().await;
    assert_eq!(
        half_closed.response().await.unwrap().status,
        202,
        "a client that closes its half"
    );

    let http2 = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let post = |path: &str, body: Vec<u8>, signature: String| {
        let request = http2.post(format!("http://{}{path}", server.address()));
        request
            .header("content-type", "application/json")
            .header("x-signature", signature)
            .body(body)
            .send()
    };
    let large = vec![b'x'; 2 << 20];
    for round in 0..3 {
        let body = serde_json::json!({"id": format!("http2-{round}")})
            .to_string()
            .into_bytes();
        let answers = tokio::join!(
            post("/shop/signed", body.clone(), signature(&body)),
            post("/shop/signed", body.clone(), "sha256=00".into()),
            post("/absent", body.clone(), String::new()),
            post("/shop/signed", large.clone(), signature(&large)),
        );
        let status = |answer: Result<reqwest::Response, _>| answer.unwrap().status().as_u16();
        assert_eq!(status(answers.0), 202, "HTTP/2");
        assert_eq!(
            (status(answers.1), status(answers.2), status(answers.3)),
            (401, 404, 413),
            "HTTP/2"
        );
    }
    drop(http2);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_listener_tells_what_happened_and_guards_itself() {
    let server = Server::start(Bounds::default()).await;
    check(
        &server,
        "a wrong signature",
        with_signature("sha256=00"),
        401,
    )
    .await;
    let admin = |request: Request| {
        let address = server.admin_address();
        async move {
            let mut connection = Connection::open(address).await;
            connection.send(&request.bytes()).await;
            connection.response().await.unwrap()
        }
    };
    let get = |path: &str| Request::new("GET", path).host("127.0.0.1:1");
    assert_eq!(admin(get("/livez")).await.status, 200);
    let ready = admin(get("/readyz")).await;
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (200, r#"{"ready":true,"reasons":[]}"#)
    );
    let metrics = admin(get("/metrics")).await.body;
    assert!(
        metrics.contains("tidegate_requests_total{outcome=\"unauthenticated\"} 1"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"));
    let requests = admin(get("/v1/requests?limit=1000")).await.body;
    assert!(
        requests.contains("\"verdict\":\"unauthenticated\""),
        "{requests}"
    );
    assert!(!requests.contains("sha256="), "{requests}");
    let events = admin(get("/v1/events")).await;
    assert_eq!(events.status, 200, "{}", events.body);
    assert!(
        events.body.contains("\"eventType\":\"shop/signed\""),
        "{}",
        events.body
    );
    for list in [
        "/v1/dead-letters",
        "/v1/subscriptions",
        "/v1/event-types",
        "/v1/replays",
    ] {
        let list = admin(get(list)).await;
        assert_eq!(list.status, 200, "{}", list.body);
        assert!(list.body.starts_with("{\"items\":["), "{}", list.body);
    }
    let json = async |path: &str| -> serde_json::Value {
        serde_json::from_str(&admin(get(path)).await.body).unwrap()
    };
    let whole = json("/v1/event-types").await;
    assert_eq!(whole["next"], serde_json::Value::Null);
    let mut pages = Vec::new();
    let mut next = Some(String::new());
    while let Some(after) = next {
        let page = json(&format!("/v1/event-types?limit=2{after}")).await;
        let items = page["items"].as_array().unwrap();
        assert!((1..=2).contains(&items.len()), "{page}");
        pages.extend(items.iter().cloned());
        next = page["next"].as_str().map(|next| format!("&after={next}"));
    }
    assert_eq!(whole["items"].as_array(), Some(&pages), "page by page");
    assert!(pages.len() > 2);
    for (request, status) in [
        (get("/v1/events").host("evil.example"), 403),
        (get("/v1/subscriptions?customer=x"), 400),
        (get("/v1/subscriptions?after=x"), 400),
        (get("/v1/events?order=sideways"), 400),
        (get("/v1/requests?customer=x"), 400),
        (get("/v1/dead-letters/7"), 404),
        (get("/v1/absent"), 404),
        (
            Request::post("/v1/replays")
                .host("localhost")
                .body(*b"{}")
                .no_type(),
            415,
        ),
        (
            Request::post("/v1/replays")
                .host("evil.example")
                .body(*b"{}"),
            403,
        ),
        (
            Request::post("/v1/replays")
                .host("localhost")
                .body(*b"{\"surprise\": 1}"),
            400,
        ),
        (
            Request::post("/v1/replays")
                .host("localhost")
                .body(*b"{\"subscription\": \"shop/none\"}"),
            400,
        ),
        (
            Request::post("/v1/replays")
                .host("localhost")
                .body(*b"{\"deadLetters\": [\"7\"]}"),
            200,
        ),
    ] {
        let shown = String::from_utf8_lossy(&request.bytes()).into_owned();
        let response = admin(request).await;
        assert_eq!(response.status, status, "{shown}: {}", response.body);
        assert_eq!(
            response.header("x-content-type-options"),
            Some("nosniff"),
            "{shown}"
        );
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_finishes_what_is_open_and_accepts_nothing_new() {
    let server = Server::start(Bounds::default()).await;
    let good = server.good();
    let mut idle = server.connect().await;
    idle.send(&good.bytes()).await;
    assert_eq!(idle.response().await.unwrap().status, 202);
    let mut open = server.connect().await;
    let asking = good.clone().header("expect", "100-continue");
    open.send(&asking.head_with_length()).await;
    // A request is open once its head was read; that its body is asked for shows that.
    assert_eq!(open.response().await.unwrap().status, 100);
    let address = server.address();
    let draining = tokio::spawn(server.end());
    assert!(idle.is_closed().await, "idle connections are closed");
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    open.send(&good.content()).await;
    assert_eq!(
        open.response().await.unwrap().status,
        202,
        "the open request is answered"
    );
    draining.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_a_duplicate_after_a_restart_too() {
    let server = Server::start(Bounds::default()).await;
    let send = async |server: &Server| {
        let mut connection = server.connect().await;
        connection
            .send(&signed(*br#"{"id": "once"}"#).bytes())
            .await;
        connection.response().await.unwrap().body
    };
    assert!(
        send(&server)
            .await
            .contains("\"accepted\":1,\"duplicates\":0")
    );
    assert!(
        send(&server)
            .await
            .contains("\"accepted\":0,\"duplicates\":1")
    );
    let server = server.restart().await;
    assert!(
        send(&server)
            .await
            .contains("\"accepted\":0,\"duplicates\":1")
    );
    server.end().await;
}
