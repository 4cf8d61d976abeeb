//! Texts with `$(CEL)` placeholders, compiled once for the position they stand in.
//!
//! The position decides what a value may be and how it is written, so that no
//! value can break out of its place: not out of a path segment, a query
//! parameter, a header or a JSON text. A template that is exactly one
//! placeholder keeps its value's own type where the position has types.
//!
//! `$$(` is a literal `$(`. A placeholder ends at its own `)`, counted outside
//! CEL's strings. Keys are never templates.

mod masked;
mod scan;
mod tree;
mod url;

use std::borrow::Cow;

use self::scan::Part;
use self::url::UrlRule;
use super::error::CompileError;
use super::functions::display;
use super::references::References;
use super::value::{Binary, Text, Value};
use super::{Budget, EvaluationError, Expression, Scope, Variables, lower, parse};

pub use masked::Mask;
pub use scan::check_literal;
pub use tree::TreeTemplate;
pub use url::Target;

/// Where a template stands, and with that what its values may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// A text in a JSON tree: one placeholder keeps its type.
    Json,
    /// A value of a form: one placeholder keeps its type, for a list repeats the key.
    Form,
    /// A value of a query: one placeholder keeps its type, for a list repeats the key.
    Query,
    /// A whole URL: each value is checked or encoded by the part of the URL it is in.
    Url,
    /// The value of a header: no control characters.
    Header,
    /// Plain text.
    Text,
    /// Bytes to be signed: texts as UTF-8, bytes as they are.
    Bytes,
}

/// A compiled template.
#[derive(Debug)]
pub struct Template {
    pieces: Box<[Piece]>,
    position: Position,
    references: References,
    sensitive: bool,
}

#[derive(Debug)]
enum Piece {
    Literal(Box<str>),
    Placeholder(Placeholder),
}

/// One `$(CEL)` of a template.
#[derive(Debug)]
pub struct Placeholder {
    source: Box<str>,
    expression: Expression,
    rule: UrlRule,
}

impl Placeholder {
    /// What stands between the parentheses.
    #[must_use]
    pub const fn source(&self) -> &str {
        &self.source
    }

    /// Which variables and fields the placeholder names.
    #[must_use]
    pub const fn references(&self) -> &References {
        self.expression.references()
    }

    /// Whether its value can be secret.
    #[must_use]
    pub const fn is_sensitive(&self) -> bool {
        self.expression.is_sensitive()
    }
}

impl Template {
    /// Compiles a template for its position.
    ///
    /// # Errors
    /// When a placeholder is not closed or does not compile, when a literal
    /// part cannot stand in this position, or a URL has a placeholder where
    /// none may be. The place is counted in bytes of the template.
    pub fn compile(source: &str, scope: &Scope, position: Position) -> Result<Self, CompileError> {
        let parts = scan::split(source)?;
        let rules = if position == Position::Url {
            url::rules(source, &parts)?
        } else {
            Vec::new()
        };
        let mut rules = rules.into_iter();
        let mut pieces = Vec::with_capacity(parts.len());
        let mut references = References::default();
        let mut sensitive = false;
        for part in parts {
            pieces.push(match part {
                Part::Literal { text, start, .. } => {
                    if position == Position::Header
                        && let Some(found) = text.find(is_forbidden_in_header)
                    {
                        let message = "a header holds no line breaks and no control characters";
                        let start = (start + found).min(source.len());
                        return Err(CompileError::new(
                            message,
                            parse::character_at(source, start),
                        ));
                    }
                    Piece::Literal(text.into())
                }
                Part::Placeholder { range } => {
                    let rule = rules.next().unwrap_or(UrlRule::None);
                    let start = range.start;
                    let placeholder = compile_placeholder(&source[range], scope, rule)
                        .map_err(|error| error.moved(start))?;
                    references.extend(placeholder.references());
                    sensitive |= placeholder.is_sensitive();
                    Piece::Placeholder(placeholder)
                }
            });
        }
        Ok(Self {
            pieces: pieces.into(),
            position,
            references,
            sensitive,
        })
    }

