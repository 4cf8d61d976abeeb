//! A request that is complete, with all that it is judged by.

use std::sync::Arc;

use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;

use super::super::body::ReadBody;
use super::super::registrations::Registration;
use super::super::snapshot::{Good, Snapshot};
use crate::configuration::LiveRegistration;
use crate::webhook::{self, Verdict};

/// A request that can be judged, and judged again.
pub struct Case {
    snapshot: Arc<Snapshot>,
    good: Good,
    /// The registration whose URI it came to.
    pub registration: Option<Arc<Registration>>,
    /// Set where nothing is captured any more: takes the place of what the registration says.
    closed: Option<Box<LiveRegistration>>,
    request: webhook::Request,
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
        self.good.receiver.receive(
            &self.request,
            self.closed.as_deref().or(live),
            Timestamp::now(),
            &*self.snapshot.customers,
            &mut random_id,
        )
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
