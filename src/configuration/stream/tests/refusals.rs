//! What is not understood is refused, told, and costs nothing else.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::make;
use crate::configuration::stream::{
    Begin, Commit, Entry, EntryKey, Frame, Held, Name, Published, Put, Revision, StreamError,
    Welcome, changes, saved,
};

fn put(kind: &str, name: &str, content: &Value) -> Frame {
    Frame::Put(Put {
        kind: kind.into(),
        name: name.into(),
        content: serde_json::value::to_raw_value(content).unwrap(),
    })
}

fn revision(counter: u64) -> Revision {
    Revision { epoch: 1, counter }
}

/// Takes a revision of these frames.
fn revise(held: &mut Held, counter: u64, resumed: bool, frames: Vec<Frame>) {
    let revision = revision(counter);
    held.take(Frame::Begin(Begin { revision, resumed }))
        .unwrap();
    for frame in frames {
        assert!(held.take(frame).unwrap().is_none());
    }
    held.take(Frame::Commit(Commit { revision }))
        .unwrap()
        .unwrap();
}

fn refused(held: &Held) -> Vec<(String, String)> {
    let refused = held.refused();
    refused
        .map(|(key, problems)| {
            (
                format!("{} {}", key.kind(), key.name()),
                problems.join("; "),
            )
        })
        .collect()
}

fn route(version: u8) -> Value {
    serde_json::to_value(make::route(1, version)).unwrap()
}

#[test]
fn an_entry_of_another_version_is_refused_and_nothing_else() {
    let check = |kind: &str, name: &str, content: Value, problem: &str| {
        let mut held = Held::default();
        let frames = vec![
            put("Route", "/shop/1", &route(1)),
            put(kind, name, &content),
        ];
        revise(&mut held, 1, true, frames);
        let refused = refused(&held);
        assert_eq!(refused.len(), 1, "{kind} {content}");
        assert_eq!(refused[0].0, format!("{kind} {name}"));
        assert!(
            refused[0].1.contains(problem),
            "{problem}: {}",
            refused[0].1
        );
        assert!(!refused[0].1.contains("hunter2"), "{}", refused[0].1);
        assert_eq!(held.len(), 1);
    };
    let with = |entry: Value, path: &str, value: Value| {
        let mut entry = entry;
        let (place, name) = path.rsplit_once('/').unwrap();
        entry.pointer_mut(place).unwrap()[name] = value;
        entry
    };
    let sub = || serde_json::to_value(make::subscription(1, 1)).unwrap();
    let event_type = || serde_json::to_value(make::event_type(1, 1)).unwrap();
    check("Moon", "full", json!({}), "the kind Moon");
    check("Route", "/shop/2", route(1), "not the one it is sent under");
    check("Route", "/shop/2", json!("hunter2"), "cannot read it");
    check(
        "Gateway",
        "x",
        serde_json::to_value(make::gateway(1)).unwrap(),
        "the kind Gateway",
    );
    let name = "shop/object-1";
    let new = with(sub(), "/priority", json!(7));
    check("Subscription", name, new, "the field priority");
    let new = with(sub(), "/sink/proxy", json!({"password": "hunter2"}));
    check("Subscription", name, new, "the field sink.proxy");
    let new = with(sub(), "/sink/headers/0/encoded", json!("hunter2"));
    check(
        "Subscription",
        name,
        new,
        "the field sink.headers.0.encoded",
    );
    let new = with(sub(), "/sink/format", json!("hunter2"));
    check("Subscription", name, new, "cannot read it");
    let new = with(
        event_type(),
        "/webhook/authentication/0/token/salt",
        json!("hunter2"),
    );
    check(
        "EventType",
        name,
        new,
        "the field webhook.authentication.0.token.salt",
    );
    let mut lacking = sub();
    lacking.as_object_mut().unwrap().remove("sink");
    check("Subscription", name, lacking, "cannot read it");
}

