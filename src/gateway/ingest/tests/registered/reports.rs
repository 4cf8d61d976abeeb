//! What whoever provisions is told of requests, and that the app is answered only then.

use std::sync::atomic::Ordering;

use super::*;
use crate::api::LifecycleAction;
use crate::configuration::CaptureAnswer;

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
async fn a_request_that_asked_in_vain_for_what_was_removed_meanwhile_is_told_that_it_is_over() {
    for (state, status) in [
        (RegistrationState::Removed, 410),
        (RegistrationState::Orphaned, 202),
    ] {
        let world = World::new();
        let path = world.open_for_capture("acme", 1);
        let asking = Request::post(&path)
            .header("x-hook-secret", "s3cret")
            .body(Full::new(Bytes::from_static(b"{}")))
            .unwrap();
        *world.told.answer.lock().unwrap() = Some(CaptureAnswer::Closed);
        let ingest = Arc::clone(&world.setup.ingest);
        let mut answer = Box::pin(async move {
            ingest
                .answer(asking, IpAddr::from([192, 0, 2, 1]))
                .await
                .status()
                .as_u16()
        });
        let first = std::future::poll_fn(|context| {
            std::task::Poll::Ready(answer.as_mut().poll(context).is_pending())
        });
        assert!(first.await, "it waits for its report");
        let mut over = registration("shaken", "acme", 1, &path);
        over.state = state;
        world.set(over);
        assert_eq!(answer.await, status);
    }
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
