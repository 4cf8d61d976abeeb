//! A request with a thousand events for fifty customers, some invalid, some duplicates, some of
//! unknown customers: what becomes of each is right under every `onInvalid` and every
//! `onUnknownCustomer`, and what is delivered are the bytes that came.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::dev::Dev;
use crate::support::eventually;
use crate::support::sink::Sink;

const EVENTS: usize = 1_000;
const CUSTOMERS: usize = 50;
const POLICIES: [&str; 3] = ["DeadLetter", "Reject", "Accept"];
const UNKNOWN: [&str; 3] = ["Store", "DeadLetter", "Reject"];

/// What an event of the batch is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Good,
    /// Its customer sent the same id before, in a good event.
    Repeated,
    /// Another customer sent the same id before: that is no duplicate.
    SameIdOfAnother,
    /// Against the schema.
    Invalid,
    /// Good, with the id that its customer's invalid event had.
    Corrected,
    /// Of a customer that nobody declared.
    Unknown,
    InvalidAndUnknown,
    /// It names no customer.
    Nobody,
}

struct Item {
    shape: Shape,
    id: String,
    customer: String,
    text: String,
}

/// What must become of an event.
#[derive(Debug, PartialEq)]
enum Fate {
    Delivered { marked_invalid: bool },
    Duplicate,
    Dead(Vec<&'static str>),
    Rejected(Vec<&'static str>),
}

/// The rules, written down once more and independently of the code.
fn fate(shape: Shape, on_invalid: &str, on_unknown: &str) -> Fate {
    let invalid = matches!(shape, Shape::Invalid | Shape::InvalidAndUnknown);
    let unknown = matches!(shape, Shape::Unknown | Shape::InvalidAndUnknown);
    let mut reasons = Vec::new();
    let mut rejected = false;
    if invalid && on_invalid != "Accept" {
        reasons.push("SchemaViolation");
        rejected |= on_invalid == "Reject";
    }
    if shape == Shape::Nobody {
        // The schema alone is waived by Accept.
        reasons.push("MissingCustomer");
        rejected |= on_invalid == "Reject";
    }
    if unknown && on_unknown != "Store" {
        reasons.push("UnknownCustomer");
        rejected |= on_unknown == "Reject";
    }
    match (reasons.is_empty(), rejected) {
        (_, true) => Fate::Rejected(reasons),
        (false, false) => Fate::Dead(reasons),
        (true, false) if shape == Shape::Repeated => Fate::Duplicate,
        // The one it corrects was accepted as it was.
        (true, false) if shape == Shape::Corrected && on_invalid == "Accept" => Fate::Duplicate,
        (true, false) => Fate::Delivered {
            marked_invalid: invalid,
        },
    }
}

fn batch() -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for index in 0..EVENTS {
        let shape = match index {
            // The first events of each customer are good, so that later ones can repeat them.
            _ if index < 2 * CUSTOMERS => Shape::Good,
            _ if index % 10 == 0 => Shape::Repeated,
            _ if index % 23 == 0 => Shape::Invalid,
            _ if index % 23 == 1 && items[index - 1].shape == Shape::Invalid => Shape::Corrected,
            _ if index % 37 == 0 => Shape::Unknown,
            _ if index % 101 == 0 => Shape::InvalidAndUnknown,
            _ if index % 67 == 0 => Shape::Nobody,
            _ if index % 11 == 0 => Shape::SameIdOfAnother,
            _ => Shape::Good,
        };
        let (customer, id) = match shape {
            Shape::Repeated => (
                items[index % 100].customer.clone(),
                items[index % 100].id.clone(),
            ),
            Shape::Corrected => (
                items[index - 1].customer.clone(),
                items[index - 1].id.clone(),
            ),
            Shape::SameIdOfAnother => {
                let customer = format!("c-{}", (index + 1) % CUSTOMERS);
                (customer, format!("shared-{}", index / 100))
            }
            Shape::Unknown | Shape::InvalidAndUnknown => {
                (format!("stranger-{index}"), format!("e-{index}"))
            }
            Shape::Nobody => (String::new(), format!("e-{index}")),
            Shape::Good | Shape::Invalid => {
                (format!("c-{}", index % CUSTOMERS), format!("e-{index}"))
            }
        };
        let text = text(index, shape, &id, &customer);
        items.push(Item {
            shape,
            id,
            customer,
            text,
        });
    }
    items
}

/// One event as JSON that no serialiser would write.
fn text(index: usize, shape: Shape, id: &str, customer: &str) -> String {
    let account = match shape {
        Shape::Nobody => "null".to_owned(),
        // c-7 with its hyphen as an escape.
        _ if index.is_multiple_of(3) => format!("\"{}\"", customer.replace('-', "\\u002d")),
        _ => format!("\"{customer}\""),
    };
    let number = match shape {
        Shape::Invalid | Shape::InvalidAndUnknown => "\"12\"",
        _ => [
            "1.50e+3",
            "-0.0",
            "123456789012345678901234567890",
            "1E-7",
            "0.10",
            "3",
        ][index % 6],
    };
    match index % 5 {
        0 => format!("{{\"id\":\"{id}\",\"account\":{account},\"value\":{number}}}"),
        1 => {
            format!("{{ \"id\" : \"{id}\" ,\t\"account\":{account} ,\r\n  \"value\" :{number}\n}}")
        }
        2 => format!(
            r#"{{"s":"\u00e9\/é\ud83d\ude00\u0000\"]}}","id":"{id}","account":{account},"value":{number}}}"#
        ),
        // The last of several counts, here as in most parsers; the bytes stay as they are.
        3 => format!(
            r#"{{"id":"other","value":"text","value":{number},"account":{account},"id":"{id}","d":1,"d":[2,{{"d":3,"d":4}}]}}"#
        ),
        _ => format!(
            r#"{{"events":[{{"id":"inner"}}],"i\u0064":"{id}","account":{account},"value":{number},"":null,"deep":[[[[[[[[[[]]]]]]]]]]}}"#
        ),
    }
}

fn body<'a>(items: impl Iterator<Item = &'a Item>) -> String {
    let texts: Vec<&str> = items.map(|item| item.text.as_str()).collect();
    // Between the events, too, stands whatever the app likes.
    format!(
        "{{\"sent\": 1.0, \"events\" : [ {}\n]\t}}",
        texts.join(" ,\n ")
    )
}