#[test]
fn a_field_that_is_not_used_may_be_unknown() {
    let check = |value: Value| {
        let mut entry = route(1);
        entry["newer"] = value.clone();
        let mut held = Held::default();
        revise(&mut held, 1, true, vec![put("Route", "/shop/1", &entry)]);
        assert_eq!(refused(&held), [], "{value}");
        assert_eq!(held.len(), 1);
    };
    check(json!(null));
    check(json!(false));
    check(json!([]));
    check(json!({}));
}

#[test]
fn what_is_refused_keeps_its_earlier_form_until_it_is_gone() {
    let mut held = Held::default();
    let newer = json!({"path": "/shop/1", "event_type": make::name(2), "methods": ["GET"]});
    revise(&mut held, 1, true, vec![put("Route", "/shop/1", &route(1))]);
    let before = held.hashes();
    revise(&mut held, 2, false, vec![put("Route", "/shop/1", &newer)]);
    assert_eq!(refused(&held).len(), 1);
    assert_eq!(held.hashes(), before);

    // The connection breaks; what is refused is sent again, and the earlier form is one too many.
    let forget = Frame::Forget(crate::configuration::stream::Hashes(before.clone()));
    revise(
        &mut held,
        3,
        true,
        vec![forget, put("Route", "/shop/1", &newer)],
    );
    assert_eq!(refused(&held).len(), 1);
    assert_eq!(held.hashes(), before);

    // A form that is understood again.
    revise(
        &mut held,
        4,
        false,
        vec![put("Route", "/shop/1", &route(3))],
    );
    assert_eq!(refused(&held), []);
    assert_ne!(held.hashes(), before);

    revise(&mut held, 5, false, vec![put("Route", "/shop/1", &newer)]);
    let name = Name {
        kind: "Route".into(),
        name: "/shop/1".into(),
    };
    revise(&mut held, 6, false, vec![Frame::Remove(name)]);
    assert_eq!(refused(&held), []);
    assert_eq!(held.len(), 0);
}

#[test]
fn what_was_refused_is_not_refused_any_more_once_it_went_while_nobody_was_connected() {
    let mut held = Held::default();
    revise(&mut held, 1, true, vec![put("Moon", "full", &json!({}))]);
    assert_eq!(refused(&held).len(), 1);
    revise(&mut held, 9, true, vec![]);
    assert_eq!(refused(&held), []);
}

#[test]
fn a_lower_epoch_and_another_version_are_refused_with_what_to_do() {
    let mut held = Held::default();
    let mut published = Published::new(7);
    published.change(changes(None, &make::served(make::empty())));
    let lines = make::connect(&mut held, &published).unwrap();
    make::take(&mut held, &lines).unwrap().unwrap();

    let welcome = |version, epoch| Welcome {
        version,
        session: "s".into(),
        epoch,
    };
    assert_eq!(held.welcome(&welcome(1, 7)), Ok(()));
    assert_eq!(held.welcome(&welcome(1, 8)), Ok(()));
    let lower = held.welcome(&welcome(1, 6)).unwrap_err();
    assert_eq!(
        lower,
        StreamError::LowerEpoch {
            held: 7,
            offered: 6
        }
    );
    assert!(lower.to_string().contains("goes on with what it has"));
    let revision = Revision {
        epoch: 6,
        counter: 900,
    };
    let begin = Frame::Begin(Begin {
        revision,
        resumed: true,
    });
    assert_eq!(held.take(begin).unwrap_err(), lower);
    assert_eq!(held.welcome(&welcome(2, 7)), Err(StreamError::Version(2)));

    // The same leader, restarted: its counter begins anew.
    let mut restarted = Published::new(7);
    restarted.change(changes(None, &make::served(make::empty())));
    let lines = make::connect(&mut held, &restarted).unwrap();
    assert_eq!(
        lines.len(),
        2,
        "nothing but the begin and the end of a revision"
    );
    make::take(&mut held, &lines).unwrap().unwrap();
    assert_eq!(held.revision(), Some(restarted.revision()));
}

