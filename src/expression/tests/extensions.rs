//! The functions beyond CEL's own: its strings, lists and encoders extensions, and ours.

use serde_json::json;

use super::{check_errors, check_true, check_values};

#[test]
fn texts_are_searched_and_taken_apart() {
    check_values(&[
        ("'abc'.contains('bc')", json!(true)),
        (
            "'abc'.startsWith('ab') && 'abc'.endsWith('bc')",
            json!(true),
        ),
        ("request.body.text.matches('^G.*e$')", json!(true)),
        ("matches('abc', 'b')", json!(true)),
        ("'abc'.matches('^b')", json!(false)),
        (r"'a_1 b'.matches(r'^\w+\s\w$')", json!(true)),
        (r"'2024-01-02'.matches(r'^\d{4}-\d\d-\d\d$')", json!(true)),
        (r"'ü'.matches(r'\w')", json!(false)),
        (r"'ü٣'.matches(r'^\W\D$')", json!(true)),
        (r"'ü'.matches(r'^[^\w\s]$')", json!(true)),
        (r"'a-b.c'.matches(r'^[\w.-]+$')", json!(true)),
        (r"'an ox'.matches(r'\box\b')", json!(true)),
        (r"'a\\w'.matches(r'^a\\w$')", json!(true)),
        ("'Grüße'.matches('^....e$')", json!(true)),
        ("size('Grüße')", json!(5)),
        ("'Grüße'.size()", json!(5)),
        ("size(bytes('Grüße'))", json!(7)),
        ("'Grüße'.charAt(2)", json!("ü")),
        ("'abc'.charAt(3)", json!("")),
        ("'Grüße'.indexOf('ß')", json!(3)),
        ("'abcabc'.indexOf('b', 2)", json!(4)),
        ("'abc'.indexOf('x')", json!(-1)),
        ("'abc'.indexOf('')", json!(0)),
        ("'abcabc'.lastIndexOf('b')", json!(4)),
        ("'abcabc'.lastIndexOf('b', 3)", json!(1)),
        ("'abc'.lastIndexOf('')", json!(3)),
        ("'Grüße'.substring(2)", json!("üße")),
        ("'Grüße'.substring(2, 4)", json!("üß")),
        ("'abc'.substring(3)", json!("")),
        ("' a\\t\\u00a0'.trim()", json!("a")),
        ("'ABcÜ'.lowerAscii()", json!("abcÜ")),
        ("'abCü'.upperAscii()", json!("ABCü")),
        ("'aXbXc'.replace('X', '-')", json!("a-b-c")),
        ("'aXbXc'.replace('X', '-', 1)", json!("a-bXc")),
        ("'aXbXc'.replace('X', '-', 0)", json!("aXbXc")),
        ("'aXbXc'.replace('X', '-', -1)", json!("a-b-c")),
        ("'ab'.replace('', '_')", json!("_a_b_")),
        ("'a,b,,c'.split(',')", json!(["a", "b", "", "c"])),
        ("'a,b,c'.split(',', 2)", json!(["a", "b,c"])),
        ("'a,b'.split(',', 0)", json!([])),
        ("'a,b'.split(',', 1)", json!(["a,b"])),
        ("'aü'.split('')", json!(["a", "ü"])),
        ("''.split('')", json!([])),
        ("''.split(',')", json!([""])),
        ("['a', 'b'].join('-')", json!("a-b")),
        ("['a', 'b'].join()", json!("ab")),
        ("[].join('-')", json!("")),
        ("'abü'.reverse()", json!("üba")),
        ("strings.quote('a\"b\\n')", json!("\"a\\\"b\\n\"")),
    ]);
    check_errors(&[
        ("'abc'.charAt(4)", "outside"),
        ("'abc'.charAt(-1)", "outside"),
        ("'abc'.substring(2, 1)", "outside"),
        ("'abc'.substring(0, 4)", "outside"),
        ("'abc'.indexOf('a', 9)", "outside"),
        ("['a', 1].join()", "`join` cannot"),
        ("request.body.n.contains('a')", "`contains` cannot"),
        (
            "'a'.matches('a') && request.body.n.matches('5')",
            "`matches` cannot",
        ),
    ]);
}

