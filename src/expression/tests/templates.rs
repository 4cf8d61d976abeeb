//! Templates: what they render to by their position, and what they refuse.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::{MAX_BODY, Request, body};
use crate::expression::{Budget, Position, Scope, Template, TreeTemplate, check_literal};

fn budget() -> Budget {
    Budget::for_body_limit(MAX_BODY)
}

fn compile(source: &str, position: Position) -> Template {
    Template::compile(source, &Scope::digest_message(), position)
        .unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// Every case is a template and its text, or a part of the error's message.
fn check_texts(position: Position, cases: &[(&str, Result<&str, &str>)]) {
    let request = Request::with_body(&body());
    for (source, expected) in cases {
        let template = compile(source, position);
        let rendered = template.render_text(&request, &mut budget());
        match (rendered, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, *expected, "{source}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{source}: {error}")
            }
            (result, _) => panic!("{source}: {result:?}"),
        }
    }
}

/// Every case is a template, a part of the message, and the text it is about.
fn check_refused(position: Position, cases: &[(&str, &str, &str)]) {
    for (source, expected, about) in cases {
        match Template::compile(source, &Scope::events(), position) {
            Ok(_) => panic!("{source} compiles"),
            Err(error) => {
                assert!(error.message.contains(expected), "{source}: {error}");
                assert_eq!(&source[error.range.clone()], *about, "{source}: {error}");
            }
        }
    }
}

