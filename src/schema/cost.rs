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

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::SchemaError;
use super::dispatch::Dispatch;
use super::document::{Apply, Document, Edge, Node, NodeId};

mod patterns;
mod weights;

/// The most evaluations of one place in a value.
const MAX_EVALUATIONS: f64 = 10_000.0;

/// The most estimated time per byte of a value, in nanoseconds: 1 MiB within
/// 100 ms, less what the parser and slower machines need.
const MAX_PER_BYTE: f64 = 90.0;

/// What the places that occur once in a value may cost together, in
/// nanoseconds, to be left out of the time per byte. Far below 10 ms.
const MAX_ONCE: f64 = 1_000_000.0;

/// How deep a parsed value can be: `serde_json`'s limit.
const MAX_DEPTH: usize = 128;

/// What computing the bound itself may take, in elementary steps.
const MAX_WORK: usize = 20_000_000;

/// Above this many tests of names against patterns each pattern is taken to
/// match everything.
const MAX_NAME_TESTS: usize = 20_000;

/// How many subschemas may lead into each other, from the root to the deepest
/// place of the deepest value: the validator recurses, and a thread has a
/// stack of 2 MiB.
const MAX_RECURSION: usize = 1_000;

/// The same for one place, where compiling recurses with larger frames.
const MAX_HEIGHT: usize = 400;

/// Refuses a schema whose cost cannot be bounded, and tells how many
/// evaluations one place can have at most.
pub(super) fn check(document: &Document, dispatch: &Dispatch) -> Result<usize, SchemaError> {
    let mut bound = Bound {
        document,
        dispatch,
        work: 0,
        states: Vec::new(),
        by_node: HashMap::new(),
    };
    bound.refuse_cycles()?;
    bound.build()?;
    patterns::check(document)?;
    bound.iterate()
}

struct Bound<'a, 'd> {
    document: &'d Document<'a>,
    dispatch: &'d Dispatch<'a>,
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
    /// Nanoseconds at this place when the value is a number, `true` or `null`.
    per_scalar: f64,
    /// Nanoseconds at this place for any other value, however short.
    per_visit: f64,
    /// Nanoseconds for each byte of a text at this place.
    per_byte: f64,
    /// Nanoseconds for each byte of the value and all that is in it.
    per_byte_below: f64,
    /// The longest chain of subschemas that apply to this place.
    height: usize,
    /// Where one step into the value leads.
    steps: Vec<Step>,
}

