//! The webhooks of one tenant: registered, listed, renewed, expired, disabled, removed.
//!
//! Kept in memory: an app that starts anew has forgotten them, which is a good way to watch how
//! whoever registered finds out.

use super::clock::rfc3339;
use super::json::Json;

/// A tenant may have so many webhooks.
const MOST: usize = 100;

/// So many failures in a row disable a webhook.
const MOST_FAILURES: u32 = 8;

/// One webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub id: String,
    /// Where events are sent.
    pub target: String,
    /// The kind of event that is sent.
    pub event: String,
    /// What requests are signed with. Never shown again after the registration.
    pub secret: String,
    /// Seconds since 1970.
    pub expires: u64,
    /// Whether events are sent: a target that does not work any more is given up.
    pub is_active: bool,
    failures: u32,
}

impl Webhook {
    /// What the API shows of it.
    pub fn json(&self) -> Json {
        Json::object([
            ("id", Json::text(&self.id)),
            ("target", Json::text(&self.target)),
            ("event", Json::text(&self.event)),
            ("active", Json::Bool(self.is_active)),
            ("expires", Json::text(&rfc3339(self.expires))),
        ])
    }
}

/// Why a webhook is not registered.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    /// The same event is sent to the same target already.
    Exists,
    /// There are too many.
    TooMany,
}

/// What became of sending an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sent {
    /// A 2xx answer.
    Taken,
    /// 404 or 410: nobody will ever want it.
    Unwanted,
    /// Anything else, or no answer.
    Failed,
}

/// The webhooks of one tenant, oldest first.
#[derive(Debug, Default)]
pub struct Webhooks {
    all: Vec<Webhook>,
    registered: u64,
}

impl Webhooks {
    /// Whether a webhook may be registered.
    pub fn may_register(&self, target: &str, event: &str) -> Result<(), Refusal> {
        if self
            .all
            .iter()
            .any(|one| one.target == target && one.event == event)
        {
            return Err(Refusal::Exists);
        }
        if self.all.len() >= MOST {
            return Err(Refusal::TooMany);
        }
        Ok(())
    }

    /// Registers a webhook.
    pub fn register(
        &mut self,
        target: &str,
        event: &str,
        secret: &str,
        expires: u64,
    ) -> Result<Webhook, Refusal> {
        self.may_register(target, event)?;
        self.registered += 1;
        let webhook = Webhook {
            id: format!("wh_{}", self.registered),
            target: target.to_owned(),
            event: event.to_owned(),
            secret: secret.to_owned(),
            expires,
            is_active: true,
            failures: 0,
        };
        self.all.push(webhook.clone());
        Ok(webhook)
    }

    /// A page of webhooks: those after one, and the id after which the next page begins.
    pub fn page(&self, after: Option<&str>, size: usize) -> (&[Webhook], Option<&str>) {
        let start = after
            .and_then(|after| self.all.iter().position(|one| one.id == after))
            .map_or(0, |position| position + 1);
        let end = (start + size).min(self.all.len());
        let page = &self.all[start..end];
        let next = page.last().filter(|_| end < self.all.len());
        (page, next.map(|last| last.id.as_str()))
    }

    /// One webhook.
    pub fn get(&self, id: &str) -> Option<&Webhook> {
        self.all.iter().find(|one| one.id == id)
    }

    /// Lets a webhook last until `expires`.
    pub fn renew(&mut self, id: &str, expires: u64) -> Option<&Webhook> {
        let webhook = self.all.iter_mut().find(|one| one.id == id)?;
        webhook.expires = expires;
        Some(webhook)
    }

    /// Removes a webhook; whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.all.len();
        self.all.retain(|one| one.id != id);
        self.all.len() < before
    }

    /// Removes those whose time is over.
    pub fn expire(&mut self, now: u64) {
        self.all.retain(|one| one.expires > now);
    }

    /// Where an event of this kind is sent.
    pub fn of(&self, event: &str) -> Vec<Webhook> {
        self.all
            .iter()
            .filter(|one| one.is_active && one.event == event)
            .cloned()
            .collect()
    }

    /// Takes note of what became of sending an event; whether the webhook is disabled by that.
    pub fn note(&mut self, id: &str, sent: Sent) -> bool {
        let Some(webhook) = self.all.iter_mut().find(|one| one.id == id) else {
            return false;
        };
        webhook.failures = match sent {
            Sent::Taken => 0,
            Sent::Unwanted => MOST_FAILURES,
            Sent::Failed => webhook.failures + 1,
        };
        let was_active = webhook.is_active;
        webhook.is_active &= webhook.failures < MOST_FAILURES;
        was_active && !webhook.is_active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Webhooks {
        let mut webhooks = Webhooks::default();
        for (target, expires) in [("http://a/", 100), ("http://b/", 200), ("http://c/", 300)] {
            webhooks
                .register(target, "contact.created", "secret", expires)
                .unwrap();
        }
        webhooks
    }

    fn ids(webhooks: &[Webhook]) -> Vec<&str> {
        webhooks.iter().map(|one| one.id.as_str()).collect()
    }

    #[test]
    fn the_same_webhook_is_registered_once() {
        let mut webhooks = three();
        let again = webhooks.register("http://a/", "contact.created", "other", 100);
        assert_eq!(again.unwrap_err(), Refusal::Exists);
        assert!(
            webhooks
                .register("http://a/", "contact.deleted", "other", 100)
                .is_ok()
        );
    }

    #[test]
    fn pages_hold_each_webhook_once() {
        let webhooks = three();
        let (page, next) = webhooks.page(None, 2);
        assert_eq!((ids(page), next), (vec!["wh_1", "wh_2"], Some("wh_2")));
        let (page, next) = webhooks.page(next, 2);
        assert_eq!((ids(page), next), (vec!["wh_3"], None));
    }

    #[test]
    fn webhooks_expire_unless_they_are_renewed() {
        let mut webhooks = three();
        assert!(webhooks.renew("wh_1", 400).is_some());
        assert!(webhooks.renew("wh_9", 400).is_none());
        webhooks.expire(200);
        assert_eq!(ids(webhooks.page(None, 9).0), ["wh_1", "wh_3"]);
        assert!(webhooks.remove("wh_3") && !webhooks.remove("wh_3"));
    }

    #[test]
    fn a_target_that_fails_for_long_is_given_up() {
        let mut webhooks = three();
        for _ in 1..MOST_FAILURES {
            assert!(!webhooks.note("wh_1", Sent::Failed));
        }
        assert!(!webhooks.note("wh_1", Sent::Taken));
        assert_eq!(webhooks.of("contact.created").len(), 3);
        for _ in 1..MOST_FAILURES {
            assert!(!webhooks.note("wh_1", Sent::Failed));
        }
        assert!(webhooks.note("wh_1", Sent::Failed));
        assert!(webhooks.note("wh_2", Sent::Unwanted));
        assert_eq!(ids(&webhooks.of("contact.created")), ["wh_3"]);
    }
}
