use jsonschema::Draft;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn compile(schema: &Value) -> Result<Schema, SchemaError> {
    Schema::compile(&schema.to_string())
}

/// Shapes that real event types have.
fn realistic() -> Vec<(&'static str, Value, Value)> {
    let kinds: Vec<Value> = (0..30)
        .map(|i| {
            json!({
                "type": "object",
                "required": ["type", "id", "data"],
                "properties": {
                    "type": {"const": format!("order.event{i}")},
                    "id": {"type": "string", "format": "uuid"},
                    "occurredAt": {"type": "string", "format": "date-time"},
                    "data": {"$ref": "#/$defs/order"}
                }
            })
        })
        .collect();
    let order = json!({
        "type": "object",
        "required": ["lines", "total"],
        "properties": {
            "total": {"type": "number", "minimum": 0, "multipleOf": 0.01},
            "currency": {"enum": ["EUR", "USD", "GBP"]},
            "email": {"type": ["string", "null"], "format": "email", "maxLength": 254},
            "lines": {"type": "array", "minItems": 1, "maxItems": 500, "items": {"$ref": "#/$defs/line"}},
            "address": {"$ref": "#/$defs/address"},
            "labels": {"type": "object", "propertyNames": {"pattern": "^[a-z-]+$"}, "additionalProperties": {"type": "string"}}
        },
        "additionalProperties": false
    });
    let definitions = json!({
        "order": order,
        "line": {"type": "object", "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4,8}$"}, "quantity": {"type": "integer", "minimum": 1}}},
        "address": {"anyOf": [{"$ref": "#/$defs/postal"}, {"type": "null"}]},
        "postal": {"type": "object", "required": ["country"], "properties": {"country": {"type": "string", "pattern": "^[A-Z]{2}$"}, "zip": {"type": "string", "pattern": "^[0-9A-Z -]{3,10}$"}}}
    });
    let data = json!({"total": 19.99, "currency": "EUR", "email": null, "lines": [{"sku": "ABC-12345", "quantity": 2}], "address": {"country": "DE", "zip": "10115"}, "labels": {"a-b": "c"}});
    let event = json!({"type": "order.event7", "id": "0191d2a4-7c1e-7b2a-9f00-0123456789ab", "occurredAt": "2026-11-24T03:00:00Z", "data": data});
    vec![
        (
            "nested objects",
            json!({"$defs": definitions, "$ref": "#/$defs/order"}),
            data.clone(),
        ),
        (
            "one of thirty event kinds",
            json!({"oneOf": kinds, "$defs": definitions}),
            event.clone(),
        ),
        (
            "an array of five event kinds",
            json!({"type": "array", "items": {"oneOf": &kinds[5..10]}, "$defs": definitions}),
            json!([event]),
        ),
        (
            "a tree",
            json!({"type": "object", "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}}}),
            json!({"name": "a", "children": [{"name": "b", "children": [{}]}]}),
        ),
        (
            "a binary tree",
            json!({"type": ["object", "null"], "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}),
            json!({"left": {"left": null, "right": {}}, "right": {}}),
        ),
        (
            "an expression of several node kinds",
            json!({"oneOf": [
                {"type": "number"},
                {"type": "object", "required": ["not"], "properties": {"not": {"$ref": "#"}}},
                {"type": "object", "required": ["all"], "properties": {"all": {"type": "array", "items": {"$ref": "#"}}}}
            ]}),
            json!({"all": [1, {"not": {"all": [2]}}]}),
        ),
        (
            "any JSON",
            json!({"$defs": {"json": {"anyOf": [{"type": ["string", "number", "boolean", "null"]}, {"type": "array", "items": {"$ref": "#/$defs/json"}}, {"type": "object", "additionalProperties": {"$ref": "#/$defs/json"}}]}}, "$ref": "#/$defs/json"}),
            json!({"a": [1, {"b": [null]}]}),
        ),
        (
            "a closed tree that extends a base",
            json!({
                "$defs": {"base": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}},
                "allOf": [{"$ref": "#/$defs/base"}],
                "properties": {"name": {"type": "string"}},
                "unevaluatedProperties": false
            }),
            json!({"name": "a", "children": [{"name": "b"}]}),
        ),
        (
            "a tree by $dynamicRef",
            json!({"$id": "https://a.example/tree", "$dynamicAnchor": "node", "type": "object", "properties": {"children": {"type": "array", "items": {"$dynamicRef": "#node"}}}}),
            json!({"children": [{"children": []}]}),
        ),
        (
            "draft 7 with definitions and an embedded $id",
            json!({
                "$schema": "http://json-schema.org/draft-07/schema#",
                "$id": "https://a.example/order.json",
                "definitions": {"id": {"$id": "#id", "type": "string"}, "line": {"$id": "line.json", "type": "object", "properties": {"sku": {"$ref": "#/definitions/sku"}}, "definitions": {"sku": {"type": "string"}}}},
                "properties": {"id": {"$ref": "#id"}, "lines": {"items": {"$ref": "line.json"}}, "first": {"$ref": "order.json#/definitions/line"}}
            }),
            json!({"id": "a", "lines": [{"sku": "b"}], "first": {"sku": "c"}}),
        ),
        (
            "conditions",
            json!({"properties": {"kind": {"enum": ["a", "b"]}}, "allOf": [
                {"if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["x"]}},
                {"if": {"properties": {"kind": {"const": "b"}}}, "then": {"required": ["y"]}, "else": {"not": {"required": ["y"]}}}
            ], "dependentRequired": {"x": ["z"]}}),
            json!({"kind": "a", "x": 1, "z": 2}),
        ),
    ]
}

#[test]
fn realistic_schemas_are_accepted_without_warnings() {
    for (name, schema, example) in realistic() {
        let schema = compile(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(schema.violations(&example, 9), [], "{name}");
        assert!(schema.is_valid(&example), "{name}");
        assert_eq!(schema.warnings(), [], "{name}");
        assert!(
            !schema.is_valid(&json!(true))
                || name == "conditions"
                || name.starts_with("draft 7")
                || name == "any JSON",
            "{name}"
        );
    }
}

#[test]
fn event_kinds_mean_the_same_with_their_constants_in_front() {
    let branch = |name: &str| json!({"required": ["kind"], "properties": {"kind": {"const": name}, "data": {"minimum": 3}}});
    let branches = json!([
        branch("a"),
        {"$ref": "#/$defs/b"},
        {"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"kind": {"enum": ["c", "d"]}}}]},
    ]);
    let definitions = json!({
        "b": branch("b"),
        "base": {"required": ["kind"], "properties": {"data": {"minimum": 3}}}
    });
    let schema = json!({"oneOf": branches, "$defs": definitions, "unevaluatedProperties": false});
    let value: Value = serde_json::from_str(&schema.to_string()).unwrap();
    let document = document::Document::read(&value, Draft::Draft202012).unwrap();
    let rewritten = dispatch::Dispatch::find(&document).rewrite(&value).unwrap();
    assert_eq!(
        rewritten["oneOf"][1]["allOf"],
        json!([{"$ref": "#/$defs/b"}])
    );
    assert_eq!(
        rewritten["oneOf"][2]["properties"],
        json!({"kind": {"enum": ["c", "d"]}})
    );

    let schema = compile(&schema).unwrap();
    for (value, expected) in [
        (json!({"kind": "a", "data": 3}), true),
        (json!({"kind": "b", "data": 3}), true),
        (json!({"kind": "c"}), true),
        (json!({"kind": "d", "data": 3}), true),
        (json!({"kind": "d", "data": 2}), false),
        (json!({"kind": "e"}), false),
        (json!({"kind": 1.5}), false),
        (json!({"kind": "a", "more": 1}), false),
        (json!({}), false),
        // Nothing in the branches speaks of numbers, so each accepts one.
        (json!(1), false),
    ] {
        assert_eq!(schema.is_valid(&value), expected, "{value}");
    }

    // Referred to from elsewhere: stays where it is.
    let referred = json!({"oneOf": [branch("a"), branch("b"), branch("c")], "properties": {"x": {"$ref": "#/oneOf/1/properties/data"}}});
    let document = document::Document::read(&referred, Draft::Draft202012).unwrap();
    assert_eq!(dispatch::Dispatch::find(&document).rewrite(&referred), None);
    assert!(
        !compile(&referred)
            .unwrap()
            .is_valid(&json!({"kind": "a", "x": 1}))
    );
}

#[test]
fn errors_say_where_and_what() {
    let nested = "[".repeat(200);
    for (text, pointer, part) in [
        ("{", None, "failed to read the schema as JSON"),
        (nested.as_str(), None, "recursion limit"),
        (
            r#"{"$schema": "http://json-schema.org/draft-04/schema#"}"#,
            Some("/$schema"),
            "2019-09",
        ),
        (r#"{"$schema": 7}"#, Some("/$schema"), "draft-07"),
        (
            r#"{"$defs": {"a": {"$schema": "https://a.example"}}}"#,
            Some("/$defs/a/$schema"),
            "2020-12",
        ),
        (
            r#"{"properties": {"a": {"type": "text"}}}"#,
            Some("/properties/a/type"),
            "text",
        ),
        (
            r#"{"properties": {"a/b": {"minLength": -1}}}"#,
            Some("/properties/a~1b/minLength"),
            "-1",
        ),
        (r#"{"pattern": "(?=a)"}"#, Some("/pattern"), ""),
        (r#"{"pattern": "("}"#, Some("/pattern"), "regex"),
        (r#"{"multipleOf": 0}"#, Some("/multipleOf"), ""),
        ("7", Some(""), ""),
        (
            r##"{"items": {"$ref": "#/$defs/a"}}"##,
            Some("/items/$ref"),
            "everything it refers to",
        ),
        (r##"{"items": {"$ref": "#a"}}"##, Some("/items/$ref"), "#a"),
        (
            r#"{"$ref": "https://a.example/b.json"}"#,
            Some("/$ref"),
            "https://a.example/b.json",
        ),
        (
            r#"{"$ref": "file:///etc/passwd"}"#,
            Some("/$ref"),
            "file:///etc/passwd",
        ),
        (r#"{"$ref": "other.json"}"#, Some("/$ref"), "other.json"),
        (
            r#"{"$ref": "https://json-schema.org/draft/2020-12/schema"}"#,
            Some("/$ref"),
            "must contain",
        ),
        (r##"{"$ref": "#"}"##, Some(""), "leads back to itself"),
        (
            r#"{"items": {"pattern": "a(a|b){40}c"}}"#,
            Some("/items/pattern"),
            "maxLength",
        ),
    ] {
        let error = Schema::compile(text).expect_err(text);
        assert_eq!(error.pointer(), pointer, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    let long = format!(r#"{{"description": "{}"}}"#, "a".repeat(MAX_SCHEMA_BYTES));
    assert!(matches!(
        Schema::compile(&long),
        Err(SchemaError::TooLarge { .. })
    ));
    assert!(matches!(
        Schema::hash_of(&long),
        Err(SchemaError::TooLarge { .. })
    ));
}

#[test]
fn each_draft_means_its_own_keywords() {
    let tuple = |name: &str| json!({"$schema": name, "items": [{"type": "integer"}], "additionalItems": false});
    for name in [
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
    ] {
        let schema = compile(&tuple(name)).unwrap();
        assert!(
            schema.is_valid(&json!([1])) && !schema.is_valid(&json!([1, 2])),
            "{name}"
        );
    }
    let schema = compile(&json!({"prefixItems": [{"type": "integer"}], "items": false})).unwrap();
    assert!(schema.is_valid(&json!([1])) && !schema.is_valid(&json!([1, 2])));
    let recursive = compile(&json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveAnchor": true, "properties": {"a": {"$recursiveRef": "#"}}, "required": ["id"]})).unwrap();
    assert!(recursive.is_valid(&json!({"id": 1, "a": {"id": 2}})));
    assert!(!recursive.is_valid(&json!({"id": 1, "a": {}})));
}

#[test]
fn formats_are_checked_in_every_draft() {
    for draft in [
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        let schema = compile(&json!({"$schema": draft, "format": "date-time"})).unwrap();
        assert!(schema.is_valid(&json!("2026-11-24T03:00:00Z")), "{draft}");
        assert!(!schema.is_valid(&json!("yesterday")), "{draft}");
    }
}

#[test]
fn what_checks_nothing_is_a_warning() {
    for (schema, pointer, part) in [
        (json!({"typ": "object"}), "/typ", "did you mean `type`?"),
        (
            json!({"properties": {"a": {"requird": ["b"]}}}),
            "/properties/a/requird",
            "`required`",
        ),
        (
            json!({"items": {"Format": "email"}}),
            "/items/Format",
            "`format`",
        ),
        (
            json!({"format": "datetime"}),
            "/format",
            "did you mean `date-time`?",
        ),
        (
            json!({"format": "color"}),
            "/format",
            "unknown format `color`",
        ),
        (
            json!({"nullable": true}),
            "/nullable",
            "unknown keyword `nullable` checks nothing",
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "unevaluatedProperties": false}),
            "/unevaluatedProperties",
            "unknown keyword",
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}, "$ref": "#/definitions/a", "required": ["b"]}),
            "/required",
            "beside `$ref`",
        ),
    ] {
        let warnings = compile(&schema).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{schema}: {warnings:?}");
        assert_eq!(warnings[0].pointer, pointer);
        assert!(
            warnings[0].message.contains(part),
            "{}",
            warnings[0].message
        );
    }
    let quiet = json!({"x-owner": "team", "title": "t", "properties": {"typ": {"default": {"typ": 1}}}, "examples": [{"typ": 1}]});
    assert_eq!(compile(&quiet).unwrap().warnings(), []);
}

#[test]
fn violations_name_places_and_rules_but_nothing_of_the_payload() {
    const SECRET: &str = "s3cr3t";
    for (schema, value, expected) in [
        (
            json!({"properties": {"id": {"type": "integer"}}}),
            json!({"id": SECRET}),
            vec!["/id"],
        ),
        (
            json!({"required": ["id", "at"]}),
            json!({SECRET: 1}),
            vec!["", ""],
        ),
        (
            json!({"additionalProperties": false}),
            json!({SECRET: 1}),
            vec![""],
        ),
        (
            json!({"unevaluatedProperties": false}),
            json!({SECRET: SECRET}),
            vec![""],
        ),
        (
            json!({"additionalProperties": {"type": "integer"}}),
            json!({SECRET: SECRET}),
            vec!["/*"],
        ),
        (
            json!({"patternProperties": {"^s": {"items": {"maxLength": 1}}}}),
            json!({SECRET: ["a", SECRET]}),
            vec!["/*/1"],
        ),
        (
            json!({"propertyNames": {"maxLength": 2}}),
            json!({SECRET: 1}),
            vec![""],
        ),
        (
            json!({"propertyNames": {"enum": ["a"]}}),
            json!({SECRET: 1}),
            vec![""],
        ),
        (
            json!({"propertyNames": {"not": {"required": ["a"]}, "pattern": "^x"}}),
            json!({SECRET: 1}),
            vec!["", ""],
        ),
        (json!({"const": 1}), json!(SECRET), vec![""]),
        (json!({"enum": ["a", "b"]}), json!(SECRET), vec![""]),
        (json!({"format": "date"}), json!(SECRET), vec![""]),
        (json!({"pattern": "^[0-9]+$"}), json!(SECRET), vec![""]),
        (json!({"not": {"type": "string"}}), json!(SECRET), vec![""]),
        (
            json!({"anyOf": [{"type": "integer"}, {"const": "a"}]}),
            json!(SECRET),
            vec![""],
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"minLength": 1}]}),
            json!(SECRET),
            vec![""],
        ),
        (
            json!({"contains": {"type": "integer"}}),
            json!([SECRET]),
            vec![""],
        ),
        (
            json!({"prefixItems": [true], "unevaluatedItems": false}),
            json!([1, SECRET]),
            vec![""],
        ),
        (json!({"items": false}), json!([SECRET]), vec!["/0"]),
        (
            json!({"uniqueItems": true}),
            json!([SECRET, SECRET]),
            vec![""],
        ),
        (json!({"multipleOf": 3}), json!(31_337_002), vec![""]),
        (json!({"maximum": 3}), json!(31_337), vec![""]),
        (
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"a": SECRET}),
            vec![""],
        ),
        (
            json!({"properties": {"31337": {"properties": {"b": {"type": "null"}}}}}),
            json!({"31337": {"b": 31_338}}),
            vec!["/31337/b"],
        ),
        (
            json!({"additionalProperties": {"additionalProperties": {"type": "null"}}}),
            json!({"31337": {"0": 1}}),
            vec!["/*/*"],
        ),
        (
            json!({"properties": {"a/b": {"type": "null"}}}),
            json!({"a/b": 1}),
            vec!["/a~1b"],
        ),
    ] {
        let violations = compile(&schema).unwrap().violations(&value, 9);
        let pointers: Vec<_> = violations
            .iter()
            .map(|violation| violation.pointer.as_str())
            .collect();
        assert_eq!(pointers, expected, "{schema}: {violations:?}");
        for violation in &violations {
            let shown = format!("{violation:?}");
            let is_declared = schema.to_string().contains("31337");
            assert!(!shown.contains(SECRET), "{schema}: {shown}");
            assert!(is_declared || !shown.contains("31337"), "{schema}: {shown}");
            assert!(!violation.message.is_empty());
        }
    }
}

#[test]
fn violations_are_limited_and_empty_for_what_is_valid() {
    let schema = compile(&json!({"items": {"type": "integer"}})).unwrap();
    let bad = json!(vec!["a"; 100]);
    assert_eq!(schema.violations(&bad, 3).len(), 3);
    assert_eq!(schema.violations(&bad, 0), []);
    assert_eq!(schema.violations(&json!([1]), 3), []);
    let huge = json!(vec!["a"; 500_000]);
    assert_eq!(
        schema.violations(&huge, 3).len(),
        1,
        "too large for details, but said"
    );
}

#[test]
fn the_hash_follows_meaning_and_not_writing() {
    let hash = |text| Schema::hash_of(text).unwrap();
    let one = hash(r#"{"type": "object", "required": ["a"]}"#);
    assert_eq!(one, hash(r#"{ "required":["a"],"type":"object"}"#));
    assert_ne!(one, hash(r#"{"type": "object", "required": ["b"]}"#));
    assert_eq!(
        one,
        compile(&json!({"type": "object", "required": ["a"]}))
            .unwrap()
            .hash()
    );
}

#[test]
fn examples_become_what_they_have_in_common() {
    for (examples, expected) in [
        (vec![json!(1)], json!({"type": "integer"})),
        (vec![json!(1), json!(1.5)], json!({"type": "number"})),
        (
            vec![json!(null), json!("a")],
            json!({"type": ["null", "string"]}),
        ),
        (vec![json!([])], json!({"type": "array"})),
        (
            vec![json!([1, null]), json!(["a"])],
            json!({"type": "array", "items": {"type": ["null", "integer", "string"]}}),
        ),
        (
            vec![json!({"a": 1, "b": 2}), json!({"a": null})],
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": ["null", "integer"]}, "b": {"type": "integer"}}}),
        ),
        (
            vec![json!([{"a": 1}, {"a": 2, "b": 3}, 7])],
            json!({"type": "array", "items": {"type": ["integer", "object"], "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}}),
        ),
        (
            vec![json!("2026-11-24T03:00:00Z")],
            json!({"type": "string", "format": "date-time"}),
        ),
        (
            vec![json!("2026-11-24T03:00:00Z"), json!("2026-11-24")],
            json!({"type": "string"}),
        ),
        (
            vec![json!("2026-11-24"), json!(null)],
            json!({"type": ["null", "string"], "format": "date"}),
        ),
        (
            vec![json!("0191d2a4-7c1e-7b2a-9f00-0123456789ab")],
            json!({"type": "string", "format": "uuid"}),
        ),
        (
            vec![json!("a@example.com"), json!("b@example.com")],
            json!({"type": "string", "format": "email"}),
        ),
        (
            vec![json!("https://example.com/a?b=c")],
            json!({"type": "string", "format": "uri"}),
        ),
        (vec![json!("order:12")], json!({"type": "string"})),
        (
            vec![json!("127.0.0.1")],
            json!({"type": "string", "format": "ipv4"}),
        ),
        (
            vec![json!("::1")],
            json!({"type": "string", "format": "ipv6"}),
        ),
        (vec![json!("example")], json!({"type": "string"})),
        (vec![json!("")], json!({"type": "string"})),
    ] {
        let mut expected = expected;
        expected["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        assert_eq!(generate(&examples).unwrap(), expected, "{examples:?}");
        let reversed: Vec<_> = examples.iter().rev().cloned().collect();
        assert_eq!(
            generate(&reversed).unwrap(),
            expected,
            "the order does not matter"
        );
    }
}

#[test]
fn what_cannot_be_generated_is_an_error() {
    assert!(matches!(generate(&[]), Err(GenerateError::NoExample)));
    let many = vec![Value::Null; MAX_EXAMPLES + 1];
    assert!(matches!(
        generate(&many),
        Err(GenerateError::TooMany { .. })
    ));
    let wide: serde_json::Map<_, _> = (0..20_000)
        .map(|i| (format!("member{i}"), json!(1)))
        .collect();
    assert!(matches!(
        generate(&[Value::Object(wide)]),
        Err(GenerateError::Unusable(_))
    ));
}

#[test]
fn a_deep_example_is_described_as_far_as_text_can_nest() {
    let deep = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
    let example: Value = serde_json::from_str(&deep).unwrap();
    let schema = compile(&generate(std::slice::from_ref(&example)).unwrap()).unwrap();
    assert!(schema.is_valid(&example));
}

#[test]
fn the_drafts_are_named_as_seen_in_the_wild() {
    for (name, draft) in [
        (
            "http://json-schema.org/draft-07/schema#",
            Some(Draft::Draft7),
        ),
        (
            "http://json-schema.org/draft-07/schema",
            Some(Draft::Draft7),
        ),
        (
            "https://json-schema.org/draft-07/schema#",
            Some(Draft::Draft7),
        ),
        (
            "https://json-schema.org/draft/2019-09/schema",
            Some(Draft::Draft201909),
        ),
        (
            "https://json-schema.org/draft/2020-12/schema#",
            Some(Draft::Draft202012),
        ),
        ("http://json-schema.org/schema", None),
        ("2020-12", None),
    ] {
        assert_eq!(document::draft_named(&json!(name)), draft, "{name}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        ".{0,12}",
        "[0-9]{4}-[01][0-9]-[0-3][0-9]",
        "2026-11-24T0[0-9]:00:00(Z|\\+00:00)",
        "[a-z]{1,8}@[a-z]{1,8}\\.com",
        "https://[a-z]{1,8}/.{0,4}",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]\\.[0-9]",
        "[0-9a-f:]{2,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 80, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map("(\\$ref|type|a|b|.{0,5})", inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_example_satisfies_what_was_generated_from_all(examples in prop::collection::vec(any_json(), 1..6)) {
        let generated = generate(&examples).unwrap();
        let schema = compile(&generated).unwrap();
        for example in &examples {
            prop_assert!(schema.is_valid(example), "{example} against {generated}");
            prop_assert_eq!(schema.violations(example, 5), vec![]);
        }
        prop_assert_eq!(schema.warnings(), &[]);
    }

    #[test]
    fn no_text_panics_the_compiler(schema in any_json(), value in any_json()) {
        if let Ok(schema) = compile(&schema) {
            let violations = schema.violations(&value, 5);
            prop_assert_eq!(violations.is_empty(), schema.is_valid(&value));
        }
    }
}
