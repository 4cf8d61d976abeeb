//! Signatures with a shared key: `hmac`, `digest`, `standardWebhooks`.
//!
//! The message is fed to the hashes piece by piece, so a large body is never copied. What is
//! compared are the decoded bytes, in constant time; a candidate of another length does not match.

use std::time::Duration;

use aws_lc_rs::{digest, hmac};

use super::key::{Keys, Usable, decode_key, decode_signature, equal};
use super::timestamp::{self, SignedAt};
use super::{Check, Fault, Scopes};
use crate::api::{self, FieldPath, HashAlgorithm, KeyEncoding, SignatureEncoding, TimestampFormat};
use crate::configuration::EventTypeEntry;
use crate::expression::{Expression, Position, References, Template, Value};
use crate::webhook::compiler::Compiler;
use crate::webhook::request::single_header;

/// Most candidates that are compared; real requests carry a handful.
const MAX_CANDIDATES: usize = 64;

const NO_SIGNATURE: &str = "the request carries no signature in the expected form";
const NO_MATCH: &str = "no signature matches";

/// What a request says its signature is.
#[derive(Debug)]
struct Candidates {
    signature: Expression,
    prefix: String,
    encoding: SignatureEncoding,
}

impl Candidates {
    fn read(&self, check: &mut Check<'_, '_, '_>) -> Result<Vec<Vec<u8>>, Fault> {
        let names = check.names;
        let mut decoded = Vec::new();
        let mut failure = None;
        check.pool.evaluate(|budget| {
            let alternatives = self.signature.evaluate_alternatives(&names, budget);
            for alternative in alternatives {
                match alternative {
                    Ok(Value::List(list)) => {
                        for element in list.iter().take(MAX_CANDIDATES) {
                            self.add(&element, &mut decoded);
                        }
                    }
                    Ok(value) => self.add(&value, &mut decoded),
                    Err(error) => failure = Some(error),
                }
            }
            Ok(())
        })?;
        match (decoded.is_empty(), failure) {
            (false, _) => Ok(decoded),
            (true, Some(error)) => Err(error.into()),
            (true, None) => Err(Fault::refused(NO_SIGNATURE)),
        }
    }

    fn add(&self, value: &Value<'_>, decoded: &mut Vec<Vec<u8>>) {
        let signature = value
            .as_str()
            .and_then(|text| text.strip_prefix(&self.prefix))
            .and_then(|text| decode_signature(text, self.encoding));
        if let Some(signature) = signature
            && decoded.len() < MAX_CANDIDATES
        {
            decoded.push(signature);
        }
    }
}

/// A compiled `hmac`.
#[derive(Debug)]
pub struct Hmac {
    candidates: Candidates,
    keys: Keys<hmac::Key>,
    message: Template,
    signed_at: Option<SignedAt>,
}

