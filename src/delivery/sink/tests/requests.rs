//! Whole attempts against a server on loopback: what it gets, and what its answer means.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::messages::event;
use super::server::{Server, attempt, subscription};
use crate::configuration::{Format, Header, SigningKey, SubscriptionEntry};
use crate::delivery::sender::{Failure, FailureKind, Outcome, Sender};
use crate::delivery::sink::HttpSinks;
use crate::event::ExtensionValue;
use crate::outbound::Outbound;

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

async fn send(entry: &SubscriptionEntry) -> Outcome {
    let sink = HttpSinks::new(Outbound::new(None)).sender(entry).unwrap();
    sink.send(&event(Some("application/json"), Some(b"{}")), attempt())
        .await
}

fn retried(kind: FailureKind, message: &str) -> Outcome {
    Outcome::Retry {
        failure: Failure {
            kind,
            status: None,
            message: message.into(),
        },
        after: None,
    }
}

#[tokio::test]
async fn a_sink_gets_the_event_the_configured_headers_and_a_signature() {
    let mut server = Server::answering(OK).await;
    let mut entry = subscription(&format!("{}?k=v#part", server.url()));
    entry.sink.headers = vec![
        Header {
            name: "Authorization".into(),
            value: "Bearer t".into(),
        },
        Header {
            name: "X-Team".into(),
            value: "blue".into(),
        },
    ];
    entry.sink.signing = Some(SigningKey("secret".into()));
    let mut event = event(Some("application/json"), Some(b"{ \"a\": 1.0 }"));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    event
        .attributes
        .extensions
        .insert("traceparent".into(), ExtensionValue::Text(trace.into()));
    let sink = HttpSinks::new(Outbound::new(None)).sender(&entry).unwrap();
    let outcome = sink.send(&event, attempt()).await;
    assert_eq!(outcome, Outcome::Delivered { status: 204 });

    let received = server.request();
    assert_eq!(received.line, "POST /events?k=v HTTP/1.1");
    assert_eq!(received.body, b"{ \"a\": 1.0 }"[..]);
    let mut headers = received.headers;
    let signature = headers.remove("webhook-signature").unwrap();
    assert!(signature.starts_with("v1,"), "{signature}");
    let headers: Vec<_> = headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    assert_eq!(
        headers,
        [
            "accept: */*".to_owned(),
            "authorization: Bearer t".into(),
            "ce-customerid: acme".into(),
            "ce-id: o_1".into(),
            "ce-priority: -3".into(),
            "ce-source: /shop/order-placed/acme".into(),
            "ce-specversion: 1.0".into(),
            "ce-subject: acme".into(),
            "ce-tidegateinvalid: true".into(),
            "ce-time: 2026-01-02T03:04:05.678Z".into(),
            format!("ce-traceparent: {trace}"),
            "ce-type: com.example.order.placed".into(),
            "content-length: 12".into(),
            "content-type: application/json".into(),
            format!("host: {}", server.address),
            format!("traceparent: {trace}"),
            format!("user-agent: tidegate/{}", env!("CARGO_PKG_VERSION")),
            "webhook-id: o_1".into(),
            "webhook-timestamp: 1767323045".into(),
            "x-team: blue".into(),
        ]
    );
}

#[tokio::test]
async fn every_form_arrives_with_its_length() {
    let mut server = Server::answering(OK).await;
    for format in [Format::Binary, Format::Structured, Format::Raw] {
        let mut entry = subscription(&server.url());
        entry.sink.format = format;
        let sink = HttpSinks::new(Outbound::new(None)).sender(&entry).unwrap();
        for data in [None, Some(&b""[..]), Some(b"{}")] {
            let event = event(data.map(|_| "application/json"), data);
            let outcome = sink.send(&event, attempt()).await;
            assert_eq!(outcome, Outcome::Delivered { status: 204 });
            let received = server.request();
            match format {
                Format::Structured => assert!(received.body.ends_with(b"}")),
                _ => assert_eq!(received.body, data.unwrap_or_default()),
            }
        }
    }
}

