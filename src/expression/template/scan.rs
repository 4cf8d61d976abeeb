//! Where the placeholders of a template are.

use std::ops::Range;

use crate::expression::CompileError;

/// A part of a template's source.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text, with `$$(` already read as `$(`; `start` is where it begins in the source.
    Literal {
        text: String,
        start: usize,
        end: usize,
    },
    /// What stands between `$(` and its `)`.
    Placeholder { range: Range<usize> },
}

/// Fails where a field that is literal looks like a template: `$(` would be taken as text.
///
/// # Errors
/// When `text` holds `$(`.
pub fn check_literal(text: &str) -> Result<(), CompileError> {
    match text.find("$(") {
        None => Ok(()),
        Some(start) => Err(CompileError::new(
            "this field is literal: `$(` is not replaced here",
            start..start + 2,
        )),
    }
}

pub(super) fn split(source: &str) -> Result<Vec<Part>, CompileError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let (mut at, mut start) = (0, 0);
    while let Some(found) = source[at..].find('$') {
        text.push_str(&source[at..at + found]);
        at += found;
        let rest = &source[at..];
        if rest.starts_with("$$(") {
            text.push_str("$(");
            at += 3;
        } else if rest.starts_with("$(") {
            if !text.is_empty() {
                parts.push(Part::Literal {
                    text: std::mem::take(&mut text),
                    start,
                    end: at,
                });
            }
            let end = placeholder_end(source, at + 2)?;
            parts.push(Part::Placeholder { range: at + 2..end });
            at = end + 1;
            start = at;
        } else {
            text.push('$');
            at += 1;
        }
    }
    text.push_str(&source[at..]);
    if !text.is_empty() {
        parts.push(Part::Literal {
            text,
            start,
            end: source.len(),
        });
    }
    Ok(parts)
}

/// The `)` that closes the placeholder whose content begins at `start`.
fn placeholder_end(source: &str, start: usize) -> Result<usize, CompileError> {
    let bytes = source.as_bytes();
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'(' => depth += 1,
            b')' if depth == 0 => return Ok(at),
            b')' => depth -= 1,
            b'"' | b'\'' => {
                at = string_end(bytes, start, at)
                    .ok_or_else(|| CompileError::new("the text is not closed", at..at + 1))?;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Err(CompileError::new(
        "the placeholder is not closed by `)`",
        start - 2..start,
    ))
}

/// The byte after the string literal that begins at `at`.
fn string_end(bytes: &[u8], start: usize, at: usize) -> Option<usize> {
    let quote = bytes[at];
    let prefix = bytes[start..at]
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count();
    let raw = matches!(
        bytes[at - prefix..at].to_ascii_lowercase().as_slice(),
        b"r" | b"rb" | b"br"
    );
    let triple = [quote; 3];
    let end: &[u8] = if bytes[at..].starts_with(&triple) {
        &triple
    } else {
        &triple[..1]
    };
    let mut at = at + end.len();
    while at < bytes.len() {
        if bytes[at] == b'\\' && !raw {
            at += 2;
        } else if bytes[at..].starts_with(end) {
            return Some(at + end.len());
        } else {
            at += 1;
        }
    }
    None
}
