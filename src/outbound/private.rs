//! Which private addresses requests may go to.
//!
//! Whoever declares a type or a subscription must not reach into the network that this process stands in. An
//! administrator may open single hosts of it, for the platform's own apps and sinks. Pure.

use serde::{Deserialize, Serialize};
use url::Url;

use super::AddressPolicy;

/// Which private addresses requests may go to. Metadata and link-local addresses are never
/// among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrivateAddresses {
    /// All of them: on a developer's machine.
    All,
    /// Those of these hosts.
    Of(Vec<PrivateHost>),
}

/// A host that may be at a private address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrivateHost {
    /// A host name, `*.` and a domain for all names below it, or a literal address.
    /// Example: `api.crm.svc`
    pub host: String,
    /// The ports; no other is opened.
    pub ports: Vec<u16>,
    /// The namespaces whose event types and subscriptions may call it; `*` means every one.
    pub namespaces: Vec<String>,
}

impl PrivateAddresses {
    /// No private address at all.
    pub const NONE: Self = Self::Of(Vec::new());

    /// What governs a request to `url` for an event type or a subscription of `namespace`.
    pub fn policy(&self, url: &Url, namespace: &str) -> AddressPolicy {
        let is_open = match self {
            Self::All => true,
            Self::Of(hosts) => hosts.iter().any(|host| host.opens(url, namespace)),
        };
        if is_open {
            AddressPolicy::AllowPrivate
        } else {
            AddressPolicy::PublicOnly
        }
    }
}

impl PrivateHost {
    fn opens(&self, url: &Url, namespace: &str) -> bool {
        let Self {
            host,
            ports,
            namespaces,
        } = self;
        let port_matches = url
            .port_or_known_default()
            .is_some_and(|port| ports.contains(&port));
        let namespace_matches = namespaces.iter().any(|it| it == "*" || it == namespace);
        let host_matches = url
            .host_str()
            .is_some_and(|asked| match host.strip_prefix("*.") {
                Some(domain) => asked
                    .strip_suffix(&domain.to_ascii_lowercase())
                    .is_some_and(|below| below.len() > 1 && below.ends_with('.')),
                None => asked.eq_ignore_ascii_case(host),
            });
        port_matches && namespace_matches && host_matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_administrator_lists_is_opened() {
        let opened = PrivateAddresses::Of(vec![
            PrivateHost {
                host: "API.crm.svc".into(),
                ports: vec![443, 8443],
                namespaces: vec!["crm".into()],
            },
            PrivateHost {
                host: "*.shops.internal".into(),
                ports: vec![80],
                namespaces: vec!["*".into()],
            },
            PrivateHost {
                host: "10.1.2.3".into(),
                ports: vec![80],
                namespaces: vec!["crm".into()],
            },
        ]);
        let check = |url: &str, namespace: &str, expected: bool| {
            let url = Url::parse(url).unwrap();
            let is_open = opened.policy(&url, namespace) == AddressPolicy::AllowPrivate;
            assert_eq!(is_open, expected, "{url} for {namespace}");
            let all = PrivateAddresses::All.policy(&url, namespace);
            assert_eq!(all, AddressPolicy::AllowPrivate);
        };
        check("https://api.crm.svc/hooks", "crm", true);
        check("https://api.crm.svc:8443/", "crm", true);
        check("https://api.crm.svc:444/", "crm", false);
        check("http://api.crm.svc/", "crm", false);
        check("https://api.crm.svc/", "sales", false);
        check("https://other.crm.svc/", "crm", false);
        check("http://a.shops.internal/", "anyone", true);
        check("http://a.b.shops.internal/", "anyone", true);
        check("http://shops.internal/", "anyone", false);
        check("http://evilshops.internal/", "anyone", false);
        check("http://.shops.internal/", "anyone", false);
        check("http://10.1.2.3/", "crm", true);
        // Another spelling of the same address.
        check("http://167838211/", "crm", true);
        check("http://10.1.2.4/", "crm", false);
    }
}
