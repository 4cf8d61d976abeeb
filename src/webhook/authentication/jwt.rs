//! JSON Web Tokens with static keys (RFC 7515, RFC 7519).
//!
//! A key is bound to the algorithms of the type when it is compiled: an RSA key can only check
//! `RS256` and `PS256`, a shared secret only `HS…`. What the token's header says can therefore
//! choose among the type's algorithms and nothing else. The clock is an argument, which is why the
//! claims are checked here and the library only reads PEM.

use std::time::Duration;

use aws_lc_rs::{digest, hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::credential::Carried;
use super::key::{Keys, Usable, decode_signature, equal};
use super::signature::hash;
use super::{Check, Fault, Scopes};
use crate::api::{self, BodyHash, FieldPath, JwtAlgorithm};
use crate::configuration::EventTypeEntry;
use crate::expression::References;
use crate::webhook::compiler::Compiler;

/// Longest token; real ones have one or two KiB.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// A compiled `jwt`.
#[derive(Debug)]
pub struct Jwt {
    carried: Carried,
    keys: Keys<Key>,
    issuer: Option<String>,
    audience: Vec<String>,
    claims: Vec<(String, String)>,
    leeway: Duration,
    require_expiry: bool,
    body_hash: Option<BodyHash>,
}

/// A key, bound to one algorithm.
#[derive(Debug)]
struct Key {
    algorithm: JwtAlgorithm,
    verifier: Verifier,
}

#[derive(Debug)]
enum Verifier {
    /// Boxed because it holds the hash's state, more than a kilobyte.
    Secret(Box<hmac::Key>),
    Public(signature::ParsedPublicKey),
}

/// The part of a token's header that matters (RFC 7515 §4.1).
#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood; we understand none.
    #[serde(default)]
    crit: Option<Json>,
}

