//! What is to be said about an object: whether it works, and if not, why and where.

use crate::api::{ObjectReference, Problem};
use crate::event::ObjectName;

/// The kinds that get a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// EventGateway.
    EventGateway,
    /// AppEventType.
    AppEventType,
    /// Customer.
    Customer,
    /// EventSubscription.
    EventSubscription,
}

impl Kind {
    /// The `kind` as it stands in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventGateway => "EventGateway",
            Self::AppEventType => "AppEventType",
            Self::Customer => "Customer",
            Self::EventSubscription => "EventSubscription",
        }
    }

    /// Names one object of this kind, as problems do.
    pub fn reference(self, name: &ObjectName) -> ObjectReference {
        ObjectReference::new(self.as_str(), &name.namespace, &name.name)
    }
}

/// Whether an object works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is valid and goes live.
    Ready,
    /// It is valid, but something it needs is not there or does not admit it.
    Waiting {
        /// A constant of [`crate::api::reason`].
        reason: &'static str,
        /// One sentence for a person.
        message: String,
    },
    /// It is wrong in itself; the problems say where.
    Invalid,
}

/// What is to be said about one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: ObjectName,
    /// Whether it works.
    pub state: State,
    /// Everything that is wrong or doubtful, with field paths.
    pub problems: Vec<Problem>,
    /// What only its kind has.
    pub detail: Detail,
}

/// What only some kinds have to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// Nothing.
    None,
    /// Of an AppEventType.
    EventType {
        /// The path of the global webhook's URI, if it has one; secret where it holds a token.
        route: Option<String>,
        /// Whether the path holds an unguessable token.
        unguessable: bool,
        /// The schema that was generated from examples, if the type has none of its own.
        generated_schema: Option<serde_json::Value>,
    },
    /// Of an EventSubscription.
    Subscription {
        /// How many customers it selects; `None`: all there are.
        customers: Option<usize>,
    },
}

impl Verdict {
    /// A verdict from what was found: invalid if any problem is an error, else as `waiting` says.
    pub(super) fn new(
        kind: Kind,
        name: ObjectName,
        problems: Vec<Problem>,
        waiting: Option<(&'static str, String)>,
        detail: Detail,
    ) -> Self {
        let state = match waiting {
            _ if problems.iter().any(Problem::is_error) => State::Invalid,
            Some((reason, message)) => State::Waiting { reason, message },
            None => State::Ready,
        };
        Self {
            kind,
            name,
            state,
            problems,
            detail,
        }
    }
}
