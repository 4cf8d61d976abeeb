//! Makes what is due.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::{
    AUTHORITY_LASTS, Authority, Certificates, Due, SERVING_LASTS, SKEW, Serving, after, before,
};
use crate::configuration::Sensitive;

/// Steps that one call makes at most: a handful is ever due.
const MOST_STEPS: usize = 16;

/// Why a certificate could not be made. Says nothing of keys.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The library refuses.
    #[error("failed to {action} for the configuration listener")]
    Certificate {
        /// What was being made.
        action: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// What is due does not come to an end.
    #[error("failed to renew the certificates of the configuration listener: the clock says {0}")]
    Endless(Timestamp),
}

/// Makes all that is due; when something is due again.
///
/// # Errors
/// When a certificate cannot be made. What was made before that is in `kept`.
pub fn make(
    kept: &mut Certificates,
    names: &[String],
    now: Timestamp,
) -> Result<Timestamp, MakeError> {
    for _ in 0..MOST_STEPS {
        match kept.due(names, now) {
            Due::Nothing(until) => return Ok(until),
            Due::Drop(name) => kept.authorities.retain(|it| it.name != name),
            Due::Authority => kept.authorities.push(authority(now)?),
            Due::Serving(name) => {
                let issuer = kept.authorities.iter().find(|it| it.name == name);
                if let Some(issuer) = issuer {
                    kept.serving = Some(serving(issuer, names, now)?);
                }
            }
        }
    }
    Err(MakeError::Endless(now))
}

fn authority(now: Timestamp) -> Result<Authority, MakeError> {
    let failed = failed("make a certificate authority");
    let key = KeyPair::generate().map_err(failed)?;
    // Two of one name would be hard to tell apart for people and for libraries.
    let number: [u8; 4] = rand::random();
    let name = format!("Tidegate configuration {}", hex::encode(number));
    let until = after(now, AUTHORITY_LASTS);
    let mut params = params(Vec::new(), now, until).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, &name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(Authority {
        name,
        certificate: certificate.pem(),
        key: Sensitive::new(key.serialize_pem()),
        since: now,
        until,
    })
}

fn serving(issuer: &Authority, names: &[String], now: Timestamp) -> Result<Serving, MakeError> {
    let failed = failed("issue a certificate");
    let issuer_key = String::from_utf8_lossy(issuer.key.expose());
    let issuer_key = KeyPair::from_pem(&issuer_key).map_err(failed)?;
    let signer = Issuer::from_ca_cert_pem(&issuer.certificate, issuer_key).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    // It cannot outlive who issued it.
    let until = after(now, SERVING_LASTS).min(issuer.until);
    let mut params = params(names.to_vec(), now, until).map_err(failed)?;
    let name = names.first().map_or("tidegate", String::as_str);
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &signer).map_err(failed)?;
    Ok(Serving {
        certificate: certificate.pem(),
        key: Sensitive::new(key.serialize_pem()),
        names: names.to_vec(),
        issuer: issuer.name.clone(),
        until,
    })
}

fn params(
    names: Vec<String>,
    now: Timestamp,
    until: Timestamp,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let date = |time: Timestamp| {
        let seconds = u64::try_from(time.as_second()).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = date(before(now, SKEW));
    params.not_after = date(until);
    Ok(params)
}

fn failed(action: &'static str) -> impl Fn(rcgen::Error) -> MakeError + Copy {
    move |source| MakeError::Certificate { action, source }
}
