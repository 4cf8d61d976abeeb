//! A pod that goes hands over what it has, and nothing of it is lost, whoever is killed meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tidegate::configuration::Configuration;

use super::entries::{KEY, delivering, subscription};
use super::send;
use crate::support::app::hmac_sha256_hex;
use crate::support::controller::Controller;
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::sink::{Answer, Sink};

const UNAVAILABLE: Answer = Answer::Status(StatusCode::SERVICE_UNAVAILABLE);
const OK: Answer = Answer::Status(StatusCode::NO_CONTENT);

/// Three consumers: one that is away, one that takes all, and one that refuses all for good.
fn three(sink: &Sink) -> Configuration {
    sink.answer("/away", UNAVAILABLE);
    sink.answer("/refusing", Answer::Status(StatusCode::BAD_REQUEST));
    Configuration {
        subscriptions: ["away", "taking", "refusing"]
            .map(|name| subscription(name, &sink.url(&format!("/{name}"))))
            .into(),
        ..delivering(&sink.url("/taking"))
    }
}

fn ids(sink: &Sink, path: &str) -> BTreeSet<String> {
    let taken = sink.at(path).into_iter();
    taken
        .filter(|it| it.status == StatusCode::NO_CONTENT)
        .map(|it| it.id().to_owned())
        .collect()
}