#[tokio::test]
async fn configured_headers_replace_those_that_are_not_reserved() {
    let mut server = Server::answering(OK).await;
    let mut entry = subscription(&server.url());
    entry.sink.headers = vec![Header {
        name: "user-agent".into(),
        value: "mine".into(),
    }];
    assert_eq!(send(&entry).await, Outcome::Delivered { status: 204 });
    assert_eq!(server.request().headers["user-agent"], "mine");
}

#[tokio::test]
async fn each_kind_of_answer_has_its_outcome() {
    let check = async |answer: &str, expected: Outcome| {
        let server = Server::answering(answer).await;
        assert_eq!(
            send(&subscription(&server.url())).await,
            expected,
            "{answer}"
        );
    };
    let status = |status: u16, message: &str| Failure {
        kind: FailureKind::Status,
        status: Some(status),
        message: message.into(),
    };
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        Outcome::Delivered { status: 200 },
    )
    .await;
    check(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
        Outcome::Delivered { status: 202 },
    )
    .await;
    check(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
        Outcome::Retry {
            failure: status(429, "the sink answered 429 Too Many Requests"),
            after: Some(Duration::from_secs(7)),
        },
    )
    .await;
    check(
        "HTTP/1.1 503 secret words\r\ncontent-length: 6\r\n\r\nsecret",
        Outcome::Retry {
            failure: status(503, "the sink answered 503 Service Unavailable"),
            after: None,
        },
    )
    .await;
    check(
        "HTTP/1.1 422 No\r\ncontent-length: 6\r\n\r\nsecret",
        Outcome::Refused {
            failure: status(422, "the sink refused the event: 422 Unprocessable Entity"),
        },
    )
    .await;
    // Cut off in the middle of the body: the status has been said.
    check(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100\r\n\r\nok",
        Outcome::Delivered { status: 200 },
    )
    .await;
    check(
        "SSH-2.0-OpenSSH_9.9\r\n",
        retried(
            FailureKind::Connection,
            "the sink's answer is not valid HTTP",
        ),
    )
    .await;
    check(
        "HTTP/1.1 200 OK\r\nconnection: close",
        retried(
            FailureKind::Connection,
            "the sink closed the connection without an answer",
        ),
    )
    .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::answering(OK).await;
    let server = Server::answering(format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url()
    ))
    .await;
    let outcome = send(&subscription(&server.url())).await;
    assert!(
        matches!(&outcome, Outcome::Retry { failure, .. } if failure.status == Some(307)),
        "{outcome:?}"
    );
    assert_eq!(elsewhere.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn connections_are_kept_unless_an_answer_is_huge() {
    let check = async |answer: String, connections: usize| {
        let server = Server::answering(answer).await;
        let sinks = HttpSinks::new(Outbound::new(None));
        // Three subscriptions: they share connections.
        let entry = subscription(&server.url());
        let senders = [(); 3].map(|()| sinks.sender(&entry).unwrap());
        for sink in &senders {
            let outcome = sink.send(&event(None, None), attempt()).await;
            assert_eq!(outcome, Outcome::Delivered { status: 200 });
        }
        assert_eq!(
            server.connections.load(Ordering::Relaxed),
            connections,
            "connections"
        );
    };
    let answer = |size: usize| {
        let body = "x".repeat(size);
        format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n{body}")
    };
    check(answer(0), 1).await;
    check(answer(60_000), 1).await;
    check(answer(1_000_000), 3).await;
}

#[tokio::test]
async fn a_sink_that_hangs_is_cut_off_at_the_limit() {
    let check = async |answer: &str, milliseconds: u64, expected: Outcome| {
        let server = Server::answering(answer).await;
        let mut entry = subscription(&server.url());
        entry.delivery.timeout = Duration::from_millis(milliseconds);
        assert_eq!(send(&entry).await, expected, "{answer}");
    };
    let timeout = retried(FailureKind::Timeout, "the sink gave no answer within 300ms");
    check("", 300, timeout.clone()).await;
    check("HTTP/1.1 200 OK\r\nx-half: he", 300, timeout).await;
    // A status without the end of the body is an answer. It must come in time on a busy machine, too.
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
        10_000,
        Outcome::Delivered { status: 200 },
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let entry = subscription(&format!("http://{}/", listener.local_addr().unwrap()));
    let endless = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'P');
        let head = b"HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut chunks = 0_usize;
        while stream.write_all(b"400\r\n").await.is_ok()
            && stream.write_all(&[b'x'; 1024]).await.is_ok()
            && stream.write_all(b"\r\n").await.is_ok()
        {
            chunks += 1;
        }
        chunks
    });
    let outcome = send(&entry).await;
    assert!(
        matches!(&outcome, Outcome::Retry { failure, .. } if failure.status == Some(500)),
        "{outcome:?}"
    );
    // The sink notices because its connection is gone, long before the attempt's 30 s.
    endless.await.unwrap();
}

