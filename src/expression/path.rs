//! The paths of `events.from`: where in a body the items are.
//!
//! A path is names and `["…"]` and nothing else, because what it finds has to
//! be a place in the request's bytes, which the value of an expression is not.

use super::error::CompileError;
use super::suggestion::closest;

/// What a path begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathRoot {
    /// The request's body: `request.body`.
    Body,
    /// The element that the path before led to: `item`.
    Item,
}

/// A compiled path: `request.body.events`, `item["nested changes"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    root: PathRoot,
    segments: Vec<String>,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// When it does not begin with `request.body` or `item`, or holds anything but names.
    pub fn parse(source: &str) -> Result<Self, CompileError> {
        if source.chars().count() > super::MAX_CHARACTERS {
            let message = format!(
                "the path is longer than {} characters",
                super::MAX_CHARACTERS
            );
            return Err(CompileError::new(message, 0..source.len()));
        }
        let mut reader = Reader { source, at: 0 };
        reader.skip_space();
        let start = reader.at;
        let first = reader.name()?;
        let mut segments = reader.segments()?;
        let root = match first.as_str() {
            "item" => PathRoot::Item,
            "request" if segments.first().is_some_and(|segment| segment == "body") => {
                segments.remove(0);
                PathRoot::Body
            }
            name => {
                let close = closest(name, ["request", "item"].into_iter());
                let hint = close
                    .filter(|close| *close != name)
                    .map_or_else(String::new, |close| format!("; did you mean `{close}`?"));
                let message = format!("a path begins with `request.body` or `item`{hint}");
                return Err(CompileError::new(message, start..start + first.len()));
            }
        };
        Ok(Self { root, segments })
    }

    /// What the path begins at.
    #[must_use]
    pub const fn root(&self) -> PathRoot {
        self.root
    }

    /// The names that lead from there to the place.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }
}

struct Reader<'s> {
    source: &'s str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.source.len() - self.rest().trim_start().len();
    }

    fn error<T>(&self, message: &str) -> Result<T, CompileError> {
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        Err(CompileError::new(message, self.at..self.at + length))
    }

    fn name(&mut self) -> Result<String, CompileError> {
        let length = self
            .rest()
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count();
        let name = self.rest()[..length].to_owned();
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            return self.error("a name is expected here; write other names as [\"…\"]");
        }
        self.at += length;
        Ok(name)
    }

    fn segments(&mut self) -> Result<Vec<String>, CompileError> {
        let mut segments = Vec::new();
        loop {
            self.skip_space();
            match self.rest().chars().next() {
                None => return Ok(segments),
                Some('.') => {
                    self.at += 1;
                    self.skip_space();
                    segments.push(self.name()?);
                }
                Some('[') => {
                    self.at += 1;
                    self.skip_space();
                    segments.push(self.quoted()?);
                    self.skip_space();
                    if !self.rest().starts_with(']') {
                        return self.error("`]` is expected here");
                    }
                    self.at += 1;
                }
                Some(_) => return self.error("a path holds names and [\"…\"] only"),
            }
        }
    }

    fn quoted(&mut self) -> Result<String, CompileError> {
        let quote = match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => quote,
            _ => {
                return self.error(
                    "a name in quotes is expected here: a path leads to lists, not into them",
                );
            }
        };
        let mut name = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((index, c)) = characters.next() {
            match c {
                c if c == quote => {
                    self.at += index + 1;
                    return Ok(name);
                }
                '\\' => match characters.next() {
                    Some((_, c @ ('\\' | '"' | '\''))) => name.push(c),
                    _ => {
                        self.at += index;
                        return self.error(
                            "in a path a backslash stands before a quote or a backslash only",
                        );
                    }
                },
                c => name.push(c),
            }
        }
        self.at = self.source.len();
        self.error("the quote is not closed")
    }
}
