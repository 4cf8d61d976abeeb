//! Requests to the URIs of registrations: which answer each URI gives, whose key counts, and what
//! whoever provisions is told before the app is.

use std::sync::atomic::Ordering;

use super::super::super::fixtures::{Told, ingest_for, registration};
use super::*;
use crate::api::LifecycleAction;
use crate::configuration::{
    CaptureAnswer, LiveRegistration, RegistrationChange, RegistrationEntry, RegistrationState,
};

struct World {
    setup: Setup,
    told: Arc<Told>,
}

/// Registrations of these types: secrets of their own, secrets out of handshakes, those of a global
/// webhook, and one that is global and has none.
fn types_with_registrations() -> Configuration {
    let by_secret = json!([{"token": {"keys": [{"signingSecret": {}}]}}]);
    let of = |per_customer: bool, from_handshake: bool| {
        json!({"registrations": {
            "per_customer": per_customer,
            "global": !per_customer,
            "signing_secret": true,
            "from_handshake": from_handshake,
        }})
    };
    let mut configuration = configuration(vec![
        event_type(
            "signed",
            json!({
                "authentication": by_secret,
                "events": {"id": "item.id"},
                "lifecycle": [
                    {"when": "item.gone", "action": "Gone"},
                    {"when": "item.renew", "action": "Renew"},
                ],
            }),
            of(true, false),
        ),
        event_type(
            "shaken",
            json!({
                "authentication": by_secret,
                "handshakes": [{
                    "when": "'x-hook-secret' in request.headers",
                    "authentication": open(),
                    "respond": {"headers": {"x-hook-secret": "$(request.headers['x-hook-secret'])"}},
                    "capture": {"signingSecret": "request.headers['x-hook-secret']"},
                }],
            }),
            of(true, true),
        ),
        event_type(
            "reading",
            json!({"authentication": open(), "events": {"id": "subscription.id"}}),
            of(true, false),
        ),
        event_type(
            "global",
            json!({"authentication": by_secret}),
            of(false, false),
        ),
        event_type("plain", json!({"authentication": open()}), json!({})),
    ]);
    configuration.routes.push(RouteEntry {
        path: "/shop/never-good".into(),
        event_type: ObjectName::new("shop", "never-good"),
    });
    configuration
}

fn own_token(purpose: &str) -> String {
    token::issue(&Sensitive::from(TOKEN_KEY), purpose)
}

fn uri(purpose: &str, number: u32) -> String {
    format!("/h/{}/{number}", own_token(purpose))
}

impl World {
    fn new() -> Self {
        Self::with(&Bounds::default())
    }

    fn with(bounds: &Bounds) -> Self {
        let told = Arc::new(Told::default());
        let memory = Memory::new();
        let ingest = ingest_for(memory.clone(), told.clone(), bounds);
        apply(&ingest, &types_with_registrations());
        Self {
            setup: Setup { ingest, memory },
            told,
        }
    }

    fn set(&self, entry: RegistrationEntry) {
        let change = vec![RegistrationChange::Set(entry)];
        self.setup.ingest.registrations.change(change);
    }

    /// A registration of customer `purpose` at its own URI.
    fn live(&self, event_type: &str, customer: &str, number: u32) -> String {
        let path = uri(customer, number);
        self.set(registration(event_type, customer, number, &path));
        path
    }

    /// One whose secret is to be captured.
    fn open_for_capture(&self, customer: &str, number: u32) -> String {
        let path = uri(customer, number);
        let entry = registration("shaken", customer, number, &path);
        self.set(changed(entry, |live| {
            live.capture_open = true;
            live.signing_secret = None;
        }));
        path
    }

    async fn post(&self, uri: &str, secret: &str, body: &str) -> u16 {
        let request = Request::post(uri)
            .header("authorization", secret)
            .header(CONTENT_TYPE, "application/json");
        let answered = self.setup.send(request, body.as_bytes()).await;
        assert_eq!(
            answered.status == 503,
            answered.headers.contains_key(RETRY_AFTER),
            "{uri}"
        );
        answered.status
    }