#[test]
fn texts_are_formatted() {
    check_values(&[
        ("'%s-%d'.format(['a', 5])", json!("a-5")),
        (
            "'%s %s %s'.format([1.5, true, null])",
            json!("1.5 true null"),
        ),
        ("'%s'.format([[1, 'a']])", json!("[1,\"a\"]")),
        ("'%.2f'.format([2.345])", json!("2.35")),
        ("'%f'.format([1])", json!("1.000000")),
        ("'%e'.format([12345.678])", json!("1.234568e+04")),
        ("'%.1e'.format([0.00012])", json!("1.2e-04")),
        ("'%x %X'.format([255, 'ü'])", json!("ff C3BC")),
        ("'%b %o'.format([-5, 8u])", json!("-101 10")),
        ("'100%%'.format([])", json!("100%")),
    ]);
    check_errors(&[
        ("'%d'.format(['a'])", "`format` cannot"),
        ("'%y'.format([1])", "verbs"),
        ("'%s'.format([])", "more verbs"),
        ("'a'.format([1])", "more values"),
        ("'%'.format([1])", "within a verb"),
        ("'%.101f'.format([1.0])", "precision"),
    ]);
}

#[test]
fn lists_are_put_in_order_and_shape() {
    check_values(&[
        (
            "[1, 2, 1.0, 'a', 'a', [1], [1]].distinct()",
            json!([1, 2, "a", [1]]),
        ),
        ("[1, [2, [3]]].flatten()", json!([1, 2, [3]])),
        ("[1, [2, [3]]].flatten(2)", json!([1, 2, 3])),
        ("[1, [2]].flatten(0)", json!([1, [2]])),
        ("[[], [[]]].flatten(5)", json!([])),
        ("lists.range(3)", json!([0, 1, 2])),
        ("lists.range(-3)", json!([])),
        ("[1, 2, 3].reverse()", json!([3, 2, 1])),
        ("request.body.list.slice(1, 3)", json!([1, 2])),
        ("request.body.list.sort()", json!([1, 2, 3])),
        ("request.body.words.sort()", json!(["a", "b", "c"])),
        ("[].sort()", json!([])),
        (
            "[[2, 'b'], [1, 'a']].sortBy(p, p[0])",
            json!([[1, "a"], [2, "b"]]),
        ),
        ("request.body.list.first()", json!(3)),
        ("request.body.list.last()", json!(2)),
        ("math.greatest(1, 2.5, 2u)", json!(2.5)),
        ("math.least([3, 1, 2])", json!(1)),
        ("math.greatest(4)", json!(4)),
        (
            "size(request.body.list) + size(request.body.empty)",
            json!(3),
        ),
    ]);
    check_errors(&[
        ("[1, 'a'].sort()", "`sort` cannot"),
        ("[[1]].sort()", "`sort` cannot"),
        ("[null].sort()", "`sort` cannot"),
        ("[double('NaN'), 1.0].sort()", "`sort` cannot"),
        ("[1].slice(0, 2)", "outside"),
        ("[1].slice(-1, 1)", "outside"),
        ("[].first()", "outside"),
        ("[].last()", "outside"),
        ("[].flatten(-1)", "not negative"),
        ("math.greatest('a')", "`math.greatest` cannot"),
        ("size(1)", "`size` cannot"),
    ]);
}

#[test]
fn get_takes_the_default_where_the_path_does_not_lead() {
    check_values(&[
        ("get(request.body, 'nested.a.b.c', 'x')", json!("deep")),
        ("get(request.body, 'nested.z.b.c', 'x')", json!("x")),
        ("get(request.body, 'id.x', 'x')", json!("x")),
        ("get(request.body, 'people.1.name', '')", json!("Bob")),
        ("get(request.body, 'people.7.name', '')", json!("")),
        ("get(request.body, 'nil', 'x')", json!(null)),
        ("get(request.body.nested, 'a.' + 'b.c', 'x')", json!("deep")),
        (
            "get(request, 'headers.x-signature', '')",
            json!("sha256=abc"),
        ),
        ("get({'a': 1}, 'a', 1 / 0)", json!(1)),
        ("get(null, 'a', 2)", json!(2)),
    ]);
    check_errors(&[
        ("get(request.body.missing, 'a', 1)", "no field"),
        ("get(item, 'a', 1 / 0)", "division"),
    ]);
}

