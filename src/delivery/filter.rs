//! A subscription's `filter`: CEL over one event, compiled once, evaluated within a budget.

use std::cell::OnceCell;
use std::rc::Rc;

use bytes::Bytes;

use crate::event::{Event, ExtensionValue};
use crate::expression::{
    Binary, Budget, Entries, EvaluationError, Expression, Key, Map, Object, Scope, Text, Value,
    Variables,
};

/// Which events a subscription wants, as far as their content decides.
#[derive(Debug)]
pub(super) enum Filter {
    /// All.
    Everything,
    /// Those for which it is true.
    Expression(Box<Expression>),
    /// None, because the expression is not valid; `compile` never lets one through.
    Broken(String),
}

impl Filter {
    /// Compiles the `filter` of a declaration.
    pub fn new(source: Option<&str>) -> Self {
        match source.map(|source| Expression::compile(source, &Scope::event())) {
            None => Self::Everything,
            Some(Ok(expression)) => Self::Expression(Box::new(expression)),
            Some(Err(error)) => Self::Broken(error.to_string()),
        }
    }

    /// Whether it wants `event`.
    ///
    /// # Errors
    /// What the expression failed on; holds no value of the event.
    pub fn admits(&self, event: &Event) -> Result<bool, String> {
        match self {
            Self::Everything => Ok(true),
            Self::Broken(error) => Err(error.clone()),
            Self::Expression(expression) => {
                let variables = EventVariable {
                    event,
                    data: OnceCell::new(),
                };
                let bytes = event.data.as_ref().map_or(0, Bytes::len) as u64;
                let mut budget = Budget::for_body_limit(bytes.max(SMALLEST_BODY));
                expression
                    .evaluate_bool(&variables, &mut budget)
                    .map_err(|error| error.to_string())
            }
        }
    }
}

/// The budget of text and bytes follows the size of the event; below this size it does not shrink
/// any more, as attributes take some of it.
const SMALLEST_BODY: u64 = 16 << 10;

/// The variable `event`, its data parsed when they are first asked for.
struct EventVariable<'e> {
    event: &'e Event,
    data: OnceCell<Data>,
}

enum Data {
    Json(serde_json::Value),
    Text(String),
    Bytes,
}

impl Variables for EventVariable<'_> {
    fn variable(&self, name: &str) -> Result<Value<'_>, EvaluationError> {
        Ok(match name {
            "event" => Value::object(self),
            _ => Value::Null,
        })
    }
}

const FIELDS: [&str; 8] = [
    "id",
    "source",
    "type",
    "subject",
    "time",
    "customer",
    "data",
    "extensions",
];

impl Object for EventVariable<'_> {
    fn field(&self, name: &str) -> Result<Option<Value<'_>>, EvaluationError> {
        let attributes = &self.event.attributes;
        Ok(Some(match name {
            "id" => Value::Text(Text::Borrowed(&attributes.id)),
            "source" => Value::Text(Text::Borrowed(&attributes.source)),
            "type" => Value::Text(Text::Borrowed(&attributes.event_type)),
            "subject" => optional(attributes.subject.as_deref()),
            "time" => Value::Timestamp(attributes.time),
            "customer" => optional(attributes.customer.as_ref().map(|customer| &*customer.id)),
            "data" => self.data(),
            "extensions" => self.extensions(),
            _ => return Ok(None),
        }))
    }

    fn names(&self) -> Vec<&str> {
        FIELDS.to_vec()
    }
}

fn optional(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, |text| Value::Text(Text::Borrowed(text)))
}

impl EventVariable<'_> {
    /// JSON as the document, text as text, everything else as bytes, no data as null.
    fn data(&self) -> Value<'_> {
        let Some(bytes) = &self.event.data else {
            return Value::Null;
        };
        match self.data.get_or_init(|| self.parse(bytes)) {
            Data::Json(json) => Value::from_json(json),
            Data::Text(text) => Value::Text(Text::Borrowed(text)),
            Data::Bytes => Value::Bytes(Binary::Borrowed(bytes)),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Data {
        let content_type = self.event.attributes.data_content_type.as_deref();
        let media_type = content_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let is_json = media_type.ends_with("/json") || media_type.ends_with("+json");
        let is_text = media_type.starts_with("text/")
            || media_type.ends_with("/xml")
            || media_type.ends_with("+xml");
        if (is_json || is_text || media_type.is_empty())
            && let Ok(json) = serde_json::from_slice(bytes)
        {
            return Data::Json(json);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if is_text || media_type.is_empty() => Data::Text(text.to_owned()),
            _ => Data::Bytes,
        }
    }

    fn extensions(&self) -> Value<'_> {
        let entries = self
            .event
            .attributes
            .extensions
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    ExtensionValue::Boolean(value) => Value::Bool(*value),
                    ExtensionValue::Integer(value) => Value::Int(i64::from(*value)),
                    ExtensionValue::Text(value) => Value::Text(Text::Borrowed(value)),
                };
                (Key::Text(Text::Borrowed(name)), value)
            });
        Entries::new(entries.collect()).map_or(Value::Null, |entries| {
            Value::Map(Map::Shared(Rc::new(entries)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::support::event;

    #[test]
    fn a_filter_sees_every_attribute_and_the_data() {
        let mut event = event("e-1", Some("acme"));
        event.data = Some(Bytes::from_static(br#"{"vip": true, "total": 12.5}"#));
        event
            .attributes
            .extensions
            .insert("tidegateinvalid".into(), ExtensionValue::Boolean(true));
        let check = |filter: &str, expected: Result<bool, ()>| {
            let filter = Filter::new(Some(filter));
            assert_eq!(filter.admits(&event).map_err(drop), expected, "{filter:?}");
        };
        check("event.data.vip", Ok(true));
        check("event.data.total > 20.0", Ok(false));
        check(
            "event.id == \"e-1\" && event.type == \"order-placed\"",
            Ok(true),
        );
        check("event.source == \"/shop/order-placed/acme\"", Ok(true));
        check(
            "event.subject == \"acme\" && event.customer == \"acme\"",
            Ok(true),
        );
        check("event.time > timestamp(\"2020-01-01T00:00:00Z\")", Ok(true));
        check("event.extensions.tidegateinvalid", Ok(true));
        check("event.data.missing", Err(()));
        check("event.data.total", Err(()));
        check("event.data[", Err(()));
    }

    #[test]
    fn data_are_what_their_content_type_says() {
        let check = |content_type: Option<&str>, data: Option<&'static [u8]>, filter: &str| {
            let mut event = event("e-1", None);
            event.attributes.data_content_type = content_type.map(Into::into);
            event.data = data.map(Bytes::from_static);
            let admitted = Filter::new(Some(filter)).admits(&event);
            assert_eq!(admitted, Ok(true), "{content_type:?} {data:?} {filter}");
        };
        check(
            Some("application/vnd.a+json; charset=utf-8"),
            Some(b"[1]"),
            "event.data[0] == 1",
        );
        check(
            Some("text/plain"),
            Some(b"hello"),
            "event.data == \"hello\"",
        );
        check(Some("text/plain"), Some(b"{\"a\": 1}"), "event.data.a == 1");
        check(
            Some("application/xml"),
            Some(b"<a/>"),
            "event.data == \"<a/>\"",
        );
        check(Some("image/png"), Some(b"abc"), "event.data == b\"abc\"");
        check(None, None, "event.data == null && event.customer == null");
    }
}
