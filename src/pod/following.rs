//! Follows the controller: connects, takes what it sends, makes it live, says so, and keeps it.
//!
//! It never gives up, and what it has stays live whatever happens to the connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use zeroize::Zeroizing;

use super::backoff::{self, Ended};
use super::link::{Endpoint, Link, LinkError};
use super::metrics::{Metrics, NoStream};
use super::snapshot::{Snapshot, StoreError};
use super::told::Current;
use crate::configuration::RegistrationChange;
use crate::configuration::stream::report::{
    Acknowledgement, MOST_REFUSED, MOST_REPORTED, RefusedEntry,
};
use crate::configuration::stream::{
    Frame, Hashes, Held, Hello, Members, NotAFrame, PROTOCOL_VERSION, StreamError, Taken, saved,
};
use crate::delivery::ApplyError;
use crate::engine::Engine;

/// How long after a change what is held is kept: changes come in bursts, and a pod that is killed
/// before answers 503 for what it does not know.
const SAVE_AFTER: Duration = Duration::from_secs(1);

/// Writing takes at most one part in so many of the time.
const SAVE_SHARE: u32 = 10;

/// How long after a failure something is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// A stream that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(30);

/// How long what is not sent any more stays at least: a request may be answered for so long that
/// came in before.
const PART_AFTER: Duration = Duration::from_secs(60);

/// How often it is looked whether it has got everything.
const PART_AGAIN: Duration = Duration::from_secs(5);

/// Problems of one entry that are told.
const MOST_PROBLEMS: usize = 10;

/// What follows.
pub struct Follower {
    /// Where the controller is.
    pub endpoint: Endpoint,
    /// The EventGateway, as `namespace/name`.
    pub gateway: String,
    /// The pod.
    pub pod: String,
    /// What serves.
    pub engine: Arc<Engine>,
    /// Where the last configuration is kept.
    pub snapshot: Arc<Snapshot>,
    /// The connection, for whoever has something to tell.
    pub current: Current,
    /// What was taken.
    pub acknowledgement: watch::Sender<Acknowledgement>,
    /// The pods that there shall be, for whoever hands over.
    pub members: watch::Sender<Option<Arc<Members>>>,
    /// What is counted.
    pub metrics: Metrics,
    /// What is held, and how much of it is live and kept.
    pub state: State,
}

/// What is held, and how much of it is live and kept.
#[derive(Default)]
pub struct State {
    held: Held,
    /// Event types that the gateway refused, although they were understood.
    refused_types: Vec<RefusedEntry>,
    /// When what could not be made live is tried again.
    unapplied: Option<Instant>,
    /// When those may go that another gateway serves now.
    parting: Option<Instant>,
    /// When what has changed is to be kept.
    unsaved: Option<Instant>,
    /// Whether it is noted on the volume that more is live than is kept.
    is_outdated: bool,
    /// Nothing is delivered before the controller has sent everything: what was kept may lack EventSubscriptions.
    awaits_controller: bool,
    /// Not before this.
    save_not_before: Option<Instant>,
    /// How often in a row there was no stream, and what the last one said.
    failures: u32,
    last_failure: String,
}

impl State {
    /// What was kept. `is_outdated`: more was live when the process ended.
    #[must_use]
    pub fn with(held: Held, is_outdated: bool) -> Self {
        Self {
            awaits_controller: is_outdated || held.lacks_subscriptions(),
            is_outdated,
            held,
            ..Self::default()
        }
    }
}

