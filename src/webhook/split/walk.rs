//! Follows names into a JSON text without parsing it into a tree.
//!
//! The whole text is checked for syntax on the way. What the path does not lead through is passed
//! over without recursion, so the depth of a text is no danger.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

/// What is at the place that `segments` lead to in `text`; of an array at most `limit` elements.
///
/// # Errors
/// When `text` is no JSON.
pub fn follow<'t>(
    text: &'t str,
    segments: &[String],
    limit: usize,
) -> Result<Found<'t>, serde_json::Error> {
    read(text, Walk { segments, limit })
}

/// The text of the object at that place: what [`follow`] calls [`Found::Object`].
///
/// # Errors
/// When `text` is no JSON.
pub fn locate<'t>(
    text: &'t str,
    segments: &[String],
) -> Result<Option<&'t str>, serde_json::Error> {
    read(text, Locate { segments })
}

fn read<'t, Seed: DeserializeSeed<'t>>(
    text: &'t str,
    seed: Seed,
) -> Result<Seed::Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(found)
}

/// What a path leads to.
pub enum Found<'t> {
    /// The elements of an array.
    Elements(Vec<&'t RawValue>),
    /// An array of more than the limit.
    TooMany,
    /// An object; [`locate`] knows where.
    Object,
    /// Something else, or nothing.
    Other,
}

/// Follows names into a JSON text, checking the syntax of all of it.
struct Walk<'p> {
    segments: &'p [String],
    limit: usize,
}

impl<'t> DeserializeSeed<'t> for Walk<'_> {
    type Value = Found<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Found<'t>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Walk<'_> {
    type Value = Found<'t>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Found<'t>, A::Error> {
        let Some((name, rest)) = self.segments.split_first() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Found::Object);
        };
        let mut found = Found::Other;
        while let Some(matches) = map.next_key_seed(NameIs(name))? {
            if matches {
                found = map.next_value_seed(Walk {
                    segments: rest,
                    limit: self.limit,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut elements: A) -> Result<Found<'t>, A::Error> {
        if !self.segments.is_empty() {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Found::Other);
        }
        let mut found = Vec::new();
        while let Some(element) = elements.next_element()? {
            found.push(element);
            if found.len() > self.limit {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Found::TooMany);
            }
        }
        Ok(Found::Elements(found))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found<'t>, E> {
        Ok(Found::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found<'t>, E> {
        Ok(Found::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found<'t>, E> {
        Ok(Found::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found<'t>, E> {
        Ok(Found::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Found<'t>, E> {
        Ok(Found::Other)
    }

    fn visit_unit<E>(self) -> Result<Found<'t>, E> {
        Ok(Found::Other)
    }
}

/// Finds the text of the object that a path leads to; an array has its elements, so only objects
/// need this second pass.
struct Locate<'p> {
    segments: &'p [String],
}

impl<'t> DeserializeSeed<'t> for Locate<'_> {
    type Value = Option<&'t str>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.segments.is_empty() {
            return <&RawValue>::deserialize(deserializer).map(|raw| Some(raw.get()));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Locate<'_> {
    type Value = Option<&'t str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((name, rest)) = self.segments.split_first() else {
            return Ok(None);
        };
        let mut found = None;
        while let Some(matches) = map.next_key_seed(NameIs(name))? {
            if !matches {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            // An earlier value of the same name may be no object, so it is looked at before it is entered.
            let raw = map.next_value::<&RawValue>()?.get();
            let mut inner = serde_json::Deserializer::from_str(raw);
            found = Locate { segments: rest }
                .deserialize(&mut inner)
                .ok()
                .flatten();
        }
        Ok(found)
    }
}

/// Whether a name of an object is the one that is looked for.
struct NameIs<'p>(&'p str);

impl<'t> DeserializeSeed<'t> for NameIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameIs<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}
