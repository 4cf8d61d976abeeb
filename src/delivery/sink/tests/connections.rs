//! TLS with sinks: whom we trust, what we show, and how a failure is named.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::messages::event;
use super::server::{Server, attempt, subscription};
use crate::configuration::{ClientCertificate, Format, Sensitive, Tls};
use crate::delivery::sender::{FailureKind, Outcome, Sender};
use crate::delivery::sink::HttpSinks;
use crate::outbound::Outbound;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A certificate authority of our own. Two of one name are two different ones, as when one is
/// renewed.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

struct Issued {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

fn issue(authority: &CertifiedIssuer<'static, KeyPair>, params: CertificateParams) -> Issued {
    let key = KeyPair::generate().unwrap();
    Issued {
        certificate: params.signed_by(&key, authority).unwrap(),
        key,
    }
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

fn server_config(
    issued: &Issued,
    clients: Option<&CertifiedIssuer<'static, KeyPair>>,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(issued.key.serialize_der());
    builder
        .with_single_cert(vec![issued.certificate.der().clone()], key.into())
        .unwrap()
}

async fn send(server: &Server, host: &str, tls: Tls) -> Outcome {
    let mut entry = subscription(&format!("https://{host}:{}/", server.address.port()));
    entry.sink.tls = tls;
    let sink = HttpSinks::new(Outbound::new(None)).sender(&entry).unwrap();
    sink.send(&event(None, None), attempt()).await
}

fn trusting(authority: &CertifiedIssuer<'static, KeyPair>) -> Tls {
    Tls {
        ca_bundle: Some(authority.pem()),
        client_certificate: None,
    }
}

fn assert_tls_failure(outcome: Outcome, expected: &str) {
    let Outcome::Retry { failure, after } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        failure.message,
        format!("TLS with the sink failed: {expected}")
    );
    assert_eq!((failure.kind, after), (FailureKind::Tls, None));
}

#[tokio::test]
async fn a_bundle_decides_whom_we_trust() {
    let (ours, other, renewed) = (authority("a"), authority("b"), authority("a"));
    let server = Server::with_tls(OK, server_config(&issue(&ours, named("localhost")), None)).await;
    let delivered = Outcome::Delivered { status: 200 };
    assert_eq!(send(&server, "localhost", trusting(&ours)).await, delivered);
    // A bundle of several.
    let both = Tls {
        ca_bundle: Some(format!("{}{}", other.pem(), ours.pem())),
        client_certificate: None,
    };
    assert_eq!(send(&server, "localhost", both).await, delivered);
    // The public roots do not know it, another authority did not issue it.
    let unknown = "its certificate is of an unknown authority";
    assert_tls_failure(send(&server, "localhost", Tls::default()).await, unknown);
    assert_tls_failure(send(&server, "localhost", trusting(&other)).await, unknown);
    assert_tls_failure(
        send(&server, "localhost", trusting(&renewed)).await,
        unknown,
    );
}

#[tokio::test]
async fn a_certificate_must_fit_the_host_and_the_time() {
    let ours = authority("ours");
    let server = Server::with_tls(OK, server_config(&issue(&ours, named("localhost")), None)).await;
    assert_tls_failure(
        send(&server, "127.0.0.1", trusting(&ours)).await,
        "its certificate is for another host name",
    );
    let mut old = named("localhost");
    old.not_before = rcgen::date_time_ymd(2020, 1, 1);
    old.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let server = Server::with_tls(OK, server_config(&issue(&ours, old), None)).await;
    assert_tls_failure(
        send(&server, "localhost", trusting(&ours)).await,
        "its certificate has expired",
    );
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_asked_for() {
    let (ours, clients) = (authority("ours"), authority("clients"));
    let config = server_config(&issue(&ours, named("localhost")), Some(&clients));
    let server = Server::with_tls(OK, config).await;
    let showing = |authority: Option<&CertifiedIssuer<'static, KeyPair>>| {
        let client_certificate = authority.map(|authority| {
            let issued = issue(authority, named("tidegate"));
            ClientCertificate {
                certificate: issued.certificate.pem(),
                key: Sensitive::new(issued.key.serialize_pem()),
            }
        });
        Tls {
            client_certificate,
            ..trusting(&ours)
        }
    };
    assert_eq!(
        send(&server, "localhost", showing(Some(&clients))).await,
        Outcome::Delivered { status: 200 }
    );
    assert_tls_failure(
        send(&server, "localhost", showing(None)).await,
        "it asks for a client certificate",
    );
    for stranger in [authority("strangers"), authority("clients")] {
        assert_tls_failure(
            send(&server, "localhost", showing(Some(&stranger))).await,
            "it does not accept our client certificate",
        );
    }
}

#[tokio::test]
async fn a_sink_without_tls_is_named_as_that() {
    let server = Server::answering("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(server);
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let sinks = HttpSinks::new(Outbound::new(None));
    let sink = sinks
        .sender(&subscription(&format!("https://localhost:{port}/")))
        .unwrap();
    assert_tls_failure(
        sink.send(&event(None, None), attempt()).await,
        "it does not speak TLS",
    );
}

#[tokio::test]
async fn unusable_tls_options_are_named_without_the_key() {
    let ours = authority("ours");
    let issued = issue(&ours, named("tidegate"));
    let other = KeyPair::generate().unwrap();
    let check = |ca_bundle: Option<&str>, client: Option<(&str, &str)>, expected: &str| {
        let mut entry = subscription("https://localhost/");
        entry.sink.tls = Tls {
            ca_bundle: ca_bundle.map(str::to_owned),
            client_certificate: client.map(|(certificate, key)| ClientCertificate {
                certificate: certificate.to_owned(),
                key: key.into(),
            }),
        };
        let sinks = HttpSinks::new(Outbound::new(None));
        let Err(unusable) = sinks.build(&entry) else {
            panic!("it must be refused: {expected}");
        };
        let text = unusable.to_string();
        assert!(
            text.contains(expected) && !text.contains("hunter2"),
            "{text}"
        );
    };
    let certificate = issued.certificate.pem();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
    let key_error = "failed to read the client certificate's private key";
    check(Some(""), None, "failed to read the CA bundle");
    check(Some("hello"), None, "it holds no PEM certificate");
    check(Some(broken), None, "failed to read the CA bundle");
    check(
        None,
        Some(("", "")),
        "failed to read the client certificate",
    );
    check(None, Some((&certificate, "hunter2")), key_error);
    check(None, Some((&certificate, no_key)), key_error);
    check(
        None,
        Some((&certificate, &other.serialize_pem())),
        "failed to use the client certificate",
    );
}

#[tokio::test]
async fn http_2_is_spoken_where_tls_agrees_on_it() {
    let ours = authority("ours");
    let mut config = server_config(&issue(&ours, named("localhost")), None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = Arc::new(AtomicUsize::new(0));
    let counted = served.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = acceptor.accept(stream).await.unwrap();
            let counted = counted.clone();
            tokio::spawn(async move {
                let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                    let right = request.version() == http::Version::HTTP_2
                        && request.headers()["ce-id"] == "o_1"
                        && request.headers().get("host").is_none();
                    counted.fetch_add(usize::from(right), Ordering::Relaxed);
                    async {
                        Ok::<_, http::Error>(http::Response::new(Empty::<bytes::Bytes>::new()))
                    }
                });
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            });
        }
    });
    let mut entry = subscription(&format!("https://localhost:{port}/"));
    entry.sink.tls = trusting(&ours);
    entry.sink.format = Format::Binary;
    let sink = HttpSinks::new(Outbound::new(None)).sender(&entry).unwrap();
    for _ in 0..3 {
        let outcome = sink.send(&event(None, None), attempt()).await;
        assert_eq!(outcome, Outcome::Delivered { status: 200 });
    }
    assert_eq!(served.load(Ordering::Relaxed), 3);
}