#[tokio::test]
async fn what_keeps_a_connection_from_coming_about_is_named() {
    // Kept, so that nobody else is given the address; but nobody listens there.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap();
    assert_eq!(
        send(&subscription(&format!("http://{address}/?token=hunter2"))).await,
        retried(FailureKind::Connection, "the sink refused the connection")
    );
    // A name that can never be resolved (RFC 6761 §6.4), however long that takes to find out.
    let mut unknown = subscription("http://sink.invalid/?token=hunter2");
    unknown.delivery.timeout = Duration::from_secs(300);
    assert_eq!(
        send(&unknown).await,
        retried(
            FailureKind::Connection,
            "the sink's host name could not be resolved"
        )
    );
    // Accepted and dropped without a byte.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let outcome = send(&subscription(&format!("http://{address}/"))).await;
    let Outcome::Retry { failure, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(failure.kind, FailureKind::Connection);
    assert!(
        [
            "the sink broke the connection off",
            "the sink closed the connection without an answer",
        ]
        .contains(&&failure.message[..]),
        "{failure}"
    );
}

#[tokio::test]
async fn a_public_sink_may_not_be_at_a_private_address() {
    let server = Server::answering(OK).await;
    let port = server.address.port();
    let sinks = HttpSinks::new(Outbound::new(None));
    // As a literal: known before anything is sent.
    let mut entry = subscription(&format!("http://0x7f.1:{port}/?token=hunter2"));
    entry.sink.may_be_private = false;
    let Err(unusable) = sinks.build(&entry) else {
        panic!("it must be refused");
    };
    assert_eq!(
        unusable.to_string(),
        "failed to prepare the sink: the sink's URL cannot be used: 127.0.0.1 is a loopback address"
    );
    // As a name: at every attempt.
    entry.sink.uri = format!("http://localhost:{port}/?token=hunter2");
    assert_eq!(
        send(&entry).await,
        retried(
            FailureKind::Address,
            "the sink's host name leads to a loopback address, where requests must not go"
        )
    );
    assert_eq!(server.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_event_that_no_request_can_carry_is_refused_without_a_request() {
    let server = Server::answering(OK).await;
    let sinks = HttpSinks::new(Outbound::new(None));
    let sink = sinks.sender(&subscription(&server.url())).unwrap();
    let event = event(Some("text/plain\r\nx-injected: 1"), Some(b"x"));
    assert_eq!(
        sink.send(&event, attempt()).await,
        Outcome::Refused {
            failure: Failure {
                kind: FailureKind::Encoding,
                status: None,
                message: "the event's content type cannot stand in a header".into(),
            },
        }
    );
    assert_eq!(server.connections.load(Ordering::Relaxed), 0);
}
