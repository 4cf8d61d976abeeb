//! From a field path, and an offset in a field's text, back to a position in the file.

use std::{collections::HashMap, sync::Arc};

use super::{
    node::{FieldPlace, Style},
    place::Mark,
};
use crate::api::{FieldPath, ObjectReference};

/// Where an object of a file stands.
#[derive(Clone, Debug)]
pub struct LoadedObject {
    pub reference: ObjectReference,
    pub mark: Mark,
    pub places: Arc<HashMap<FieldPath, FieldPlace>>,
    pub text: Arc<str>,
}

/// The place of a field, or of the nearest thing around it that was written.
pub fn nearest_place<'places>(
    places: &'places HashMap<FieldPath, FieldPlace>,
    path: &FieldPath,
) -> Option<&'places FieldPlace> {
    let mut at = Some(path.clone());
    while let Some(path) = at {
        if let Some(place) = places.get(&path) {
            return Some(place);
        }
        at = path.parent();
    }
    None
}

impl LoadedObject {
    /// Where a field stands, or the nearest thing around it that stands somewhere.
    pub fn mark_of(&self, path: &FieldPath, offset: Option<usize>) -> Mark {
        match (nearest_place(&self.places, path), offset) {
            (Some(place), Some(offset)) => self.mark_within(place, offset),
            (Some(place), None) => place.mark,
            (None, _) => self.mark,
        }
    }

    /// A position inside of a text, where the text stands in the file as it is.
    fn mark_within(&self, place: &FieldPlace, offset: usize) -> Mark {
        let start = place.mark;
        match &place.style {
            Style::Plain(text) => {
                let is_one_line = self
                    .rest_of_line(start)
                    .is_some_and(|rest| rest.starts_with(text.as_str()));
                match text.get(..offset) {
                    Some(before) if is_one_line => shifted(start, before.chars().count()),
                    _ => start,
                }
            }
            Style::Quoted => {
                // Up to the first escape the text in the file is the text itself.
                let before = self
                    .rest_of_line(start)
                    .and_then(|rest| rest.get(1..=offset))
                    .filter(|before| !before.contains(['\\', '\'']));
                before.map_or(start, |before| shifted(start, before.chars().count() + 1))
            }
            Style::Literal(text) => self.mark_within_block(text, start, offset).unwrap_or(start),
            Style::Other => start,
        }
    }

    /// The lines of a block stand where it begins and below, indented.
    fn mark_within_block(&self, text: &str, start: Mark, offset: usize) -> Option<Mark> {
        let before = text.get(..offset)?;
        let lines_before = before.matches('\n').count();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let text_line = text.lines().nth(lines_before)?;
        let line = start.line + lines_before;
        let written = self.text.lines().nth(line - 1)?;
        let indent = written.strip_suffix(text_line)?;
        Some(Mark {
            line,
            column: indent.chars().count() + before[line_start..].chars().count() + 1,
        })
    }

    fn rest_of_line(&self, mark: Mark) -> Option<&str> {
        let line = self.text.lines().nth(mark.line.checked_sub(1)?)?;
        let (start, _) = line.char_indices().nth(mark.column.checked_sub(1)?)?;
        line.get(start..)
    }
}

fn shifted(mark: Mark, columns: usize) -> Mark {
    Mark {
        line: mark.line,
        column: mark.column + columns,
    }
}
