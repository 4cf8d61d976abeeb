//! What YAML says, where it says it, and what is wrong with it.

use std::time::Duration;

use super::*;

/// The values of all documents, as JSON, and the faults as `line:column severity: message`.
fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let documents = parse(text);
    let values = documents
        .nodes
        .iter()
        .map(|node| node.to_value().to_string())
        .collect();
    let faults = documents
        .faults
        .iter()
        .map(
            |Fault {
                 severity,
                 mark,
                 message,
             }| format!("{}:{} {severity}: {message}", mark.line, mark.column),
        )
        .collect();
    (values, faults)
}

fn check(text: &str, expected: &[&str]) {
    let (values, faults) = read(text);
    assert_eq!(faults, Vec::<String>::new(), "{text}");
    assert_eq!(values, expected, "{text}");
}

fn check_fault(text: &str, place: &str, words: &str) {
    let (_, faults) = read(text);
    assert!(
        faults
            .iter()
            .any(|fault| fault.starts_with(&format!("{place} ")) && fault.contains(words)),
        "{text:?} should say {words:?} at {place}, but says {faults:#?}"
    );
}

#[test]
fn documents_become_values() {
    check(
        "a: 1\nb: [x, z]\n---\n---\n# nothing\n---\nc: {d: ~}\n",
        &[r#"{"a":1,"b":["x","z"]}"#, r#"{"c":{"d":null}}"#],
    );
    check(
        "a: |\n  x\n  y\nb: >-\n  x\n  y\n",
        &[r#"{"a":"x\ny\n","b":"x y"}"#],
    );
    check(
        "a: 'on'\nb: on\nc: \"5\"\nd: !!str 5\n",
        &[r#"{"a":"on","b":true,"c":"5","d":"5"}"#],
    );
    check("200: ok\n", &[r#"{"200":"ok"}"#]);
    check("", &[]);
    check("\u{feff}a: 1\n", &[r#"{"a":1}"#]);
    check("a: 1\r\nb: 2\r\n", &[r#"{"a":1,"b":2}"#]);
}

#[test]
fn json_is_read_as_it_is() {
    check(
        "{\"a\": [1, 2.5, \"x\\u0041\\n\"],\n\t\"b\": {\"c\": null}}\n",
        &[r#"{"a":[1,2.5,"xA\n"],"b":{"c":null}}"#],
    );
    let long = "k".repeat(5_000);
    check(
        &format!("{{\"{long}\": true}}"),
        &[&format!("{{\"{long}\":true}}")],
    );
}

#[test]
fn anchors_and_merges_are_copied() {
    check(
        "base: &base {a: 1, b: 2}\none: *base\ntwo: {<<: *base, b: 3}\n",
        &[r#"{"base":{"a":1,"b":2},"one":{"a":1,"b":2},"two":{"a":1,"b":3}}"#],
    );
    check(
        "x: &x {a: 1}\nv: &v {a: 2, b: 2}\nz: {<<: [*x, *v]}\n",
        &[r#"{"v":{"a":2,"b":2},"x":{"a":1},"z":{"a":1,"b":2}}"#],
    );
    check_fault("a: {<<: 5}\n", "1:9", "`<<` takes over");
    check_fault("a: *nobody\n", "1:4", "alias");
    check_fault("a: &a [*a]\n", "1:8", "inside of what it names");
}

#[test]
fn every_value_knows_its_place() {
    let documents = parse("a: 1\nb:\n- x\n- c: y\n---\n{\"d\": [\"é\", 7]}\n");
    let place = |document: usize, path: &str| {
        let places = documents.nodes[document].places();
        let mark = places[&crate::api::FieldPath::from(path)].mark;
        (mark.line, mark.column)
    };
    assert_eq!(place(0, "a"), (1, 4));
    assert_eq!(place(0, "b"), (2, 1));
    assert_eq!(place(0, "b[0]"), (3, 3));
    assert_eq!(place(0, "b[1]"), (4, 3));
    assert_eq!(place(0, "b[1].c"), (4, 6));
    assert_eq!(place(1, "d"), (6, 7));
    assert_eq!(place(1, "d[1]"), (6, 13));
}

#[test]
fn traps_are_reported_where_they_are() {
    check_fault(
        "a: 1\nb: 2\na: 3\n",
        "3:1",
        "`a` is written twice; first in line 1",
    );
    check_fault(
        "on: push\n",
        "1:1",
        "Kubernetes reads the name `on` as true",
    );
    check_fault("y: 1\n", "1:1", "reads the name `y` as true");
    check_fault("a:\n\tb: 1\n", "2:2", "never with tabs");
    check_fault("a: {{ x }}\n", "1:5", "`{{` begins an object");
    check_fault("a: $(x.map(y, y) # b)\n", "1:4", "not closed");
    check_fault("a: [$(get(x, y))]\n", "1:5", "not closed");
    check_fault("a: $(x ? y : z)\n", "1:12", "needs quotes");
    check_fault("a: .inf\n", "1:4", "JSON does not have");
    check_fault("a: !secret x\n", "1:4", "YAML tag");
    check_fault("{a: 1}: 2\n", "1:1", "a name must be text");
    check_fault("a: @x\n", "1:4", "not valid YAML");
    check_fault("a: [1, 2\nb: 3\n", "2:2", "not valid YAML");
}

#[test]
fn a_placeholder_that_yaml_leaves_whole_is_no_fault() {
    for value in [
        "$(item.id)",
        "$(a)$(b(c))",
        "a $(x) b",
        "'$(x, y # z)'",
        "\"$(x\"",
    ] {
        check(
            &format!("a: {value}\n"),
            &[&format!(
                "{{\"a\":{}}}",
                serde_json::json!(value.trim_matches(['\'', '"']))
            )],
        );
    }
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let (values, faults) = read("a: 1\n---\nb: [\n---\nc: 3\n---\nd: 1\nd: 2\n---\ne: 5\n");
    assert_eq!(values, [r#"{"a":1}"#, r#"{"c":3}"#, r#"{"e":5}"#]);
    assert_eq!(faults.len(), 2, "{faults:#?}");
}

#[test]
fn no_message_repeats_a_value_that_could_be_a_password() {
    let (_, faults) = read(
        "stringData:\n  a: *hunter2\n---\nstringData:\n  a: !hunter2 x\n---\na: &hunter2 [*hunter2]\n",
    );
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(!faults.concat().contains("hunter2"), "{faults:#?}");
}

fn cpu_time(work: impl FnOnce()) -> Duration {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(
            time.tv_sec.unsigned_abs(),
            u32::try_from(time.tv_nsec).unwrap(),
        )
    };
    let start = now();
    work();
    now() - start
}

#[test]
fn hostile_texts_are_refused_at_once() {
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..30 {
            let before = level - 1;
            text.push_str(&format!(
                "a{level}: &a{level} [{}]\n",
                vec![format!("*a{before}"); 10].join(", ")
            ));
        }
        text
    };
    let quoted_bomb = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "x".repeat(1_000_000),
        vec!["*a"; 250_000].join(",")
    );
    let deep_aliases = {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..200 {
            text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        text
    };
    for (name, text) in [
        ("an alias bomb", bomb),
        ("many copies of a long text", quoted_bomb),
        ("nesting by aliases", deep_aliases),
        ("deep lists", "[".repeat(100_000)),
        ("deep objects", "{a: ".repeat(100_000)),
        (
            "deep blocks",
            (0..2_000)
                .map(|level| format!("{}a:\n", " ".repeat(level)))
                .collect(),
        ),
    ] {
        let mut faults = 0;
        // On a busy machine others take the caches away: the best of several counts.
        let mut time = Duration::MAX;
        for _ in 0..10 {
            time = time.min(cpu_time(|| faults = parse(&text).faults.len()));
            if time < Duration::from_secs(1) {
                break;
            }
        }
        assert!(faults > 0, "{name}");
        assert!(time < Duration::from_secs(2), "{name} took {time:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[-a{}\\[\\]:,&*!|>#%@`\"' \n\t0-9$().~<]{0,200}") {
        parse(&text);
    }
}
