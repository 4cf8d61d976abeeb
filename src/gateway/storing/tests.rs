use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::super::fixtures::Memory;
use super::*;
use crate::event::{Attributes, DeadLetterVerdict, Deduplication as Key, ObjectName};

const NOW: i64 = 1_000;

fn event(id: &str, key: Option<u128>) -> Event {
    Event {
        attributes: Attributes {
            id: id.into(),
            source: "/shop/order".into(),
            event_type: "order".into(),
            subject: None,
            time: Timestamp::UNIX_EPOCH,
            data_content_type: None,
            extensions: Default::default(),
            app_event_type: ObjectName::new("shop", "order"),
            customer: None,
            deduplication: key.map(|key| Key {
                key,
                until: NOW + 100,
            }),
        },
        data: None,
    }
}

fn item(id: &str, key: u128) -> ItemOutcome {
    ItemOutcome::Events(vec![Outcome::Event(event(id, Some(key)))])
}

fn letter(id: &str) -> Outcome {
    Outcome::DeadLetter(DeadLetter {
        verdict: DeadLetterVerdict {
            subscription: None,
            reasons: Vec::new(),
            at: Timestamp::UNIX_EPOCH,
            attempts: 0,
        },
        event: event(id, None),
    })
}

fn counts(stored: &Stored) -> [u64; 5] {
    let EventCounts {
        accepted,
        duplicates,
        dead_lettered,
        skipped,
        refused,
    } = stored.counts;
    [accepted, duplicates, dead_lettered, skipped, refused]
}

fn ids(stored: &Stored) -> Vec<&str> {
    stored
        .ids
        .iter()
        .map(|id| id.as_deref().unwrap_or("-"))
        .collect()
}

struct Setup {
    memory: Arc<Memory>,
    index: Arc<Deduplication>,
}

impl Setup {
    fn new() -> Self {
        Self {
            memory: Memory::new(),
            index: Deduplication::new(100_000),
        }
    }

    fn store(
        &self,
        items: Vec<ItemOutcome>,
    ) -> impl Future<Output = Result<Stored, StoreError>> + use<> {
        store(self.memory.clone(), Arc::clone(&self.index), items, NOW)
    }

    /// Lets other tasks run until so many appends have begun.
    async fn until_appends(&self, count: u32) {
        while self.memory.appends.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn each_item_has_its_id_or_none_and_its_place_in_the_counts() {
    let setup = Setup::new();
    setup.store(vec![item("known", 9)]).await.unwrap();
    let stored = setup
        .store(vec![
            item("a", 1),
            ItemOutcome::Skipped,
            item("b", 2),
            item("b again", 2),
            ItemOutcome::Refused,
            ItemOutcome::Events(vec![letter("bad")]),
            item("known", 9),
            ItemOutcome::Events(vec![
                letter("bad for one customer"),
                Outcome::Event(event("c", None)),
                Outcome::Event(event("c", None)),
            ]),
            ItemOutcome::Events(Vec::new()),
        ])
        .await
        .unwrap();
    assert_eq!(counts(&stored), [4, 2, 2, 1, 1]);
    assert_eq!(ids(&stored), ["a", "-", "b", "-", "-", "-", "-", "c", "-"]);
    assert_eq!(setup.memory.stored(), ["known", "a", "b", "c", "c"]);
    assert_eq!(setup.memory.letters.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn an_event_that_was_not_stored_is_new_again() {
    let setup = Setup::new();
    for error in [StoreError::Full, StoreError::Failed, StoreError::TooLarge] {
        setup.memory.fail(Some(error));
        assert_eq!(setup.store(vec![item("a", 1)]).await.unwrap_err(), error);
    }
    setup.memory.fail(None);
    assert_eq!(
        counts(&setup.store(vec![item("a", 1)]).await.unwrap()),
        [1, 0, 0, 0, 0]
    );
}

#[tokio::test]
async fn dead_letters_that_were_not_kept_fail_the_request_and_what_is_stored_becomes_a_duplicate() {
    let setup = Setup::new();
    let items = || vec![item("a", 1), ItemOutcome::Events(vec![letter("bad")])];
    *setup.memory.letters_failing.lock().unwrap() = Some(StoreError::Full);
    assert_eq!(setup.store(items()).await.unwrap_err(), StoreError::Full);
    *setup.memory.letters_failing.lock().unwrap() = None;
    assert_eq!(
        counts(&setup.store(items()).await.unwrap()),
        [0, 1, 1, 0, 0]
    );
    assert_eq!(setup.memory.stored(), ["a"]);
}

#[tokio::test]
async fn a_duplicate_of_an_event_in_flight_waits_for_it() {
    for fails in [false, true] {
        let setup = Setup::new();
        setup.memory.gate.forget_permits(Semaphore::MAX_PERMITS);
        let first = tokio::spawn(setup.store(vec![item("a", 1)]));
        setup.until_appends(1).await;
        let second = tokio::spawn(setup.store(vec![item("a", 1)]));
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(
            !second.is_finished(),
            "answered before the first was on disk"
        );
        setup.memory.fail(fails.then_some(StoreError::Failed));
        setup.memory.gate.add_permits(1);
        assert_eq!(first.await.unwrap().is_err(), fails);
        setup.memory.fail(None);
        setup.memory.gate.add_permits(1);
        let second = second.await.unwrap().unwrap();
        assert_eq!(counts(&second)[..2], if fails { [1, 0] } else { [0, 1] });
        assert_eq!(setup.memory.stored(), ["a"]);
    }
}

#[tokio::test]
async fn requests_with_each_others_events_in_opposite_order_do_not_block_each_other() {
    let setup = Setup::new();
    let requests: Vec<_> = (0..50)
        .map(|number| {
            let mut items: Vec<_> = (0..20).map(|key| item(&key.to_string(), key)).collect();
            if number % 2 == 1 {
                items.reverse();
            }
            tokio::spawn(setup.store(items))
        })
        .collect();
    let mut accepted = 0;
    for request in requests {
        let stored = request.await.unwrap().unwrap();
        assert_eq!(stored.counts.accepted + stored.counts.duplicates, 20);
        accepted += stored.counts.accepted;
    }
    assert_eq!((accepted, setup.memory.stored().len()), (20, 20));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_event_that_is_stored_twice() {
    let setup = Setup::new();
    setup.memory.gate.forget_permits(Semaphore::MAX_PERMITS);
    let request = tokio::spawn(setup.store(vec![item("a", 1)]));
    setup.until_appends(1).await;
    request.abort();
    setup.memory.gate.add_permits(2);
    let again = setup.store(vec![item("a", 1)]).await.unwrap();
    assert_eq!(counts(&again)[..2], [0, 1]);
    assert_eq!(setup.memory.stored(), ["a"]);
}
