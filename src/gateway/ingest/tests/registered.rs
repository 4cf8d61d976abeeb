//! Requests to the URIs of registrations: which answer each URI gives, and whose key counts.

mod reports;

use super::super::super::fixtures::{Told, ingest_for, registration};
use super::*;
use crate::configuration::{
    LiveRegistration, RegistrationChange, RegistrationEntry, RegistrationState,
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
    configuration.routes.push(Arc::new(RouteEntry {
        path: "/shop/never-good".into(),
        event_type: ObjectName::new("shop", "never-good"),
    }));
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
        RegistrationState::Orphaned | RegistrationState::Removed => panic!("it is over"),
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
async fn an_orphan_is_told_that_all_is_well_and_nothing_is_kept() {
    let world = World::new();
    for (event_type, status) in [
        ("signed", 202),
        ("nobody-declared-it", 202),
        ("never-good", 202),
    ] {
        let mut orphan = registration(event_type, "left", 1, &uri("left", 1));
        orphan.state = RegistrationState::Orphaned;
        world.set(orphan);
        for body in [r#"{"id": "e-1"}"#, "", "no JSON"] {
            assert_eq!(
                world.post(&uri("left", 1), "any", body).await,
                status,
                "{event_type}"
            );
            assert_eq!(world.verdict(), Outcome::Orphaned, "{event_type}");
        }
    }
    assert!(world.setup.memory.stored().is_empty());
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
