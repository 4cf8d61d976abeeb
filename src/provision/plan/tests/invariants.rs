//! What must hold after every step of the model test, whatever happened.

use jiff::Timestamp;

use super::app::AtApp;
use super::world::World;
use crate::configuration::RegistrationState;
use crate::provision::record::{Departure, Orphan, OrphanReason, Registration};
use crate::provision::{Record, entries, has_own_uri};

/// What is remembered from step to step.
#[derive(Default)]
pub struct Memory {
    /// The app had its one URL, and it was wanted ever since.
    pub had_url: bool,
}

pub fn check(world: &World, memory: &mut Memory) {
    assert_eq!(world.app.touched, 0, "a foreign registration was touched");
    all_are_listed(world);
    if world.knows {
        at_most_one(world);
    }
    all_are_served(world);
    secrets_are_known(world);
    if world.app.rules.sets_url {
        the_url_stays(world, memory);
    }
}

fn ours(world: &World) -> Vec<&AtApp> {
    world
        .app
        .ours(world.real)
        .filter(|at_app| !at_app.is_copy)
        .collect()
}

fn is_orphan(record: &Record, at_app: &AtApp) -> bool {
    orphan(record, at_app).is_some()
}

/// The entry of the orphan list that tells of it.
fn orphan<'r>(record: &'r Record, at_app: &AtApp) -> Option<&'r Orphan> {
    let is_it = |orphan: &&Orphan| match &orphan.id {
        Some(id) => *id == at_app.id,
        None => at_app
            .number
            .is_some_and(|it| (orphan.number..=orphan.last_number).contains(&it)),
    };
    record.orphans.iter().find(is_it)
}

/// Whether something may be left at an app that lets us know what stands there.
fn may_be_left(world: &World, why: OrphanReason) -> bool {
    let subscription = &world.wish.subscription;
    match why {
        // Removing it, or finding it before, failed for as long as `giveUpAfter` says. What nothing
        // can remove is not looked for longer than until the first failure.
        OrphanReason::GaveUp => true,
        OrphanReason::NoUnsubscribe => subscription.unsubscribe.is_none(),
        // Without a list only a repetition tells what became of an attempt. When its answer was
        // lost and the request changed before it was repeated, the same id with another content is
        // not the same request any more, and what the former one was made from is not kept.
        OrphanReason::AnswerLost => subscription.lookup.is_none() && world.app.rules.idempotent,
        // Where all share one URI, a second one of the same name may be somebody else's.
        OrphanReason::NotSurelyOurs => !has_own_uri(subscription),
        OrphanReason::Conflict | OrphanReason::Policy => false,
    }
}

/// Each of ours at the app is in the record that is stored, or on its orphan list.
fn all_are_listed(world: &World) {
    for at_app in ours(world) {
        let record = world
            .stored
            .as_ref()
            .expect("there is a record while something stands");
        let number = at_app.number.unwrap();
        let is_listed = record.registration(number).is_some();
        assert!(
            is_listed || is_orphan(record, at_app),
            "{} stands and nobody knows",
            at_app.id
        );
    }
}

/// One registration, and two in an overlap: where a new one takes over, or where removing one fails
/// again and again.
fn at_most_one(world: &World) {
    let Some(record) = &world.stored else {
        return;
    };
    let standing: Vec<&AtApp> = ours(world)
        .into_iter()
        .filter(|it| !is_orphan(record, it))
        .collect();
    for at_app in &standing {
        let same = standing
            .iter()
            .filter(|other| other.number == at_app.number);
        assert_eq!(same.count(), 1, "{} was made twice", at_app.id);
    }
    let of = |at_app: &&&AtApp| at_app.number.and_then(|number| record.registration(number));
    let stuck = |it: &Registration| it.trouble.as_ref().is_some_and(|it| it.failures >= 3);
    let replaced = |it: &Registration| {
        it.leaving
            .as_ref()
            .is_some_and(|leaving| leaving.why == Departure::Replaced)
    };
    let excused = standing
        .iter()
        .filter(|it| of(it).is_some_and(|it| stuck(it) || replaced(it)));
    let rest = standing.len() - excused.count();
    assert!(rest <= 2, "{rest} stand, and an overlap is of two");
}

/// A new one is made while no other is there, or in an overlap: beside one that works until it is
/// taken over, or that cannot be removed.
pub fn may_be_made(record: &Record, number: u32) {
    let made = record
        .registration(number)
        .expect("what is made is in the record");
    if made.leaving.is_some() || made.since.is_some() {
        return;
    }
    for other in record
        .registrations
        .iter()
        .filter(|other| other.number != number)
    {
        let is_stuck = other.trouble.as_ref().is_some_and(|it| it.failures >= 3);
        let why = other.leaving.as_ref().map(|leaving| leaving.why);
        let is_overlap = other.is_active() || why == Some(Departure::Replaced) || is_stuck;
        assert!(
            is_overlap,
            "{number} is made while {} is {:?}",
            other.number, other.phase
        );
    }
}

