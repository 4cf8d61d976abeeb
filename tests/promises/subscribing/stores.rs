//! The process is killed at moments that are held, not waited for: before a store, after it and
//! before the request that it is the intent of, and between an answer and the store of it. For each
//! step that a subscription takes, at every kind of app; and it is counted that each was hit.
//!
//! The process has no part in it. A store is held by a pipe where the file would be written
//! ([`RecordFile::hold`](super::record_file::RecordFile::hold)). Nothing can be sent while the app's door is shut
//! ([`ModelApp::shut`](crate::support::model_app::ModelApp::shut)): a record on disk that says that a request is about to be sent is then an
//! intent whose request did not leave.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::all_of;
use super::installation::Installation;
use super::kills::{begin, end, is_removed, is_well};
use super::moods::{MOODS, Mood};
use super::record_file::RecordFile;
use super::spec::Renewal;
use super::world::World;
use crate::support::model_app::{Fault, Go, Op, Stage};

/// A moment to be killed at, of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// The store of the intent has begun, and it is not stored.
    NotIntended,
    /// The intent is stored, and nothing is sent.
    NotSent,
    /// The app has answered, and nothing is stored since.
    NotStored,
    /// What the answer means is stored, and nothing follows.
    Stored,
}

use Moment::{NotIntended, NotSent, NotStored, Stored};

/// So often a request that is not sent is tried to be caught: before its time runs out, which is a
/// second, on a machine that may have other things to do.
const TRIES: usize = 8;

/// So many customers are made in peace, and stay for renewals and changes: each of them is renewed
/// once, because a registration that is younger than a minute is not.
const KEPT: usize = 4;

/// One scenario.
struct Killing {
    world: World,
    mood: &'static Mood,
    /// How often a moment was hit for certain.
    hits: BTreeMap<(&'static str, Op, Moment), usize>,
}

#[test]
fn killed_before_and_after_each_store() {
    all_of(
        MOODS
            .iter()
            .map(|mood| (mood.name.to_owned(), move || killed_at_stores(mood))),
    );
}

async fn killed_at_stores(mood: &'static Mood) {
    let mut world = begin(mood, &[]).await;
    // Whatever cannot be sent while the door is shut is no reason to stop a change.
    world.edit(|spec| spec.rollout = Some(json!({"stopAfterFailures": 1000})));
    world.app.hang_up_each_time();
    world.dev.run().await;
    let mut killing = Killing {
        world,
        mood,
        hits: BTreeMap::new(),
    };
    killing.making().await;
    let (kept, gone) = killing.removal().await;
    if let Some(renewal) = killing.world.spec.renewal {
        killing.renewal(&kept, renewal).await;
    }
    killing.change(&kept).await;
    let Killing {
        mut world, hits, ..
    } = killing;
    world.edit(|spec| {
        spec.customers.extend(gone);
        spec.without_subscription = spec.customers.clone();
    });
    for customer in world.customers() {
        is_removed(&world, mood, &customer).await;
    }
    end(&world, mood).await;
    all_were_hit(&world, &hits);
}

/// Each moment of each step that there is at this app was hit.
fn all_were_hit(world: &World, hits: &BTreeMap<(&'static str, Op, Moment), usize>) {
    let spec = &world.spec;
    let mut expected = Vec::new();
    let mut expect = |part: &'static str, op: Op, moments: &[Moment]| {
        expected.extend(moments.iter().map(|moment| (part, op, *moment)));
    };
    for part in ["making", "change"] {
        expect(part, first(world), &[NotIntended, NotSent, NotStored]);
        expect(part, Op::Create, &[NotSent, NotStored]);
        if spec.enable {
            expect(part, Op::Enable, &[NotSent, NotStored]);
        }
        expect(part, last(world), &[Stored]);
    }
    expect(
        "removal",
        Op::Delete,
        &[NotIntended, NotSent, NotStored, Stored],
    );
    if !spec.set_url {
        expect("overlap", Op::Delete, &[NotSent, NotStored]);
    }
    match spec.renewal {
        Some(Renewal::Update) => {
            expect(
                "renewal",
                Op::Renew,
                &[NotIntended, NotSent, NotStored, Stored],
            );
        }
        Some(Renewal::Recreate) => {
            expect("renewal", first(world), &[NotIntended]);
            expect("renewal", Op::Create, &[NotSent, NotStored]);
        }
        None => {}
    }
    for moment in expected {
        let count = hits.get(&moment).copied().unwrap_or(0);
        assert!(count > 0, "{moment:?} was never hit: {hits:?}");
    }
}

/// The first request of a registration that is made.
fn first(world: &World) -> Op {
    if world.spec.prepare {
        Op::Prepare
    } else {
        Op::Create
    }
}

/// The last one.
fn last(world: &World) -> Op {
    if world.spec.enable {
        Op::Enable
    } else {
        Op::Create
    }
}

impl Killing {
    fn record(&self, customer: &str) -> RecordFile {
        RecordFile::of(&self.world.records(), customer)
    }

