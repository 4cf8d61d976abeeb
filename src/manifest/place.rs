//! Places in files: which file, which line, which column.

use std::{fmt, sync::Arc};

/// A position in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A position in a file, written `file:line:column`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, as the user named it.
    pub file: Arc<str>,
    /// The position in it; `None` for the file as a whole.
    pub mark: Option<Mark>,
}

impl Place {
    /// A file as a whole.
    pub fn file(file: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            mark: None,
        }
    }

    /// A position in a file.
    pub fn at(file: impl Into<Arc<str>>, mark: Mark) -> Self {
        Self {
            file: file.into(),
            mark: Some(mark),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match self.mark {
            Some(Mark { line, column }) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}
