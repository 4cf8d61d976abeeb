//! Properties: whatever is put together from the language's pieces, nothing
//! panics, and no accepted expression or template spends more than its budget.

use proptest::prelude::*;
use serde_json::json;

use super::{Request, body};
use crate::expression::{Budget, EvaluationError, Expression, Path, Position, Scope, Template};

/// A source of the grammar: often type-correct enough to run for a while.
fn source() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "1",
            "0",
            "-1",
            "9223372036854775807",
            "1u",
            "18446744073709551615u",
            "1.5",
            "1e308",
            "true",
            "false",
            "null",
            "'a'",
            "''",
            "'ü,b=c'",
            "b'\\xff'",
            "'%s %d'",
            "'2024-01-01T00:00:00Z'",
            "'1h'",
            "[]",
            "{}",
            "x",
            "int",
            "request.body",
            "request.body.list",
            "request.body.words",
            "request.body.people",
            "request.body.text",
            "request.body.missing",
            "request.rawBody",
            "request.headers",
            "request.query['many']",
            "item",
            "item.id",
            "item.tags",
            "parent.id",
            "auth.claims",
            "timestamp(0)",
            "duration('1s')",
            "lists.range(100)",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        "[a-z]{0,5}".prop_map(|text| format!("'{text}'")),
    ];
    leaf.prop_recursive(6, 48, 4, |inner| {
        let operator = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in",
        ]);
        let call = prop::sample::select(vec![
            "size",
            "type",
            "int",
            "uint",
            "double",
            "string",
            "bytes",
            "bool",
            "timestamp",
            "duration",
            "dyn",
            "hex",
            "sha1",
            "sha256",
            "crc32",
            "kv",
            "json.encode",
            "json.decode",
            "url.encode",
            "url.decode",
            "url.host",
            "base64.encode",
            "base64.decode",
            "strings.quote",
            "lists.range",
            "time.millis",
            "math.greatest",
            "!",
            "-",
        ]);
        let method = prop::sample::select(vec![
            "size",
            "join",
            "lowerAscii",
            "upperAscii",
            "trim",
            "reverse",
            "distinct",
            "flatten",
            "sort",
            "first",
            "last",
            "getFullYear",
            "getHours",
            "getDayOfWeek",
        ]);
        let method_of_one = prop::sample::select(vec![
            "contains",
            "startsWith",
            "endsWith",
            "charAt",
            "indexOf",
            "lastIndexOf",
            "join",
            "split",
            "substring",
            "format",
            "flatten",
            "getHours",
        ]);
        let method_of_two = prop::sample::select(vec![
            "indexOf",
            "lastIndexOf",
            "replace",
            "split",
            "substring",
            "slice",
        ]);
        let comprehension = prop::sample::select(vec![
            "map",
            "filter",
            "all",
            "exists",
            "exists_one",
            "sortBy",
        ]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(l, o, r)| format!("({l} {o} {r})")),
            (call, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), method).prop_map(|(t, f)| format!("{t}.{f}()")),
            (inner.clone(), method_of_one, inner.clone())
                .prop_map(|(t, f, a)| format!("{t}.{f}({a})")),
            (inner.clone(), method_of_two, inner.clone(), inner.clone())
                .prop_map(|(t, f, a, b)| format!("{t}.{f}({a}, {b})")),
            (inner.clone(), comprehension, inner.clone())
                .prop_map(|(t, f, a)| format!("{t}.{f}(x, {a})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("get({a}, 'a.0.name', {b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("get({a}, {b}, {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("time.parse({a}, {b})")),
            (inner.clone(), "[ab.?*+(){}|^$0-9]{0,6}")
                .prop_map(|(a, p)| format!("{a}.matches('{p}')")),
            inner.clone().prop_map(|a| format!("{a}.name")),
            inner.prop_map(|a| format!("has({a}.name)")),
        ]
    })
}

/// Pieces of the language in any order, most of it nonsense.
fn nonsense() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "request",
        ".body",
        "item",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "'",
        "\"",
        "\\",
        "r'",
        "b\"",
        "'''",
        "//",
        "\n",
        ",",
        ":",
        "?",
        "!",
        "-",
        "+",
        "&&",
        "||",
        "in",
        "has",
        ".map(x,",
        ".matches(",
        "1",
        "0x",
        "1e",
        "1u",
        ".5",
        "$(",
        "$$(",
        "`",
        "ü",
        "\u{0}",
        "for",
        "null",
        "@",
        "#",
        "=",
        "/",
        "path(",
        "https://",
        " ",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Evaluates within a small budget, and checks what was spent and said.
fn run(source: &str) -> Result<(), TestCaseError> {
    let Ok(expression) = Expression::compile(source, &Scope::events()) else {
        return Ok(());
    };
    let request = Request::with_body(&body());
    let (steps, bytes) = (2_000, 50_000);
    let mut budget = Budget::new(steps, bytes);
    let result = expression.evaluate(&request, &mut budget);
    prop_assert!(budget.steps_left() <= steps && budget.bytes_left() <= bytes);
    match result {
        Ok(value) => {
            // What came out was paid for, or is borrowed from what came in.
            let mut written = Vec::new();
            let _ = value.write_json(&mut written, &mut Budget::new(100_000, 10 << 20));
            let mut ample = Budget::new(10_000_000, 1 << 30);
            prop_assert!(
                expression.evaluate(&request, &mut ample).is_ok(),
                "a larger budget changes no result"
            );
        }
        Err(error) if error.is_exhaustion() => {
            let spent = if error == EvaluationError::StepsExhausted {
                u64::from(budget.steps_left())
            } else {
                budget.bytes_left()
            };
            prop_assert_eq!(spent, 0, "exhausted means that nothing is left");
        }
        Err(_) => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn expressions_never_panic_and_keep_to_their_budget(source in source()) {
        run(&source)?;
    }

    #[test]
    fn nonsense_is_refused_in_peace(source in nonsense()) {
        run(&source)?;
        let scope = Scope::events();
        if let Err(error) = Expression::compile(&source, &scope) {
            prop_assert!(source.get(error.range.clone()).is_some(), "{:?} of {source:?}", error.range);
        }
        if let Err(error) = Path::parse(&source) {
            prop_assert!(source.get(error.range.clone()).is_some(), "{:?} of {source:?}", error.range);
        }
    }

    #[test]
    fn any_text_is_refused_in_peace(source in ".{0,80}") {
        run(&source)?;
    }

    #[test]
    fn templates_never_panic_and_keep_to_their_budget(
        literal in prop_oneof![nonsense(), Just("https://h.example/".to_owned()), Just(String::new())],
        placeholder in source(),
        ending in nonsense(),
    ) {
        let text = format!("{literal}$({placeholder}){ending}");
        let request = Request::with_body(&body());
        for position in [Position::Json, Position::Form, Position::Query, Position::Url, Position::Header, Position::Text, Position::Bytes] {
            let template = match Template::compile(&text, &Scope::events(), position) {
                Ok(template) => template,
                Err(error) => {
                    prop_assert!(text.get(error.range.clone()).is_some(), "{:?} of {text:?}", error.range);
                    continue;
                }
            };
            let allowance = 20_000;
            let mut budget = Budget::new(2_000, allowance);
            if let Ok(rendered) = template.render_text(&request, &mut budget) {
                prop_assert!(rendered.len() as u64 <= allowance + text.len() as u64);
                if position == Position::Header {
                    prop_assert!(!rendered.contains(['\r', '\n', '\0']));
                }
                if position == Position::Url && template.as_literal().is_none() {
                    prop_assert!(url::Url::parse(&rendered).is_ok(), "{rendered}");
                }
            }
            let _ = template.render_bytes(&request, &mut Budget::new(2_000, allowance));
            let _ = template.render_texts(&request, &mut Budget::new(2_000, allowance));
        }
    }

    #[test]
    fn a_value_never_leaves_its_part_of_a_url(value in any::<String>()) {
        let mut request = Request::with_body(&json!({}));
        request.item = json!({"v": value});
        let cases = [
            ("https://h.example/a/$(item.v)/b?q=1", 4, false),
            ("https://h.example/a/b?q=$(item.v)&r=1", 3, true),
        ];
        for (source, segments, in_query) in cases {
            let template = Template::compile(source, &Scope::events(), Position::Url).unwrap();
            let Ok(rendered) = template.render_text(&request, &mut Budget::for_body_limit(1 << 20)) else { continue };
            let url = url::Url::parse(&rendered).unwrap();
            prop_assert_eq!(url.host_str(), Some("h.example"));
            prop_assert_eq!(url.path().split('/').count(), segments, "{}", rendered);
            prop_assert_eq!(url.fragment(), None);
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs.len(), if in_query { 2 } else { 1 });
            if in_query {
                prop_assert_eq!(&pairs[0].1, &value);
            }
        }
    }
}
