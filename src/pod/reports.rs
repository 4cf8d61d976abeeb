//! What requests to registrations' URIs bring, told to the controller.
//!
//! A captured secret and a notice are told at once, and whoever sent them waits. That an event came
//! is only kept in mind, and told for many registrations together, at most hourly for each: it is
//! for people.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;

use super::link::Link;
use crate::api::LifecycleAction;
use crate::configuration::stream::report::{
    CapturedAnswer, CapturedReport, MOST_REPORTED, NoticedReport, Received, ReceivedReport,
};
use crate::configuration::{CaptureAnswer, Captured, NotStored, Reports};
use crate::event::ObjectName;

/// How long telling may take. Whoever waits is answered before that.
const MOST: Duration = Duration::from_secs(10);

/// How long what came is collected before it is told.
const COLLECT: Duration = Duration::from_secs(2);

/// How often it is told for one registration, at most.
const BETWEEN: Duration = Duration::from_hours(1);

/// Registrations that are kept in mind at the same time; beyond that those are forgotten of which
/// there is nothing to tell.
const MOST_REMEMBERED: usize = 200_000;

/// Tells the controller.
pub struct Reporter {
    current: watch::Receiver<Option<Arc<Link>>>,
    seen: Mutex<Seen>,
}

/// When requests came in, by registration.
type Seen = HashMap<ObjectName, HashMap<u32, Sight>>;

/// When requests came in for one registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sight {
    /// The last time that was told.
    told: Option<Timestamp>,
    /// The last time that was not.
    untold: Option<Timestamp>,
}

impl Sight {
    /// What is to be told now.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let at = self.untold?;
        let next = self.told.and_then(|told| told.checked_add(BETWEEN).ok());
        next.is_none_or(|next| next <= now).then_some(at)
    }
}

impl Reporter {
    /// Tells over whatever connection there is.
    pub fn new(current: watch::Receiver<Option<Arc<Link>>>) -> Self {
        Self {
            current,
            seen: Mutex::default(),
        }
    }