#[test]
fn placeholders_end_at_their_own_parenthesis() {
    check_texts(
        Position::Text,
        &[
            ("", Ok("")),
            ("plain $ text $", Ok("plain $ text $")),
            ("$(item.id)", Ok("7")),
            ("a$(item.id)b$(item.account)c", Ok("a7bacmec")),
            ("$(item.id)$(item.id)", Ok("77")),
            ("$$(item.id)", Ok("$(item.id)")),
            ("$$$(item.id)", Ok("$$(item.id)")),
            ("$$$$(item.id)$(item.id)", Ok("$$$(item.id)7")),
            ("$((1 + 2) * 3)!", Ok("9!")),
            ("$(')')$('(')", Ok(")(")),
            (r#"$("\")")"#, Ok("\")")),
            (r"$(r'\')x", Ok("\\x")),
            (r"$('''it's)''')", Ok("it's)")),
            (r"$(string(rb'\)'))", Ok("\\)")),
            ("$(size([')', \"(\"]))", Ok("2")),
            ("é$('é')é", Ok("ééé")),
            ("$(\n item.id\n)", Ok("7")),
        ],
    );
    check_refused(
        Position::Text,
        &[
            ("a $(item.id", "not closed", "$("),
            ("a $(('x')", "not closed", "$("),
            ("a $('x)", "not closed", "'"),
            ("a $()", "empty", ""),
            ("a $(item.id) $(itm.id)", "did you mean `item`?", "itm"),
            ("é $(1 +)", "expecting expression", ""),
        ],
    );
}

#[test]
fn text_takes_what_has_a_text_form() {
    check_texts(
        Position::Text,
        &[
            (
                "v0:$(request.headers['x-timestamp']):$(request.body.text)",
                Ok("v0:1700000000:Grüße"),
            ),
            (
                "$(1.5) $(true) $(2u) $(b'x') $(duration('1s'))",
                Ok("1.5 true 2 x 1s"),
            ),
            ("$(null)", Err("null has no text form")),
            ("x$(null)", Err("null has no text form")),
            ("$([1])", Err("no text form")),
            ("$({})", Err("no text form")),
            ("$(b'\\xff')", Err("not UTF-8")),
            ("$(item.missing)", Err("no field `missing`")),
        ],
    );
}

#[test]
fn headers_hold_no_control_characters() {
    check_texts(
        Position::Header,
        &[
            ("text/plain", Ok("text/plain")),
            ("Bearer $(item.account)", Ok("Bearer acme")),
            ("$('a\\tb')", Ok("a\tb")),
            ("$('a\\r\\nb')", Err("line break")),
            ("x$('a\\nb')", Err("line break")),
            ("$('a\\u0000b')", Err("control character")),
        ],
    );
    check_refused(
        Position::Header,
        &[
            ("a\r\nb: c", "no line breaks", "\r"),
            ("a\u{7f}", "no line breaks", "\u{7f}"),
        ],
    );
}

#[test]
fn json_keeps_the_type_of_a_single_placeholder() {
    let cases = [
        ("$(item.id)", json!(7)),
        ("$(item.id) ", json!("7 ")),
        ("$(item.tags)", json!(["x", "y"])),
        ("$(item)", body_item()),
        ("$(null)", json!(null)),
        ("$(b'ab')", json!("YWI=")),
        ("plain", json!("plain")),
        ("$$(x)", json!("$(x)")),
    ];
    let request = Request::with_body(&body());
    for (source, expected) in cases {
        let template = compile(source, Position::Json);
        let value = template.render_value(&request, &mut budget()).unwrap();
        assert_eq!(value.to_json(&mut budget()), Ok(expected), "{source}");
    }
}

fn body_item() -> Json {
    json!({"id": 7, "type": "contact.created", "account": "acme", "tags": ["x", "y"]})
}

#[test]
fn lists_repeat_in_forms_and_queries() {
    let request = Request::with_body(&body());
    let cases: [(&str, &[&str]); 6] = [
        ("$(item.tags)", &["x", "y"]),
        ("$(item.id)", &["7"]),
        ("a&b $(item.id)", &["a&b 7"]),
        ("$(null)", &[]),
        ("$([])", &[]),
        ("", &[""]),
    ];
    for position in [Position::Form, Position::Query] {
        for (source, expected) in cases {
            let texts = compile(source, position)
                .render_texts(&request, &mut budget())
                .unwrap();
            assert_eq!(texts, expected, "{source}");
        }
    }
    assert!(
        compile("$([[1]])", Position::Form)
            .render_texts(&request, &mut budget())
            .is_err()
    );
}

#[test]
fn urls_keep_every_value_in_its_part() {
    check_texts(
        Position::Url,
        &[
            ("https://crm.example/v2", Ok("https://crm.example/v2")),
            (
                "https://$(item.account).crm.example/",
                Ok("https://acme.crm.example/"),
            ),
            ("https://$(item.account):8443/x", Ok("https://acme:8443/x")),
            (
                "https://h.example/a/$(request.headers['x-id'])/b",
                Ok("https://h.example/a/a%20b%2F%C3%BC/b"),
            ),
            (
                "https://h.example/$(path(request.headers['x-id']))",
                Ok("https://h.example/a%20b/%C3%BC"),
            ),
            (
                "https://h.example/?q=$(request.headers['x-id'])&r=1",
                Ok("https://h.example/?q=a+b%2F%C3%BC&r=1"),
            ),
            (
                "https://h.example?q=$('a&b=c#d')",
                Ok("https://h.example?q=a%26b%3Dc%23d"),
            ),
            ("https://h.example/x?q=$('')", Ok("https://h.example/x?q=")),
            (
                "$(request.url)",
                Ok("https://hooks.example.com/crm/contacts?a=1"),
            ),
            (
                "https://h.example/v$(item.id).json",
                Ok("https://h.example/v7.json"),
            ),
            (
                "https://h.example/$(path('a?b#c'))",
                Ok("https://h.example/a%3Fb%23c"),
            ),
            // Nothing a value holds can start another part of the URL.
            (
                "https://$('evil.example/').crm.example/",
                Err("not a hostname"),
            ),
            ("https://$('a@evil.example').x/", Err("not a hostname")),
            ("https://$('').crm.example/", Err("not a hostname")),
            ("https://$('a..b').x/", Err("not a hostname")),
            (
                "https://x.example$('.evil.example')/",
                Err("not a hostname"),
            ),
            ("https://h.example:$('99999')/", Err("not a URL")),
            ("https://h.example/a/$('..')/b", Err("`.` or `..`")),
            ("https://h.example/a/.$('.')/b", Err("`.` or `..`")),
            ("https://h.example/a/$(path('x/../..'))", Err("`.` or `..`")),
            ("https://h.example/$('')", Err("is empty")),
            ("https://h.example/$(path(''))/x", Err("is empty")),
            ("$('ftp://h.example')", Err("not an http")),
            ("$('javascript:alert(1)')", Err("not an http")),
            ("$('https://u:p@h.example/')", Err("a user")),
            ("$('https://h.example/\\r\\nX: y')", Err("not an http")),
            ("$('https://')", Err("not a URL")),
            ("https://h.example/$(null)", Err("null has no text form")),
        ],
    );
    check_refused(
        Position::Url,
        &[
            ("", "begins with https://", ""),
            ("/path", "begins with https://", "/"),
            ("$('https')://x", "begins with https://", "$"),
            ("ftp://x", "begins with https://", "f"),
            (
                "https://u@h.example/",
                "use a header",
                "https://u@h.example/",
            ),
            (
                "https://h.example/#$(item.id)",
                "never sent",
                "https://h.example/#",
            ),
            (
                "https://h.example/a b",
                "percent-encoded",
                "https://h.example/a b",
            ),
            ("https://h.example/$(item.id)/ü", "percent-encoded", "/ü"),
            (
                "https://h.example/a/../$(item.id)",
                "not a URL",
                "https://h.example/a/../$(item.id)",
            ),
            (
                "https://h.example/a/%2E%2e/$(item.id)",
                "not a URL",
                "https://h.example/a/%2E%2e/$(item.id)",
            ),
            ("https://", "not a URL", "https://"),
            (
                "https://h.example/?a=$(path(item.id))",
                "stands alone",
                "path",
            ),
            (
                "https://h.example/$('a' + path(item.id))",
                "stands alone",
                "path",
            ),
        ],
    );
}

#[test]
fn bytes_are_signed_as_they_are() {
    let request = Request::with_raw_body(b"\xff{}".to_vec());
    let cases: [(&str, &[u8]); 6] = [
        ("$(request.rawBody)", b"\xff{}"),
        ("$(key)$(request.rawBody)", b"k\xff\xff{}"),
        (
            "v0:$(request.headers['x-timestamp']).$(request.rawBody)",
            b"v0:1700000000.\xff{}",
        ),
        ("$(crc32(request.rawBody))|é", "1153239163|é".as_bytes()),
        (
            "$(hex(sha256('')))",
            b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("", b""),
    ];
    for (source, expected) in cases {
        let template = compile(source, Position::Bytes);
        if !source.contains("crc32") {
            assert_eq!(
                template.render_bytes(&request, &mut budget()).unwrap(),
                expected,
                "{source}"
            );
        }
        let mut pieces = Vec::new();
        template
            .render_pieces(&request, &mut budget(), &mut |piece| {
                pieces.extend_from_slice(piece)
            })
            .unwrap();
        assert_eq!(
            pieces,
            &*template.render_bytes(&request, &mut budget()).unwrap(),
            "{source}"
        );
    }
    let whole = compile("$(request.rawBody)", Position::Bytes);
    let rendered = whole.render_bytes(&request, &mut budget()).unwrap();
    assert!(
        matches!(rendered, Cow::Borrowed(_)),
        "a body alone is not copied"
    );
    assert!(
        compile("$(null)", Position::Bytes)
            .render_bytes(&request, &mut budget())
            .is_err()
    );
}

#[test]
fn every_placeholder_says_what_it_reads_and_whether_it_is_sensitive() {
    let template = compile("a $(key) b $(request.rawBody)", Position::Bytes);
    let told: Vec<(bool, bool)> = template
        .placeholders()
        .map(|placeholder| {
            (
                placeholder.is_sensitive(),
                placeholder.references().mentions(&["request", "rawBody"]),
            )
        })
        .collect();
    assert_eq!(told, [(true, false), (false, true)]);
    assert!(template.is_sensitive());
    assert!(template.references().mentions(&["key"]));
    assert!(template.as_literal().is_none());
    assert_eq!(
        compile("a$$(b)", Position::Text).as_literal(),
        Some("a$(b)")
    );
}

#[test]
fn trees_are_rendered_with_typed_values_and_literal_keys() {
    let request = Request::with_body(&body());
    let tree = json!({
        "id": "$(item.id)",
        "text": "n=$(item.id)",
        "list": ["$(item.tags)", 1, null, {"deep": "$(request.body.nested.a)"}],
        "plain": {"a": [1, "$$(x)"]},
        "odd/ke~y": "$(true)"
    });
    let expected = json!({
        "id": 7,
        "text": "n=7",
        "list": [["x", "y"], 1, null, {"deep": {"b": {"c": "deep"}}}],
        "plain": {"a": [1, "$(x)"]},
        "odd/ke~y": true
    });
    let template = TreeTemplate::compile(&tree, &Scope::events()).unwrap();
    assert_eq!(template.render(&request, &mut budget()), Ok(expected));
    assert!(
        template
            .references()
            .mentions(&["request", "body", "nested"])
    );
    assert!(!template.references().mentions(&["parent"]));
    assert!(!template.is_sensitive());

    for (tree, expected, pointer) in [
        (
            json!({"a": [0, {"b/c": "$(itm.x)"}]}),
            "did you mean `item`?",
            "/a/1/b~1c",
        ),
        (
            json!({"a": {"$(item.id)": 1}}),
            "a key is literal",
            "/a/$(item.id)",
        ),
        (json!("$("), "not closed", ""),
    ] {
        let error = TreeTemplate::compile(&tree, &Scope::events()).unwrap_err();
        assert!(error.message.contains(expected), "{tree}: {error}");
        assert_eq!(error.pointer, pointer, "{tree}");
    }
    let deep = (0..300).fold(json!(1), |inner, _| json!([inner]));
    assert!(
        TreeTemplate::compile(&deep, &Scope::events())
            .unwrap_err()
            .message
            .contains("too deeply")
    );
}

#[test]
fn literal_fields_hold_no_placeholders() {
    for (text, expected) in [
        ("plain $ (x)", None),
        ("a $(b)", Some(2..4)),
        ("$$(b)", Some(1..3)),
    ] {
        assert_eq!(
            check_literal(text).err().map(|error| error.range),
            expected,
            "{text}"
        );
    }
}
