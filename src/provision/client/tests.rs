//! The client against servers that mean no good, and against every way to name a forbidden place.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::outbound::{Lookup, PrivateHost};

/// What a URL, a header and a body hold that no error may show.
const SECRET: &str = "hunter2-and-more";

fn lookup(names: &[(&'static str, &'static str)]) -> Lookup {
    let names: HashMap<_, _> = names.iter().copied().collect();
    Arc::new(move |host| {
        let found = names.get(host.as_str()).map(|it| vec![it.parse().unwrap()]);
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("no such name")) })
    })
}

fn client(private: PrivateAddresses) -> Client {
    let names = [
        ("app.example", "127.0.0.1"),
        ("metadata.example", "169.254.169.254"),
    ];
    Client::new(Outbound::with_lookup(lookup(&names), None), private).unwrap()
}

/// A request full of secrets, sent to `base`.
async fn send(client: &Client, base: &str, timeout: Duration) -> Result<Reply, NoReply> {
    let url = Url::parse(&format!("{base}/{SECRET}?token={SECRET}")).unwrap();
    let headers = HeaderMap::from_iter([(
        header::AUTHORIZATION,
        HeaderValue::from_static("Bearer hunter2-and-more"),
    )]);
    let result = client
        .send(Call {
            method: &Method::POST,
            url: &url,
            headers: &headers,
            body: &Bytes::from_static(b"{\"secret\": \"hunter2-and-more\"}"),
            is_allowed: &|_| true,
            namespace: "crm",
            timeout,
        })
        .await;
    if let Err(error) = &result {
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
    }
    result
}

/// Serves every connection with `serve` once its request has come in.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn answering(answer: &'static [u8]) -> SocketAddr {
    server(move |mut stream| async move {
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
    })
    .await
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_answer_comes_whole_with_what_it_asks_for() {
    let address = answering(
        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\nx-a: b\r\n\
          content-length: 2\r\n\r\nno",
    )
    .await;
    let client = client(PrivateAddresses::All);
    let reply = send(&client, &format!("http://{address}"), LONG)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((reply.status, &reply.body[..]), (429, &b"no"[..]));
    assert_eq!(reply.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(reply.headers["x-a"], "b");
}

#[tokio::test]
async fn requests_say_who_sends_them_unless_the_type_does() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let _ = sender.send(String::from_utf8_lossy(&request[..length]).to_lowercase());
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        }
    });
    let client = client(PrivateAddresses::All);
    let mut check = async |headers: HeaderMap, method: Method, expected: &[&str]| {
        let call = Call {
            method: &method,
            url: &url,
            headers: &headers,
            body: &Bytes::new(),
            is_allowed: &|_| true,
            namespace: "crm",
            timeout: LONG,
        };
        assert!(client.send(call).await.is_ok());
        let request = received.recv().await.unwrap();
        for line in expected {
            assert!(request.contains(line), "{line} is not in {request}");
        }
    };
    let own = concat!("user-agent: tidegate/", env!("CARGO_PKG_VERSION"), "\r\n");
    check(
        HeaderMap::new(),
        Method::POST,
        &[own, "content-length: 0\r\n"],
    )
    .await;
    check(HeaderMap::new(), Method::GET, &[own]).await;
    let named = HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static("acme/1"))]);
    check(named, Method::DELETE, &["user-agent: acme/1\r\n"]).await;
}

#[tokio::test]
async fn a_forbidden_address_is_refused_in_every_spelling_before_anything_is_sent() {
    let address = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let port = address.port();
    let strict = client(PrivateAddresses::Of(Vec::new()));
    let open = client(PrivateAddresses::All);
    let loopback = "the request's URL names a loopback address, where requests must not go";
    let check = async |host: &str, expected: &str| {
        let base = format!("http://{host}:{port}");
        let error = send(&strict, &base, LONG).await.err().unwrap();
        assert_eq!(
            (error.not_sent, &*error.message),
            (true, expected),
            "{host}"
        );
        // What is private may be opened.
        assert!(send(&open, &base, LONG).await.is_ok(), "{host}");
    };
    check("127.0.0.1", loopback).await;
    check("2130706433", loopback).await;
    check("0x7f.1", loopback).await;
    check("127.1", loopback).await;
    check("0177.0.0.1", loopback).await;
    check("[::ffff:127.0.0.1]", loopback).await;
    check(
        "app.example",
        "the app's host name leads to a loopback address, where requests must not go",
    )
    .await;
}

