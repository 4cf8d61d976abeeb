//! One subscription's way from being due to having to wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::queues::Place;
use super::send::Prepared;
use super::state::{Key, Stage, State, Step};
use super::view::Told;
use super::{Inner, Record};
use crate::configuration::{RegistrationChange, RegistrationEntry};
use crate::event::ObjectName;
use crate::provision::entries;
use crate::provision::limits::HostName;
use crate::provision::plan::{Shown, opened, rollout_result, settle};
use crate::provision::store::NotPublished;
use crate::provision::{Outcome, RequestKind};
use crate::telemetry::{self, Span};

/// The first and the longest wait before something is stored or made live again that could not be.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// How many steps one subscription may do without a rest. It needs a handful; the bound is there so
/// that a mistake cannot keep a place for ever.
const MOST_STEPS: usize = 200;

/// A record could not be stored or not be made live; it was logged, and is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotKept;

/// How the work on a subscription ended.
enum End {
    /// It waits for something.
    Rest(Option<Timestamp>),
    /// Something could not be stored.
    NotKept,
    /// A host is paused.
    Paused(HostName),
    /// Nothing is there any more.
    Gone,
    /// The process is being stopped, or it did enough for now.
    Enough,
}

/// Somebody works on a subscription. However that ends, it is not left behind.
struct Working {
    driver: Arc<Inner>,
    name: ObjectName,
    place: Place,
    end: Option<End>,
}

impl Drop for Working {
    fn drop(&mut self) {
        // Without an end there was a panic. It is logged by the runtime.
        let end = self.end.take().unwrap_or(End::NotKept);
        self.driver.worked(&self.name, &self.place, end);
    }
}

impl Inner {
    pub(super) async fn work(self: Arc<Self>, name: ObjectName, place: Place) {
        let mut working = Working {
            driver: Arc::clone(&self),
            name: name.clone(),
            place,
            end: None,
        };
        working.end = Some(self.go(&name).await);
    }

    /// Goes on until it has to wait.
    async fn go(&self, name: &ObjectName) -> End {
        let mut prepared: Option<Prepared> = None;
        for _ in 0..MOST_STEPS {
            let Some(writing) = self.writing(name) else {
                return End::Gone;
            };
            let written = writing.lock_owned().await;
            let now = self.now();
            let step = {
                let mut state = self.lock();
                if state.is_draining && !state.has_unstored(name) {
                    return End::Enough;
                }
                state.step(name, now, &(self.seeds)(), &self.programs)
            };
            // A place is taken before the intent is stored, because its time runs from then. Reports
            // of the gateway need not wait meanwhile.
            if let Step::Store(_, Some(ahead)) | Step::Send(ahead, _) = &step {
                let host = ahead.host(now);
                if !prepared.as_ref().is_some_and(|it| it.is_for(host.as_ref())) {
                    drop(written);
                    drop(prepared.take());
                    match self.prepare(ahead).await {
                        Ok(ready) => prepared = Some(ready),
                        Err(host) => return End::Paused(host),
                    }
                    continue;
                }
            }
            match step {
                Step::Rest(until) => return End::Rest(until),
                Step::Drop => return End::Gone,
                Step::Forget => {
                    if self.forget(name).await.is_err() {
                        return End::NotKept;
                    }
                }
                Step::CatchUp => {
                    if self.catch_up(name).await.is_err() {
                        return End::NotKept;
                    }
                }
                Step::Store(next, _) => {
                    if self.keep(name, *next).await.is_err() {
                        return End::NotKept;
                    }
                }
                Step::Send(ahead, deadline) => {
                    let Some(prepared) = prepared.take() else {
                        return End::Enough;
                    };
                    if ahead.kind == RequestKind::Subscribe
                        && let Some(key) = self.lock().keys.get_mut(name)
                    {
                        key.unsent = None;
                    }
                    // Handshakes and notices may come in while the request is open.
                    drop(written);
                    let mut span = telemetry::exchange(name, ahead.kind.as_str());
                    let (outcome, shown) = self.send(&ahead, prepared, deadline).await;
                    trace(&mut span, &outcome, &shown);
                    drop(span);
                    self.metrics.request(&ahead.kind, &outcome);
                    let written = match self.writing(name) {
                        Some(writing) => writing.lock_owned().await,
                        None => return End::Gone,
                    };
                    let (number, kind) = (ahead.number, &ahead.kind);
                    let jitter = (self.seeds)().jitter;
                    let settled = {
                        let mut state = self.lock();
                        let Some(key) = state.keys.get_mut(name) else {
                            return End::Gone;
                        };
                        let Some(latest) = key.latest().cloned() else {
                            return End::Gone;
                        };
                        let now = self.now();
                        let settled = settle(&latest, number, kind, &outcome, shown, now, jitter);
                        if settled.is_stored_like(&latest) {
                            // Nothing to store, but something to go on from.
                            key.replace(settled);
                            None
                        } else {
                            // From now on it is known, whether it can be stored or not.
                            key.unstored = Some(Arc::new(settled));
                            Some(())
                        }
                    };
                    if settled.is_some() && self.catch_up(name).await.is_err() {
                        return End::NotKept;
                    }
                    drop(written);
                }
            }
        }
        End::Enough
    }

