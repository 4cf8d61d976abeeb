//! Hostile shapes: each is refused when it is compiled, or ends within 100 ms
//! of this thread's CPU time over a body of 1 MiB, whatever it ends with.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{MAX_BODY, Request};
use crate::expression::{
    Budget, EvaluationError, Expression, MAX_ELEMENTS, Position, STEPS, Scope, Template,
};

/// CPU time this thread has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

const LIMIT: Duration = Duration::from_millis(100);

/// The CPU time that reading 1 MiB of ones takes on the machine that the limit was found right for:
/// a slow one, with nothing else to do.
const READING: Duration = Duration::from_millis(14);

/// The least CPU time that `work` takes, of many times if it takes too long; `work` must begin from
/// nothing each time. Another one on the same core, or a hypervisor, can make all work take twice
/// as long, and longer than any number of counts lasts: so it is compared with what reading JSON
/// takes at the same moment.
fn least_cpu_time(mut work: impl FnMut()) -> Duration {
    let ones = format!("[{}1]", "1,".repeat((1 << 19) - 2));
    let mut least = Duration::MAX;
    for attempt in 0..40 {
        // After some in a row it is worth waiting for a better moment.
        std::thread::sleep(Duration::from_millis(if attempt < 5 { 0 } else { 100 }));
        let before = cpu_time();
        work();
        let taken = cpu_time() - before;
        least = least.min(taken);
        if least < LIMIT {
            break;
        }
        let before = cpu_time();
        let read = serde_json::from_str::<Json>(&ones);
        let reading = cpu_time() - before;
        assert!(read.is_ok());
        least = least.min(taken.mul_f64(READING.div_duration_f64(reading).min(1.0)));
        if least < LIMIT {
            break;
        }
    }
    least
}

/// A body of 1 MiB: a long text, and lists of many shapes.
fn large_body() -> Json {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner, inner.is_number()]));
    let mut body = json!({
        "l": (0..1_000).collect::<Vec<_>>(),
        "more": (0..20_000).collect::<Vec<_>>(),
        "texts": (0..1_000).map(|n| format!("text {n}")).collect::<Vec<_>>(),
        "maps": (0..1_000).map(|n| json!({"n": n, "k": "v"})).collect::<Vec<_>>(),
        "deep": deep,
        "zeros": format!("[{}0]", "0,".repeat(50_000)),
        "nest": "[".repeat(100_000),
        "pairs": "a=1,".repeat(25_000),
        "s": ""
    });
    let rest = (1 << 20) - body.to_string().len();
    body["s"] = json!("ab".repeat(rest / 2));
    body
}