fn name(on_invalid: &str, on_unknown: &str) -> String {
    format!("{on_invalid}-{on_unknown}").to_lowercase()
}

fn manifests(sink: &Sink) -> String {
    let mut text = String::from(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: app}\nstringData: {token: batches-token}\n",
    );
    for customer in 0..CUSTOMERS {
        text += &format!(
            "---\napiVersion: tidegate.dev/v1alpha1\nkind: Customer\nmetadata: {{name: c-{customer}}}\n"
        );
    }
    for on_invalid in POLICIES {
        for on_unknown in UNKNOWN {
            let name = name(on_invalid, on_unknown);
            let uri = sink.url(&format!("/{name}"));
            text += &format!(
                r#"---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: {name}}}
spec:
  schema: {{type: object, required: [id, value], properties: {{id: {{type: string}}, value: {{type: number}}}}}}
  onInvalid: {on_invalid}
  webhook:
    authentication: [{{token: {{keys: [{{secretKeyRef: {{name: app, key: token}}}}]}}}}]
    events: {{from: request.body.events, id: item.id}}
  globalWebhook: {{path: {name}, customer: item.account, onUnknownCustomer: {on_unknown}}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: {name}}}
spec: {{eventTypeRef: {{name: {name}}}, sink: {{uri: "{uri}"}}}}
"#
            );
        }
    }
    text
}

async fn send(dev: &Dev, name: &str, body: String) -> (StatusCode, Value) {
    let request = dev
        .client
        .post(dev.url(&format!("/default/{name}")))
        .bearer_auth("batches-token");
    let answer = request
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .unwrap();
    let status = answer.status();
    (
        status,
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(),
    )
}

