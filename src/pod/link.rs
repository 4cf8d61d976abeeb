//! The connection to the controller: TLS, HTTP/2, one of them for the stream and all that is told.
//!
//! One connection, because behind the controller's address stand several processes of which one
//! leads: what is told must reach the one that the stream comes from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;
use zeroize::Zeroizing;

use crate::configuration::stream::{Hello, LONGEST_LINE};

/// From the name's resolution to the end of the TLS handshake.
const CONNECT: Duration = Duration::from_secs(10);

/// Until the stream begins: the controller asks the API server whose the token is.
const BEGIN: Duration = Duration::from_secs(60);

/// The longest silence of a stream. The controller says something every 5 s.
const SILENCE: Duration = Duration::from_secs(15);

/// What may be under way in one direction: the stream must not keep answers back while a large
/// configuration is being applied.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Bytes of an answer other than the stream.
const MOST_ANSWER: usize = 64 << 10;

/// Bytes of the token's and of the authorities' file.
const MOST_FILE: u64 = 1 << 20;

/// Where the controller is, and what is shown to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its base URL, `https`.
    pub url: Url,
    /// The certificates that it may be of (PEM); read anew for each connection.
    pub ca_file: PathBuf,
    /// The ServiceAccount token; read anew for each connection.
    pub token_file: PathBuf,
}

/// Why there is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A file cannot be read.
    #[error("failed to read {0}")]
    File(PathBuf, #[source] io::Error),
    /// A file does not hold what it should.
    #[error("failed to use {path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nobody is there.
    #[error("failed to connect to the controller at {0}")]
    Connect(String, #[source] io::Error),
    /// Nobody is there, or it takes too long.
    #[error("failed to connect to the controller at {0}: it does not answer")]
    Slow(String),
    /// It is not who it should be.
    #[error(
        "the controller at {address} is not trusted: {problem}; check that {ca_file} holds the authorities of this installation"
    )]
    Untrusted {
        /// Where.
        address: String,
        /// What is wrong with its certificate.
        problem: String,
        /// The file that says whom to trust.
        ca_file: PathBuf,
    },
    /// TLS fails otherwise.
    #[error("failed to set up TLS with the controller")]
    Tls(#[source] rustls::Error),
    /// It does not lead.
    #[error("{0}")]
    NotLeading(String),
    /// It refuses the pod.
    #[error("the controller refuses this pod ({status}): {problem}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Why, as it says.
        problem: String,
    },
    /// The connection broke.
    #[error("the connection to the controller broke")]
    Broken(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("nothing came from the controller for {} s", SILENCE.as_secs())]
    Silent,
    /// A line is longer than lines may be.
    #[error("the controller sent a line of more than {LONGEST_LINE} bytes")]
    LongLine,
    /// A request cannot be written.
    #[error("failed to write a request to the controller")]
    Request,
}

/// A connection. It ends when this is dropped.
#[derive(Debug)]
pub struct Link {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    /// What the controller gave this pod to show with all that it tells.
    session: OnceLock<HeaderValue>,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// When nobody is there, or it is not who it should be.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, LinkError> {
        let host = endpoint.url.host_str().unwrap_or_default();
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = endpoint.url.port_or_known_default().unwrap_or(443);
        let authority = match endpoint.url.host_str() {
            Some(host) => format!("{host}:{port}"),
            None => String::new(),
        };
        let connector = TlsConnector::from(Arc::new(client_config(&endpoint.ca_file)?));
        let opened = timeout(CONNECT, async {
            let failed = |error| LinkError::Connect(authority.clone(), error);
            let stream = TcpStream::connect((host.as_str(), port)).await;
            let stream = stream.map_err(failed)?;
            // What is told is small, and somebody waits for it.
            let _ = stream.set_nodelay(true);
            let name = ServerName::try_from(host.clone()).map_err(|_| LinkError::Request)?;
            let stream = connector.connect(name, stream).await;
            stream.map_err(|error| untrusted(error, &authority, &endpoint.ca_file))
        });
        let stream = opened
            .await
            .map_err(|_| LinkError::Slow(authority.clone()))??;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(10))
            .max_header_list_size(16 << 10)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(LinkError::Broken)?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the controller broke");
            }
        });
        Ok(Self {
            sender,
            authority,
            session: OnceLock::new(),
            driver,
        })
    }

    /// Asks for the stream.
    ///
    /// # Errors
    /// When the pod is refused.
    pub async fn stream(&self, token_file: &Path, hello: &Hello) -> Result<Lines, LinkError> {
        let token = read(token_file)?;
        let token = token.trim_ascii();
        if token.is_empty() {
            return Err(LinkError::Content {
                path: token_file.to_owned(),
                problem: "it is empty, where a ServiceAccount token should be",
            });
        }
        let bearer = bearer(token).ok_or_else(|| LinkError::Content {
            path: token_file.to_owned(),
            problem: "it holds something that is no token",
        })?;
        let response = timeout(BEGIN, self.send("/v1/stream", bearer, hello)).await;
        let response = response.map_err(|_| LinkError::Slow(self.authority.clone()))??;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(refusal(status, response.into_body()).await);
        }
        Ok(Lines {
            body: response.into_body(),
            buffer: BytesMut::new(),
            scanned: 0,
        })
    }

    /// From now on this is shown with what is told.
    pub fn begin(&self, session: &str) {
        if let Some(bearer) = bearer(session.as_bytes()) {
            let _ = self.session.set(bearer);
        }
    }

    /// Tells something, and waits for the answer, at most so long.
    ///
    /// # Errors
    /// When it was not taken.
    pub async fn tell<T: Serialize + Sync>(
        &self,
        path: &str,
        content: &T,
        most: Duration,
    ) -> Result<Bytes, LinkError> {
        let session = self.session.get().cloned().ok_or(LinkError::Request)?;
        let told = timeout(most, async {
            let response = self.send(path, session, content).await?;
            let status = response.status();
            if !status.is_success() {
                return Err(refusal(status, response.into_body()).await);
            }
            collect(response.into_body()).await
        });
        told.await
            .map_err(|_| LinkError::Slow(self.authority.clone()))?
    }

    async fn send<T: Serialize>(
        &self,
        path: &str,
        bearer: HeaderValue,
        content: &T,
    ) -> Result<http::Response<Incoming>, LinkError> {
        let body = serde_json::to_vec(content).map_err(|_| LinkError::Request)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("https://{}{path}", self.authority))
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| LinkError::Request)?;
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(LinkError::Broken)?;
        sender
            .send_request(request)
            .await
            .map_err(LinkError::Broken)
    }
}

