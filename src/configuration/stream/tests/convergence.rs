//! Any sequence of edits, broken connections, restarts and new leaders ends with the receiver having
//! what the sender published, and each revision on the way is one that was published.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::make;
use crate::configuration::stream::{
    Change, Entry, EntryKey, Held, Partings, Published, Served, changes, saved,
};
use crate::configuration::{Configuration, RegistrationChange, RegistrationEntry};

/// What can happen.
#[derive(Clone, Debug)]
enum Step {
    /// Entries of a kind are set to versions; 0 takes one away.
    Edit(Vec<(u8, u8, u8)>),
    /// The gateway itself is edited.
    Gateway(u8),
    /// Registrations are made, edited, removed.
    Registrations(Vec<(u8, u8)>),
    /// So many lines of what the pod lacks arrive; then, if the bool says so, the connection breaks.
    Deliver(u8, bool),
    /// Somebody else leads.
    NewLeader,
    /// The pod is killed, and starts from what it kept last.
    Restart,
    /// The pod keeps what it has.
    Keep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((0..4u8, 0..5u8, 0..4u8), 1..6).prop_map(Step::Edit),
        1 => (0..4u8).prop_map(Step::Gateway),
        3 => prop::collection::vec((0..5u8, 0..4u8), 1..4).prop_map(Step::Registrations),
        6 => (any::<u8>(), any::<bool>()).prop_map(|(most, breaks)| Step::Deliver(most, breaks)),
        1 => Just(Step::NewLeader),
        1 => Just(Step::Restart),
        1 => Just(Step::Keep),
    ]
}

/// A sender and a receiver.
struct World {
    /// What is wanted, by kind and number.
    wanted: BTreeMap<(u8, u8), u8>,
    gateway: u8,
    registrations: BTreeMap<u8, u8>,
    served: Served,
    published: Published,
    epoch: u64,
    /// What was published at each revision of this leader, as a whole.
    history: BTreeMap<u64, State>,
    held: Held,
    kept: Option<Vec<u8>>,
    /// The lines that are on their way, and whether there is a connection.
    lines: Option<Vec<bytes::Bytes>>,
    /// What the gateway's table of registrations would hold.
    table: BTreeMap<String, RegistrationEntry>,
}

type State = (Configuration, BTreeMap<String, RegistrationEntry>);

impl World {
    fn new() -> Self {
        let served = make::served(make::empty());
        let mut world = Self {
            wanted: BTreeMap::new(),
            gateway: 0,
            registrations: BTreeMap::new(),
            published: Published::new(1),
            epoch: 1,
            history: BTreeMap::new(),
            held: Held::default(),
            kept: None,
            lines: None,
            table: BTreeMap::new(),
            served,
        };
        let first = changes(None, &world.served);
        world.publish(first);
        world
    }

    fn configuration(&self) -> Configuration {
        let of = |kind: u8| {
            let wanted = self.wanted.iter();
            let wanted = wanted.filter(move |(key, version)| key.0 == kind && **version > 0);
            wanted.map(|(key, version)| (key.1, *version))
        };
        Configuration {
            gateway: make::gateway(self.gateway),
            event_types: of(0).map(|(n, v)| make::event_type(n, v)).collect(),
            routes: of(1).map(|(n, v)| make::route(n.into(), v)).collect(),
            customers: of(2).map(|(n, v)| make::customer(n, v)).collect(),
            subscriptions: of(3).map(|(n, v)| make::subscription(n, v)).collect(),
        }
    }

    fn state(&self) -> State {
        let registrations = self.registrations.iter();
        let registrations = registrations.map(|(number, version)| {
            let entry = make::registration(*number, *version);
            (entry.path.clone(), entry)
        });
        (self.configuration(), registrations.collect())
    }

    fn publish(&mut self, changes: Vec<Change>) {
        self.published.change(changes);
        let counter = self.published.revision().counter;
        self.history.insert(counter, self.state());
    }

