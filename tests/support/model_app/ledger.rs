//! What the app remembers: registrations with their whole lives, requests, events that it sent.

use std::time::{Duration, Instant};

use http::HeaderMap;

use super::Op;

/// A registration.
#[derive(Clone, Debug)]
pub struct Hook {
    pub id: String,
    pub tenant: String,
    pub target: String,
    /// What events are signed with.
    pub secret: String,
    /// Whether it is somebody else's.
    pub is_foreign: bool,
    pub made: Instant,
    pub expires: Option<Instant>,
    /// Whether events are sent.
    pub is_enabled: bool,
    /// When and why it stands no more.
    pub ended: Option<(Instant, End)>,
    /// Why the app gave it up, if it did: it is an accident.
    pub disabled: Option<String>,
    /// The rest of the body that it was registered with.
    pub body: serde_json::Value,
    pub(super) idempotency_key: Option<String>,
    pub(super) failures: u32,
    pub(super) client_errors: u32,
}

/// Why a registration stands no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Deleted,
    /// Its time was over.
    Expired,
    /// Another URL was set.
    Replaced,
    /// The app lost it.
    Forgotten,
}

/// A request to the API.
#[derive(Clone, Debug)]
pub struct Asked {
    pub op: Op,
    pub tenant: String,
    pub at: Instant,
    /// Method, path and query.
    pub line: String,
    pub headers: HeaderMap,
    pub body: String,
    /// `None` until it is answered.
    pub status: Option<u16>,
    /// When it was answered.
    pub answered_at: Option<Instant>,
    /// Whether it would have changed a registration of somebody else.
    pub is_about_foreign: bool,
}

/// A try to send an event.
#[derive(Clone, Debug)]
pub struct Sent {
    pub tenant: String,
    pub event_id: String,
    pub hook: String,
    pub target: String,
    pub at: Instant,
    /// `None`: no answer.
    pub status: Option<u16>,
}

#[derive(Default)]
pub(super) struct Ledger {
    hooks: Vec<Hook>,
    asked: Vec<Asked>,
    sent: Vec<Sent>,
}

impl Ledger {
    pub(super) fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    /// The same, to be set right by the tests of the app itself.
    pub(super) fn hooks_mut(&mut self) -> &mut [Hook] {
        &mut self.hooks
    }

    pub(super) fn asked(&self) -> &[Asked] {
        &self.asked
    }

    pub(super) fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Notes a request; the number to say its answer with.
    pub(super) fn ask(&mut self, asked: Asked) -> usize {
        self.asked.push(asked);
        self.asked.len() - 1
    }

    pub(super) fn answer(&mut self, number: usize, status: u16) {
        let asked = &mut self.asked[number];
        asked.status = Some(status);
        asked.answered_at = Some(Instant::now());
    }

    pub(super) fn note(&mut self, sent: Sent) {
        self.sent.push(sent);
    }

    pub(super) fn add(
        &mut self,
        tenant: &str,
        target: &str,
        secret: &str,
        is_foreign: bool,
        lifetime: Option<Duration>,
        idempotency_key: Option<String>,
    ) -> &mut Hook {
        let now = Instant::now();
        self.hooks.push(Hook {
            id: format!("h_{}", self.hooks.len() + 1),
            tenant: tenant.to_owned(),
            target: target.to_owned(),
            secret: secret.to_owned(),
            is_foreign,
            made: now,
            expires: lifetime.map(|lifetime| now + lifetime),
            is_enabled: true,
            ended: None,
            disabled: None,
            body: serde_json::Value::Null,
            idempotency_key,
            failures: 0,
            client_errors: 0,
        });
        self.hooks.last_mut().unwrap()
    }

    pub(super) fn get(&mut self, id: &str) -> Option<&mut Hook> {
        if id.is_empty() {
            return None;
        }
        // Where the one who registers chooses the id, the last one of it counts.
        self.hooks.iter_mut().rfind(|hook| hook.id == id)
    }

    pub(super) fn end(&mut self, id: &str, at: Instant, end: End) {
        if let Some(hook) = self.get(id).filter(|hook| hook.ended.is_none()) {
            hook.ended = Some((at, end));
        }
    }

    /// Ends those whose time is over.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        for hook in &mut self.hooks {
            if hook.ended.is_none() && hook.expires.is_some_and(|expires| expires <= now) {
                hook.ended = Some((now, End::Expired));
            }
        }
    }

    /// Ours that stand.
    pub(super) fn live(&mut self, tenant: &str) -> Vec<Hook> {
        self.expire();
        self.hooks
            .iter()
            .filter(|hook| hook.tenant == tenant && hook.ended.is_none() && !hook.is_foreign)
            .cloned()
            .collect()
    }

    /// What a list shows that lags behind so much: the state as it was then.
    pub(super) fn listed(&mut self, tenant: &str, lag: Duration) -> Vec<Hook> {
        self.expire();
        self.listed_at(tenant, Instant::now().checked_sub(lag).unwrap())
    }

    /// What was there at a moment; those of others always.
    pub(super) fn listed_at(&self, tenant: &str, then: Instant) -> Vec<Hook> {
        let was_there = |hook: &&Hook| {
            hook.tenant == tenant
                && (hook.made <= then || hook.is_foreign)
                && hook.ended.is_none_or(|(at, _)| at > then)
        };
        self.hooks.iter().filter(was_there).cloned().collect()
    }
}
