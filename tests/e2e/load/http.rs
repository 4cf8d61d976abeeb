//! As much HTTP/1.1 as is needed here: bodies with a length, connections that stay open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long connecting may take, and how long an answer.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(30);

/// What is read of a head, a line of it, or a body at most.
const MOST_BYTES: u64 = 1 << 20;

/// A connection to one URL that is made anew when it breaks.
pub struct Connection {
    authority: String,
    path: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    /// To `url`, which begins with `http://`. Nothing is connected yet.
    pub fn to(url: &str) -> Self {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, "/".to_owned()),
        };
        let authority = if authority.contains(':') {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        Self {
            authority,
            path,
            stream: None,
        }
    }

    /// The status of the answer to a request with `body`. An error says in one word how far it came.
    pub fn post(&mut self, token: &str, body: &str) -> Result<u16, String> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().map_err(|_| "connect".to_owned())?,
        };
        let (status, stream) = self.exchange(stream, token, body).map_err(|error| {
            // A connection that was idle may have been closed under us, as any client knows.
            format!("exchange: {:?}", error.kind())
        })?;
        self.stream = stream;
        Ok(status)
    }

    fn connect(&self) -> std::io::Result<BufReader<TcpStream>> {
        let mut addresses = self.authority.to_socket_addrs()?;
        let address = addresses
            .next()
            .ok_or_else(|| std::io::Error::other("no address"))?;
        let stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        Ok(BufReader::new(stream))
    }

    fn exchange(
        &self,
        mut stream: BufReader<TcpStream>,
        token: &str,
        body: &str,
    ) -> std::io::Result<(u16, Option<BufReader<TcpStream>>)> {
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.path,
            self.authority,
            body.len(),
        );
        stream.get_mut().write_all(request.as_bytes())?;
        let Some(head) = Head::read(&mut stream)? else {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        let status = head.first.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other("no status"))?;
        let stays = !head.closes;
        Ok((status, stays.then_some(stream)))
    }
}

/// A request that came in, and the way to answer it.
pub struct Message {
    stream: BufReader<TcpStream>,
}

/// What matters of a request.
pub struct Request {
    pub path: String,
    pub event_id: Option<String>,
}

impl Message {
    pub fn over(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub fn next(&mut self) -> Option<Request> {
        let head = Head::read(&mut self.stream).ok()??;
        let path = head.first.split(' ').nth(1)?.to_owned();
        Some(Request {
            path,
            event_id: head.event_id,
        })
    }

    pub fn answer(&mut self, status: u16, body: &str) -> std::io::Result<()> {
        let head = format!("HTTP/1.1 {status} Here\r\ncontent-type: application/json\r\n");
        let rest = match status {
            204 => "\r\n".to_owned(),
            _ => format!("content-length: {}\r\n\r\n{body}", body.len()),
        };
        let stream = self.stream.get_mut();
        stream.write_all(format!("{head}{rest}").as_bytes())
    }
}

struct Head {
    first: String,
    event_id: Option<String>,
    closes: bool,
}

impl Head {
    /// Reads a head and the body after it; `None` where the connection was closed before one.
    fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Self>> {
        let mut first = String::new();
        if stream.take(MOST_BYTES).read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut head = Self {
            first: first.trim_end().to_owned(),
            event_id: None,
            closes: false,
        };
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.take(MOST_BYTES).read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap_or(0),
                "ce-id" => head.event_id = Some(value.to_owned()),
                "connection" => head.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        let mut body = vec![0; usize::try_from(length.min(MOST_BYTES)).unwrap_or(0)];
        stream.read_exact(&mut body)?;
        Ok(Some(head))
    }
}
