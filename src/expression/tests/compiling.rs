//! What is refused before any request, with which words, and where.

use crate::expression::{Expression, Member, Path, PathRoot, Scope, Shape};

/// Every case is a source, a part of the message, and the text the message is about.
fn check_refused(scope: &Scope, cases: &[(&str, &str, &str)]) {
    for (source, expected, about) in cases {
        match Expression::compile(source, scope) {
            Ok(_) => panic!("{source} compiles"),
            Err(error) => {
                assert!(
                    error.message.contains(expected),
                    "{source}: {}",
                    error.message
                );
                assert_eq!(
                    &source[error.range.clone()],
                    *about,
                    "{source}: {}",
                    error.message
                );
            }
        }
    }
}

#[test]
fn unknown_names_are_refused_with_their_place_and_what_was_meant() {
    check_refused(
        &Scope::events(),
        &[
            (
                "requst.body",
                "unknown name `requst`; did you mean `request`?",
                "requst",
            ),
            (
                "1 + foo",
                "unknown name `foo`; the names here are request, item, parent, auth",
                "foo",
            ),
            (
                "request.boddy.x == 1",
                "`request` has no field `boddy`; did you mean `body`?",
                "boddy",
            ),
            ("request['boddy'].x", "did you mean `body`?", "['boddy']"),
            ("request.rawbody", "did you mean `rawBody`?", "rawbody"),
            ("has(request.boddy)", "did you mean `body`?", "has"),
            (
                "get(request, 'boddy.x', 1)",
                "`request` has no field `boddy`",
                "request",
            ),
            ("request.zzzzz", "it has method, path, url", "zzzzz"),
            (
                "request.method.x",
                "`request.method` has no fields, so no `x`",
                "x",
            ),
            (
                "request.headers['X-Id']",
                "are lower case: write `x-id`, not `X-Id`",
                "['X-Id']",
            ),
            ("auth.claim.sub", "did you mean `claims`?", "claim"),
            ("[1].map(x, x + y)", "unknown name `y`", "y"),
            ("[1].map(x, 1) == [x]", "unknown name `x`", "x"),
            ("'ü' + foo", "unknown name `foo`", "foo"),
            (
                "customer.id",
                "`customer` needs a per-customer subscription",
                "customer",
            ),
            (
                "subscription.id",
                "`subscription` needs a per-customer subscription",
                "subscription",
            ),
            (
                "signingSecret",
                "`signingSecret` needs a per-customer subscription",
                "signingSecret",
            ),
            ("@result", "unexpected character", "@"),
        ],
    );
    check_refused(
        &Scope::handshake(),
        &[
            ("item.x", "`item` does not exist in a handshake", "item"),
            ("auth.method", "before the request is authenticated", "auth"),
        ],
    );
    check_refused(
        &Scope::authentication(),
        &[
            ("auth.claims", "exists only after authentication", "auth"),
            ("key", "unknown name", "key"),
        ],
    );
    check_refused(
        &Scope::event(),
        &[
            (
                "event.dta.x",
                "`event` has no field `dta`; did you mean `data`?",
                "dta",
            ),
            (
                "request.body",
                "unknown name `request`; the names here are event",
                "request",
            ),
            ("event.extensions.MyExt", "are lower case", "MyExt"),
        ],
    );
}

#[test]
fn unknown_functions_and_wrong_calls_are_refused() {
    check_refused(
        &Scope::events(),
        &[
            (
                "frobnicate(1)",
                "unknown function `frobnicate`",
                "frobnicate",
            ),
            (
                "'a'.startWith('a')",
                "did you mean `startsWith`?",
                "startWith",
            ),
            ("json.encod(1)", "did you mean `json.encode`?", "encod"),
            ("sha265('a')", "did you mean `sha256`?", "sha265"),
            (
                "startsWith('a', 'b')",
                "write `x.startsWith(…)`, not `startsWith(x, …)`",
                "startsWith",
            ),
            ("'a'.sha256()", "write `sha256(x, …)`", "sha256"),
            ("size(1, 2)", "`size` takes one argument", "size"),
            (
                "'a'.contains()",
                "`contains` takes one argument",
                "contains",
            ),
            ("'a'.trim(1)", "`trim` takes no argument", "trim"),
            (
                "'a'.substring()",
                "`substring` takes 1 to 2 arguments",
                "substring",
            ),
            (
                "math.least()",
                "`math.least` takes at least 1 arguments",
                "least",
            ),
            ("get(item, 'a')", "`get` takes a value", "get"),
            ("get(item, 'a..b', 1)", "one dot between", "'a..b'"),
            ("[1].sortBy(x)", "`sortBy` takes a variable", "sortBy"),
            ("[1].sortBy(x.y, 1)", "simple name", "y"),
            ("path('a')", "`path(…)` stands alone", "path"),
            ("sign('a')", "unknown function `sign`", "sign"),
            ("[1].map(1, 2)", "simple name", "1"),
            ("has(1)", "invalid argument to has()", "1"),
        ],
    );
}

