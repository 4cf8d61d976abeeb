//! Manifests: YAML documents with the place of every field.
//!
//! [`load`] turns one file's text into typed objects and says everything that
//! is wrong with them, at `file:line:column`, as an API server would and with
//! the traps of YAML besides. [`Manifests`] puts files together. Both are pure;
//! [`read_paths`] is the only part that touches a disk, and serves `check` and
//! `dev` alike.
//!
//! Deliberately not here: what objects mean to each other and whether their
//! expressions, templates and schemas are right. That is `crate::compile`,
//! whose problems find their places here ([`Manifests::place`]).

mod document;
mod files;
mod kinds;
mod load;
mod locate;
mod node;
mod place;
mod scalar;
mod structure;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, btree_map::Entry};

pub use files::{ReadError, ReadFiles, Source, is_manifest, read_paths};
pub use load::{DEFAULT_NAMESPACE, LoadedFile, MAX_FILE_BYTES, PlacedProblem, load};
pub use place::{Mark, Place};

use crate::api::{ObjectReference, Problem, Resources, Severity};

/// All files together.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The objects that are right as far as manifests alone can tell.
    pub resources: Resources,
    /// What is wrong, file by file.
    pub problems: Vec<PlacedProblem>,
    /// The webhook paths of types that are invalid, as far as they can be made out.
    pub unusable_paths: Vec<(ObjectReference, String)>,
    objects: BTreeMap<ObjectReference, (Place, locate::LoadedObject)>,
}

impl Manifests {
    /// Puts files together. An object that two of them hold is an error at the second place, and the first counts.
    pub fn new(files: impl IntoIterator<Item = LoadedFile>) -> Self {
        let mut manifests = Self::default();
        for LoadedFile {
            file,
            resources,
            problems,
            unusable_paths,
            is_broken: _,
            objects,
        } in files
        {
            manifests.unusable_paths.extend(unusable_paths);
            manifests.problems.extend(problems);
            let mut resources = resources;
            for object in objects {
                let place = Place::at(file.clone(), object.mark);
                match manifests.objects.entry(object.reference.clone()) {
                    Entry::Vacant(vacant) => {
                        vacant.insert((place, object));
                    }
                    Entry::Occupied(first) => {
                        let reference = first.key();
                        let message = format!("is declared twice; first at {}", first.get().0);
                        manifests.problems.push(PlacedProblem {
                            place: Some(place),
                            problem: Problem::error(reference, "", message),
                        });
                        resources.remove_last(reference);
                    }
                }
            }
            manifests.resources.extend(resources);
        }
        manifests
    }

    /// Where a problem of an object stands: the field, or the nearest thing around it that was written.
    #[must_use]
    pub fn place(&self, problem: &Problem) -> Option<Place> {
        let (place, object) = self.objects.get(problem.object.as_ref()?)?;
        Some(Place {
            file: place.file.clone(),
            mark: Some(object.mark_of(&problem.path, problem.offset)),
        })
    }

    /// Gives problems that were found elsewhere their places.
    pub fn placed(&self, problems: impl IntoIterator<Item = Problem>) -> Vec<PlacedProblem> {
        problems
            .into_iter()
            .map(|problem| PlacedProblem {
                place: self.place(&problem),
                problem,
            })
            .collect()
    }

    /// Whether anything is wrong so that it cannot work.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|placed| placed.problem.severity == Severity::Error)
    }

    /// Every object that was written, also those that are wrong, and where it begins.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectReference, &Place)> {
        self.objects
            .iter()
            .map(|(reference, (place, _))| (reference, place))
    }
}
