//! Dead letters on a real folder: kept through crashes, bounded, listed and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::event::{
    Attributes, CustomerKey, DeadLetterVerdict, Event, ObjectName, Reason, ReasonCode,
};
use crate::event_log::FileStorage;

const DAY: u64 = 24 * 60 * 60;

fn now() -> Timestamp {
    "2026-01-31T00:00:00Z".parse().unwrap()
}

fn options() -> Options {
    Options {
        capacity: 4 << 20,
        entries: 10_000,
        retention: Duration::from_secs(30 * DAY),
    }
}

fn open_with(folder: &Path, options: Options) -> (DeadLetters, Opened) {
    DeadLetters::open(FileStorage::new(folder), options, now()).unwrap()
}

fn open(folder: &Path) -> DeadLetters {
    open_with(folder, options()).0
}

/// What a crash at this moment leaves: a copy of the files, nothing closed.
fn crash(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        match std::fs::copy(file.path(), copy.path().join(file.file_name())) {
            Ok(_) => {}
            // Filled meanwhile, and so renamed: there is nothing in it yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => panic!("{error}"),
        }
    }
    copy
}

/// A letter of subscription `shop/<subscription>`, or refused at the door.
fn letter(id: &str, subscription: Option<&str>, customer: &str, code: ReasonCode) -> DeadLetter {
    DeadLetter {
        verdict: DeadLetterVerdict {
            subscription: subscription.map(|name| ObjectName::new("shop", name)),
            reasons: vec![Reason {
                code,
                message: "it does not fit".into(),
                pointer: Some("/total".into()),
            }],
            at: now(),
            attempts: 3,
        },
        event: Event {
            attributes: Attributes {
                id: id.into(),
                source: "/shop/order-placed".into(),
                event_type: "order-placed".into(),
                subject: None,
                time: now(),
                data_content_type: Some("application/json".into()),
                extensions: BTreeMap::new(),
                app_event_type: ObjectName::new("shop", "order-placed"),
                customer: Some(CustomerKey {
                    namespace: "shop".into(),
                    id: customer.into(),
                }),
                deduplication: None,
            },
            data: Some(Bytes::from_static(b"{ \"total\": 1.50 }")),
        },
    }
}

fn refused(id: &str) -> DeadLetter {
    letter(id, None, "acme", ReasonCode::SchemaViolation)
}

fn large(id: usize, size: usize) -> DeadLetter {
    let mut letter = refused(&id.to_string());
    letter.event.data = Some(vec![b'x'; size].into());
    letter
}

