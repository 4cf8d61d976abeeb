//! The way out: HTTP clients for requests to addresses that somebody else wrote down.
//!
//! A sink's URL (and later an app's API) comes from a manifest, so it must not become a way into
//! the network that this process stands in. Three things together see to that: the URL is judged
//! after parsing, so that every spelling of an address is the same address; the resolver drops
//! forbidden addresses from what it returns, so that no answer can be swapped between check and
//! use; and no redirect is followed.
//!
//! Public roots are compiled in, because an image without a file system has none. Limits per host,
//! retries and what an answer means are not here: they belong to the callers.

mod address;
mod failure;
mod private;
mod proxy;
mod resolver;
mod retry_after;
mod tls;

pub use address::{AddressPolicy, AddressRefused, judge};
pub use failure::{Unanswered, UnansweredKind};
pub use private::{PrivateAddresses, PrivateHost};
pub use proxy::{ProxyError, ProxySettings};
pub use resolver::{Lookup, ResolveError};
pub use retry_after::retry_after;
pub use tls::TlsError;

use std::sync::Arc;
use std::time::Duration;

use url::{Host, Url};

use crate::configuration::Tls;

/// How long connecting (name, TCP, TLS) may take, whatever the whole request's limit is: an
/// address that drops packets is known as such soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Idle connections are closed before the 60 s after which common load balancers close them, so
/// that a request seldom meets a connection that is just going away.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Idle connections kept for one host.
const IDLE_CONNECTIONS_PER_HOST: usize = 32;

/// Bytes of response headers that HTTP/2 peers may send.
const RESPONSE_HEADER_BYTES: u32 = 64 * 1024;

/// Response headers that HTTP/1.1 peers may send.
const RESPONSE_HEADERS: usize = 128;

/// What clients are made from; the same for the whole process.
#[derive(Clone)]
pub struct Outbound {
    lookup: Lookup,
    proxy: Option<ProxySettings>,
    /// Whether clients that may go to private addresses pass through the proxy too.
    proxy_for_all: bool,
    /// Roots that are trusted beside the public ones, as PEM.
    more_roots: Option<Arc<str>>,
}

impl Outbound {
    /// Clients that resolve names as the system does. `proxy` is for `https` URLs of clients that
    /// may go to public addresses only; in-cluster requests never pass through it.
    pub fn new(proxy: Option<ProxySettings>) -> Self {
        Self::with_lookup(resolver::system_lookup(), proxy)
    }

    /// Clients that resolve names by `lookup`.
    pub fn with_lookup(lookup: Lookup, proxy: Option<ProxySettings>) -> Self {
        Self {
            lookup,
            proxy,
            proxy_for_all: false,
            more_roots: None,
        }
    }

    /// The proxy also for clients that may go to private addresses: on a developer's machine the
    /// same client calls both, and `NO_PROXY` says what is near.
    #[must_use]
    pub fn with_proxy_for_all(mut self) -> Self {
        self.proxy_for_all = true;
        self
    }

    /// Trusts the certificates of a PEM bundle beside the public roots, where a client has no
    /// bundle of its own.
    #[must_use]
    pub fn with_more_roots(mut self, pem: &str) -> Self {
        self.more_roots = Some(pem.into());
        self
    }

    /// Builds a client for URLs that `policy` governs. HTTP/1.1, and HTTP/2 where TLS negotiates
    /// it.
    ///
    /// The resolver guards names; a URL must still pass [`Outbound::check`] before each use of the
    /// client, because literal addresses never reach a resolver.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn client(&self, policy: AddressPolicy, tls: &Tls) -> Result<reqwest::Client, ClientError> {
        let proxy = self.proxy_under(policy);
        let resolver =
            resolver::GuardedResolver::new(self.lookup.clone(), policy, proxy.map(|p| p.host()));
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .tls_backend_preconfigured(tls::client_config(tls, self.more_roots.as_deref())?)
            .dns_resolver(Arc::new(resolver))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
            .http1_max_headers(RESPONSE_HEADERS)
            .http2_max_header_list_size(RESPONSE_HEADER_BYTES)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .tcp_keepalive(Duration::from_secs(30));
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy.to_reqwest().map_err(ClientError::Proxy)?);
        }
        builder.build().map_err(ClientError::Build)
    }

    /// Whether a request to `url` may be sent by a client of `policy`.
    ///
    /// # Errors
    /// When the URL is not one that requests go to, or names an address that `policy` forbids.
    pub fn check(&self, policy: AddressPolicy, url: &Url) -> Result<(), UrlRefused> {
        check_url(policy, url)?;
        // The resolver lets the proxy's own name through at a private address. Nobody but the
        // proxy itself may profit from that.
        let proxy = self.proxy_under(policy);
        if proxy.is_some_and(|proxy| url.host_str() == Some(&proxy.host())) {
            return Err(UrlRefused::Proxy);
        }
        Ok(())
    }

    fn proxy_under(&self, policy: AddressPolicy) -> Option<&ProxySettings> {
        self.proxy
            .as_ref()
            .filter(|_| self.proxy_for_all || policy == AddressPolicy::PublicOnly)
    }
}

/// Whether requests may go to `url` under `policy`, as far as the URL itself tells: a pure check,
/// also for whoever validates manifests.
///
/// # Errors
/// When the URL is not one that requests go to, or is a literal address that `policy` forbids.
pub fn check_url(policy: AddressPolicy, url: &Url) -> Result<(), UrlRefused> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlRefused::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlRefused::Credentials);
    }
    match url.host() {
        None => Err(UrlRefused::Scheme),
        Some(Host::Domain(_)) => Ok(()),
        Some(Host::Ipv4(address)) => Ok(judge(policy, address.into())?),
        Some(Host::Ipv6(address)) => Ok(judge(policy, address.into())?),
    }
}

/// Why a URL is no target. The text holds nothing of the URL's path or query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Only `http` and `https` lead out.
    #[error("it must be an absolute http or https URL")]
    Scheme,
    /// Credentials in URLs end up in logs.
    #[error("it must not hold a user name or password; use a header")]
    Credentials,
    /// A literal address that the policy forbids.
    #[error(transparent)]
    Address(#[from] AddressRefused),
    /// The forward proxy's own name.
    #[error("it names the proxy that requests pass through")]
    Proxy,
}

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS options cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The proxy's URL cannot be used.
    #[error("failed to use the proxy")]
    Proxy(#[source] reqwest::Error),
    /// Anything else.
    #[error("failed to build an HTTP client")]
    Build(#[source] reqwest::Error),
}

#[cfg(test)]
mod tests;
