//! The three forms of an event, byte for byte.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;

use crate::configuration::Format;
use crate::delivery::sink::message::{self, EncodingError};
use crate::event::{Attributes, CustomerKey, Event, ExtensionValue, ObjectName};

/// An event with every attribute, `data` of `content_type`.
pub(super) fn event(content_type: Option<&str>, data: Option<&[u8]>) -> Event {
    Event {
        attributes: Attributes {
            id: "o_1".into(),
            source: "/shop/order-placed/acme".into(),
            event_type: "com.example.order.placed".into(),
            subject: Some("acme".into()),
            time: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            data_content_type: content_type.map(str::to_owned),
            extensions: BTreeMap::from([
                ("customerid".into(), ExtensionValue::Text("acme".into())),
                ("priority".into(), ExtensionValue::Integer(-3)),
                ("tidegateinvalid".into(), ExtensionValue::Boolean(true)),
            ]),
            app_event_type: ObjectName::new("shop", "order-placed"),
            customer: Some(CustomerKey {
                namespace: "shop".into(),
                id: "acme".into(),
            }),
            deduplication: None,
        },
        data: data.map(Bytes::copy_from_slice),
    }
}

/// Header lines in the order of their names.
fn lines(headers: &HeaderMap) -> String {
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines.concat()
}

#[test]
fn binary_puts_attributes_into_headers_and_the_payload_into_the_body() {
    let payload = br#"{ "total" : 12.50, "total": 1e400 }"#;
    let message = message::of(
        Format::Binary,
        &event(Some("application/json"), Some(payload)),
    )
    .unwrap();
    assert_eq!(
        lines(&message.headers),
        "ce-customerid: acme\n\
         ce-id: o_1\n\
         ce-priority: -3\n\
         ce-source: /shop/order-placed/acme\n\
         ce-specversion: 1.0\n\
         ce-subject: acme\n\
         ce-tidegateinvalid: true\n\
         ce-time: 2026-01-02T03:04:05.678Z\n\
         ce-type: com.example.order.placed\n\
         content-type: application/json\n"
    );
    assert_eq!(message.body, payload[..]);
}

#[test]
fn raw_is_the_payload_with_its_content_type() {
    let payload = b"\x00\xff\r\n";
    let message = message::of(Format::Raw, &event(Some("image/png"), Some(payload))).unwrap();
    assert_eq!(lines(&message.headers), "content-type: image/png\n");
    assert_eq!(message.body, payload[..]);
}

#[test]
fn an_event_without_data_has_an_empty_body_and_no_content_type() {
    for format in [Format::Binary, Format::Raw] {
        let message = message::of(format, &event(None, None)).unwrap();
        assert_eq!(message.headers.get("content-type"), None);
        assert_eq!(message.body, b""[..]);
    }
}

#[test]
fn header_values_are_percent_encoded_as_the_binding_says() {
    let check = |text: &str, expected: &str| {
        let mut event = event(None, None);
        event.attributes.subject = Some(text.into());
        let text = ExtensionValue::Text(text.into());
        event.attributes.extensions.insert("topic".into(), text);
        let message = message::of(Format::Binary, &event).unwrap();
        assert_eq!(message.headers["ce-subject"], expected);
        assert_eq!(message.headers["ce-topic"], expected);
    };
    check(
        "plain-text_1.2~!#$&'()*+,/:;<=>?@[]^`{|}\\",
        "plain-text_1.2~!#$&'()*+,/:;<=>?@[]^`{|}\\",
    );
    check("a b", "a%20b");
    check("say \"hi\"", "say%20%22hi%22");
    check("100%", "100%25");
    check("%20", "%2520");
    check("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80");
    check("ü", "%C3%BC");
    check("tab\tnul\0del\x7f", "tab%09nul%00del%7F");
    check("x\r\nx-injected: 1", "x%0D%0Ax-injected:%201");
    check("", "");
}

