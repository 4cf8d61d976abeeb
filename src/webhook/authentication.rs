//! Whether a request, or one item of it, is what it says it is.
//!
//! One entry must pass, and inside it every method and `require`. An entry that could not pass
//! because our own key is missing is told apart from one that failed: the first is our fault (503),
//! the second the sender's (401). Causes name what was wrong and never with which value.

mod credential;
mod jwt;
mod key;
mod signature;
mod timestamp;

pub use key::decode_key;

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::compiler::Compiler;
use super::pool::Pool;
use super::registration::RegistrationView;
use super::request::View;
use super::variables::{Auth, Names};
use super::verdict::AuthenticationFailure;
use crate::api::{AuthenticationEntry, FieldPath};
use crate::configuration::{EventTypeEntry, LiveRegistration};
use crate::expression::{EvaluationError, Expression, References, Scope};

/// The entries of one `authentication`.
#[derive(Debug)]
pub struct Authentication {
    entries: Vec<Entry>,
}

/// What authentication comes to.
#[derive(Debug)]
pub enum Trust {
    /// An entry passed.
    Passed(Auth),
    /// None did.
    Failed(Vec<AuthenticationFailure>),
    /// None did, and at least one could not be checked without a key that we should have.
    KeyMissing(Vec<AuthenticationFailure>),
}

#[derive(Debug)]
struct Entry {
    index: usize,
    methods: Vec<Method>,
    require: Option<Expression>,
    /// Whether it reads `item` or `parent` and so is checked for each item.
    per_item: bool,
    /// `auth.method`.
    name: String,
}

#[derive(Debug)]
enum Method {
    Hmac(signature::Hmac),
    Digest(signature::Digest),
    Token(credential::Token),
    Basic(credential::Basic),
    StandardWebhooks(signature::StandardWebhooks),
    Jwt(Box<jwt::Jwt>),
    None,
}

/// What a check works with.
struct Check<'c, 'a, 'r> {
    names: Names<'a, 'r>,
    view: &'a View<'r>,
    pool: &'c mut Pool,
    now: Timestamp,
}

impl<'a> Check<'_, 'a, '_> {
    /// The registration that the URI belongs to.
    fn registration(&self) -> Option<&'a LiveRegistration> {
        self.view.registration().map(RegistrationView::live)
    }
}