/// The lines of a stream.
pub struct Lines {
    body: Incoming,
    buffer: BytesMut,
    /// Bytes of the buffer that hold no line's end.
    scanned: usize,
}

impl Lines {
    /// The next line, without its end; `None`: the controller ended the stream.
    ///
    /// # Errors
    /// When the connection broke, or nothing came for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            let unseen = &self.buffer[self.scanned..];
            if let Some(end) = unseen.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.scanned + end).freeze();
                self.buffer.advance(1);
                self.scanned = 0;
                return Ok(Some(line));
            }
            self.scanned = self.buffer.len();
            if self.scanned > LONGEST_LINE {
                return Err(LinkError::LongLine);
            }
            let frame = timeout(SILENCE, self.body.frame()).await;
            match frame.map_err(|_| LinkError::Silent)? {
                None => return Ok(None),
                Some(Err(error)) => return Err(LinkError::Broken(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

fn client_config(ca_file: &Path) -> Result<ClientConfig, LinkError> {
    let unusable = |problem| LinkError::Content {
        path: ca_file.to_owned(),
        problem,
    };
    let bundle = read(ca_file)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bundle) {
        let certificate = certificate.map_err(|_| unusable("it is no PEM"))?;
        let added = roots.add(certificate);
        added.map_err(|_| unusable("it holds a certificate that cannot be read"))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no PEM certificate"));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(LinkError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn untrusted(error: io::Error, address: &str, ca_file: &Path) -> LinkError {
    let tls = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(problem)) = tls else {
        return LinkError::Connect(address.to_owned(), error);
    };
    let problem = match problem {
        CertificateError::UnknownIssuer => "its certificate is of an unknown authority".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another host name".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        other => format!("its certificate is refused ({other})"),
    };
    LinkError::Untrusted {
        address: address.to_owned(),
        problem,
        ca_file: ca_file.to_owned(),
    }
}

async fn refusal(status: StatusCode, body: Incoming) -> LinkError {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        error: String,
        not_leading: Option<serde::de::IgnoredAny>,
    }
    let told = timeout(CONNECT, collect(body)).await;
    let told = told.ok().and_then(Result::ok).unwrap_or_default();
    match serde_json::from_slice::<Told>(&told) {
        Ok(told) if told.not_leading.is_some() => LinkError::NotLeading(told.error),
        Ok(told) => LinkError::Refused {
            status,
            problem: told.error,
        },
        Err(_) => LinkError::Refused {
            status,
            problem: "it does not say why".to_owned(),
        },
    }
}

async fn collect(body: Incoming) -> Result<Bytes, LinkError> {
    let limited = Limited::new(body, MOST_ANSWER).collect().await;
    limited
        .map(|collected| collected.to_bytes())
        .map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => LinkError::Broken(*error),
            Err(_) => LinkError::Request,
        })
}

fn bearer(token: &[u8]) -> Option<HeaderValue> {
    let value = Zeroizing::new([b"Bearer ".as_slice(), token].concat());
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, LinkError> {
    let failed = |error| LinkError::File(path.to_owned(), error);
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MOST_FILE {
        return Err(LinkError::Content {
            path: path.to_owned(),
            problem: "it is too large",
        });
    }
    fs::read(path).map(Zeroizing::new).map_err(failed)
}
