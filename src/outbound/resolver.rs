//! A resolver that returns only addresses a policy allows.
//!
//! Whatever connects through it connects to an address it returned, so the address that was judged
//! is the address that is used. When nothing allowed is left, resolving fails.
//!
//! Looking a name up blocks a thread, for as long as the system's resolver waits for its servers.
//! So there is at most one look-up of a name at a time, shared by all who wait for it: a dead name
//! server or a name that nobody answers for holds one thread, not one for each delivery.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{AddressPolicy, AddressRefused, judge};

/// Looks up a name's addresses.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's resolver, one look-up of a name at a time.
pub(super) fn system_lookup() -> Lookup {
    one_at_a_time(Arc::new(|host: String| {
        async move {
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        }
        .boxed()
    }))
}

type SharedLookup = Shared<BoxFuture<'static, Result<Vec<IpAddr>, Arc<io::Error>>>>;

/// Makes look-ups of the same name wait for the one that is under way.
fn one_at_a_time(lookup: Lookup) -> Lookup {
    let pending: Arc<Mutex<HashMap<String, SharedLookup>>> = Arc::default();
    Arc::new(move |host| {
        // The map is never left half changed, so a poisoned lock is still good.
        let mut names = pending.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = names.entry(host.clone()).or_insert_with(|| {
            let (lookup, pending) = (lookup.clone(), pending.clone());
            // A task of its own: who waits may give up, the blocked thread does not.
            let task = tokio::spawn(async move {
                let answer = lookup(host.clone()).await.map_err(Arc::new);
                let mut names = pending.lock().unwrap_or_else(PoisonError::into_inner);
                names.remove(&host);
                answer
            });
            task.map(|joined| joined.unwrap_or_else(|error| Err(Arc::new(io::Error::other(error)))))
                .boxed()
                .shared()
        });
        let shared = shared.clone();
        async move {
            let answer = shared.await;
            answer.map_err(|error| io::Error::new(error.kind(), error))
        }
        .boxed()
    })
}

/// Why a name led nowhere.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The name has no address, or nobody answered.
    #[error("failed to resolve the host name")]
    Lookup(#[source] io::Error),
    /// The name has addresses, and every one of them is forbidden.
    #[error("the host name resolves to a forbidden address")]
    Forbidden(#[source] AddressRefused),
    /// The name resolves to nothing.
    #[error("the host name has no address")]
    Empty,
}

/// See the module's description.
pub(super) struct GuardedResolver {
    lookup: Lookup,
    policy: AddressPolicy,
    /// The forward proxy's name: an administrator chose it, so it may be at a private address.
    proxy_host: Option<String>,
}

impl GuardedResolver {
    pub(super) fn new(lookup: Lookup, policy: AddressPolicy, proxy_host: Option<String>) -> Self {
        Self {
            lookup,
            policy,
            proxy_host,
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = match &self.proxy_host {
            Some(proxy) if proxy == name.as_str() => AddressPolicy::AllowPrivate,
            _ => self.policy,
        };
        let lookup = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let found = lookup.await.map_err(ResolveError::Lookup)?;
            let allowed = allowed(policy, &found)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn allowed(policy: AddressPolicy, found: &[IpAddr]) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut allowed = Vec::with_capacity(found.len());
    let mut refused = None;
    for &address in found {
        match judge(policy, address) {
            // Port 0 is replaced by the URL's own.
            Ok(()) => allowed.push(SocketAddr::new(address, 0)),
            Err(refusal) => refused = Some(refusal),
        }
    }
    match (allowed.is_empty(), refused) {
        (false, _) => Ok(allowed),
        (true, Some(refused)) => Err(ResolveError::Forbidden(refused)),
        (true, None) => Err(ResolveError::Empty),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_allowed_addresses_of_a_name_are_returned() {
        let check = |found: &[&str], expected: &[&str]| {
            let allowed = allowed(AddressPolicy::PublicOnly, &addresses(found)).unwrap();
            let allowed: Vec<_> = allowed.iter().map(|address| address.ip()).collect();
            assert_eq!(allowed, addresses(expected));
        };
        check(&["1.1.1.1"], &["1.1.1.1"]);
        check(&["127.0.0.1", "1.1.1.1", "::1"], &["1.1.1.1"]);
        check(&["10.0.0.1", "2606:4700::1111"], &["2606:4700::1111"]);
    }

    #[test]
    fn a_name_without_an_allowed_address_is_refused() {
        let check = |found: &[&str], expected: &str| {
            let error = allowed(AddressPolicy::PublicOnly, &addresses(found)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(&[], "the host name has no address");
        check(
            &["127.0.0.1", "::1"],
            "the host name resolves to a forbidden address",
        );
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_however_many_wait_for_it() {
        let calls = Arc::new(AtomicUsize::new(0));
        let release = Arc::new(tokio::sync::Notify::new());
        let lookup = one_at_a_time({
            let (calls, release) = (calls.clone(), release.clone());
            Arc::new(move |_| {
                calls.fetch_add(1, Ordering::Relaxed);
                let release = release.clone();
                async move {
                    release.notified().await;
                    Ok(addresses(&["1.1.1.1"]))
                }
                .boxed()
            })
        });
        // One who waits gives up; the look-up goes on and serves the others.
        let mut gives_up = lookup("slow.example".into());
        assert!((&mut gives_up).now_or_never().is_none());
        drop(gives_up);
        let waiting: Vec<_> = (0..50).map(|_| lookup("slow.example".into())).collect();
        release.notify_one();
        for answer in futures_util::future::join_all(waiting).await {
            assert_eq!(answer.unwrap(), addresses(&["1.1.1.1"]));
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        // The answer is not kept: names move.
        release.notify_one();
        lookup("slow.example".into()).await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
