//! Event kinds: `oneOf` branches that a constant tells apart.
//!
//! The usual schema of a stream of events has a branch for each kind, and
//! each branch fixes a required member (`type`, `kind`) to its own text. One
//! branch at most can accept a value, but the validator may still try them
//! all, and the members before the telling one (`data`) with them: thirty
//! kinds, thirty walks over the same list.
//!
//! So such branches are compiled with their constant in front: `B` becomes
//! `{required: [key], properties: {key: …}, allOf: [B]}`, which means the same
//! and stops early, as the validator tries `properties` before `allOf`. The
//! cost bound then counts one branch instead of all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::document::{Apply, Document, NodeId};

/// With fewer branches there is nothing to gain.
const MIN_BRANCHES: usize = 3;

/// How far references and `allOf` are followed to find the constant.
const MAX_DEPTH: usize = 8;

/// All branches of a document that are told apart, each with the subschema
/// whose `oneOf` or `anyOf` it is in.
#[derive(Default)]
pub(super) struct Dispatch<'a> {
    owners: HashMap<NodeId, NodeId>,
    branches: Vec<Branch<'a>>,
}

struct Branch<'a> {
    pointer: String,
    key: &'a str,
    value: &'a Value,
}

impl<'a> Dispatch<'a> {
    pub(super) fn find(document: &Document<'a>) -> Self {
        let mut dispatch = Self::default();
        for (owner, node) in document.nodes.iter().enumerate() {
            for keyword in ["oneOf", "anyOf"] {
                let branches: Vec<NodeId> = node
                    .edges
                    .iter()
                    .filter(|edge| edge.keyword == keyword)
                    .map(|edge| edge.to)
                    .collect();
                // A branch that something refers to must stay where it is.
                let is_free = |branch: &NodeId| {
                    !document.is_referred_to_below(&document.nodes[*branch].pointer)
                };
                if branches.len() < MIN_BRANCHES || !branches.iter().all(is_free) {
                    continue;
                }
                let Some((key, values)) = telling(document, &branches) else {
                    continue;
                };
                for (branch, value) in branches.into_iter().zip(values) {
                    dispatch.owners.insert(branch, owner);
                    dispatch.branches.push(Branch {
                        pointer: document.nodes[branch].pointer.clone(),
                        key,
                        value,
                    });
                }
            }
        }
        dispatch
    }

    /// The subschema whose branch this is, if it is told apart.
    pub(super) fn owner(&self, branch: NodeId) -> Option<NodeId> {
        self.owners.get(&branch).copied()
    }

    /// The schema with the constants in front, if there are any.
    pub(super) fn rewrite(&self, schema: &Value) -> Option<Value> {
        if self.branches.is_empty() {
            return None;
        }
        let mut schema = schema.clone();
        // Inner branches first, as wrapping moves what is below.
        let mut branches: Vec<_> = self.branches.iter().collect();
        branches.sort_by_key(|branch| std::cmp::Reverse(branch.pointer.len()));
        for branch in branches {
            if let Some(place) = schema.pointer_mut(&branch.pointer) {
                let inner = place.take();
                *place = json!({
                    "required": [branch.key],
                    "properties": {branch.key: branch.value},
                    "allOf": [inner],
                });
            }
        }
        Some(schema)
    }
}

/// The member that tells all branches apart, and its schema in each.
fn telling<'a>(document: &Document<'a>, branches: &[NodeId]) -> Option<(&'a str, Vec<&'a Value>)> {
    let pins: Vec<Pins> = branches
        .iter()
        .map(|&branch| {
            let mut pins = Pins::default();
            pins.collect(document, branch, 0);
            pins
        })
        .collect();
    let first = pins.first()?;
    first.constants.keys().find_map(|&key| {
        let mut seen = BTreeSet::new();
        let schemas = pins
            .iter()
            .map(|pins| {
                let schema = pins
                    .constants
                    .get(key)
                    .filter(|_| pins.required.contains(key))?;
                constants(schema)?
                    .into_iter()
                    .all(|text| seen.insert(text))
                    .then_some(*schema)
            })
            .collect::<Option<Vec<_>>>()?;
        Some((key, schemas))
    })
}

/// What a branch certainly demands of an object.
#[derive(Default)]
struct Pins<'a> {
    required: BTreeSet<&'a str>,
    constants: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Pins<'a> {
    fn collect(&mut self, document: &Document<'a>, id: NodeId, depth: usize) {
        let node = &document.nodes[id];
        if depth > MAX_DEPTH {
            return;
        }
        if !document.ignores_siblings(node.schema) {
            let required = node.schema.get("required").and_then(Value::as_array);
            self.required
                .extend(required.into_iter().flatten().filter_map(Value::as_str));
        }
        for edge in &node.edges {
            match edge.how {
                Apply::Property(name) => {
                    let schema = document.nodes[edge.to].schema;
                    if constants(schema).is_some() {
                        self.constants.entry(name).or_insert(schema);
                    }
                }
                _ if matches!(edge.keyword, "$ref" | "allOf") => {
                    self.collect(document, edge.to, depth + 1);
                }
                _ => {}
            }
        }
    }
}

/// The texts a subschema that says nothing else admits.
fn constants(schema: &Value) -> Option<Vec<&str>> {
    let object: &Map<String, Value> = schema.as_object()?;
    let is_plain = object.keys().all(|keyword| {
        matches!(
            keyword.as_str(),
            "const"
                | "enum"
                | "type"
                | "title"
                | "description"
                | "default"
                | "examples"
                | "$comment"
        )
    });
    if !is_plain {
        return None;
    }
    match (object.get("const"), object.get("enum")) {
        (Some(value), None) => value.as_str().map(|text| vec![text]),
        (None, Some(Value::Array(values))) => values.iter().map(Value::as_str).collect(),
        _ => None,
    }
}