    /// Stores what could not be stored, and makes live what could not be made live.
    async fn catch_up(&self, name: &ObjectName) -> Result<(), NotKept> {
        let unstored = {
            let state = self.lock();
            state.keys.get(name).and_then(|key| key.unstored.clone())
        };
        match unstored {
            Some(next) => self.keep_shared(name, next).await,
            None => self.publish_one(name).await,
        }
    }

    /// Stores a record, then makes its entries live. Only while `writing` is held.
    pub(super) async fn keep(&self, name: &ObjectName, next: Record) -> Result<(), NotKept> {
        self.keep_shared(name, Arc::new(next)).await
    }

    async fn keep_shared(&self, name: &ObjectName, next: Arc<Record>) -> Result<(), NotKept> {
        if let Err(error) = self.store.write(&next).await {
            self.metrics.not_stored();
            tracing::error!(subscription = %name, %error, "failed to store a record");
            return Err(NotKept);
        }
        {
            let mut state = self.lock();
            let state = &mut *state;
            let Some(key) = state.keys.get_mut(name) else {
                return Err(NotKept);
            };
            if let Some(attempt) = opened(key.record.as_deref(), &next) {
                key.unsent = Some(attempt.clone());
            }
            key.unstored = None;
            key.is_published = false;
            let before = key.record.replace(Arc::clone(&next));
            let result = before.and_then(|before| rollout_result(&before, &next));
            let event_type = &next.inputs.event_type;
            if let (Some(result), Some(rollout)) = (result, state.rollouts.get_mut(event_type))
                && rollout.went(result)
            {
                tracing::warn!(
                    event_type = %event_type,
                    "too many registrations could not be changed; the others stay as they are until the type is edited"
                );
            }
        }
        self.publish_one(name).await
    }

    /// Makes the entries of a record live, as far as they are not.
    async fn publish_one(&self, name: &ObjectName) -> Result<(), NotKept> {
        let (changes, live) = {
            let state = self.lock();
            let Some(key) = state.keys.get(name) else {
                return Ok(());
            };
            key.unpublished(self.now())
        };
        if !changes.is_empty()
            && let Some(publish) = self.publish.get()
            && let Err(error) = publish.publish(changes).await
        {
            tracing::error!(subscription = %name, %error, "failed to make a webhook URI live");
            return Err(NotKept);
        }
        if let Some(key) = self.lock().keys.get_mut(name) {
            key.published = live;
            key.is_published = true;
            key.standing = key.record.clone();
            key.failures = 0;
        }
        Ok(())
    }

    /// Makes the entries of all records live.
    pub(super) async fn publish_all(&self, now: Timestamp) -> Result<(), NotPublished> {
        let mut all = Vec::new();
        {
            let mut state = self.lock();
            for key in state.keys.values_mut() {
                let (changes, live) = key.unpublished(now);
                all.extend(changes);
                key.published = live;
                key.is_published = true;
                key.standing = key.record.clone();
            }
        }
        match self.publish.get() {
            Some(publish) if !all.is_empty() => publish.publish(all).await,
            _ => Ok(()),
        }
    }

