//! The certificates of the configuration listener: an authority of our own, and what it issues.
//!
//! Pods trust the authorities of a bundle that reaches them minutes late, as files do that a kubelet
//! copies. So a new authority stands in the bundle for a while before anything is issued by it, and
//! the old one stays until it has expired. What is due is decided here from what is kept and the
//! time; making it is the only step that takes randomness. Where it is kept is the caller's.

mod make;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use make::{MakeError, make};

use crate::configuration::Sensitive;

/// How long an authority lasts.
const AUTHORITY_LASTS: Duration = Duration::from_hours(365 * 24);

/// How long before its end the next one is made. Whoever was away for less than this knows both.
const AUTHORITY_BEFORE: Duration = Duration::from_hours(90 * 24);

/// How long an authority is only trusted before it issues anything: many times what a kubelet takes
/// to hand on a ConfigMap.
const SPREADING: Duration = Duration::from_hours(24);

/// How long a certificate of the listener lasts.
const SERVING_LASTS: Duration = Duration::from_hours(30 * 24);

/// How long before its end the next one is made.
const SERVING_BEFORE: Duration = Duration::from_hours(10 * 24);

/// Certificates are in force a little before they are made: clocks differ.
const SKEW: Duration = Duration::from_hours(1);

/// What is kept. As JSON it is what stands in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Certificates {
    /// The authorities that are trusted, the oldest first.
    pub authorities: Vec<Authority>,
    /// What the listener shows.
    pub serving: Option<Serving>,
}

/// A certificate authority.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Authority {
    /// Tells it from others: its certificate's common name.
    pub name: String,
    /// Its certificate, as PEM.
    pub certificate: String,
    /// Its private key, as PEM.
    pub key: Sensitive,
    /// When it was made.
    pub since: Timestamp,
    /// When it expires.
    pub until: Timestamp,
}

/// A certificate of the listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Serving {
    /// The certificate, as PEM.
    pub certificate: String,
    /// Its private key, as PEM.
    pub key: Sensitive,
    /// The host names that it is for.
    pub names: Vec<String>,
    /// [`Authority::name`] of who issued it.
    pub issuer: String,
    /// When it expires.
    pub until: Timestamp,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// An authority has expired: drop it.
    Drop(String),
    /// A new authority is needed.
    Authority,
    /// A new certificate for the listener is needed, by this authority.
    Serving(String),
    /// Nothing, before this time.
    Nothing(Timestamp),
}

impl Certificates {
    /// What is due now, for a listener of these host names.
    #[must_use]
    pub fn due(&self, names: &[String], now: Timestamp) -> Due {
        if let Some(expired) = self.authorities.iter().find(|it| it.until <= now) {
            return Due::Drop(expired.name.clone());
        }
        let Some(newest) = self.authorities.last() else {
            return Due::Authority;
        };
        let next_authority = before(newest.until, AUTHORITY_BEFORE);
        if next_authority <= now {
            return Due::Authority;
        }
        // The first one may issue at once: there is none that anybody could trust before it.
        let has_spread = |it: &&Authority| after(it.since, SPREADING) <= now;
        let issuers = self.authorities.iter().rev();
        let issuer = issuers.clone().find(has_spread);
        let issuer = issuer
            .or_else(|| self.authorities.first())
            .unwrap_or(newest);
        let fitting = self.serving.as_ref().filter(|serving| {
            // One that is not trusted any more, or not yet, is as good as none.
            serving.issuer == issuer.name
                && serving.names == names
                && before(serving.until, SERVING_BEFORE) > now
        });
        let Some(serving) = fitting else {
            return Due::Serving(issuer.name.clone());
        };
        let spread = after(newest.since, SPREADING);
        let times = [
            Some(next_authority),
            Some(before(serving.until, SERVING_BEFORE)),
            (newest.name != issuer.name).then_some(spread),
            self.authorities.iter().map(|it| it.until).min(),
        ];
        Due::Nothing(times.into_iter().flatten().min().unwrap_or(next_authority))
    }

    /// The certificates of all authorities, as PEM: what pods are to trust.
    #[must_use]
    pub fn bundle(&self) -> String {
        self.authorities
            .iter()
            .map(|authority| authority.certificate.as_str())
            .collect()
    }
}

/// A time so long before another; the earliest there is where that is not a time.
fn before(time: Timestamp, length: Duration) -> Timestamp {
    time.checked_sub(length).unwrap_or(Timestamp::MIN)
}

fn after(time: Timestamp, length: Duration) -> Timestamp {
    time.checked_add(length).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
