//! Reads the manifests and says what is wrong with them, each time at most once.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::memory::{Found, Reading};
use super::object::Object;
use super::watch;
use crate::api::{ObjectReference, Problem, Severity};
use crate::event::ObjectName;
use crate::manifest::{self, Manifests, PlacedProblem};

/// What one reading of all files gave.
pub struct Files {
    /// The places of the objects' fields, and what is wrong. The objects themselves are in `reading`
    /// alone: there may be many.
    pub manifests: Manifests,
    /// The objects, as memory takes them.
    pub reading: Reading,
    /// Files and folders that could not be read, as sentences.
    pub unreadable: Vec<String>,
    /// How many files were read.
    pub count: usize,
}

/// Reads all manifests.
pub fn read(paths: &[PathBuf]) -> Files {
    let read = manifest::read_paths(paths);
    let count = read.sources.len();
    let loaded: Vec<_> = read.sources.iter().map(manifest::Source::load).collect();
    let broken_file = loaded.iter().any(|file| file.is_broken);
    let mut manifests = Manifests::new(loaded);
    let unreadable: Vec<String> = read
        .errors
        .iter()
        .map(|error| format!("{error}: {}", error.source))
        .collect();
    let resources = std::mem::take(&mut manifests.resources);
    let files: HashMap<&ObjectReference, &str> = manifests
        .objects()
        .map(|(reference, place)| (reference, &*place.file))
        .collect();
    let file_of = |reference: &ObjectReference| {
        let file = files.get(reference).copied().unwrap_or_default();
        Path::new(file).to_owned()
    };
    let broken = resources
        .invalid
        .iter()
        .map(|key| (key.clone(), file_of(key)))
        .collect();
    let found = Object::all_of(resources)
        .into_iter()
        .map(|(key, object)| Found {
            file: file_of(&key),
            key,
            object,
        })
        .collect();
    let incomplete = broken_file || !unreadable.is_empty() || watch::checkout_under_way(paths);
    Files {
        reading: Reading {
            found,
            broken,
            incomplete,
        },
        manifests,
        unreadable,
        count,
    }
}

impl Files {
    /// The webhook paths of types that are there but broken.
    pub fn unusable_paths(&self) -> Vec<(ObjectName, String)> {
        let paths = self.manifests.unusable_paths.iter();
        paths
            .map(|(object, path)| {
                let name = ObjectName::new(&object.namespace, &object.name);
                (name, format!("/{}/{path}", object.namespace))
            })
            .collect()
    }
}

/// Prints problems that were not there the last time.
#[derive(Default)]
pub struct Told {
    last: BTreeSet<String>,
}

impl Told {
    /// What is new to tell about files and objects, worst first; and remembers it.
    pub fn news(
        &mut self,
        files: &Files,
        verdicts: impl Iterator<Item = Problem>,
    ) -> Vec<(Severity, String)> {
        let placed = files.manifests.placed(verdicts);
        let mut all: Vec<(Severity, String)> = files
            .unreadable
            .iter()
            .map(|text| (Severity::Error, format!("error: {text}")))
            .collect();
        all.extend(
            (files.manifests.problems.iter())
                .chain(&placed)
                .map(|placed: &PlacedProblem| (placed.problem.severity, placed.to_string())),
        );
        all.sort();
        all.dedup();
        let texts = all.iter().map(|(_, text)| text.clone()).collect();
        let before = std::mem::replace(&mut self.last, texts);
        all.retain(|(severity, text)| *severity != Severity::Note && !before.contains(text));
        all
    }

    /// Whether there was something wrong at the last look.
    pub fn anything(&self) -> bool {
        !self.last.is_empty()
    }
}
