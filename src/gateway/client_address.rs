//! Who is at the other end: the peer, or the client that a trusted proxy says it speaks for.
//!
//! A proxy appends the address it saw to what the client sent, so only the rightmost address that
//! is not itself a trusted proxy can be believed; everything left of it is the client's own
//! writing. Addresses serve fairness and logs here, never authentication.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use http::header::FORWARDED;

/// More hops than this in a header are not read; real chains have two or three.
const MOST_HOPS: usize = 32;

/// The networks whose peers are proxies of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to read {0:?} as a network: write an address, or an address and a prefix length such as 10.0.0.0/8"
)]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| error())?
            }
            Some(_) => return Err(error()),
        };
        if prefix > longest {
            return Err(error());
        }
        Ok(Self { address, prefix })
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        fn same(a: u128, b: u128, width: u32, prefix: u8) -> bool {
            // A shift by the whole width is what a prefix of 0 asks for.
            (a ^ b).checked_shr(width - u32::from(prefix)).unwrap_or(0) == 0
        }
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => same(
                u32::from(network).into(),
                u32::from(address).into(),
                32,
                self.prefix,
            ),
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same(network.into(), address.into(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

impl TrustedProxies {
    /// Reads a list of networks.
    ///
    /// # Errors
    /// The first text that is not a network.
    pub fn parse<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, NetworkError> {
        networks
            .into_iter()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
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

    fn check(headers: &[(&'static str, &str)], expected: &str) {
        let trusted = TrustedProxies::parse(["10.0.0.0/8", "fd00::/8", "192.0.2.7"]).unwrap();
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
        let trusted = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-forwarded-for"),
            http::HeaderValue::from_static("203.0.113.9"),
        )]);
        let peer = "198.51.100.1".parse().unwrap();
        assert_eq!(trusted.client(peer, &headers), peer);
    }

    #[test]
    fn networks_are_addresses_with_a_prefix() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expected,
                "{network:?} {address}"
            );
        };
        check("0.0.0.0/0", "203.0.113.9", true);
        check("0.0.0.0/0", "::1", false);
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.1.2.3", "10.1.2.3", true);
        check("10.1.2.3", "10.1.2.2", false);
        check("2001:db8::/33", "2001:db8:7fff::1", true);
        check("2001:db8::/33", "2001:db8:8000::1", false);
        check("::/0", "::1", true);
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "::/129",
            "host/8",
            "10/8",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let counted = |text: &str| counted_as(text.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("::ffff:1.2.3.4"), "1.2.3.4");
        assert_eq!(counted("1.2.3.4"), "1.2.3.4");
    }
}
