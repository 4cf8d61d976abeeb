//! How an answer is shown: masked as a whole, and only then cut.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Answer;
use crate::api::ReceivedResponse;
use crate::configuration::Sensitive;
use crate::provision::mask::{MASK, Masker, SHOWN_BYTES, cut};
use crate::provision::render::{SHOWN_HEADERS, known_secrets};
use crate::provision::variables::whole_seconds;
use crate::provision::{Inputs, Known};

/// What an answer declares as secret.
#[derive(Default)]
pub(super) struct Declared {
    pub secrets: Vec<Sensitive>,
    /// Whether something should be there that was not found: then it may be anywhere.
    pub missed: bool,
}

/// How the answer is shown.
pub(super) fn shown(
    inputs: &Inputs,
    known: &Known<'_>,
    access_token: Option<&Sensitive>,
    answer: &Answer,
    declared: &Declared,
    now: Timestamp,
) -> ReceivedResponse {
    let secrets = known_secrets(inputs, Some(known), access_token);
    let found = declared.secrets.iter().map(Sensitive::expose);
    let masker = Masker::new(secrets.into_iter().chain(found));
    let mut headers = BTreeMap::new();
    let mut left = SHOWN_BYTES;
    // A secret is in it, and nothing says where.
    let hidden = declared.missed && (200..300).contains(&answer.status);
    for (name, value) in &answer.headers {
        if hidden || headers.len() == SHOWN_HEADERS {
            break;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = cut(masker.header(name.as_str(), &value));
        let size = name.as_str().len() + value.len();
        if let Some(rest) = left.checked_sub(size) {
            left = rest;
            headers.insert(name.to_string(), value);
        }
    }
    let body = match (answer.body.is_empty(), hidden) {
        (true, _) => None,
        (false, true) => Some(MASK.to_owned()),
        (false, false) => Some(cut(masker.body(&answer.body))),
    };
    ReceivedResponse {
        status: answer.status,
        headers,
        body,
        received_at: whole_seconds(now).to_string(),
    }
}