    fn set(&mut self) {
        let served = make::served(self.configuration());
        let changes = changes(Some(&self.served), &served);
        self.served = served;
        self.publish(changes);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Edit(edits) => {
                for (kind, number, version) in edits {
                    self.wanted.insert((kind, number), version);
                }
                self.set();
            }
            Step::Gateway(version) => {
                self.gateway = version;
                self.set();
            }
            Step::Registrations(edits) => {
                let changes = edits.into_iter().map(|(number, version)| {
                    let key = EntryKey::Registration(make::registration(number, 1).path);
                    if version == 3 {
                        self.registrations.remove(&number);
                        return (key, None);
                    }
                    self.registrations.insert(number, version);
                    let entry = make::registration(number, version);
                    (key, Some(Entry::Registration(Arc::new(entry))))
                });
                let changes = changes.collect();
                self.publish(changes);
            }
            Step::Deliver(most, breaks) => {
                self.deliver(most.into());
                if breaks {
                    self.lines = None;
                }
            }
            Step::NewLeader => {
                self.epoch += 1;
                self.published = Published::new(self.epoch);
                self.history.clear();
                self.lines = None;
                let registrations = self.registrations.iter().map(|(number, version)| {
                    let entry = make::registration(*number, *version);
                    let key = EntryKey::Registration(entry.path.clone());
                    (key, Some(Entry::Registration(Arc::new(entry))))
                });
                let first = registrations.chain(changes(None, &self.served)).collect();
                self.publish(first);
            }
            Step::Restart => {
                let kept = self.kept.as_ref().map(|kept| {
                    saved::load(kept, "shop/default").expect("what was kept can be read")
                });
                self.held = kept.unwrap_or_default();
                self.lines = None;
                let registrations = self.held.registrations();
                let registrations = registrations.map(|it| (it.path.clone(), (**it).clone()));
                self.table = registrations.collect();
            }
            Step::Keep => self.kept = saved::save(&self.held, "shop/default").or(self.kept.take()),
        }
    }

    /// What is held, without what is not sent any more and goes on.
    fn sent(&self) -> Option<Configuration> {
        let mut configuration = self.held.configuration()?;
        let unsent: Vec<_> = self.held.unsent().map(|it| it.name).collect();
        let subscriptions = &mut configuration.subscriptions;
        subscriptions.retain(|entry| !unsent.contains(&entry.name));
        Some(configuration)
    }

    fn deliver(&mut self, most: usize) {
        let mut lines = match self.lines.take() {
            None => make::connect(&mut self.held, &self.published).expect("the epoch is not lower"),
            Some(lines) if lines.is_empty() => {
                let counter = self
                    .held
                    .revision()
                    .expect("it has taken something")
                    .counter;
                if counter == self.published.revision().counter {
                    Vec::new()
                } else {
                    let batch = self.published.since(counter).expect("it is remembered");
                    batch.lines().collect()
                }
            }
            Some(lines) => lines,
        };
        let rest = lines.split_off(most.min(lines.len()));
        let taken = make::take(&mut self.held, &lines).expect("frames are in order");
        self.lines = Some(rest);
        let Some(taken) = taken else { return };
        for change in taken.registrations {
            match change {
                RegistrationChange::Set(entry) => {
                    self.table.insert(entry.path.clone(), entry);
                }
                RegistrationChange::Remove { path } => {
                    self.table
                        .remove(&path)
                        .expect("only what is there is removed");
                }
            }
        }
        let (configuration, registrations) = &self.history[&taken.revision.counter];
        assert_eq!(self.sent().as_ref(), Some(configuration));
        assert_eq!(&self.table, registrations);
        assert_eq!(self.held.refused().len(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_pod_converges_to_what_is_published(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        // What is on its way, then what came meanwhile.
        for _ in 0..3 {
            world.deliver(usize::MAX);
        }
        let (configuration, registrations) = world.state();
        prop_assert_eq!(world.sent(), Some(configuration.clone()));
        // Once it is said that what is not sent is gone, nothing else is there.
        let unsent = world.held.unsent().map(|it| it.name);
        let partings = Partings {
            gone: unsent.collect(),
            draining: Vec::new(),
        };
        let entry = Entry::Partings(Arc::new(partings));
        world.publish(vec![(EntryKey::Partings, Some(entry))]);
        world.deliver(usize::MAX);
        prop_assert_eq!(world.held.configuration(), Some(configuration));
        prop_assert_eq!(world.table, registrations);
        prop_assert_eq!(world.held.revision(), Some(world.published.revision()));
        // And nothing is left that would be sent at another connection.
        let again = world.published.resume(&world.held.hashes());
        prop_assert_eq!((again.put.len(), again.forget.len()), (0, 0));
    }
}
