//! Bytes that must never be shown: keys, tokens, header values from Secrets.

use std::fmt;

use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// A secret value. `Debug` and `Display` show `***`; the memory is wiped when dropped.
///
/// It serialises as it is, because entries travel to the gateway over an encrypted stream; nothing
/// else may serialise an entry.
#[derive(Clone)]
pub struct Sensitive(SecretSlice<u8>);

impl Sensitive {
    /// Takes the bytes over.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into().into())
    }

    /// The bytes. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// Whether there are no bytes at all. An empty key never matches anything.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

/// In constant time for values of the same length.
impl PartialEq for Sensitive {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Sensitive {}

impl fmt::Debug for Sensitive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Display for Sensitive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl From<&str> for Sensitive {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl Serialize for Sensitive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.expose().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sensitive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_printing_it_shows_the_value() {
        let key = Sensitive::from("hunter2");
        assert_eq!(format!("{key} {key:?} {key:#?}"), "*** *** ***");
    }
}
