//! The bound on what checking a value can cost, computed before a schema is
//! accepted.
//!
//! The validator walks the value and, at each of its places, every subschema
//! that leads there; nothing stops it. So the number of subschemas that can
//! meet at one place is bounded here: branches are multiplied along
//! `anyOf`, `allOf`, references and so on, and along `items`, `properties` and
//! their kin down to the deepest value a parser lets in.
//!
//! Think of the schema as a nondeterministic automaton that reads the path to
//! a place in the value. Its number of runs on a path is the number of
//! evaluations of that place. A tree (`children: {items: {$ref: "#"}}`) has
//! one run on every path, and two recursions under *different* names
//! (`left`, `right`) too; two under the same name double at every level and
//! are refused. Exact counting over all paths is expensive, so the path is
//! chosen anew at every step for each subschema: never less than the truth.
//!
//! The second bound is the estimated time per byte of a value, which catches
//! what does not multiply but adds up: five hundred `patternProperties`
//! against sixty thousand keys. Its weights were measured, with margin.
//!
//! Deliberately not here: a budget at run time. The validator has none.

use std::collections::{BTreeMap, HashMap};

use super::SchemaError;
use super::document::{Apply, Document, Node, NodeId};

mod weights;

/// The most evaluations of one place in a value.
const MAX_EVALUATIONS: f64 = 10_000.0;

/// The most estimated time per byte of a value, in nanoseconds: 1 MiB within
/// 100 ms, less what the parser and slower machines need.
const MAX_PER_BYTE: f64 = 80.0;

/// How deep a parsed value can be: `serde_json`'s limit.
const MAX_DEPTH: usize = 128;

/// What computing the bound itself may take, in elementary steps.
const MAX_WORK: usize = 20_000_000;

/// Above this many tests of names against patterns each pattern is taken to
/// match everything.
const MAX_NAME_TESTS: usize = 20_000;

/// How often `unevaluated…` runs what stands beside it: once as its own
/// keyword, once to learn what it evaluated, and once more below that.
const UNEVALUATED_FACTOR: f64 = 3.0;

/// Refuses a schema whose cost cannot be bounded.
pub(super) fn check(document: &Document) -> Result<(), SchemaError> {
    let mut bound = Bound {
        document,
        work: 0,
        states: Vec::new(),
        by_node: HashMap::new(),
    };
    bound.refuse_cycles()?;
    bound.build()?;
    bound.iterate()
}

struct Bound<'a, 'd> {
    document: &'d Document<'a>,
    work: usize,
    states: Vec<State>,
    by_node: HashMap<NodeId, usize>,
}

/// A subschema at which the evaluation of a place begins, with all that it
/// applies to the same place.
struct State {
    node: NodeId,
    /// Evaluations at this place.
    evaluations: f64,
    /// Nanoseconds at this place, however short the value.
    per_visit: f64,
    /// Nanoseconds for each byte of a text at this place.
    per_byte: f64,
    /// Where one step into the value leads.
    steps: Vec<Step>,
}

struct Step {
    /// The fewest bytes a value spends to take this step once more.
    bytes: f64,
    /// What the step itself costs, such as matching a name against patterns.
    cost: f64,
    to: Vec<(usize, f64)>,
}

