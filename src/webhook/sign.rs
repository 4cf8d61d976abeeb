//! The app's side of authentication: makes a request pass that a type's first signable entry
//! checks. For test events; pure.
//!
//! A type says how a signature is *read*, by expressions that can be anything. What real apps do
//! is a handful of shapes, and those are recognised: a header, a query parameter, a member of a
//! `kv(…)` header. Where it is something else, the error says so and nothing is guessed.

mod place;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, header};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

use self::place::Place;
use super::authentication::decode_key;
use super::request::{Request, View};
use super::variables::Names;
use crate::api::{
    self, AuthenticationEntry, HashAlgorithm, JwtAlgorithm, KeyEncoding, KeySource,
    SignatureEncoding, TimestampFormat,
};
use crate::configuration::EventTypeEntry;
use crate::expression::{Budget, Position, Scope, Template};

/// Why a request cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key is not there.
    #[error("a key of the type is missing; `tidegate check` says which")]
    KeyMissing,
    /// Each registration, or each customer, has a key of its own.
    #[error(
        "the type checks requests with a key that each registration or customer has for itself, and \
         that a manifest does not hold: let the app send one, or sign it yourself with the secret \
         that the registration's record holds in `secrets/upstream` of the data folder"
    )]
    OfRegistration,
    /// The key is not in the form that the type says.
    #[error("a key of the type cannot be used: {0}")]
    Key(&'static str),
    /// The type reads a value in a way that cannot be turned around.
    #[error(
        "cannot tell where a request carries what `{0}` reads; sign it yourself and give the header"
    )]
    Place(String),
    /// Only the app itself can sign.
    #[error("only the app can make tokens signed with {0:?}: the type knows its public key alone")]
    PublicKey(JwtAlgorithm),
    /// A template of the type gave an error.
    #[error("the signed message cannot be made: {0}")]
    Message(String),
    /// A value cannot stand where it has to.
    #[error("a value of the signature cannot stand in a header")]
    Header,
}

/// What to sign with beside the type's own declaration.
pub struct Signing<'a> {
    /// The time of the signature.
    pub now: Timestamp,
    /// A new random id, for schemes that sign one.
    pub id: &'a str,
    /// Claims to put into a token, beside those that the type demands.
    pub claims: &'a Map<String, Value>,
}

/// The request with everything that the type's first entry checks.
///
/// # Errors
/// When the entry cannot be satisfied from what the type says.
pub fn sign(
    entry: &EventTypeEntry,
    mut request: Request,
    signing: &Signing<'_>,
) -> Result<Request, SignError> {
    let Some(first) = entry.webhook.authentication.first() else {
        return Ok(request);
    };
    let AuthenticationEntry {
        hmac,
        digest,
        token,
        basic,
        standard_webhooks,
        jwt,
        none: _,
        require: _,
    } = first;
    let key = |sources: &[KeySource]| {
        let values = sources.iter().find_map(|source| entry.key(source));
        values.map(|value| value.expose().to_vec()).ok_or(
            if sources.iter().any(KeySource::is_of_registration) {
                SignError::OfRegistration
            } else {
                SignError::KeyMissing
            },
        )
    };
    if let Some(token) = token {
        let value = String::from_utf8(key(&token.keys)?).map_err(|_| SignError::Header)?;
        credential(&mut request, token.value.as_ref(), &value)?;
    }
    if let Some(basic) = basic {
        let password = key(&basic.passwords)?;
        let pair = [basic.username.as_bytes(), b":", &password].concat();
        let value = format!("Basic {}", STANDARD.encode(pair));
        set_header(&mut request, header::AUTHORIZATION, &value)?;
    }
    if let Some(jwt) = jwt {
        let value = token_for(jwt, &key(&jwt.keys)?, signing)?;
        credential(&mut request, jwt.token.as_ref(), &value)?;
    }
    if let Some(spec) = standard_webhooks {
        standard(&mut request, spec, &key(&spec.keys)?, signing)?;
    }
    if let Some(spec) = hmac {
        if let Some(timestamp) = &spec.timestamp {
            let value = match timestamp.format() {
                TimestampFormat::Seconds => signing.now.as_second().to_string(),
                TimestampFormat::Milliseconds => signing.now.as_millisecond().to_string(),
                TimestampFormat::Rfc3339 => signing.now.to_string(),
            };
            Place::of(&timestamp.value)?.put(&mut request, &value)?;
        }
        let key = decode_key(&key(&spec.keys)?, spec.key_encoding()).map_err(SignError::Key)?;
        let message = message(
            &request,
            spec.message(),
            &Scope::authentication(),
            None,
            entry,
        )?;
        let algorithm = match spec.algorithm() {
            HashAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            HashAlgorithm::Sha256 => hmac::HMAC_SHA256,
            HashAlgorithm::Sha384 => hmac::HMAC_SHA384,
            HashAlgorithm::Sha512 => hmac::HMAC_SHA512,
        };
        let tag = hmac::sign(&hmac::Key::new(algorithm, &key), &message);
        let value = format!(
            "{}{}",
            spec.prefix(),
            encoded(tag.as_ref(), spec.encoding())
        );
        Place::of(&spec.signature)?.put(&mut request, &value)?;
    }
    if let Some(spec) = digest {
        let key = key(&spec.keys)?;
        let message = message(
            &request,
            spec.message(),
            &Scope::digest_message(),
            Some(&key),
            entry,
        )?;
        let algorithm = match spec.algorithm() {
            HashAlgorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            HashAlgorithm::Sha256 => &digest::SHA256,
            HashAlgorithm::Sha384 => &digest::SHA384,
            HashAlgorithm::Sha512 => &digest::SHA512,
        };
        let hash = digest::digest(algorithm, &message);
        let value = format!(
            "{}{}",
            spec.prefix(),
            encoded(hash.as_ref(), spec.encoding())
        );
        Place::of(&spec.signature)?.put(&mut request, &value)?;
    }
    Ok(request)
}

