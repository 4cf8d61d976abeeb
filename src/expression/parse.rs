//! From source to syntax tree, by the `cel` crate, within bounds that keep its
//! recursive parser and the recursion over its tree far from the stack's end.
//!
//! The parser tells where nodes are only beside an error. Places are needed
//! only for errors of ours, so [`place`] parses the source again with a mistake
//! put at its end: node numbers are given in order, and stay the same.

use std::ops::Range;

use cel::IdedExpr;
use cel::parser::PrattParser;
use cel::parser::pratt_parser::{Lexer, TokenKind};

use super::MAX_CHARACTERS;
use super::error::CompileError;

/// More tokens than any readable expression of 2,048 characters has. Bounds the
/// depth of chains, which the parser does not count as nesting.
const MAX_TOKENS: usize = 1_000;

/// The parser follows conditionals recursively without counting them.
const MAX_CONDITIONALS: usize = 64;

/// Parentheses, brackets and arguments inside one another.
const MAX_NESTING: u16 = 64;

pub(super) fn parse(source: &str) -> Result<IdedExpr, CompileError> {
    if source.trim().is_empty() {
        return Err(CompileError::new(
            "the expression is empty",
            0..source.len(),
        ));
    }
    if source.chars().count() > MAX_CHARACTERS {
        let message = format!("the expression is longer than {MAX_CHARACTERS} characters");
        return Err(CompileError::new(message, 0..source.len()));
    }
    check_tokens(source)?;
    parser()
        .parse(source)
        .map_err(|errors| syntax_error(source, &errors))
}

fn parser() -> PrattParser {
    PrattParser::new()
        .max_recursion_depth(MAX_NESTING)
        .enable_ident_escape_syntax(true)
}

fn check_tokens(source: &str) -> Result<(), CompileError> {
    let mut lexer = Lexer::new(source);
    let (mut tokens, mut conditionals) = (0, 0);
    loop {
        let token = lexer.lex();
        match token.kind {
            TokenKind::TokEnd => return Ok(()),
            TokenKind::TokWhitespace | TokenKind::TokComment => {}
            TokenKind::TokError => {
                let message = lexer
                    .get_error()
                    .map_or("syntax error", |error| &error.message);
                return Err(CompileError::new(
                    message,
                    whole_characters(source, token.start..token.end),
                ));
            }
            kind => {
                tokens += 1;
                conditionals += usize::from(kind == TokenKind::TokQuestion);
                if tokens > MAX_TOKENS || conditionals > MAX_CONDITIONALS {
                    return Err(CompileError::new(
                        "the expression has too many parts",
                        token.start..source.len(),
                    ));
                }
            }
        }
    }
}

fn syntax_error(source: &str, errors: &cel::ParseErrors) -> CompileError {
    // An error without a place is about the whole, and says more than its consequences.
    let Some(error) = errors.errors.first() else {
        return CompileError::new("syntax error", 0..source.len());
    };
    let message = error
        .msg
        .strip_prefix("Syntax error: ")
        .unwrap_or(&error.msg)
        .to_owned();
    let (line, column) = error.pos;
    if line < 1 {
        return CompileError::new(message, 0..source.len());
    }
    let before: usize = source
        .split_inclusive('\n')
        .take(line as usize - 1)
        .map(str::len)
        .sum();
    let start = (before + column.max(1) as usize - 1).min(source.len());
    CompileError::new(message, character_at(source, start))
}

/// The bytes that node `id` of the parsed source is written in, as far as the parser knows.
pub(super) fn place(source: &str, id: u64) -> Range<usize> {
    let broken = format!("{source}\n)");
    let Err(errors) = parser().parse(&broken) else {
        return 0..source.len();
    };
    let known = errors
        .errors
        .iter()
        .filter_map(|error| error.source_info.as_ref())
        .find_map(|info| info.offset_for(id));
    let Some((start, end)) = known else {
        return 0..source.len();
    };
    let range = start as usize..(end as usize).min(source.len());
    if range.start >= range.end {
        return 0..source.len();
    }
    whole_characters(source, with_name(source, range))
}

/// Calls are placed at their parenthesis and selections at their dot; the name
/// beside it is what people look for.
fn with_name(source: &str, range: Range<usize>) -> Range<usize> {
    let bytes = source.as_bytes();
    let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match bytes[range.start] {
        b'(' => {
            let length = bytes[..range.start]
                .iter()
                .rev()
                .take_while(|byte| named(**byte))
                .count();
            if length == 0 {
                range
            } else {
                range.start - length..range.start
            }
        }
        b'.' => {
            let name = range.end
                + bytes[range.end..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_whitespace())
                    .count();
            let length = bytes[name..]
                .iter()
                .take_while(|byte| named(**byte))
                .count();
            if length == 0 {
                range
            } else {
                name..name + length
            }
        }
        b'[' => {
            let rest = &source[range.end..];
            rest.find(']')
                .map_or(range.clone(), |end| range.start..range.end + end + 1)
        }
        _ => range,
    }
}

/// The bytes of the character at `start`, none at the end.
pub(super) fn character_at(source: &str, start: usize) -> Range<usize> {
    let length = source
        .get(start..)
        .and_then(|rest| rest.chars().next())
        .map_or(0, char::len_utf8);
    whole_characters(source, start..start + length)
}

fn whole_characters(source: &str, range: Range<usize>) -> Range<usize> {
    let mut start = range.start.min(source.len());
    while !source.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = range.end.clamp(start, source.len());
    while !source.is_char_boundary(end) {
        end += 1;
    }
    start..end
}
