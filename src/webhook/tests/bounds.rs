//! No request, and no type that compiles, keeps a core busy: hostile shapes against the clock of
//! this thread, so that a busy machine does not matter.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;

/// A body of 1 MiB may take so long (the bound of the promises); debug builds are optimised enough.
const MOST: Duration = Duration::from_millis(100);

/// The CPU time that reading 1 MiB of ones takes on the machine that the bound was found right for:
/// a slow one, with nothing else to do.
const READING: Duration = Duration::from_millis(14);

fn busy(receiver: &Receiver, request: &Request) -> (Duration, String) {
    let time = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    // The fastest of several counts: the first may fault pages in, and on a busy machine others
    // take the caches away. Another one on the same core, or a hypervisor, can make all work take
    // twice as long: so it is compared with what reading JSON takes at the same moment.
    let ones = format!("[{}1]", "1,".repeat((1 << 19) - 2));
    let mut best = Duration::MAX;
    let mut found = String::new();
    for attempt in 0..40 {
        if attempt > 1 && best < MOST {
            break;
        }
        // After some in a row it is worth waiting for a better moment.
        std::thread::sleep(Duration::from_millis(if attempt < 6 { 0 } else { 100 }));
        let start = time();
        let verdict = receive(receiver, request);
        let taken = time() - start;
        best = best.min(taken);
        found = summary(&verdict);
        if best >= MOST {
            let start = time();
            let read = serde_json::from_str::<serde_json::Value>(&ones);
            let reading = time() - start;
            assert!(read.is_ok());
            best = best.min(taken.mul_f64(READING.div_duration_f64(reading).min(1.0)));
        }
    }
    println!("{best:?}");
    (best, found.chars().take(60).collect())
}

/// 1 MiB of `item` repeated, with `head` before and `tail` behind.
fn fill(head: &str, item: &str, separator: &str, tail: &str) -> String {
    let count = ((1 << 20) - head.len() - tail.len()) / (item.len() + separator.len());
    format!("{head}{}{tail}", vec![item; count].join(separator))
}

#[test]
fn hostile_bodies_and_types_stay_within_their_time() {
    let items = |bytes: usize| {
        let count = (1 << 20) / (bytes + 1);
        let item = format!("{{\"id\":\"{}\"}}", "x".repeat(bytes - 9));
        format!("[{}]", vec![item; count.min(1_000)].join(","))
    };
    let text = format!(
        "{{\"s\":\"{}\",\"l\":[{}]}}",
        "x".repeat(1 << 19),
        vec!["1"; 1_000].join(",")
    );
    let heavy = r#""request.rawBody.size() > 0 && hex(sha256(request.rawBody)) != \"\"""#;
    let build = "'size(request.body.l.map(x, request.body.s + \"b\")) > 0'";
    let chained = "'request.body.l.map(x, string(x) + \"y\").map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).size() > 0'";
    let cases: Vec<(&str, String, String)> = vec![
        ("a large event", "{id: item.id}".into(), format!("{{\"id\":\"{}\"}}", "x".repeat((1 << 20) - 16))),
        ("a thousand events with every expression", "{when: item.id != \"\", require: item.id != \"\", type: item.id + \"t\", id: hex(sha256(bytes(item.id))), extensions: {a: 'item.id.substring(0, 9)', b: 'item.id.substring(0, 9)'}}".into(), items(1_000)),
        ("a thousand events that each hash the whole body", format!("{{require: {heavy}}}"), items(1_000)),
        ("a thousand events that each read the whole body as a tree", "{require: 'request.body.exists(x, x.id == \"never\")'}".into(), items(1_000)),
        ("text built a thousand times", format!("{{require: {build}}}"), text.clone()),
        ("chained comprehensions", format!("{{require: {chained}, when: {chained}, id: {chained}, type: {chained}}}"), text.clone()),
        ("a projection of the whole body for each event", "{data: request.body}".into(), items(1_000)),
        ("many small numbers", "{id: string(item.size())}".into(), fill("{\"a\":[", "1", ",", "]}")),
        ("arrays in arrays", "{id: item.a}".into(), format!("[{}{}]", "[".repeat(1 << 19), "]".repeat((1 << 19) - 2))),
        ("half a million names", "{from: request.body.x}".into(), fill("{", "\"x\":1", ",", "}")),
        ("a name half a million times, the last an object", "{from: request.body.x.y}".into(), fill("{", "\"x\":{}", ",", ",\"x\":{\"y\":{}}}")),
        ("more events than allowed", "{}".into(), fill("[", "1", ",", "]")),
        ("escapes", "{id: item.s}".into(), fill("{\"s\":\"", "\\u00e4", "", "\"}")),
    ];
    for (name, events, body) in cases {
        let (time, found) = busy(&open(&events), &post(body));
        assert!(time < MOST, "{name}: {time:?}, {found}");
    }
}