impl Jwt {
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        spec: &api::Jwt,
        entry: &EventTypeEntry,
        scopes: &Scopes,
    ) -> Self {
        let algorithms = &spec.algorithms;
        if algorithms.is_empty() {
            compiler.error(
                &path.field("algorithms"),
                "name the algorithms that are accepted",
            );
        }
        let symmetric = algorithms
            .iter()
            .filter(|algorithm| algorithm.is_symmetric())
            .count();
        if symmetric != 0 && symmetric != algorithms.len() {
            compiler.error(
                &path.field("algorithms"),
                "write algorithms with a shared secret (HS…) or with a public key, not both: a public key would be taken for a secret",
            );
        }
        for (field, text) in spec
            .issuer
            .iter()
            .map(|issuer| (path.field("issuer"), issuer))
        {
            compiler.literal(&field, text);
        }
        for (index, text) in spec.audience.iter().enumerate() {
            compiler.literal(&path.field("audience").index(index), text);
        }
        for (name, text) in &spec.claims {
            compiler.literal(&path.field("claims").field(name), text);
        }
        Self {
            carried: Carried::compile(compiler, &path.field("token"), spec.token.as_ref(), scopes),
            keys: Keys::compile(compiler, &path.field("keys"), &spec.keys, entry, {
                let algorithms = algorithms.clone();
                move |text| Key::for_each(&algorithms, text)
            }),
            issuer: spec.issuer.clone(),
            audience: spec.audience.clone(),
            claims: spec.claims.clone().into_iter().collect(),
            leeway: spec.leeway().duration(),
            require_expiry: spec.require_expiry(),
            body_hash: spec.body_hash.clone(),
        }
    }

    /// The claims of a token that is genuine, meant for us, and valid now.
    pub fn check(&self, check: &mut Check<'_, '_, '_>) -> Result<Json, Fault> {
        self.keys
            .check(check.registration(), |keys| self.check_with(keys, check))
    }

    fn check_with(
        &self,
        keys: &Usable<'_, Key>,
        check: &mut Check<'_, '_, '_>,
    ) -> Result<Json, Fault> {
        let claims = self.carried.check(check, |token| verify(keys, token))?;
        self.check_times(&claims, check.now)?;
        self.check_texts(&claims)?;
        if let Some(body_hash) = &self.body_hash {
            let body = &check.view.request().raw_body;
            check.pool.charge(body.len())?;
            check_body_hash(body_hash, &claims, body)?;
        }
        Ok(Json::Object(claims))
    }

    fn check_times(&self, claims: &Map<String, Json>, now: Timestamp) -> Result<(), Fault> {
        // NumericDate may have a fraction (RFC 7519 §2).
        let now = now.as_millisecond() as f64 / 1_000.0;
        let leeway = self.leeway.as_secs_f64();
        let time = |claim: &str| match claims.get(claim) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .map(Some)
                .ok_or(Fault::refused("exp or nbf is no number")),
        };
        match time("exp")? {
            Some(expiry) if now >= expiry + leeway => {
                return Err(Fault::refused("the token has expired"));
            }
            None if self.require_expiry => {
                return Err(Fault::refused("the token has no exp"));
            }
            _ => {}
        }
        match time("nbf")? {
            Some(start) if now + leeway < start => {
                Err(Fault::refused("the token is not valid yet"))
            }
            _ => Ok(()),
        }
    }

    fn check_texts(&self, claims: &Map<String, Json>) -> Result<(), Fault> {
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Json::as_str) != Some(issuer)
        {
            return Err(Fault::refused("iss is another"));
        }
        if !self.audience.is_empty() {
            let expected = |value: &Json| {
                value
                    .as_str()
                    .is_some_and(|text| self.audience.iter().any(|other| other == text))
            };
            let meant_for_us = match claims.get("aud") {
                Some(Json::Array(audience)) => audience.iter().any(expected),
                Some(audience) => expected(audience),
                None => false,
            };
            if !meant_for_us {
                return Err(Fault::refused("aud is another"));
            }
        }
        for (name, expected) in &self.claims {
            let matches = match claims.get(name) {
                Some(Json::String(text)) => text == expected,
                Some(Json::Bool(value)) => expected == if *value { "true" } else { "false" },
                Some(Json::Number(number)) => *expected == format!("{number}"),
                _ => false,
            };
            if !matches {
                return Err(Fault::Refused(
                    format!("the claim {name:?} is another").into(),
                ));
            }
        }
        Ok(())
    }

    pub fn needs_signing_secret(&self) -> bool {
        self.keys.are_signing_secrets()
    }

    pub fn each_reference(&self, take: &mut dyn FnMut(&References)) {
        self.carried.each_reference(take);
    }
}

/// The claims of a token that one of the keys has signed.
fn verify(keys: &Usable<'_, Key>, token: &str) -> Result<Map<String, Json>, Fault> {
    let malformed = || Fault::refused("the token is no signed JSON Web Token");
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Fault::refused("the token is longer than 16 KiB"));
    }
    let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (header, claims) = message.split_once('.').ok_or_else(malformed)?;
    if claims.contains('.') {
        return Err(malformed());
    }
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
    let signature = decode(signature)?;
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed())?;
    if header.crit.is_some() {
        return Err(Fault::refused(
            "the token needs extensions that are not supported",
        ));
    }
    let mut keys = keys
        .iter()
        .filter(|key| name(key.algorithm) == header.alg)
        .peekable();
    if keys.peek().is_none() {
        return Err(Fault::refused(
            "the token's algorithm is not one of the type's",
        ));
    }
    if !keys.any(|key| key.verifies(message.as_bytes(), &signature)) {
        return Err(Fault::refused("the token's signature does not match"));
    }
    match serde_json::from_slice(&decode(claims)?) {
        Ok(Json::Object(claims)) => Ok(claims),
        _ => Err(malformed()),
    }
}

