//! The forward proxy that an administrator may have put between this process and the internet.
//!
//! Where there is one, names are resolved by the proxy, so for requests through it the guard over
//! resolved addresses is the proxy's business; literal addresses are still judged here. Only
//! `https` URLs pass through it, as a tunnel, so the proxy sees neither events nor keys.

use std::fmt;

use reqwest::{NoProxy, Proxy};
use url::Url;

/// A forward proxy: `HTTPS_PROXY` and `NO_PROXY` of other tools.
#[derive(Clone)]
pub struct ProxySettings {
    url: Url,
    no_proxy: String,
}

/// Why a proxy cannot be used. The URL itself is not shown: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proxy must be an http or https URL with a host")]
pub struct ProxyError;

impl ProxySettings {
    /// What [`Self::from_variables`] reads.
    pub const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"];

    /// A proxy at `url` (`http` or `https`, user and password allowed) for every host but those in
    /// `no_proxy`: host names, domains, addresses and networks, separated by commas.
    ///
    /// # Errors
    /// When `url` is not an `http` or `https` URL.
    pub fn new(url: &str, no_proxy: &str) -> Result<Self, ProxyError> {
        let url = Url::parse(url).map_err(|_| ProxyError)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(ProxyError);
        }
        Ok(Self {
            url,
            no_proxy: no_proxy.to_owned(),
        })
    }

    /// The proxy that environment variables name, where `variable` looks one up: `HTTPS_PROXY` and
    /// `NO_PROXY`, upper case first. Empty is absent.
    ///
    /// # Errors
    /// When the variable is set and not an `http` or `https` URL.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ProxyError> {
        let either = |upper: &str, lower: &str| {
            let set = |name| variable(name).filter(|value| !value.is_empty());
            set(upper).or_else(|| set(lower))
        };
        either("HTTPS_PROXY", "https_proxy")
            .map(|url| Self::new(&url, &either("NO_PROXY", "no_proxy").unwrap_or_default()))
            .transpose()
    }

    /// The proxy's host, as names reach the resolver.
    pub(super) fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }

    pub(super) fn to_reqwest(&self) -> reqwest::Result<Proxy> {
        Ok(Proxy::https(self.url.clone())?.no_proxy(NoProxy::from_string(&self.no_proxy)))
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for ProxySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProxySettings")
            .field("host", &self.host())
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}
