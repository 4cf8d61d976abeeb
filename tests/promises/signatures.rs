//! Requests that real apps signed pass, and the same with anything in them changed do not.

use jiff::Timestamp;
use tidegate::webhook::{CustomerIndex, Receiver, Verdict};

use crate::support::signatures::Signed;

fn verdict(signed: &Signed) -> Verdict {
    let receiver = Receiver::compile(&signed.event_type())
        .unwrap_or_else(|problems| panic!("{}: {problems:#?}", signed.scheme));
    assert!(receiver.warnings().is_empty(), "{:?}", receiver.warnings());
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    receiver.receive(
        &signed.request(),
        None,
        now,
        &CustomerIndex::default(),
        &mut || "id".into(),
    )
}

fn check(signed: &Signed) {
    match (verdict(signed), signed.genuine) {
        (Verdict::Accepted(_), true) | (Verdict::Unauthenticated(_), false) => {}
        (verdict, _) => panic!("{}: {verdict:#?}", signed.name),
    }
}

#[test]
fn every_signed_request_gets_the_verdict_it_deserves() {
    let all = Signed::all();
    assert_eq!(all.len(), 38);
    assert_eq!(all.iter().filter(|signed| signed.signs_url()).count(), 10);
    all.iter().for_each(check);
}

#[test]
fn a_signed_request_in_which_anything_is_changed_is_refused() {
    let mut forged = 0;
    for signed in Signed::all().iter().filter(|signed| signed.genuine) {
        for forgery in signed.forgeries() {
            check(&forgery);
            forged += 1;
        }
    }
    // Ten and more for each genuine request; a helper that finds nothing to change would show here.
    assert!(forged > 290, "only {forged} forgeries");
}

#[test]
fn a_signature_is_refused_under_a_missing_and_an_empty_key_and_it_is_our_fault() {
    for signed in Signed::all().iter().filter(|signed| signed.genuine) {
        for value in [None, Some("".into())] {
            let mut entry = signed.event_type();
            entry.keys[0].value = value;
            let receiver = Receiver::compile(&entry).unwrap();
            let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
            let verdict = receiver.receive(
                &signed.request(),
                None,
                now,
                &CustomerIndex::default(),
                &mut || "id".into(),
            );
            assert!(
                matches!(verdict, Verdict::KeyMissing(_)),
                "{}: {verdict:#?}",
                signed.name
            );
        }
    }
}
