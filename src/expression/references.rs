//! What an expression can read, known without evaluating it.

use std::sync::Arc;

/// Which variables and fields an expression names.
#[derive(Debug, Clone, Default)]
pub struct References {
    paths: Vec<Vec<Arc<str>>>,
}

impl References {
    /// Whether the expression can read what `path` leads to: it names it, a
    /// part of it, or the whole that it is a part of.
    #[must_use]
    pub fn mentions(&self, path: &[&str]) -> bool {
        self.paths.iter().any(|named| {
            named
                .iter()
                .zip(path)
                .all(|(left, right)| **left == **right)
        })
    }

    /// Every path that is named, each beginning with a variable.
    pub fn paths(&self) -> impl Iterator<Item = &[Arc<str>]> {
        self.paths.iter().map(Vec::as_slice)
    }

    /// Whether no variable is named: the result is always the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    pub(super) fn add(&mut self, path: Vec<Arc<str>>) {
        if !self.paths.contains(&path) {
            self.paths.push(path);
        }
    }

    /// Adds what another expression names.
    pub fn extend(&mut self, other: &Self) {
        for path in &other.paths {
            self.add(path.clone());
        }
    }
}
