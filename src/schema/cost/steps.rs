//! Where one step into a value leads: from the subschemas at an object or an
//! array to those at its members or elements.

use std::collections::BTreeMap;

use super::closure::Times;
use super::{Bound, weights};
use crate::schema::SchemaError;
use crate::schema::document::{Apply, Edge, NodeId};

/// Above this many tests of names against patterns each pattern is taken to
/// match everything.
const MAX_NAME_TESTS: usize = 20_000;

pub(super) struct Step {
    /// Whether a value can take it only once: a declared name or index.
    pub(super) is_once: bool,
    /// The fewest bytes a value spends to take this step once more.
    pub(super) bytes: f64,
    /// What the step itself costs, such as matching a name against patterns.
    pub(super) cost: f64,
    pub(super) to: Vec<(usize, f64)>,
}

impl<'a> Bound<'a, '_> {
    /// The steps that lead into an object: one for each name that some
    /// subschema tells apart, and one for all others.
    pub(super) fn steps_by_name(
        &mut self,
        start: NodeId,
        closure: &[(NodeId, Times)],
    ) -> Result<Vec<Step>, SchemaError> {
        let document = self.document;
        let mut names: BTreeMap<&'a str, Vec<(NodeId, f64)>> = BTreeMap::new();
        let mut patterns = Vec::new();
        let mut others = Vec::new();
        let mut key_names = Vec::new();
        let mut member_cost = 0.0;
        for &(node, times) in closure {
            let target = |edge: &Edge| (edge.to, times.validated);
            let mut looks = 0.0;
            for edge in &document.nodes[node].edges {
                match edge.how {
                    Apply::Property(name) => names.entry(name).or_default().push(target(edge)),
                    Apply::Pattern(pattern) => {
                        member_cost += times.total() * weights::PATTERN_NAME;
                        patterns.push((pattern, target(edge)));
                    }
                    Apply::OtherProperties => others.push((node, target(edge))),
                    Apply::UnevaluatedProperties => others.push((node, (edge.to, times.total()))),
                    Apply::PropertyNames => key_names.push(target(edge)),
                    _ => continue,
                }
                looks = weights::MEMBER_VISIT;
            }
            member_cost += times.total() * looks;
        }
        if member_cost > 0.0 {
            member_cost += weights::COLD_MEMBER;
        }
        let tests = names.len() * patterns.len();
        self.charge(tests + names.len() * others.len(), start)?;
        let patterns: Vec<_> = patterns
            .into_iter()
            .map(|(pattern, target)| {
                let regex = (tests <= MAX_NAME_TESTS)
                    .then(|| regex::Regex::new(pattern).ok())
                    .flatten();
                (regex, target)
            })
            .collect();
        let mut steps = Vec::new();
        for (name, mut to) in names {
            for (regex, target) in &patterns {
                if regex.as_ref().is_none_or(|regex| regex.is_match(name)) {
                    to.push(*target);
                }
            }
            for &(node, target) in &others {
                let properties = document.nodes[node].schema.get("properties");
                if properties.is_none_or(|properties| properties.get(name).is_none()) {
                    to.push(target);
                }
            }
            let bytes = weights::MEMBER_BYTES + name.len() as f64;
            steps.extend(self.step(true, bytes, member_cost, to));
        }
        let mut other: Vec<_> = patterns.iter().map(|(_, target)| *target).collect();
        other.extend(others.iter().map(|(_, target)| *target));
        steps.extend(self.step(false, weights::OTHER_MEMBER_BYTES, member_cost, other));
        steps.extend(self.step(false, weights::OTHER_MEMBER_BYTES, 0.0, key_names));
        Ok(steps)
    }

    /// The steps that lead into an array: one for each index that some
    /// subschema tells apart, and one for all others.
    pub(super) fn steps_by_index(
        &mut self,
        start: NodeId,
        closure: &[(NodeId, Times)],
    ) -> Result<Vec<Step>, SchemaError> {
        let mut indexes: BTreeMap<usize, Vec<(NodeId, f64)>> = BTreeMap::new();
        let mut ranges = Vec::new();
        for &(node, times) in closure {
            for edge in &self.document.nodes[node].edges {
                let target = (edge.to, times.validated);
                match edge.how {
                    Apply::Item(index) => indexes.entry(index).or_default().push(target),
                    Apply::ItemsFrom(first) => ranges.push((first, target)),
                    Apply::UnevaluatedItems => ranges.push((0, (edge.to, times.total()))),
                    _ => {}
                }
            }
        }
        self.charge(indexes.len() * ranges.len(), start)?;
        let mut steps = Vec::new();
        for (index, mut to) in indexes {
            let reaches = |(first, _): &&(usize, _)| *first <= index;
            to.extend(ranges.iter().filter(reaches).map(|(_, target)| *target));
            steps.extend(self.step(true, weights::ITEM_BYTES, 0.0, to));
        }
        let rest = ranges.into_iter().map(|(_, target)| target).collect();
        steps.extend(self.step(false, weights::ITEM_BYTES, 0.0, rest));
        Ok(steps)
    }

    /// A step, unless it leads nowhere and costs nothing.
    fn step(
        &mut self,
        is_once: bool,
        bytes: f64,
        cost: f64,
        to: Vec<(NodeId, f64)>,
    ) -> Option<Step> {
        let mut merged: BTreeMap<usize, f64> = BTreeMap::new();
        for (node, times) in to {
            // A boolean schema costs nothing.
            if self.document.nodes[node].schema.is_object() && times > 0.0 {
                *merged.entry(self.state(node)).or_default() += times;
            }
        }
        (!merged.is_empty() || cost > 0.0).then(|| Step {
            is_once,
            bytes,
            cost,
            to: merged.into_iter().collect(),
        })
    }
}
