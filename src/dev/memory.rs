//! What `dev` remembers of the manifests: which objects there are, since when, in their last form
//! that could be used, and when one that vanished counts as deleted.
//!
//! Deleting an EventSubscription drops its undelivered events, so nothing may count as deleted by
//! accident: not while an editor replaces a file, not because a file cannot be read. The rules are
//! here, pure; reading folders and keeping the result on disk are `dev`'s.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::object::Object;
use crate::api::ObjectReference;

/// How long an object must be gone before it counts as deleted: editors and `git checkout` remove
/// a file and bring it back within this time.
pub const DELETION_DELAY: SignedDuration = SignedDuration::from_secs(2);

/// One object as it stands in a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What names it.
    pub key: ObjectReference,
    /// The file it stands in.
    pub file: PathBuf,
    /// The whole object.
    pub object: Object,
}

/// What reading all manifests gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Every object of every file that could be read.
    pub found: Vec<Found>,
    /// Objects that are there but broken in themselves, each with its file: they stay as they were.
    pub broken: Vec<(ObjectReference, PathBuf)>,
    /// Whether something could not be read, so that an object may be there unseen: a broken or
    /// unreadable file, an unreadable folder, a checkout that is under way.
    pub incomplete: bool,
}

/// One object that is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// The file it was last seen in.
    pub file: PathBuf,
    /// Tells it from a later object of the same name.
    pub uid: String,
    /// When it was first seen: of two objects that claim the same, the older has it.
    pub since: Timestamp,
    /// When it was found to be gone; `None` while it is there.
    pub missing_since: Option<Timestamp>,
    /// The object as it was last read.
    pub object: Arc<Object>,
    /// The last form of it that could be used; `None` if it never was good. Mostly the present one,
    /// and then it is shared with it, and not written twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Arc<Object>>,
    /// Where it is written: that the present form is the last good one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_good: bool,
}

/// Everything that is remembered, by object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    from = "Vec<(ObjectReference, Remembered)>",
    into = "Vec<(ObjectReference, Remembered)>"
)]
pub struct Memory {
    objects: BTreeMap<ObjectReference, Remembered>,
}

/// What a reading changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Objects that are new or different.
    pub changed: Vec<ObjectReference>,
    /// Objects that count as deleted from now on.
    pub deleted: Vec<ObjectReference>,
    /// When to read again, because an object that is gone may count as deleted by then.
    pub look_again_at: Option<Timestamp>,
}

impl Memory {
    /// Takes in what was read between `began` and `now`; `new_uid` names objects that were not
    /// there before. Reading may take a while on a busy machine: an object is gone since the end
    /// of the reading that first missed it, and is still gone at the begin of a later one.
    pub fn update(
        &mut self,
        reading: Reading,
        began: Timestamp,
        now: Timestamp,
        new_uid: &mut dyn FnMut() -> String,
    ) -> Changes {
        let mut changes = Changes::default();
        let mut seen = std::collections::BTreeSet::new();
        for Found { key, file, object } in reading.found {
            seen.insert(key.clone());
            match self.objects.get_mut(&key) {
                Some(known) => {
                    known.file = file;
                    known.missing_since = None;
                    if *known.object != object {
                        known.object = Arc::new(object);
                        changes.changed.push(key);
                    }
                }
                None => {
                    let remembered = Remembered {
                        file,
                        uid: new_uid(),
                        since: now,
                        missing_since: None,
                        object: Arc::new(object),
                        last_good: None,
                        is_good: false,
                    };
                    self.objects.insert(key.clone(), remembered);
                    changes.changed.push(key);
                }
            }
        }
        for (key, file) in reading.broken {
            if let Some(known) = self.objects.get_mut(&key) {
                known.file = file;
                known.missing_since = None;
            }
            seen.insert(key);
        }
        for (key, known) in &mut self.objects {
            if seen.contains(key) {
                continue;
            }
            if reading.incomplete {
                known.missing_since = None;
                continue;
            }
            let deadline = *known.missing_since.get_or_insert(now) + DELETION_DELAY;
            if deadline <= began {
                changes.deleted.push(key.clone());
            } else {
                let next = changes.look_again_at.get_or_insert(deadline);
                *next = deadline.min(*next);
            }
        }
        for key in &changes.deleted {
            self.objects.remove(key);
        }
        changes
    }

