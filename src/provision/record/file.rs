//! A record as bytes: JSON, with a number that says which form of it this is.
//!
//! A record of a newer Tidegate is refused rather than read in part: what would be lost of it is
//! what stands at an app.

use serde::{Deserialize, Serialize};

use super::Record;

/// The form that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// A record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It was written by a newer version.
    #[error(
        "failed to read a record of format {found}: this version knows formats up to {FORMAT}; \
         run the version that wrote it, or a later one"
    )]
    Newer {
        /// The format that it says it has.
        found: u32,
    },
    /// It is not a record, or a damaged one. The place is named, never what stands there: a
    /// record is full of secrets.
    #[error("failed to read a record: it is damaged at line {line}, column {column}")]
    Damaged {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
struct Stored {
    record: Record,
}

#[derive(Serialize)]
struct Storing<'a> {
    format: u32,
    record: &'a Record,
}

/// The bytes of a record. They hold secrets.
///
/// # Errors
///
/// Where a value cannot be written as JSON; none that a record holds is such.
pub fn write(record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Storing {
        format: FORMAT,
        record,
    })
}

/// The record in these bytes.
///
/// # Errors
///
/// Where a newer version wrote it, or where it is damaged.
pub fn read(bytes: &[u8]) -> Result<Record, ReadError> {
    // The number first: what a newer form looks like is not known.
    let Format { format } = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
    if format > FORMAT {
        return Err(ReadError::Newer { found: format });
    }
    let Stored { record } = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
    Ok(record)
}

fn damaged(error: &serde_json::Error) -> ReadError {
    ReadError::Damaged {
        line: error.line(),
        column: error.column(),
    }
}
