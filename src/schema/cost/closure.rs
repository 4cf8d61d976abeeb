//! All that applies to one place in a value, and how often.
//!
//! From a subschema at which the evaluation of a place begins, this follows
//! whatever stays at that place: references, `allOf`, `anyOf` and so on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Bound;
use crate::schema::SchemaError;
use crate::schema::document::{Apply, Node, NodeId};

/// How often a subschema runs at one place.
#[derive(Clone, Copy, Default)]
pub(super) struct Times {
    /// As a validation.
    pub(super) validated: f64,
    /// To learn what it evaluated, for an `unevaluated…` further up.
    pub(super) marked: f64,
}

impl Times {
    pub(super) fn total(self) -> f64 {
        self.validated + self.marked
    }

    fn add(&mut self, other: Self) {
        self.validated += other.validated;
        self.marked += other.marked;
    }
}

pub(super) struct Closure {
    pub(super) members: Vec<Member>,
    pub(super) height: usize,
}

impl Closure {
    /// The branches that are told apart here, or none of them.
    pub(super) fn branches(&self) -> Vec<Option<NodeId>> {
        let branches: BTreeSet<NodeId> = self
            .members
            .iter()
            .flat_map(|member| member.branches.keys().copied())
            .collect();
        if branches.is_empty() {
            vec![None]
        } else {
            branches.into_iter().map(Some).collect()
        }
    }
}

/// A subschema that applies to a place, and how often.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) node: NodeId,
    /// In any case.
    always: Times,
    /// Only below one of the branches that are told apart.
    branches: BTreeMap<NodeId, Times>,
}

impl Member {
    fn never(node: NodeId) -> Self {
        Self {
            node,
            always: Times::default(),
            branches: BTreeMap::new(),
        }
    }

    fn once(node: NodeId) -> Self {
        let mut member = Self::never(node);
        member.always.validated = 1.0;
        member
    }

    fn each(&mut self, change: impl Fn(&mut Times)) {
        change(&mut self.always);
        self.branches.values_mut().for_each(change);
    }

    fn add(&mut self, other: &Self) {
        self.always.add(other.always);
        for (&branch, &times) in &other.branches {
            self.branches.entry(branch).or_default().add(times);
        }
    }

    pub(super) fn with(&self, branch: Option<NodeId>) -> Times {
        let mut times = self.always;
        if let Some(more) = branch.and_then(|branch| self.branches.get(&branch)) {
            times.add(*more);
        }
        times
    }

    pub(super) fn all(&self) -> Times {
        let mut times = self.always;
        for &more in self.branches.values() {
            times.add(more);
        }
        times
    }
}

impl Bound<'_, '_> {
    /// All subschemas that apply to the same place as `start`, each with how
    /// often. There are no cycles, so going by depth-first order is exact.
    pub(super) fn closure(&mut self, start: NodeId) -> Result<Closure, SchemaError> {
        let nodes = &self.document.nodes;
        let mut order = Vec::new();
        let mut seen = BTreeSet::from([start]);
        let mut path = vec![(start, 0)];
        let mut work = 0;
        while let Some((node, next)) = path.pop() {
            work += 1;
            let Some(edge) = nodes[node].edges.get(next) else {
                order.push(node);
                continue;
            };
            path.push((node, next + 1));
            if is_same_place(edge.how) && seen.insert(edge.to) {
                path.push((edge.to, 0));
            }
        }
        self.charge(work, start)?;
        let mut members = BTreeMap::from([(start, Member::once(start))]);
        let mut heights = HashMap::from([(start, 1)]);
        let mut group = None;
        let mut work = 0;
        for &node in order.iter().rev() {
            let (Some(member), Some(&height)) = (members.get_mut(&node), heights.get(&node)) else {
                continue;
            };
            // Each of the two walks over what it evaluated, once a validation.
            let walks = unevaluated(&nodes[node], &seen, nodes);
            member.each(|times| times.marked += times.validated * walks);
            let member = member.clone();
            work += (1 + member.branches.len()) * nodes[node].edges.len();
            for edge in &nodes[node].edges {
                if !is_same_place(edge.how) {
                    continue;
                }
                let mut share = member.clone();
                share.each(|times| {
                    if edge.how == Apply::Branch {
                        times.validated += times.marked;
                    }
                });
                // One group of branches is told apart at a place, the first.
                if let Some(owner) = self.dispatch.owner(edge.to)
                    && share.branches.is_empty()
                    && *group.get_or_insert(owner) == owner
                {
                    let always = std::mem::take(&mut share.always);
                    share.branches.insert(edge.to, always);
                }
                members
                    .entry(edge.to)
                    .or_insert_with(|| Member::never(edge.to))
                    .add(&share);
                let deepest = heights.entry(edge.to).or_default();
                *deepest = (*deepest).max(height + 1);
            }
        }
        self.charge(work, start)?;
        Ok(Closure {
            members: members.into_values().collect(),
            height: heights.into_values().max().unwrap_or_default(),
        })
    }
}

/// How often one validation of a node walks what its branches evaluated.
///
/// `unevaluatedProperties` beside nothing but references and `allOf` needs no
/// walk: the validator knows the names beforehand.
fn unevaluated(node: &Node, closure: &BTreeSet<NodeId>, nodes: &[Node]) -> f64 {
    let has = |keyword| node.schema.get(keyword).is_some();
    let is_static = || {
        closure.iter().all(|&other| {
            let schema = &nodes[other].schema;
            let own = std::ptr::eq(*schema, node.schema);
            let varies = [
                "anyOf",
                "oneOf",
                "if",
                "dependentSchemas",
                "$dynamicRef",
                "$recursiveRef",
            ];
            (own || schema.get("unevaluatedProperties").is_none())
                && varies.iter().all(|keyword| schema.get(keyword).is_none())
        })
    };
    let properties = has("unevaluatedProperties") && !is_static();
    f64::from(u8::from(properties)) + f64::from(u8::from(has("unevaluatedItems")))
}

pub(super) fn is_same_place(how: Apply) -> bool {
    matches!(how, Apply::Same | Apply::Branch)
}
