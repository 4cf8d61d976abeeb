//! Texts with a meaning: CEL expressions, `$(CEL)` templates and literal names.
//!
//! The types only say what a text is; `crate::expression` compiles it. The
//! schema of each carries the marker [`TEXT_KIND`], which the offline check
//! reads and which is not part of a published CRD: so a literal field that
//! holds a placeholder by mistake can be told from a template.

use std::{borrow::Cow, fmt, ops::Deref};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Longest expression and shortest template that is refused, in characters.
///
/// The API server needs a bound to estimate the cost of its own rules, and
/// nobody can read a longer expression.
pub const MAX_EXPRESSION_CHARACTERS: usize = 2_048;

/// Longest template, in characters.
pub const MAX_TEMPLATE_CHARACTERS: usize = 4_096;

/// Schema keyword that says what a text is: `expression` or `template`. Texts without it are literal.
pub const TEXT_KIND: &str = "x-tidegate-text";

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text as it was written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!({
                    "type": "string",
                    "maxLength": $max,
                });
                schema.insert(TEXT_KIND.to_owned(), $kind.into());
                schema
            }
        }
    };
}

text! {
    /// A CEL expression.
    Expression, "expression", MAX_EXPRESSION_CHARACTERS
}

text! {
    /// Text with `$(CEL)` placeholders.
    Template, "template", MAX_TEMPLATE_CHARACTERS
}