    fn link(&self) -> Option<Arc<Link>> {
        self.current.borrow().clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when requests came in, as long as the process lives.
    pub async fn keep_telling(self: Arc<Self>) {
        loop {
            sleep(COLLECT).await;
            self.tell_received().await;
        }
    }

    async fn tell_received(&self) {
        let Some(link) = self.link() else {
            return;
        };
        let mut due = due(&self.seen(), Timestamp::now());
        while !due.is_empty() {
            let rest = due.split_off(due.len().min(MOST_REPORTED));
            let report = ReceivedReport { items: due };
            if let Err(error) = link.tell("/v1/received", &report, MOST).await {
                tracing::debug!(%error, "when requests came could not be told; it is told later");
                return;
            }
            told(&mut self.seen(), &report.items);
            due = rest;
        }
    }
}

fn due(seen: &Seen, now: Timestamp) -> Vec<Received> {
    let all = seen.iter().flat_map(|(subscription, numbers)| {
        numbers.iter().filter_map(move |(number, sight)| {
            Some(Received {
                subscription: subscription.clone(),
                number: *number,
                at: sight.due(now)?,
            })
        })
    });
    all.collect()
}

fn told(seen: &mut Seen, items: &[Received]) {
    for item in items {
        let numbers = seen.get_mut(&item.subscription);
        if let Some(sight) = numbers.and_then(|numbers| numbers.get_mut(&item.number)) {
            sight.told = Some(item.at);
            sight.untold = sight.untold.filter(|untold| *untold > item.at);
        }
    }
}

fn note(seen: &mut Seen, subscription: &ObjectName, number: u32, at: Timestamp) {
    if let Some(sight) = seen
        .get_mut(subscription)
        .and_then(|it| it.get_mut(&number))
    {
        sight.untold = sight.untold.max(Some(at));
        return;
    }
    if seen.len() >= MOST_REMEMBERED {
        seen.retain(|_, numbers| numbers.values().any(|sight| sight.untold.is_some()));
        if seen.len() >= MOST_REMEMBERED {
            // Nobody is told anything for hours, then: one time more or less is not missed.
            return;
        }
    }
    let sight = Sight {
        told: None,
        untold: Some(at),
    };
    let numbers = seen.entry(subscription.clone()).or_default();
    numbers.insert(number, sight);
}

impl Reports for Reporter {
    fn captured<'a>(
        &'a self,
        subscription: &'a ObjectName,
        number: u32,
        captured: Captured,
    ) -> BoxFuture<'a, CaptureAnswer> {
        let Captured {
            signing_secret,
            expires_at,
        } = captured;
        let report = CapturedReport {
            subscription: subscription.clone(),
            number,
            signing_secret,
            expires_at,
        };
        Box::pin(async move {
            let Some(link) = self.link() else {
                return CaptureAnswer::Unavailable;
            };
            let answer = match link.tell("/v1/captured", &report, MOST).await {
                Ok(answer) => serde_json::from_slice::<CapturedAnswer>(&answer).ok(),
                Err(error) => {
                    tracing::warn!(%subscription, number, %error, "what a handshake brought could not be told");
                    None
                }
            };
            answer.map_or(CaptureAnswer::Unavailable, |answer| answer.answer)
        })
    }

    fn noticed<'a>(
        &'a self,
        subscription: &'a ObjectName,
        number: u32,
        action: LifecycleAction,
    ) -> BoxFuture<'a, Result<(), NotStored>> {
        let report = NoticedReport {
            subscription: subscription.clone(),
            number,
            action,
        };
        Box::pin(async move {
            let link = self.link().ok_or(NotStored)?;
            let told = link.tell("/v1/noticed", &report, MOST).await;
            told.map(drop).map_err(|error| {
                tracing::warn!(%subscription, number, %error, "a notice of an app could not be told");
                NotStored
            })
        })
    }

    fn received(&self, subscription: &ObjectName, number: u32, at: Timestamp) {
        note(&mut self.seen(), subscription, number, at);
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    fn name(number: usize) -> ObjectName {
        ObjectName::new("crm", format!("contact-{number}"))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + seconds.seconds()
    }

    fn times(seen: &Seen, now: i64) -> Vec<i64> {
        let due = due(seen, at(now));
        due.iter().map(|item| item.at.as_second()).collect()
    }

    #[test]
    fn the_first_time_is_told_soon_and_others_at_most_hourly() {
        let mut seen = Seen::new();
        note(&mut seen, &name(1), 1, at(5));
        note(&mut seen, &name(1), 1, at(7));
        note(&mut seen, &name(1), 1, at(6));
        assert_eq!(times(&seen, 8), [7]);
        let items = due(&seen, at(8));
        // Another one comes while that is being told.
        note(&mut seen, &name(1), 1, at(9));
        told(&mut seen, &items);
        assert_eq!(times(&seen, 10), [0; 0]);
        assert_eq!(times(&seen, 3_606), [0; 0]);
        assert_eq!(times(&seen, 3_607), [9]);
    }

    #[test]
    fn what_could_not_be_told_is_told_later() {
        let mut seen = Seen::new();
        note(&mut seen, &name(1), 1, at(5));
        note(&mut seen, &name(1), 2, at(6));
        assert_eq!(times(&seen, 6).len(), 2);
        assert_eq!(times(&seen, 60).len(), 2);
        let items = due(&seen, at(60));
        told(&mut seen, &items);
        assert_eq!(times(&seen, 60), [0; 0]);
    }

    #[test]
    fn what_is_kept_in_mind_is_bounded() {
        let mut seen = Seen::new();
        for number in 0..MOST_REMEMBERED + 10 {
            note(&mut seen, &name(number), 1, at(5));
        }
        assert_eq!(seen.len(), MOST_REMEMBERED);
        let items = due(&seen, at(6));
        told(&mut seen, &items);
        note(&mut seen, &name(MOST_REMEMBERED), 1, at(7));
        assert_eq!(seen.len(), 1);
    }
}
