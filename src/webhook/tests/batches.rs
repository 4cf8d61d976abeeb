//! A thousand events for fifty customers, some invalid, some of unknown customers: what becomes of
//! each under every `onInvalid` and every `onUnknownCustomer`.

use super::*;
use crate::event::ReasonCode;

const EVENTS: usize = 1_000;
const CUSTOMERS: usize = 50;

/// The nth event: white space and numbers are such that writing it anew would change its bytes.
fn event(n: usize) -> String {
    let total = if is_invalid(n) {
        "\"much\"".to_owned()
    } else {
        format!("{n}.500")
    };
    let customer = if is_unknown(n) {
        format!("nobody-{}", n % 3)
    } else {
        format!("c{}", n % CUSTOMERS)
    };
    format!(
        "{{ \"id\" : \"e{n}\",\n\"account\":\"{customer}\" , \"total\":{total}, \"note\":\"\\u00fc\" }}"
    )
}

fn is_invalid(n: usize) -> bool {
    n % 7 == 3
}

fn is_unknown(n: usize) -> bool {
    n % 11 == 5
}

#[test]
fn every_event_of_a_batch_gets_what_the_type_says() {
    let names: Vec<String> = (0..CUSTOMERS).map(|n| format!("c{n}")).collect();
    let customers = customers(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let parts: Vec<String> = (0..EVENTS).map(event).collect();
    let body = format!("{{\"sent\": 1, \"events\": [{}]}}", parts.join(" ,\r\n"));
    for on_invalid in ["DeadLetter", "Reject", "Accept"] {
        for on_unknown in ["Store", "DeadLetter", "Reject"] {
            let spec = format!(
                r#"
                onInvalid: {on_invalid}
                schema: {{type: object, required: [id], properties: {{total: {{type: number}}}}}}
                webhook: {{authentication: [{{none: {{}}}}], events: {{from: request.body.events, id: item.id}}}}
                globalWebhook: {{customer: item.account, onUnknownCustomer: {on_unknown}}}
            "#
            );
            let verdict = receive_for(&receiver(&spec, &[]), &post(body.clone()), &customers);
            let at_fault = |n: usize| {
                is_invalid(n) && on_invalid == "Reject" || is_unknown(n) && on_unknown == "Reject"
            };
            if on_invalid == "Reject" || on_unknown == "Reject" {
                let Verdict::Rejected(rejection) = verdict else {
                    panic!("{on_invalid} {on_unknown}")
                };
                let indexes: Vec<usize> = (0..EVENTS).filter(|n| at_fault(*n)).collect();
                assert_eq!(rejection.count, indexes.len());
                let reported: Vec<usize> = rejection.items.iter().map(|item| item.index).collect();
                assert_eq!(reported, indexes[..rejection.items.len()]);
                assert_eq!(reported.len(), 100.min(indexes.len()));
                let shown = format!("{:?}", rejection.items);
                assert!(
                    !shown.contains("much") && !shown.contains("nobody"),
                    "{shown}"
                );
                continue;
            }
            let Verdict::Accepted(accepted) = verdict else {
                panic!("{on_invalid} {on_unknown}")
            };
            assert_eq!(accepted.items.len(), EVENTS);
            for (n, item) in accepted.items.iter().enumerate() {
                let ItemOutcome::Events(outcomes) = item else {
                    panic!()
                };
                let [outcome] = &outcomes[..] else { panic!() };
                let (event, codes) = match outcome {
                    Outcome::Event(event) => (event, Vec::new()),
                    Outcome::DeadLetter(letter) => (
                        &letter.event,
                        letter
                            .verdict
                            .reasons
                            .iter()
                            .map(|reason| reason.code)
                            .collect(),
                    ),
                };
                let mut expected = Vec::new();
                if is_invalid(n) && on_invalid == "DeadLetter" {
                    expected.push(ReasonCode::SchemaViolation);
                }
                if is_unknown(n) && on_unknown == "DeadLetter" {
                    expected.push(ReasonCode::UnknownCustomer);
                }
                assert_eq!(
                    codes, expected,
                    "event {n} under {on_invalid} and {on_unknown}"
                );
                assert_eq!(
                    event.data.as_deref(),
                    Some(parts[n].as_bytes()),
                    "event {n}"
                );
                assert_eq!(event.attributes.id, format!("e{n}"));
                let customer = &event.attributes.customer.as_ref().unwrap().id;
                assert_eq!(customer.starts_with("nobody"), is_unknown(n));
                assert_eq!(
                    event.attributes.extensions.contains_key("tidegateinvalid"),
                    is_invalid(n) && on_invalid == "Accept"
                );
                assert_eq!(
                    event.attributes.deduplication.is_some(),
                    expected.is_empty()
                );
            }
        }
    }
}

#[test]
fn one_invalid_event_is_explained_without_what_it_holds() {
    let spec = r#"
        onInvalid: Reject
        schema: {type: object, properties: {total: {type: number}}, additionalProperties: false}
        webhook: {authentication: [{none: {}}]}
    "#;
    let Verdict::Rejected(rejection) = receive(
        &receiver(spec, &[]),
        &post(r#"[{},{"total":"s3cret"},{"hunter2":1}]"#),
    ) else {
        panic!()
    };
    assert_eq!(rejection.count, 2);
    assert_eq!(rejection.items[0].index, 1);
    assert_eq!(
        rejection.items[0].reasons[0].pointer.as_deref(),
        Some("/total")
    );
    let shown = format!("{rejection:?}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("hunter2"),
        "{shown}"
    );
}