/// Sources that may end with any value or error, but soon.
const HOSTILE: &[&str] = &[
    r#"size(request.body.l.map(x, request.body.s + "b"))"#,
    r#"size(request.body.l.map(x, request.body.s).map(x, x + "b").map(x, x + x))"#,
    "request.body.l.map(x, request.body.l)",
    "request.body.l.map(x, request.body.l + request.body.l)",
    "request.body.l.map(x, request.body.l == request.body.l)",
    "request.body.l.map(x, request.body == request.body)",
    "request.body.l.map(x, request.body.s == request.body.s)",
    "request.body.l.map(x, request.body.s < request.body.s)",
    "request.body.l.map(x, -1 in request.body.more)",
    "request.body.l.map(x, request.body.more.sort())",
    "request.body.l.map(x, request.body.l.sort())",
    "request.body.l.map(x, request.body.texts.distinct())",
    "request.body.l.map(x, request.body.maps.distinct())",
    "request.body.maps.distinct()",
    "request.body.more.map(x, x)",
    "request.body.more.sort()",
    "request.body.more.reverse()",
    "request.body.more + request.body.more",
    "request.body.l.map(x, size(request.body.s))",
    "request.body.l.map(x, request.body.s.contains('c'))",
    "request.body.l.map(x, request.body.s.contains(request.body.s))",
    "request.body.l.map(x, request.body.s.indexOf('ac'))",
    "request.body.l.map(x, request.body.s.lastIndexOf('ca'))",
    "request.body.l.map(x, request.body.s.charAt(1000000))",
    "request.body.l.map(x, request.body.s.substring(x))",
    "request.body.l.map(x, request.body.s.startsWith(request.body.s))",
    "request.body.l.map(x, request.body.s.endsWith(request.body.s))",
    "request.body.l.map(x, request.body.s.upperAscii())",
    "request.body.l.map(x, request.body.s.trim())",
    "request.body.l.map(x, request.body.s.reverse())",
    "request.body.s.replace('', request.body.s)",
    "request.body.s.replace('a', request.body.s)",
    "request.body.s.replace('a', '')",
    "request.body.s.replace('', 'x').replace('', 'x').replace('', 'x')",
    "request.body.s.split('')",
    "request.body.s.split('a')",
    "request.body.l.map(x, request.body.s.split('c'))",
    "request.body.l.map(x, request.body.s).join(request.body.s)",
    "request.body.texts.join(request.body.s)",
    "[request.body.s].map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x)",
    "['abcdefgh'].map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x)",
    "[[1]].map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x)",
    "[[1]].map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).flatten(100)",
    "[[1]].map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, json.encode(x))",
    "[[1]].map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, x == x)",
    "[request.body.deep].map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, '%s'.format([x]))",
    "request.body.l.map(x, json.encode(request.body))",
    "request.body.l.map(x, json.decode(request.rawBody))",
    "json.decode(request.body.zeros)",
    "request.body.l.map(x, json.decode(request.body.zeros))",
    "json.decode(request.body.nest)",
    "request.body.l.map(x, json.decode(request.body.nest))",
    "json.encode(json.encode(json.encode(request.body)))",
    "lists.range(1000000000)",
    "lists.range(9223372036854775807)",
    "lists.range(1000).map(x, lists.range(1000))",
    "lists.range(1000).map(x, lists.range(x)).flatten()",
    "request.body.l.map(x, request.body.deep.flatten(1000))",
    "request.body.l.map(x, base64.encode(request.body.s))",
    "request.body.l.map(x, base64.decode(request.body.s))",
    "request.body.l.map(x, hex(request.rawBody))",
    "hex(hex(hex(hex(hex(request.rawBody)))))",
    "request.body.l.map(x, sha256(request.rawBody))",
    "request.body.l.map(x, sha1(request.rawBody))",
    "request.body.l.map(x, crc32(request.rawBody))",
    "url.encode(url.encode(url.encode(request.body.s + '/')))",
    "request.body.l.map(x, url.decode(request.body.s))",
    "request.body.l.map(x, url.host('https://' + request.body.s))",
    "url.host('https://' + request.body.s.replace('a', 'ü'))",
    "request.body.l.map(x, kv(request.body.s))",
    "kv(request.body.pairs)",
    "request.body.l.map(x, kv(request.body.pairs, '='))",
    "kv(request.body.s, 'a')",
    "request.body.l.map(x, '%s%s%s'.format([request.body.s, request.body.s, request.body.s]))",
    "request.body.l.map(x, '%.100f%.100f%.100f'.format([1e300, 1e300, 1e300]))",
    "request.body.l.map(x, strings.quote(request.body.s))",
    "request.body.l.map(x, string(request.rawBody))",
    "request.body.l.map(x, bytes(request.body.s) == request.rawBody)",
    "request.body.l.map(x, int(request.body.s) == 1 || true)",
    "request.body.l.map(x, double(request.body.s) == 1.0 || true)",
    "request.body.l.map(x, timestamp(request.body.s) == timestamp(0) || true)",
    "request.body.l.map(x, duration(request.body.s) == duration('0') || true)",
    "request.body.l.map(x, time.parse(request.body.s, request.body.s) == timestamp(0) || true)",
    "time.parse(request.body.s, '%Y')",
    "request.body.l.map(x, {request.body.s: 1})",
    "request.body.l.map(x, request.body.s in request.body)",
    "request.body.l.map(x, get(request.body, request.body.s, 1))",
    "request.body.l.map(x, get(request.body, '......' + request.body.s.replace('b', '.'), 1))",
    "request.body.texts.sortBy(x, request.body.s + x)",
    "request.body.maps.sortBy(x, json.encode(x))",
    "request.body.l.sortBy(x, request.body.more.size() - x)",
    "math.greatest(request.body.more)",
    "request.body.l.map(x, math.least(request.body.l))",
    "request.body.s.matches('^(a|b)*$')",
    "request.body.s.matches('[ab]*a[ab]{20}c')",
    "request.body.s.matches('[ab]*a[ab]{200}c')",
    "request.body.s.matches('(a?){60}a{60}c')",
    "request.body.s.matches('(?:[ab]{0,30}){0,30}c')",
    "request.body.s.matches('(?:a.*b.*a.*b.*a.*b.*c)')",
    "request.body.s.matches('(?i)(?:ab|ba|aa|bb)*[^ab]')",
    r"request.body.s.matches(r'\w+\s\w+\d')",
    r"request.body.s.matches(r'(?:\w{1,20}\W){1,3}$')",
    "request.body.l.map(x, request.body.s.matches('c'))",
    "string(request.rawBody).matches('[0-9]{4}-[0-9]{2}c')",
    "request.body.l.exists(x, request.body.s + 'b' == '')",
    "request.body.l.all(x, (request.body.s + 'b').size() > 0)",
    "request.body.l.exists_one(x, (request.body.s + 'b').size() > 0)",
    "request.body.l.filter(x, (request.body.s + 'b').size() > 0)",
    "request.body.l.map(x, request.body.s.size() > 0, request.body.s + 'b')",
];