    /// Every object that counts as being there.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectReference, &Remembered)> {
        self.objects.iter()
    }

    /// The object of that name.
    pub fn get(&self, key: &ObjectReference) -> Option<&Remembered> {
        self.objects.get(key)
    }

    /// Notes that the present form of an object can be used: it is the last good one from now on.
    pub fn judged_good(&mut self, key: &ObjectReference) {
        if let Some(known) = self.objects.get_mut(key)
            && !(known.last_good.as_ref()).is_some_and(|good| Arc::ptr_eq(good, &known.object))
        {
            known.last_good = Some(Arc::clone(&known.object));
        }
    }
}

impl From<Vec<(ObjectReference, Remembered)>> for Memory {
    fn from(objects: Vec<(ObjectReference, Remembered)>) -> Self {
        let shared = objects.into_iter().map(|(key, mut known)| {
            if known.is_good || known.last_good.as_ref() == Some(&known.object) {
                known.last_good = Some(Arc::clone(&known.object));
            }
            known.is_good = false;
            (key, known)
        });
        Self {
            objects: shared.collect(),
        }
    }
}

impl From<Memory> for Vec<(ObjectReference, Remembered)> {
    fn from(memory: Memory) -> Self {
        let written = memory.objects.into_iter().map(|(key, mut known)| {
            let good = known.last_good.as_ref();
            if good.is_some_and(|good| Arc::ptr_eq(good, &known.object)) {
                (known.last_good, known.is_good) = (None, true);
            }
            (key, known)
        });
        written.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ConfigMap;

    fn key(name: &str) -> ObjectReference {
        ObjectReference::new("EventSubscription", "shop", name)
    }

    /// Some object that has a version.
    fn object(version: &str) -> Object {
        Object::ConfigMap(ConfigMap {
            namespace: "shop".into(),
            name: "a".into(),
            data: BTreeMap::from([("version".into(), version.into())]),
        })
    }

    /// A reading of objects `name=version@file`; `name?` is there but broken, `!` says that
    /// something was unreadable.
    fn reading(text: &str) -> Reading {
        let mut reading = Reading::default();
        for word in text.split_whitespace() {
            if word == "!" {
                reading.incomplete = true;
                continue;
            }
            if let Some(name) = word.strip_suffix('?') {
                reading.broken.push((key(name), "f".into()));
                continue;
            }
            let (name, rest) = word.split_once('=').unwrap();
            let (version, file) = rest.split_once('@').unwrap();
            reading.found.push(Found {
                key: key(name),
                file: file.into(),
                object: object(version),
            });
        }
        reading
    }

    /// Runs readings at the given milliseconds and tells, for each, what was deleted.
    fn deletions(readings: &[(i64, &str)]) -> Vec<String> {
        let mut memory = Memory::default();
        let mut count = 0;
        readings
            .iter()
            .map(|(milliseconds, text)| {
                let now = Timestamp::from_millisecond(*milliseconds).unwrap();
                let changes = memory.update(reading(text), now, now, &mut || {
                    count += 1;
                    count.to_string()
                });
                // What is remembered survives a restart at every moment.
                let text = serde_json::to_string(&memory).unwrap();
                assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
                changes
                    .deleted
                    .into_iter()
                    .map(|key| key.name)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    }

    #[test]
    fn an_object_counts_as_deleted_only_after_two_seconds_of_complete_readings() {
        let check = |readings: &[(i64, &str)], expected: &[&str]| {
            assert_eq!(deletions(readings), expected, "{readings:?}");
        };
        // Gone for good.
        check(
            &[
                (0, "a=1@f b=1@f"),
                (1000, "b=1@f"),
                (2999, "b=1@f"),
                (3000, "b=1@f"),
            ],
            &["", "", "", "a"],
        );
        // An editor replaces the file.
        check(
            &[(0, "a=1@f"), (1000, ""), (2500, "a=2@f"), (9000, "a=2@f")],
            &["", "", "", ""],
        );
        // It moves to another file.
        check(
            &[(0, "a=1@f"), (1000, "a=1@g"), (9000, "a=1@g")],
            &["", "", ""],
        );
        // A file is broken, however long.
        check(
            &[(0, "a=1@f b=1@g"), (1000, "b=1@g !"), (90_000, "b=1@g !")],
            &["", "", ""],
        );
        // The object itself is broken, however long.
        check(
            &[
                (0, "a=1@f"),
                (1000, "a?"),
                (90_000, "a?"),
                (90_001, ""),
                (92_001, ""),
            ],
            &["", "", "", "", "a"],
        );
        // After it is mended the two seconds begin anew.
        check(
            &[
                (0, "a=1@f"),
                (1000, ""),
                (2000, "!"),
                (9000, ""),
                (10_999, ""),
                (11_000, ""),
            ],
            &["", "", "", "", "", "a"],
        );
    }

    #[test]
    fn a_reading_that_takes_long_does_not_make_an_object_gone_for_longer() {
        let check = |readings: [(i64, i64, &str); 3], is_deleted: bool| {
            let mut memory = Memory::default();
            let mut last = Changes::default();
            for (began, ended, text) in readings {
                let [began, now] =
                    [began, ended].map(|it| Timestamp::from_millisecond(it).unwrap());
                last = memory.update(reading(text), began, now, &mut || "1".into());
            }
            assert_eq!(!last.deleted.is_empty(), is_deleted, "{readings:?}");
        };
        // Missed for the first time just before three seconds, for the last just after four.
        check(
            [(0, 1, "a=1@f"), (10, 3_000, ""), (4_000, 9_000, "")],
            false,
        );
        check([(0, 1, "a=1@f"), (10, 3_000, ""), (5_000, 5_001, "")], true);
    }

    #[test]
    fn an_object_keeps_its_identity_until_it_is_deleted() {
        let mut memory = Memory::default();
        let mut count = 0;
        let mut uid = || {
            count += 1;
            count.to_string()
        };
        let mut at = |memory: &mut Memory, seconds: i64, text: &str| {
            let now = Timestamp::from_second(seconds).unwrap();
            memory.update(reading(text), now, now, &mut uid)
        };
        at(&mut memory, 0, "a=1@f");
        at(&mut memory, 5, "a=2@g");
        let first = memory.get(&key("a")).unwrap().clone();
        assert_eq!((first.uid.as_str(), first.since.as_second()), ("1", 0));
        let gone = at(&mut memory, 6, "");
        assert_eq!(gone.look_again_at.unwrap().as_second(), 8);
        at(&mut memory, 8, "");
        at(&mut memory, 9, "a=2@g");
        let second = memory.get(&key("a")).unwrap();
        assert_eq!((second.uid.as_str(), second.since.as_second()), ("2", 9));
    }

    #[test]
    fn the_last_good_form_outlives_several_broken_ones() {
        let mut memory = Memory::default();
        let mut check = |text: &str, good: bool, expected: Option<&str>| {
            let now = Timestamp::UNIX_EPOCH;
            memory.update(reading(text), now, now, &mut || "1".into());
            if good {
                memory.judged_good(&key("a"));
            }
            let expected = expected.map(|version| Arc::new(object(version)));
            assert_eq!(memory.get(&key("a")).unwrap().last_good, expected, "{text}");
        };
        check("a=broken-from-the-start@f", false, None);
        check("a=good@f", true, Some("good"));
        check("a=broken@f", false, Some("good"));
        check("a=worse@f", false, Some("good"));
        check("a=mended@f", true, Some("mended"));
    }

    #[test]
    fn a_good_form_is_written_once_and_shared_when_it_is_read() {
        let mut memory = Memory::default();
        let at = Timestamp::UNIX_EPOCH;
        memory.update(reading("a=1@f"), at, at, &mut || "1".into());
        memory.judged_good(&key("a"));
        let text = serde_json::to_string(&memory).unwrap();
        assert_eq!(text.matches(r#""version":"1""#).count(), 1, "{text}");
        let read: Memory = serde_json::from_str(&text).unwrap();
        assert_eq!(read, memory);
        let shared = |memory: &Memory| {
            let known = memory.get(&key("a")).unwrap();
            Arc::ptr_eq(known.last_good.as_ref().unwrap(), &known.object)
        };
        assert!(shared(&read));
        // A file in which both forms stand, as they did once.
        let mut twice: serde_json::Value = serde_json::from_str(&text).unwrap();
        let known = &mut twice[0][1];
        known["last_good"] = known["object"].clone();
        known.as_object_mut().unwrap().remove("is_good");
        let read: Memory = serde_json::from_value(twice).unwrap();
        assert!(read == memory && shared(&read));
        // The present form is another one.
        memory.update(reading("a=2@f"), at, at, &mut || "1".into());
        let text = serde_json::to_string(&memory).unwrap();
        assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
        assert_eq!(text.matches("version").count(), 2, "{text}");
    }
}
