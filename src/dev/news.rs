//! What became of subscriptions at apps, a line for each change that a person cares about.
//!
//! A retry is none: what goes wrong is told when it begins to, and when it is over. Nothing is told
//! that the start-up table shows already.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::api::condition::{SUBSCRIBED, reason};
use crate::api::{SubscriptionState, UpstreamSubscriptionStatus};
use crate::event::ObjectName;
use crate::provision::driver::View;

/// Knows what was told last.
pub struct News {
    last: HashMap<ObjectName, Told>,
    has_begun: bool,
    /// When the process started: what stood before is no news.
    started: Timestamp,
    /// Whether it was told that the public URL changed. That is one change, however many it is of.
    told_readdressed: bool,
}

/// What was last told of a subscription.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    state: Option<SubscriptionState>,
    /// The newest registration that the app has: its number and when it expires.
    registration: Option<(u32, Option<String>)>,
    has_error: bool,
    reason: Option<String>,
}

impl Told {
    fn of(status: &UpstreamSubscriptionStatus) -> Self {
        let newest = status.registrations.last();
        let subscribed = status.conditions.iter().find(|it| it.type_ == SUBSCRIBED);
        Self {
            state: status.state,
            registration: newest.map(|it| (it.number, it.expires_at.clone())),
            has_error: status.last_error.is_some(),
            reason: subscribed.map(|it| it.reason.clone()),
        }
    }

    fn is_readdressed(&self) -> bool {
        self.reason.as_deref() == Some(reason::PUBLIC_URL_CHANGED)
    }
}

impl News {
    /// News since `started`.
    pub fn since(started: Timestamp) -> Self {
        Self {
            last: HashMap::new(),
            has_begun: false,
            started,
            told_readdressed: false,
        }
    }

    /// From now on changes are told; these views were shown in another way.
    pub fn begin(&mut self, views: &[View]) {
        self.has_begun = true;
        for view in views {
            let told = Told::of(&view.status());
            self.told_readdressed |= told.is_readdressed();
            self.last.insert(view.name.clone(), told);
        }
    }

    /// A subscription looks different: the line to tell, if it is worth one.
    pub fn shown(&mut self, view: &View) -> Option<String> {
        let status = view.status();
        let now = Told::of(&status);
        let before = self.last.insert(view.name.clone(), now.clone());
        if !self.has_begun {
            return None;
        }
        if now.is_readdressed() && std::mem::replace(&mut self.told_readdressed, true) {
            return None;
        }
        let before = match before {
            Some(before) => before,
            None if stood_before(&status, self.started) => now.clone(),
            None => Told::default(),
        };
        let text = change(&before, &now, &status)?;
        Some(format!("UpstreamSubscription {}: {text}", view.name))
    }

    /// Nothing is left of a subscription.
    pub fn gone(&mut self, name: &ObjectName) -> Option<String> {
        let was_there = self.last.remove(name).is_some();
        (self.has_begun && was_there).then(|| format!("UpstreamSubscription {name}: removed"))
    }
}

/// Whether a registration stands since before the process started.
fn stood_before(status: &UpstreamSubscriptionStatus, started: Timestamp) -> bool {
    let since = status.registrations.last().and_then(|it| it.since.as_ref());
    since.is_some_and(|since| since.parse().is_ok_and(|since: Timestamp| since < started))
}

