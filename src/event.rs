//! One CloudEvent as Tidegate stores and delivers it.
//!
//! `webhook` makes events, `event_log` keeps their bytes, `delivery` sends them. What all three
//! must agree on stands here: the attributes, and the record form on disk. How a CloudEvent looks
//! on the wire (binary, structured, raw) is not here but in `delivery`.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A namespaced object's name, the key of everything that is configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectName {
    /// The object's namespace.
    pub namespace: String,
    /// The object's `metadata.name`.
    pub name: String,
}

impl ObjectName {
    /// The name of the object `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// Written `namespace/name`, as `kubectl` and the admin API write it.
impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// The customer an event is about: the id, and the namespace that has it.
///
/// The namespace is that of the declared Customer; for an id that nobody declared it is the
/// event type's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CustomerKey {
    /// The namespace of the Customer.
    pub namespace: String,
    /// The Customer's `spec.id`.
    pub id: String,
}

/// The value of a CloudEvents extension attribute: the types of CloudEvents 1.0 §3.1 that we emit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExtensionValue {
    /// A CloudEvents Boolean.
    Boolean(bool),
    /// A CloudEvents Integer: 32 bits, signed.
    Integer(i32),
    /// A CloudEvents String.
    Text(String),
}

/// The canonical text form, as it stands in an HTTP header.
impl fmt::Display for ExtensionValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(formatter, "{value}"),
            Self::Integer(value) => write!(formatter, "{value}"),
            Self::Text(value) => formatter.write_str(value),
        }
    }
}

/// What recognises a duplicate: a hash of (type, customer's namespace, customer id, event id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deduplication {
    /// The hash; 128 bits, so that two events never meet by chance.
    pub key: u128,
    /// Seconds since the epoch after which the same key is a new event.
    pub until: i64,
}

/// One CloudEvent 1.0 with what routing needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Everything but the payload.
    pub attributes: Attributes,
    /// The payload: a slice of the request body, or what the type's projection made. `None` is an
    /// event without data.
    pub data: Option<Bytes>,
}

/// An event's attributes, and the names that routing goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// CloudEvents `id`: the type's `events.id`, or a random UUID.
    pub id: String,
    /// CloudEvents `source`: see [`source`].
    pub source: String,
    /// CloudEvents `type`.
    pub event_type: String,
    /// CloudEvents `subject`: the customer's id.
    pub subject: Option<String>,
    /// CloudEvents `time`.
    pub time: Timestamp,
    /// CloudEvents `datacontenttype`; `None` without data.
    pub data_content_type: Option<String>,
    /// CloudEvents extensions: `customerid`, `traceparent` and the declared ones.
    pub extensions: BTreeMap<String, ExtensionValue>,
    /// The AppEventType it came by.
    pub app_event_type: ObjectName,
    /// The customer it is for, if any.
    pub customer: Option<CustomerKey>,
    /// How a redelivery of it is recognised; `None`: not at all.
    pub deduplication: Option<Deduplication>,
}

/// The `source` of an event: `/<namespace>/<event type>[/<customer's namespace, if another>/<customer>]`,
/// each segment percent-encoded.
pub fn source(app_event_type: &ObjectName, customer: Option<&CustomerKey>) -> String {
    let mut source = String::with_capacity(64);
    push_segment(&mut source, &app_event_type.namespace);
    push_segment(&mut source, &app_event_type.name);
    if let Some(customer) = customer {
        if customer.namespace != app_event_type.namespace {
            push_segment(&mut source, &customer.namespace);
        }
        push_segment(&mut source, &customer.id);
    }
    source
}

/// What RFC 3986 §2.3 calls unreserved stays as it is in a `source`.
const UNRESERVED: percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn push_segment(source: &mut String, segment: &str) {
    source.push('/');
    source.extend(percent_encoding::utf8_percent_encode(segment, &UNRESERVED));
}

/// Why an event, or a whole body, could not be taken or delivered. It never holds payload values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What kind of fault.
    pub code: ReasonCode,
    /// One sentence for a person.
    pub message: String,
    /// JSON pointer into the event where the fault is, for schema violations.
    #[serde(default)]
    pub pointer: Option<String>,
}

