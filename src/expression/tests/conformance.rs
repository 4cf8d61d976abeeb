//! The language itself, as CEL's specification describes it.

use serde_json::json;

use super::{check_errors, check_true, check_values};

#[test]
fn literals_are_what_they_say() {
    check_values(&[
        ("1", json!(1)),
        ("-1", json!(-1)),
        ("0x1F", json!(31)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("7u", json!(7)),
        ("1.5e3", json!(1500.0)),
        ("true", json!(true)),
        ("null", json!(null)),
        (r#""a\n\"\x41\u00fc""#, json!("a\n\"Aü")),
        (r#"r"a\n""#, json!("a\\n")),
        (r#"'''it's'''"#, json!("it's")),
        (r#"b"ab""#, json!("YWI=")),
        ("[1, 'a', [true]]", json!([1, "a", [true]])),
        (
            "{'a': 1, 2: 'b', true: null}",
            json!({"a": 1, "2": "b", "true": null}),
        ),
        ("[]", json!([])),
        ("{}", json!({})),
        ("1 // a remark", json!(1)),
    ]);
}

#[test]
fn json_numbers_are_ints_where_they_are_whole() {
    check_true(&[
        "request.body.n + 1 == 6",
        "type(request.body.n) == int",
        "type(request.body.big) == uint",
        "type(request.body.d) == double",
        "request.body.big == 18446744073709551615u",
    ]);
}

#[test]
fn fields_elements_and_keys_are_found() {
    check_values(&[
        ("request.body.nested.a.b.c", json!("deep")),
        ("request.body['nested'].a['b'].c", json!("deep")),
        ("request.body['odd key']", json!(1)),
        ("request.body.`odd key`", json!(1)),
        ("request.body.list[0]", json!(3)),
        ("request.body.list[2u]", json!(2)),
        ("request.body.list[1.0]", json!(1)),
        ("request.headers['x-signature']", json!("sha256=abc")),
        ("request.query['many'][1]", json!("b")),
        ("{1: 'a', 2u: 'b'}[1u]", json!("a")),
        ("{1: 'a'}[1.0]", json!("a")),
        ("{true: 'a'}[1 == 1]", json!("a")),
        ("[{'x': 1}][0].x", json!(1)),
        ("item.type", json!("contact.created")),
        ("auth.claims.sub", json!("u1")),
    ]);
    check_errors(&[
        ("request.body.missing", "no field `missing`"),
        ("request.body.id.x", "no field `x`"),
        ("request.body[item.type]", "no such key"),
        ("request.body.list[3]", "outside its list"),
        ("request.body.list[-1]", "outside its list"),
        ("request.body.list[0.5]", "outside its list"),
        ("request.body.list['0']", "no field `0`"),
        ("request.body.n[0]", "`[]` cannot be applied"),
        ("{1: 2}[3]", "no such key"),
    ]);
}

#[test]
fn has_tells_whether_a_field_is_there() {
    check_values(&[
        ("has(request.body.id)", json!(true)),
        ("has(request.body.nil)", json!(true)),
        ("has(request.body.missing)", json!(false)),
        ("has(request.body.nested.a.x)", json!(false)),
        ("has({'a': 1}.a)", json!(true)),
        ("has(item.tags) && !has(item.other)", json!(true)),
    ]);
    check_errors(&[
        ("has(request.body.missing.x)", "no field `missing`"),
        ("has(request.body.id.x)", "`has` cannot be applied"),
    ]);
}

#[test]
fn equality_is_by_worth_and_never_fails() {
    check_true(&[
        "1 == 1.0",
        "1u == 1",
        "2.5 == request.body.d",
        "1 != 1.5",
        "-1 != 18446744073709551615u",
        "9223372036854775807 != 9223372036854775808.0",
        "9007199254740993 != 9007199254740992.0",
        "'a' != 1",
        "null == null",
        "request.body.nil == null",
        "[1, 2.0] == [1.0, 2]",
        "[1] != [1, 2]",
        "{'a': [1]} == {'a': [1.0]}",
        "{'a': 1} != {'b': 1}",
        "{1: 2} == {1u: 2.0}",
        "request.body.nested == {'a': {'b': {'c': 'deep'}}}",
        "b'a' != 'a'",
        "double('NaN') != double('NaN')",
        "type(1) == int && type(type(1)) == type && type('') != bytes",
        "duration('60s') == duration('1m')",
    ]);
}

#[test]
fn order_is_across_numbers_and_within_other_types() {
    check_true(&[
        "1 < 1.5",
        "2u > 1",
        "-1 < 1u",
        "1.0 <= 1u",
        "9223372036854775807 < 9223372036854775808.0",
        "'a' < 'b' && 'Z' < 'a'",
        "b'a' < b'b'",
        "false < true",
        "timestamp('2024-01-01T00:00:00Z') < timestamp('2024-01-01T00:00:01Z')",
        "duration('1s') >= duration('999ms')",
        "!(double('NaN') < 1.0) && !(double('NaN') >= 1.0)",
    ]);
    check_errors(&[
        ("'1' < 2", "`<` cannot"),
        ("[1] < [2]", "`<` cannot"),
        ("null >= null", "`>=` cannot"),
    ]);
}

#[test]
fn arithmetic_stays_in_its_type_and_range() {
    check_values(&[
        ("7 / 2", json!(3)),
        ("-7 / 2", json!(-3)),
        ("-7 % 3", json!(-1)),
        ("7u % 4u", json!(3)),
        ("2 * 3 + 4", json!(10)),
        ("2 + 3 * 4", json!(14)),
        ("(2 + 3) * 4", json!(20)),
        ("10 - 3 - 2", json!(5)),
        ("1.0 / 4.0", json!(0.25)),
        ("1.0 / 0.0", json!("Infinity")),
        ("-(3)", json!(-3)),
        ("-(-3.5)", json!(3.5)),
        ("'a' + 'b'", json!("ab")),
        ("b'a' + b'b'", json!("YWI=")),
        ("[1] + request.body.words", json!([1, "b", "a", "c"])),
    ]);
    check_errors(&[
        ("9223372036854775807 + 1", "`+` is out of range"),
        ("-9223372036854775808 - 1", "`-` is out of range"),
        ("9223372036854775807 * 2", "`*` is out of range"),
        ("-9223372036854775808 / -1", "`/` is out of range"),
        ("-9223372036854775808 % -1", "`%` is out of range"),
        ("-(-9223372036854775808)", "`-` is out of range"),
        ("1u - 2u", "`-` is out of range"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("1u / 0u", "division by zero"),
        ("1 + 1.0", "`+` cannot"),
        ("1 + 1u", "`+` cannot"),
        ("'a' + 1", "`+` cannot"),
        ("1.5 % 1.0", "`%` cannot"),
        ("-'a'", "`-` cannot"),
        ("-(1u)", "`-` cannot"),
    ]);
}

#[test]
fn logic_absorbs_the_error_of_the_side_that_does_not_matter() {
    check_values(&[
        ("true || request.body.missing", json!(true)),
        ("request.body.missing || true", json!(true)),
        ("1 / 0 == 1 || true", json!(true)),
        ("false && request.body.missing", json!(false)),
        ("request.body.missing && false", json!(false)),
        ("1 || true", json!(true)),
        ("'a' && false", json!(false)),
        ("true && true && false", json!(false)),
        ("false || false || true", json!(true)),
        ("!false", json!(true)),
        ("!!true", json!(true)),
        ("true ? 1 : request.body.missing", json!(1)),
        ("false ? 1 : 'x'", json!("x")),
        ("false ? 1 : true ? 2 : 3", json!(2)),
    ]);
    check_errors(&[
        ("request.body.missing || false", "no field `missing`"),
        ("false || request.body.missing", "no field `missing`"),
        ("true && request.body.missing", "no field `missing`"),
        ("request.body.missing && true", "no field `missing`"),
        ("1 && true", "`&&` cannot"),
        ("!1", "`!` cannot"),
        ("1 ? 2 : 3", "`?:` cannot"),
        ("request.body.missing ? 2 : 3", "no field `missing`"),
    ]);
}

#[test]
fn in_looks_into_lists_and_keys() {
    check_true(&[
        "1 in [3, 2, 1.0]",
        "!(4 in request.body.list)",
        "request.method in ['POST', 'PUT']",
        "'id' in request.body",
        "!('x' in request.body)",
        "'validationToken' in request.query",
        "'method' in request",
        "2 in {2u: 1}",
        "!([1] in {'a': 1})",
        "[1] in [[2], [1]]",
    ]);
    check_errors(&[("1 in 'abc'", "`in` cannot"), ("1 in 2", "`in` cannot")]);
}

#[test]
fn comprehensions_go_through_lists_and_keys() {
    check_values(&[
        ("request.body.people.all(p, p.age > 10)", json!(true)),
        (
            "request.body.people.exists(p, p.name == 'Bob')",
            json!(true),
        ),
        (
            "request.body.people.exists_one(p, p.age > 10)",
            json!(false),
        ),
        ("request.body.people.existsOne(p, p.age > 18)", json!(true)),
        (
            "request.body.people.filter(p, p.age > 18).map(p, p.name)",
            json!(["Ada"]),
        ),
        (
            "request.body.people.map(p, p.age < 18, p.name)",
            json!(["Bob"]),
        ),
        ("request.body.list.map(x, x * x)", json!([9, 1, 4])),
        (
            "request.body.list.filter(x, x > 1).map(x, x + 1).exists(x, x == 4)",
            json!(true),
        ),
        ("request.body.nested.map(k, k)", json!(["a"])),
        ("{'b': 1, 'a': 2}.map(k, k)", json!(["a", "b"])),
        ("{'b': 1, 'a': 2}.exists(k, k == 'b')", json!(true)),
        ("[].all(x, false)", json!(true)),
        ("[].exists(x, true)", json!(false)),
        ("[[1, 2], [3]].map(l, size(l))", json!([2, 1])),
        ("[1, 2].map(x, x) == [3, 4].map(x, x - 2)", json!(true)),
        (
            "request.body.people.sortBy(p, p.age).map(p, p.name)",
            json!(["Bob", "Ada"]),
        ),
        ("[1, 2].map(item, item + 1)", json!([2, 3])),
        ("['a'].map(json, json + 'b')", json!(["ab"])),
    ]);
}

#[test]
fn all_and_exists_absorb_errors_when_another_element_decides() {
    check_values(&[
        ("[1, 0, 2].exists(x, 2 / x == 1)", json!(true)),
        ("[0, 1].all(x, 1 / x == 2)", json!(false)),
    ]);
    check_errors(&[
        ("[1, 0].exists(x, 2 / x == 1)", "division by zero"),
        ("[0, 1].all(x, 1 / x == 1)", "division by zero"),
        ("[0].map(x, 1 / x)", "division by zero"),
        ("[1].exists_one(x, x)", "`exists_one` cannot"),
        ("[1].filter(x, x)", "`filter` cannot"),
        ("request.body.id.map(x, x)", "cannot be applied"),
    ]);
}

#[test]
fn values_convert() {
    check_values(&[
        ("int('-12')", json!(-12)),
        ("int(2.9)", json!(2)),
        ("int(-2.9)", json!(-2)),
        ("int(7u)", json!(7)),
        ("int(timestamp('1970-01-01T00:01:00Z'))", json!(60)),
        ("uint(3)", json!(3)),
        ("uint('3') + 1u", json!(4)),
        ("uint(3.9)", json!(3)),
        ("double(1)", json!(1.0)),
        ("double('1.5')", json!(1.5)),
        ("string(12)", json!("12")),
        ("string(-1.5)", json!("-1.5")),
        ("string(1.0)", json!("1")),
        ("string(1e21)", json!("1e+21")),
        ("string(1.5e-9)", json!("1.5e-9")),
        ("string(true)", json!("true")),
        ("string(b'abc')", json!("abc")),
        (
            "string(timestamp('2024-02-29T12:00:00.5Z'))",
            json!("2024-02-29T12:00:00.5Z"),
        ),
        ("string(duration('1h1.5s'))", json!("3601.5s")),
        ("string(bytes('ü'))", json!("ü")),
        ("bool('true')", json!(true)),
        ("dyn(1) == 1.0", json!(true)),
    ]);
    check_errors(&[
        ("int('12a')", "whole number"),
        ("int(1e19)", "out of range"),
        ("int(double('NaN'))", "out of range"),
        ("int(9223372036854775808u)", "out of range"),
        ("uint(-1)", "out of range"),
        ("uint(-1.5)", "out of range"),
        ("double('x')", "a number"),
        ("string(null)", "`string` cannot"),
        ("string([1])", "`string` cannot"),
        ("string(b'\\xff')", "not UTF-8"),
        ("bool('yes')", "\"true\" or \"false\""),
        ("bytes(1)", "`bytes` cannot"),
        ("int(null)", "`int` cannot"),
    ]);
}

#[test]
fn times_are_read_moved_and_taken_apart() {
    check_values(&[
        (
            "timestamp('2024-03-10T08:09:10.123+02:00')",
            json!("2024-03-10T06:09:10.123Z"),
        ),
        ("timestamp(1700000000)", json!("2023-11-14T22:13:20Z")),
        (
            "timestamp('2024-01-01T00:00:00Z') + duration('36h')",
            json!("2024-01-02T12:00:00Z"),
        ),
        (
            "duration('1h') + timestamp('2024-01-01T00:00:00Z')",
            json!("2024-01-01T01:00:00Z"),
        ),
        (
            "timestamp('2024-01-01T00:00:00Z') - duration('1ns')",
            json!("2023-12-31T23:59:59.999999999Z"),
        ),
        (
            "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z')",
            json!("86400s"),
        ),
        ("duration('1h') - duration('1m')", json!("3540s")),
        ("duration('-1.5s')", json!("-1.5s")),
        ("duration('1h2m3s4ms5us6ns')", json!("3723.004005006s")),
        ("duration('0')", json!("0s")),
        (
            "timestamp('2024-03-10T23:09:10.123Z').getFullYear()",
            json!(2024),
        ),
        ("timestamp('2024-03-10T23:09:10.123Z').getMonth()", json!(2)),
        ("timestamp('2024-03-10T23:09:10.123Z').getDate()", json!(10)),
        (
            "timestamp('2024-03-10T23:09:10.123Z').getDayOfMonth()",
            json!(9),
        ),
        (
            "timestamp('2024-03-10T23:09:10.123Z').getDayOfYear()",
            json!(69),
        ),
        (
            "timestamp('2024-03-10T23:09:10.123Z').getDayOfWeek()",
            json!(0),
        ),
        (
            "timestamp('2024-03-10T23:09:10.123Z').getHours()",
            json!(23),
        ),
        (
            "timestamp('2024-03-10T23:09:10.123Z').getHours('+02:00')",
            json!(1),
        ),
        (
            "timestamp('2024-03-10T23:09:10.123Z').getDate('02:00')",
            json!(11),
        ),
        (
            "timestamp('2024-03-10T23:09:10.123Z').getMinutes('UTC')",
            json!(9),
        ),
        (
            "timestamp('2024-03-10T23:09:10.123Z').getSeconds()",
            json!(10),
        ),
        (
            "timestamp('2024-03-10T23:09:10.123Z').getMilliseconds()",
            json!(123),
        ),
        ("duration('90m').getHours()", json!(1)),
        ("duration('90m').getMinutes()", json!(90)),
        (
            "time.parse('2024-03-10T08:09:10+0200', '%Y-%m-%dT%H:%M:%S%z')",
            json!("2024-03-10T06:09:10Z"),
        ),
        (
            "time.parse('10.03.2024 08:09', '%d.%m.%Y %H:%M')",
            json!("2024-03-10T08:09:00Z"),
        ),
        (
            "time.parse('2024-03-10', '%Y-%m-%d')",
            json!("2024-03-10T00:00:00Z"),
        ),
        (
            "time.parse('1700000000', '%s')",
            json!("2023-11-14T22:13:20Z"),
        ),
        (
            "time.millis(1700000000123)",
            json!("2023-11-14T22:13:20.123Z"),
        ),
    ]);
    check_errors(&[
        ("timestamp('2024-03-10T08:09:10+0200')", "RFC 3339"),
        ("timestamp('2024-03-10')", "RFC 3339"),
        (
            "timestamp('2024-03-10T08:09:10Z[Europe/Berlin]')",
            "RFC 3339",
        ),
        ("timestamp('2024-13-10T08:09:10Z')", "RFC 3339"),
        (
            "timestamp('9999-12-30T00:00:00Z') + duration('48h')",
            "out of range",
        ),
        ("timestamp(253402300800)", "out of range"),
        ("duration('1d')", "not a duration"),
        ("duration('')", "not a duration"),
        ("duration('.s')", "not a duration"),
        ("duration('999999999999h')", "not a duration"),
        ("time.parse('x', '%Y')", "layout"),
        ("time.parse('2024', '%')", "layout"),
        ("timestamp(0).getHours('Europe/Berlin')", "offset"),
        ("timestamp(0).getHours('+2:00')", "offset"),
        ("time.millis('1')", "`time.millis` cannot"),
    ]);
}