#[test]
fn patterns_are_literal_valid_and_small() {
    check_refused(
        &Scope::events(),
        &[
            ("'a'.matches(item.p)", "has to be a literal", "p"),
            ("'a'.matches('(')", "not valid: unclosed group", "'('"),
            ("'a'.matches('(?=a)')", "not valid: look-around", "'(?=a)'"),
            (
                "'a'.matches('(?:a{1,1000}){1,1000}')",
                "too large",
                "'(?:a{1,1000}){1,1000}'",
            ),
            ("'a'.matches('a', 'b')", "a text and a pattern", "matches"),
        ],
    );
}

#[test]
fn syntax_errors_are_placed() {
    check_refused(
        &Scope::events(),
        &[
            ("", "empty", ""),
            ("  ", "empty", "  "),
            ("1 +", "expecting expression", ""),
            ("1 + + 2", "unexpected token", "+"),
            ("'abc", "unterminated", "'abc"),
            ("a & b", "single '&'", "&"),
            ("item.x = 1", "mismatched input '='", "="),
            ("ü == 1", "unexpected character", "ü"),
            ("item.?x", "unsupported syntax '.?'", "."),
            ("[1,\n2,\n3", "expected ']'", ""),
            ("for", "reserved identifier", "f"),
            ("99999999999999999999", "invalid int literal", "9"),
            ("Foo{a: 1}", "no message type `Foo`", "Foo"),
        ],
    );
}

#[test]
fn comprehensions_stand_one_after_the_other_only() {
    let inside = "inside another's body";
    check_refused(
        &Scope::events(),
        &[
            ("[1].map(x, [2].map(y, x * y))", inside, "map"),
            ("item.l.all(x, item.m.exists(y, x == y))", inside, "exists"),
            ("[1].filter(x, [2].sortBy(y, y) == [])", inside, "sortBy"),
            ("[1].sortBy(x, [2].exists(y, y == x))", inside, "exists"),
            ("[1].map(x, [2].exists(y, y == x), x)", inside, "exists"),
        ],
    );
    for source in [
        "[1].map(x, x).filter(x, true)",
        "[[1].map(x, x)].map(y, y)",
        "[1].exists(x, true) && [2].all(x, true)",
    ] {
        assert!(
            Expression::compile(source, &Scope::events()).is_ok(),
            "{source}"
        );
    }
}

#[test]
fn length_depth_and_parts_are_bounded() {
    let scope = Scope::events();
    let cases = [
        (format!("'{}'", "ü".repeat(2_046)), None),
        (
            format!("'{}'", "ü".repeat(2_047)),
            Some("longer than 2048 characters"),
        ),
        (
            format!("{}1{}", "(".repeat(1_000), ")".repeat(1_000)),
            Some(""),
        ),
        (format!("{}1{}", "[".repeat(40), "]".repeat(40)), None),
        (format!("{}1{}", "[".repeat(900), "]".repeat(900)), Some("")),
        (
            format!("{}1{}", "-!".repeat(1_000), ""),
            Some("too many parts"),
        ),
        (format!("{}1", "-!".repeat(300)), Some("nested too deeply")),
        (format!("item{}", ".a".repeat(400)), None),
        (
            format!("item{}", ".a()".repeat(200)),
            Some("unknown function"),
        ),
        (
            format!("item{}", ".trim()".repeat(180)),
            Some("nested too deeply"),
        ),
        (vec!["1"; 150].join("+"), None),
        (vec!["1"; 400].join("+"), Some("nested too deeply")),
        (vec!["true"; 300].join("&&"), None),
        (format!("{}1", "true?1:".repeat(60)), None),
        (
            format!("{}1", "true?1:".repeat(250)),
            Some("too many parts"),
        ),
        (
            format!("{}1{}", "{1:".repeat(300), "}".repeat(300)),
            Some(""),
        ),
        (
            format!("{}1{}", "size(".repeat(300), ")".repeat(300)),
            Some(""),
        ),
    ];
    for (source, expected) in cases {
        let shown: String = source.chars().take(40).collect();
        match (Expression::compile(&source, &scope), expected) {
            (Ok(_), None) => {}
            (Ok(_), Some(_)) if source.starts_with('(') => {}
            (Ok(_), Some(expected)) => panic!("{shown}… compiles, not {expected}"),
            (Err(error), None) => panic!("{shown}…: {error}"),
            (Err(error), Some(expected)) => {
                assert!(error.message.contains(expected), "{shown}…: {error}")
            }
        }
    }
}

