//! Who is at the other end: the peer, or the client that a trusted proxy says it speaks for.
//!
//! A proxy appends the address it saw to what the client sent, so only the rightmost address that
//! is not itself a trusted proxy can be believed; everything left of it is the client's own
//! writing. Addresses serve fairness and logs here, never authentication.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;

use crate::configuration::Network;

/// More hops than this in a header are not read; real chains have two or three.
const MOST_HOPS: usize = 32;

/// The networks whose peers are proxies of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// These networks.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether `address` is a proxy of ours.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The client's address: `peer`, unless that is a trusted proxy; then the rightmost address of
    /// `X-Forwarded-For` (or, without one, of `Forwarded`, RFC 7239) that is not one.
    ///
    /// `X-Forwarded-For` goes first because that is the one common proxies maintain; they pass a
    /// client's own `Forwarded` through.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.contains(peer) {
            return peer;
        }
        let lines = |name: &str| -> Vec<&str> {
            headers
                .get_all(name)
                .iter()
                .map(|line| line.to_str().unwrap_or("?"))
                .collect()
        };
        let plain = lines("x-forwarded-for");
        if plain.is_empty() {
            let forwarded = lines(FORWARDED.as_str());
            self.walk(
                peer,
                forwarded.iter().rev().flat_map(|line| split_elements(line)),
                forwarded_for,
            )
        } else {
            self.walk(
                peer,
                plain.iter().rev().flat_map(|line| line.rsplit(',')),
                address,
            )
        }
    }

    /// Goes through the hops, the nearest first, as long as proxies of ours vouch for them.
    fn walk<'a>(
        &self,
        peer: IpAddr,
        hops: impl Iterator<Item = &'a str>,
        read: impl Fn(&str) -> Option<IpAddr>,
    ) -> IpAddr {
        let mut nearest = peer;
        for hop in hops.take(MOST_HOPS) {
            let Some(address) = read(hop) else { break };
            nearest = address;
            if !self.contains(address) {
                break;
            }
        }
        nearest
    }
}

/// What one client is counted by: an IPv6 customer has a /64 to choose addresses from.
pub fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

/// An address as proxies write it: bare, bracketed, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse::<IpAddr>()
        .ok()
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
        .map(|address| address.to_canonical())
}

/// The elements of a `Forwarded` line, the last first. Commas inside quotes do not separate.
fn split_elements(line: &str) -> impl Iterator<Item = &str> {
    let mut elements = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (place, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                elements.push(&line[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    elements.push(&line[start..]);
    elements.into_iter().rev()
}

/// The `for` of one `Forwarded` element; `unknown` and obfuscated ones are no address.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| address(value.trim().trim_matches('"')))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn check(headers: &[(&'static str, &str)], expected: &str) {
        let trusted = trusted(&["10.0.0.0/8", "fd00::/8", "192.0.2.7"]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let client = trusted.client("10.1.2.3".parse().unwrap(), &map);
        assert_eq!(client.to_string(), expected, "{headers:?}");
    }

    #[test]
    fn the_rightmost_untrusted_address_counts() {
        let xff = "x-forwarded-for";
        check(&[], "10.1.2.3");
        check(&[(xff, "203.0.113.9")], "203.0.113.9");
        check(&[(xff, "1.1.1.1, 203.0.113.9")], "203.0.113.9");
        check(
            &[(xff, "1.1.1.1, 203.0.113.9 ,10.9.9.9,192.0.2.7")],
            "203.0.113.9",
        );
        check(&[(xff, "1.1.1.1"), (xff, "203.0.113.9")], "203.0.113.9");
        check(&[(xff, "10.0.0.1, 10.0.0.2")], "10.0.0.1");
        check(&[(xff, "203.0.113.9:1234")], "203.0.113.9");
        check(&[(xff, "[2001:db8::1]:443")], "2001:db8::1");
        check(&[(xff, "2001:db8::1, fd00::5")], "2001:db8::1");
        check(&[(xff, "::ffff:203.0.113.9")], "203.0.113.9");
        check(&[(xff, "203.0.113.9, nonsense, 10.0.0.1")], "10.0.0.1");
        check(&[(xff, "")], "10.1.2.3");
    }

    #[test]
    fn forwarded_is_read_where_the_other_is_absent() {
        let name = "forwarded";
        check(&[(name, "for=203.0.113.9;proto=https")], "203.0.113.9");
        check(
            &[(name, "proto=https;For=\"[2001:db8::1]:80\", for=10.0.0.1")],
            "2001:db8::1",
        );
        check(&[(name, "for=1.1.1.1, for=203.0.113.9")], "203.0.113.9");
        check(
            &[(name, "for=\"a,b\";x=\"\\\",\", for=unknown")],
            "10.1.2.3",
        );
        check(&[(name, "for=_hidden, for=10.0.0.1")], "10.0.0.1");
        check(
            &[(name, "for=1.1.1.1"), ("x-forwarded-for", "203.0.113.9")],
            "203.0.113.9",
        );
    }

    #[test]
    fn a_peer_that_is_no_proxy_of_ours_is_the_client() {
        let trusted = trusted(&["10.0.0.0/8"]);
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-forwarded-for"),
            http::HeaderValue::from_static("203.0.113.9"),
        )]);
        let peer = "198.51.100.1".parse().unwrap();
        assert_eq!(trusted.client(peer, &headers), peer);
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let counted = |text: &str| counted_as(text.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("::ffff:1.2.3.4"), "1.2.3.4");
        assert_eq!(counted("1.2.3.4"), "1.2.3.4");
    }
}