    async fn shake(&self, uri: &str, secret: &str) -> Answered {
        let request = Request::post(uri).header("x-hook-secret", secret);
        self.setup.send(request, b"").await
    }

    fn verdict(&self) -> Outcome {
        self.setup.last().verdict
    }
}

fn changed(
    mut entry: RegistrationEntry,
    change: impl FnOnce(&mut LiveRegistration),
) -> RegistrationEntry {
    match &mut entry.state {
        RegistrationState::Live(live) => change(live),
        RegistrationState::Removed => panic!("it is removed"),
    }
    entry
}

#[tokio::test]
async fn every_uri_has_its_answer() {
    let world = World::new();
    world.live("signed", "acme", 1);
    let mut removed = registration("signed", "acme", 2, &uri("acme", 2));
    removed.state = RegistrationState::Removed;
    world.set(removed);
    world.live("nobody-declared-it", "lost", 1);
    world.live("never-good", "bad", 1);
    let below = registration("global", "any", 3, "/shop/global/3");
    world.set(changed(below, |live| live.customer = None));
    let mut forged = own_token("acme").into_bytes();
    forged[0] = if forged[0] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let ours = own_token("acme");
    let check = async |uri: String, status: u16, outcome: Outcome| {
        for body in [r#"{"id": 1, "n": 1}"#, ""] {
            let secret = if uri.contains("global") {
                "any-3"
            } else {
                "acme-1"
            };
            assert_eq!(world.post(&uri, secret, body).await, status, "{uri}");
            assert_eq!(world.verdict(), outcome, "{uri}");
        }
    };
    check(uri("acme", 1), 202, Outcome::Accepted).await;
    check(
        uri("acme", 1).replace("/h/", "/%68/"),
        202,
        Outcome::Accepted,
    )
    .await;
    check(uri("acme", 2), 410, Outcome::Removed).await;
    check(uri("acme", 3), 503, Outcome::TokenNotHereYet).await;
    check(uri("acme", u32::MAX), 503, Outcome::TokenNotHereYet).await;
    check(uri("somebody new", 1), 503, Outcome::TokenNotHereYet).await;
    check(
        format!("/h/{}", own_token("acme")),
        503,
        Outcome::TokenNotHereYet,
    )
    .await;
    check(uri("lost", 1), 503, Outcome::TypeUnusable).await;
    check(uri("bad", 1), 503, Outcome::TypeUnusable).await;
    check(format!("/h/{forged}/1"), 404, Outcome::NotFound).await;
    for number in [
        "0",
        "01",
        "+1",
        "-1",
        "",
        "x",
        "1x",
        "4294967296",
        "99999999999999999999",
        "1/1",
        "1/",
        "1.0",
        "%20",
        "%31%30%30/x",
    ] {
        check(format!("/h/{ours}/{number}"), 404, Outcome::NotFound).await;
    }
    check(format!("/H/{ours}/1"), 404, Outcome::NotFound).await;
    check(format!("/h/{}/1", &ours[1..]), 404, Outcome::NotFound).await;
    // Below global webhooks.
    check("/shop/global/3".into(), 202, Outcome::Accepted).await;
    check("/shop/global/4".into(), 503, Outcome::TokenNotHereYet).await;
    check("/shop/global/04".into(), 404, Outcome::NotFound).await;
    check("/shop/never-good/1".into(), 503, Outcome::TokenNotHereYet).await;
    check("/shop/plain/1".into(), 404, Outcome::NotFound).await;
    check("/shop/signed/1".into(), 404, Outcome::NotFound).await;
    check("/shop/absent/1".into(), 404, Outcome::NotFound).await;
}

