//! Where the requests of a subscription may go.
//!
//! A value of a customer must not lead a request, and the token in it, anywhere else. So a host is
//! either written out in some URL of the subscription, or listed in `hosts`. What address a host
//! has is not judged here: that is the outbound client's.

use std::collections::BTreeSet;

use url::{Host, Url};

use super::program::RenderError;
use crate::expression::Target;

/// The hosts and ports that requests may go to.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    /// Written in `hosts`: a name, or a domain after `*.`.
    listed: Vec<Listed>,
    /// The origins that URLs write out.
    literal: BTreeSet<(String, String, u16)>,
    /// Ports that URLs write behind a host that values decide on.
    ports: BTreeSet<u16>,
    /// Whether such a URL is a plain `http` one: then values may lead to one as well.
    plain_http: bool,
}

#[derive(Clone, Debug)]
enum Listed {
    Name(String),
    /// Every name that ends with this, which begins with a dot.
    Below(String),
}

impl Hosts {
    /// Reads an entry of `hosts`.
    ///
    /// # Errors
    /// When it is neither a name nor `*.` and a domain.
    pub fn list(&mut self, entry: &str) -> Result<(), &'static str> {
        let (name, below) = match entry.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (entry, false),
        };
        let parsed = Host::parse(name).map_err(|_| NO_HOST)?;
        let written = parsed.to_string();
        let is_usual = |byte: u8| {
            // Brackets and colons are those of IPv6; what is not ASCII is an international name.
            byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte) || byte >= 0x80
        };
        if !name.bytes().all(is_usual) || name.ends_with('.') {
            return Err(NO_HOST);
        }
        if below {
            if !matches!(parsed, Host::Domain(_)) {
                return Err("an address has no names below it: write it without `*.`");
            }
            self.listed.push(Listed::Below(format!(".{written}")));
        } else {
            self.listed.push(Listed::Name(written));
        }
        Ok(())
    }

    /// Takes in where a URL leads by its own text.
    pub fn learn(&mut self, target: &Target) {
        match target {
            Target::Any => {}
            Target::Host { https, port } => {
                self.ports.extend(*port);
                self.plain_http |= !https;
            }
            Target::Origin(url) => self.literal.extend(origin(url)),
        }
    }

    /// Whether `hosts` lists any.
    pub fn lists_any(&self) -> bool {
        !self.listed.is_empty()
    }

    /// Whether any URL writes its host out.
    pub fn has_literal(&self) -> bool {
        !self.literal.is_empty()
    }

    /// Judges a URL as it would be sent.
    pub fn check(&self, url: &Url) -> Result<(), RenderError> {
        let Some(origin) = origin(url) else {
            return Err(RenderError::NotAUrl);
        };
        if self.literal.contains(&origin) {
            return Ok(());
        }
        let (scheme, host, port) = origin;
        let listed = self.listed.iter().any(|listed| match listed {
            Listed::Name(name) => host == *name,
            Listed::Below(domain) => host.len() > domain.len() && host.ends_with(domain),
        });
        if !listed {
            return Err(RenderError::HostNotAllowed);
        }
        // A token must not go over the wire in the clear because an answer said so.
        let usual = match scheme.as_str() {
            "https" => port == 443,
            _ if self.plain_http => port == 80,
            _ => return Err(RenderError::PlainHttp),
        };
        if usual || self.ports.contains(&port) {
            return Ok(());
        }
        Err(RenderError::HostNotAllowed)
    }
}

const NO_HOST: &str = "this is neither a host name nor `*.` and a domain; write no scheme, port or \
                       path";

fn origin(url: &Url) -> Option<(String, String, u16)> {
    let host = url.host_str().filter(|host| !host.is_empty())?;
    Some((
        url.scheme().to_owned(),
        host.to_ascii_lowercase(),
        url.port_or_known_default()?,
    ))
}
