//! Bounded work, the schema half: every hostile shape is refused when it is
//! compiled, or answers 1 MiB within 100 ms of this thread's CPU time (more on a slower machine).

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::schema::Schema;

const MEBIBYTE: usize = 1 << 20;
const LIMIT_MILLISECONDS: f64 = 100.0;

struct Shape {
    name: &'static str,
    schema: Value,
    /// A body of at most 1 MiB that makes it work hard.
    body: String,
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Refused,
    Fast,
}
use Expected::{Fast, Refused};

#[test]
fn every_hostile_schema_is_refused_or_answers_a_mebibyte_in_time() {
    let mut wrong = Vec::new();
    for shape in shapes() {
        let outcome = match Schema::compile(&shape.schema.to_string()) {
            Err(_) => Refused,
            Ok(schema) => {
                assert!(shape.body.len() <= MEBIBYTE, "{}", shape.name);
                let body: Value = serde_json::from_str(&shape.body).unwrap();
                let checked = least_cpu_milliseconds(|| {
                    std::hint::black_box(schema.is_valid(&body));
                });
                let explained = least_cpu_milliseconds(|| {
                    std::hint::black_box(schema.violations(&body, 10));
                });
                if checked > LIMIT_MILLISECONDS || explained > LIMIT_MILLISECONDS {
                    wrong.push(format!(
                        "{}: checked in {checked:.1} ms, explained in {explained:.1} ms",
                        shape.name
                    ));
                }
                Fast
            }
        };
        if outcome != shape.expected {
            wrong.push(format!(
                "{}: {outcome:?}, not {:?}",
                shape.name, shape.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_accepted_schema_overflows_a_thread_of_2_mebibytes() {
    for links in [100, 140, 300, 1_500] {
        for link in [
            |next: Value| next,
            |next: Value| json!({"properties": {"a": next}}),
            |next: Value| json!({"items": next}),
            |next: Value| json!({"unevaluatedProperties": next}),
            |next: Value| json!({"anyOf": [{"allOf": [{"oneOf": [next]}]}], "unevaluatedProperties": false}),
            |next: Value| json!({"anyOf": [{"properties": {"a": next}}], "unevaluatedItems": false}),
        ] {
            let mut definitions = serde_json::Map::new();
            for index in 0..links {
                let next = json!({"$ref": format!("#/$defs/{}", index + 1)});
                definitions.insert(index.to_string(), link(next));
            }
            definitions.insert(links.to_string(), json!({"type": "integer"}));
            // A ring: the last link leads back to the first, one level deeper.
            let mut ring = definitions.clone();
            ring.insert(
                links.to_string(),
                json!({"properties": {"a": {"$ref": "#/$defs/0"}}}),
            );
            for definitions in [definitions, ring] {
                let schema = json!({"$defs": definitions, "$ref": "#/$defs/0"}).to_string();
                let depth = 60;
                let bodies = [
                    "1".to_owned(),
                    format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)),
                    format!("{}1{}", "[".repeat(depth), "]".repeat(depth)),
                ];
                let thread = std::thread::Builder::new()
                    .stack_size(2 << 20)
                    .spawn(move || {
                        if let Ok(schema) = Schema::compile(&schema) {
                            for body in bodies {
                                let body: Value = serde_json::from_str(&body).unwrap();
                                std::hint::black_box(schema.violations(&body, 3));
                            }
                        }
                    });
                thread.unwrap().join().unwrap();
            }
        }
    }
}

fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut add = |name, expected, schema, body| {
        shapes.push(Shape {
            name,
            schema,
            body,
            expected,
        });
    };

    // Branches that multiply at one place.
    add(
        "an anyOf chain that doubles 30 times",
        Refused,
        doubling("anyOf", 30),
        "1".into(),
    );
    add(
        "an allOf chain that doubles 30 times",
        Refused,
        doubling("allOf", 30),
        "1".into(),
    );
    add(
        "a oneOf chain that doubles 30 times",
        Refused,
        doubling("oneOf", 30),
        "1".into(),
    );
    add(
        "a chain that doubles 10 times",
        Fast,
        doubling("anyOf", 10),
        "1".into(),
    );
    add(
        "if and then that double 30 times",
        Refused,
        {
            let mut definitions = serde_json::Map::new();
            for index in 0..30 {
                let next = json!({"$ref": format!("#/$defs/{}", index + 1)});
                definitions.insert(index.to_string(), json!({"if": next, "then": next}));
            }
            definitions.insert("30".into(), json!({"minimum": 0}));
            json!({"$defs": definitions, "$ref": "#/$defs/0"})
        },
        "1".into(),
    );
    add(
        "dependentSchemas and not that double 30 times",
        Refused,
        {
            let mut definitions = serde_json::Map::new();
            for index in 0..30 {
                let next = json!({"$ref": format!("#/$defs/{}", index + 1)});
                definitions.insert(
                    index.to_string(),
                    json!({"dependentSchemas": {"a": next}, "not": {"not": next}}),
                );
            }
            definitions.insert("30".into(), json!({"required": ["a"]}));
            json!({"$defs": definitions, "$ref": "#/$defs/0"})
        },
        r#"{"a":1}"#.into(),
    );
    for (name, levels, expected) in [
        ("unevaluatedProperties nested 40 times", 40, Refused),
        ("unevaluatedProperties nested 3 times", 3, Fast),
    ] {
        let mut schema = json!({"properties": {"a": true}});
        for level in 0..levels {
            schema = json!({"anyOf": [schema], "properties": {format!("b{level}"): true}, "unevaluatedProperties": false});
        }
        add(name, expected, schema, r#"{"a":1}"#.into());
    }

    // Branches that multiply from level to level.
    let recursive = |keyword: &str, branch: Value| json!({keyword: [branch.clone(), branch]});
    let deep_object = nested("{\"a\":", "1", "}", 120);
    add(
        "two recursions under the same name",
        Refused,
        recursive("anyOf", json!({"properties": {"a": {"$ref": "#"}}})),
        deep_object.clone(),
    );
    add(
        "two recursions by items",
        Refused,
        recursive("oneOf", json!({"items": {"$ref": "#"}})),
        nested("[", "1", "]", 120),
    );
    add(
        "two recursions by additionalProperties",
        Refused,
        recursive("allOf", json!({"additionalProperties": {"$ref": "#"}})),
        deep_object.clone(),
    );
    add(
        "two recursions by patternProperties",
        Refused,
        json!({"patternProperties": {"a": {"$ref": "#"}, "^.": {"$ref": "#"}}}),
        deep_object.clone(),
    );
    add(
        "two recursions by contains and items",
        Refused,
        json!({"contains": {"$ref": "#"}, "items": {"$ref": "#"}}),
        nested("[", "1", "]", 120),
    );
    add(
        "two recursions by unevaluatedItems",
        Refused,
        recursive("anyOf", json!({"unevaluatedItems": {"$ref": "#"}})),
        nested("[", "1", "]", 120),
    );
    add(
        "a recursion that unevaluatedProperties runs twice",
        Refused,
        json!({"anyOf": [{"properties": {"a": {"$ref": "#"}}}], "unevaluatedProperties": false}),
        deep_object.clone(),
    );
    add(
        "two recursions by $dynamicRef",
        Refused,
        json!({"$dynamicAnchor": "n", "anyOf": [{"properties": {"a": {"$dynamicRef": "#n"}}}, {"properties": {"a": {"$dynamicRef": "#n"}}}]}),
        deep_object.clone(),
    );
    add(
        "two recursions by $recursiveRef",
        Refused,
        json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveAnchor": true, "anyOf": [{"properties": {"a": {"$recursiveRef": "#"}}}, {"properties": {"a": {"$recursiveRef": "#"}}}]}),
        deep_object.clone(),
    );
    add(
        "two recursions through each other",
        Refused,
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/b"}}, "additionalProperties": {"$ref": "#/$defs/b"}}, "b": {"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"a": {"$ref": "#/$defs/a"}}}]}}}),
        deep_object.clone(),
    );

    // References that lead back to the same place.
    add(
        "a schema that is itself",
        Refused,
        json!({"$ref": "#"}),
        "1".into(),
    );
    add(
        "a schema that is itself twice",
        Refused,
        json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        "1".into(),
    );
    add(
        "two that are each other",
        Refused,
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
        "1".into(),
    );

    // Many subschemas for one element or member.
    add(
        "items × anyOf of 1,000",
        Refused,
        json!({"items": {"anyOf": last(1_000, |i| json!({"minimum": i + 10}))}}),
        array("1"),
    );
    add(
        "items × anyOf of 30",
        Fast,
        json!({"items": {"anyOf": last(30, |i| json!({"minimum": i + 10}))}}),
        array("1"),
    );
    add(
        "items × items × anyOf of 100",
        Refused,
        json!({"items": {"items": {"anyOf": last(100, |i| json!({"const": i + 10}))}}}),
        array("[1,1,1,1,1,1,1]"),
    );
    add(
        "items × oneOf of 30 event kinds, texts",
        Fast,
        json!({"items": {"oneOf": kinds(30)}}),
        array(r#"{"kind":"k29","id":"a"}"#),
    );
    add(
        "items × not × required of 200",
        Refused,
        json!({"items": {"allOf": (0..200).map(|i| json!({"not": {"required": [i.to_string()]}})).collect::<Vec<_>>()}}),
        array("{}"),
    );
    add(
        "items × dependentRequired of 1,000",
        Refused,
        json!({"items": {"dependentRequired": (0..1_000).map(|i| (i.to_string(), json!(["a"]))).collect::<serde_json::Map<_, _>>()}}),
        array("{}"),
    );
    let deep = json!({"oneOf": (0..30).map(|i| json!({"properties": {"kind": {"const": format!("k{i}")}, "data": {"items": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "integer"}}}}}}, "required": ["kind"]})).collect::<Vec<_>>()});
    let shapes_of_list = json!({"oneOf": (0..30).map(|i| json!({"properties": {"data": {"items": {"type": "object", "properties": {"a": {"type": "string"}}}}}, "required": [format!("k{i}")]})).collect::<Vec<_>>()});
    add(
        "30 shapes with a list each",
        Refused,
        shapes_of_list,
        "1".into(),
    );
    let start = r#"{"kind":1.5,"data":"#;
    let filler = |element: &str| {
        format!(
            "{start}[{}{element}]}}",
            format!("{element},").repeat((MEBIBYTE - 40) / (element.len() + 1) - 1)
        )
    };
    add(
        "30 event kinds with a list each, and none of them",
        Fast,
        deep.clone(),
        filler("{}"),
    );
    add(
        "30 event kinds with a list each, full",
        Fast,
        deep.clone(),
        filler(r#"{"a":"b"}"#),
    );
    add(
        "30 event kinds with a list each, nested",
        Fast,
        deep,
        format!(
            "{start}[{{\"b\":[{}1]}}]}}",
            "1,".repeat((MEBIBYTE - 60) / 2)
        ),
    );
    add(
        "500 contains",
        Refused,
        json!({"allOf": (0..500).map(|i| json!({"not": {"contains": {"const": i + 10}}})).collect::<Vec<_>>()}),
        array("1"),
    );
    add(
        "20 contains",
        Fast,
        json!({"allOf": (0..20).map(|i| json!({"not": {"contains": {"const": i + 10}}})).collect::<Vec<_>>()}),
        array("1"),
    );
    add(
        "500 patternProperties × 100,000 names",
        Refused,
        patterns(500),
        object(|i| format!("\"{i:x}\":1")),
    );
    add(
        "20 patternProperties × 100,000 names",
        Fast,
        patterns(20),
        object(|i| format!("\"{i:x}\":1")),
    );
    add(
        "propertyNames × anyOf of 200 patterns",
        Refused,
        json!({"propertyNames": {"anyOf": last(200, |i| json!({"pattern": format!("[g-z]{{{}}}", i % 9 + 1)}))}}),
        object(|i| format!("\"{i:x}\":1")),
    );
    add(
        "propertyNames × a pattern",
        Fast,
        json!({"propertyNames": {"pattern": "[0-9a-f]+"}}),
        object(|i| format!("\"{i:x}\":1")),
    );
    add(
        "dependentSchemas × contains",
        Refused,
        json!({"dependentSchemas": (0..300).map(|i| (format!("k{i}"), json!({"properties": {"a": {"not": {"contains": {"const": i + 10}}}}}))).collect::<serde_json::Map<_, _>>()}),
        "{}".into(),
    );

    // Comparing whole values.
    add(
        "an enum of 1,000 arrays",
        Refused,
        json!({"items": {"enum": (0..1_000).map(|i| json!([1, 2, 3, i])).collect::<Vec<_>>()}}),
        array("[1,2,3,999]"),
    );
    add(
        "an enum of 1,000 fractions",
        Refused,
        json!({"items": {"enum": (0..1_000).map(|i| json!(f64::from(i) + 0.5)).collect::<Vec<_>>()}}),
        array("999.5"),
    );
    add(
        "an enum of 1,000 texts and numbers",
        Refused,
        json!({"items": {"enum": (0..1_000).map(|i| if i % 2 == 0 { json!(i) } else { json!(i.to_string()) }).collect::<Vec<_>>()}}),
        array("998"),
    );
    add(
        "an enum of 5,000 texts",
        Fast,
        json!({"items": {"enum": (0..5_000).map(|i| format!("s{i}")).collect::<Vec<_>>()}}),
        array("\"s4999\""),
    );
    add(
        "an enum of 5,000 integers",
        Fast,
        json!({"items": {"enum": (0..5_000).collect::<Vec<_>>()}}),
        array("4999"),
    );
    add(
        "a const of 100 KB",
        Fast,
        json!({"const": vec![1; 50_000]}),
        array("1"),
    );
    add(
        "uniqueItems at every level",
        Refused,
        json!({"uniqueItems": true, "items": {"$ref": "#"}}),
        array_of(|i| nested("[", &i.to_string(), "]", 120)),
    );
    for (name, element) in [
        (
            "uniqueItems of integers",
            (|i| i.to_string()) as fn(usize) -> String,
        ),
        ("uniqueItems of texts", |i| format!("\"{i}\"")),
        ("uniqueItems of mixed values", |i| match i % 3 {
            0 => i.to_string(),
            1 => format!("\"{i}\""),
            _ => format!("[{i}]"),
        }),
        ("uniqueItems of texts with a long common start", |i| {
            format!("\"{}{i}\"", "a".repeat(60))
        }),
        ("uniqueItems of fractions", |i| format!("{i}.25")),
        ("uniqueItems of huge numbers", |i| format!("1{i:017}e250")),
        ("uniqueItems of integers beyond 2^53", |i| {
            (9_007_199_254_740_992 + i as u64).to_string()
        }),
        ("uniqueItems of nested arrays", |i| format!("[[[[{i}]]]]")),
        ("uniqueItems of objects", |i| {
            format!("{{\"a\":{{\"b\":{i}}}}}")
        }),
        ("uniqueItems of objects with other names", |i| {
            format!("{{\"{i}\":1}}")
        }),
    ] {
        add(name, Fast, json!({"uniqueItems": true}), array_of(element));
    }
    add(
        "uniqueItems of many short arrays",
        Fast,
        json!({"items": {"uniqueItems": true}}),
        array("[0,1,2,3,4,5,6,7,8,9,-1,-2,-3,-4,-5]"),
    );
    add(
        "multipleOf of huge numbers",
        Fast,
        json!({"items": {"multipleOf": 0.01}}),
        array("1e300"),
    );
    add(
        "multipleOf of fractions",
        Fast,
        json!({"items": {"multipleOf": 0.01}}),
        array("0.5"),
    );

    // Texts.
    let random = random_text();
    for (name, pattern, expected) in [
        (
            "a pattern whose automaton explodes",
            "(?:[ab]{0,50}a){20}c",
            Refused,
        ),
        ("a pattern with a distant letter", "a(a|b){40}c", Refused),
        (
            "an anchored pattern that explodes",
            "^([ab]*a[ab]{30}){1,20}$",
            Refused,
        ),
        (
            "a pattern of gigabytes",
            "(?:ab?c{1,1000}){1,1000}",
            Refused,
        ),
        ("a pattern that looks back", r"(a)\1", Refused),
        ("a pattern that looks ahead", "(?=a)b", Refused),
        ("nested repetitions", "^(a+)+$", Fast),
        ("alternatives that overlap", "^(a|b|ab)*c$", Fast),
        ("three greedy runs", "(.*)(.*)(.*)z$", Fast),
        (
            "an e-mail address",
            r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$",
            Fast,
        ),
        ("letters of any script", r"\p{L}+[0-9]", Fast),
    ] {
        add(name, expected, json!({"pattern": pattern}), random.clone());
    }
    for format in [
        "date-time",
        "date",
        "time",
        "duration",
        "email",
        "idn-email",
        "hostname",
        "idn-hostname",
        "ipv4",
        "ipv6",
        "uri",
        "uri-reference",
        "iri",
        "iri-reference",
        "uuid",
        "uri-template",
        "json-pointer",
        "relative-json-pointer",
        "regex",
    ] {
        for piece in ["a.", "a@", "1:", "(", "[", "%41", "é"] {
            add(
                "a long text against a format",
                Fast,
                json!({"format": format}),
                text(piece),
            );
            add(
                "many texts against a format",
                Fast,
                json!({"items": {"format": format}}),
                array(&format!("\"{piece}\"")),
            );
        }
    }
    shapes
}

#[test]
fn a_recursion_of_many_links_reaches_the_deepest_value() {
    // Seven subschemas a level, 120 levels: near the bound, and accepted.
    let schema = json!({
        "$ref": "#/$defs/0",
        "$defs": {
            "0": {"allOf": [{"anyOf": [{"oneOf": [{"$ref": "#/$defs/1"}]}]}]},
            "1": {"type": ["object", "array", "integer"], "properties": {"a": {"$ref": "#/$defs/0"}}, "items": {"$ref": "#/$defs/0"}}
        }
    });
    let schema = Schema::compile(&schema.to_string()).unwrap();
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            for (open, leaf, close, expected) in [
                ("{\"a\":", "1", "}", true),
                ("[", "1", "]", true),
                ("{\"a\":", "null", "}", false),
                ("[", "null", "]", false),
            ] {
                let body = serde_json::from_str(&nested(open, leaf, close, 120)).unwrap();
                assert_eq!(schema.is_valid(&body), expected);
                assert_eq!(schema.violations(&body, 3).is_empty(), expected);
            }
        });
    thread.unwrap().join().unwrap();
}