#[test]
fn hostile_expressions_are_refused_or_end_soon() {
    let request = Request::with_body(&large_body());
    assert!(request.raw_body.len() >= (1 << 20) - 2);
    // The body is parsed by its first use; that is the request's cost, not the expression's.
    let warm = Expression::compile("request.body.n == 1", &Scope::events()).unwrap();
    assert!(
        warm.evaluate(&request, &mut Budget::for_body_limit(MAX_BODY))
            .is_err()
    );

    let mut slow = Vec::new();
    for source in HOSTILE {
        // Refused when compiled: nothing is left to bound.
        let Ok(expression) = Expression::compile(source, &Scope::events()) else {
            continue;
        };
        let mut result = Ok(());
        let taken = least_cpu_time(|| {
            let mut budget = Budget::for_body_limit(MAX_BODY);
            result = expression.evaluate(&request, &mut budget).map(|_| ());
        });
        if taken > LIMIT {
            slow.push(format!("{taken:?} {result:?} {source}"));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

#[test]
fn hostile_templates_end_soon() {
    let request = Request::with_body(&large_body());
    let placeholders = |placeholder: &str, count: usize| placeholder.repeat(count);
    let sources = [
        (placeholders("$(request.body.s)", 500), Position::Text),
        (placeholders("$(request.rawBody)", 500), Position::Bytes),
        (
            placeholders("$(request.body.s + 'x')", 500),
            Position::Header,
        ),
        (
            format!(
                "https://h.example/{}",
                placeholders("$(request.body.s)", 100)
            ),
            Position::Url,
        ),
        (
            format!(
                "https://h.example/?{}",
                placeholders("$(request.body.s)&", 100)
            ),
            Position::Url,
        ),
        ("$(request.body)".to_owned(), Position::Json),
        (
            "$([request.body, request.body, request.body, request.body, request.body])".to_owned(),
            Position::Json,
        ),
        ("$(request.body.more)".to_owned(), Position::Form),
    ];
    for (source, position) in sources {
        let template = Template::compile(&source, &Scope::events(), position).unwrap();
        let taken = least_cpu_time(|| {
            let mut budget = Budget::for_body_limit(MAX_BODY);
            match position {
                Position::Bytes => drop(template.render_bytes(&request, &mut budget)),
                Position::Json => {
                    let value = template.render_value(&request, &mut budget).unwrap();
                    drop(value.to_json(&mut budget));
                }
                Position::Form => drop(template.render_texts(&request, &mut budget)),
                _ => drop(template.render_text(&request, &mut budget)),
            }
        });
        assert!(
            taken < LIMIT,
            "{taken:?} {}",
            &source[..source.len().min(60)]
        );
    }
}

#[test]
fn more_elements_than_allowed_are_an_error_like_any_other() {
    let body = json!({"just": vec![1; MAX_ELEMENTS], "over": vec![1; MAX_ELEMENTS + 1]});
    let request = Request::with_body(&body);
    for (source, expected) in [
        ("request.body.just.all(x, x == 1)", Ok(true)),
        (
            "request.body.over.all(x, x == 1)",
            Err(EvaluationError::TooManyElements),
        ),
        (
            "request.body.over.exists(x, x == 1)",
            Err(EvaluationError::TooManyElements),
        ),
        ("request.body.over.exists(x, true) || true", Ok(true)),
        (
            "request.body.over.sortBy(x, x) == []",
            Err(EvaluationError::TooManyElements),
        ),
        ("1 in request.body.over", Ok(true)),
    ] {
        let expression = Expression::compile(source, &Scope::events()).unwrap();
        let result = expression.evaluate_bool(&request, &mut Budget::for_body_limit(MAX_BODY));
        assert_eq!(result, expected, "{source}");
    }
}

#[test]
fn an_exhausted_budget_is_absorbed_by_nothing_and_stays_exhausted() {
    let request =
        Request::with_body(&json!({"l": (0..1000).collect::<Vec<_>>(), "s": "a".repeat(5_000)}));
    for (source, expected) in [
        (
            "request.body.l.all(x, request.body.l.size() + x + x + x + x + x + x + x + x > 0) || true",
            EvaluationError::StepsExhausted,
        ),
        (
            "true && request.body.l.map(x, x + x + x + x + x + x + x + x + x + x + x) == []",
            EvaluationError::StepsExhausted,
        ),
        (
            "request.body.l.exists(x, request.body.s + 'b' == 'c') || true",
            EvaluationError::BytesExhausted,
        ),
        (
            "request.body.l.exists(x, request.body.s + 'b' == 'c' || x == 999)",
            EvaluationError::BytesExhausted,
        ),
    ] {
        let expression = Expression::compile(source, &Scope::events()).unwrap();
        let mut budget = Budget::for_body_limit(10_000);
        assert_eq!(
            expression.evaluate(&request, &mut budget).map(|_| ()),
            Err(expected.clone()),
            "{source}"
        );
        let again = Expression::compile(
            "request.body.l.size() > 0 && 'a' + 'b' == 'ab'",
            &Scope::events(),
        )
        .unwrap();
        assert_eq!(
            again.evaluate(&request, &mut budget).map(|_| ()),
            Err(expected),
            "{source}"
        );
    }
}

#[test]
fn ordinary_expressions_are_far_below_the_budget() {
    let request = Request::with_body(&super::body());
    for (source, most) in [
        ("request.body.id", 4),
        (
            "request.method == 'POST' && request.headers['x-id'] != ''",
            16,
        ),
        (
            "request.body.people.filter(p, p.age > 18).map(p, p.name)",
            24,
        ),
    ] {
        let expression = Expression::compile(source, &Scope::events()).unwrap();
        let mut budget = Budget::for_body_limit(MAX_BODY);
        expression.evaluate(&request, &mut budget).unwrap();
        let steps = STEPS - budget.steps_left();
        assert!(steps <= most, "{source} takes {steps} steps");
    }
}

#[test]
fn deep_values_do_not_end_the_stack() {
    // As deep as JSON is read, with as many lists around it as an expression can put.
    let deep = (0..120).fold(json!(1), |inner, _| json!([inner]));
    let request = Request::with_body(&json!({ "deep": deep }));
    let wrapped = format!("[request.body.deep]{}", ".map(x, [x])".repeat(70));
    let sources = [
        format!("json.encode({wrapped}).size() > 0"),
        format!("{wrapped} == {}", "[[request.body.deep]]"),
        format!("{wrapped}.flatten(1000).size() == 1"),
        format!(
            "{}1{}.flatten(99).size() == 1",
            "[".repeat(50),
            "]".repeat(50)
        ),
    ];
    let thread = std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            for source in &sources {
                let result = Expression::compile(source, &Scope::events()).map(|expression| {
                    expression
                        .evaluate(&request, &mut Budget::for_body_limit(MAX_BODY))
                        .is_ok()
                });
                assert!(result.is_ok(), "{source}: {result:?}");
            }
            // The deepest expressions that compile.
            for (unit, end) in [
                ("1+", "1"),
                ("-!", "1"),
                ("true?1:", "1"),
                ("[", ""),
                ("size(", ""),
                ("{1:", ""),
                ("(1+", ""),
            ] {
                let mut deepest = 0;
                for count in 1..1_000 {
                    let closing = match unit {
                        "[" => "]",
                        "size(" | "(1+" => ")",
                        "{1:" => "}",
                        _ => "",
                    };
                    let source = format!(
                        "{}{}{}",
                        unit.repeat(count),
                        if end.is_empty() { "1" } else { end },
                        closing.repeat(count)
                    );
                    if let Ok(expression) = Expression::compile(&source, &Scope::events()) {
                        deepest = count;
                        drop(expression.evaluate(&request, &mut Budget::for_body_limit(MAX_BODY)));
                    }
                }
                assert!(deepest > 10, "{unit}");
            }
        });
    thread.unwrap().join().unwrap();
}

#[test]
fn patterns_are_charged_for_what_their_worst_text_costs() {
    // Without order, so that the regex engine meets ever new states.
    let mut seed = 1_u64;
    let text: String = (0..1 << 20)
        .map(|_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if (seed >> 40).is_multiple_of(2) {
                'a'
            } else {
                'b'
            }
        })
        .collect();
    for pattern in [
        "c",
        "[ab]*a[ab]{8}c",
        "[ab]*a[ab]{14}c",
        "[ab]*a[ab]{20}c",
        "[ab]*a[ab]{40}c",
        "[ab]*a[ab]{500}c",
        "(?:[ab]*a[ab]{18}c|[ab]*b[ab]{18}d)",
        ".*a.{20}c",
        r"\b\w*a\w{14}\bc",
        r"\pL*a\pL{3}c",
        "a[ab]{25}c",
    ] {
        // The longest text that the budget still lets this pattern read.
        let source = format!("item.s.matches(r'{pattern}')");
        let mut request = Request::with_body(&json!({}));
        let mut length = text.len();
        loop {
            request.item = json!({"s": &text[..length]});
            let mut result = Ok(false);
            let taken = least_cpu_time(|| {
                // The automaton that an earlier text has built would help with this one.
                let expression = Expression::compile(&source, &Scope::events()).unwrap();
                let mut budget = Budget::for_body_limit(MAX_BODY);
                result = expression.evaluate_bool(&request, &mut budget);
            });
            assert!(taken < LIMIT, "{taken:?} for {length} bytes: {pattern}");
            if result == Ok(false) {
                break;
            }
            assert_eq!(result, Err(EvaluationError::BytesExhausted), "{pattern}");
            length /= 2;
            assert!(
                length >= 1_024,
                "{pattern} reads no text of a useful length"
            );
        }
    }
}
