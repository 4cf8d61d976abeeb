//! The secrets, how each looks in six encodings, and a search for all of it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::json;

// Each looks different in each encoding. Those that travel in headers are ASCII.
pub const HMAC: &str = r#"hm>?"ac\/é&=%+-key-1"#;
pub const WEBHOOKS: &str = "whsec_c3Q/Pj4+c3RhbmRhcmQ/Pz4+d2ViaG9va3M+Pj8/a2V5";
pub const TOKEN: &str = r#"to>?~ken"\/&=%+-2"#;
pub const PASSWORD: &str = r#"pass>?~word"\/&=%+-3"#;
pub const JWT: &str = r#"jwt>?~key"\/&=%+-4-at-least-thirty-two-bytes-long"#;
pub const IN_QUERY: &str = r#"query>?~key"\/&=%+-5"#;
pub const APP_FIELD: &str = r#"app>?~field"\/&=%+-6"#;
pub const SINK_HEADER: &str = r#"sink>?~header"\/&=%+-7"#;
pub const SIGNING: &str = "whsec_c2lnbmluZz8/Pj4+Pz8/c2luaz4+Pj4/Pz8+a2V5PT4/";
pub const CUSTOMER_FIELD: &str = r#"cust>?~field"\/é&=%+-8"#;
pub const UNUSED: &str = r#"un>?used"\/é&=%+-9"#;
pub const BROKEN: &str = "bro>?~ken=/&%+-10";
pub const NUMBER: &str = "8364917304651827";
pub const TIME: &str = "1987-06-05";

pub fn secrets() -> Vec<(&'static str, Vec<u8>)> {
    let mut secrets: Vec<(&str, Vec<u8>)> = [
        ("the HMAC key", HMAC),
        ("the Standard Webhooks key", WEBHOOKS),
        ("the token", TOKEN),
        ("the password", PASSWORD),
        ("the JWT key", JWT),
        ("the key in the query", IN_QUERY),
        ("the app's field", APP_FIELD),
        ("the sink's header", SINK_HEADER),
        ("the sink's signing key", SIGNING),
        ("the customer's field", CUSTOMER_FIELD),
        ("the unused one", UNUSED),
        ("the one in broken manifests", BROKEN),
        ("the one that YAML reads as a number", NUMBER),
        ("the one that YAML reads as a time", TIME),
    ]
    .map(|(name, value)| (name, value.as_bytes().to_vec()))
    .into();
    for (name, key) in [
        ("the Standard Webhooks key's bytes", WEBHOOKS),
        ("the signing key's bytes", SIGNING),
    ] {
        let bytes = STANDARD.decode(&key["whsec_".len()..]).unwrap();
        secrets.push((name, bytes));
    }
    secrets
}

/// How a value may look: plain, and in five encodings in the forms that they have.
pub fn encodings(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![value.to_vec()];
    // In the middle of something longer, base64 has one of three alignments.
    for offset in 0..3 {
        let shifted = [&vec![b'x'; offset][..], value].concat();
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&shifted);
            let whole = shifted.len() / 3 * 4;
            all.push(encoded[[0, 2, 3][offset]..whole].into());
        }
    }
    let percent = percent_encode(value, NON_ALPHANUMERIC).to_string();
    all.push(percent.to_lowercase().into());
    all.push(percent.into());
    all.push(
        form_urlencoded::byte_serialize(value)
            .collect::<String>()
            .into(),
    );
    all.push(hex::encode(value).into());
    all.push(hex::encode_upper(value).into());
    if let Ok(text) = std::str::from_utf8(value) {
        let json = json!(text).to_string();
        all.push(json.trim_matches('"').into());
        let json = &json[1..json.len() - 1];
        all.push(json.into());
        // Some escape the slash, too, and everything that is not ASCII.
        all.push(json.replace('/', "\\/").replace('é', "\\u00e9").into());
        all.push(format!("{text:?}")[1..].trim_end_matches('"').into());
    }
    all.sort();
    all.dedup();
    all
}

/// Finds a value in what was collected.
pub struct Search {
    needles: Vec<(&'static str, regex::bytes::Regex)>,
}

impl Search {
    pub fn new(secrets: &[(&'static str, Vec<u8>)]) -> Self {
        let needles = secrets.iter().map(|(name, value)| {
            let forms = encodings(value).into_iter().map(|form| {
                form.iter()
                    .map(|byte| format!("\\x{byte:02x}"))
                    .collect::<String>()
            });
            let pattern = format!("(?-u){}", forms.collect::<Vec<_>>().join("|"));
            (
                *name,
                regex::bytes::RegexBuilder::new(&pattern)
                    .size_limit(64 << 20)
                    .build()
                    .unwrap(),
            )
        });
        Self {
            needles: needles.collect(),
        }
    }

    /// The names of the secrets that are in `text`, and what surrounds each.
    pub fn found(&self, text: &[u8]) -> Vec<(&'static str, String)> {
        let found = self.needles.iter().filter_map(|(name, pattern)| {
            let hit = pattern.find(text)?;
            let around = &text[hit.start().saturating_sub(120)..(hit.end() + 40).min(text.len())];
            Some((*name, String::from_utf8_lossy(around).into_owned()))
        });
        found.collect()
    }

    pub fn none_in(&self, place: &str, text: &[u8]) {
        let found = self.found(text);
        assert!(found.is_empty(), "{place}: {found:#?}");
    }
}

#[test]
fn the_search_finds_a_secret_in_each_encoding() {
    let secrets = secrets();
    let search = Search::new(&secrets);
    for (name, value) in &secrets {
        for form in encodings(value) {
            let text = [b"before ", &form[..], b" after"].concat();
            let found = search.found(&text);
            assert!(
                found.iter().any(|(other, _)| other == name),
                "{name} as {form:?}"
            );
        }
        let credentials = [b"user:", &value[..], b":more"].concat();
        let credentials = STANDARD_NO_PAD.encode(credentials);
        assert!(
            search
                .found(credentials.as_bytes())
                .iter()
                .any(|(other, _)| other == name),
            "{name}"
        );
    }
    assert!(search.found(b"nothing of interest").is_empty());
}
