//! What is due when, and that a client which knows the bundle trusts what is shown.

use std::sync::Arc;

use jiff::ToSpan as _;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::{RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

const HOST: &str = "tidegate-controller.tidegate.svc";

fn names() -> Vec<String> {
    vec![HOST.into(), "localhost".into()]
}

fn day(number: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + (number * 24).hours()
}

/// Whether a client that has `bundle` trusts what is shown.
fn trusts(bundle: &str, shown: &Certificates, host: &str, now: Timestamp) -> bool {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let serving = shown.serving.as_ref().unwrap();
    let certificate = CertificateDer::from_pem_slice(serving.certificate.as_bytes()).unwrap();
    let seconds = u64::try_from(now.as_second()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let verifier = verifier.build().unwrap();
    verifier
        .verify_server_cert(&certificate, &[], &host, &[], now)
        .is_ok()
}

#[test]
fn the_first_time_everything_is_made_and_is_trusted() {
    let mut kept = Certificates::default();
    assert_eq!(kept.due(&names(), day(0)), Due::Authority);
    let until = make(&mut kept, &names(), day(0)).unwrap();
    assert_eq!(until, day(20));
    for host in names() {
        assert!(trusts(&kept.bundle(), &kept, &host, day(0)));
    }
    assert!(!trusts(&kept.bundle(), &kept, "elsewhere.example", day(0)));
    // A clock that is behind by half an hour.
    assert!(trusts(&kept.bundle(), &kept, HOST, day(0) - 30.minutes()));
    // What is kept comes back from its text.
    let text = serde_json::to_string(&kept).unwrap();
    let again: Certificates = serde_json::from_str(&text).unwrap();
    assert_eq!(again, kept);
    assert!(!format!("{kept:?}").contains("PRIVATE"));
}

#[test]
fn other_names_and_a_near_end_need_another_certificate_of_the_same_authority() {
    let mut kept = Certificates::default();
    make(&mut kept, &names(), day(0)).unwrap();
    let authority = kept.authorities[0].name.clone();
    let due = |kept: &Certificates, names: &[String], now| kept.due(names, now);
    assert_eq!(due(&kept, &names(), day(19)), Due::Nothing(day(20)));
    assert_eq!(
        due(&kept, &names(), day(20)),
        Due::Serving(authority.clone())
    );
    assert_eq!(
        due(&kept, &["other".into()], day(1)),
        Due::Serving(authority.clone())
    );
    assert_eq!(make(&mut kept, &names(), day(20)).unwrap(), day(40));
    assert_eq!(kept.authorities.len(), 1);
    assert!(trusts(&kept.bundle(), &kept, HOST, day(45)));
}

#[test]
fn at_every_moment_a_client_that_is_a_day_behind_trusts_what_is_shown() {
    let mut kept = Certificates::default();
    let mut bundles = vec![];
    let mut most = 0;
    for hour in 0..3 * 365 * 24 {
        let now = day(0) + i64::from(hour).hours();
        if hour % 12 != 0 {
            continue;
        }
        make(&mut kept, &names(), now).unwrap();
        bundles.push(kept.bundle());
        most = most.max(kept.authorities.len());
        // What the client's kubelet has given it: a look and a half ago.
        let late = &bundles[bundles.len().saturating_sub(3)];
        if bundles.len() > 3 {
            assert!(trusts(late, &kept, HOST, now), "at {now}");
        }
    }
    assert_eq!(most, 2, "the old and the new one overlap");
    let first = bundles.first().unwrap();
    assert!(!trusts(first, &kept, HOST, day(3 * 365)), "it was replaced");
}

#[test]
fn what_was_kept_long_ago_is_made_anew() {
    let mut kept = Certificates::default();
    make(&mut kept, &names(), day(0)).unwrap();
    let old = kept.bundle();
    make(&mut kept, &names(), day(1_000)).unwrap();
    assert_eq!(kept.authorities.len(), 1);
    assert!(trusts(&kept.bundle(), &kept, HOST, day(1_000)));
    assert_ne!(kept.bundle(), old);
}

#[test]
fn the_next_authority_is_trusted_before_it_issues() {
    let mut kept = Certificates::default();
    make(&mut kept, &names(), day(0)).unwrap();
    let first = kept.authorities[0].name.clone();
    make(&mut kept, &names(), day(275)).unwrap();
    assert_eq!(kept.authorities.len(), 2);
    assert_eq!(kept.serving.as_ref().unwrap().issuer, first);
    let until = make(&mut kept, &names(), day(275)).unwrap();
    assert_eq!(until, day(276), "a day later it issues");
    make(&mut kept, &names(), day(276)).unwrap();
    assert_ne!(kept.serving.as_ref().unwrap().issuer, first);
    make(&mut kept, &names(), day(365)).unwrap();
    assert_eq!(kept.authorities.len(), 1, "the old one has expired");
}
