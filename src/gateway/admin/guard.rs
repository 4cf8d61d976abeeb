//! Keeps web pages out of the admin API: see the module above.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;

use super::super::problem::Problem;
use super::refused;

/// Lets requests through whose `Host` is this machine.
pub async fn own_host(State(address): State<SocketAddr>, request: Request, next: Next) -> Response {
    if host(request.uri(), request.headers()).is_some_and(|host| is_own(host, address.ip())) {
        return next.run(request).await;
    }
    let detail = "the admin API answers to localhost and to the address it listens on only";
    refused(Problem::new(StatusCode::FORBIDDEN, detail))
}

/// Lets requests through that read, and those whose body says that it is JSON.
pub async fn only_json(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || is_json(request.headers()) {
        return next.run(request).await;
    }
    let detail = "send the body as application/json";
    refused(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// The host that a request is for: of its target, or of its one `Host` header.
fn host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    if let Some(host) = uri.host() {
        return Some(host);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    if hosts.next().is_some() {
        return None;
    }
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(address, _)| address),
        None => Some(host.split_once(':').map_or(host, |(name, _)| name)),
    }
}

fn is_own(host: &str, listener: IpAddr) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    // A name can be pointed anywhere; a literal is what the browser really connected to.
    address.is_ok_and(|address| {
        let address = address.to_canonical();
        address.is_loopback() || address == listener.to_canonical()
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(text)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_accepted() {
        let check = |value: &str, expected: bool| {
            let headers = HeaderMap::from_iter([(HOST, value.parse().unwrap())]);
            let uri = Uri::from_static("/v1/events");
            let own =
                host(&uri, &headers).is_some_and(|host| is_own(host, "192.0.2.7".parse().unwrap()));
            assert_eq!(own, expected, "{value}");
        };
        check("localhost", true);
        check("LocalHost:8081", true);
        check("127.0.0.1:8081", true);
        check("127.9.9.9", true);
        check("[::1]:8081", true);
        check("192.0.2.7:8081", true);
        check("192.0.2.8:8081", false);
        check("evil.example", false);
        check("localhost.evil.example", false);
        check("127.0.0.1.evil.example", false);
        check("", false);
        check("[::1", false);
        check("10.0.0.1", false);
    }

    #[test]
    fn a_host_that_is_missing_or_there_twice_is_none_of_ours() {
        let uri = Uri::from_static("/v1/events");
        assert_eq!(host(&uri, &HeaderMap::new()), None);
        let mut headers = HeaderMap::new();
        headers.append(HOST, "localhost".parse().unwrap());
        headers.append(HOST, "evil.example".parse().unwrap());
        assert_eq!(host(&uri, &headers), None);
        let absolute = Uri::from_static("http://evil.example/v1/events");
        assert_eq!(host(&absolute, &HeaderMap::new()), Some("evil.example"));
    }

    #[test]
    fn only_json_counts_as_json() {
        let check = |value: &str, expected: bool| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_json(&headers), expected, "{value}");
        };
        check("application/json", true);
        check("Application/JSON; charset=utf-8", true);
        check("text/plain", false);
        check("application/jsonp", false);
        check("application/x-www-form-urlencoded", false);
        assert!(!is_json(&HeaderMap::new()));
    }
}