async fn all(store: &DeadLetters, filter: Filter, limit: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let request = PageRequest { after, limit };
        let page = store.list(filter.clone(), request).await.unwrap();
        assert!(page.items.len() <= limit);
        ids.extend(page.items.into_iter().map(|item| item.attributes.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

async fn everything(store: &DeadLetters) -> Vec<String> {
    all(store, Filter::default(), LARGEST_PAGE).await
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_crash_and_after_closing() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let given_up = letter("2", Some("invoicing"), "acme", ReasonCode::TooOld);
    let mut without_data = refused("3");
    without_data.event.data = None;
    let letters = vec![refused("1"), given_up, without_data];
    let ids = store.append(letters.clone()).await.unwrap();
    let crashed = crash(folder.path());
    store.close().await;
    for folder in [crashed.path(), folder.path()] {
        let (store, opened) = open_with(folder, options());
        assert_eq!((opened.letters, opened.unknown), (3, 0));
        assert_eq!(opened.damage, []);
        for (id, letter) in ids.iter().zip(&letters) {
            assert_eq!(store.get(*id).await.unwrap().as_ref(), Some(letter));
        }
        // The next one is none of those.
        let next = store.append(vec![refused("4")]).await.unwrap();
        assert!(next[0] > ids[2]);
        assert_eq!(everything(&store).await, ["4", "3", "2", "1"]);
    }
}

#[tokio::test]
async fn a_closed_store_takes_nothing_and_still_reads() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let ids = store.append(vec![refused("1")]).await.unwrap();
    store.close().await;
    assert_eq!(
        store.append(vec![refused("2")]).await,
        Err(AppendError::Closed)
    );
    assert_eq!(store.get(ids[0]).await.unwrap(), Some(refused("1")));
}

#[tokio::test]
async fn what_was_removed_stays_removed_through_a_crash() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let letters = ["1", "2", "3"].map(refused).to_vec();
    let ids = store.append(letters).await.unwrap();
    let gone = [ids[0], ids[2], DeadLetterId(999)];
    assert_eq!(store.remove(&gone).await, Ok(2));
    assert_eq!(store.remove(&gone).await, Ok(0));
    assert_eq!(store.remove(&[]).await, Ok(0));
    let crashed = crash(folder.path());
    let after = open(crashed.path());
    for store in [store, after] {
        assert_eq!(everything(&store).await, ["2"]);
        assert_eq!(store.get(ids[0]).await.unwrap(), None);
        assert_eq!(store.counts().total, 1);
    }
}

#[tokio::test]
async fn lists_are_filtered_and_counted() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let mut both = letter("5", Some("crm"), "other", ReasonCode::AttemptsExhausted);
    both.verdict.reasons.push(Reason {
        code: ReasonCode::SinkRefused,
        message: "410".into(),
        pointer: None,
    });
    both.event.attributes.app_event_type = ObjectName::new("crm", "contact-created");
    let mut nobodys = refused("4");
    nobodys.event.attributes.customer = None;
    let letters = vec![
        refused("1"),
        letter("2", Some("invoicing"), "acme", ReasonCode::TooOld),
        letter("3", Some("invoicing"), "other", ReasonCode::SinkRefused),
        nobodys,
        both,
    ];
    store.append(letters).await.unwrap();
    let check = async |filter: Filter, expected: &[&str]| {
        for limit in [1, 2, LARGEST_PAGE] {
            assert_eq!(
                all(&store, filter.clone(), limit).await,
                expected,
                "{filter:?}"
            );
        }
    };
    let none = Filter::default();
    check(none.clone(), &["5", "4", "3", "2", "1"]).await;
    let subscription = |name| Filter {
        subscription: Some(ObjectName::new("shop", name)),
        ..none.clone()
    };
    check(subscription("invoicing"), &["3", "2"]).await;
    check(subscription("unknown"), &[]).await;
    let customer = |id: &str| Filter {
        customer: Some(id.into()),
        ..none.clone()
    };
    check(customer("acme"), &["2", "1"]).await;
    check(customer("other"), &["5", "3"]).await;
    check(customer("nobody"), &[]).await;
    let reason = |code| Filter {
        reason: Some(code),
        ..none.clone()
    };
    check(reason(ReasonCode::SinkRefused), &["5", "3"]).await;
    check(reason(ReasonCode::UnknownCustomer), &[]).await;
    let event_type = |name: &str| Filter {
        event_type: Some(ObjectName::new("crm", name)),
        ..none.clone()
    };
    check(event_type("contact-created"), &["5"]).await;
    check(event_type("order-placed"), &[]).await;
    let mut every_part = subscription("crm");
    every_part.customer = Some("other".into());
    every_part.reason = Some(ReasonCode::AttemptsExhausted);
    check(every_part, &["5"]).await;

    let name = |name: &str| Some(ObjectName::new("shop", name));
    assert_eq!(
        store.counts(),
        Counts {
            total: 5,
            subscriptions: BTreeMap::from([(None, 2), (name("invoicing"), 2), (name("crm"), 1)]),
            reasons: BTreeMap::from([
                (ReasonCode::SchemaViolation, 2),
                (ReasonCode::TooOld, 1),
                (ReasonCode::SinkRefused, 2),
                (ReasonCode::AttemptsExhausted, 1),
            ]),
        }
    );
}

