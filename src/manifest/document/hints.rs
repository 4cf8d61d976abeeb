//! What usually is behind a mistake in YAML, in words for people.

use granit_parser::ErrorKind;

use crate::manifest::{
    node::{Data, Node, Style},
    place::Mark,
};

/// The text of a name, or why it is none.
pub fn key_of(node: &Node, text: &str) -> Result<String, String> {
    match &node.data {
        Data::Text(text) => Ok(text.clone()),
        Data::Number(number) => Ok(number.to_string()),
        Data::Bool(value) => {
            let written = match &node.style {
                Style::Plain(written) => written.clone(),
                _ => value.to_string(),
            };
            Err(format!("Kubernetes reads the name `{written}` as {value}; write \"{written}\""))
        }
        Data::Null => Err("a name is missing before `:`; quote it if it is meant to be empty or null".to_owned()),
        Data::List(_) | Data::Object(_) if has_double_brace(text, node.mark) => Err(
            "`{{` begins an object in YAML; expressions are written $(…), and a text with braces needs quotes"
                .to_owned(),
        ),
        Data::List(_) | Data::Object(_) => Err("a name must be text; quote it".to_owned()),
    }
}

fn has_double_brace(text: &str, mark: Mark) -> bool {
    line_of(text, mark.line).contains("{{")
}

fn line_of(text: &str, line: usize) -> &str {
    text.lines().nth(line.saturating_sub(1)).unwrap_or_default()
}

/// Whether a `$(` stands in the text whose `)` does not, quotes left out of account.
pub fn has_open_placeholder(text: &str) -> bool {
    let Some(start) = text.rfind("$(") else {
        return false;
    };
    let mut depth = 0_usize;
    for byte in text[start..].bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return false;
        }
    }
    true
}

/// The parser's words, and what usually is behind them.
pub fn explain(kind: &ErrorKind, info: &str, text: &str, mark: Mark) -> String {
    let line = line_of(text, mark.line);
    let hint = if matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
    ) || line.trim_start_matches(' ').starts_with('\t')
    {
        "; YAML is indented with spaces, never with tabs"
    } else if line.contains("{{") {
        "; a value with {{ }} needs quotes, and Tidegate's own placeholders are written $(…)"
    } else if line.contains("$(") {
        "; a value with $(…) needs quotes if it holds `: ` or ` #`, or a comma, brace or bracket inside {…} or […]"
    } else {
        ""
    };
    format!("not valid YAML: {info}{hint}")
}