/// Puts a token where the type reads it: by default as a bearer token.
fn credential(
    request: &mut Request,
    place: Option<&api::Expression>,
    value: &str,
) -> Result<(), SignError> {
    match place {
        None => set_header(request, header::AUTHORIZATION, &format!("Bearer {value}")),
        Some(expression) => Place::of(expression)?.put(request, value),
    }
}

fn standard(
    request: &mut Request,
    spec: &api::StandardWebhooks,
    key: &[u8],
    signing: &Signing<'_>,
) -> Result<(), SignError> {
    let key = decode_key(key, KeyEncoding::Whsec).map_err(SignError::Key)?;
    let seconds = signing.now.as_second().to_string();
    let signed = [
        signing.id.as_bytes(),
        b".",
        seconds.as_bytes(),
        b".",
        &request.raw_body,
    ]
    .concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed);
    let signature = format!("v1,{}", STANDARD.encode(tag));
    for (part, value) in [
        ("id", signing.id),
        ("timestamp", &seconds),
        ("signature", &signature),
    ] {
        let name = format!("{}-{part}", spec.header_prefix());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| SignError::Header)?;
        set_header(request, name, value)?;
    }
    Ok(())
}

/// How long a test token is good, in seconds.
const TOKEN_LIFETIME: i64 = 300;

fn token_for(spec: &api::Jwt, key: &[u8], signing: &Signing<'_>) -> Result<String, SignError> {
    let algorithm = match spec.algorithms.first() {
        Some(JwtAlgorithm::HS256) | None => Algorithm::HS256,
        Some(JwtAlgorithm::HS384) => Algorithm::HS384,
        Some(JwtAlgorithm::HS512) => Algorithm::HS512,
        Some(other) => return Err(SignError::PublicKey(*other)),
    };
    if spec.body_hash.is_some() {
        return Err(SignError::Place("jwt.bodyHash".to_owned()));
    }
    let mut claims = signing.claims.clone();
    claims.insert("iat".into(), signing.now.as_second().into());
    claims.insert(
        "exp".into(),
        (signing.now.as_second() + TOKEN_LIFETIME).into(),
    );
    if let Some(issuer) = &spec.issuer {
        claims.insert("iss".into(), issuer.as_str().into());
    }
    if let Some(audience) = spec.audience.first() {
        claims.insert("aud".into(), audience.as_str().into());
    }
    for (name, value) in &spec.claims {
        claims.insert(name.clone(), value.as_str().into());
    }
    let key = EncodingKey::from_secret(key);
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &key)
        .map_err(|error| SignError::Message(error.to_string()))
}

/// The bytes that are signed.
fn message(
    request: &Request,
    template: &str,
    scope: &Scope,
    key: Option<&[u8]>,
    entry: &EventTypeEntry,
) -> Result<Vec<u8>, SignError> {
    let failed = |error: &dyn std::fmt::Display| SignError::Message(error.to_string());
    let template =
        Template::compile(template, scope, Position::Bytes).map_err(|error| failed(&error))?;
    let view = View::new(request, None);
    let mut names = Names::new(&view, &view);
    if let Some(key) = key {
        names = names.with_key(key);
    }
    let mut budget = Budget::for_body_limit(u64::from(entry.webhook.max_body_bytes()));
    let bytes = template
        .render_bytes(&names, &mut budget)
        .map_err(|error| failed(&error))?;
    Ok(bytes.into_owned())
}

fn encoded(bytes: &[u8], encoding: SignatureEncoding) -> String {
    match encoding {
        SignatureEncoding::Hex => hex::encode(bytes),
        SignatureEncoding::Base64 => STANDARD.encode(bytes),
    }
}

fn set_header(request: &mut Request, name: HeaderName, value: &str) -> Result<(), SignError> {
    let value = HeaderValue::from_str(value).map_err(|_| SignError::Header)?;
    request.headers.insert(name, value);
    Ok(())
}
