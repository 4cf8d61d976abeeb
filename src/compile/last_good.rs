//! What is broken is served in its last good form, if there was one.
//!
//! Whoever remembers objects says which of them have such a form and hands the objects in; what is
//! told of an object is always about its present form. Keeping the forms is not here.

use std::collections::{BTreeMap, BTreeSet};

use super::{Compiled, Detail, State, Verdict};
use crate::api::ObjectReference;

/// What a compilation says of objects.
pub trait Judged {
    /// One for each object.
    fn verdicts(&self) -> &[Verdict];

    /// Says these instead.
    fn set_verdicts(&mut self, verdicts: Vec<Verdict>);
}

impl Judged for Compiled {
    fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    fn set_verdicts(&mut self, verdicts: Vec<Verdict>) {
        self.verdicts = verdicts;
    }
}

/// What is served now, and what there is to say about it.
#[derive(Debug)]
pub struct WithLastGood<T> {
    /// What to serve, and a verdict on the present form of each object.
    pub compiled: T,
    /// Objects that are served in their last good form because the present one is broken.
    pub served_as_before: BTreeSet<ObjectReference>,
    /// Objects whose present form is good: from now on it is the last good one.
    pub good: BTreeSet<ObjectReference>,
}

/// Compiles the present forms, and again with the last good form of each object that is broken and
/// has one. `compile` compiles with the last good forms of the objects it is given;
/// `has_former_form` says whether the last good form of an object is there and is not the present
/// one. Where it is the present one, what the object refers to has gone.
pub fn with_last_good<T: Judged>(
    compile: impl Fn(&BTreeSet<ObjectReference>) -> T,
    has_former_form: impl Fn(&ObjectReference) -> bool,
) -> WithLastGood<T> {
    let mut served_as_before = BTreeSet::new();
    let mut good = BTreeSet::new();
    let mut compiled = compile(&served_as_before);
    for verdict in compiled.verdicts() {
        let key = verdict.kind.reference(&verdict.name);
        if verdict.state != State::Invalid {
            good.insert(key);
        } else if has_former_form(&key) {
            served_as_before.insert(key);
        }
    }
    if !served_as_before.is_empty() {
        let mut served = compile(&served_as_before);
        let verdicts = merge(
            compiled.verdicts(),
            served.verdicts().to_vec(),
            &served_as_before,
        );
        served.set_verdicts(verdicts);
        compiled = served;
    }
    WithLastGood {
        compiled,
        served_as_before,
        good,
    }
}

/// The verdicts on the present forms.
fn merge(
    present: &[Verdict],
    served: Vec<Verdict>,
    as_before: &BTreeSet<ObjectReference>,
) -> Vec<Verdict> {
    let present: BTreeMap<ObjectReference, &Verdict> = present
        .iter()
        .map(|verdict| (verdict.kind.reference(&verdict.name), verdict))
        .collect();
    let merged = served.into_iter().map(|verdict| {
        let key = verdict.kind.reference(&verdict.name);
        match present.get(&key) {
            // What it is served at is the former form's, what is wrong the present one's.
            Some(broken) if as_before.contains(&key) => Verdict {
                detail: match (&verdict.detail, &broken.detail) {
                    (Detail::None, other) => other.clone(),
                    (former, _) => former.clone(),
                },
                ..(*broken).clone()
            },
            _ => verdict,
        }
    });
    merged.collect()
}