/// The kinds of [`Reason`]; the names are what the admin API and the metrics show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReasonCode {
    /// The body could not be parsed as its content type.
    MalformedBody,
    /// The event does not match its schema.
    SchemaViolation,
    /// `events.require` is false.
    RequirementFailed,
    /// An expression of the type gave an error.
    ExpressionFailed,
    /// The customer is not declared, and `onUnknownCustomer` says `DeadLetter` or `Reject`.
    UnknownCustomer,
    /// The event has no customer where one is needed.
    MissingCustomer,
    /// Delivered to no avail until `maxAttempts`.
    AttemptsExhausted,
    /// Undelivered for longer than `maxAge`.
    TooOld,
    /// The sink refused it for good.
    SinkRefused,
    /// The subscription held more than its share of the log.
    ShareExceeded,
}

impl ReasonCode {
    /// The name as the admin API and the metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedBody => "MalformedBody",
            Self::SchemaViolation => "SchemaViolation",
            Self::RequirementFailed => "RequirementFailed",
            Self::ExpressionFailed => "ExpressionFailed",
            Self::UnknownCustomer => "UnknownCustomer",
            Self::MissingCustomer => "MissingCustomer",
            Self::AttemptsExhausted => "AttemptsExhausted",
            Self::TooOld => "TooOld",
            Self::SinkRefused => "SinkRefused",
            Self::ShareExceeded => "ShareExceeded",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An event that was not delivered: refused at the door, or given up on by one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why and for whom.
    pub verdict: DeadLetterVerdict,
    /// The event as far as it could be read; its data are the bytes that came.
    pub event: Event,
}

/// Why an event became a dead letter, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterVerdict {
    /// The subscription that gave it up; `None`: it never was a valid event.
    pub subscription: Option<ObjectName>,
    /// At least one reason.
    pub reasons: Vec<Reason>,
    /// When it became a dead letter.
    pub at: Timestamp,
    /// How often delivery was tried.
    pub attempts: u32,
}

/// A stored record that cannot be read as what it should be.
#[derive(Debug, thiserror::Error)]
#[error("failed to read a stored {what}: {detail}")]
pub struct DecodeError {
    what: &'static str,
    detail: String,
}

/// The form of a record: version, payload flag, length of the header, header (postcard), payload.
/// The payload stands last so that it is a slice of the record, never copied.
const RECORD_VERSION: u8 = 1;

impl Event {
    /// The record's header; the record is this followed by the payload.
    pub fn encode_header(&self) -> Vec<u8> {
        encode_header(&self.attributes, self.data.is_some())
    }

    /// Reads a record; the payload is a slice of `record`.
    ///
    /// # Errors
    /// When the record is of another version or damaged.
    pub fn decode(record: &Bytes) -> Result<Self, DecodeError> {
        let (attributes, data) = decode(record, "event")?;
        Ok(Self { attributes, data })
    }
}

impl DeadLetter {
    /// The record's header; the record is this followed by the event's payload.
    pub fn encode_header(&self) -> Vec<u8> {
        encode_header(
            &(&self.verdict, &self.event.attributes),
            self.event.data.is_some(),
        )
    }

    /// Reads a record; the payload is a slice of `record`.
    ///
    /// # Errors
    /// When the record is of another version or damaged.
    pub fn decode(record: &Bytes) -> Result<Self, DecodeError> {
        let ((verdict, attributes), data) = decode(record, "dead letter")?;
        Ok(Self {
            verdict,
            event: Event { attributes, data },
        })
    }
}

fn encode_header(header: &impl Serialize, has_data: bool) -> Vec<u8> {
    let mut record = Vec::with_capacity(320);
    record.extend_from_slice(&[RECORD_VERSION, u8::from(has_data), 0, 0, 0, 0]);
    #[expect(
        clippy::expect_used,
        reason = "writing plain data to a Vec has no way to fail"
    )]
    let mut record = postcard::to_extend(header, record).expect("headers are plain data");
    let length = (record.len() - 6) as u32;
    record[2..6].copy_from_slice(&length.to_le_bytes());
    record
}

