//! An EventSubscription that is not sent any more goes on until it is said what becomes of it.

use std::sync::Arc;

use super::make::{name, subscription};
use crate::configuration::stream::saved;
use crate::configuration::stream::{
    Begin, Commit, Entry, EntryKey, Frame, Hashes, Held, Name, Partings, Revision, Unsent,
};
use crate::event::ObjectName;

fn entry(of: u8) -> Entry {
    Entry::Subscription(subscription(of, 1))
}

fn put(entry: &Entry) -> Frame {
    Frame::read(&entry.encode().unwrap().line).unwrap()
}

fn remove(of: u8) -> Frame {
    let key = EntryKey::Subscription(name(of));
    Frame::Remove(Name {
        kind: key.kind().to_owned(),
        name: key.name().into_owned(),
    })
}

fn partings(gone: &[u8], draining: &[u8]) -> Frame {
    let names = |of: &[u8]| of.iter().map(|it| name(*it)).collect();
    put(&Entry::Partings(Arc::new(Partings {
        gone: names(gone),
        draining: names(draining),
    })))
}

fn take(held: &mut Held, counter: u64, resumed: bool, frames: impl IntoIterator<Item = Frame>) {
    let revision = Revision { epoch: 1, counter };
    held.take(Frame::Begin(Begin { revision, resumed }))
        .unwrap();
    for frame in frames {
        held.take(frame).unwrap();
    }
    held.take(Frame::Commit(Commit { revision })).unwrap();
}

fn unsent(held: &Held) -> Vec<ObjectName> {
    held.unsent().map(|Unsent { name, .. }| name).collect()
}

fn held() -> Held {
    let mut held = Held::default();
    take(&mut held, 1, true, [put(&entry(1)), put(&entry(2))]);
    held
}

#[test]
fn it_goes_on_until_it_is_said_to_be_gone() {
    let mut held = held();
    let hashes = held.hashes();
    take(&mut held, 2, false, [remove(1)]);
    assert_eq!(unsent(&held), [name(1)]);
    assert_eq!(
        (held.len(), held.hashes().len()),
        (2, 1),
        "what is sent is said to be here"
    );
    // Also where a stream is resumed by somebody who does not know it.
    take(&mut held, 3, true, [Frame::Forget(Hashes(hashes))]);
    assert_eq!(unsent(&held), [name(1), name(2)]);
    take(&mut held, 4, false, [partings(&[1], &[])]);
    assert_eq!(unsent(&held), [name(2)]);
    assert!(
        !held.let_go(|_| true),
        "b is neither gone nor anywhere else"
    );
    // Sent again it is as any other.
    take(&mut held, 5, false, [put(&entry(2))]);
    assert_eq!((unsent(&held), held.hashes().len()), (vec![], 2));
}

#[test]
fn what_another_gateway_serves_goes_once_it_has_got_everything() {
    let mut held = held();
    take(
        &mut held,
        2,
        false,
        [remove(1), remove(2), partings(&[], &[1])],
    );
    assert!(!held.let_go(|_| false));
    assert_eq!(unsent(&held), [name(1), name(2)]);
    assert!(held.let_go(|_| true));
    assert_eq!(unsent(&held), [name(2)]);
}

#[test]
fn it_survives_a_restart() {
    let mut held = held();
    take(&mut held, 2, false, [remove(1)]);
    let text = saved::save(&held, "shop/default").unwrap();
    let mut again = saved::load(&text, "shop/default").unwrap();
    assert_eq!(again.len(), 2);
    // It is among the hashes then, and the controller does not know it.
    let hashes = again.hashes();
    take(
        &mut again,
        3,
        true,
        [Frame::Forget(Hashes(hashes)), put(&entry(2))],
    );
    assert_eq!(unsent(&again), [name(1)]);
}
