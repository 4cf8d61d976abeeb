//! Traces: from the request that brought an event to the sink that got it, over a restart too; and
//! nothing depends on the collector.

use axum::http::StatusCode;

use super::no_secrets::search::encodings;
use crate::support::collector::{Collected, Collector};
use crate::support::dev::{Dev, free_address};
use crate::support::eventually;
use crate::support::sink::{Answer, Sink};

const TOKEN: &str = r#"tok>?en"\/&=%+-of-traces"#;

/// Where somebody else's trace stands, sampled.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn manifests(sink: &Sink) -> String {
    format!(
        r#"
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: orders}}
spec:
  schema: {{type: object}}
  webhook:
    authentication: [{{token: {{keys: [{{secretKeyRef: {{name: app, key: token}}}}]}}}}]
    events: {{id: item.id}}
  globalWebhook: {{path: orders}}
---
apiVersion: v1
kind: Secret
metadata: {{name: app}}
stringData: {{token: '{TOKEN}'}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: all}}
spec:
  eventTypeRef: {{name: orders}}
  sink: {{uri: "{}"}}
  delivery: {{backoff: {{initial: 1s, max: 1s}}}}
"#,
        sink.url("/")
    )
}

fn traced(sink: &Sink, endpoint: &str, more: &[(&str, &str)]) -> Dev {
    let mut dev = Dev::in_new_folders(&["--log-format", "json"]);
    std::fs::write(dev.manifests.join("all.yaml"), manifests(sink)).unwrap();
    dev.variable("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    // Often, so that tests need not wait.
    dev.variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    for (name, value) in more {
        dev.variable(name, value);
    }
    dev
}

async fn send(dev: &Dev, id: &str, token: &str, traceparent: Option<&str>) -> StatusCode {
    let request = dev
        .client
        .post(dev.url("/default/orders"))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(format!(r#"{{"id": "{id}"}}"#));
    let request = match traceparent {
        Some(traceparent) => request.header("traceparent", traceparent),
        None => request,
    };
    request.send().await.unwrap().status()
}

fn named<'a>(spans: &'a [Collected], name: &str) -> Vec<&'a Collected> {
    spans.iter().filter(|span| span.name == name).collect()
}

const RECEIVE: &str = "receive default/orders";
const DELIVER: &str = "deliver default/all";

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_leads_from_the_app_over_a_restart_to_the_sink() {
    let (sink, collector) = (Sink::start().await, Collector::start().await);
    let endpoint = format!("http://{}", collector.address);
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven");
    let mut dev = traced(&sink, &endpoint, &[headers]);
    dev.log_as("debug");
    dev.run().await;
    sink.answer("/", Answer::Status(StatusCode::SERVICE_UNAVAILABLE));
    let incoming = format!("00-{TRACE}-{PARENT}-01");
    let status = send(&dev, "one", TOKEN, Some(&incoming)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    eventually("an attempt has failed, and its span came", async || {
        named(&collector.spans(), DELIVER)
            .iter()
            .any(|it| it.is_error)
    })
    .await;
    assert!(dev.stop().await.success());
    sink.answer("/", Answer::Status(StatusCode::NO_CONTENT));
    dev.run().await;
    eventually("it is delivered, and its span came", async || {
        named(&collector.spans(), DELIVER)
            .iter()
            .any(|it| !it.is_error)
    })
    .await;

    let spans = collector.spans();
    let [receive] = named(&spans, RECEIVE)[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!((&*receive.trace, &*receive.parent), (TRACE, PARENT));
    assert_eq!((receive.kind, &*receive.service), (2, "tidegate-dev"));
    assert_eq!(receive.attributes["tidegate.outcome"], "accepted");
    assert_eq!(receive.attributes["http.response.status_code"], "202");
    assert_eq!(receive.attributes["tidegate.events.accepted"], "1");
    let attempts = named(&spans, DELIVER);
    for attempt in &attempts {
        assert_eq!((&*attempt.trace, &*attempt.parent), (TRACE, PARENT));
        assert_eq!(attempt.kind, 3);
        assert_eq!(attempt.attributes["cloudevents.event_id"], "one");
        assert_eq!(attempt.attributes["server.address"], "127.0.0.1");
    }
    let failed = attempts.iter().find(|it| it.is_error).unwrap();
    assert_eq!(failed.attributes["http.response.status_code"], "503");
    assert_eq!(failed.attributes["error.type"], "status");
    // The sink goes on from the attempt, and still sees where the event is from.
    let got = sink.deliveries().pop().unwrap();
    let delivered = attempts.iter().find(|it| !it.is_error).unwrap();
    let own = format!("00-{TRACE}-{}-01", delivered.span);
    assert_eq!(got.header("traceparent"), own);
    assert_eq!(got.header("ce-traceparent"), incoming);
    let line = dev.output();
    let line = line
        .lines()
        .find(|it| it.contains("\"outcome\":\"accepted\""));
    assert!(line.unwrap().contains(&format!("\"trace_id\":\"{TRACE}\"")));
    assert!(
        collector
            .headers()
            .iter()
            .all(|it| it["x-tenant"] == "seven")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_trace_begins_one_and_no_span_shows_a_secret() {
    let (sink, collector) = (Sink::start().await, Collector::start().await);
    let mut dev = traced(&sink, &format!("http://{}", collector.address), &[]);
    dev.variable("OTEL_SERVICE_NAME", "hooks");
    dev.run().await;
    assert_eq!(send(&dev, "one", TOKEN, None).await, StatusCode::ACCEPTED);
    let wrong = format!("{TOKEN}-and-more");
    let refused = send(&dev, "two", &wrong, None).await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
    eventually("all spans came", async || {
        let spans = collector.spans();
        named(&spans, RECEIVE).len() == 2 && named(&spans, DELIVER).len() == 1
    })
    .await;
    let spans = collector.spans();
    let received = named(&spans, RECEIVE);
    let outcome = |it: &Collected| it.attributes["tidegate.outcome"].clone();
    let accepted = received
        .iter()
        .find(|it| outcome(it) == "accepted")
        .unwrap();
    let delivered = named(&spans, DELIVER)[0];
    assert_eq!(accepted.parent, "");
    let joined = (&delivered.trace, &delivered.parent);
    assert_eq!(joined, (&accepted.trace, &accepted.span));
    assert_eq!(accepted.service, "hooks");
    let refused = received.iter().find(|it| outcome(it) == "unauthenticated");
    // Not our fault, so not an error of ours.
    assert!(!refused.unwrap().is_error);
    let bytes = collector.bytes();
    for secret in encodings(TOKEN.as_bytes()) {
        assert!(!bytes.windows(secret.len()).any(|it| it == secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_want_to_be_traced_is_not_and_the_sink_is_told_so() {
    let (sink, collector) = (Sink::start().await, Collector::start().await);
    let mut dev = traced(&sink, &format!("http://{}", collector.address), &[]);
    dev.run().await;
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    let status = send(&dev, "one", TOKEN, Some(&unsampled)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    eventually("it is delivered", async || sink.count() == 1).await;
    let header = sink.deliveries()[0].header("traceparent").to_owned();
    assert!(
        header.starts_with(&format!("00-{TRACE}-")) && header.ends_with("-00"),
        "{header}"
    );
    assert!(dev.stop().await.success());
    assert_eq!(
        collector.spans().len(),
        0,
        "the last ones are sent when it stops"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_stops_nothing() {
    let sink = Sink::start().await;
    let mut dev = traced(&sink, &format!("http://{}", free_address()), &[]);
    dev.run().await;
    for number in 0..50 {
        let status = send(&dev, &number.to_string(), TOKEN, None).await;
        assert_eq!(status, StatusCode::ACCEPTED);
    }
    eventually("all are delivered", async || sink.count() == 50).await;
    assert!(dev.stop().await.success());
    let told = dev.output().matches("failed to send spans").count();
    assert_eq!(told, 1, "once, not each time: {}", dev.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_is_given_up_and_gets_what_comes_later() {
    let (sink, collector) = (Sink::start().await, Collector::start().await);
    let timeout = ("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
    let mut dev = traced(&sink, &format!("http://{}", collector.address), &[timeout]);
    collector.hang(true);
    dev.run().await;
    assert_eq!(send(&dev, "one", TOKEN, None).await, StatusCode::ACCEPTED);
    eventually("it is told that spans are dropped", async || {
        dev.output().contains("failed to send spans")
    })
    .await;
    collector.hang(false);
    assert_eq!(send(&dev, "two", TOKEN, None).await, StatusCode::ACCEPTED);
    eventually("the next ones come", async || !collector.spans().is_empty()).await;
    eventually("it is told that spans are taken", async || {
        dev.output().contains("the collector takes spans again")
    })
    .await;
}

#[test]
fn a_variable_that_makes_no_sense_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("dev")
        .arg(folder.path())
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("http/protobuf") && text.contains("4318"),
        "{text}"
    );
}
