//! Suggestions; the checks themselves are tested with whole files.

use super::*;

#[test]
fn a_name_is_suggested_only_if_it_was_probably_meant() {
    let known = ["authentication", "handshakes", "id", "keys", "schema"];
    let check = |written: &str, expected: Option<&str>| {
        assert_eq!(nearest(written, known.into_iter()), expected, "{written}");
    };
    check("autentication", Some("authentication"));
    check("Schema", Some("schema"));
    check("key", Some("keys"));
    check("ID", Some("id"));
    check("ids", Some("id"));
    check("preset", None);
    check("x", None);
    check("", None);
}