fn decode<Header: for<'de> Deserialize<'de>>(
    record: &Bytes,
    what: &'static str,
) -> Result<(Header, Option<Bytes>), DecodeError> {
    let failed = |detail: String| DecodeError { what, detail };
    let [version, has_data, a, b, c, d, ..] = record[..] else {
        return Err(failed(format!("it has only {} bytes", record.len())));
    };
    if version != RECORD_VERSION {
        return Err(failed(format!(
            "it has version {version}, this program reads {RECORD_VERSION}"
        )));
    }
    let end = 6 + u32::from_le_bytes([a, b, c, d]) as usize;
    let header = record
        .get(6..end)
        .ok_or_else(|| failed("its header is cut off".into()))?;
    let header = postcard::from_bytes(header).map_err(|error| failed(error.to_string()))?;
    Ok((header, (has_data != 0).then(|| record.slice(end..))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: Option<&'static [u8]>) -> Event {
        Event {
            attributes: Attributes {
                id: "e-1".into(),
                source: "/shop/order-placed/acme".into(),
                event_type: "order-placed".into(),
                subject: Some("acme".into()),
                time: "2026-01-02T03:04:05.678Z".parse().unwrap(),
                data_content_type: Some("application/json".into()),
                extensions: BTreeMap::from([
                    ("customerid".into(), ExtensionValue::Text("acme".into())),
                    ("tidegateinvalid".into(), ExtensionValue::Boolean(true)),
                ]),
                app_event_type: ObjectName::new("shop", "order-placed"),
                customer: Some(CustomerKey {
                    namespace: "shop".into(),
                    id: "acme".into(),
                }),
                deduplication: Some(Deduplication {
                    key: 7,
                    until: 1_800_000_000,
                }),
            },
            data: data.map(Bytes::from_static),
        }
    }

    fn record(header: Vec<u8>, event: &Event) -> Bytes {
        [&header[..], event.data.as_deref().unwrap_or_default()]
            .concat()
            .into()
    }

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        for data in [None, Some(&b""[..]), Some(b"{\"total\": 12.50}")] {
            let event = event(data);
            assert_eq!(
                Event::decode(&record(event.encode_header(), &event)).unwrap(),
                event
            );
        }
    }

    #[test]
    fn a_dead_letter_reads_back_as_it_was_written() {
        let letter = DeadLetter {
            verdict: DeadLetterVerdict {
                subscription: Some(ObjectName::new("shop", "invoicing")),
                reasons: vec![Reason {
                    code: ReasonCode::SchemaViolation,
                    message: "is not a number".into(),
                    pointer: Some("/total".into()),
                }],
                at: "2026-01-02T03:04:05Z".parse().unwrap(),
                attempts: 3,
            },
            event: event(Some(b"{}")),
        };
        assert_eq!(
            DeadLetter::decode(&record(letter.encode_header(), &letter.event)).unwrap(),
            letter
        );
    }

    #[test]
    fn a_damaged_record_is_an_error_at_every_length() {
        let event = event(None);
        let whole = record(event.encode_header(), &event);
        for length in 0..whole.len() {
            assert!(
                Event::decode(&whole.slice(..length)).is_err(),
                "length {length}"
            );
        }
        let mut other = whole.to_vec();
        other[0] = 9;
        assert!(
            Event::decode(&other.into())
                .unwrap_err()
                .to_string()
                .contains("version 9")
        );
    }

    #[test]
    fn the_source_names_the_customers_namespace_only_if_it_is_another() {
        let check = |customer: Option<(&str, &str)>, expected: &str| {
            let customer = customer.map(|(namespace, id)| CustomerKey {
                namespace: namespace.into(),
                id: id.into(),
            });
            assert_eq!(
                source(
                    &ObjectName::new("crm", "contact-created"),
                    customer.as_ref()
                ),
                expected
            );
        };
        check(None, "/crm/contact-created");
        check(Some(("crm", "acme")), "/crm/contact-created/acme");
        check(Some(("sales", "acme")), "/crm/contact-created/sales/acme");
        check(
            Some(("crm", "a/b ü")),
            "/crm/contact-created/a%2Fb%20%C3%BC",
        );
    }
}