/// `keyword: [next, next]`, so many times.
fn doubling(keyword: &str, times: usize) -> Value {
    let mut definitions = serde_json::Map::new();
    for index in 0..times {
        let next = json!({"$ref": format!("#/$defs/{}", index + 1)});
        definitions.insert(index.to_string(), json!({keyword: [next, next]}));
    }
    definitions.insert(times.to_string(), json!({"minimum": 5}));
    json!({"$defs": definitions, "$ref": "#/$defs/0"})
}

/// Branches of which only the last accepts, so that all are tried.
fn last(count: usize, branch: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..count)
        .map(branch)
        .chain([json!({"maximum": 5, "maxLength": 99})])
        .collect()
}

fn kinds(count: usize) -> Vec<Value> {
    (0..count)
        .map(|i| {
            json!({
                "type": "object",
                "required": ["kind", "id"],
                "properties": {"kind": {"const": format!("k{i}")}, "id": {"type": "string"}, "total": {"type": "number"}}
            })
        })
        .collect()
}

fn patterns(count: usize) -> Value {
    let patterns: serde_json::Map<_, _> = (0..count)
        .map(|i| (format!("a{i}b"), json!({"type": "integer"})))
        .collect();
    json!({"patternProperties": patterns})
}

fn nested(open: &str, leaf: &str, close: &str, depth: usize) -> String {
    format!("{}{leaf}{}", open.repeat(depth), close.repeat(depth))
}

