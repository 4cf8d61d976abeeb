//! How often, and how many at the same time: what one host of an app is asked to bear.
//!
//! Types share hosts, so their limits are one: of all types that call a host the strictest counts,
//! for the whole process. A host that asks for a pause gets it, and one that fails time after time
//! is asked only now and then until it answers again, however many customers wait.
//!
//! Requests are spaced evenly rather than let through in bursts: an app that allows 20 a second may
//! well refuse 40 in the first one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use url::Url;

use crate::api::RequestLimits;
use crate::event::ObjectName;

/// How far the spacing of requests may be caught up: timers are not more exact.
const SLACK: Duration = Duration::from_millis(20);

/// Failures in a row after which a host counts as failing. More than the usual concurrency, so
/// that one bad moment of what is under way does not count as several.
const FAILURES_TO_PAUSE: u32 = 10;

/// The first pause of a host that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause of a host that fails, unless it asks for more: its recovery is noticed within
/// this time, and while it is down it is asked twice a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause of a whole host because it asks for one: it may mean only one customer, whose
/// own record remembers the rest.
const LONGEST_ASKED: Duration = Duration::from_secs(10 * 60);

/// Hosts that are remembered before those are forgotten of which nothing is to be remembered.
const HOSTS_TO_SWEEP: usize = 1_024;

/// All hosts of all apps.
#[derive(Default)]
pub struct Hosts {
    hosts: Mutex<HashMap<HostName, Arc<Host>>>,
}

/// A host and its port, in the form that URLs of it have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

impl HostName {
    /// The host that requests to `url` go to.
    #[must_use]
    pub fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        Self(format!(
            "{host}:{}",
            url.port_or_known_default().unwrap_or_default()
        ))
    }
}

/// How a request to a host went, as far as it says something about the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answered, whatever it said.
    Good,
    /// It did not answer, or with 429 or 5xx; with the `Retry-After` that it gave.
    Bad(Option<Duration>),
    /// Nothing can be said: the request was not sent for reasons of our own.
    Unknown,
}

/// The permission to send one request. Whoever holds it counts as one of those under way.
pub struct Permit {
    host: Arc<Host>,
    name: HostName,
    health: Health,
}

impl Permit {
    /// The host that it is for.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.name
    }

    /// Gives it back, with how the request went.
    pub fn done(mut self, health: Health) {
        self.health = health;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.host.lock();
        state.open = state.open.saturating_sub(1);
        state.learn(self.health, Instant::now());
        drop(state);
        self.host.freed.notify_one();
    }
}

#[derive(Default)]
struct Host {
    /// Who waits, in the order in which they came; the first one holds it.
    queue: tokio::sync::Mutex<()>,
    /// Something changed that the first one in the queue waits for.
    freed: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    limits: BTreeMap<ObjectName, (u32, u32)>,
    open: u32,
    /// When the next request may go by the spacing.
    next_at: Option<Instant>,
    paused_until: Option<Instant>,
    failures: u32,
    pause: Duration,
}

impl Host {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is never left half changed, so a poisoned lock is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn requests_per_second(&self) -> u32 {
        let rates = self.limits.values().map(|(rate, _)| *rate);
        rates.min().unwrap_or(1).max(1)
    }

    fn concurrency(&self) -> u32 {
        if self.failures >= FAILURES_TO_PAUSE {
            // One probe at a time.
            return 1;
        }
        let all = self.limits.values().map(|(_, concurrency)| *concurrency);
        all.min().unwrap_or(1).max(1)
    }

    fn pause(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    fn learn(&mut self, health: Health, now: Instant) {
        let asked = match health {
            Health::Unknown => return,
            Health::Good => {
                self.failures = 0;
                self.pause = Duration::ZERO;
                return;
            }
            Health::Bad(asked) => asked,
        };
        self.failures = self.failures.saturating_add(1);
        let mut pause = asked.unwrap_or_default().min(LONGEST_ASKED);
        // What was under way when a pause began says nothing new.
        if self.failures >= FAILURES_TO_PAUSE && self.pause(now).is_none() {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            pause = pause.max(self.pause);
        }
        if !pause.is_zero() {
            self.paused_until = self.paused_until.max(now.checked_add(pause));
        }
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.open == 0
            && self.failures == 0
            && self.pause(now).is_none()
            && self.next_at.is_none_or(|at| at <= now)
    }
}

impl Hosts {
    /// Takes in what a type allows of a host that it calls.
    pub fn know(&self, name: &HostName, event_type: &ObjectName, limits: &RequestLimits) {
        let host = self.host(name);
        let own = (limits.requests_per_second(), limits.concurrency());
        let mut state = host.lock();
        if state.limits.get(event_type) != Some(&own) {
            state.limits.insert(event_type.clone(), own);
        }
    }

    /// Waits for the permission to send one request to a host. Permissions are given in the order
    /// in which they were asked for.
    ///
    /// # Errors
    /// When the host is paused: then nobody waits, because it can be long; until when.
    pub async fn permit(&self, name: &HostName) -> Result<Permit, Instant> {
        let host = self.host(name);
        let _first = host.queue.lock().await;
        loop {
            let wait_until = {
                let mut state = host.lock();
                let now = Instant::now();
                if let Some(until) = state.pause(now) {
                    return Err(until);
                }
                let next_at = state.next_at.unwrap_or(now);
                if state.open >= state.concurrency() {
                    None
                } else if next_at > now {
                    Some(next_at)
                } else {
                    let spacing = Duration::from_secs(1) / state.requests_per_second();
                    let from = now.checked_sub(SLACK).map_or(next_at, |at| at.max(next_at));
                    state.next_at = Some(from + spacing);
                    state.open += 1;
                    break;
                }
            };
            match wait_until {
                Some(at) => sleep_until(at).await,
                None => host.freed.notified().await,
            }
        }
        drop(_first);
        Ok(Permit {
            name: name.clone(),
            host,
            health: Health::Unknown,
        })
    }

    /// Until when a host is paused, if it is.
    #[must_use]
    pub fn paused_until(&self, name: &HostName) -> Option<Instant> {
        let host = self.lock().get(name).cloned()?;
        let state = host.lock();
        state.pause(Instant::now())
    }

    /// How many requests may be under way to a host at the same time.
    #[must_use]
    pub fn concurrency(&self, name: &HostName) -> usize {
        let host = self.lock().get(name).cloned();
        host.map_or(1, |host| host.lock().concurrency() as usize)
    }

    /// Forgets the limits of types that are not there any more.
    pub fn keep_types(&self, is_there: impl Fn(&ObjectName) -> bool) {
        for host in self.lock().values() {
            host.lock().limits.retain(|name, _| is_there(name));
        }
    }

    fn host(&self, name: &HostName) -> Arc<Host> {
        let mut hosts = self.lock();
        if hosts.len() >= HOSTS_TO_SWEEP && hosts.len().is_power_of_two() {
            let now = Instant::now();
            hosts.retain(|_, host| Arc::strong_count(host) > 1 || !host.lock().is_idle(now));
        }
        Arc::clone(hosts.entry(name.clone()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostName, Arc<Host>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