#[tokio::test]
async fn a_removed_uri_is_gone_and_says_so_as_a_problem() {
    let world = World::new();
    let path = world.live("signed", "acme", 1);
    assert_eq!(world.post(&path, "acme-1", "{}").await, 202);
    let mut removed = registration("signed", "acme", 1, &path);
    removed.state = RegistrationState::Removed;
    world.set(removed);
    let answered = world.setup.post(&path, b"{}").await;
    assert_eq!(answered.status, 410);
    assert_eq!(answered.headers[CONTENT_TYPE], "application/problem+json");
    assert_eq!(answered.body["title"], "Gone");
    // Forgotten after its time, it is one that we may not have heard of.
    let forget = RegistrationChange::Remove { path: path.clone() };
    world.setup.ingest.registrations.change(vec![forget]);
    assert_eq!(world.post(&path, "acme-1", "{}").await, 503);
}

#[tokio::test]
async fn no_registration_accepts_the_signature_of_another() {
    let world = World::new();
    let mut uris = Vec::new();
    for customer in ["acme", "other"] {
        for number in [1, 2] {
            let path = world.live("signed", customer, number);
            uris.push((path, format!("{customer}-{number}"), customer));
        }
    }
    for (path, own, customer) in &uris {
        for (_, secret, _) in &uris {
            let expected = if secret == own { 202 } else { 401 };
            let body = format!("{{\"id\": \"{own}\"}}");
            assert_eq!(
                world.post(path, secret, &body).await,
                expected,
                "{own} {secret}"
            );
        }
        let events = world.setup.memory.events.lock().unwrap();
        let event = &events.last().unwrap().attributes;
        assert_eq!(event.id, *own);
        assert_eq!(event.subject.as_deref(), Some(*customer));
    }
    assert_eq!(world.setup.memory.stored().len(), uris.len());
    // And neither does the type's own URI, to which no registration belongs.
    for (_, secret, _) in &uris {
        assert_eq!(world.post("/shop/signed", secret, "{}").await, 401);
    }
}

#[tokio::test]
async fn what_a_registration_lacks_is_never_the_senders_fault() {
    let world = World::new();
    let path = uri("acme", 1);
    let entry = registration("signed", "acme", 1, &path);
    world.set(changed(entry, |live| live.signing_secret = None));
    assert_eq!(world.post(&path, "x", "{}").await, 503);
    assert_eq!(world.verdict(), Outcome::KeyMissing);
    let path = uri("new", 1);
    let entry = registration("reading", "new", 1, &path);
    world.set(changed(entry, |live| live.id = None));
    assert_eq!(world.post(&path, "", "{}").await, 503);
    assert_eq!(world.verdict(), Outcome::RegistrationIncomplete);
    world.set(registration("reading", "new", 1, &path));
    assert_eq!(world.post(&path, "", "{}").await, 202);
    assert_eq!(world.setup.memory.stored(), ["wh-1"]);
}

#[tokio::test]
async fn a_capture_is_answered_once_it_is_kept_and_the_first_value_wins() {
    let world = World::new();
    let path = world.open_for_capture("acme", 1);
    // Nothing can be signed with what is not known.
    assert_eq!(world.post(&path, "x", "{}").await, 503);
    let taken = world.shake(&path, "s3cret").await;
    assert_eq!(
        (taken.status, &taken.headers["x-hook-secret"]),
        (200, &"s3cret".parse().unwrap())
    );
    assert_eq!(world.verdict(), Outcome::Handshake);
    assert_eq!(world.shake(&path, "s3cret").await.status, 200);
    let refused = world.shake(&path, "another").await;
    assert_eq!(refused.status, 401);
    assert!(!refused.headers.contains_key("x-hook-secret"));
    assert!(
        !refused.body.to_string().contains("another value"),
        "{}",
        refused.body
    );
    let captured = world.told.captured.lock().unwrap();
    let key = (ObjectName::new("shop", "shaken-acme"), 1);
    let secret = captured[&key].signing_secret.as_ref().unwrap();
    assert_eq!((captured.len(), secret.expose()), (1, &b"s3cret"[..]));
    assert!(world.told.received.lock().unwrap().is_empty());
}

