//! What a change costs does not grow with what does not change.

use std::sync::Arc;

use super::make;
use crate::configuration::Configuration;
use crate::configuration::stream::{EntryKey, Held, Published, changes};

const ROUTES: u32 = 100_000;

#[test]
fn one_change_among_a_hundred_thousand_routes_is_one_change_on_the_way() {
    let routes: Vec<_> = (0..ROUTES).map(|number| make::route(number, 1)).collect();
    let before = make::served(Configuration {
        routes,
        ..make::empty()
    });
    let mut published = Published::new(1);
    published.change(changes(None, &before));
    let mut held = Held::default();
    let lines = make::connect(&mut held, &published).unwrap();
    make::take(&mut held, &lines).unwrap().unwrap();

    let mut configuration = (*before.configuration).clone();
    configuration.routes[50_000] = make::route(50_000, 2);
    let after = make::served(configuration);
    let found = changes(Some(&before), &after);
    let keys: Vec<_> = found.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, [EntryKey::Route("/shop/50000".into())]);

    let counter = published.revision().counter;
    assert!(published.change(found));
    let batch = published.since(counter).unwrap();
    assert_eq!((batch.put.len(), batch.remove.len()), (1, 0));
    let lines: Vec<_> = batch.lines().collect();
    assert_eq!(lines.len(), 3);
    let before = held.configuration().unwrap();
    let taken = make::take(&mut held, &lines).unwrap().unwrap();
    assert!(taken.configuration);
    // What did not change is the very same, so nothing of it has to be compared or built.
    let after = held.configuration().unwrap();
    let pairs = before.routes.iter().zip(&after.routes);
    let shared = pairs.filter(|(one, other)| Arc::ptr_eq(one, other)).count();
    assert_eq!(shared, ROUTES as usize - 1);
}

#[test]
fn an_entry_that_comes_or_goes_in_the_middle_is_one_change() {
    let all = |without: Option<u32>| {
        let numbers = (0..1_000).filter(|number| Some(*number) != without);
        let routes = numbers.map(|number| make::route(number, 1)).collect();
        make::served(Configuration {
            routes,
            ..make::empty()
        })
    };
    let key = || EntryKey::Route("/shop/500".into());
    let gone = changes(Some(&all(None)), &all(Some(500)));
    assert_eq!(gone, [(key(), None)]);
    let back = changes(Some(&all(Some(500))), &all(None));
    assert!(matches!(&back[..], [(found, Some(_))] if *found == key()));
    assert_eq!(changes(Some(&all(None)), &all(None)), []);
}

#[test]
fn an_entry_that_changed_often_is_sent_once_in_its_last_form() {
    let mut published = Published::new(1);
    let set = |version| {
        let entry = make::route(1, version);
        let entry = crate::configuration::stream::Entry::Route(entry);
        (entry.key(), Some(entry))
    };
    for version in [1, 2, 3, 4] {
        assert!(published.change([set(version)]));
        assert!(!published.change([set(version)]), "the same is no change");
    }
    assert_eq!(published.since(1).unwrap().put.len(), 1);
    assert_eq!(published.since(4).unwrap().put.len(), 0);
    assert!(
        published.since(5).is_none(),
        "nobody can have been sent that"
    );
    published.change([(EntryKey::Route("/shop/1".into()), None)]);
    let batch = published.since(1).unwrap();
    assert_eq!((batch.put.len(), batch.remove.len()), (0, 1));
}

#[test]
fn what_is_gone_is_remembered_in_bounds() {
    let mut published = Published::new(1);
    let path = |number: u32| EntryKey::Route(format!("/shop/{number}"));
    let all = |version: u8| {
        (0..ROUTES * 2).map(move |number| {
            (
                path(number),
                Some(crate::configuration::stream::Entry::Route(make::route(
                    number, version,
                ))),
            )
        })
    };
    published.change(all(1));
    let first = published.revision().counter;
    for part in 0..4 {
        let numbers = part * ROUTES / 2..(part + 1) * ROUTES / 2;
        published.change(numbers.map(|number| (path(number), None)));
    }
    assert!(
        published.since(first).is_none(),
        "it has to say what it has"
    );
    let last = published.revision().counter;
    assert_eq!(
        published.since(last - 1).unwrap().remove.len(),
        ROUTES as usize / 2
    );
    assert_eq!(published.resume(&[]).put.len(), 0);
    assert!(published.change(all(2).take(3)));
    assert_eq!(published.since(last).unwrap().put.len(), 3);
}
