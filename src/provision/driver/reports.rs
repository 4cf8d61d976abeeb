//! What the gateway reports: what handshakes bring, notices, events.
//!
//! What is to be stored is stored by a task of its own, because whoever reports may go away: a
//! request that was broken off must not leave the record in memory behind the one on disk.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::{Driver, Inner};
use crate::api::LifecycleAction;
use crate::configuration::{CaptureAnswer, Captured, NotStored, Reports};
use crate::event::ObjectName;
use crate::provision::plan;

/// How long a handshake waits until what it brought is stored and live.
const LONGEST_CAPTURE: Duration = Duration::from_secs(5);

/// How often the time of the last event is looked at, at most, for one subscription.
const EVENT_TIME_STEP: Duration = Duration::from_secs(3_600);

/// How long one write of the time of an event keeps off the next: after a restart everybody's
/// first event would be one.
const BETWEEN_EVENT_TIMES: Duration = Duration::from_millis(100);

impl Reports for Driver {
    fn captured<'a>(
        &'a self,
        subscription: &'a ObjectName,
        number: u32,
        captured: Captured,
    ) -> BoxFuture<'a, CaptureAnswer> {
        let (driver, name) = (Arc::clone(&self.0), subscription.clone());
        let task = tokio::spawn(async move { driver.captured(&name, number, &captured).await });
        Box::pin(async move {
            match tokio::time::timeout(LONGEST_CAPTURE, task).await {
                Ok(Ok(answer)) => answer,
                _ => CaptureAnswer::Unavailable,
            }
        })
    }

    fn noticed<'a>(
        &'a self,
        subscription: &'a ObjectName,
        number: u32,
        action: LifecycleAction,
    ) -> BoxFuture<'a, Result<(), NotStored>> {
        let (driver, name) = (Arc::clone(&self.0), subscription.clone());
        let task = tokio::spawn(async move { driver.noticed(&name, number, action).await });
        Box::pin(async move { task.await.unwrap_or(Err(NotStored)) })
    }

    fn received(&self, subscription: &ObjectName, _number: u32, at: Timestamp) {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = match seen.get_mut(subscription) {
            Some(last) => {
                let next = last.checked_add(EVENT_TIME_STEP);
                let is_news = next.is_ok_and(|next| next <= at);
                if is_news {
                    *last = at;
                }
                is_news
            }
            None => {
                seen.insert(subscription.clone(), at);
                true
            }
        };
        drop(seen);
        if is_news {
            let (driver, name) = (Arc::clone(&self.0), subscription.clone());
            tokio::spawn(async move { driver.received(&name, at).await });
        }
    }
}

impl Driver {
    /// Somebody has removed at the app what was listed of a subscription until then: it is stored soon, and not
    /// listed any more.
    pub fn orphans_removed(&self, subscription: &ObjectName, until: Timestamp) {
        let (driver, name) = (Arc::clone(&self.0), subscription.clone());
        tokio::spawn(async move { driver.orphans_removed(&name, until).await });
    }
}

impl Inner {
    async fn orphans_removed(&self, name: &ObjectName, until: Timestamp) {
        let Some(writing) = self.writing(name) else {
            return;
        };
        let _written = writing.lock_owned().await;
        let next = {
            let state = self.lock();
            let latest = state.keys.get(name).and_then(|key| key.latest());
            latest.and_then(|record| plan::orphans_removed(record, until, self.now()))
        };
        // What could not be stored stays on the list, and is told of again.
        if let Some(next) = next
            && self.keep(name, next).await.is_ok()
        {
            self.look_again(name);
        }
    }

    async fn captured(&self, name: &ObjectName, number: u32, captured: &Captured) -> CaptureAnswer {
        let Some(writing) = self.writing(name) else {
            return CaptureAnswer::Unavailable;
        };
        let _written = writing.lock_owned().await;
        let (answer, next) = {
            let state = self.lock();
            let latest = state.keys.get(name).and_then(|key| key.latest());
            match latest {
                Some(record) => plan::captured(record, number, captured, self.now()),
                None => return CaptureAnswer::Unavailable,
            }
        };
        if let Some(next) = next
            && self.keep(name, next).await.is_err()
        {
            return CaptureAnswer::Unavailable;
        }
        self.look_again(name);
        answer
    }

    async fn noticed(
        &self,
        name: &ObjectName,
        number: u32,
        action: LifecycleAction,
    ) -> Result<(), NotStored> {
        let Some(writing) = self.writing(name) else {
            return Err(NotStored);
        };
        let _written = writing.lock_owned().await;
        let next = {
            let state = self.lock();
            let latest = state.keys.get(name).and_then(|key| key.latest());
            plan::noticed(latest.ok_or(NotStored)?, number, action)
        };
        if let Some(next) = next {
            self.keep(name, next).await.map_err(|_| NotStored)?;
            self.look_again(name);
        }
        Ok(())
    }

    async fn received(&self, name: &ObjectName, at: Timestamp) {
        let _one_after_the_other = self.event_times.lock().await;
        let Some(writing) = self.writing(name) else {
            return;
        };
        let _written = writing.lock_owned().await;
        let next = {
            let state = self.lock();
            let latest = state.keys.get(name).and_then(|key| key.latest());
            latest.and_then(|record| plan::received(record, at))
        };
        // It is only shown to people; one that could not be stored is stored an hour later.
        if let Some(next) = next
            && self.keep(name, next).await.is_ok()
        {
            self.look_again(name);
            tokio::time::sleep(BETWEEN_EVENT_TIMES).await;
        }
    }

    fn look_again(&self, name: &ObjectName) {
        let now = self.now();
        self.lock().schedule(name, now);
        self.woken.notify_one();
    }
}