#[test]
fn frames_in_an_order_that_makes_no_sense_end_the_stream() {
    let begin = |counter| {
        Frame::Begin(Begin {
            revision: revision(counter),
            resumed: false,
        })
    };
    let commit = |counter| {
        Frame::Commit(Commit {
            revision: revision(counter),
        })
    };
    let check = |frames: Vec<Frame>| {
        let mut held = Held::default();
        revise(&mut held, 4, true, vec![]);
        let mut results = frames.into_iter().map(|frame| held.take(frame));
        let last = results
            .find(Result::is_err)
            .expect("one of them is refused");
        assert!(matches!(last, Err(StreamError::Disorder(_))));
    };
    check(vec![commit(5)]);
    check(vec![put("Route", "/shop/1", &route(1))]);
    check(vec![begin(5), begin(6)]);
    check(vec![begin(5), commit(6)]);
    check(vec![begin(4)]);
    check(vec![begin(3)]);
}

#[test]
fn no_frame_shows_what_it_carries() {
    let secret = json!({"value": "hunter2"});
    let welcome = Frame::Welcome(Welcome {
        version: 1,
        session: "hunter2".into(),
        epoch: 1,
    });
    let name = Name {
        kind: "Registration".into(),
        name: "/h/hunter2/1".into(),
    };
    for frame in [
        put("TokenKey", "/h/hunter2", &secret),
        welcome,
        Frame::Remove(name),
    ] {
        assert!(!format!("{frame:?}").contains("hunter2"), "{frame:?}");
    }
    let error = Frame::read(b"{\"hunter2\": 1}").unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}

#[test]
fn an_entry_that_no_gateway_can_take_is_not_sent_and_its_earlier_form_stays() {
    let with_schema = |length: usize| {
        let mut entry = (*make::event_type(1, 1)).clone();
        entry.schema = Some("x".repeat(length));
        Some(Entry::EventType(Arc::new(entry)))
    };
    let key = || EntryKey::EventType(make::name(1));
    let mut published = Published::new(1);
    assert!(published.change([(key(), with_schema(10))]));
    let before = published.resume(&[]).put[0].hash;
    assert!(!published.change([(key(), with_schema(17 << 20))]));
    let unsendable: Vec<_> = published.unsendable().collect();
    assert!(
        unsendable[0].1.to_string().contains("at most"),
        "{unsendable:?}"
    );
    assert_eq!(published.resume(&[]).put[0].hash, before);
    assert!(published.change([(key(), with_schema(20))]));
    assert_eq!(published.unsendable().count(), 0);
}

#[test]
fn what_was_kept_is_refused_when_it_is_another_gateways_or_damaged() {
    let mut held = Held::default();
    assert_eq!(saved::save(&held, "shop/default"), None);
    let mut published = Published::new(7);
    published.change(changes(None, &make::served(make::empty())));
    let lines = make::connect(&mut held, &published).unwrap();
    make::take(&mut held, &lines).unwrap();
    let text = saved::save(&held, "shop/default").unwrap();
    let again = saved::load(&text, "shop/default").unwrap();
    assert_eq!(
        (again.revision(), again.hashes()),
        (held.revision(), held.hashes())
    );

    let check = |text: &[u8], gateway: &str, problem: &str| {
        let error = saved::load(text, gateway).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    };
    check(&text, "shop/other", "of the EventGateway shop/default");
    check(b"", "shop/default", "does not begin");
    check(b"\x7fELF", "shop/default", "does not begin");
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    check(
        &lines[..lines.len() - 1].concat(),
        "shop/default",
        "damaged",
    );
    check(
        &Bytes::from([&text, b"{}\n".as_slice()].concat()),
        "shop/default",
        "damaged",
    );
    let newer = String::from_utf8(text)
        .unwrap()
        .replacen("\"version\":1", "\"version\":2", 1);
    check(newer.as_bytes(), "shop/default", "of version 2");
}