impl Hmac {
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        spec: &api::Hmac,
        entry: &EventTypeEntry,
        scopes: &Scopes,
    ) -> Option<Self> {
        let algorithm = match spec.algorithm() {
            HashAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            HashAlgorithm::Sha256 => hmac::HMAC_SHA256,
            HashAlgorithm::Sha384 => hmac::HMAC_SHA384,
            HashAlgorithm::Sha512 => hmac::HMAC_SHA512,
        };
        let encoding = spec.key_encoding();
        let prepare = move |text: &[u8]| {
            let key = decode_key(text, encoding)?;
            Ok(vec![hmac::Key::new(algorithm, &key)])
        };
        let keys = Keys::compile(compiler, &path.field("keys"), &spec.keys, entry, prepare);
        let signature =
            compiler.expression(&path.field("signature"), &spec.signature, &scopes.methods);
        let message = compiler.template(
            &path.field("message"),
            spec.message(),
            &scopes.methods,
            Position::Bytes,
        );
        let signed_at = spec.timestamp.as_ref().map(|timestamp| {
            SignedAt::compile(compiler, &path.field("timestamp"), timestamp, scopes)
        });
        compiler.literal(&path.field("prefix"), spec.prefix());
        let message = message?;
        if message.references().is_empty() {
            compiler.error(
                &path.field("message"),
                "the message holds nothing of the request, so any request would pass with one signature",
            );
        }
        if let Some(Some(signed_at)) = &signed_at
            && !is_signed(signed_at.references(), message.references())
        {
            compiler.warning(
                &path.field("timestamp").field("value"),
                "the timestamp is no part of message, so it proves nothing: whoever repeats a request can change it",
            );
        }
        Some(Self {
            candidates: Candidates {
                signature: signature?,
                prefix: spec.prefix().to_owned(),
                encoding: spec.encoding(),
            },
            keys,
            message,
            signed_at: match signed_at {
                None => None,
                Some(signed_at) => Some(signed_at?),
            },
        })
    }

    pub fn check(&self, check: &mut Check<'_, '_, '_>) -> Result<(), Fault> {
        self.keys
            .check(check.registration(), |keys| self.check_with(keys, check))
    }

    fn check_with(
        &self,
        keys: &Usable<'_, hmac::Key>,
        check: &mut Check<'_, '_, '_>,
    ) -> Result<(), Fault> {
        if let Some(signed_at) = &self.signed_at {
            signed_at.check(check)?;
        }
        let candidates = self.candidates.read(check)?;
        let mut contexts: Vec<_> = keys.iter().map(hmac::Context::with_key).collect();
        let names = check.names;
        let mut length = 0;
        check.pool.evaluate(|budget| {
            self.message.render_pieces(&names, budget, &mut |piece| {
                length += piece.len();
                contexts
                    .iter_mut()
                    .for_each(|context| context.update(piece));
            })
        })?;
        // Rendering was charged; hashing again under each further key is not yet.
        check
            .pool
            .charge(length * contexts.len().saturating_sub(1))?;
        let tags = contexts.into_iter().map(hmac::Context::sign);
        matches(&candidates, tags)
    }

    pub fn needs_signing_secret(&self) -> bool {
        self.keys.are_signing_secrets()
    }

    pub fn each_reference(&self, take: &mut dyn FnMut(&References)) {
        take(self.candidates.signature.references());
        take(self.message.references());
        if let Some(signed_at) = &self.signed_at {
            take(signed_at.references());
        }
    }
}

fn matches<Tag: AsRef<[u8]>>(
    candidates: &[Vec<u8>],
    tags: impl Iterator<Item = Tag>,
) -> Result<(), Fault> {
    for tag in tags {
        if candidates
            .iter()
            .any(|candidate| equal(candidate, tag.as_ref()))
        {
            return Ok(());
        }
    }
    Err(Fault::refused(NO_MATCH))
}

/// Whether what a timestamp reads is among what a message reads.
fn is_signed(timestamp: &References, message: &References) -> bool {
    timestamp.is_empty()
        || timestamp.paths().any(|path| {
            let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
            let in_body = matches!(
                path[..],
                ["item" | "parent", ..] | ["request", "body" | "form", ..]
            );
            message.mentions(&path) || in_body && message.mentions(&["request", "rawBody"])
        })
}

/// A compiled `digest`.
#[derive(Debug)]
pub struct Digest {
    candidates: Candidates,
    algorithm: &'static digest::Algorithm,
    keys: Keys<crate::configuration::Sensitive>,
    message: Template,
}

impl Digest {
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        spec: &api::Digest,
        entry: &EventTypeEntry,
        scopes: &Scopes,
    ) -> Option<Self> {
        let keys = Keys::compile(compiler, &path.field("keys"), &spec.keys, entry, |text| {
            Ok(vec![crate::configuration::Sensitive::new(text)])
        });
        let signature =
            compiler.expression(&path.field("signature"), &spec.signature, &scopes.methods);
        let path_of_message = path.field("message");
        let message = compiler.template(
            &path_of_message,
            spec.message(),
            &scopes.digest_message,
            Position::Bytes,
        );
        compiler.literal(&path.field("prefix"), spec.prefix());
        let message = message?;
        if !message.references().mentions(&["key"]) {
            compiler.error(
                &path_of_message,
                "$(key) must occur in the message, or anybody could compute the hash",
            );
        }
        if !message.references().mentions(&["request"]) && !message.references().mentions(&["item"])
        {
            compiler.error(
                &path_of_message,
                "the message holds nothing of the request, so any request would pass with one hash",
            );
        }
        Some(Self {
            candidates: Candidates {
                signature: signature?,
                prefix: spec.prefix().to_owned(),
                encoding: spec.encoding(),
            },
            algorithm: hash(spec.algorithm()),
            keys,
            message,
        })
    }

    pub fn check(&self, check: &mut Check<'_, '_, '_>) -> Result<(), Fault> {
        self.keys
            .check(check.registration(), |keys| self.check_with(keys, check))
    }

    fn check_with(
        &self,
        keys: &Usable<'_, crate::configuration::Sensitive>,
        check: &mut Check<'_, '_, '_>,
    ) -> Result<(), Fault> {
        let candidates = self.candidates.read(check)?;
        let mut digests = Vec::new();
        for key in keys.iter() {
            let names = check.names.with_key(key.expose());
            let mut context = digest::Context::new(self.algorithm);
            check.pool.evaluate(|budget| {
                self.message
                    .render_pieces(&names, budget, &mut |piece| context.update(piece))
            })?;
            digests.push(context.finish());
        }
        matches(&candidates, digests.into_iter())
    }

    pub fn needs_signing_secret(&self) -> bool {
        self.keys.are_signing_secrets()
    }

    pub fn each_reference(&self, take: &mut dyn FnMut(&References)) {
        take(self.candidates.signature.references());
        take(self.message.references());
    }
}

