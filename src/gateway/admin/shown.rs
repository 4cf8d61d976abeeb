//! Events and dead letters as the admin API shows them.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::delivery::dead_letters::DeadLetterId;
use crate::delivery::{DeliveryState, EventItem};
use crate::event::{Attributes, DeadLetterVerdict, ExtensionValue, ObjectName, Reason};

/// An event's attributes, as every list shows them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownAttributes<'a> {
    event_type: String,
    customer: Option<&'a str>,
    customer_namespace: Option<&'a str>,
    id: &'a str,
    r#type: &'a str,
    source: &'a str,
    time: Timestamp,
    data_content_type: Option<&'a str>,
    extensions: serde_json::Map<String, serde_json::Value>,
}

impl<'a> ShownAttributes<'a> {
    /// As it is shown.
    pub fn new(attributes: &'a Attributes) -> Self {
        let Attributes {
            id,
            source,
            event_type,
            subject: _,
            time,
            data_content_type,
            extensions,
            app_event_type,
            customer,
            deduplication: _,
        } = attributes;
        Self {
            event_type: app_event_type.to_string(),
            customer: customer.as_ref().map(|customer| customer.id.as_str()),
            customer_namespace: customer
                .as_ref()
                .map(|customer| customer.namespace.as_str()),
            id,
            r#type: event_type,
            source,
            time: *time,
            data_content_type: data_content_type.as_deref(),
            extensions: extensions
                .iter()
                .map(|(name, value)| {
                    let value = match value {
                        ExtensionValue::Boolean(value) => (*value).into(),
                        ExtensionValue::Integer(value) => (*value).into(),
                        ExtensionValue::Text(value) => value.as_str().into(),
                    };
                    (name.clone(), value)
                })
                .collect(),
        }
    }
}

/// An event of the log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownEvent<'a> {
    sequence: u64,
    received: Timestamp,
    #[serde(flatten)]
    attributes: ShownAttributes<'a>,
    data_bytes: Option<usize>,
    deliveries: Vec<ShownDelivery<'a>>,
}

/// Where it stands for one subscription.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownDelivery<'a> {
    subscription: String,
    state: DeliveryState,
    attempts: u32,
    next_attempt: Option<Timestamp>,
    last_error: Option<&'a str>,
}

impl<'a> ShownEvent<'a> {
    /// As it is shown.
    pub fn new(item: &'a EventItem) -> Self {
        let deliveries = item.deliveries.iter().map(|delivery| ShownDelivery {
            subscription: delivery.subscription.to_string(),
            state: delivery.state,
            attempts: delivery.attempts,
            next_attempt: delivery.next_attempt,
            last_error: delivery.last_error.as_deref(),
        });
        Self {
            sequence: item.sequence,
            received: item.received,
            attributes: ShownAttributes::new(&item.event.attributes),
            data_bytes: item.event.data.as_ref().map(bytes::Bytes::len),
            deliveries: deliveries.collect(),
        }
    }
}

/// A dead letter; its payload only where one alone is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownLetter<'a> {
    dead_letter: String,
    subscription: Option<String>,
    reasons: &'a [Reason],
    at: Timestamp,
    attempts: u32,
    #[serde(flatten)]
    attributes: ShownAttributes<'a>,
    data_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The payload, if it is JSON.
    pub data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The payload, if it is anything else.
    pub data_base64: Option<String>,
}

impl<'a> ShownLetter<'a> {
    /// As it is shown.
    pub fn new(
        id: DeadLetterId,
        verdict: &'a DeadLetterVerdict,
        attributes: &'a Attributes,
        data_bytes: Option<usize>,
    ) -> Self {
        let DeadLetterVerdict {
            subscription,
            reasons,
            at,
            attempts,
        } = verdict;
        Self {
            dead_letter: id.to_string(),
            subscription: subscription.as_ref().map(ObjectName::to_string),
            reasons,
            at: *at,
            attempts: *attempts,
            attributes: ShownAttributes::new(attributes),
            data_bytes,
            data: None,
            data_base64: None,
        }
    }
}

/// Whether a content type is one of JSON.
pub fn is_json(content_type: Option<&str>) -> bool {
    let essence = content_type
        .and_then(|text| text.split(';').next())
        .unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}
