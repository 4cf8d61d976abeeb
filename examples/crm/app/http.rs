//! Just enough HTTP/1.1 for this example: one request per connection, as a server and as a client.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// A request's head may be this long, in bytes.
const MAX_HEAD: u64 = 16 << 10;

/// A body may be this long, in bytes.
const MAX_BODY: usize = 256 << 10;

/// How long the other side may say nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request as it came in.
#[derive(Debug, Default)]
pub struct Request {
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// What follows `?`.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, for values that need no decoding.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(parameter, _)| *parameter == name)
            .map(|(_, value)| value)
    }

    /// Reads a request; the error is what to answer.
    pub fn read(stream: &TcpStream) -> Result<Self, Answer> {
        let broken = |_| Answer::error(400, "the request is broken or came too slowly");
        stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(broken)?;
        let (line, headers, mut reader) = read_head(stream).map_err(broken)?;
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Answer::error(400, "the first line is no request"));
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: String::new(),
        };
        if request.header("transfer-encoding").is_some() {
            return Err(Answer::error(411, "send the body's Content-Length"));
        }
        let length = request.header("content-length").unwrap_or("0");
        let Ok(length) = length.parse::<usize>() else {
            return Err(Answer::error(400, "Content-Length is no number"));
        };
        if length > MAX_BODY {
            return Err(Answer::error(413, "the body is too large"));
        }
        if request.header("expect").is_some() {
            (&*stream)
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .map_err(broken)?;
        }
        let mut body = vec![0; length];
        reader.set_limit(length as u64);
        reader.read_exact(&mut body).map_err(broken)?;
        request.body =
            String::from_utf8(body).map_err(|_| Answer::error(400, "the body is not UTF-8"))?;
        Ok(request)
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// A JSON document, or nothing.
    pub body: String,
}

impl Answer {
    /// An answer with a JSON document.
    pub fn json(status: u16, body: &super::json::Json) -> Self {
        let body = body.to_string();
        Self { status, body }
    }

    /// An answer that says what is wrong.
    pub fn error(status: u16, message: &str) -> Self {
        let message = super::json::Json::text(message);
        Self::json(status, &super::json::Json::object([("error", message)]))
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        let body = String::new();
        Self { status, body }
    }

    /// Sends it and ends the connection.
    pub fn write(&self, mut stream: &TcpStream) -> io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            201 => "Created",
            204 => "No Content",
            _ => "Error",
        };
        let mut head = format!("HTTP/1.1 {} {reason}\r\nconnection: close\r\n", self.status);
        // RFC 9110 §8.6: a 204 has no Content-Length.
        if self.status != 204 {
            head += "content-type: application/json\r\n";
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        stream.write_all(format!("{head}\r\n{}", self.body).as_bytes())
    }
}

/// What a URL says, for `http://` URLs.
#[derive(Debug, PartialEq)]
pub struct Target<'a> {
    /// Host and port.
    authority: &'a str,
    /// Path and query.
    path: &'a str,
}

impl<'a> Target<'a> {
    /// `None` for what is no plain `http://` URL.
    pub fn parse(url: &'a str) -> Option<Self> {
        let rest = url.strip_prefix("http://")?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let is_clean = url.bytes().all(|byte| byte.is_ascii_graphic());
        let is_plain = !authority.is_empty() && !authority.contains(['@', '?', '#']);
        (is_clean && is_plain && !path.contains('#')).then_some(Self {
            authority,
            path: if path.is_empty() { "/" } else { path },
        })
    }

    /// Sends a request and reads the answer: its status and body.
    pub fn send(
        &self,
        method: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<(u16, String)> {
        let nowhere = || io::Error::other("the host has no address");
        let with_port = match self.authority.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => self.authority.to_owned(),
            _ => format!("{}:80", self.authority),
        };
        let address = with_port.to_socket_addrs()?.next().ok_or_else(nowhere)?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;

        let path = match (query, self.path.contains('?')) {
            ("", _) => self.path.to_owned(),
            (query, true) => format!("{}&{query}", self.path),
            (query, false) => format!("{}?{query}", self.path),
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.authority);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let length = body.len();
        head += &format!("content-length: {length}\r\nconnection: close\r\n\r\n");
        stream.write_all((head + body).as_bytes())?;

        let broken = || io::Error::other("the answer is no HTTP");
        let (line, _, mut reader) = read_head(&stream)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        reader.set_limit(MAX_BODY as u64);
        let mut body = Vec::new();
        // Some of the body is enough: nothing here depends on a long one.
        let _ = reader.read_to_end(&mut body);
        Ok((
            status.ok_or_else(broken)?,
            String::from_utf8_lossy(&body).into_owned(),
        ))
    }
}

type Head<'a> = (
    String,
    Vec<(String, String)>,
    io::Take<BufReader<&'a TcpStream>>,
);

/// The first line, the headers, and what follows them.
fn read_head(stream: &TcpStream) -> io::Result<Head<'_>> {
    let mut reader = BufReader::new(stream).take(MAX_HEAD);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some(line) = line.strip_suffix('\n') else {
            return Err(io::Error::other("the head is too long or breaks off"));
        };
        match line.trim_end_matches('\r') {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.first().cloned().unwrap_or_default();
    let headers = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok((first, headers, reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_or_refused() {
        let check = |url, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(authority, path)| Target { authority, path });
            assert_eq!(Target::parse(url), expected, "{url}");
        };
        check(
            "http://127.0.0.1:8080/h/token/1?a=b",
            Some(("127.0.0.1:8080", "/h/token/1?a=b")),
        );
        check("http://localhost", Some(("localhost", "/")));
        check("https://localhost/", None);
        check("http:///path", None);
        check("http://user@localhost/", None);
        check("http://localhost/\r\nx: y", None);
        check("ftp://localhost/", None);
    }
}