#[test]
fn formats_are_read_and_written() {
    check_values(&[
        (
            "kv('t=1,v1=a, v1 = b==,x')",
            json!({"t": ["1"], "v1": ["a", "b=="]}),
        ),
        ("kv('ts=1;h1=2', ';').h1[0]", json!("2")),
        ("kv('')", json!({})),
        (
            "json.encode(request.body.people[0])",
            json!(r#"{"age":36,"name":"Ada"}"#),
        ),
        (
            "json.encode({'a': [1, 2.5, null, 'q\"'], 1: b'a'})",
            json!(r#"{"1":"YQ==","a":[1,2.5,null,"q\""]}"#),
        ),
        (
            "json.decode('{\"a\": [1, 2.5, \"x\"]}').a",
            json!([1, 2.5, "x"]),
        ),
        ("json.decode(b'1')", json!(1)),
        (
            "json.decode(json.encode(request.body)) == request.body",
            json!(true),
        ),
        ("json.decode(request.rawBody) == request.body", json!(true)),
        ("json.decode('{\"a\":1,\"a\":2}').a", json!(2)),
        ("base64.encode('ü?>')", json!("w7w/Pg==")),
        ("string(base64.decode('w7w/Pg=='))", json!("ü?>")),
        ("string(base64.decode('w7w/Pg'))", json!("ü?>")),
        ("string(base64.decode('w7w_Pg'))", json!("ü?>")),
        ("url.encode('a b/ü~')", json!("a%20b%2F%C3%BC~")),
        ("url.decode('a%20b%2F%C3%BC+')", json!("a b/ü+")),
        (
            "url.host('https://User@Example.COM:8443/x?y')",
            json!("example.com"),
        ),
        ("hex(b'\\x00\\xff')", json!("00ff")),
        ("hex('ü')", json!("c3bc")),
        (
            "hex(sha1('abc'))",
            json!("a9993e364706816aba3e25717850c26c9cd0d89d"),
        ),
        (
            "hex(sha256('abc'))",
            json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ),
        ("crc32('123456789')", json!(3421780262_u32)),
        ("string(crc32(request.rawBody)) != ''", json!(true)),
    ]);
    check_errors(&[
        ("json.decode('{')", "not JSON"),
        ("json.decode('1 2')", "not JSON"),
        ("base64.decode('?')", "not base64"),
        ("url.decode('%ff')", "UTF-8"),
        ("url.host('nothing')", "not a URL"),
        ("url.host('data:x')", "no host"),
        (
            "url.host('https://' + lists.range(900).map(n, 'aaaaaaaaaa').join())",
            "longer than 8 KiB",
        ),
        ("kv('a=b', '')", "separator"),
        ("hex(1)", "`hex` cannot"),
    ]);
}

#[test]
fn a_body_that_does_not_parse_fails_only_where_it_is_used() {
    let request = super::Request::with_raw_body(b"{broken".to_vec());
    for (source, expected) in [
        ("request.method == 'POST'", Ok(true)),
        ("size(request.rawBody) == 7", Ok(true)),
        ("has(request.body.x)", Err("the body is not JSON")),
        (
            "get(request.body, 'x', 1) == 1",
            Err("the body is not JSON"),
        ),
        ("true || request.body.x", Ok(true)),
    ] {
        let expression = super::compile(source).unwrap();
        let result = expression.evaluate_bool(&request, &mut super::Budget::for_body_limit(1024));
        assert_eq!(
            result.map_err(|error| error.to_string()),
            expected.map_err(str::to_owned),
            "{source}"
        );
    }
}

#[test]
fn values_show_nothing_of_themselves() {
    let value = super::Value::text("secret");
    assert_eq!(format!("{value:?}"), "string(6 bytes)");
    check_true(&["true"]);
}
