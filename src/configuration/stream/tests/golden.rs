//! What the controllers of released versions send is taken whole (see tests/golden/README.md).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::make;
use crate::configuration::stream::{
    Entry, EntryKey, Held, Members, Partings, Published, Served, changes,
};
use crate::configuration::{Configuration, RegistrationChange};

const FILE: &str = "stream.jsonl";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Something of every kind.
fn served() -> Served {
    let configuration = Configuration {
        gateway: make::gateway(1),
        event_types: vec![make::event_type(0, 1), make::event_type(1, 2)],
        routes: vec![make::route(1, 0), make::route(2, 1)],
        customers: vec![make::customer(1, 1)],
        subscriptions: vec![make::subscription(1, 1), make::subscription(2, 1)],
    };
    Served {
        members: Arc::new(Members {
            addresses: vec!["pod-0.pods:8081".to_owned()],
        }),
        partings: Arc::new(Partings {
            gone: vec![make::name(7)],
            draining: vec![make::name(8)],
        }),
        ..make::served(configuration)
    }
}

/// What is sent to a pod that connects for the first time.
fn lines() -> Vec<bytes::Bytes> {
    let mut published = Published::new(3);
    let registrations = [make::registration(1, 1), make::registration(2, 0)];
    let registrations = registrations.into_iter().map(|entry| {
        let key = EntryKey::Registration(entry.path.clone());
        (key, Some(Entry::Registration(Arc::new(entry))))
    });
    published.change(
        registrations
            .chain(changes(None, &served()))
            .collect::<Vec<_>>(),
    );
    make::connect(&mut Held::default(), &published).unwrap()
}

#[test]
#[ignore = "writes what later versions are tested with"]
fn record() {
    let folder = folder().join(env!("CARGO_PKG_VERSION"));
    std::fs::create_dir_all(&folder).unwrap();
    let text: Vec<u8> = lines().iter().flat_map(|line| line.to_vec()).collect();
    std::fs::write(folder.join(FILE), text).unwrap();
}

#[test]
fn what_earlier_controllers_send_is_taken_whole() {
    let mut versions = 0;
    for version in std::fs::read_dir(folder()).unwrap() {
        let file = version.unwrap().path().join(FILE);
        let Ok(text) = std::fs::read(&file) else {
            continue;
        };
        versions += 1;
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let lines: Vec<_> = lines.map(bytes::Bytes::copy_from_slice).collect();
        let mut held = Held::default();
        let taken = make::take(&mut held, &lines).unwrap().unwrap();
        assert_eq!(held.refused().len(), 0, "{}", file.display());
        assert_eq!(
            held.configuration(),
            Some(served().configuration.as_ref().clone())
        );
        let set = taken.registrations.into_iter().map(|change| match change {
            RegistrationChange::Set(entry) => entry,
            RegistrationChange::Remove { path } => panic!("{path} is removed"),
        });
        let expected = [make::registration(1, 1), make::registration(2, 0)];
        assert_eq!(set.collect::<Vec<_>>(), expected);
    }
    assert!(versions > 0, "nothing is kept of any version");
}