#[tokio::test]
async fn metadata_addresses_are_never_called() {
    for private in [PrivateAddresses::All, PrivateAddresses::Of(Vec::new())] {
        let client = client(private);
        for host in ["169.254.169.254", "2852039166", "[::ffff:169.254.169.254]"] {
            let error = send(&client, &format!("http://{host}"), LONG)
                .await
                .err()
                .unwrap();
            assert!(error.not_sent, "{host}");
            assert!(
                error.message.contains("a cloud metadata address"),
                "{error}"
            );
        }
        let error = send(&client, "http://metadata.example", LONG)
            .await
            .err()
            .unwrap();
        assert!(
            error.not_sent && error.message.contains("metadata"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_administrator_opens_single_hosts() {
    let address = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let open = |namespace: &str| {
        client(PrivateAddresses::Of(vec![PrivateHost {
            host: "app.example".into(),
            ports: vec![address.port()],
            namespaces: vec![namespace.into()],
        }]))
    };
    let base = format!("http://app.example:{}", address.port());
    assert!(send(&open("crm"), &base, LONG).await.is_ok());
    assert!(
        send(&open("sales"), &base, LONG)
            .await
            .err()
            .unwrap()
            .not_sent
    );
}

#[tokio::test]
async fn a_host_that_the_subscription_does_not_list_is_refused() {
    let error = client(PrivateAddresses::All)
        .send(Call {
            method: &Method::GET,
            url: &Url::parse("https://elsewhere.example/").unwrap(),
            headers: &HeaderMap::new(),
            body: &Bytes::new(),
            is_allowed: &|url| url.host_str() == Some("app.example"),
            namespace: "crm",
            timeout: LONG,
        })
        .await
        .err()
        .unwrap();
    assert!(error.not_sent && !error.is_hosts_fault);
}

#[tokio::test]
async fn what_ends_before_there_is_a_connection_was_not_sent() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let no_tls = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let client = client(PrivateAddresses::All);
    let check = async |base: &str, expected: &str| {
        let error = send(&client, base, LONG).await.err().unwrap();
        assert_eq!(
            (error.not_sent, &*error.message),
            (true, expected),
            "{base}"
        );
        assert!(error.is_hosts_fault);
    };
    check(
        &format!("http://{closed}"),
        "the app refused the connection",
    )
    .await;
    check(
        "http://nowhere.example",
        "the app's host name could not be resolved",
    )
    .await;
    check(
        &format!("https://{no_tls}"),
        "TLS with the app failed: it does not speak TLS",
    )
    .await;
}

#[tokio::test]
async fn what_ends_after_the_request_may_have_left_is_unknown() {
    let client = client(PrivateAddresses::All);
    let check = async |address: SocketAddr, timeout: Duration, expected: &str| {
        let started = Instant::now();
        let error = send(&client, &format!("http://{address}"), timeout)
            .await
            .err()
            .unwrap();
        assert_eq!((error.not_sent, &*error.message), (false, expected));
        assert!(started.elapsed() < Duration::from_secs(10), "{expected}");
    };
    let short = Duration::from_millis(300);
    // No answer at all.
    let silent = server(|stream| async move {
        tokio::time::sleep(LONG).await;
        drop(stream);
    })
    .await;
    check(silent, short, "the app gave no answer within 300ms").await;
    // Headers, one byte at a time.
    let slow = server(|mut stream| async move {
        for byte in b"HTTP/1.1 200 OK\r\nx: ".iter().chain([b'a'; 1000].iter()) {
            let _ = stream.write_all(&[*byte]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    check(slow, short, "the app gave no answer within 300ms").await;
    // A body that never ends, slowly.
    let trickle = server(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        while stream.write_all(b"1\r\na\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    check(trickle, short, "the app gave no answer within 300ms").await;
    // A body that never ends, fast.
    let flood = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'a'; 65_536]).await.is_ok() {}
    })
    .await;
    check(flood, LONG, "the app's answer is longer than 1 MiB").await;
    // A body that says that it is long.
    let announced = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n").await;
    check(announced, LONG, "the app's answer is longer than 1 MiB").await;
    // Headers that never end, fast.
    let headers = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream
            .write_all(b"x-header: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
            .await
            .is_ok()
        {}
    })
    .await;
    check(headers, LONG, "the app's answer is not valid HTTP").await;
    // One header that never ends.
    let header = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(&[b'a'; 65_536]).await.is_ok() {}
    })
    .await;
    check(header, LONG, "the app's answer is not valid HTTP").await;
    let garbage = answering(b"\x16\x03\x01 hunter2-and-more\r\n\r\n").await;
    check(garbage, LONG, "the app's answer is not valid HTTP").await;
    let nothing = answering(b"").await;
    check(
        nothing,
        LONG,
        "the app closed the connection without an answer",
    )
    .await;
    let cut = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\": 1").await;
    check(cut, LONG, "the app broke the connection off").await;
}

#[tokio::test]
async fn an_answer_of_just_the_longest_length_is_read() {
    let address = server(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
            .await;
        let _ = stream.write_all(&vec![b'a'; MOST_ANSWER_BYTES]).await;
        let _ = stream.shutdown().await;
    })
    .await;
    let reply = send(
        &client(PrivateAddresses::All),
        &format!("http://{address}"),
        LONG,
    )
    .await;
    assert_eq!(
        reply.ok().map(|reply| reply.body.len()),
        Some(MOST_ANSWER_BYTES)
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (sender, mut asked) = mpsc::unbounded_channel();
    let target = server(move |_| {
        let _ = sender.send(());
        async {}
    })
    .await;
    let location = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n"
    );
    let location: &'static str = location.leak();
    let address = answering(location.as_bytes()).await;
    let reply = send(
        &client(PrivateAddresses::All),
        &format!("http://{address}"),
        LONG,
    )
    .await;
    assert_eq!(reply.ok().map(|reply| reply.status), Some(307));
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn an_app_with_a_private_authority_needs_that_authority() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["app.example".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!(
        "https://app.example:{}",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut request = vec![0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        }
    });
    let outbound = || Outbound::with_lookup(lookup(&[("app.example", "127.0.0.1")]), None);
    let stranger = Client::new(outbound(), PrivateAddresses::All).unwrap();
    let error = send(&stranger, &base, LONG).await.err().unwrap();
    assert!(error.not_sent, "{error}");
    assert_eq!(
        error.message,
        "TLS with the app failed: its certificate is of an unknown authority"
    );
    let knowing = outbound().with_more_roots(&certificate.pem());
    let knowing = Client::new(knowing, PrivateAddresses::All).unwrap();
    let reply = send(&knowing, &base, LONG).await;
    assert_eq!(reply.ok().map(|reply| reply.status), Some(204));
}
