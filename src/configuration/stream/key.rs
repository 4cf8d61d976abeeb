//! What an entry is called.

use std::borrow::Cow;
use std::fmt;

use crate::event::ObjectName;

/// What tells an entry from all others of the same gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKey {
    /// The gateway itself.
    Gateway,
    /// How much its log may hold.
    LogCapacity,
    /// The pods that there shall be.
    Members,
    /// What to do with EventSubscriptions that are not sent any more.
    Partings,
    /// The key of the tokens in webhook URIs.
    TokenKey,
    /// An AppEventType.
    EventType(ObjectName),
    /// A webhook URI, by its path.
    Route(String),
    /// A Customer.
    Customer(ObjectName),
    /// An EventSubscription.
    Subscription(ObjectName),
    /// The webhook URI of a registration at an app, by its path. It holds a token: it is not for
    /// people, and [`fmt::Display`] does not show it.
    Registration(String),
    /// Of a kind that this version does not know.
    Unknown {
        /// The kind.
        kind: String,
        /// The name.
        name: String,
    },
}

impl EntryKey {
    /// The kind, as frames have it.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Gateway => "Gateway",
            Self::LogCapacity => "LogCapacity",
            Self::Members => "Members",
            Self::Partings => "Partings",
            Self::TokenKey => "TokenKey",
            Self::EventType(_) => "EventType",
            Self::Route(_) => "Route",
            Self::Customer(_) => "Customer",
            Self::Subscription(_) => "Subscription",
            Self::Registration(_) => "Registration",
            Self::Unknown { kind, .. } => kind,
        }
    }

    /// The name among those of its kind, as frames have it; empty where there is only one.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Gateway | Self::LogCapacity | Self::Members | Self::Partings | Self::TokenKey => {
                Cow::Borrowed("")
            }
            Self::EventType(name) | Self::Customer(name) | Self::Subscription(name) => {
                Cow::Owned(name.to_string())
            }
            Self::Route(path) | Self::Registration(path) => Cow::Borrowed(path),
            Self::Unknown { name, .. } => Cow::Borrowed(name),
        }
    }

    /// The key of a frame. One that this version cannot make sense of is [`EntryKey::Unknown`].
    #[must_use]
    pub fn parse(kind: String, name: String) -> Self {
        let object = |name: &str| {
            let (namespace, name) = name.split_once('/')?;
            Some(ObjectName::new(namespace, name))
        };
        let known = match (kind.as_str(), name.as_str()) {
            ("Gateway", "") => Some(Self::Gateway),
            ("LogCapacity", "") => Some(Self::LogCapacity),
            ("Members", "") => Some(Self::Members),
            ("Partings", "") => Some(Self::Partings),
            ("TokenKey", "") => Some(Self::TokenKey),
            ("EventType", name) => object(name).map(Self::EventType),
            ("Customer", name) => object(name).map(Self::Customer),
            ("Subscription", name) => object(name).map(Self::Subscription),
            ("Route", _) => return Self::Route(name),
            ("Registration", _) => return Self::Registration(name),
            _ => None,
        };
        known.unwrap_or(Self::Unknown { kind, name })
    }
}

/// For people: without the path of a webhook URI, which may hold a token.
impl fmt::Display for EntryKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway => formatter.write_str("the gateway"),
            Self::LogCapacity => formatter.write_str("the log's capacity"),
            Self::Members => formatter.write_str("the pods that there shall be"),
            Self::Partings => formatter.write_str("what becomes of EventSubscriptions that go"),
            Self::TokenKey => formatter.write_str("the key of webhook URIs"),
            Self::EventType(name) => write!(formatter, "AppEventType {name}"),
            Self::Route(_) => formatter.write_str("a webhook URI"),
            Self::Customer(name) => write!(formatter, "Customer {name}"),
            Self::Subscription(name) => write!(formatter, "EventSubscription {name}"),
            Self::Registration(_) => formatter.write_str("a registration's webhook URI"),
            Self::Unknown { kind, .. } => write!(formatter, "an entry of the kind {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_kind_and_name() {
        let check = |key: EntryKey| {
            let again = EntryKey::parse(key.kind().to_owned(), key.name().into_owned());
            assert_eq!(again, key);
        };
        let name = ObjectName::new("shop", "order-placed");
        check(EntryKey::Gateway);
        check(EntryKey::LogCapacity);
        check(EntryKey::Members);
        check(EntryKey::Partings);
        check(EntryKey::TokenKey);
        check(EntryKey::EventType(name.clone()));
        check(EntryKey::Customer(name.clone()));
        check(EntryKey::Subscription(name));
        check(EntryKey::Route("/shop/orders".into()));
        check(EntryKey::Registration("/h/token/1".into()));
        for (kind, name) in [("Moon", "full"), ("Gateway", "x"), ("Customer", "acme")] {
            let (kind, name) = (kind.to_owned(), name.to_owned());
            check(EntryKey::Unknown { kind, name });
        }
    }

    #[test]
    fn the_path_of_a_webhook_uri_is_not_shown() {
        for key in [EntryKey::Route, EntryKey::Registration] {
            assert!(!key("/h/token".into()).to_string().contains("token"));
        }
    }
}
