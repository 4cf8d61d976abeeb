//! A sink for tests: reads HTTP/1.1 requests as bytes, keeps them, and answers what it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::configuration::{
    Customers, DeliverySettings, Format, Ordering as EventOrdering, Sink, SubscriptionEntry, Tls,
};
use crate::delivery::sender::Attempt;
use crate::event::ObjectName;

/// One request as it came over the wire.
#[derive(Debug)]
pub(super) struct Received {
    /// The request line.
    pub(super) line: String,
    /// Header lines by lower-case name; a name that came twice has both values, joined by `|`.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
}

/// A server on loopback.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<AtomicUsize>,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Server {
    /// Answers every request with the bytes of `answer`, and closes the connection after those
    /// that say so.
    pub(super) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), None).await
    }

    /// The same behind TLS.
    pub(super) async fn with_tls(answer: &str, tls: rustls::ServerConfig) -> Self {
        Self::start(answer.into(), Some(TlsAcceptor::from(Arc::new(tls)))).await
    }

    async fn start(answer: Vec<u8>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (answer, sender, tls) = (answer.clone(), sender.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &answer, &sender).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &answer, &sender).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            received,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// The next request; it must have come already.
    pub(super) fn request(&mut self) -> Received {
        self.received.try_recv().unwrap()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &[u8],
    sender: &mpsc::UnboundedSender<Received>,
) {
    while let Some(request) = read(&mut stream).await {
        let _ = sender.send(request);
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if answer
            .windows(17)
            .any(|window| window == b"connection: close")
        {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let mut headers = BTreeMap::<String, String>::new();
    for header in lines {
        let (name, value) = header.split_once(": ").unwrap();
        headers
            .entry(name.to_lowercase())
            .and_modify(|present| *present = format!("{present}|{value}"))
            .or_insert_with(|| value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received {
        line,
        headers,
        body: body.into(),
    })
}

/// A subscription with the sink at `uri`, an in-cluster one.
pub(super) fn subscription(uri: &str) -> SubscriptionEntry {
    SubscriptionEntry {
        name: ObjectName::new("shop", "invoicing"),
        uid: "1".into(),
        event_type: ObjectName::new("shop", "order-placed"),
        customers: Customers::All,
        filter: None,
        sink: Sink {
            uri: uri.into(),
            may_be_private: true,
            format: Format::Binary,
            headers: Vec::new(),
            signing: None,
            tls: Tls::default(),
        },
        delivery: DeliverySettings {
            timeout: Duration::from_secs(30),
            backoff_initial: Duration::from_secs(1),
            backoff_max: Duration::from_secs(600),
            max_attempts: 0,
            max_age: Duration::from_secs(86_400),
            max_in_flight: 16,
            ordering: EventOrdering::None,
        },
        suspend: false,
        held: None,
    }
}

/// The first attempt, at 2026-01-02T03:04:05Z.
pub(super) fn attempt() -> Attempt {
    Attempt {
        number: 1,
        at: Timestamp::from_second(1_767_323_045).unwrap(),
    }
}