    /// Each customer's first registration is killed at another moment; a few in peace.
    async fn making(&mut self) {
        for number in 0..KEPT {
            let name = format!("kept-{number}");
            self.mood
                .apply(&self.world.app, &name, self.world.dev.listen);
            self.world.edit(|spec| spec.customers.push(name));
        }
        let (first, last) = (first(&self.world), last(&self.world));
        let mut moments = vec![(first, NotIntended), (first, NotSent), (first, NotStored)];
        if self.world.spec.prepare {
            moments.extend([(Op::Create, NotSent), (Op::Create, NotStored)]);
        }
        if self.world.spec.enable {
            moments.extend([(Op::Enable, NotSent), (Op::Enable, NotStored)]);
        }
        moments.push((last, Stored));
        for (number, (op, moment)) in moments.into_iter().enumerate() {
            for attempt in 0..TRIES {
                let name = format!("customer-{number}-{attempt}");
                self.mood
                    .apply(&self.world.app, &name, self.world.dev.listen);
                // Where the answer matters it is one.
                let is_done = !self.mood.is_refusing()
                    && !matches!(self.mood.fault, Some(Fault::AnsweredAfter(_)));
                if is_done || moment <= NotSent {
                    self.mood.go_wrong(&self.world.app, &name);
                }
                let is_hit = self
                    .kill("making", &name, op, moment, |world| {
                        world.edit(|spec| spec.customers.push(name.clone()));
                    })
                    .await;
                if is_hit {
                    break;
                }
            }
        }
        is_well(&mut self.world, self.mood).await;
        self.events_are_stored().await;
    }

    /// All customers but a few go, some of them killed at another moment each; who is left, and who
    /// is gone.
    async fn removal(&mut self) -> (Vec<String>, Vec<String>) {
        let customers = self.world.customers();
        let (kept, going) = customers.split_at(KEPT);
        let moments = [NotIntended, NotSent, NotStored, Stored];
        for (customer, moment) in going.iter().zip(moments) {
            self.kill("removal", customer, Op::Delete, moment, |world| {
                world.edit(|spec| spec.without_subscription.push(customer.clone()));
            })
            .await;
        }
        self.world
            .edit(|spec| spec.without_subscription = going.to_vec());
        for customer in going {
            is_removed(&self.world, self.mood, customer).await;
        }
        self.world.edit(|spec| {
            spec.customers = kept.to_vec();
            spec.without_subscription.clear();
        });
        (kept.to_vec(), going.to_vec())
    }

    /// The app gives notice that registrations must be renewed.
    async fn renewal(&mut self, kept: &[String], renewal: Renewal) {
        let (op, intended) = match renewal {
            Renewal::Update => (Op::Renew, Op::Renew),
            Renewal::Recreate => (Op::Create, first(&self.world)),
        };
        let mut moments = vec![(intended, NotIntended), (op, NotSent), (op, NotStored)];
        if renewal == Renewal::Update {
            moments.push((op, Stored));
        }
        for (number, (op, moment)) in moments.into_iter().enumerate() {
            for attempt in 0..TRIES {
                let customer = &kept[(number + attempt) % kept.len()];
                let hook = self.world.stands(customer).await;
                // A notice about one that is younger than a minute waits.
                let age = hook.made.max(self.renewed_at(customer)).elapsed();
                tokio::time::sleep(Duration::from_secs(62).saturating_sub(age)).await;
                let app = std::sync::Arc::clone(&self.world.app);
                let name = customer.clone();
                let is_hit = self
                    .kill("renewal", customer, op, moment, move |_| {
                        // Whoever is killed before the notice is stored does not answer.
                        tokio::spawn(async move { app.try_notify(&name, "renew").await });
                    })
                    .await;
                if moment == NotIntended {
                    // As the app would, which was not answered.
                    assert_eq!(self.world.app.notify(customer, "renew").await, [202]);
                }
                let is_renewed = async || {
                    let now = self.world.app.live(customer);
                    let [now] = &now[..] else { return false };
                    now.expires > hook.expires && self.record(customer).says_active()
                };
                let what = format!("{customer} is renewed");
                self.world.wait(&what, is_renewed).await;
                if is_hit {
                    break;
                }
            }
        }
        is_well(&mut self.world, self.mood).await;
    }

    /// When a registration was renewed last.
    fn renewed_at(&self, customer: &str) -> std::time::Instant {
        let asked = self.world.app.asked(customer);
        let renewals = asked.iter().filter(|asked| asked.op == Op::Renew);
        let made = self.world.app.live(customer)[0].made;
        renewals.map(|asked| asked.at).max().unwrap_or(made)
    }