#[tokio::test]
async fn of_two_values_at_the_same_time_exactly_one_is_taken() {
    let world = World::new();
    for number in 1..=20 {
        let path = world.open_for_capture("acme", number);
        let (one, other) = tokio::join!(world.shake(&path, "one"), world.shake(&path, "other"));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401]);
    }
    assert_eq!(world.told.captured.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn a_closed_capture_is_no_handshake() {
    let world = World::new();
    // The registration says so.
    let path = world.live("shaken", "acme", 1);
    let answered = world.shake(&path, "s3cret").await;
    assert_eq!(answered.status, 401);
    assert!(!answered.headers.contains_key("x-hook-secret"));
    let with_both = Request::post(&path)
        .header("x-hook-secret", "s3cret")
        .header("authorization", "acme-1");
    assert_eq!(world.setup.send(with_both, b"{}").await.status, 202);
    assert!(world.told.captured.lock().unwrap().is_empty());
    // Or only whoever provisions knows it already.
    let path = world.open_for_capture("acme", 2);
    *world.told.answer.lock().unwrap() = Some(CaptureAnswer::Closed);
    assert_eq!(world.shake(&path, "s3cret").await.status, 503);
    assert_eq!(world.verdict(), Outcome::KeyMissing);
    // Nor is there one on a URI without a registration.
    let answered = world.shake("/shop/shaken", "s3cret").await;
    assert_eq!(answered.status, 401);
}

#[tokio::test]
async fn a_request_that_asked_in_vain_is_judged_by_the_registration_as_it_is_then() {
    let world = World::new();
    let path = world.open_for_capture("acme", 1);
    let stuck = Request::post(&path)
        .header("x-hook-secret", "s3cret")
        .header("authorization", "acme-1")
        .body(Full::new(Bytes::from_static(b"{}")))
        .unwrap();
    *world.told.answer.lock().unwrap() = Some(CaptureAnswer::Closed);
    let ingest = Arc::clone(&world.setup.ingest);
    let mut answer = Box::pin(async move {
        ingest
            .answer(stuck, IpAddr::from([192, 0, 2, 1]))
            .await
            .status()
            .as_u16()
    });
    // It runs until it waits for its report; meanwhile the secret becomes known.
    let first = std::future::poll_fn(|context| {
        std::task::Poll::Ready(answer.as_mut().poll(context).is_pending())
    });
    assert!(first.await);
    world.live("shaken", "acme", 1);
    assert_eq!(answer.await, 202);
}

#[tokio::test]
async fn what_cannot_be_kept_is_asked_for_again() {
    let patience = std::time::Duration::from_millis(50);
    let world = World::with(&Bounds {
        report_timeout: patience,
        ..Bounds::default()
    });
    let path = world.open_for_capture("acme", 1);
    *world.told.answer.lock().unwrap() = Some(CaptureAnswer::Unavailable);
    let answered = world.shake(&path, "s3cret").await;
    assert_eq!(
        (answered.status, world.verdict()),
        (503, Outcome::NotReported)
    );
    assert!(answered.headers.contains_key(RETRY_AFTER));
    world.told.stuck.store(true, Ordering::SeqCst);
    let since = std::time::Instant::now();
    assert_eq!(world.shake(&path, "s3cret").await.status, 503);
    assert!(since.elapsed() >= patience);
    let signed = world.live("signed", "acme", 2);
    assert_eq!(
        world.post(&signed, "acme-2", r#"{"gone": true}"#).await,
        503
    );
    assert!(since.elapsed() >= 2 * patience);
    assert_eq!(world.verdict(), Outcome::NotReported);
}

#[tokio::test]
async fn a_notice_is_acknowledged_once_it_is_stored() {
    let world = World::new();
    let path = world.live("signed", "acme", 7);
    let body = r#"[{"gone": true}, {"id": "1", "gone": false, "renew": false}, {"gone": true}, {"gone": false, "renew": true}]"#;
    let request = Request::post(&path)
        .header("authorization", "acme-7")
        .header(CONTENT_TYPE, "application/json");
    let answered = world.setup.send(request, body.as_bytes()).await;
    assert_eq!(
        answered.body,
        json!({"accepted": 1, "duplicates": 0, "deadLettered": 0, "ids": [null, "1", null, null]})
    );
    assert_eq!(world.setup.last().events.skipped, 3);
    let subscription = ObjectName::new("shop", "signed-acme");
    let told = |action| (subscription.clone(), 7, action);
    assert_eq!(
        *world.told.notices.lock().unwrap(),
        [told(LifecycleAction::Gone), told(LifecycleAction::Renew)]
    );
    world.told.failing.store(true, Ordering::SeqCst);
    assert_eq!(world.post(&path, "acme-7", r#"{"gone": true}"#).await, 503);
    assert_eq!(world.verdict(), Outcome::NotReported);
    // Nothing is told of what nobody vouches for, nor before the events of the request are safe.
    world.told.failing.store(false, Ordering::SeqCst);
    assert_eq!(world.post(&path, "acme-8", r#"{"gone": true}"#).await, 401);
    world.setup.memory.fail(Some(StoreError::Full));
    assert_eq!(
        world
            .post(
                &path,
                "acme-7",
                r#"[{"gone": true}, {"id": "2", "gone": false, "renew": false}]"#
            )
            .await,
        503
    );
    assert_eq!(world.told.notices.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn each_authenticated_request_is_a_sign_of_life() {
    let world = World::new();
    let path = world.live("signed", "acme", 1);
    for (secret, body) in [
        ("acme-1", r#"{"id": "1"}"#),
        ("acme-1", "[]"),
        ("acme-1", "[7]"),
        ("acme-2", r#"{"id": "1"}"#),
        ("", "[]"),
    ] {
        world.post(&path, secret, body).await;
    }
    world.post("/shop/plain", "", "{}").await;
    let expected = (ObjectName::new("shop", "signed-acme"), 1);
    assert_eq!(*world.told.received.lock().unwrap(), vec![expected; 3]);
}

#[tokio::test]
async fn what_is_written_down_names_the_registration_and_holds_no_token_or_secret() {
    let world = World::new();
    let path = world.live("signed", "acme", 12);
    let open = world.open_for_capture("other", 1);
    let token = own_token("acme");
    let shown = |record: &super::super::super::request_log::RequestRecord| {
        serde_json::to_string(record).unwrap()
    };
    assert_eq!(world.post(&path, "acme-12", "{}").await, 202);
    let record = world.setup.last();
    assert_eq!(record.path, "/h/***/12");
    assert_eq!(
        record.upstream_subscription,
        Some(ObjectName::new("shop", "signed-acme"))
    );
    assert_eq!(record.registration, Some(12));
    assert_eq!(record.event_type, Some(ObjectName::new("shop", "signed")));
    let mut secrets = vec![token.clone(), own_token("other"), own_token("unknown")];
    secrets.extend(["hunter2".to_owned(), "acme-12".to_owned()]);
    let mut all = vec![shown(&record)];
    for (uri, secret) in [
        (path.clone(), "hunter2"),
        (uri("acme", 13), "hunter2"),
        (format!("/h/{token}/012"), "hunter2"),
        (format!("/h/{token}/1/2"), "hunter2"),
        (uri("unknown", 1), "hunter2"),
    ] {
        let request = Request::post(uri).header("authorization", secret);
        let answered = world.setup.send(request, b"hunter2").await;
        all.push(answered.body.to_string());
        all.push(shown(&world.setup.last()));
    }
    world.shake(&open, "hunter2").await;
    all.push(shown(&world.setup.last()));
    all.push(world.shake(&open, "hunter2 too").await.body.to_string());
    all.push(shown(&world.setup.last()));
    for text in &all {
        for secret in &secrets {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}
