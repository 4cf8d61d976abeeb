//! How a request is trusted: `webhook.authentication`.
//!
//! A request passes if one entry passes, and an entry passes if all its methods
//! and its `require` do. Defaults are methods of the types, because a CRD may
//! hold no `default:` below a list. Public keys by URL, RFC 9421 and secrets
//! that an app chooses itself are not here.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Expression, KeySource, Template, TimeSpan, free_form};

/// One way to trust a request: all methods in it must pass. Each method stands in an entry at most once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.hmac) || has(self.digest) || has(self.token) || has(self.basic) || has(self.standardWebhooks) || has(self.jwt) || has(self.none)").message("an entry needs a method: hmac, digest, token, basic, standardWebhooks, jwt or none"),
    validation = Rule::new("!has(self.none) || !(has(self.hmac) || has(self.digest) || has(self.token) || has(self.basic) || has(self.standardWebhooks) || has(self.jwt) || has(self.require))").message("none stands alone: no other method and no require beside it")
)]
pub struct AuthenticationEntry {
    /// A keyed hash (HMAC) over the request, as most apps send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<Hmac>,
    /// A plain hash over the key and the request, as some older apps send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// A fixed token that the app sends with each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// HTTP Basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<Basic>,
    /// Signatures as the Standard Webhooks specification defines them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_webhooks: Option<StandardWebhooks>,
    /// A signed JSON Web Token. Its claims are `auth.claims` in expressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// Accepts every request. Must be written out as `none: {}`, as the only entry, alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<NoAuthentication>,
    /// CEL that must be true as well. An entry that mentions `item` is checked for each event on its own.
    /// Example: `request.contentType == "application/json"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<Expression>,
}

/// No authentication at all: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct NoAuthentication {}

/// A keyed hash (HMAC) that the app sends with the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hmac {
    /// Hash function. Default: `SHA256`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<HashAlgorithm>,
    /// Keys; the signature must match under any of them. Two keys let you change one without a gap.
    #[schemars(length(min = 1, max = 8))]
    pub keys: Vec<KeySource>,
    /// How a key's text becomes the key's bytes. Default: `Utf8`, the text itself
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_encoding: Option<KeyEncoding>,
    /// CEL: the signature that the request carries, a text or a list of candidates of which one must match.
    /// Example: `request.headers["x-signature"]`
    pub signature: Expression,
    /// Text before each signature, such as `sha256=`. Candidates without it are passed over. Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub prefix: Option<String>,
    /// How the signature is written. Default: `Hex`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<SignatureEncoding>,
    /// Template of the bytes that are signed. Default: `$(request.rawBody)`.
    /// Example: `$(request.headers["x-timestamp"]).$(request.rawBody)`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Template>,
    /// When the request was signed. Older and newer requests are refused. Default: not checked
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<SignatureTimestamp>,
}

impl Hmac {
    /// `algorithm`, by default SHA-256.
    #[must_use]
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm.unwrap_or(HashAlgorithm::Sha256)
    }

    /// `keyEncoding`, by default the text's own bytes.
    #[must_use]
    pub fn key_encoding(&self) -> KeyEncoding {
        self.key_encoding.unwrap_or(KeyEncoding::Utf8)
    }

    /// `encoding`, by default hexadecimal.
    #[must_use]
    pub fn encoding(&self) -> SignatureEncoding {
        self.encoding.unwrap_or(SignatureEncoding::Hex)
    }

    /// `prefix`, by default empty.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// `message`, by default the raw body.
    #[must_use]
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or("$(request.rawBody)")
    }
}

/// A plain hash over key and request that the app sends with the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    /// Hash function. Default: `SHA256`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<HashAlgorithm>,
    /// Keys; the hash must match under any of them.
    #[schemars(length(min = 1, max = 8))]
    pub keys: Vec<KeySource>,
    /// CEL: the hash that the request carries, a text or a list of candidates of which one must match.
    pub signature: Expression,
    /// Text before each hash. Candidates without it are passed over. Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub prefix: Option<String>,
    /// How the hash is written. Default: `Hex`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<SignatureEncoding>,
    /// Template of the bytes that are hashed; `$(key)` stands for the key, here and nowhere else, and must occur.
    /// Default: `$(key)$(request.rawBody)`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Template>,
}

impl Digest {
    /// `algorithm`, by default SHA-256.
    #[must_use]
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm.unwrap_or(HashAlgorithm::Sha256)
    }

    /// `encoding`, by default hexadecimal.
    #[must_use]
    pub fn encoding(&self) -> SignatureEncoding {
        self.encoding.unwrap_or(SignatureEncoding::Hex)
    }

    /// `prefix`, by default empty.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// `message`, by default the key followed by the raw body.
    #[must_use]
    pub fn message(&self) -> &str {
        self.message
            .as_deref()
            .unwrap_or("$(key)$(request.rawBody)")
    }
}

/// A fixed token that the app sends with each request, compared in constant time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// CEL: the token that the request carries. Default: the `Authorization` header without `Bearer `.
    /// Example: `request.query["token"][0]`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Expression>,
    /// The tokens that are accepted; any of them.
    #[schemars(length(min = 1, max = 8))]
    pub keys: Vec<KeySource>,
}

/// HTTP Basic authentication.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Basic {
    /// The user name, as it is.
    #[schemars(length(max = 256))]
    pub username: String,
    /// The passwords that are accepted; any of them.
    #[schemars(length(min = 1, max = 8))]
    pub passwords: Vec<KeySource>,
}