/// 1 MiB of the same element.
fn array(element: &str) -> String {
    array_of(|_| element.to_owned())
}

fn array_of(element: impl Fn(usize) -> String) -> String {
    filled('[', ']', element)
}

fn object(member: impl Fn(usize) -> String) -> String {
    filled('{', '}', member)
}

fn filled(open: char, close: char, part: impl Fn(usize) -> String) -> String {
    let mut body = String::from(open);
    for index in 0.. {
        let part = part(index);
        if body.len() + part.len() + 2 > MEBIBYTE {
            break;
        }
        if index > 0 {
            body.push(',');
        }
        body.push_str(&part);
    }
    body.push(close);
    body
}

fn text(piece: &str) -> String {
    format!("\"{}\"", piece.repeat((MEBIBYTE - 2) / piece.len()))
}

/// 1 MiB of `a` and `b` without a period: a linear congruential generator.
fn random_text() -> String {
    let mut state = 1_u64;
    let letters: String = (0..MEBIBYTE - 2)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if state >> 63 == 1 { 'a' } else { 'b' }
        })
        .collect();
    format!("\"{letters}\"")
}

/// The CPU time of this thread that reading 1 MiB of ones takes on the machine that the limit was
/// found right for: a slow one, with nothing else to do.
const READING_MILLISECONDS: f64 = 14.0;

/// The least CPU time of this thread that `work` takes, of many times if it takes too long. Another
/// one on the same core, or a hypervisor, can make all work take twice as long, and longer than any
/// number of counts lasts: so it is compared with what reading JSON takes at the same moment.
fn least_cpu_milliseconds(mut work: impl FnMut()) -> f64 {
    let mut least = f64::MAX;
    for attempt in 0..40 {
        // After some in a row it is worth waiting for a better moment.
        std::thread::sleep(Duration::from_millis(if attempt < 5 { 0 } else { 100 }));
        let start = cpu_milliseconds();
        work();
        let taken = cpu_milliseconds() - start;
        least = least.min(taken);
        if least < LIMIT_MILLISECONDS {
            break;
        }
        let ones = array("1");
        let start = cpu_milliseconds();
        let read = serde_json::from_str::<Value>(&ones);
        let reading = cpu_milliseconds() - start;
        assert!(read.is_ok());
        least = least.min(taken * (READING_MILLISECONDS / reading).min(1.0));
        if least < LIMIT_MILLISECONDS {
            break;
        }
    }
    least
}

fn cpu_milliseconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}