fn codes(reasons: &Value) -> Vec<&str> {
    reasons
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| reason["code"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_each_event_of_a_batch_is_right_under_every_rule() {
    let sink = Sink::start().await;
    let dev = Dev::start(&manifests(&sink)).await;
    let items = batch();
    for shape in [
        Shape::Good,
        Shape::Repeated,
        Shape::SameIdOfAnother,
        Shape::Invalid,
        Shape::Corrected,
        Shape::Unknown,
        Shape::InvalidAndUnknown,
        Shape::Nobody,
    ] {
        let count = items.iter().filter(|item| item.shape == shape).count();
        assert!(count >= 5, "{count} of {shape:?}");
    }
    for on_invalid in POLICIES {
        for on_unknown in UNKNOWN {
            check(&dev, &sink, &items, on_invalid, on_unknown).await;
        }
    }
}

async fn check(dev: &Dev, sink: &Sink, items: &[Item], on_invalid: &str, on_unknown: &str) {
    let case = name(on_invalid, on_unknown);
    let fate = |item: &Item| fate(item.shape, on_invalid, on_unknown);

    let rejected: BTreeMap<usize, Vec<&str>> = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| match fate(item) {
            Fate::Rejected(reasons) => Some((index, reasons)),
            _ => None,
        })
        .collect();
    if !rejected.is_empty() {
        let (status, answer) = send(dev, &case, body(items.iter())).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{case}: {answer}");
        let told: BTreeMap<usize, Vec<&str>> = answer["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| {
                (
                    error["index"].as_u64().unwrap() as usize,
                    codes(&error["reasons"]),
                )
            })
            .collect();
        // An answer explains no more than a hundred.
        let expected: BTreeMap<_, _> = rejected.clone().into_iter().take(100).collect();
        assert_eq!(told, expected, "{case}");
    }

    // Nothing of a rejected request was stored, or what follows would be duplicates.
    let rest: Vec<&Item> = items
        .iter()
        .enumerate()
        .filter(|(index, _)| !rejected.contains_key(index))
        .map(|(_, item)| item)
        .collect();
    // What would have been rejected is not there to be corrected or repeated.
    let count = |wanted: fn(&Fate) -> bool| rest.iter().filter(|item| wanted(&fate(item))).count();
    let (accepted, duplicates, dead) = (
        count(|fate| matches!(fate, Fate::Delivered { .. })),
        count(|fate| *fate == Fate::Duplicate),
        count(|fate| matches!(fate, Fate::Dead(_))),
    );
    assert_eq!(accepted + duplicates + dead, rest.len());
    let ids: Vec<Option<&str>> = rest
        .iter()
        .map(|item| matches!(fate(item), Fate::Delivered { .. }).then_some(item.id.as_str()))
        .collect();
    let (status, answer) = send(dev, &case, body(rest.iter().copied())).await;
    assert_eq!(
        status,
        StatusCode::ACCEPTED,
        "{case}: {answer}\n{}",
        dev.output()
    );
    assert_eq!(
        answer,
        json!({"accepted": accepted, "duplicates": duplicates, "deadLettered": dead, "ids": ids}),
        "{case}"
    );
    // Once more: what was taken is known, what is a dead letter is one again.
    let (_, answer) = send(dev, &case, body(rest.iter().copied())).await;
    let nothing: Vec<Option<&str>> = vec![None; rest.len()];
    assert_eq!(
        answer,
        json!({"accepted": 0, "duplicates": accepted + duplicates, "deadLettered": dead, "ids": nothing}),
        "{case}"
    );

    delivered(sink, &case, &rest, accepted, fate).await;
    buried(dev, &case, &rest, fate).await;
}

/// Exactly the accepted events are at the sink, with the bytes that they had in the body.
async fn delivered(
    sink: &Sink,
    case: &str,
    rest: &[&Item],
    accepted: usize,
    fate: impl Fn(&Item) -> Fate,
) {
    let path = format!("/{case}");
    eventually(&format!("{case}: everything is delivered"), async || {
        sink.at(&path).len() >= accepted
    })
    .await;
    let arrived = sink.at(&path);
    let mut expected = BTreeMap::new();
    for item in rest {
        if let Fate::Delivered { marked_invalid } = fate(item) {
            let before =
                expected.insert((&*item.customer, &*item.id), (&*item.text, marked_invalid));
            assert!(before.is_none(), "{case}: {} {}", item.customer, item.id);
        }
    }
    let told: BTreeMap<(&str, &str), (&str, bool)> = arrived
        .iter()
        .map(|delivery| {
            let text = std::str::from_utf8(&delivery.body).unwrap();
            let marked = delivery.header("ce-tidegateinvalid") == "true";
            (
                (delivery.header("ce-customerid"), delivery.id()),
                (text, marked),
            )
        })
        .collect();
    assert_eq!(arrived.len(), told.len(), "{case}: nothing comes twice");
    assert_eq!(told, expected, "{case}");
}

/// Exactly the dead letters of both times are there, with their reasons and their bytes.
async fn buried(dev: &Dev, case: &str, rest: &[&Item], fate: impl Fn(&Item) -> Fate) {
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for item in rest {
        if let Fate::Dead(reasons) = fate(item) {
            expected.insert(&item.text, reasons);
        }
    }
    let letters = dev
        .admin(&format!(
            "/v1/dead-letters?eventType=default/{case}&limit=1000"
        ))
        .await;
    let letters = letters["items"].as_array().unwrap();
    assert_eq!(letters.len(), 2 * expected.len(), "{case}");
    for letter in letters {
        let number = letter["deadLetter"].as_str().unwrap();
        let url = dev.admin_url(&format!("/v1/dead-letters/{number}"));
        let whole = dev
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let (text, reasons) = expected
            .iter()
            .find(|(text, _)| whole.contains(**text))
            .unwrap_or_else(|| panic!("{case}: {whole}"));
        assert_eq!(codes(&letter["reasons"]), *reasons, "{case}: {text}");
    }
}
