//! Which formats a text has, asked of the validator that will check them.
//!
//! Only formats that nobody hits by accident are claimed. `hostname` and `iri`
//! are not among them (every word is a host name, every URI an IRI), and a URI
//! needs `://` because `order:12` is one by its grammar.

use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// In the order of preference where a text has several.
const NAMES: [&str; 8] = [
    "date-time",
    "date",
    "time",
    "uuid",
    "ipv4",
    "ipv6",
    "email",
    "uri",
];

/// A longer text is data, whatever it looks like.
const MAX_BYTES: usize = 2_048;

#[expect(clippy::expect_used, reason = "constant schemas that a test compiles")]
static CHECKS: LazyLock<[Validator; NAMES.len()]> = LazyLock::new(|| {
    NAMES.map(|name| {
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(true)
            .build(&json!({"format": name}))
            .expect("the schema of a known format compiles")
    })
});

/// A set of formats, one bit each.
#[derive(Clone, Copy)]
pub(super) struct Formats(u8);

impl Formats {
    pub(super) const ALL: Self = Self(u8::MAX);

    /// Those of the set that the text has too.
    pub(super) fn of(self, text: &str) -> Self {
        if self.0 == 0 || text.len() > MAX_BYTES {
            return Self(0);
        }
        let value = Value::from(text);
        let mut kept = 0;
        for (index, name) in NAMES.iter().enumerate() {
            let bit = 1 << index;
            if self.0 & bit != 0
                && (*name != "uri" || text.contains("://"))
                && CHECKS[index].is_valid(&value)
            {
                kept |= bit;
            }
        }
        Self(kept)
    }

    pub(super) fn first(self) -> Option<&'static str> {
        NAMES.get(self.0.trailing_zeros() as usize).copied()
    }
}