#[tokio::test]
async fn a_summary_has_all_but_the_payload() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let ids = store.append(vec![refused("1")]).await.unwrap();
    let request = PageRequest {
        after: None,
        limit: 0,
    };
    let page = store.list(Filter::default(), request).await.unwrap();
    let DeadLetter { verdict, event } = refused("1");
    assert_eq!(
        page,
        Page {
            items: vec![Summary {
                id: ids[0],
                verdict,
                attributes: event.attributes,
                data_bytes: Some(17),
            }],
            next: None,
        }
    );
}

#[tokio::test]
async fn pages_do_not_move_while_letters_come_and_go() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let letters = (0..50).map(|n| refused(&n.to_string())).collect();
    let ids = store.append(letters).await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    for round in 0.. {
        let request = PageRequest { after, limit: 7 };
        let page = store.list(Filter::default(), request).await.unwrap();
        seen.extend(page.items.iter().map(|item| item.id));
        // New ones, and one of those that were seen goes: also the very one to go on behind.
        let new = (0..9).map(|n| refused(&format!("{round}-{n}"))).collect();
        store.append(new).await.unwrap();
        store.remove(&seen[seen.len() - 1..]).await.unwrap();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn a_page_of_large_letters_is_shorter_and_the_list_complete() {
    let folder = TempDir::new().unwrap();
    let store = open_with(
        folder.path(),
        Options {
            capacity: 100 << 20,
            ..options()
        },
    )
    .0;
    for id in 0..8 {
        store.append(vec![large(id, 8 << 20)]).await.unwrap();
    }
    let request = PageRequest {
        after: None,
        limit: 100,
    };
    let page = store.list(Filter::default(), request).await.unwrap();
    assert_eq!(page.items.len(), 4);
    let ids = all(&store, Filter::default(), 100).await;
    assert_eq!(ids, ["7", "6", "5", "4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn beyond_the_quota_the_oldest_go_and_are_counted() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let total = 600;
    for id in 0..total {
        store.append(vec![large(id, 20 << 10)]).await.unwrap();
        assert!(store.usage().allocated <= 4 << 20);
    }
    let kept = everything(&store).await;
    // The newest ones without a gap, and of 4 MiB at least half is used.
    let expected: Vec<_> = (total - kept.len()..total)
        .rev()
        .map(|n| n.to_string())
        .collect();
    assert_eq!(kept, expected);
    assert!(kept.len() > 100, "{}", kept.len());
    assert_eq!(
        store.totals(),
        Totals {
            appended: total as u64,
            over_quota: (total - kept.len()) as u64,
            ..Totals::default()
        }
    );
    let crashed = crash(folder.path());
    assert_eq!(everything(&open(crashed.path())).await, kept);
}

#[tokio::test]
async fn a_letter_that_can_never_fit_is_refused_and_costs_no_other() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    store.append(vec![refused("1")]).await.unwrap();
    let too_large = store.append(vec![large(2, (3 << 20) + 1)]).await;
    assert_eq!(too_large, Err(AppendError::TooLarge));
    assert_eq!(everything(&store).await, ["1"]);
    // One of many times a segment's size does fit.
    store.append(vec![large(3, 3 << 19)]).await.unwrap();
    assert_eq!(everything(&store).await, ["3", "1"]);
}

#[tokio::test]
async fn every_event_that_the_log_holds_fits_beside_it() {
    const MIB: u64 = 1 << 20;
    for storage in [1, 16, 64, 128, 256, 1024, 10 * 1024] {
        let storage = storage * MIB;
        let log = event_log::Options::for_capacity(storage);
        // A body has at most 32 MiB; attributes and reasons have a MiB.
        let largest_event = u64::from(log.max_append).min(32 * MIB) + MIB;
        let options = Options::for_storage(storage);
        assert!(
            largest_event <= largest_letter(options.capacity),
            "{storage}"
        );
    }
}

#[tokio::test]
async fn letters_go_when_they_are_too_old() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let aged = |id: &str, days: u64| {
        let mut letter = refused(id);
        letter.verdict.at = now() - Duration::from_secs(days * DAY);
        letter
    };
    let letters = vec![aged("1", 31), aged("2", 29), aged("3", 31), aged("4", 0)];
    store.append(letters).await.unwrap();
    // At the start.
    let crashed = crash(folder.path());
    let reopened = open(crashed.path());
    assert_eq!(everything(&reopened).await, ["4", "2"]);
    // As time goes by.
    store.tidy(now()).await;
    assert_eq!(everything(&store).await, ["4", "2"]);
    store.tidy(now() + Duration::from_secs(2 * DAY)).await;
    assert_eq!(everything(&store).await, ["4"]);
    assert_eq!(store.totals().expired, 3);
    store.tidy(now() + Duration::from_secs(31 * DAY)).await;
    assert_eq!(everything(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn space_of_letters_that_are_gone_is_used_again() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let keeper = store.append(vec![refused("kept")]).await.unwrap();
    store.remove(&keeper).await.unwrap();
    for round in 0..10 {
        let letters = (0..50).map(|n| large(round * 50 + n, 20 << 10)).collect();
        let ids = store.append(letters).await.unwrap();
        assert_eq!(everything(&store).await.len(), 50);
        assert_eq!(store.remove(&ids).await, Ok(50));
        store.tidy(now()).await;
    }
    // Ten times a quarter of the quota went through it, and none was pushed out.
    assert_eq!(store.totals().over_quota, 0);
    assert!(store.usage().used < 1 << 20);
    let crashed = crash(folder.path());
    assert_eq!(
        everything(&open(crashed.path())).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn memory_is_bounded_by_a_number_of_letters() {
    let folder = TempDir::new().unwrap();
    let few = Options {
        entries: 3,
        ..options()
    };
    let store = open_with(folder.path(), few.clone()).0;
    let letters = (1..=5).map(|n| refused(&n.to_string())).collect();
    store.append(letters).await.unwrap();
    assert_eq!(everything(&store).await, ["5", "4", "3"]);
    assert_eq!(store.totals().over_quota, 2);
    let crashed = crash(folder.path());
    let (store, opened) = open_with(crashed.path(), few);
    assert_eq!(opened.letters, 3);
    assert_eq!(everything(&store).await, ["5", "4", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn letters_are_safe_while_others_come_and_go_at_the_same_time() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let tasks = (0..8).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..40 {
                let passing = large(0, 20 << 10);
                let id = format!("{task}-{round}");
                let letters = vec![passing, refused(&id)];
                let ids = store.append(letters).await.unwrap();
                store.tidy(now()).await;
                assert_eq!(store.remove(&ids[..1]).await, Ok(1));
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    // 6 MiB went through 4 MiB, so the quota had to take some; all others are there.
    let kept = everything(&store).await.len() as u64;
    let totals = store.totals();
    assert_eq!(
        kept + totals.removed + totals.over_quota,
        totals.appended,
        "{totals:?}"
    );
    assert!(kept > 50, "{kept}");
    let unique: BTreeSet<_> = everything(&store).await.into_iter().collect();
    assert_eq!(unique.len() as u64, kept);
}

#[tokio::test]
async fn a_damaged_letter_is_reported_and_hides_no_other() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let letters = ["first", "second", "third"].map(refused).to_vec();
    for letter in letters {
        store.append(vec![letter]).await.unwrap();
    }
    store.close().await;
    let damaged = crash(folder.path());
    for file in std::fs::read_dir(damaged.path()).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(6).position(|window| window == b"second") {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let (store, opened) = open_with(damaged.path(), options());
    assert_eq!(opened.letters, 2);
    assert_eq!(opened.damage.len(), 1, "{:?}", opened.damage);
    assert_eq!(everything(&store).await, ["third", "first"]);
}

#[test]
fn ids_are_shown_and_read_as_numbers() {
    let id = DeadLetterId(18_446_744_073_709_551_615);
    assert_eq!(id.to_string().parse(), Ok(id));
    for text in ["", "-1", "1.0", "x", "18446744073709551616"] {
        assert!(text.parse::<DeadLetterId>().is_err(), "{text}");
    }
}