struct Step {
    /// Whether a value can take it only once: a declared name or index.
    is_once: bool,
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
            let state = &mut self.states[index];
            state.height = closure.height;
            state.per_scalar = weights::COLD_SCALAR;
            state.per_visit = weights::COLD_VISIT;
            for member in &closure.members {
                let weight = weights::of(&document.nodes[member.node]);
                let times = member.all().total();
                state.evaluations += times;
                state.per_scalar += times * weight.scalar;
                state.per_visit += times * weight.visit;
                state.per_byte += times * weight.text_byte;
                state.per_byte_below += times * weight.byte_below;
            }
            let evaluations = state.evaluations;
            if closure.height > MAX_HEIGHT {
                let reason =
                    format!("more than {MAX_HEIGHT} subschemas lead to each other at one place");
                return Err(self.refuse(node, reason));
            }
            if evaluations > MAX_EVALUATIONS {
                return Err(self.refuse(node, too_many(evaluations)));
            }
            // Of branches that are told apart one is walked into, with what
            // applies in any case; of an array all.
            let mut steps = Vec::new();
            for branch in closure.branches() {
                let members: Vec<_> = closure
                    .members
                    .iter()
                    .map(|member| (member.node, member.with(branch)))
                    .collect();
                self.charge(members.len(), node)?;
                steps.extend(self.steps_by_name(node, &members)?);
            }
            let members: Vec<_> = closure
                .members
                .iter()
                .map(|member| (member.node, member.all()))
                .collect();
            steps.extend(self.steps_by_index(node, &members)?);
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
                per_scalar: 0.0,
                per_visit: 0.0,
                per_byte: 0.0,
                per_byte_below: 0.0,
                height: 0,
                steps: Vec::new(),
            });
            states.len() - 1
        })
    }

    /// All subschemas that apply to the same place as `start`, each with how
    /// often. There are no cycles, so going by depth-first order is exact.
    fn closure(&mut self, start: NodeId) -> Result<Closure, SchemaError> {
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

    /// The steps that lead into an object: one for each name that some
    /// subschema tells apart, and one for all others.
    fn steps_by_name(
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
    fn steps_by_index(
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

    /// Goes one step deeper at a time, from the leaves up, until nothing
    /// changes or the deepest value is reached.
    fn iterate(&mut self) -> Result<usize, SchemaError> {
        let mut grades: Vec<Grade> = self.states.iter().map(Grade::of).collect();
        let work: usize = self
            .states
            .iter()
            .flat_map(|state| state.steps.iter().map(|step| 1 + step.to.len()))
            .sum();
        for _ in 0..MAX_DEPTH {
            self.charge(work, 0)?;
            let deeper: Vec<Grade> = (0..self.states.len())
                .map(|index| self.deepen(index, &grades))
                .collect();
            let changed = deeper
                .iter()
                .zip(&grades)
                .any(|(deeper, before)| deeper.is_above(before));
            grades = deeper;
            let root = &grades[0];
            if root.height > MAX_RECURSION {
                let reason = format!(
                    "subschemas lead into each other more than {MAX_RECURSION} levels deep"
                );
                return Err(self.refuse(0, reason));
            }
            if root.evaluations > MAX_EVALUATIONS {
                let node = self.blame(|state| grades[state].evaluations);
                return Err(self.refuse(node, too_many(root.evaluations)));
            }
            let rate = if root.once_cost <= MAX_ONCE {
                root.once_rate
            } else {
                root.rate
            };
            if rate > MAX_PER_BYTE {
                let node = self.blame(|state| grades[state].rate);
                let reason = format!(
                    "about {rate:.0} ns for each byte of a value; at most {MAX_PER_BYTE} are \
                     accepted"
                );
                return Err(self.refuse(node, reason));
            }
            if !changed {
                break;
            }
        }
        Ok(grades[0].evaluations.ceil() as usize)
    }

    /// The grade of a state, given those of the states one step below.
    fn deepen(&self, index: usize, grades: &[Grade]) -> Grade {
        let state = &self.states[index];
        let Grade {
            mut evaluations,
            mut rate,
            mut once_rate,
            mut height,
            ..
        } = grades[index];
        let mut once_cost = 0.0;
        for step in &state.steps {
            let sum = |value: &dyn Fn(usize) -> f64| -> f64 {
                step.to.iter().map(|&(to, times)| times * value(to)).sum()
            };
            evaluations = evaluations.max(sum(&|to| grades[to].evaluations));
            let scalar = step.cost + sum(&|to| self.states[to].per_scalar);
            // `""`, `[]` and `{}` have a byte more than `1`.
            let visit = step.cost + sum(&|to| self.states[to].per_visit);
            let local = (scalar / step.bytes).max(visit / (step.bytes + 1.0));
            let repeated = local.max(sum(&|to| grades[to].rate));
            rate = rate.max(state.per_byte_below + repeated);
            if step.is_once {
                once_cost += scalar.max(visit) + sum(&|to| grades[to].once_cost);
                once_rate = once_rate.max(state.per_byte_below + sum(&|to| grades[to].once_rate));
            } else {
                once_rate = once_rate.max(state.per_byte_below + repeated);
            }
            let deepest = step.to.iter().map(|&(to, _)| grades[to].height).max();
            height = height.max(state.height + deepest.unwrap_or_default());
        }
        Grade {
            evaluations,
            rate,
            once_rate,
            once_cost: once_cost.max(grades[index].once_cost),
            height,
        }
    }

    /// The place to show: down from the root, as long as one part alone is
    /// about as bad as the whole.
    fn blame(&self, value: impl Fn(usize) -> f64) -> NodeId {
        let mut index = 0;
        for _ in 0..self.states.len() {
            let worst = self.states[index]
                .steps
                .iter()
                .flat_map(|step| &step.to)
                .filter(|&&(to, _)| to != index && value(to) >= value(index) * 0.9)
                .max_by(|left, right| value(left.0).total_cmp(&value(right.0)));
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
    matches!(how, Apply::Same | Apply::Branch)
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

/// What is known of a state and everything below it.
#[derive(Clone, Copy)]
struct Grade {
    /// The most evaluations of one place.
    evaluations: f64,
    /// The most nanoseconds for each byte.
    rate: f64,
    /// The same if this place occurs once, which leaves out what declared
    /// names lead to: that is `once_cost`, in nanoseconds, however long the
    /// value.
    once_rate: f64,
    once_cost: f64,
    /// The longest chain of subschemas, down to the deepest place.
    height: usize,
}

impl Grade {
    fn of(state: &State) -> Self {
        let rate = state.per_byte + state.per_byte_below;
        Self {
            evaluations: state.evaluations,
            rate,
            once_rate: rate,
            once_cost: 0.0,
            height: state.height,
        }
    }

    /// Growth below a thousandth does not matter for the verdict.
    fn is_above(&self, before: &Self) -> bool {
        self.evaluations > before.evaluations * 1.001
            || self.rate > before.rate * 1.001
            || self.once_rate > before.once_rate * 1.001
            || self.once_cost > before.once_cost * 1.001
            || self.height > before.height
    }
}

/// How often a subschema runs at one place.
#[derive(Clone, Copy, Default)]
struct Times {
    /// As a validation.
    validated: f64,
    /// To learn what it evaluated, for an `unevaluated…` further up.
    marked: f64,
}

impl Times {
    fn total(self) -> f64 {
        self.validated + self.marked
    }

    fn add(&mut self, other: Self) {
        self.validated += other.validated;
        self.marked += other.marked;
    }
}

struct Closure {
    members: Vec<Member>,
    height: usize,
}

impl Closure {
    /// The branches that are told apart here, or none of them.
    fn branches(&self) -> Vec<Option<NodeId>> {
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
struct Member {
    node: NodeId,
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

    fn with(&self, branch: Option<NodeId>) -> Times {
        let mut times = self.always;
        if let Some(more) = branch.and_then(|branch| self.branches.get(&branch)) {
            times.add(*more);
        }
        times
    }

    fn all(&self) -> Times {
        let mut times = self.always;
        for &more in self.branches.values() {
            times.add(more);
        }
        times
    }
}
