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

use std::collections::HashMap;

use super::SchemaError;
use super::dispatch::Dispatch;
use super::document::{Document, NodeId};
use closure::is_same_place;
use steps::Step;

mod closure;
mod patterns;
mod steps;
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

impl Bound<'_, '_> {
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
