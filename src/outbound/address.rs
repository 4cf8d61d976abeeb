//! Which addresses requests may go to.
//!
//! The judgement is on the address itself, so it does not matter how it was spelled or which name
//! led to it. IPv6 forms that carry an IPv4 address are judged by that one. Ranges are those of
//! IANA's special-purpose registries (RFC 6890 and its successors) as of 2026.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a client may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressPolicy {
    /// Addresses of the public internet only.
    PublicOnly,
    /// Also loopback, private and shared address space: for in-cluster Services and what stands in
    /// for them. Metadata, link-local and multicast addresses are forbidden all the same.
    AllowPrivate,
}

/// An address that a policy forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {kind}")]
pub struct AddressRefused {
    /// The address as it would have been connected to.
    pub address: IpAddr,
    /// What kind of address that is, as a phrase after "is".
    pub kind: &'static str,
}

/// Whether `policy` allows connections to `address`.
///
/// # Errors
/// When it does not, with the kind of the address.
pub fn judge(policy: AddressPolicy, address: IpAddr) -> Result<(), AddressRefused> {
    let class = match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    };
    match (class, policy) {
        (Class::Public, _) | (Class::Private(_), AddressPolicy::AllowPrivate) => Ok(()),
        (Class::Private(kind), AddressPolicy::PublicOnly) | (Class::Never(kind), _) => {
            Err(AddressRefused { address, kind })
        }
    }
}

#[derive(Clone, Copy)]
enum Class {
    /// The public internet.
    Public,
    /// A network of somebody's own.
    Private(&'static str),
    /// Nothing that a request should ever go to.
    Never(&'static str),
}

const METADATA: &str = "a cloud metadata address";
const LINK_LOCAL: &str = "a link-local address";

fn class_v4(address: Ipv4Addr) -> Class {
    let [a, b, c, d] = address.octets();
    match (a, b, c, d) {
        // Nearly every cloud; then Alibaba (inside shared address space), Oracle, and Azure's
        // wire server, which is at a public address.
        (169, 254, 169, 254) | (100, 100, 100, 200) | (192, 0, 0, 192) | (168, 63, 129, 16) => {
            Class::Never(METADATA)
        }
        (169, 254, ..) => Class::Never(LINK_LOCAL),
        (0, ..) => Class::Never("an unspecified address"),
        (224..=239, ..) => Class::Never("a multicast address"),
        (255, 255, 255, 255) => Class::Never("the broadcast address"),
        (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => {
            Class::Never("an address for documentation")
        }
        (192, 0, 0, _) | (192, 88, 99, _) => Class::Never("a reserved address"),
        (127, ..) => Class::Private("a loopback address"),
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => Class::Private("a private address"),
        (100, 64..=127, ..) => Class::Private("an address of shared address space"),
        (198, 18..=19, ..) => Class::Private("an address for benchmarks"),
        // Some clusters number their pods from it, so it is private rather than nothing at all.
        (240..=255, ..) => Class::Private("a reserved address"),
        _ => Class::Public,
    }
}

fn class_v6(address: Ipv6Addr) -> Class {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Never("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Private("a loopback address"),
        // IPv4-compatible, IPv4-mapped and IPv4-translated (RFC 4291 §2.5.5, RFC 2765).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            class_v4(embedded(high, low))
        }
        // NAT64's well-known prefix: what DNS64 answers for hosts that have IPv4 only.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => class_v4(embedded(high, low)),
        [0x64, 0xff9b, ..] => Class::Never("an address of a local NAT64 prefix"),
        // 6to4.
        [0x2002, high, low, ..] => class_v4(embedded(high, low)),
        // AWS and Google Cloud.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254] => {
            Class::Never(METADATA)
        }
        [0xfc00..=0xfdff, ..] => Class::Private("a unique local address"),
        [0xfe80..=0xfebf, ..] => Class::Never(LINK_LOCAL),
        [0xfec0..=0xfeff, ..] => Class::Never("a site-local address"),
        [0xff00..=0xffff, ..] => Class::Never("a multicast address"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => {
            Class::Never("an address for documentation")
        }
        // Teredo, ORCHID, benchmarks and the rest of the IETF's own block.
        [0x2001, 0..=0x01ff, ..] => Class::Never("a reserved address"),
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Never("a reserved address"),
    }
}
