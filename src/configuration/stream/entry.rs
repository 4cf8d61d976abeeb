//! One entry: what it holds, and how it becomes text and back.
//!
//! A version that reads what another one wrote must not lose anything of it: an entry with a field
//! that this version does not know means something else than the same without it. So what was read
//! is written again and compared, at every depth; that needs nobody to remember it in each type.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::frame::put_line;
use super::hash::ContentHash;
use super::key::EntryKey;
use super::members::Members;
use super::partings::Partings;
use crate::configuration::{
    CustomerEntry, EventTypeEntry, GatewayEntry, RegistrationEntry, RouteEntry, Sensitive,
    SubscriptionEntry,
};

/// Bytes of one entry as text. A schema may have 256 KiB, and a subscription names each of its
/// customers: this is room for a hundred thousand of them.
pub const LARGEST_ENTRY: usize = 16 << 20;

/// What an entry holds. Cheap to clone but for the key of the webhook URIs.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// The gateway itself.
    Gateway(Arc<GatewayEntry>),
    /// Bytes that the log of one pod may take.
    LogCapacity(u64),
    /// The pods that there shall be.
    Members(Arc<Members>),
    /// What to do with EventSubscriptions that are not sent any more.
    Partings(Arc<Partings>),
    /// The key of the tokens in webhook URIs.
    TokenKey(Sensitive),
    /// An AppEventType.
    EventType(Arc<EventTypeEntry>),
    /// A webhook URI.
    Route(Arc<RouteEntry>),
    /// A Customer.
    Customer(Arc<CustomerEntry>),
    /// An EventSubscription.
    Subscription(Arc<SubscriptionEntry>),
    /// The webhook URI of a registration at an app.
    Registration(Arc<RegistrationEntry>),
}

/// An entry as text, with its hash.
#[derive(Clone)]
pub struct Encoded {
    /// Over key and content.
    pub hash: ContentHash,
    /// The whole `put` frame, with its line end: made once, sent to every pod.
    pub line: Bytes,
}

/// Holds secrets.
impl fmt::Debug for Encoded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Encoded({} bytes)", self.line.len())
    }
}

/// An entry that cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Larger than [`LARGEST_ENTRY`].
    #[error("it has {0} bytes in all; gateways take at most {LARGEST_ENTRY}: split it up")]
    TooLarge(usize),
    /// It cannot be written as JSON.
    #[error("it cannot be written as JSON")]
    Json,
}

