//! A YAML value with the place of each of its parts.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::place::Mark;
use crate::api::FieldPath;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins; at its name, for a list or object that begins in a line below its name.
    pub mark: Mark,
    /// What it is.
    pub data: Data,
    /// How its text stands in the file.
    pub style: Style,
    /// How large it is.
    pub size: Size,
    /// How many levels it has, itself included.
    pub depth: usize,
}

/// How large a value is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    /// How many nodes it consists of, itself included.
    pub nodes: usize,
    /// Bytes of text in them.
    pub text: usize,
}

impl Size {
    /// One node with so much text.
    pub fn of(text: usize) -> Self {
        Self { nodes: 1, text }
    }

    /// Adds another size.
    pub fn add(&mut self, other: Self) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.text = self.text.saturating_add(other.text);
    }
}

/// How a scalar was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// Not quoted; holds the text as written.
    Plain(String),
    /// In quotes.
    Quoted,
    /// After `|`, line by line; holds the text.
    Literal(String),
    /// After `>`, lines joined; or not a scalar.
    Other,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Data {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// An object, in the order in which it was written.
    Object(Vec<Entry>),
}

/// A member of an object.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Where the name stands.
    pub key_mark: Mark,
    /// Its value.
    pub value: Node,
}

/// Where a field stands.
#[derive(Clone, Debug)]
pub struct FieldPlace {
    /// Where the value begins.
    pub mark: Mark,
    /// How its text was written.
    pub style: Style,
}

impl Node {
    /// The member of an object with the given name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The member of an object with the given name, and the place of the name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        match &self.data {
            Data::Object(entries) => entries.iter().find(|entry| entry.key == name),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value without its places.
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Data::Object(entries) => Value::Object(
                entries
                    .iter()
                    .map(|Entry { key, value, .. }| (key.clone(), value.to_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The place of every part, by its path from here.
    pub fn places(&self) -> HashMap<FieldPath, FieldPlace> {
        let mut places = HashMap::with_capacity(self.size.nodes);
        self.collect_places(FieldPath::root(), &mut places);
        places
    }

    fn collect_places(&self, path: FieldPath, places: &mut HashMap<FieldPath, FieldPlace>) {
        match &self.data {
            Data::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_places(path.index(index), places);
                }
            }
            Data::Object(entries) => {
                for Entry { key, value, .. } in entries {
                    value.collect_places(path.field(key), places);
                }
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {}
        }
        let place = FieldPlace {
            mark: self.mark,
            style: self.style.clone(),
        };
        places.insert(path, place);
    }

    /// What it is, for messages. Never the text itself, which may be sensitive.
    pub fn describe(&self) -> String {
        match &self.data {
            Data::Null => "nothing".to_owned(),
            Data::Bool(value) => value.to_string(),
            Data::Number(number) => format!("the number {number}"),
            Data::Text(_) => "text".to_owned(),
            Data::List(_) => "a list".to_owned(),
            Data::Object(_) => "an object".to_owned(),
        }
    }
}
