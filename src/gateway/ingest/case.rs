//! A request that is complete, with all that it is judged by.

use std::sync::Arc;

use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;

use super::super::body::ReadBody;
use super::super::registrations::Registration;
use super::super::snapshot::{Good, Snapshot};
use crate::configuration::LiveRegistration;
use crate::event::ExtensionValue;
use crate::webhook::{self, ItemOutcome, Outcome, Verdict};

/// A request that can be judged, and judged again.
pub struct Case {
    snapshot: Arc<Snapshot>,
    good: Good,
    /// The registration whose URI it came to.
    pub registration: Option<Arc<Registration>>,
    /// Set where nothing is captured any more: takes the place of what the registration says.
    closed: Option<Box<LiveRegistration>>,
    request: webhook::Request,
    /// What events go on from that bring no trace of their own.
    traceparent: Option<String>,
    /// Held for as long as the request's bytes are.
    _memory: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl Case {
    /// Puts a request together.
    pub fn new(
        snapshot: Arc<Snapshot>,
        good: Good,
        registration: Option<Arc<Registration>>,
        read: ReadBody,
        (method, uri, headers): (Method, Uri, HeaderMap),
        traceparent: Option<String>,
    ) -> Self {
        let ReadBody {
            raw,
            content,
            memory,
        } = read;
        let request = webhook::Request {
            method,
            public_url: snapshot.gateway.public_url.clone(),
            path_and_query: path_and_query(&uri),
            headers,
            raw_body: raw,
            body: content,
        };
        Self {
            snapshot,
            good,
            registration,
            closed: None,
            request,
            traceparent,
            _memory: memory,
        }
    }

    /// How many bytes judging has to look at.
    pub fn size(&self) -> usize {
        self.request.raw_body.len().max(self.request.body.len())
    }

    /// What becomes of it.
    pub fn judge(&self) -> Verdict {
        let live = self.registration.as_ref();
        let live = live.and_then(|registration| registration.live());
        let mut verdict = self.good.receiver.receive(
            &self.request,
            self.closed.as_deref().or(live),
            Timestamp::now(),
            &*self.snapshot.customers,
            &mut random_id,
        );
        if let Some(traceparent) = &self.traceparent {
            join(&mut verdict, traceparent);
        }
        verdict
    }

    /// The same, by a registration as it is now and with nothing left to capture.
    pub fn closed(self, registration: Arc<Registration>) -> Self {
        let live = registration.live();
        let closed = live.map(|live| {
            Box::new(LiveRegistration {
                capture_open: false,
                ..live.clone()
            })
        });
        Self {
            registration: Some(registration),
            closed,
            ..self
        }
    }

    /// The path as received.
    pub fn path(&self) -> &str {
        let path = self.request.path_and_query.as_str();
        path.split_once('?').map_or(path, |(path, _)| path)
    }
}

/// Lets what is stored go on from `traceparent`, unless it came with a trace of its own.
fn join(verdict: &mut Verdict, traceparent: &str) {
    let Verdict::Accepted(accepted) = verdict else {
        return;
    };
    for item in &mut accepted.items {
        let ItemOutcome::Events(outcomes) = item else {
            continue;
        };
        for outcome in outcomes {
            let event = match outcome {
                Outcome::Event(event) => event,
                Outcome::DeadLetter(letter) => &mut letter.event,
            };
            let extensions = &mut event.attributes.extensions;
            extensions
                .entry("traceparent".to_owned())
                .or_insert_with(|| ExtensionValue::Text(traceparent.to_owned()));
        }
    }
}

/// Byte for byte as received.
fn path_and_query(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| uri.path().to_owned(), |both| both.as_str().to_owned())
}

/// A random UUID, from the generator that needs no system call each time.
fn random_id() -> String {
    uuid::Builder::from_random_bytes(rand::random())
        .into_uuid()
        .to_string()
}