/// What there is to say about a change, if it is worth a line.
fn change(before: &Told, now: &Told, status: &UpstreamSubscriptionStatus) -> Option<String> {
    use SubscriptionState::{Active, Failed, Renewing};
    let is_up = |told: &Told| matches!(told.state, Some(Active | Renewing));
    let error = || status.last_error.clone().unwrap_or_default();
    if now.state == Some(Failed) && before.state != Some(Failed) {
        return Some(format!("failed: {}", error()));
    }
    if now.has_error && !before.has_error {
        return Some(format!("does not work yet: {}; it is tried again", error()));
    }
    if is_up(now) {
        let (number, expires_at) = now.registration.clone()?;
        let until = expires_at
            .as_ref()
            .map(|at| format!(", expires at {at}"))
            .unwrap_or_default();
        let before_number = before.registration.as_ref().map(|(number, _)| *number);
        return match before_number {
            _ if !is_up(before) => Some(format!("subscribed (registration {number}{until})")),
            Some(before) if before != number => {
                Some(format!("subscribed anew (registration {number}{until})"))
            }
            Some(_) if before.registration != now.registration => {
                Some(format!("renewed (registration {number}{until})"))
            }
            _ if before.has_error && !now.has_error => Some("works again".to_owned()),
            _ => worth_telling(before, now, status),
        };
    }
    None
}

/// A condition of a subscription that stands, and about which somebody should do something.
fn worth_telling(before: &Told, now: &Told, status: &UpstreamSubscriptionStatus) -> Option<String> {
    if before.reason == now.reason {
        return None;
    }
    let message = || {
        let subscribed = status.conditions.iter().find(|it| it.type_ == SUBSCRIBED);
        subscribed.map(|it| it.message.clone())
    };
    match now.reason.as_deref()? {
        reason::EXPIRING_SOON | reason::QUIET_TOO_LONG => message(),
        reason::PUBLIC_URL_CHANGED => Some(READDRESSED.to_owned()),
        _ => None,
    }
}

/// What is said of the first subscription whose URI has another base by now.
const READDRESSED: &str = "the public URL changed, and the app still calls the former one; it \
    stays so, as do all others; start with --allow-re-registration to register them anew";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RegistrationStatus;

    fn status(
        state: SubscriptionState,
        number: u32,
        expires: &str,
        error: &str,
    ) -> UpstreamSubscriptionStatus {
        UpstreamSubscriptionStatus {
            state: Some(state),
            registrations: (number > 0)
                .then(|| RegistrationStatus {
                    number,
                    expires_at: (!expires.is_empty()).then(|| expires.into()),
                    ..RegistrationStatus::default()
                })
                .into_iter()
                .collect(),
            last_error: (!error.is_empty()).then(|| error.into()),
            ..UpstreamSubscriptionStatus::default()
        }
    }

    #[test]
    fn a_line_is_told_of_what_a_person_cares_about_and_of_nothing_else() {
        use SubscriptionState::{Active, Failed, Pending, Renewing, Subscribing};
        let steps: [(SubscriptionState, u32, &str, &str, Option<&str>); 12] = [
            (Subscribing, 0, "", "", None),
            (
                Pending,
                0,
                "",
                "the app refused it",
                Some("does not work yet: the app refused it; it is tried again"),
            ),
            (Pending, 0, "", "the app refused it with 500", None),
            (
                Failed,
                0,
                "",
                "the app refused it",
                Some("failed: the app refused it"),
            ),
            (Failed, 0, "", "the app refused it again", None),
            (
                Active,
                1,
                "t1",
                "",
                Some("subscribed (registration 1, expires at t1)"),
            ),
            (Active, 1, "t1", "", None),
            (Renewing, 1, "t1", "", None),
            (
                Active,
                1,
                "t2",
                "",
                Some("renewed (registration 1, expires at t2)"),
            ),
            (
                Renewing,
                1,
                "t2",
                "no answer",
                Some("does not work yet: no answer; it is tried again"),
            ),
            (Active, 1, "t2", "", Some("works again")),
            (Active, 2, "", "", Some("subscribed anew (registration 2)")),
        ];
        let mut before = Told::default();
        for (state, number, expires, error, expected) in steps {
            let status = status(state, number, expires, error);
            let now = Told::of(&status);
            let told = change(&before, &now, &status);
            assert_eq!(told.as_deref(), expected, "{status:?}");
            before = now;
        }
    }
}