impl<'a> Bound<'a, '_> {
    fn charge(&mut self, steps: usize, node: NodeId) -> Result<(), SchemaError> {
        self.work += steps;
        if self.work > MAX_WORK {
            return Err(self.refuse(node, "too many subschemas apply to the same place".into()));
        }
        Ok(())
    }

    fn refuse(&self, node: NodeId, reason: String) -> SchemaError {
        SchemaError::TooCostly {
            pointer: self.document.nodes[node].pointer.clone(),
            reason,
        }
    }

    /// A reference that comes back to itself at the same place says nothing,
    /// and several of them are tried in every order.
    fn refuse_cycles(&self) -> Result<(), SchemaError> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let nodes = &self.document.nodes;
        let mut marks = vec![Mark::New; nodes.len()];
        for start in 0..nodes.len() {
            let mut path = vec![(start, 0)];
            if marks[start] != Mark::New {
                continue;
            }
            marks[start] = Mark::Open;
            while let Some((node, next)) = path.pop() {
                let Some(edge) = nodes[node].edges.get(next) else {
                    marks[node] = Mark::Done;
                    continue;
                };
                path.push((node, next + 1));
                if !is_same_place(edge.how) {
                    continue;
                }
                match marks[edge.to] {
                    Mark::Open => {
                        return Err(self.refuse(
                            node,
                            "a reference leads back to itself without descending into the value"
                                .into(),
                        ));
                    }
                    Mark::New => {
                        marks[edge.to] = Mark::Open;
                        path.push((edge.to, 0));
                    }
                    Mark::Done => {}
                }
            }
        }
        Ok(())
    }

    fn build(&mut self) -> Result<(), SchemaError> {
        self.state(0);
        let mut index = 0;
        while index < self.states.len() {
            let node = self.states[index].node;
            let closure = self.closure(node)?;
            let document = self.document;
            let mut evaluations = 0.0;
            let mut per_visit = 0.0;
            let mut per_byte = 0.0;
            for &(member, times) in &closure {
                let (visit, byte) = weights::of(&document.nodes[member]);
                evaluations += times;
                per_visit += times * visit;
                per_byte += times * byte;
            }
            if evaluations > MAX_EVALUATIONS {
                return Err(self.refuse(node, too_many(evaluations)));
            }
            let steps = self.steps(node, &closure)?;
            self.states[index].evaluations = evaluations;
            self.states[index].per_visit = per_visit;
            self.states[index].per_byte = per_byte;
            self.states[index].steps = steps;
            index += 1;
        }
        Ok(())
    }

    fn state(&mut self, node: NodeId) -> usize {
        let states = &mut self.states;
        *self.by_node.entry(node).or_insert_with(|| {
            states.push(State {
                node,
                evaluations: 0.0,
                per_visit: 0.0,
                per_byte: 0.0,
                steps: Vec::new(),
            });
            states.len() - 1
        })
    }

    /// All subschemas that apply to the same place as `start`, each with how
    /// often. There are no cycles, so going by depth-first order is exact.
    fn closure(&mut self, start: NodeId) -> Result<Vec<(NodeId, f64)>, SchemaError> {
        let nodes = &self.document.nodes;
        let mut order = Vec::new();
        let mut seen = BTreeMap::from([(start, 0.0)]);
        let mut path = vec![(start, 0)];
        let mut work = 0;
        while let Some((node, next)) = path.pop() {
            work += 1;
            let Some(edge) = nodes[node].edges.get(next) else {
                order.push(node);
                continue;
            };
            path.push((node, next + 1));
            if is_same_place(edge.how) && seen.insert(edge.to, 0.0).is_none() {
                path.push((edge.to, 0));
            }
        }
        self.charge(work, start)?;
        seen.insert(start, 1.0);
        for &node in order.iter().rev() {
            let times = seen[&node];
            let factor = factor(&nodes[node]);
            for edge in &nodes[node].edges {
                if is_same_place(edge.how)
                    && let Some(count) = seen.get_mut(&edge.to)
                {
                    *count += times * factor;
                }
            }
        }
        Ok(seen.into_iter().collect())
    }

    /// The steps that lead from a place into a value, one for each name or
    /// index that some subschema tells apart, and one for all others.
    fn steps(
        &mut self,
        start: NodeId,
        closure: &[(NodeId, f64)],
    ) -> Result<Vec<Step>, SchemaError> {
        let document = self.document;
        let mut names: BTreeMap<&'a str, Vec<(NodeId, f64)>> = BTreeMap::new();
        let mut indexes: BTreeMap<usize, Vec<(NodeId, f64)>> = BTreeMap::new();
        let mut patterns = Vec::new();
        let mut others = Vec::new();
        let mut key_names = Vec::new();
        let mut ranges = Vec::new();
        let mut member_cost = 0.0;
        for &(node, times) in closure {
            for edge in &document.nodes[node].edges {
                let target = (edge.to, times);
                match edge.how {
                    Apply::Always | Apply::Branch => continue,
                    Apply::Property(name) => names.entry(name).or_default().push(target),
                    Apply::Item(index) => indexes.entry(index).or_default().push(target),
                    Apply::Pattern(pattern) => {
                        member_cost += times * weights::PATTERN_VISIT;
                        patterns.push((pattern, target));
                    }
                    Apply::OtherProperties => others.push((node, target)),
                    Apply::PropertyNames => key_names.push(target),
                    Apply::ItemsFrom(first) => ranges.push((first, target)),
                }
            }
        }
        self.charge(
            names.len() * (patterns.len() + others.len()) + indexes.len() * ranges.len(),
            start,
        )?;
        let test_names = names.len() * patterns.len() <= MAX_NAME_TESTS;
        let patterns: Vec<_> = patterns
            .into_iter()
            .map(|(pattern, target)| {
                let regex = test_names
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
                let declares = |how| matches!(how, Apply::Property(declared) if declared == name);
                if !document.nodes[node]
                    .edges
                    .iter()
                    .any(|edge| declares(edge.how))
                {
                    to.push(target);
                }
            }
            // A declared name can occur once in each object.
            steps.push((weights::MEMBER_BYTES + name.len() as f64, member_cost, to));
        }
        let mut other: Vec<_> = patterns.iter().map(|(_, target)| *target).collect();
        other.extend(others.iter().map(|(_, target)| *target));
        if !other.is_empty() || member_cost > 0.0 {
            steps.push((weights::OTHER_MEMBER_BYTES, member_cost, other));
        }
        if !key_names.is_empty() {
            steps.push((weights::OTHER_MEMBER_BYTES, 0.0, key_names));
        }
        for (&index, to) in &mut indexes {
            for (first, target) in &ranges {
                if index >= *first {
                    to.push(*target);
                }
            }
        }
        let rest = ranges.into_iter().map(|(_, target)| target).collect();
        steps.extend(
            indexes
                .into_values()
                .map(|to| (weights::ITEM_BYTES, 0.0, to)),
        );
        steps.push((weights::ITEM_BYTES, 0.0, rest));
        let mut built = Vec::new();
        for (bytes, cost, to) in steps {
            let mut merged: BTreeMap<usize, f64> = BTreeMap::new();
            for (node, times) in to {
                // A boolean schema costs nothing.
                if document.nodes[node].schema.is_object() {
                    *merged.entry(self.state(node)).or_default() += times;
                }
            }
            if !merged.is_empty() || cost > 0.0 {
                built.push(Step {
                    bytes,
                    cost,
                    to: merged.into_iter().collect(),
                });
            }
        }
        Ok(built)
    }

    /// Goes one step deeper at a time, from the leaves up, until nothing
    /// changes or the deepest value is reached.
    fn iterate(&mut self) -> Result<(), SchemaError> {
        let mut evaluations: Vec<f64> = self.states.iter().map(|state| state.evaluations).collect();
        let mut rates: Vec<f64> = self.states.iter().map(|state| state.per_byte).collect();
        let work: usize = self
            .states
            .iter()
            .flat_map(|state| state.steps.iter().map(|step| 1 + step.to.len()))
            .sum();
        for _ in 0..MAX_DEPTH {
            self.charge(work, 0)?;
            let mut changed = false;
            for index in 0..self.states.len() {
                let state = &self.states[index];
                let mut most = evaluations[index];
                let mut rate = rates[index];
                for step in &state.steps {
                    let sum = |values: &[f64]| -> f64 {
                        step.to.iter().map(|&(to, times)| times * values[to]).sum()
                    };
                    most = most.max(sum(&evaluations));
                    let visits: f64 = step
                        .to
                        .iter()
                        .map(|&(to, times)| times * self.states[to].per_visit)
                        .sum();
                    rate = rate.max((step.cost + visits) / step.bytes).max(sum(&rates));
                }
                // Growth below a hundredth does not matter for the verdict.
                changed |= most > evaluations[index] * 1.001 || rate > rates[index] * 1.001;
                evaluations[index] = most;
                rates[index] = rate;
            }
            if evaluations[0] > MAX_EVALUATIONS {
                let node = self.blame(&evaluations);
                return Err(self.refuse(node, too_many(evaluations[0])));
            }
            if rates[0] > MAX_PER_BYTE {
                let node = self.blame(&rates);
                return Err(self.refuse(
                    node,
                    format!(
                        "about {:.0} ns for each byte of a value; at most {MAX_PER_BYTE} are \
                         accepted",
                        rates[0]
                    ),
                ));
            }
            if !changed {
                break;
            }
        }
        Ok(())
    }

    /// The place to show: down from the root, as long as one part alone is
    /// about as bad as the whole.
    fn blame(&self, values: &[f64]) -> NodeId {
        let mut index = 0;
        for _ in 0..self.states.len() {
            let worst = self.states[index]
                .steps
                .iter()
                .flat_map(|step| &step.to)
                .filter(|&&(to, _)| to != index && values[to] >= values[index] * 0.9)
                .max_by(|left, right| values[left.0].total_cmp(&values[right.0]));
            let Some(&(to, _)) = worst else { break };
            index = to;
        }
        self.states[index].node
    }
}

fn too_many(evaluations: f64) -> String {
    let count = if evaluations < 1e9 {
        format!("{evaluations:.0}")
    } else {
        "more than a billion".into()
    };
    format!(
        "branches and references multiply to {count} evaluations of one place in a value; at \
         most {MAX_EVALUATIONS} are accepted"
    )
}

fn is_same_place(how: Apply) -> bool {
    matches!(how, Apply::Always | Apply::Branch)
}

fn factor(node: &Node) -> f64 {
    let has = |keyword| node.schema.get(keyword).is_some();
    if has("unevaluatedProperties") || has("unevaluatedItems") {
        UNEVALUATED_FACTOR
    } else {
        1.0
    }
}