/// Why a method does not pass.
#[derive(Debug)]
enum Fault {
    /// The request is at fault.
    Refused(Cow<'static, str>),
    /// We are.
    OurKey(Cow<'static, str>),
}

impl Fault {
    fn refused(cause: &'static str) -> Self {
        Self::Refused(Cow::Borrowed(cause))
    }
}

impl From<EvaluationError> for Fault {
    fn from(error: EvaluationError) -> Self {
        Self::Refused(Cow::Owned(error.to_string()))
    }
}

impl Authentication {
    /// Compiles the entries at `path`. Where there is no item (`in_handshake`), none may be named.
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        entries: &[AuthenticationEntry],
        keys: &EventTypeEntry,
        scopes: &Scopes,
    ) -> Self {
        if entries.is_empty() {
            compiler.error(
                path,
                "write at least one entry; none: {} accepts every request",
            );
        }
        let open = entries.iter().any(|entry| entry.none.is_some());
        if open && entries.len() > 1 {
            compiler.error(
                path,
                "none accepts every request, so it must be the only entry of authentication",
            );
        }
        let compile = |(index, entry)| {
            Entry::compile(compiler, &path.index(index), index, entry, keys, scopes)
        };
        Self {
            entries: entries.iter().enumerate().filter_map(compile).collect(),
        }
    }

    /// Whether an entry is checked for each item.
    pub fn has_per_item(&self) -> bool {
        self.entries.iter().any(|entry| entry.per_item)
    }

    /// Whether nothing can pass without the signing secret of a registration.
    pub fn needs_signing_secret(&self) -> bool {
        let needs = |entry: &Entry| entry.methods.iter().any(Method::needs_signing_secret);
        self.entries.iter().all(needs)
    }

    /// Checks the entries that look at the request as a whole.
    pub fn check_request(&self, names: Names<'_, '_>, pool: &mut Pool, now: Timestamp) -> Trust {
        let view = names.view();
        self.check(
            false,
            &mut Check {
                names,
                view,
                pool,
                now,
            },
        )
    }

    /// Checks the entries that look at one item.
    pub fn check_item(&self, names: Names<'_, '_>, pool: &mut Pool, now: Timestamp) -> Trust {
        let view = names.view();
        self.check(
            true,
            &mut Check {
                names,
                view,
                pool,
                now,
            },
        )
    }

    fn check(&self, per_item: bool, check: &mut Check<'_, '_, '_>) -> Trust {
        let mut failures = Vec::new();
        let mut key_missing = false;
        for entry in self
            .entries
            .iter()
            .filter(|entry| entry.per_item == per_item)
        {
            match entry.check(check) {
                Ok(auth) => return Trust::Passed(auth),
                Err((method, fault)) => {
                    let (Fault::Refused(cause) | Fault::OurKey(cause)) = &fault;
                    key_missing |= matches!(fault, Fault::OurKey(_));
                    let cause = cause.clone();
                    failures.push(AuthenticationFailure {
                        entry: entry.index,
                        method,
                        cause,
                    });
                }
            }
        }
        match key_missing {
            true => Trust::KeyMissing(failures),
            false => Trust::Failed(failures),
        }
    }
}

/// The scopes of an `authentication`'s expressions.
pub struct Scopes {
    /// For the methods.
    pub methods: Scope,
    /// For a digest's `message`.
    pub digest_message: Scope,
    /// For `require`.
    pub require: Scope,
}

impl Entry {
    fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        index: usize,
        entry: &AuthenticationEntry,
        keys: &EventTypeEntry,
        scopes: &Scopes,
    ) -> Option<Self> {
        let AuthenticationEntry {
            hmac,
            digest,
            token,
            basic,
            standard_webhooks,
            jwt,
            none,
            require,
        } = entry;
        let mut methods = Vec::new();
        let mut names = Vec::new();
        if let Some(hmac) = hmac {
            let method =
                signature::Hmac::compile(compiler, &path.field("hmac"), hmac, keys, scopes);
            methods.push(method.map(Method::Hmac));
            names.push("hmac");
        }
        if let Some(digest) = digest {
            let path = path.field("digest");
            let method = signature::Digest::compile(compiler, &path, digest, keys, scopes);
            methods.push(method.map(Method::Digest));
            names.push("digest");
        }
        if let Some(token) = token {
            let path = path.field("token");
            let method = credential::Token::compile(compiler, &path, token, keys, scopes);
            methods.push(Some(Method::Token(method)));
            names.push("token");
        }
        if let Some(basic) = basic {
            let method = credential::Basic::compile(compiler, &path.field("basic"), basic, keys);
            methods.push(Some(Method::Basic(method)));
            names.push("basic");
        }
        if let Some(standard) = standard_webhooks {
            let path = path.field("standardWebhooks");
            let method = signature::StandardWebhooks::compile(compiler, &path, standard, keys);
            methods.push(Some(Method::StandardWebhooks(method)));
            names.push("standardWebhooks");
        }
        if let Some(jwt) = jwt {
            let method = jwt::Jwt::compile(compiler, &path.field("jwt"), jwt, keys, scopes);
            methods.push(Some(Method::Jwt(Box::new(method))));
            names.push("jwt");
        }
        if none.is_some() {
            if !methods.is_empty() || require.is_some() {
                compiler.error(
                    path,
                    "none stands alone: no other method and no require beside it",
                );
            }
            methods.push(Some(Method::None));
            names.push("none");
        }
        if methods.is_empty() {
            compiler.error(
                path,
                "an entry needs a method: hmac, digest, token, basic, standardWebhooks, jwt or none",
            );
        }
        let require = compiler.optional(&path.field("require"), require.as_ref(), &scopes.require);
        let methods: Vec<Method> = methods.into_iter().flatten().collect();
        let mut per_item = require
            .as_ref()
            .is_some_and(|require| reads_item(require.references()));
        for method in &methods {
            method.each_reference(&mut |references| per_item |= reads_item(references));
        }
        Some(Self {
            index,
            methods,
            require,
            per_item,
            name: names.join("+"),
        })
    }