    /// Removes a record of which nothing is left.
    async fn forget(&self, name: &ObjectName) -> Result<(), NotKept> {
        if let Err(error) = self.store.remove(name).await {
            self.metrics.not_stored();
            tracing::error!(subscription = %name, %error, "failed to remove a record");
            return Err(NotKept);
        }
        if let Some(key) = self.lock().keys.get_mut(name) {
            key.record = None;
            key.unsent = None;
            key.is_published = false;
        }
        self.publish_one(name).await
    }

    /// The work on a subscription ended.
    fn worked(&self, name: &ObjectName, place: &Place, end: End) {
        let now = self.now();
        let told = {
            let mut state = self.lock();
            let state = &mut *state;
            state.queues.done(place);
            let told = self.ended(state, name, end, now);
            state.pass_turns_after(name, now);
            told
        };
        if let Some(told) = told {
            self.tell(told);
        }
        self.woken.notify_one();
        self.idle.notify_waiters();
    }

    fn ended(
        &self,
        state: &mut State,
        name: &ObjectName,
        end: End,
        now: Timestamp,
    ) -> Option<Told> {
        let key = state.keys.get_mut(name)?;
        let again = matches!(key.stage, Stage::Working { again: true });
        key.stage = Stage::Resting;
        match end {
            End::Gone => {
                let told = self.dropped(state, name);
                if again {
                    // It was wished for in this very moment.
                    state.schedule(name, now);
                }
                return told;
            }
            End::Enough => state.schedule(name, now),
            End::Rest(_) if again => state.schedule(name, now),
            End::Rest(until) => {
                if let Some(until) = until {
                    state.schedule(name, until.max(super::soon(now)));
                }
                return self.rested(state, name, now);
            }
            End::NotKept => {
                let doubled = FIRST_RETRY.saturating_mul(1 << key.failures.min(10));
                key.failures += 1;
                let wait = doubled.min(LONGEST_RETRY);
                state.schedule(name, now.checked_add(wait).unwrap_or(now));
            }
            End::Paused(host) => {
                key.stage = Stage::Queued;
                state.queues.push_first(Place::Host(host), name.clone());
            }
        }
        None
    }

    pub(super) fn writing(&self, name: &ObjectName) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let state = self.lock();
        state.keys.get(name).map(|key| Arc::clone(&key.writing))
    }
}

impl State {
    fn has_unstored(&self, name: &ObjectName) -> bool {
        let key = self.keys.get(name);
        key.is_some_and(|key| key.unstored.is_some())
    }
}

impl Key {
    /// Takes in what needs no write.
    fn replace(&mut self, record: Record) {
        let record = Arc::new(record);
        if let Some(unstored) = &mut self.unstored {
            *unstored = record;
        } else if let Some(stored) = &mut self.record {
            if self.is_published {
                self.standing = Some(Arc::clone(&record));
            }
            *stored = record;
        }
    }

    /// What has to change so that the entries of the record are live, and what is live then.
    fn unpublished(&self, now: Timestamp) -> (Vec<RegistrationChange>, Vec<RegistrationEntry>) {
        let live = self.record.as_ref().map(|record| entries(record, now));
        let live = live.unwrap_or_default();
        let gone = self
            .published
            .iter()
            .filter(|old| !live.iter().any(|new| new.path == old.path))
            .map(|old| RegistrationChange::Remove {
                path: old.path.clone(),
            });
        let new = live
            .iter()
            .filter(|new| !self.published.contains(new))
            .cloned()
            .map(RegistrationChange::Set);
        (gone.chain(new).collect(), live)
    }
}

/// What a span says of a request to an app.
fn trace(span: &mut Span, outcome: &Outcome, shown: &Shown) {
    span.set("tidegate.outcome", outcome.as_str());
    if let Some(request) = &shown.request {
        span.set("http.request.method", request.method.clone());
    }
    if let Some(response) = &shown.response {
        span.set("http.response.status_code", i64::from(response.status));
    }
    if !matches!(outcome, Outcome::Succeeded(_) | Outcome::Found { .. }) {
        span.fail(outcome.as_str());
    }
}