/// The hash function of a name.
pub fn hash(algorithm: HashAlgorithm) -> &'static digest::Algorithm {
    match algorithm {
        HashAlgorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        HashAlgorithm::Sha256 => &digest::SHA256,
        HashAlgorithm::Sha384 => &digest::SHA384,
        HashAlgorithm::Sha512 => &digest::SHA512,
    }
}

/// A compiled `standardWebhooks` (the Standard Webhooks specification, symmetric signatures).
#[derive(Debug)]
pub struct StandardWebhooks {
    keys: Keys<hmac::Key>,
    id: String,
    timestamp: String,
    signature: String,
    tolerance: Duration,
}

impl StandardWebhooks {
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        spec: &api::StandardWebhooks,
        entry: &EventTypeEntry,
    ) -> Self {
        let prefix = spec.header_prefix().to_ascii_lowercase();
        if http::HeaderName::from_bytes(prefix.as_bytes()).is_err() {
            compiler.error(
                &path.field("headerPrefix"),
                "this cannot be the beginning of a header's name",
            );
        }
        Self {
            keys: Keys::compile(compiler, &path.field("keys"), &spec.keys, entry, |text| {
                let key = decode_key(text, KeyEncoding::Whsec)?;
                Ok(vec![hmac::Key::new(hmac::HMAC_SHA256, &key)])
            }),
            id: format!("{prefix}-id"),
            timestamp: format!("{prefix}-timestamp"),
            signature: format!("{prefix}-signature"),
            tolerance: spec.tolerance().duration(),
        }
    }

    pub fn check(&self, check: &mut Check<'_, '_, '_>) -> Result<(), Fault> {
        self.keys
            .check(check.registration(), |keys| self.check_with(keys, check))
    }

    fn check_with(
        &self,
        keys: &Usable<'_, hmac::Key>,
        check: &mut Check<'_, '_, '_>,
    ) -> Result<(), Fault> {
        let request = check.view.request();
        let header = |name: &str| {
            single_header(&request.headers, name)
                .filter(|value| !value.is_empty())
                .ok_or(Fault::refused("a header is missing, empty or repeated"))
        };
        let (id, timestamp) = (header(&self.id)?, header(&self.timestamp)?);
        let at = timestamp::read(timestamp, TimestampFormat::Seconds)
            .ok_or(Fault::refused("the timestamp is not in its format"))?;
        timestamp::within(at, check.now, self.tolerance)?;
        let candidates: Vec<_> = header(&self.signature)?
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .filter_map(|signature| decode_signature(signature, SignatureEncoding::Base64))
            .take(MAX_CANDIDATES)
            .collect();
        if candidates.is_empty() {
            return Err(Fault::refused(NO_SIGNATURE));
        }
        check
            .pool
            .charge(request.raw_body.len() * keys.iter().count())?;
        let tags = keys.iter().map(|key| {
            let mut context = hmac::Context::with_key(key);
            for piece in [
                id.as_bytes(),
                b".",
                timestamp.as_bytes(),
                b".",
                &request.raw_body,
            ] {
                context.update(piece);
            }
            context.sign()
        });
        matches(&candidates, tags)
    }

    pub fn needs_signing_secret(&self) -> bool {
        self.keys.are_signing_secrets()
    }
}