#[test]
fn structured_embeds_each_payload_as_what_it_is() {
    const HEAD: &str = r#"{"specversion":"1.0","id":"o_1","source":"/shop/order-placed/acme","type":"com.example.order.placed","subject":"acme","time":"2026-01-02T03:04:05.678Z""#;
    const EXTENSIONS: &str = r#","customerid":"acme","priority":-3,"tidegateinvalid":true"#;
    let check = |content_type: Option<&str>, data: Option<&[u8]>, expected: &str| {
        let event = event(content_type, data);
        let message = message::of(Format::Structured, &event).unwrap();
        assert_eq!(
            lines(&message.headers),
            "content-type: application/cloudevents+json; charset=utf-8\n"
        );
        let declared = content_type
            .map(|text| format!(",\"datacontenttype\":{}", serde_json::json!(text)))
            .unwrap_or_default();
        assert_eq!(
            String::from_utf8(message.body.to_vec()).unwrap(),
            format!("{HEAD}{declared}{EXTENSIONS}{expected}}}"),
        );
    };
    // JSON: every byte as it came.
    for content_type in [
        None,
        Some("application/json"),
        Some("Application/JSON; charset=utf-8"),
        Some("text/json"),
        Some("application/problem+json"),
    ] {
        let exact = br#" { "n" : 12.50, "big": 1e400, "a":1, "a":2, "u": "\ud800" } "#;
        let embedded = format!(r#","data":{}"#, str::from_utf8(exact).unwrap());
        check(content_type, Some(exact), &embedded);
        check(content_type, Some(b"null"), r#","data":null"#);
        check(content_type, Some(b"\"text\""), r#","data":"text""#);
    }
    // What claims to be JSON and is not cannot break out.
    let json = Some("application/json");
    check(json, Some(b""), r#","data_base64":"""#);
    check(json, Some(b"{"), r#","data_base64":"ew==""#);
    check(json, Some(b"1}"), r#","data_base64":"MX0=""#);
    check(
        json,
        Some(b"1,\"id\":2"),
        r#","data_base64":"MSwiaWQiOjI=""#,
    );
    check(json, Some(b"\"\xff\""), r#","data_base64":"Iv8i""#);
    check(json, Some(b"\xef\xbb\xbf1"), r#","data_base64":"77u/MQ==""#);
    check(json, Some(b"NaN"), r#","data_base64":"TmFO""#);
    // Text in UTF-8 is a string.
    let text = "a \"b\"\n€".as_bytes();
    let quoted = ",\"data\":\"a \\\"b\\\"\\n€\"";
    check(Some("text/plain"), Some(text), quoted);
    check(Some("text/plain; Charset=\"UTF-8\""), Some(text), quoted);
    check(Some("application/xml"), Some(text), quoted);
    check(Some("image/svg+xml"), Some(text), quoted);
    check(Some("text/csv"), Some(b""), r#","data":"""#);
    // Everything else is base64.
    check(
        Some("text/plain"),
        Some(b"\xfc"),
        r#","data_base64":"/A==""#,
    );
    check(
        Some("text/plain;charset=latin1"),
        Some(b"u"),
        r#","data_base64":"dQ==""#,
    );
    check(
        Some("application/octet-stream"),
        Some(b"u"),
        r#","data_base64":"dQ==""#,
    );
    check(Some("nonsense"), Some(b"u"), r#","data_base64":"dQ==""#);
    // No data.
    check(None, None, "");
    check(Some("application/json"), None, "");
}

#[test]
fn an_event_that_no_request_can_carry_is_an_error() {
    let check = |name: &str| {
        let mut event = event(None, None);
        let value = ExtensionValue::Boolean(true);
        event.attributes.extensions.insert(name.into(), value);
        for format in [Format::Binary, Format::Structured] {
            assert_eq!(
                message::of(format, &event),
                Err(EncodingError::ExtensionName(name.into()))
            );
        }
    };
    check("");
    check("id");
    check("data");
    check("data_base64");
    check("Upper");
    check("a-b");
    check("a\":1,\"id");
    check("a\r\nb");
    check("ü");
    for format in [Format::Binary, Format::Raw] {
        assert_eq!(
            message::of(format, &event(Some("text/plain\r\nx: y"), Some(b"x"))),
            Err(EncodingError::ContentType)
        );
    }
}

proptest! {
    /// Whatever the payload and its content type: the envelope is one JSON document with the
    /// event's own attributes, and the payload comes out of it as it went in.
    #[test]
    fn the_envelope_holds_and_the_payload_survives(
        content_type in prop_oneof![
            Just(None),
            Just(Some("application/json".to_owned())),
            Just(Some("text/plain".to_owned())),
            Just(Some("application/octet-stream".to_owned())),
            any::<String>().prop_map(Some),
        ],
        data in prop_oneof![
            any::<Vec<u8>>(),
            any::<String>().prop_map(String::into_bytes),
            "[\\[\\]{}:,\"0-9 a\\\\]{0,40}".prop_map(String::into_bytes),
        ],
        subject in any::<String>(),
    ) {
        let mut event = event(content_type.as_deref(), Some(&data));
        event.attributes.subject = Some(subject.clone());
        let message = message::of(Format::Structured, &event).unwrap();
        let envelope: serde_json::Value = match serde_json::from_slice(&message.body) {
            Ok(envelope) => envelope,
            // A lone surrogate or a huge number is JSON by its grammar, and no value.
            Err(_) => {
                prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&data).is_ok());
                return Ok(());
            }
        };
        prop_assert_eq!(&envelope["id"], "o_1");
        prop_assert_eq!(&envelope["specversion"], "1.0");
        prop_assert_eq!(envelope["subject"].as_str(), Some(&subject[..]));
        let survived = match (envelope.get("data"), envelope.get("data_base64")) {
            (None, Some(text)) => STANDARD.decode(text.as_str().unwrap()).unwrap() == data,
            (Some(value), None) => {
                value.as_str().map(str::as_bytes) == Some(&data)
                    || Ok(value) == serde_json::from_slice(&data).as_ref().map_err(|_| ())
            }
            _ => false,
        };
        prop_assert!(survived);
    }
}
