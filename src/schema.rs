//! JSON Schema: compile, validate, explain, generate. Pure.
//!
//! A platform team writes (or lets us generate) one schema per event type, and
//! every event is checked against it on the request path. The `jsonschema`
//! crate does the checking; this module decides what it may be given. It has
//! no budget of its own, so what a schema can cost is bounded before it is
//! accepted: see [`cost`] for the rule, and the tests
//! for the written list of hostile shapes that hold it.
//!
//! Deliberately not here: variants (they are chosen per event, in `webhook`),
//! remote references (a schema is one self-contained document), and any cache
//! of compiled schemas (callers compare [`Schema::hash`] and keep their own).

mod cost;
mod dispatch;
mod document;
mod explain;
mod generate;
mod lint;
mod multiple_of;
#[cfg(test)]
mod tests;

use std::fmt;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

pub use explain::Violation;
pub use generate::{GenerateError, MAX_EXAMPLES, generate};
pub use lint::Warning;

/// The longest schema text that is accepted, in bytes.
pub const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// The largest compiled size of one `pattern`, in bytes.
///
/// A counted repetition such as `(?:a{1,1000}){1,1000}` is short to write and
/// takes gigabytes to compile; 1 MiB is what the `regex` crate needs for some
/// thousand states, which no pattern written by hand reaches.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// What the engine may keep of a pattern's automaton while it matches, in
/// bytes: more than the largest one that is accepted, so none is built twice.
const MAX_PATTERN_CACHE_BYTES: usize = 8 << 20;

/// A compiled JSON Schema of a known, bounded cost.
///
/// Compile it when its text changes and share it: validation takes `&self`.
pub struct Schema {
    validator: Validator,
    explainer: explain::Explainer,
    hash: [u8; 32],
    warnings: Vec<Warning>,
}

impl Schema {
    /// Compiles a schema from its JSON text.
    ///
    /// The draft is what `$schema` names: 7, 2019-09 or 2020-12, which is also
    /// the default. It must be text, not a value built by code: `serde_json`'s
    /// depth limit is what keeps the compiler's recursion off the stack's end.
    ///
    /// # Errors
    ///
    /// When the text is longer than [`MAX_SCHEMA_BYTES`], is not JSON, is not
    /// a schema of its draft, refers to anything outside itself, has a pattern
    /// that cannot be matched in linear time, or could cost too much to check.
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(SchemaError::TooLarge { bytes: text.len() });
        }
        let value: Value = serde_json::from_str(text).map_err(SchemaError::NotJson)?;
        let draft = draft_of(&value)?;
        let options = jsonschema::options()
            .with_draft(draft)
            .offline()
            .should_validate_formats(true)
            .with_keyword("multipleOf", multiple_of::factory)
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(MAX_PATTERN_BYTES)
                    .dfa_size_limit(MAX_PATTERN_CACHE_BYTES),
            );
        let document = document::Document::read(&value, draft)?;
        let dispatch = dispatch::Dispatch::find(&document);
        let evaluations = cost::check(&document, &dispatch)?;
        let invalid = |error: jsonschema::ValidationError| SchemaError::Invalid {
            message: error.to_string(),
            pointer: error.instance_path().to_string(),
        };
        // As it was written first, so that an error's place is the author's.
        let mut validator = options.build(&value).map_err(invalid)?;
        if let Some(rewritten) = dispatch.rewrite(&value) {
            validator = options.build(&rewritten).map_err(invalid)?;
        }
        let warnings = lint::warnings(&document, |format| options.is_known_format(draft, format));
        let explainer = explain::Explainer::new(&document, evaluations);
        Ok(Self {
            validator,
            explainer,
            hash: hash(&value),
            warnings,
        })
    }

    /// Whether the value satisfies the schema: the path every event takes.
    #[must_use]
    pub fn is_valid(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// What is wrong with the value: at most `limit` entries, empty exactly
    /// when it is valid (and `limit` is not 0).
    ///
    /// Pointers and messages hold nothing the payload brought: no values, and
    /// no keys but those the schema itself names (others are shown as `*`).
    #[must_use]
    pub fn violations(&self, value: &Value, limit: usize) -> Vec<Violation> {
        if limit == 0 || self.is_valid(value) {
            return Vec::new();
        }
        self.explainer.explain(&self.validator, value, limit)
    }

    /// What is accepted but probably not meant: unknown keywords and formats.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// SHA-256 of the schema with its keys in order and without white space.
    /// Equal hashes mean equal verdicts, so callers recompile on a change only.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The [`hash`](Self::hash) a text would have, without compiling it.
    ///
    /// # Errors
    ///
    /// When the text is longer than [`MAX_SCHEMA_BYTES`] or is not JSON.
    pub fn hash_of(text: &str) -> Result<[u8; 32], SchemaError> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(SchemaError::TooLarge { bytes: text.len() });
        }
        let value = serde_json::from_str(text).map_err(SchemaError::NotJson)?;
        Ok(hash(&value))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("hash", &hex::encode(self.hash))
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Why a schema is refused. Pointers are JSON pointers into the schema, empty
/// for its root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The text is longer than [`MAX_SCHEMA_BYTES`].
    #[error("the schema is {bytes} bytes long; at most {MAX_SCHEMA_BYTES} are accepted")]
    TooLarge {
        /// The length of the text.
        bytes: usize,
    },
    /// The text is not JSON, or is nested deeper than 128 levels.
    #[error("failed to read the schema as JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// `$schema` names a draft that is not supported.
    #[error(
        "failed to recognise `$schema`: use \"http://json-schema.org/draft-07/schema#\", \
         \"https://json-schema.org/draft/2019-09/schema\" or \
         \"https://json-schema.org/draft/2020-12/schema\" (the default), not {found}"
    )]
    UnknownDraft {
        /// Where the `$schema` stands.
        pointer: String,
        /// What it says, as JSON.
        found: String,
    },
    /// Not a valid schema of its draft.
    #[error("the schema is invalid at \"{pointer}\": {message}")]
    Invalid {
        /// Where.
        pointer: String,
        /// What is wrong there.
        message: String,
    },
    /// A reference that leads out of the document or nowhere.
    #[error(
        "failed to resolve the reference \"{reference}\" at \"{pointer}\": a schema must contain \
         everything it refers to"
    )]
    Reference {
        /// Where the reference stands.
        pointer: String,
        /// The reference.
        reference: String,
    },
    /// Checking a value could take too long.
    #[error("the schema can cost too much at \"{pointer}\": {reason}")]
    TooCostly {
        /// Where the cost comes from.
        pointer: String,
        /// What makes it costly.
        reason: String,
    },
}

impl SchemaError {
    /// The JSON pointer into the schema, where there is one.
    #[must_use]
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::TooLarge { .. } | Self::NotJson(_) => None,
            Self::UnknownDraft { pointer, .. }
            | Self::Invalid { pointer, .. }
            | Self::Reference { pointer, .. }
            | Self::TooCostly { pointer, .. } => Some(pointer),
        }
    }
}

/// The draft that `$schema` names. Both schemes and a trailing `#` are seen in
/// the wild and mean the same.
fn draft_of(schema: &Value) -> Result<Draft, SchemaError> {
    let Some(named) = schema.get("$schema") else {
        return Ok(Draft::Draft202012);
    };
    document::draft_named(named).ok_or_else(|| SchemaError::UnknownDraft {
        pointer: "/$schema".into(),
        found: document::shorten(&named.to_string()),
    })
}

fn hash(schema: &Value) -> [u8; 32] {
    let mut text = String::new();
    document::write_canonical(schema, &mut text);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}
