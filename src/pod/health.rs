//! How it goes with subscriptions, told to the controller where it goes otherwise than last told.
//!
//! What a person is waiting for is told within seconds; what changes with every event at most once
//! a minute; that one was delivered hourly: each of it becomes a write to the API server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::link::Link;
use crate::configuration::SubscriptionHealth;
use crate::configuration::stream::report::{HealthReport, MOST_REPORTED};
use crate::delivery::{Delivery, SubscriptionStatus};
use crate::event::ObjectName;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How often what changes with every event is told.
const COUNTS: Duration = Duration::from_secs(60);

/// How often the time of the last delivery is told.
const LAST_DELIVERED: Duration = Duration::from_hours(1);

/// How long telling may take.
const MOST: Duration = Duration::from_secs(10);

/// What was told last, and when.
type Told = HashMap<ObjectName, (SubscriptionHealth, Instant)>;

/// Tells it, as long as the process lives.
pub async fn keep_telling(delivery: Delivery, mut current: watch::Receiver<Option<Arc<Link>>>) {
    let mut told = Told::new();
    loop {
        sleep(LOOK).await;
        if current.has_changed().unwrap_or(true) {
            // Whoever is at the other end now knows nothing.
            told.clear();
        }
        let link = current.borrow_and_update().clone();
        if let Some(link) = link {
            tell(&delivery, &link, &mut told).await;
        }
    }
}

async fn tell(delivery: &Delivery, link: &Link, told: &mut Told) {
    let now = Instant::now();
    let all = delivery.status();
    told.retain(|name, _| all.binary_search_by(|status| status.name.cmp(name)).is_ok());
    let news = all.into_iter().filter_map(|status| {
        let (name, health) = (status.name.clone(), health(status));
        let is_news = told
            .get(&name)
            .is_none_or(|(before, at)| is_news(before, &health, now - *at));
        is_news.then_some((name, health))
    });
    let mut news: Vec<_> = news.collect();
    while !news.is_empty() {
        let rest = news.split_off(news.len().min(MOST_REPORTED));
        let report = HealthReport { items: news };
        if let Err(error) = link.tell("/v1/health", &report, MOST).await {
            tracing::debug!(%error, "how it goes with subscriptions could not be told; it is told later");
            return;
        }
        let items = report.items.into_iter();
        told.extend(items.map(|(name, health)| (name, (health, now))));
        news = rest;
    }
}

fn health(status: SubscriptionStatus) -> SubscriptionHealth {
    SubscriptionHealth {
        delivering: status.delivering.status,
        reason: status.delivering.reason.as_str().to_owned(),
        message: status.delivering.message,
        undelivered: status.undelivered,
        oldest_undelivered: status.oldest_undelivered,
        dead_letters: status.dead_letters,
        last_delivered: status.last_delivered,
    }
}

/// Whether something is worth telling that was told so long ago in another form.
fn is_news(before: &SubscriptionHealth, now: &SubscriptionHealth, age: Duration) -> bool {
    let SubscriptionHealth {
        delivering,
        reason,
        message,
        undelivered,
        oldest_undelivered,
        dead_letters,
        last_delivered,
    } = before;
    let is_urgent =
        (*delivering, reason, *dead_letters) != (now.delivering, &now.reason, now.dead_letters);
    let has_changed = (message, *undelivered, *oldest_undelivered)
        != (&now.message, now.undelivered, now.oldest_undelivered);
    is_urgent
        || has_changed && age >= COUNTS
        || *last_delivered != now.last_delivered && age >= LAST_DELIVERED
        || last_delivered.is_none() && now.last_delivered.is_some()
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, ToSpan as _};

    use super::*;

    #[test]
    fn what_changes_with_every_event_is_told_now_and_then() {
        let at = |seconds: i64| Some(Timestamp::UNIX_EPOCH + seconds.seconds());
        let before = SubscriptionHealth {
            delivering: true,
            reason: "Delivering".into(),
            message: String::new(),
            undelivered: 3,
            oldest_undelivered: at(1),
            dead_letters: 1,
            last_delivered: at(1),
        };
        let check = |change: fn(&mut SubscriptionHealth), seconds: u64, expected: bool| {
            let mut now = before.clone();
            change(&mut now);
            let age = Duration::from_secs(seconds);
            assert_eq!(is_news(&before, &now, age), expected, "{now:?} {seconds}");
        };
        check(|_| {}, 1_000_000, false);
        check(|it| it.delivering = false, 0, true);
        check(|it| it.reason = "Suspended".into(), 0, true);
        check(|it| it.dead_letters = 2, 0, true);
        check(|it| it.undelivered = 4, 59, false);
        check(|it| it.undelivered = 4, 60, true);
        check(|it| it.message = "500".into(), 59, false);
        check(|it| it.oldest_undelivered = None, 60, true);
        check(|it| it.last_delivered = None, 3_599, false);
        check(|it| it.last_delivered = None, 3_600, true);
        let never = SubscriptionHealth {
            last_delivered: None,
            ..before.clone()
        };
        assert!(is_news(&never, &before, Duration::ZERO));
    }
}
