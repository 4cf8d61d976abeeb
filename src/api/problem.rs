//! What is wrong with an object, and where: the one type in which every check answers.
//!
//! A problem names an object and a path in it. Which file, line and column that
//! is, `crate::manifest` knows; a controller does without.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The object cannot work.
    Error,
    /// The object works, but perhaps not as meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Names one object among all that are known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectReference {
    /// Kind, such as `AppEventType`.
    pub kind: String,
    /// Namespace; empty for objects without one, such as a Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectReference {
    /// Names an object.
    pub fn new(
        kind: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
        } = self;
        if namespace.is_empty() {
            write!(f, "{kind} {name}")
        } else {
            write!(f, "{kind} {namespace}/{name}")
        }
    }
}

/// Where in an object: `spec.webhook.authentication[0].hmac.message`. Names that are no identifiers stand in
/// brackets: `spec.sink.headers["X-Team"]`. Empty for the object as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(String);

impl FieldPath {
    /// The object as a whole.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The member of this object with the given name.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let mut path = self.0.clone();
        if is_identifier(name) {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        } else {
            path.push_str("[\"");
            for character in name.chars() {
                if matches!(character, '"' | '\\') {
                    path.push('\\');
                }
                path.push(character);
            }
            path.push_str("\"]");
        }
        Self(path)
    }

    /// The element of this list at the given position, from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The object or list that this is in; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        // A name in brackets may hold dots and brackets, so the path is read from its start.
        let mut last_start = 0;
        let mut quoted = false;
        let mut escaped = false;
        for (at, byte) in self.0.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'.' | b'[' if !quoted => last_start = at,
                _ => {}
            }
        }
        Some(Self(self.0[..last_start].to_owned()))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for FieldPath {
    /// Takes a path as it is written.
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

impl From<String> for FieldPath {
    fn from(path: String) -> Self {
        Self(path)
    }
}

/// Something wrong, and where. The message holds no sensitive value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Which object it is about; `None` where a file holds no object.
    pub object: Option<ObjectReference>,
    /// Where in the object.
    pub path: FieldPath,
    /// Bytes from the start of the field's text to the fault, where the field holds an expression
    /// or a template and the place in it is known.
    pub offset: Option<usize>,
    /// What is wrong and what to do, in one sentence without a full stop.
    pub message: String,
}

impl Problem {
    /// An error at a path of an object.
    pub fn error(
        object: &ObjectReference,
        path: impl Into<FieldPath>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, object, path, message)
    }

    /// A warning at a path of an object.
    pub fn warning(
        object: &ObjectReference,
        path: impl Into<FieldPath>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, object, path, message)
    }

    /// A note at a path of an object.
    pub fn note(
        object: &ObjectReference,
        path: impl Into<FieldPath>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Note, object, path, message)
    }

    fn new(
        severity: Severity,
        object: &ObjectReference,
        path: impl Into<FieldPath>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            object: Some(object.clone()),
            path: path.into(),
            offset: None,
            message: message.into(),
        }
    }

    /// The same problem with its place inside the field's text, in bytes from its start.
    #[must_use]
    pub fn at(self, offset: usize) -> Self {
        Self {
            offset: Some(offset),
            ..self
        }
    }

    /// Whether the object cannot work because of it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            object,
            path,
            offset: _,
            message,
        } = self;
        write!(f, "{severity}: ")?;
        if let Some(object) = object {
            write!(f, "{object}: ")?;
        }
        if path.as_str().is_empty() {
            write!(f, "{message}")
        } else {
            write!(f, "{path}: {message}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_users_read_them() {
        let path = FieldPath::root()
            .field("spec")
            .field("webhook")
            .field("authentication")
            .index(0)
            .field("hmac");
        assert_eq!(path.as_str(), "spec.webhook.authentication[0].hmac");
        let path = FieldPath::from("spec.sink.headers").field("X-\"Te.am[0]\\");
        assert_eq!(path.as_str(), r#"spec.sink.headers["X-\"Te.am[0]\\"]"#);
    }

    #[test]
    fn every_path_leads_up_to_the_root_one_step_at_a_time() {
        let steps = [
            r#"spec.a[0]["x.y[1]\""].b"#,
            r#"spec.a[0]["x.y[1]\""]"#,
            "spec.a[0]",
            "spec.a",
            "spec",
            "",
        ];
        for pair in steps.windows(2) {
            assert_eq!(
                FieldPath::from(pair[0]).parent(),
                Some(FieldPath::from(pair[1]))
            );
        }
        assert_eq!(FieldPath::root().parent(), None);
    }

    #[test]
    fn a_problem_says_how_bad_what_where_and_why() {
        let object = ObjectReference::new("Customer", "crm", "acme");
        let problem = Problem::error(&object, "spec.id", "is too long");
        assert_eq!(
            problem.to_string(),
            "error: Customer crm/acme: spec.id: is too long"
        );
    }
}
