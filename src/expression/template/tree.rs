//! JSON trees whose texts are templates, such as the body of an answer. Keys are literal.

use serde_json::Value as Json;

use super::{Position, Template};
use crate::expression::references::References;
use crate::expression::{Budget, CompileError, EvaluationError, Scope, Variables};

/// Arrays and objects inside one another, as many as JSON from outside may have.
const MAX_DEPTH: usize = 128;

/// A compiled tree.
#[derive(Debug)]
pub struct TreeTemplate {
    pub(super) root: Node,
    references: References,
    sensitive: bool,
}

#[derive(Debug)]
pub(super) enum Node {
    /// A part without placeholders.
    Literal(Json),
    Text(Template),
    Array(Box<[Node]>),
    Object(Box<[(String, Node)]>),
}

impl TreeTemplate {
    /// Compiles every text of `tree` as a template.
    ///
    /// # Errors
    /// As [`Template::compile`], with the JSON pointer of the text; when a key
    /// holds `$(`; when the tree is nested too deeply.
    pub fn compile(tree: &Json, scope: &Scope) -> Result<Self, CompileError> {
        let mut compiler = Compiler {
            scope,
            references: References::default(),
            sensitive: false,
        };
        let root = compiler.node(tree, MAX_DEPTH)?;
        let Compiler {
            references,
            sensitive,
            ..
        } = compiler;
        Ok(Self {
            root,
            references,
            sensitive,
        })
    }

    /// The tree with its placeholders replaced by their values, each with its own type.
    ///
    /// # Errors
    /// When a placeholder fails, or the budget is exhausted.
    pub fn render(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
    ) -> Result<Json, EvaluationError> {
        render(&self.root, variables, budget)
    }

    /// Which variables and fields the placeholders name.
    #[must_use]
    pub const fn references(&self) -> &References {
        &self.references
    }

    /// Whether a placeholder's value can be secret.
    #[must_use]
    pub const fn is_sensitive(&self) -> bool {
        self.sensitive
    }
}

struct Compiler<'s> {
    scope: &'s Scope,
    references: References,
    sensitive: bool,
}

impl Compiler<'_> {
    fn node(&mut self, tree: &Json, depth: usize) -> Result<Node, CompileError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(CompileError::new("the tree is nested too deeply", 0..0));
        };
        match tree {
            Json::String(text) => {
                let template = Template::compile(text, self.scope, Position::Json)?;
                self.references.extend(template.references());
                self.sensitive |= template.is_sensitive();
                Ok(match template.as_literal() {
                    Some(literal) => Node::Literal(Json::from(literal)),
                    None => Node::Text(template),
                })
            }
            Json::Array(elements) => {
                let nodes = elements.iter().enumerate().map(|(index, element)| {
                    self.node(element, depth)
                        .map_err(|error| error.under(&format!("/{index}")))
                });
                let nodes: Box<[Node]> = nodes.collect::<Result<_, _>>()?;
                if nodes.iter().all(is_literal) {
                    return Ok(Node::Literal(
                        nodes.into_iter().filter_map(into_literal).collect(),
                    ));
                }
                Ok(Node::Array(nodes))
            }
            Json::Object(members) => {
                let nodes = members.iter().map(|(name, member)| {
                    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                    if name.contains("$(") {
                        let message = "a key is literal: `$(` is not replaced in it";
                        return Err(CompileError::new(message, 0..0).under(&pointer));
                    }
                    self.node(member, depth)
                        .map(|node| (name.clone(), node))
                        .map_err(|error| error.under(&pointer))
                });
                let nodes: Box<[(String, Node)]> = nodes.collect::<Result<_, _>>()?;
                if nodes.iter().all(|(_, node)| is_literal(node)) {
                    let literals = nodes
                        .into_iter()
                        .filter_map(|(name, node)| Some((name, into_literal(node)?)));
                    return Ok(Node::Literal(Json::Object(literals.collect())));
                }
                Ok(Node::Object(nodes))
            }
            scalar => Ok(Node::Literal(scalar.clone())),
        }
    }
}

fn is_literal(node: &Node) -> bool {
    matches!(node, Node::Literal(_))
}

fn into_literal(node: Node) -> Option<Json> {
    match node {
        Node::Literal(literal) => Some(literal),
        _ => None,
    }
}

fn render(
    node: &Node,
    variables: &dyn Variables,
    budget: &mut Budget,
) -> Result<Json, EvaluationError> {
    budget.step()?;
    Ok(match node {
        Node::Literal(literal) => literal.clone(),
        Node::Text(template) => template.render_value(variables, budget)?.to_json(budget)?,
        Node::Array(nodes) => {
            let elements = nodes.iter().map(|node| render(node, variables, budget));
            Json::Array(elements.collect::<Result<_, _>>()?)
        }
        Node::Object(nodes) => {
            let members = nodes
                .iter()
                .map(|(name, node)| Ok((name.clone(), render(node, variables, budget)?)));
            Json::Object(members.collect::<Result<_, EvaluationError>>()?)
        }
    })
}
