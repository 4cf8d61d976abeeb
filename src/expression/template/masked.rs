//! Templates for other eyes than those of whom they are sent to: some values are replaced by a text
//! that stands for them.
//!
//! It works by placeholder and not by value, so that whatever an expression made of a secret is
//! replaced with it. Nothing here fails: what cannot be had is replaced as well.

use serde_json::Value as Json;

use super::tree::Node;
use super::{Piece, Placeholder, Position, Template, TreeTemplate};
use crate::expression::functions::display;
use crate::expression::{Budget, EvaluationError, Value, Variables};

/// Which placeholders are replaced, and by what.
pub trait Mask {
    /// What stands for the value of a placeholder; `None`: the value itself.
    fn instead_of(&self, placeholder: &Placeholder) -> Option<String>;

    /// What stands for a value that could not be had, or not in this position.
    fn failed(&self, placeholder: &Placeholder, error: &EvaluationError) -> String;
}

impl Template {
    /// The template as text, with what `mask` replaces as it is, whatever the position.
    pub fn render_masked(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
        mask: &dyn Mask,
    ) -> String {
        let mut rendered = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => rendered.push_str(text),
                Piece::Placeholder(placeholder) => {
                    if let Some(text) = mask.instead_of(placeholder) {
                        rendered.push_str(&text);
                        continue;
                    }
                    let before = rendered.len();
                    let appended = self.append(placeholder, variables, budget, &mut rendered);
                    if let Err(error) = appended {
                        rendered.truncate(before);
                        rendered.push_str(&mask.failed(placeholder, &error));
                    }
                }
            }
        }
        rendered
    }

    fn append(
        &self,
        placeholder: &Placeholder,
        variables: &dyn Variables,
        budget: &mut Budget,
        rendered: &mut String,
    ) -> Result<(), EvaluationError> {
        let value = placeholder.expression.evaluate(variables, budget)?;
        let text = display(&value, budget)?;
        self.check_text(&text)?;
        budget.bytes(text.len().saturating_mul(3))?;
        placeholder.rule.append(&text, rendered)
    }

    /// The texts of a form's or query's value, masked: none for null, one for each element of a list.
    pub fn render_masked_texts(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
        mask: &dyn Mask,
    ) -> Vec<String> {
        let [Piece::Placeholder(placeholder)] = &*self.pieces else {
            return vec![self.render_masked(variables, budget, mask)];
        };
        if let Some(text) = mask.instead_of(placeholder) {
            return vec![text];
        }
        self.render_texts(variables, budget)
            .unwrap_or_else(|error| vec![mask.failed(placeholder, &error)])
    }

    fn render_masked_json(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
        mask: &dyn Mask,
    ) -> Json {
        debug_assert_eq!(self.position, Position::Json);
        let [Piece::Placeholder(placeholder)] = &*self.pieces else {
            return Json::String(self.render_masked(variables, budget, mask));
        };
        if let Some(text) = mask.instead_of(placeholder) {
            return Json::String(text);
        }
        let value: Result<Value<'_>, _> = placeholder.expression.evaluate(variables, budget);
        value
            .and_then(|value| value.to_json(budget))
            .unwrap_or_else(|error| Json::String(mask.failed(placeholder, &error)))
    }
}

impl TreeTemplate {
    /// The tree with its placeholders replaced by their values, or by what `mask` says instead.
    pub fn render_masked(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
        mask: &dyn Mask,
    ) -> Json {
        masked(&self.root, variables, budget, mask)
    }

    /// The placeholders of all its texts.
    #[must_use]
    pub fn placeholders(&self) -> Vec<&Placeholder> {
        let mut found = Vec::new();
        collect(&self.root, &mut found);
        found
    }
}

fn masked(node: &Node, variables: &dyn Variables, budget: &mut Budget, mask: &dyn Mask) -> Json {
    match node {
        Node::Literal(literal) => literal.clone(),
        Node::Text(template) => template.render_masked_json(variables, budget, mask),
        Node::Array(nodes) => nodes
            .iter()
            .map(|node| masked(node, variables, budget, mask))
            .collect(),
        Node::Object(nodes) => Json::Object(
            nodes
                .iter()
                .map(|(name, node)| (name.clone(), masked(node, variables, budget, mask)))
                .collect(),
        ),
    }
}

fn collect<'t>(node: &'t Node, found: &mut Vec<&'t Placeholder>) {
    match node {
        Node::Literal(_) => {}
        Node::Text(template) => found.extend(template.placeholders()),
        Node::Array(nodes) => nodes.iter().for_each(|node| collect(node, found)),
        Node::Object(nodes) => nodes.iter().for_each(|(_, node)| collect(node, found)),
    }
}