async fn dead_letters(pod: &Gateway) -> Vec<Value> {
    let (_, text) = pod.get(pod.admin, "/v1/dead-letters?limit=1000").await;
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// Sends a body; what the answer says.
async fn goes_again(pod: &Gateway, body: &'static str) -> Value {
    let request = pod
        .client
        .post(pod.url("/shop/orders"))
        .header("content-type", "application/json")
        .header("x-signature", hmac_sha256_hex(KEY, body.as_bytes()))
        .body(body);
    let text = request.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn is_done(controller: &Controller, pod: &str) {
    eventually("the pod has handed over what it had", async || {
        controller.retirement(pod).is_some_and(|it| it.is_done)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_undelivered_goes_to_a_pod_that_stays_and_only_to_whom_it_is_missing() {
    let sink = Sink::start().await;
    let controller = Controller::start(1).await;
    let configuration = three(&sink);
    let (mut stays, mut goes) = (
        Gateway::new(&controller, "pod-0"),
        Gateway::new(&controller, "pod-1"),
    );
    controller.set_members(configuration.clone(), &[&stays, &goes]);
    for pod in [&mut stays, &mut goes] {
        pod.spawn();
        pod.is_ready().await;
    }
    let all: BTreeSet<String> = (0..30).map(|number| number.to_string()).collect();
    for id in &all {
        let answer = send(&goes, "/shop/orders", KEY, id).await;
        assert_eq!(answer, Some(StatusCode::ACCEPTED));
    }
    eventually(
        "one consumer has them, another has refused them",
        async || ids(&sink, "/taking") == all && dead_letters(&goes).await.len() == all.len(),
    )
    .await;
    let letters = dead_letters(&goes).await;

    controller.set_members(configuration.clone(), &[&stays]);
    eventually("it is not ready", async || {
        let (status, text) = goes.get(goes.probes, "/readyz").await;
        status == StatusCode::SERVICE_UNAVAILABLE && text.contains("hands over what it has")
    })
    .await;
    // Who does not know yet is still served, and told to look for another pod.
    let late = goes
        .client
        .post(goes.url("/shop/orders"))
        .header("content-type", "application/json")
        .header("x-signature", hmac_sha256_hex(KEY, br#"{"id":"late"}"#))
        .body(r#"{"id":"late"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(late.status(), StatusCode::ACCEPTED);
    assert_eq!(late.headers()["connection"], "close");
    is_done(&controller, "pod-1").await;
    assert_eq!(
        send(&goes, "/shop/orders", KEY, "too late").await,
        Some(StatusCode::SERVICE_UNAVAILABLE)
    );
    assert_eq!(dead_letters(&goes).await, Vec::<Value>::new());
    goes.kill();
    drop(goes);

    let all: BTreeSet<String> = all.into_iter().chain(["late".to_owned()]).collect();
    sink.answer("/away", OK);
    eventually("all of them arrive", async || ids(&sink, "/away") == all).await;
    // Each went to those alone who had not got it: none twice.
    let taken = sink.at("/taking").len();
    assert_eq!((ids(&sink, "/taking"), taken), (all.clone(), all.len()));
    let away = sink.at("/away").into_iter();
    let away = away.filter(|it| it.status == StatusCode::NO_CONTENT);
    assert_eq!(away.count(), all.len());
    let moved = dead_letters(&stays).await;
    assert_eq!(moved.len(), all.len());
    for letter in &letters {
        let same = |other: &&Value| other["id"] == letter["id"];
        let moved = moved.iter().find(same).expect("it is listed");
        // Its own number is another one where it is now.
        let without_number = |letter: &Value| {
            let mut letter = letter.clone();
            letter.as_object_mut().unwrap().remove("deadLetter");
            letter
        };
        assert_eq!(without_number(moved), without_number(letter));
    }
    // Its redelivery is recognised where it is now.
    let body = r#"{"id":"17"}"#;
    let again = goes_again(&stays, body).await;
    assert_eq!(
        (&again["accepted"], &again["duplicates"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_whoever_is_killed_while_it_is_handed_over() {
    let sink = Sink::start().await;
    sink.answer("/away", UNAVAILABLE);
    let controller = Controller::start(1).await;
    let configuration = Configuration {
        subscriptions: vec![subscription("away", &sink.url("/away"))],
        ..delivering(&sink.url("/away"))
    };
    let (mut stays, mut goes) = (
        Gateway::new(&controller, "pod-0"),
        Gateway::new(&controller, "pod-1"),
    );
    controller.set_members(configuration.clone(), &[&stays, &goes]);
    for pod in [&mut stays, &mut goes] {
        pod.spawn();
        pod.is_ready().await;
    }
    // More than fit into a batch.
    let all: BTreeSet<String> = (0..1_200).map(|number| number.to_string()).collect();
    let numbers: Vec<&String> = all.iter().collect();
    for some in numbers.chunks(50) {
        let answers = some.iter().map(|id| send(&goes, "/shop/orders", KEY, id));
        for answer in futures_util::future::join_all(answers).await {
            assert_eq!(answer, Some(StatusCode::ACCEPTED));
        }
    }
    controller.set_members(configuration.clone(), &[&stays]);
    for round in 0..6_u64 {
        let (stays_on, victim) = match round % 2 {
            0 => (&stays, &mut goes),
            _ => (&goes, &mut stays),
        };
        // Whatever it is doing then: from before it has begun to after it is done.
        eventually("the other runs", async || {
            let url = format!("http://{}/livez", stays_on.probes);
            stays_on.client.get(url).send().await.is_ok()
        })
        .await;
        tokio::time::sleep(Duration::from_millis(137 * round)).await;
        victim.kill();
        victim.spawn();
    }
    stays.is_ready().await;
    is_done(&controller, "pod-1").await;
    goes.kill();
    drop(goes);
    sink.answer("/away", OK);
    eventually("all of them arrive", async || ids(&sink, "/away") == all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_to_stay_after_all_takes_requests_again() {
    let sink = Sink::start().await;
    sink.answer("/away", UNAVAILABLE);
    let controller = Controller::start(1).await;
    let configuration = Configuration {
        subscriptions: vec![subscription("away", &sink.url("/away"))],
        ..delivering(&sink.url("/away"))
    };
    let (mut stays, mut goes) = (
        Gateway::new(&controller, "pod-0"),
        Gateway::new(&controller, "pod-1"),
    );
    controller.set_members(configuration.clone(), &[&stays, &goes]);
    goes.spawn();
    goes.is_ready().await;
    send(&goes, "/shop/orders", KEY, "1").await;

    // As long as nobody else takes requests, it does not stop.
    controller.set_members(configuration.clone(), &[&stays]);
    eventually("it has heard of it", async || {
        controller
            .retirement("pod-1")
            .is_some_and(|it| it.left == 1)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    goes.is_ready().await;
    stays.spawn();
    stays.is_ready().await;
    is_done(&controller, "pod-1").await;
    let refused = send(&goes, "/shop/orders", KEY, "2").await;
    assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));

    controller.set_members(configuration.clone(), &[&stays, &goes]);
    goes.is_ready().await;
    let taken = send(&goes, "/shop/orders", KEY, "3").await;
    assert_eq!(taken, Some(StatusCode::ACCEPTED));
    eventually("it is one of them", async || {
        controller.retirement("pod-1").is_none()
    })
    .await;
    sink.answer("/away", OK);
    eventually("each arrives", async || {
        ids(&sink, "/away") == BTreeSet::from(["1".to_owned(), "3".to_owned()])
    })
    .await;
    let delivered = sink.at("/away").into_iter();
    let delivered = delivered.filter(|it| it.status == StatusCode::NO_CONTENT);
    assert_eq!(delivered.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_hands_over_nothing() {
    let sink = Sink::start().await;
    let controller = Controller::start(1).await;
    controller.set(delivering(&sink.url("/")));
    let pod = Gateway::start(&controller, "pod-0").await;
    let url = format!("http://{}/v1/hand-over", pod.probes);
    // A connection whose body was not read is not used again.
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0);
    let client = client.build().unwrap();
    for ticket in [None, Some(""), Some("AAAA"), Some("not base64 !")] {
        let mut request = client.post(&url).body(vec![0; 1 << 20]);
        if let Some(ticket) = ticket {
            request = request.header("x-tidegate-ticket", ticket);
        }
        // The body is not read: the connection may break before the answer.
        if let Ok(answer) = request.send().await {
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{ticket:?}");
        }
    }
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(sink.count(), 0);
}