#[test]
fn forms_and_queries_stay_within_their_time() {
    let receiver = open("{id: 'request.form.a[0]'}");
    let form = |body: String| {
        with_headers(
            post(body),
            &[("content-type", "application/x-www-form-urlencoded")],
        )
    };
    for (name, request) in [
        ("one name", form(fill("", "a=1", "&", ""))),
        (
            "many names",
            form(
                (0..80_000)
                    .map(|n| format!("n{n}="))
                    .collect::<Vec<_>>()
                    .join("&"),
            ),
        ),
        ("escapes", form(fill("a=", "%C3%A4", "", ""))),
    ] {
        let (time, found) = busy(&receiver, &request);
        assert!(time < MOST, "{name}: {time:?}, {found}");
    }
}

#[test]
fn explaining_a_batch_that_is_wrong_throughout_stays_within_its_time() {
    let spec = "{onInvalid: Reject, webhook: {authentication: [{none: {}}]}, schema: {type: object, properties: {l: {type: array, items: {type: object}}}}}";
    let item = format!("{{\"l\":[{}]}}", vec!["1"; 500].join(","));
    let body = format!("[{}]", vec![item; 1_000].join(","));
    let (time, found) = busy(&receiver(spec, &[]), &post(body));
    assert!(found.starts_with("422 0: SchemaViolation"), "{found}");
    assert!(time < MOST, "{time:?}");
}

#[test]
fn many_keys_and_entries_stay_within_their_time() {
    let keys = (0..8)
        .map(|n| format!("{{secretKeyRef: {{name: app, key: k{n}}}}}"))
        .collect::<Vec<_>>()
        .join(",");
    let entry = format!(
        "{{hmac: {{algorithm: SHA512, keys: [{keys}], signature: 'request.headers[\"x\"]', message: $(request.rawBody)$(request.rawBody)$(request.rawBody)}}}}"
    );
    let spec = format!(
        "{{webhook: {{authentication: [{}]}}}}",
        vec![entry; 8].join(",")
    );
    let names: Vec<String> = (0..8).map(|n| format!("k{n}")).collect();
    let keys: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), name.as_bytes()))
        .collect();
    let request = with_headers(post("x".repeat(1 << 20)), &[("x", "00")]);
    let (time, found) = busy(&receiver(&spec, &keys), &request);
    assert!(found.starts_with("401 "), "{found}");
    assert!(time < MOST, "{time:?}");
}

#[test]
fn a_small_event_takes_microseconds() {
    let spec = "{schema: {type: object, required: [id], properties: {id: {type: string}}}, webhook: {authentication: [{hmac: {keys: [{secretKeyRef: {name: app, key: k}}], signature: 'request.headers[\"x\"]'}}], events: {id: item.id}}}";
    let body = format!(
        "{{\"id\":\"1\",\"fields\":[{}]}}",
        vec!["{\"name\":\"a\",\"value\":12.5}"; 38].join(",")
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"secret");
    let signature = hex::encode(aws_lc_rs::hmac::sign(&key, body.as_bytes()));
    let receiver = receiver(spec, &[("k", b"secret")]);
    let request = with_headers(post(body), &[("x", &signature)]);
    let (time, found) = busy(&receiver, &request);
    assert!(found.starts_with("{\"id\""), "{found}");
    // The bound is a tenth of a hundredth of what invariant 8 allows; it is far above what it takes.
    assert!(time < Duration::from_micros(500), "{time:?}");
}