/// Signatures as the Standard Webhooks specification defines them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandardWebhooks {
    /// Keys in base64, with or without `whsec_`; the signature must match under any of them.
    #[schemars(length(min = 1, max = 8))]
    pub keys: Vec<KeySource>,
    /// What the names of the three headers begin with, before `-id`, `-timestamp` and `-signature`.
    /// Default: `webhook`. Example: `svix`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub header_prefix: Option<String>,
    /// How far the timestamp may be from now, both ways. Default: `5m`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<TimeSpan>,
}

impl StandardWebhooks {
    /// `headerPrefix`, by default `webhook`.
    #[must_use]
    pub fn header_prefix(&self) -> &str {
        self.header_prefix.as_deref().unwrap_or("webhook")
    }

    /// `tolerance`, by default 5 minutes.
    #[must_use]
    pub fn tolerance(&self) -> TimeSpan {
        self.tolerance
            .clone()
            .unwrap_or_else(|| TimeSpan::minutes(5))
    }
}

/// A signed JSON Web Token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.algorithms.all(a, a in ['HS256', 'HS384', 'HS512']) || !self.algorithms.exists(a, a in ['HS256', 'HS384', 'HS512'])").message("write algorithms with a shared secret (HS…) or with a public key, not both: a public key would be taken for a secret")
)]
pub struct Jwt {
    /// CEL: the token that the request carries. Default: the `Authorization` header without `Bearer `.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Expression>,
    /// Keys; the signature must match under any of them. For `HS…` the shared secret's text, else a public key in PEM.
    #[schemars(length(min = 1, max = 8))]
    pub keys: Vec<KeySource>,
    /// The algorithms that are accepted. What the token itself says is never trusted. All `HS…`, or none.
    #[schemars(length(min = 1, max = 8))]
    pub algorithms: Vec<JwtAlgorithm>,
    /// What the claim `iss` must be. Default: not checked
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: Option<String>,
    /// What the claim `aud` must hold at least one of. Default: not checked
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 1024)))]
    pub audience: Vec<String>,
    /// Further claims and the text that each must be. Example: `{tenant: acme}`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "free_form::claims")]
    pub claims: BTreeMap<String, String>,
    /// How far the clocks may differ when `exp` and `nbf` are checked. Default: `60s`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leeway: Option<TimeSpan>,
    /// Whether a token without `exp` is refused. Default: `true`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_expiry: Option<bool>,
    /// A claim that holds a hash of the body. Default: the body is not checked against the token
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_hash: Option<BodyHash>,
}

impl Jwt {
    /// `leeway`, by default 60 seconds.
    #[must_use]
    pub fn leeway(&self) -> TimeSpan {
        self.leeway.clone().unwrap_or_else(|| TimeSpan::seconds(60))
    }

    /// `requireExpiry`, by default true.
    #[must_use]
    pub fn require_expiry(&self) -> bool {
        self.require_expiry.unwrap_or(true)
    }
}

/// A claim of a token that holds a hash of the request's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BodyHash {
    /// Name of the claim. Example: `payload_hash`
    #[schemars(length(min = 1, max = 253))]
    pub claim: String,
    /// Hash function. Default: `SHA256`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<HashAlgorithm>,
    /// How the hash is written. Default: `Hex`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<SignatureEncoding>,
}

impl BodyHash {
    /// `algorithm`, by default SHA-256.
    #[must_use]
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm.unwrap_or(HashAlgorithm::Sha256)
    }

    /// `encoding`, by default hexadecimal.
    #[must_use]
    pub fn encoding(&self) -> SignatureEncoding {
        self.encoding.unwrap_or(SignatureEncoding::Hex)
    }
}

/// When a request was signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignatureTimestamp {
    /// CEL: the time that the request carries. It should be part of `message`, or it proves nothing.
    /// Example: `request.headers["x-timestamp"]`
    pub value: Expression,
    /// How the time is written. Default: `Seconds`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<TimestampFormat>,
    /// How far the time may be from now, both ways. Default: `5m`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<TimeSpan>,
}

impl SignatureTimestamp {
    /// `format`, by default seconds.
    #[must_use]
    pub fn format(&self) -> TimestampFormat {
        self.format.unwrap_or(TimestampFormat::Seconds)
    }

    /// `tolerance`, by default 5 minutes.
    #[must_use]
    pub fn tolerance(&self) -> TimeSpan {
        self.tolerance
            .clone()
            .unwrap_or_else(|| TimeSpan::minutes(5))
    }
}

/// Hash functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HashAlgorithm {
    /// SHA-1, for apps that offer nothing better.
    #[serde(rename = "SHA1")]
    Sha1,
    /// SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// SHA-384.
    #[serde(rename = "SHA384")]
    Sha384,
    /// SHA-512.
    #[serde(rename = "SHA512")]
    Sha512,
}

/// How a key's text becomes the key's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KeyEncoding {
    /// The text's own bytes.
    Utf8,
    /// The text is base64.
    Base64,
    /// The text is hexadecimal.
    Hex,
    /// The text is base64 after `whsec_`.
    Whsec,
}

/// How a signature or hash is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SignatureEncoding {
    /// Hexadecimal, in either case.
    Hex,
    /// Base64.
    Base64,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TimestampFormat {
    /// Whole seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// RFC 3339, such as `2026-01-02T03:04:05Z`.
    Rfc3339,
}

/// Algorithms of JSON Web Tokens (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSA PKCS #1 v1.5 with SHA-256.
    RS256,
    /// RSA PSS with SHA-256.
    PS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

impl JwtAlgorithm {
    /// Whether the key is a shared secret rather than a public key.
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}
