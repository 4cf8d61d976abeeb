//! The app itself does what its moods say; a test that relies on it would else prove nothing.

use std::time::Duration;

use serde_json::{Value, json};

use super::ledger::Ledger;
use super::{End, Fault, Go, Handshake, ModelApp, Op, SecretFrom, Stage};
use crate::support::eventually;
use crate::support::sink::{Answer, Sink};

struct Caller<'a> {
    app: &'a ModelApp,
    client: reqwest::Client,
}

impl<'a> Caller<'a> {
    fn new(app: &'a ModelApp) -> Self {
        let client = reqwest::Client::builder().no_proxy();
        let client = client.timeout(Duration::from_secs(120)).build().unwrap();
        Self { app, client }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let tenant = path.split('/').nth(1).unwrap();
        let url = format!("{}{path}", self.app.url());
        let request = self.client.request(method.parse().unwrap(), url);
        let request = request.bearer_auth(format!("token-{tenant}-1"));
        let request = request.header("idempotency-key", "same").json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn create(&self, tenant: &str, target: &str) -> (u16, Value) {
        let body = json!({"target": target, "secret": "from-the-request"});
        self.call("POST", &format!("/{tenant}/hooks"), body).await
    }

    async fn list(&self, tenant: &str) -> Value {
        let path = format!("/{tenant}/hooks");
        let (status, body) = self.call("GET", &path, Value::Null).await;
        assert_eq!(status, 200);
        body
    }
}

const TARGET: &str = "http://127.0.0.1:9/h/a/1";

#[tokio::test(flavor = "multi_thread")]
async fn a_well_behaved_app_creates_lists_renews_and_deletes() {
    let app = ModelApp::start().await;
    let caller = Caller::new(&app);
    app.add_foreign("a", "http://127.0.0.1:9/h/a/11");
    app.set("a", |moods| moods.lifetime = Some(Duration::from_secs(60)));
    let (status, body) = caller.create("a", TARGET).await;
    assert_eq!((status, &body["data"]["target"]), (201, &json!(TARGET)));
    let id = body["data"]["id"].as_str().unwrap();
    let listed = caller.list("a").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "{listed}");
    let before = app.live("a")[0].expires;
    let path = format!("/a/hooks/{id}");
    assert_eq!(caller.call("PATCH", &path, json!({})).await.0, 200);
    assert!(app.live("a")[0].expires > before);
    assert_eq!(caller.call("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(caller.call("DELETE", &path, Value::Null).await.0, 404);
    assert_eq!(app.all("a")[0].ended.unwrap().1, End::Deleted);
    assert_eq!((app.live("a").len(), app.count("a", Op::Delete)), (0, 2));
    let nobody = caller.client.get(format!("{}/a/hooks", app.url()));
    assert_eq!(nobody.send().await.unwrap().status(), 401);
    app.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_lag_come_in_pages_or_are_not_there() {
    let app = ModelApp::start().await;
    let caller = Caller::new(&app);
    app.set("lag", |moods| moods.list_lag = Duration::from_secs(3600));
    caller.create("lag", TARGET).await;
    assert_eq!(caller.list("lag").await["data"], json!([]));
    app.set("lag", |moods| moods.list_lag = Duration::ZERO);
    assert_eq!(
        caller.list("lag").await["data"].as_array().unwrap().len(),
        1
    );

    app.set("paged", |moods| moods.page = Some(1));
    app.add_foreign("paged", "http://127.0.0.1:9/foreign");
    caller.create("paged", TARGET).await;
    let page = caller.list("paged").await;
    let next = page["next"].as_str().unwrap().strip_prefix(app.url());
    let (_, last) = caller.call("GET", next.unwrap(), Value::Null).await;
    assert_eq!(
        (&last["data"][0]["target"], &last["next"]),
        (&json!(TARGET), &Value::Null)
    );

    app.set("none", |moods| moods.no_list = true);
    assert_eq!(caller.call("GET", "/none/hooks", Value::Null).await.0, 405);
}

#[test]
fn a_list_that_lags_shows_what_was_there_then() {
    let mut ledger = Ledger::default();
    let hook = ledger.add("lag", TARGET, "secret", false, None, None);
    let (id, made) = (hook.id.clone(), hook.made);
    let ended = made + Duration::from_secs(2);
    ledger.end(&id, ended, End::Deleted);
    let second = Duration::from_secs(1);
    for (then, is_listed) in [
        (made - second, false),
        (made, true),
        (made + second, true),
        (ended, false),
        (ended + second, false),
    ] {
        assert_eq!(ledger.listed_at("lag", then).len(), usize::from(is_listed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_done_or_not_as_it_is_said() {
    let app = ModelApp::start().await;
    let caller = Caller::new(&app);
    for (tenant, fault, status, is_done) in [
        ("a", Fault::DoneBut500, 500, true),
        ("b", Fault::DoneButGarbage, 200, true),
        (
            "c",
            Fault::AnsweredAfter(Duration::from_millis(10)),
            201,
            true,
        ),
        ("d", Fault::Refused(403), 403, false),
        ("e", Fault::TooMany(1), 429, false),
        ("f", Fault::ErrorInside200, 200, false),
    ] {
        app.next(tenant, Op::Create, fault);
        assert_eq!(caller.create(tenant, TARGET).await.0, status, "{fault:?}");
        assert_eq!(app.live(tenant).len(), usize::from(is_done), "{fault:?}");
        assert_eq!(caller.create(tenant, TARGET).await.0, 201, "only once");
    }
    app.set("g", |moods| {
        (moods.conflict, moods.idempotent) = (true, false)
    });
    assert_eq!(caller.create("g", TARGET).await.0, 201);
    assert_eq!(caller.create("g", TARGET).await.0, 409);
    app.set("h", |moods| moods.idempotent = true);
    let first = caller.create("h", TARGET).await;
    assert_eq!(
        (first, app.live("h").len()),
        (caller.create("h", TARGET).await, 1)
    );
    app.set("i", |moods| {
        moods.lifetime = Some(Duration::from_millis(50))
    });
    caller.create("i", TARGET).await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!(caller.list("i").await["data"], json!([]));
    assert_eq!(app.all("i")[0].ended.unwrap().1, End::Expired);
    for path in ["one", "two"] {
        let body = json!({"target": format!("http://127.0.0.1:9/{path}")});
        assert_eq!(caller.call("PUT", "/j/hook", body).await.0, 201);
    }
    let live = app.live("j");
    assert!(
        live.len() == 1 && live[0].target.ends_with("two"),
        "{live:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_goes_on_or_nowhere_though_the_caller_has_gone() {
    let app = ModelApp::start().await;
    let caller = Caller::new(&app);
    for (tenant, stage, go, is_done) in [
        ("a", Stage::Received, Go::On, true),
        ("b", Stage::Received, Go::Nowhere, false),
        ("c", Stage::Done, Go::Nowhere, true),
    ] {
        let mut gate = app.gate(tenant, Op::Create, stage);
        let mut call = Box::pin(caller.create(tenant, TARGET));
        tokio::select! {
            _ = &mut call => panic!("it is held"),
            () = gate.reached() => {}
        }
        assert_eq!(app.live(tenant).len(), usize::from(stage == Stage::Done));
        drop(call);
        tokio::time::sleep(Duration::from_millis(50)).await;
        gate.go(go);
        if is_done {
            eventually("it is done", async || app.live(tenant).len() == 1).await;
        } else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(app.live(tenant).is_empty(), "{tenant}");
        }
    }
    let mut gate = app.gate("d", Op::Create, Stage::Answered);
    assert_eq!(caller.create("d", TARGET).await.0, 201);
    gate.reached().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_answer_the_handshake_is_not_registered() {
    let app = ModelApp::start().await;
    let caller = Caller::new(&app);
    let sink = Sink::start().await;
    for handshake in [Handshake::Secret, Handshake::Token] {
        app.set("a", |moods| moods.handshake = Some(handshake));
        assert_eq!(caller.create("a", &sink.url("/deaf")).await.0, 422);
    }
    assert!(app.all("a").is_empty());
    assert!(
        sink.deliveries()[0]
            .header("x-hook-secret")
            .starts_with("hand-over-")
    );
    app.set("b", |moods| moods.secret = SecretFrom::Answer);
    let (_, body) = caller.create("b", TARGET).await;
    assert_eq!(body["data"]["secret"], json!(app.live("b")[0].secret));
    assert_eq!(caller.list("b").await["data"][0].get("secret"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_sent_signed_and_a_bad_target_is_given_up() {
    let app = ModelApp::start().await;
    let caller = Caller::new(&app);
    let sink = Sink::start().await;
    caller.create("a", &sink.url("/good")).await;
    app.set("a", |moods| moods.needs_enabling = true);
    caller.create("a", &sink.url("/not-yet")).await;
    assert_eq!(app.send("a", "e-1"), 1);
    eventually("it is delivered", async || sink.at("/good").len() == 1).await;
    let delivery = &sink.at("/good")[0];
    let signature = crate::support::app::hmac_sha256_hex("from-the-request", &delivery.body);
    assert_eq!(
        delivery.header("x-signature"),
        format!("sha256={signature}")
    );
    app.assert_unharmed();

    for (tenant, status, tries) in [("b", 410, 1), ("c", 401, 4), ("d", 500, 8)] {
        let status = http::StatusCode::from_u16(status).unwrap();
        sink.answer("/bad", Answer::Status(status));
        caller.create(tenant, &sink.url("/bad")).await;
        app.send(tenant, "e-2");
        eventually("it is given up", async || {
            app.live(tenant)[0].disabled.is_some()
        })
        .await;
        assert_eq!(app.sent(tenant).len(), tries);
        assert_eq!(app.send(tenant, "e-3"), 0);
    }
    let harmed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| app.assert_unharmed()));
    assert!(harmed.is_err());
    // It is harmed on purpose here; what is dropped must not be.
    for hook in app.shared.state().ledger.hooks_mut() {
        hook.disabled = None;
    }
    app.assert_unharmed();
}