/// Why an entry was not understood. Holds names of fields, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Of a kind that this version does not know.
    #[error("this version of the gateway ({VERSION}) does not know entries of the kind {0}")]
    Kind(String),
    /// It has a field that this version does not know.
    #[error("this version of the gateway ({VERSION}) does not know the field {0}")]
    Field(String),
    /// Something in it is not as this version expects it.
    #[error(
        "this version of the gateway ({VERSION}) cannot read it: a field is missing, or has a value that the version does not know"
    )]
    Content,
    /// Larger than [`LARGEST_ENTRY`].
    #[error("it has {0} bytes; this gateway takes at most {LARGEST_ENTRY}")]
    TooLarge(usize),
    /// It says that it is another one than its key says.
    #[error("its name is not the one it is sent under")]
    Name,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Entry {
    /// What tells it from others.
    #[must_use]
    pub fn key(&self) -> EntryKey {
        match self {
            Self::Gateway(_) => EntryKey::Gateway,
            Self::LogCapacity(_) => EntryKey::LogCapacity,
            Self::Members(_) => EntryKey::Members,
            Self::Partings(_) => EntryKey::Partings,
            Self::TokenKey(_) => EntryKey::TokenKey,
            Self::EventType(entry) => EntryKey::EventType(entry.name.clone()),
            Self::Route(entry) => EntryKey::Route(entry.path.clone()),
            Self::Customer(entry) => EntryKey::Customer(entry.name.clone()),
            Self::Subscription(entry) => EntryKey::Subscription(entry.name.clone()),
            Self::Registration(entry) => EntryKey::Registration(entry.path.clone()),
        }
    }

    /// The entry as text.
    ///
    /// # Errors
    /// When it is too large for any gateway.
    pub fn encode(&self) -> Result<Encoded, EncodeError> {
        let content = match self {
            Self::Gateway(entry) => serde_json::to_string(entry),
            Self::LogCapacity(bytes) => serde_json::to_string(bytes),
            Self::Members(members) => serde_json::to_string(members),
            Self::Partings(partings) => serde_json::to_string(partings),
            Self::TokenKey(key) => serde_json::to_string(key),
            Self::EventType(entry) => serde_json::to_string(entry),
            Self::Route(entry) => serde_json::to_string(entry),
            Self::Customer(entry) => serde_json::to_string(entry),
            Self::Subscription(entry) => serde_json::to_string(entry),
            Self::Registration(entry) => serde_json::to_string(entry),
        };
        let content = content.map_err(|_| EncodeError::Json)?;
        if content.len() > LARGEST_ENTRY {
            return Err(EncodeError::TooLarge(content.len()));
        }
        let key = self.key();
        let (kind, name) = (key.kind(), key.name());
        let hash = ContentHash::of(kind, &name, content.as_bytes());
        let line = put_line(kind, &name, content).map_err(|_| EncodeError::Json)?;
        Ok(Encoded { hash, line })
    }

    /// Reads an entry that was sent under `key`.
    ///
    /// # Errors
    /// When this version does not understand all of it.
    pub fn decode(key: &EntryKey, content: &RawValue) -> Result<Self, DecodeError> {
        if content.get().len() > LARGEST_ENTRY {
            return Err(DecodeError::TooLarge(content.get().len()));
        }
        let entry = match key {
            EntryKey::Gateway => Self::Gateway(Arc::new(understood(content)?)),
            EntryKey::LogCapacity => Self::LogCapacity(understood(content)?),
            EntryKey::Members => Self::Members(Arc::new(understood(content)?)),
            EntryKey::Partings => Self::Partings(Arc::new(understood(content)?)),
            EntryKey::TokenKey => Self::TokenKey(understood(content)?),
            EntryKey::EventType(_) => Self::EventType(Arc::new(understood(content)?)),
            EntryKey::Route(_) => Self::Route(Arc::new(understood(content)?)),
            EntryKey::Customer(_) => Self::Customer(Arc::new(understood(content)?)),
            EntryKey::Subscription(_) => Self::Subscription(Arc::new(understood(content)?)),
            EntryKey::Registration(_) => Self::Registration(Arc::new(understood(content)?)),
            EntryKey::Unknown { kind, .. } => return Err(DecodeError::Kind(kind.clone())),
        };
        if entry.key() == *key {
            Ok(entry)
        } else {
            Err(DecodeError::Name)
        }
    }
}

/// Reads a value all of which this version understands.
fn understood<T: DeserializeOwned + Serialize>(content: &RawValue) -> Result<T, DecodeError> {
    let text = content.get();
    // What a parser says may quote a value.
    let value: T = serde_json::from_str(text).map_err(|_| DecodeError::Content)?;
    let again = serde_json::to_string(&value).map_err(|_| DecodeError::Content)?;
    if again == text {
        return Ok(value);
    }
    let received: Value = serde_json::from_str(text).map_err(|_| DecodeError::Content)?;
    let kept: Value = serde_json::from_str(&again).map_err(|_| DecodeError::Content)?;
    match lost(&received, &kept) {
        Some(field) => Err(DecodeError::Field(field)),
        None => Ok(value),
    }
}

/// The first field of `received` that is not in `kept`, as a path.
fn lost(received: &Value, kept: &Value) -> Option<String> {
    match (received, kept) {
        (Value::Object(received), Value::Object(kept)) => {
            received
                .iter()
                .find_map(|(name, value)| match kept.get(name) {
                    Some(kept) => lost(value, kept).map(|rest| below(name, &rest)),
                    None if says_nothing(value) => None,
                    None => Some(name.clone()),
                })
        }
        (Value::Array(received), Value::Array(kept)) => {
            received
                .iter()
                .enumerate()
                .find_map(|(index, value)| match kept.get(index) {
                    Some(kept) => lost(value, kept).map(|rest| below(&index.to_string(), &rest)),
                    None => Some(index.to_string()),
                })
        }
        _ => None,
    }
}

fn below(name: &str, rest: &str) -> String {
    format!("{name}.{rest}")
}

/// What is off or empty in a version that knows it is the same as not being there.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