fn check_body_hash(
    body_hash: &BodyHash,
    claims: &Map<String, Json>,
    body: &[u8],
) -> Result<(), Fault> {
    let claimed = claims
        .get(&body_hash.claim)
        .and_then(Json::as_str)
        .and_then(|text| decode_signature(text, body_hash.encoding()))
        .ok_or(Fault::refused(
            "the claim with the body's hash is missing or not in its encoding",
        ))?;
    let computed = digest::digest(hash(body_hash.algorithm()), body);
    match equal(&claimed, computed.as_ref()) {
        true => Ok(()),
        false => Err(Fault::refused(
            "the body is not the one that the token was made for",
        )),
    }
}

impl Key {
    /// A key for each algorithm that it can check.
    fn for_each(algorithms: &[JwtAlgorithm], text: &[u8]) -> Result<Vec<Self>, &'static str> {
        let is_pem = text.trim_ascii_start().starts_with(b"-----BEGIN");
        let mut keys = Vec::new();
        for algorithm in algorithms.iter().copied() {
            let verifier = match hash_of_secret(algorithm) {
                // A public key is no secret: whoever has it could sign.
                Some(_) if is_pem => return Err("the key of HS… must be a shared secret, not PEM"),
                Some(hash) => Some(Verifier::Secret(Box::new(hmac::Key::new(hash, text)))),
                None => public_key(algorithm, text).map(Verifier::Public),
            };
            keys.extend(verifier.map(|verifier| Self {
                algorithm,
                verifier,
            }));
        }
        match keys.is_empty() {
            true => Err("the key must be a public key in PEM that fits one of algorithms"),
            false => Ok(keys),
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.verifier {
            Verifier::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

fn hash_of_secret(algorithm: JwtAlgorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        JwtAlgorithm::HS256 => Some(hmac::HMAC_SHA256),
        JwtAlgorithm::HS384 => Some(hmac::HMAC_SHA384),
        JwtAlgorithm::HS512 => Some(hmac::HMAC_SHA512),
        JwtAlgorithm::RS256 | JwtAlgorithm::PS256 | JwtAlgorithm::ES256 | JwtAlgorithm::EdDSA => {
            None
        }
    }
}

fn public_key(algorithm: JwtAlgorithm, pem: &[u8]) -> Option<signature::ParsedPublicKey> {
    // Checking with a private key would work, and would mean that it lies where it should not.
    if pem.windows(11).any(|window| window == b"PRIVATE KEY") {
        return None;
    }
    let (key, algorithm): (_, &'static dyn signature::VerificationAlgorithm) = match algorithm {
        JwtAlgorithm::RS256 => (
            DecodingKey::from_rsa_pem(pem),
            &signature::RSA_PKCS1_2048_8192_SHA256,
        ),
        JwtAlgorithm::PS256 => (
            DecodingKey::from_rsa_pem(pem),
            &signature::RSA_PSS_2048_8192_SHA256,
        ),
        JwtAlgorithm::ES256 => (
            DecodingKey::from_ec_pem(pem),
            &signature::ECDSA_P256_SHA256_FIXED,
        ),
        JwtAlgorithm::EdDSA => (DecodingKey::from_ed_pem(pem), &signature::ED25519),
        JwtAlgorithm::HS256 | JwtAlgorithm::HS384 | JwtAlgorithm::HS512 => return None,
    };
    signature::ParsedPublicKey::new(algorithm, key.ok()?.try_get_as_bytes().ok()?).ok()
}

fn name(algorithm: JwtAlgorithm) -> &'static str {
    match algorithm {
        JwtAlgorithm::HS256 => "HS256",
        JwtAlgorithm::HS384 => "HS384",
        JwtAlgorithm::HS512 => "HS512",
        JwtAlgorithm::RS256 => "RS256",
        JwtAlgorithm::PS256 => "PS256",
        JwtAlgorithm::ES256 => "ES256",
        JwtAlgorithm::EdDSA => "EdDSA",
    }
}