    /// The template's text where it has no placeholder.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The placeholders in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Placeholder(placeholder) => Some(placeholder),
            Piece::Literal(_) => None,
        })
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

    /// The value: a single placeholder's own, otherwise a text.
    ///
    /// # Errors
    /// When a placeholder fails, or its value has no form in this position.
    pub fn render_value<'a>(
        &'a self,
        variables: &'a dyn Variables,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvaluationError> {
        match (&*self.pieces, self.position) {
            (
                [Piece::Placeholder(placeholder)],
                Position::Json | Position::Form | Position::Query,
            ) => placeholder.expression.evaluate(variables, budget),
            _ => Ok(match self.render_text(variables, budget)? {
                Cow::Borrowed(text) => Value::text(text),
                Cow::Owned(text) => Value::from(text),
            }),
        }
    }

    /// The texts of a form's or query's value: none for null, one for each element of a list.
    ///
    /// # Errors
    /// When a placeholder fails, or its value has no text form.
    pub fn render_texts(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
    ) -> Result<Vec<String>, EvaluationError> {
        match self.render_value(variables, budget)? {
            Value::Null => Ok(Vec::new()),
            Value::List(list) => list
                .iter()
                .map(|element| {
                    budget.step()?;
                    display(&element, budget).map(|text| text.to_string())
                })
                .collect(),
            value => Ok(vec![display(&value, budget)?.to_string()]),
        }
    }

    /// The template as text, by the rules of its position.
    ///
    /// # Errors
    /// When a placeholder fails, or its value has no text form or may not stand in its place.
    pub fn render_text<'a>(
        &'a self,
        variables: &'a dyn Variables,
        budget: &mut Budget,
    ) -> Result<Cow<'a, str>, EvaluationError> {
        if let Some(literal) = self.as_literal() {
            return Ok(Cow::Borrowed(literal));
        }
        if let [
            Piece::Placeholder(Placeholder {
                expression,
                rule: UrlRule::None,
                ..
            }),
        ] = &*self.pieces
        {
            let text = display(&expression.evaluate(variables, budget)?, budget)?;
            self.check_text(&text)?;
            return Ok(match text {
                Text::Borrowed(text) => Cow::Borrowed(text),
                Text::Shared(text) => Cow::Owned(text.to_string()),
            });
        }
        let mut rendered = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => {
                    budget.bytes(text.len())?;
                    rendered.push_str(text);
                }
                Piece::Placeholder(Placeholder {
                    expression, rule, ..
                }) => {
                    let value = expression.evaluate(variables, budget)?;
                    let text = display(&value, budget)?;
                    self.check_text(&text)?;
                    let before = rendered.len();
                    // Encoding makes three bytes of one at most.
                    budget.bytes(text.len().saturating_mul(if *rule == UrlRule::None {
                        1
                    } else {
                        3
                    }))?;
                    rule.append(&text, &mut rendered)?;
                    debug_assert!(
                        rendered.len() - before <= text.len() * 3,
                        "the charge covers what was appended"
                    );
                }
            }
        }
        if self.position == Position::Url {
            url::check(&rendered)?;
        }
        Ok(Cow::Owned(rendered))
    }

    /// The template as bytes: texts as UTF-8, bytes as they are.
    ///
    /// # Errors
    /// When a placeholder fails, or its value has neither form.
    pub fn render_bytes<'a>(
        &'a self,
        variables: &'a dyn Variables,
        budget: &mut Budget,
    ) -> Result<Cow<'a, [u8]>, EvaluationError> {
        if let [Piece::Placeholder(placeholder)] = &*self.pieces {
            return match placeholder.expression.evaluate(variables, budget)? {
                Value::Bytes(Binary::Borrowed(bytes)) => Ok(Cow::Borrowed(bytes)),
                Value::Bytes(Binary::Shared(bytes)) => Ok(Cow::Owned(bytes.to_vec())),
                value => Ok(match display(&value, budget)? {
                    Text::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                    Text::Shared(text) => Cow::Owned(text.as_bytes().to_vec()),
                }),
            };
        }
        let mut rendered = Vec::new();
        self.render_pieces(variables, budget, &mut |piece| {
            rendered.extend_from_slice(piece)
        })?;
        Ok(Cow::Owned(rendered))
    }

    /// Hands the bytes to `take` piece by piece, so that a keyed hash needs no copy of the body.
    ///
    /// # Errors
    /// As [`Self::render_bytes`]; `take` may then have been called already.
    pub fn render_pieces(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), EvaluationError> {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => take(text.as_bytes()),
                Piece::Placeholder(placeholder) => {
                    match placeholder.expression.evaluate(variables, budget)? {
                        Value::Bytes(bytes) => {
                            budget.bytes(bytes.len())?;
                            take(&bytes);
                        }
                        value => {
                            let text = display(&value, budget)?;
                            budget.bytes(text.len())?;
                            take(text.as_bytes());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn check_text(&self, text: &str) -> Result<(), EvaluationError> {
        if self.position == Position::Header && text.contains(is_forbidden_in_header) {
            let reason = "a value for a header holds a line break or another control character";
            return Err(EvaluationError::NotRenderable { reason });
        }
        Ok(())
    }
}

/// RFC 9110 section 5.5 allows tabs, and nothing else below space.
fn is_forbidden_in_header(c: char) -> bool {
    c != '\t' && (c < ' ' || c == '\u{7f}')
}

fn compile_placeholder(
    source: &str,
    scope: &Scope,
    rule: UrlRule,
) -> Result<Placeholder, CompileError> {
    let tree = parse::parse(source)?;
    let (tree, rule) = match (lower::path_argument(&tree), rule) {
        (Some(argument), UrlRule::Path) => (argument, UrlRule::PathWithSlashes),
        _ => (&tree, rule),
    };
    Ok(Placeholder {
        source: source.into(),
        expression: Expression::from_tree(source, tree, scope)?,
        rule,
    })
}