/// What the app may call is served, and never told that it is over.
fn all_are_served(world: &World) {
    let Some(record) = &world.stored else {
        return;
    };
    let served = entries(record, world.now());
    for at_app in ours(world) {
        if world.app.rules.by_name {
            continue;
        }
        let is_known = record.registration(at_app.number.unwrap()).is_some();
        let mut entries = served
            .iter()
            .filter(|entry| at_app.uri.ends_with(&entry.path));
        let is_served = match entries.next().map(|entry| &entry.state) {
            Some(RegistrationState::Live(_)) => true,
            Some(RegistrationState::Orphaned) => !is_known,
            Some(RegistrationState::Removed) | None => false,
        };
        assert!(is_served, "{} calls a URI that is not served", at_app.id);
    }
}

/// Once a registration is active, what the app signs with is known.
fn secrets_are_known(world: &World) {
    let Some(record) = &world.stored else {
        return;
    };
    for at_app in ours(world) {
        let known = record.registration(at_app.number.unwrap());
        let left = record.left_behind.iter();
        for left in left.filter(|left| at_app.uri.ends_with(&left.path)) {
            let known = left
                .known
                .as_ref()
                .and_then(|it| it.signing_secret.as_ref());
            assert!(
                known.is_none() || known == at_app.secret.as_ref(),
                "{} is left behind and signs with another secret",
                at_app.id
            );
        }
        let Some(known) = known.filter(|it| it.is_active() && it.id.as_ref() == Some(&at_app.id))
        else {
            continue;
        };
        assert!(
            at_app.secret.is_none() || known.signing_secret == at_app.secret,
            "{} signs with another secret",
            at_app.id
        );
    }
}

/// An app with one URL keeps one of ours as long as it is wanted.
fn the_url_stays(world: &World, memory: &mut Memory) {
    let has_url = ours(world).len() == 1;
    memory.had_url &= world.is_desired;
    assert!(
        has_url || !memory.had_url,
        "the app was left without its URL"
    );
    // A removal that has begun is carried to its end, although it is wanted again meanwhile.
    let stored = world.stored.iter().flat_map(|record| &record.registrations);
    let is_removed = stored.clone().any(|it| it.leaving.is_some());
    memory.had_url |= has_url && world.is_desired && !is_removed;
}

/// What must hold once the weather is fair, and it is wanted, and time has passed.
pub fn check_standing(world: &World) {
    let record = world.stored.as_ref().expect("a record");
    let current = record.current().expect("a registration");
    assert!(current.is_active(), "it came to {:?}", current.phase);
    // Where the first one ended and a copy was left, that one may have been taken over.
    let is_ours = |it: &&AtApp| !it.is_copy || current.id.as_ref() == Some(&it.id);
    let standing: Vec<&AtApp> = world
        .app
        .ours(world.real)
        .filter(is_ours)
        .filter(|it| !is_orphan(record, it))
        .collect();
    assert_eq!(standing.len(), 1, "{standing:?}");
    let at_app = standing[0];
    assert_eq!(at_app.number, Some(current.number));
    assert_eq!(
        at_app.content,
        world.wish.version.to_string(),
        "an old request stands"
    );
    assert_eq!(record.registrations.len(), 1);
    let lookup = record.inputs.subscription.lookup.as_ref();
    if lookup.is_some_and(|lookup| lookup.every.is_some()) {
        let copies = world
            .app
            .ours(world.real)
            .filter(|it| it.is_copy && it.uri == at_app.uri && it.id != at_app.id);
        assert_eq!(copies.count(), 0, "another one stands at its URI");
    }
    assert_eq!(record.making, None);
    assert_eq!(*record.inputs, *world.wish.desired().inputs);
}

/// What must hold once it is not wanted any more, and time has passed.
pub fn check_removed(world: &World, at: Timestamp) {
    let Some(record) = &world.stored else {
        assert!(ours(world).is_empty(), "what stands is forgotten");
        return;
    };
    assert!(
        record.registrations.is_empty(),
        "{:?}",
        record.registrations
    );
    for at_app in world.app.ours(at).filter(|it| !it.is_copy) {
        let orphan = orphan(record, at_app);
        let orphan = orphan.unwrap_or_else(|| panic!("{} is left behind", at_app.id));
        assert!(
            !world.knows || may_be_left(world, orphan.why),
            "{} is left behind because of {:?}",
            at_app.id,
            orphan.why
        );
    }
    let customer = record.inputs.customer.as_ref().unwrap();
    assert!(
        customer.fields.sensitive.is_empty()
            && record.left_behind.iter().all(|it| it.known.is_none()),
        "what is over keeps secrets"
    );
}
