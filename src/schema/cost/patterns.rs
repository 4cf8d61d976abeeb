//! Patterns that a hostile text cannot slow down.
//!
//! The engine works in time linear in the text, but the factor can be huge:
//! it builds its automaton while it reads, and for `(?:[ab]{0,50}a){20}c`
//! every letter leads to a state never seen before (measured: 7 s for 1 MiB).
//! So the whole automaton is built once, here, within a limit, and a pattern
//! whose automaton is larger is refused. Almost always a counted repetition
//! of something wide is the cause, and `maxLength` says it better.

use regex_automata::dfa::{StartKind, dense};
use regex_automata::util::syntax;

use crate::schema::document::{Document, join, shorten};
use crate::schema::{MAX_PATTERN_BYTES, SchemaError};

/// The largest automaton of one pattern, in bytes.
const MAX_AUTOMATON_BYTES: usize = 2 << 20;

/// The largest automata of all patterns together, in bytes.
const MAX_TOTAL_BYTES: usize = 16 << 20;

const TOO_MANY_STATES: &str = "has too many states to be matched fast: avoid counted repetitions \
    such as {1,100} (`maxLength` limits a length) and `\\b`";

pub(super) fn check(document: &Document) -> Result<(), SchemaError> {
    let mut total = 0;
    for node in &document.nodes {
        let own = node.schema.get("pattern").and_then(|value| value.as_str());
        if let Some(pattern) = own {
            check_one(pattern, || join(&node.pointer, "pattern"), &mut total)?;
        }
        let names = node.schema.get("patternProperties");
        for pattern in names
            .and_then(|value| value.as_object())
            .into_iter()
            .flat_map(|map| map.keys())
        {
            let pointer = || join(&join(&node.pointer, "patternProperties"), pattern);
            check_one(pattern, pointer, &mut total)?;
        }
    }
    Ok(())
}

fn check_one(
    pattern: &str,
    pointer: impl Fn() -> String,
    total: &mut usize,
) -> Result<(), SchemaError> {
    let refuse = |reason: String| SchemaError::TooCostly {
        pointer: pointer(),
        reason: format!("the pattern `{}` {reason}", shorten(pattern)),
    };
    // What cannot be translated is not a pattern, which the compiler says better.
    let Ok(translated) = jsonschema_regex::to_rust_regex(pattern) else {
        return Ok(());
    };
    match regex::RegexBuilder::new(&translated)
        .size_limit(MAX_PATTERN_BYTES)
        .build()
    {
        Ok(_) => {}
        Err(regex::Error::CompiledTooBig(_)) => return Err(refuse(TOO_MANY_STATES.into())),
        Err(_) => return Ok(()),
    }
    let automaton = dense::Builder::new()
        .configure(
            dense::Config::new()
                .start_kind(StartKind::Unanchored)
                .dfa_size_limit(Some(MAX_AUTOMATON_BYTES))
                .determinize_size_limit(Some(MAX_AUTOMATON_BYTES)),
        )
        .syntax(syntax::Config::new())
        .build(&translated)
        .map_err(|_| refuse(TOO_MANY_STATES.into()))?;
    *total += automaton.memory_usage();
    if *total > MAX_TOTAL_BYTES {
        return Err(refuse(
            "and those before it have too many states together".into(),
        ));
    }
    Ok(())
}
