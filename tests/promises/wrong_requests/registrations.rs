//! The URIs of registrations over real sockets: each has its own secret, comes and goes while
//! requests are served, and what a handshake brings is answered once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use futures_util::future::{BoxFuture, join_all, ready};
use jiff::Timestamp;
use tidegate::api::LifecycleAction;
use tidegate::configuration::{
    CaptureAnswer, Captured, LiveRegistration, NotStored, RegistrationChange, RegistrationCustomer,
    RegistrationEntry, RegistrationState, Reports, Sensitive,
};
use tidegate::event::{CustomerKey, ObjectName};
use tidegate::gateway::Bounds;

use super::check;
use super::server::Server;
use super::wire::{Connection, Request};

/// The first value of each registration wins.
#[derive(Default)]
struct FirstWins(Mutex<HashMap<(ObjectName, u32), Captured>>);

impl Reports for FirstWins {
    fn captured<'a>(
        &'a self,
        subscription: &'a ObjectName,
        number: u32,
        captured: Captured,
    ) -> BoxFuture<'a, CaptureAnswer> {
        let mut all = self.0.lock().unwrap();
        let first = all.entry((subscription.clone(), number));
        let first = first.or_insert_with(|| captured.clone());
        Box::pin(ready(match *first == captured {
            true => CaptureAnswer::Taken,
            false => CaptureAnswer::Refused,
        }))
    }

    fn noticed<'a>(
        &'a self,
        _: &'a ObjectName,
        _: u32,
        _: LifecycleAction,
    ) -> BoxFuture<'a, Result<(), NotStored>> {
        Box::pin(ready(Err(NotStored)))
    }

    fn received(&self, _: &ObjectName, _: u32, _: Timestamp) {}
}

fn path(server: &Server, number: u32) -> String {
    format!("/h/{}/{number}", server.token("registered-acme"))
}

fn set(server: &Server, number: u32, state: RegistrationState) {
    server.register(vec![RegistrationChange::Set(RegistrationEntry {
        subscription: ObjectName::new("shop", "registered-acme"),
        number,
        path: path(server, number),
        event_type: ObjectName::new("shop", "registered"),
        state,
    })]);
}

fn live(secret: Option<&str>) -> RegistrationState {
    RegistrationState::Live(Box::new(LiveRegistration {
        customer: Some(RegistrationCustomer {
            key: CustomerKey {
                namespace: "shop".into(),
                id: "acme".into(),
            },
            fields: BTreeMap::new(),
            keys: BTreeMap::new(),
        }),
        id: None,
        values: BTreeMap::new(),
        signing_secret: secret.map(Sensitive::from),
        capture_open: secret.is_none(),
    }))
}

fn signed(path: &str, secret: &str) -> Request {
    let body = br#"{"id": "1"}"#;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hex::encode(hmac::sign(&key, body));
    Request::post(path)
        .header("x-signature", &signature)
        .body(*body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_registration_answers_for_itself() {
    let server = Server::start(Bounds::default()).await;
    let (one, two) = (path(&server, 1), path(&server, 2));
    check(&server, "not here yet", signed(&one, "one"), 503).await;
    set(&server, 1, live(Some("one")));
    set(&server, 2, live(Some("two")));
    check(&server, "its own secret", signed(&one, "one"), 202).await;
    check(&server, "its own secret", signed(&two, "two"), 202).await;
    check(&server, "another's secret", signed(&one, "two"), 401).await;
    check(&server, "another's secret", signed(&two, "one"), 401).await;
    set(&server, 1, RegistrationState::Removed);
    let gone = check(&server, "removed", signed(&one, "one"), 410).await;
    assert_eq!(
        gone.header("content-type"),
        Some("application/problem+json")
    );
    check(&server, "the other goes on", signed(&two, "two"), 202).await;
    set(&server, 3, live(None));
    check(
        &server,
        "no secret yet",
        signed(&path(&server, 3), "x"),
        503,
    )
    .await;
    for number in ["01", "0", "-1", "x", "1/2", ""] {
        let path = format!("/h/{}/{number}", server.token("registered-acme"));
        check(&server, number, signed(&path, "one"), 404).await;
    }
    let mut admin = Connection::open(server.admin_address()).await;
    let requests = Request::new("GET", "/v1/requests?limit=1000").host("127.0.0.1:1");
    let requests = admin.response_to(&requests).await.unwrap().body;
    for shown in [
        r#""path":"/h/***/2""#,
        r#""upstreamSubscription":"shop/registered-acme","registration":2"#,
        r#""verdict":"removed""#,
    ] {
        assert!(requests.contains(shown), "{shown}: {requests}");
    }
    assert!(
        !requests.contains(&server.token("registered-acme")),
        "{requests}"
    );
    drop(admin);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_secrets_that_come_at_once_one_is_captured() {
    let server = Server::start_for(Bounds::default(), Arc::new(FirstWins::default())).await;
    set(&server, 1, live(None));
    let path = path(&server, 1);
    let shake = async |secret: String| {
        let mut connection = server.connect().await;
        let request = Request::post(&path).header("x-hook-secret", &secret);
        let answer = connection.response_to(&request).await.unwrap();
        let echoed = answer.header("x-hook-secret") == Some(secret.as_str());
        assert_eq!(echoed, answer.status == 200, "{secret}: {}", answer.body);
        (answer.status, secret)
    };
    let answers = join_all((0..16).map(|number| shake(format!("secret-{number}")))).await;
    let taken: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status == 200)
        .collect();
    assert_eq!(taken.len(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|(status, _)| matches!(status, 200 | 401))
    );
    // The same again is answered again, and once it is live, it signs.
    let secret = taken[0].1.clone();
    assert_eq!(shake(secret.clone()).await.0, 200);
    set(&server, 1, live(Some(&secret)));
    check(&server, "the captured secret", signed(&path, &secret), 202).await;
    check(&server, "another secret", signed(&path, "secret-x"), 401).await;
    server.end().await;
}