impl State {
    /// The pods that there shall be, as it was told.
    #[must_use]
    pub fn members(&self) -> Option<&Arc<Members>> {
        self.held.members()
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Frame(#[from] NotAFrame),
}

impl Follower {
    /// Makes what is held live: at the start, what was kept.
    ///
    /// # Errors
    /// When the subscriptions could not be recorded.
    pub async fn begin(&mut self) -> Result<(), ApplyError> {
        let registrations = self.state.held.registrations();
        let changes = registrations.map(|entry| RegistrationChange::Set((**entry).clone()));
        let gateway = self.engine.gateway();
        gateway.set_registrations(changes.collect());
        gateway.may_be_behind(true);
        if !self.state.awaits_controller {
            return self.apply().await;
        }
        let held = &self.state.held;
        if let Some(key) = held.token_key() {
            gateway.set_token_key(key.clone());
        }
        if let Some(configuration) = held.configuration() {
            tracing::warn!(
                "the last configuration is not quite what was live; requests are taken, and what comes in is \
                 delivered once the controller has sent the present one"
            );
            self.engine.take_requests(&configuration);
        }
        Ok(())
    }

    /// Follows until told to stop.
    pub async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                biased;
                _ = stopping.changed() => break,
                ended = self.follow() => ended,
            };
            self.current.send_replace(None);
            self.metrics.connected(false);
            self.engine.gateway().may_be_behind(true);
            let wait = backoff::wait(self.ended(ended, began.elapsed()), rand::random());
            let again = sleep(wait);
            tokio::pin!(again);
            loop {
                tokio::select! {
                    biased;
                    _ = stopping.changed() => {
                        self.save().await;
                        return;
                    }
                    () = &mut again => break,
                    () = until(self.state.unsaved) => self.save().await,
                    () = until(self.state.unapplied) => self.try_again().await,
                    () = until(self.state.parting) => self.part().await,
                }
            }
        }
        self.current.send_replace(None);
        self.save().await;
    }

    /// Follows one stream to its end.
    async fn follow(&mut self) -> Result<(), FollowError> {
        // What was taken of an earlier stream says nothing of this one.
        self.acknowledge(false);
        let link = Arc::new(Link::open(&self.endpoint).await?);
        let hello = Hello {
            version: PROTOCOL_VERSION,
            gateway: self.gateway.clone(),
            pod: self.pod.clone(),
            revision: self.state.held.revision(),
            hashes: Hashes(self.state.held.hashes()),
        };
        let mut lines = link.stream(&self.endpoint.token_file, &hello).await?;
        drop(hello);
        let mut is_complete = false;
        loop {
            let line = tokio::select! {
                line = lines.next() => line?,
                () = until(self.state.unsaved) => {
                    self.save().await;
                    continue;
                }
                () = until(self.state.unapplied) => {
                    self.try_again().await;
                    continue;
                }
                () = until(self.state.parting) => {
                    self.part().await;
                    continue;
                }
            };
            let Some(line) = line else {
                return Ok(());
            };
            let frame = Frame::read(&line)?;
            if let Frame::Welcome(welcome) = &frame {
                self.state.held.welcome(welcome)?;
                link.begin(&welcome.session);
                self.current.send_replace(Some(Arc::clone(&link)));
                self.metrics.connected(true);
                tracing::info!(
                    controller = %self.endpoint.url,
                    epoch = welcome.epoch,
                    "connected to the controller"
                );
                continue;
            }
            // A complete one may be large.
            let is_commit = matches!(frame, Frame::Commit(_));
            let held = &mut self.state.held;
            let taken = match is_commit {
                true => tokio::task::block_in_place(|| held.take(frame))?,
                false => held.take(frame)?,
            };
            if let Some(taken) = taken {
                let first = !is_complete;
                is_complete = true;
                self.taken(taken, first).await;
            }
            if is_complete {
                self.metrics.heard();
            }
        }
    }

    async fn taken(&mut self, taken: Taken, first: bool) {
        let Taken {
            revision,
            configuration,
            registrations,
        } = taken;
        self.metrics.taken(revision);
        let changed = configuration || !registrations.is_empty();
        if configuration {
            self.note_outdated();
        }
        self.engine.gateway().set_registrations(registrations);
        if std::mem::take(&mut self.state.awaits_controller) || configuration {
            self.try_again().await;
        }
        if first {
            self.engine.gateway().may_be_behind(false);
            self.state.failures = 0;
            self.state.last_failure.clear();
            tracing::info!(%revision, "the configuration is the controller's");
        } else {
            tracing::debug!(%revision, "took a revision of the configuration");
        }
        self.acknowledge(true);
        if self.state.held.unsent().next().is_some() {
            // What is being answered at this moment may still be stored.
            self.state.parting = Some(Instant::now() + PART_AFTER);
        }
        if changed || first {
            let now = Instant::now();
            let at = (now + SAVE_AFTER).max(self.state.save_not_before.unwrap_or(now));
            self.state.unsaved.get_or_insert(at);
        }
    }

    /// Before what changed is live, and events are acknowledged that are for an EventSubscription that is not kept yet:
    /// a process that is killed before it is would not know of it, and drop what it has not got.
    fn note_outdated(&mut self) {
        if self.state.is_outdated {
            return;
        }
        match tokio::task::block_in_place(|| self.snapshot.mark_outdated()) {
            Ok(()) => self.state.is_outdated = true,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "failed to note that the configuration changes");
                self.metrics.not_saved();
            }
        }
    }

    /// Lets go what another gateway serves, once it has got everything here.
    async fn part(&mut self) {
        self.state.parting = None;
        let delivery = self.engine.delivery();
        if self
            .state
            .held
            .let_go(|name| delivery.has_got_everything(name))
        {
            tracing::info!("EventSubscriptions that another gateway serves have got everything");
            self.try_again().await;
            self.acknowledge(true);
            self.state
                .unsaved
                .get_or_insert(Instant::now() + SAVE_AFTER);
        }
        if self.state.held.unsent().next().is_some() {
            self.state.parting = Some(Instant::now() + PART_AGAIN);
        }
    }

    /// Makes the configuration live; what does not work is tried again.
    async fn try_again(&mut self) {
        let was_unapplied = self.state.unapplied.take().is_some();
        match self.apply().await {
            Ok(()) if was_unapplied => self.acknowledge(true),
            Ok(()) => {}
            Err(error) => {
                tracing::error!(%error, "failed to make the configuration live; trying again");
                self.state.unapplied = Some(Instant::now() + RETRY);
            }
        }
    }

    async fn apply(&mut self) -> Result<(), ApplyError> {
        let held = &self.state.held;
        if let Some(key) = held.token_key() {
            self.engine.gateway().set_token_key(key.clone());
        }
        let Some(configuration) = held.configuration() else {
            return Ok(());
        };
        let refused = self.engine.apply(&configuration).await?;
        let refused = refused.into_iter().map(|entry| RefusedEntry {
            kind: "EventType".to_owned(),
            name: entry.name.to_string(),
            problems: entry
                .problems
                .iter()
                .take(MOST_PROBLEMS)
                .map(ToString::to_string)
                .collect(),
        });
        self.state.refused_types = refused.collect();
        // After what is served: what is handed over goes to subscriptions of now.
        let members = self.state.held.members();
        self.members.send_if_modified(|known| {
            let is_news = known.as_ref() != members;
            *known = members.cloned();
            is_news
        });
        Ok(())
    }

    /// Says what was taken. `of_this_stream`: that is something the controller has sent over it.
    fn acknowledge(&self, of_this_stream: bool) {
        let held = &self.state.held;
        if of_this_stream && self.state.unapplied.is_some() {
            return;
        }
        let understood = held.refused();
        let count = understood.len() + self.state.refused_types.len();
        let refused = understood.map(|(key, problems)| RefusedEntry {
            kind: key.kind().to_owned(),
            name: key.name().into_owned(),
            problems: problems.to_vec(),
        });
        let refused = self.state.refused_types.iter().cloned().chain(refused);
        let refused: Vec<_> = refused.take(MOST_REFUSED).collect();
        self.metrics.refused(count);
        let revision = held.revision().filter(|_| of_this_stream);
        self.acknowledgement.send_modify(|told| {
            told.revision = revision;
            told.further = count - refused.len();
            told.refused = refused;
            told.unsent = held.unsent().take(MOST_REPORTED).collect();
        });
    }

    /// Keeps what is held.
    async fn save(&mut self) {
        if self.state.unsaved.take().is_none() {
            return;
        }
        let began = Instant::now();
        let (held, gateway) = (&self.state.held, &self.gateway);
        let text = tokio::task::block_in_place(|| saved::save(held, gateway));
        let Some(text) = text.map(Zeroizing::new) else {
            return;
        };
        let snapshot = Arc::clone(&self.snapshot);
        let stored = tokio::task::spawn_blocking(move || {
            snapshot.store(text)?;
            snapshot.mark_current();
            Ok(())
        });
        let stored: Result<Result<(), StoreError>, _> = stored.await;
        let now = Instant::now();
        self.state.save_not_before = Some(now + (now - began) * SAVE_SHARE);
        match stored {
            Ok(Ok(())) => self.state.is_outdated = false,
            Ok(Err(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(
                    error,
                    "the configuration is not kept for a restart; trying again"
                );
                self.metrics.not_saved();
                self.state.unsaved = Some(now + RETRY);
            }
            // The runtime is ending.
            Err(_) => {}
        }
    }

    /// Notes how a stream ended, and tells people where that is news.
    fn ended(&mut self, ended: Result<(), FollowError>, lasted: Duration) -> Ended {
        let error = match ended {
            Ok(()) => {
                tracing::info!("the controller ended the stream; connecting again");
                return Ended::Orderly;
            }
            Err(error) => error,
        };
        let reason = match &error {
            FollowError::Link(error) => match error {
                LinkError::Connect(..)
                | LinkError::Slow(_)
                | LinkError::Broken(_)
                | LinkError::Silent => NoStream::Unreachable,
                LinkError::Untrusted { .. } => NoStream::Untrusted,
                LinkError::Refused { .. } => NoStream::Refused,
                LinkError::NotLeading(_) => NoStream::NotLeading,
                LinkError::File(..)
                | LinkError::Content { .. }
                | LinkError::Tls(_)
                | LinkError::LongLine
                | LinkError::Request => NoStream::Other,
            },
            FollowError::Stream(StreamError::LowerEpoch { .. }) => NoStream::LowerEpoch,
            FollowError::Stream(_) | FollowError::Frame(_) => NoStream::Other,
        };
        self.metrics.no_stream(reason);
        if reason == NoStream::NotLeading {
            tracing::debug!(%error, "connecting again");
            return Ended::NotLeading;
        }
        if lasted >= GOOD {
            self.state.failures = 0;
        }
        self.state.failures = self.state.failures.saturating_add(1);
        let failures = self.state.failures;
        let told = chain(&error);
        if told != self.state.last_failure || failures.is_multiple_of(TELL_AGAIN) {
            tracing::warn!(failures, "{told}; going on with the last configuration");
            self.state.last_failure = told;
        }
        Ended::Failed(failures)
    }
}

/// The same failure is told again after so many times.
const TELL_AGAIN: u32 = 20;

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Waits for a time, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