    /// What the registration should have and lacks is our fault, whatever else is wrong.
    fn check(&self, check: &mut Check<'_, '_, '_>) -> Result<Auth, (&'static str, Fault)> {
        let Some(registration) = check.view.registration() else {
            return self.check_all(check);
        };
        registration.forget();
        self.check_all(check).map_err(|failure| match failure {
            (method, Fault::Refused(_)) if registration.lacks_something() => {
                let cause = "reads something of the registration that is not there";
                (method, Fault::OurKey(Cow::Borrowed(cause)))
            }
            failure => failure,
        })
    }

    fn check_all(&self, check: &mut Check<'_, '_, '_>) -> Result<Auth, (&'static str, Fault)> {
        let mut auth = Auth {
            method: self.name.clone(),
            claims: Json::Object(serde_json::Map::new()),
        };
        let mut our_fault = None;
        for method in &self.methods {
            match method.check(check) {
                Ok(None) => {}
                Ok(Some(claims)) => auth.claims = claims,
                Err(fault @ Fault::OurKey(_)) => our_fault = Some((method.name(), fault)),
                Err(fault) => return Err((method.name(), fault)),
            }
        }
        if let Some(fault) = our_fault {
            return Err(fault);
        }
        if let Some(require) = &self.require {
            let names = check.names.with_auth(&auth);
            match check
                .pool
                .evaluate(|budget| require.evaluate_bool(&names, budget))
            {
                Ok(true) => {}
                Ok(false) => return Err(("require", Fault::refused("is false"))),
                Err(error) => return Err(("require", error.into())),
            }
        }
        Ok(auth)
    }
}

impl Method {
    fn name(&self) -> &'static str {
        match self {
            Self::Hmac(_) => "hmac",
            Self::Digest(_) => "digest",
            Self::Token(_) => "token",
            Self::Basic(_) => "basic",
            Self::StandardWebhooks(_) => "standardWebhooks",
            Self::Jwt(_) => "jwt",
            Self::None => "none",
        }
    }

    /// The claims of a token, where the method has one.
    fn check(&self, check: &mut Check<'_, '_, '_>) -> Result<Option<Json>, Fault> {
        match self {
            Self::Hmac(hmac) => hmac.check(check).map(|()| None),
            Self::Digest(digest) => digest.check(check).map(|()| None),
            Self::Token(token) => token.check(check).map(|()| None),
            Self::Basic(basic) => basic.check(check).map(|()| None),
            Self::StandardWebhooks(standard) => standard.check(check).map(|()| None),
            Self::Jwt(jwt) => jwt.check(check).map(Some),
            Self::None => Ok(None),
        }
    }

    /// Whether it can only pass with the signing secret of a registration.
    fn needs_signing_secret(&self) -> bool {
        match self {
            Self::Hmac(hmac) => hmac.needs_signing_secret(),
            Self::Digest(digest) => digest.needs_signing_secret(),
            Self::Token(token) => token.needs_signing_secret(),
            Self::Basic(basic) => basic.needs_signing_secret(),
            Self::StandardWebhooks(standard) => standard.needs_signing_secret(),
            Self::Jwt(jwt) => jwt.needs_signing_secret(),
            Self::None => false,
        }
    }

    fn each_reference(&self, take: &mut dyn FnMut(&References)) {
        match self {
            Self::Hmac(hmac) => hmac.each_reference(take),
            Self::Digest(digest) => digest.each_reference(take),
            Self::Token(token) => token.each_reference(take),
            Self::Jwt(jwt) => jwt.each_reference(take),
            Self::Basic(_) | Self::StandardWebhooks(_) | Self::None => {}
        }
    }
}

fn reads_item(references: &References) -> bool {
    references.mentions(&["item"]) || references.mentions(&["parent"])
}
