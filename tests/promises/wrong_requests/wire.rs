//! HTTP/1 written and read byte by byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// How long a test waits before it says that nothing comes: far above every limit in the tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request, right or wrong.
#[derive(Clone)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    host: String,
    json: bool,
    headers: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            version: "HTTP/1.1",
            host: "hooks.example.com".into(),
            json: true,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    pub fn to(mut self, target: &str) -> Self {
        self.target = target.into();
        self
    }

    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    pub fn no_type(mut self) -> Self {
        self.json = false;
        self
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.raw_header(format!("{name}: {value}").as_bytes())
    }

    pub fn raw_header(mut self, line: &[u8]) -> Self {
        self.headers.extend_from_slice(line);
        self.headers.extend_from_slice(b"\r\n");
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn start(&self) -> Vec<u8> {
        let Self {
            method,
            target,
            version,
            host,
            ..
        } = self;
        let mut start = format!("{method} {target} {version}\r\nhost: {host}\r\n").into_bytes();
        if self.json {
            start.extend_from_slice(b"content-type: application/json\r\n");
        }
        start.extend_from_slice(&self.headers);
        start
    }

    /// The head without a length.
    pub fn head(&self) -> Vec<u8> {
        [self.start(), b"\r\n".to_vec()].concat()
    }

    /// The head with the length of the body.
    pub fn head_with_length(&self) -> Vec<u8> {
        let length = format!("content-length: {}\r\n\r\n", self.body.len());
        [self.start(), length.into_bytes()].concat()
    }

    /// The body alone.
    pub fn content(&self) -> Vec<u8> {
        self.body.clone()
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        [self.head_with_length(), self.content()].concat()
    }
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// One connection.
pub struct Connection(TcpStream);

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    /// Writes as much as the other side takes; it may have closed already.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    pub async fn finish_sending(&mut self) {
        let _ = self.0.shutdown().await;
    }

    pub async fn response(&mut self) -> Option<Response> {
        response(&mut self.0).await
    }

    pub async fn response_to(&mut self, request: &Request) -> Option<Response> {
        self.send(&request.bytes()).await;
        self.response().await
    }

    pub async fn is_closed(&mut self) -> bool {
        ends(&mut self.0).await
    }

    pub fn split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.0.into_split()
    }
}

/// Reads one answer; `None` where the connection ends before one is complete.
pub async fn response(stream: &mut (impl AsyncRead + Unpin)) -> Option<Response> {
    timeout(PATIENCE, read_response(stream))
        .await
        .expect("neither an answer nor an end came")
}

/// Whether nothing more comes, because the connection ended.
pub async fn ends(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0];
    match timeout(PATIENCE, stream.read(&mut byte))
        .await
        .expect("the connection did not end")
    {
        Ok(read) => read == 0,
        Err(_) => true,
    }
}

async fn read_response(stream: &mut (impl AsyncRead + Unpin)) -> Option<Response> {
    let mut head = Vec::new();
    // Byte by byte, so that nothing of the next answer is taken.
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Response {
        status,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}