#[test]
fn references_tell_what_an_expression_can_read() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "request.body.a.b == item.x",
            &[
                "request",
                "request.body",
                "request.body.a",
                "request.body.a.b.c",
                "item",
            ],
            &["request.headers", "request.body.z", "parent"],
        ),
        (
            "json.encode(request)",
            &["request.body", "request.method"],
            &["item"],
        ),
        (
            "request.headers[item.name]",
            &["request.headers.x", "item.name"],
            &["request.body", "item.other"],
        ),
        (
            "has(request.body.x)",
            &["request.body.x"],
            &["request.body.y"],
        ),
        (
            "get(request, 'body.x', parent.id)",
            &["request.body.x", "parent.id"],
            &["request.headers", "request.body.y"],
        ),
        ("get(request, item.p, 1)", &["request.body"], &["auth"]),
        ("[1].map(item, item + 1)", &[], &["item"]),
        ("item.map(item, item.x)", &["item"], &["request"]),
        (
            "request['body']['x y']",
            &["request.body"],
            &["request.path"],
        ),
        ("'item' == \"request.body\"", &[], &["item", "request"]),
    ];
    for (source, read, unread) in cases {
        let expression = Expression::compile(source, &Scope::events()).unwrap();
        for (paths, expected) in [(read, true), (unread, false)] {
            for path in *paths {
                let path: Vec<&str> = path.split('.').collect();
                assert_eq!(
                    expression.references().mentions(&path),
                    expected,
                    "{source}: {path:?}"
                );
            }
        }
    }
}

#[test]
fn sensitive_values_are_known_and_refused_where_the_scope_says() {
    let customer = || {
        Member::new(
            "customer",
            Shape::Fields(vec![
                Member::new("id", Shape::Scalar),
                Member::new(
                    "fields",
                    Shape::Fields(vec![
                        Member::new("plan", Shape::Scalar),
                        Member::new("token", Shape::Scalar).sensitive(),
                    ]),
                ),
            ]),
        )
    };
    let open = Scope::events().with(customer()).allowing_sensitive();
    let closed = Scope::events().with(customer());
    for (source, sensitive) in [
        ("customer.id", false),
        ("customer.fields.plan", false),
        ("customer.fields.token", true),
        ("'a' + customer.fields['token']", true),
        ("customer.fields", true),
        ("json.encode(customer)", true),
        ("customer.fields[item.name]", true),
        ("get(customer, 'fields.token', '')", true),
        ("get(customer, 'fields.plan', '')", false),
        ("has(customer.fields.token)", true),
        ("size(customer.fields.token) > 0 ? 1 : 2", true),
        ("customer.map(k, k)", true),
    ] {
        let expression = Expression::compile(source, &open).unwrap();
        assert_eq!(expression.is_sensitive(), sensitive, "{source}");
        match Expression::compile(source, &closed) {
            Ok(_) => assert!(
                !sensitive,
                "{source} is refused where nothing sensitive is allowed"
            ),
            Err(error) => assert!(
                sensitive && error.message.contains("is sensitive"),
                "{source}: {error}"
            ),
        }
    }
    let digest = Expression::compile("key", &Scope::digest_message()).unwrap();
    assert!(digest.is_sensitive());
}

#[test]
fn a_function_can_be_kept_from_a_place() {
    let scope = Scope::events().without_function("json.decode", "`json.decode` has no place here");
    check_refused(
        &scope,
        &[("json.decode('1')", "has no place here", "decode")],
    );
}

#[test]
fn paths_are_names_and_nothing_else() {
    let cases: &[(&str, PathRoot, &[&str])] = &[
        ("request.body", PathRoot::Body, &[]),
        ("request.body.events", PathRoot::Body, &["events"]),
        (
            " request . body [ \"a b\" ].c ",
            PathRoot::Body,
            &["a b", "c"],
        ),
        ("request['body']['it\\'s']", PathRoot::Body, &["it's"]),
        ("item", PathRoot::Item, &[]),
        (
            "item.changes.value_1",
            PathRoot::Item,
            &["changes", "value_1"],
        ),
    ];
    for (source, root, segments) in cases {
        let path = Path::parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(
            (path.root(), path.segments()),
            (
                *root,
                segments
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .as_slice()
            ),
            "{source}"
        );
    }
    for (source, expected, at) in [
        ("", "a name is expected", 0),
        ("request", "begins with `request.body`", 0),
        ("request.headers", "begins with `request.body`", 0),
        ("reqest.body", "did you mean `request`?", 0),
        ("parent.x", "begins with", 0),
        ("item.", "a name is expected", 5),
        ("item[0]", "leads to lists, not into them", 5),
        ("item.map(x, x)", "names and", 8),
        ("item['a'", "`]` is expected", 8),
        ("item['a", "not closed", 7),
        ("item['a\\n']", "backslash", 7),
        ("item + 1", "names and", 5),
        ("item.1", "a name is expected", 5),
        ("item.ü", "a name is expected", 5),
    ] {
        let error = Path::parse(source).expect_err(source);
        assert!(error.message.contains(expected), "{source}: {error}");
        assert_eq!(error.range.start, at, "{source}: {error}");
    }
}