    /// The request changes again and again, and each time one customer is killed.
    async fn change(&mut self, kept: &[String]) {
        let (first, last) = (first(&self.world), last(&self.world));
        let mut moments = vec![
            ("change", first, NotIntended),
            ("change", first, NotSent),
            ("change", first, NotStored),
        ];
        if self.world.spec.prepare {
            moments.extend([
                ("change", Op::Create, NotSent),
                ("change", Op::Create, NotStored),
            ]);
        }
        if self.world.spec.enable {
            moments.extend([
                ("change", Op::Enable, NotSent),
                ("change", Op::Enable, NotStored),
            ]);
        }
        if !self.world.spec.set_url {
            moments.extend([
                ("overlap", Op::Delete, NotSent),
                ("overlap", Op::Delete, NotStored),
            ]);
        }
        moments.push(("change", last, Stored));
        for (number, (part, op, moment)) in moments.into_iter().enumerate() {
            for attempt in 0..TRIES {
                let customer = &kept[(number + attempt) % kept.len()];
                let label = json!(format!("change {number}, {attempt}"));
                let is_hit = self
                    .kill(part, customer, op, moment, |world| {
                        world.edit(|spec| spec.label = label);
                    })
                    .await;
                self.is_changed(kept).await;
                if is_hit {
                    break;
                }
            }
        }
    }

    /// Everybody's registration is the changed one.
    async fn is_changed(&mut self, kept: &[String]) {
        for customer in kept {
            let is_there = async || {
                let live = self.world.app.live(customer);
                live.iter()
                    .any(|hook| hook.body["label"] == self.world.spec.label)
            };
            let what = format!("the changed registration of {customer} stands");
            self.world.wait(&what, is_there).await;
        }
        is_well(&mut self.world, self.mood).await;
    }

    /// Each customer's first event is worth a store; what is held later must not be that one.
    async fn events_are_stored(&self) {
        for customer in self.world.customers() {
            let is_stored = async || self.record(&customer).knows_an_event();
            let what = format!("the time of {customer}'s first event is stored");
            self.world.wait(&what, is_stored).await;
        }
    }

    /// Makes a change, kills at a moment of the step that it brings for a customer, and starts
    /// again. Whether it was that moment; all but [`NotSent`] are held until it is.
    async fn kill(
        &mut self,
        part: &'static str,
        customer: &str,
        op: Op,
        moment: Moment,
        change: impl FnOnce(&mut World),
    ) -> bool {
        let record = self.record(customer);
        let before = record.bytes();
        let asked = self.world.app.count(customer, op);
        let is_hit = match moment {
            NotIntended => {
                let mut store = record.hold();
                change(&mut self.world);
                let _pipe = store.reached().await;
                self.world.dev.kill();
                assert_eq!(record.bytes(), before, "it is not stored");
                assert_eq!(
                    self.world.app.count(customer, op),
                    asked,
                    "nothing was sent"
                );
                store.leave_half_of_it();
                true
            }
            NotSent => {
                // The request whose answer brings the intent, if one does.
                let previous = match (part, op) {
                    ("overlap", Op::Delete) => Some(last(&self.world)),
                    (_, Op::Create) if self.world.spec.prepare => Some(Op::Prepare),
                    (_, Op::Enable) => Some(Op::Create),
                    _ => None,
                };
                if let Some(previous) = previous {
                    let mut gate = self.world.app.gate(customer, previous, Stage::Done);
                    change(&mut self.world);
                    gate.reached().await;
                    self.world.app.shut().await;
                    gate.go(Go::On);
                } else {
                    self.world.app.shut().await;
                    change(&mut self.world);
                }
                let is_stored = async || record.bytes() != before && record.says(op);
                let stored = self.soon(is_stored).await;
                self.world.dev.kill();
                // Where the second is over, it says that it could not be sent.
                let is_hit = stored && record.says(op);
                assert_eq!(
                    self.world.app.count(customer, op),
                    asked,
                    "nothing was sent"
                );
                self.world.app.unshut().await;
                is_hit
            }
            NotStored => {
                let mut gate = self.world.app.gate(customer, op, Stage::Done);
                change(&mut self.world);
                gate.reached().await;
                let mut store = record.hold();
                gate.go(Go::On);
                let _pipe = store.reached().await;
                self.world.dev.kill();
                assert_eq!(record.bytes(), store.before, "it is not stored");
                assert!(record.says(op), "the intent is");
                let asked = self.world.app.asked(customer);
                let last = asked.iter().rfind(|asked| asked.op == op).unwrap();
                assert!(last.status.is_some(), "the app has answered: {last:?}");
                store.leave_half_of_it();
                true
            }
            Stored => {
                change(&mut self.world);
                let is_stored = async || {
                    let is_over = match op {
                        Op::Delete => record.says_removed(),
                        _ => record.says_active(),
                    };
                    record.bytes() != before && is_over
                };
                self.world.wait("it is stored", is_stored).await;
                self.world.dev.kill();
                true
            }
        };
        if is_hit {
            *self.hits.entry((part, op, moment)).or_default() += 1;
        }
        self.world.dev.run().await;
        is_hit
    }

    /// Waits closely for what comes before long; whether it came.
    async fn soon(&self, mut holds: impl AsyncFnMut() -> bool) -> bool {
        let wait = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .is_ok()
    }
}
