//! Credentials that the app sends as they are: `token` and `basic`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{Keys, Usable, equal};
use super::{Check, Fault, Scopes};
use crate::api::{self, FieldPath};
use crate::configuration::{EventTypeEntry, Sensitive};
use crate::expression::{Expression, References};
use crate::webhook::compiler::Compiler;
use crate::webhook::request::single_header;

/// Where a request carries a token: an expression, or the `Authorization` header.
#[derive(Debug)]
pub struct Carried(Option<Expression>);

impl Carried {
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        spec: Option<&api::Expression>,
        scopes: &Scopes,
    ) -> Self {
        let expression = compiler.optional(path, spec, &scopes.methods);
        if let Some(expression) = &expression {
            let reads = |names: &[&str]| expression.references().mentions(names);
            if reads(&["item"]) || reads(&["request", "body"]) || reads(&["request", "form"]) {
                compiler.warning(
                    path,
                    "the token stands in the body and so becomes a part of the event; events.data can leave it out",
                );
            }
        }
        Self(expression)
    }

    /// Hands the token to `compare`, which says whether it is the right one.
    pub fn check<T>(
        &self,
        check: &mut Check<'_, '_, '_>,
        compare: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let Some(expression) = &self.0 else {
            let header = single_header(&check.view.request().headers, "authorization").ok_or(
                Fault::refused("the Authorization header is missing, repeated or no text"),
            )?;
            return compare(without_scheme(header, "bearer").unwrap_or(header));
        };
        let names = check.names;
        let mut compared = None;
        check.pool.evaluate(|budget| {
            compared = expression.evaluate(&names, budget)?.as_str().map(compare);
            Ok(())
        })?;
        compared.unwrap_or(Err(Fault::refused("the token is no text")))
    }

    pub fn each_reference(&self, take: &mut dyn FnMut(&References)) {
        if let Some(expression) = &self.0 {
            take(expression.references());
        }
    }
}

/// What follows an authentication scheme, whose name is in any case (RFC 9110 §11.1).
fn without_scheme<'h>(header: &'h str, scheme: &str) -> Option<&'h str> {
    let (name, rest) = header.split_once(' ')?;
    name.eq_ignore_ascii_case(scheme)
        .then(|| rest.trim_start_matches(' '))
}

/// A compiled `token`.
#[derive(Debug)]
pub struct Token {
    carried: Carried,
    keys: Keys<Sensitive>,
}

impl Token {
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        spec: &api::Token,
        entry: &EventTypeEntry,
        scopes: &Scopes,
    ) -> Self {
        Self {
            carried: Carried::compile(compiler, &path.field("value"), spec.value.as_ref(), scopes),
            keys: texts(compiler, &path.field("keys"), &spec.keys, entry),
        }
    }

    pub fn check(&self, check: &mut Check<'_, '_, '_>) -> Result<(), Fault> {
        self.keys.check(check.registration(), |keys| {
            self.carried.check(check, |token| {
                any(keys, token.as_bytes(), "the token is another")
            })
        })
    }

    pub fn needs_signing_secret(&self) -> bool {
        self.keys.are_signing_secrets()
    }

    pub fn each_reference(&self, take: &mut dyn FnMut(&References)) {
        self.carried.each_reference(take);
    }
}

/// A compiled `basic` (RFC 7617).
#[derive(Debug)]
pub struct Basic {
    username: String,
    passwords: Keys<Sensitive>,
}

impl Basic {
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        spec: &api::Basic,
        entry: &EventTypeEntry,
    ) -> Self {
        let field = path.field("username");
        compiler.literal(&field, &spec.username);
        if spec.username.contains(':') {
            compiler.error(&field, "a user name of HTTP Basic holds no colon");
        }
        Self {
            username: spec.username.clone(),
            passwords: texts(compiler, &path.field("passwords"), &spec.passwords, entry),
        }
    }

    pub fn check(&self, check: &mut Check<'_, '_, '_>) -> Result<(), Fault> {
        self.passwords
            .check(check.registration(), |keys| self.check_with(keys, check))
    }

    fn check_with(
        &self,
        passwords: &Usable<'_, Sensitive>,
        check: &mut Check<'_, '_, '_>,
    ) -> Result<(), Fault> {
        let header = single_header(&check.view.request().headers, "authorization").ok_or(
            Fault::refused("the Authorization header is missing, repeated or no text"),
        )?;
        let credentials = without_scheme(header, "basic")
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .ok_or(Fault::refused(
                "the Authorization header holds no Basic credentials",
            ))?;
        let colon = credentials.iter().position(|byte| *byte == b':');
        let (username, password) = colon
            .map(|at| (&credentials[..at], &credentials[at + 1..]))
            .ok_or(Fault::refused(
                "the Authorization header holds no Basic credentials",
            ))?;
        // An empty user name is allowed, and is nothing that could be guessed.
        let username = bool::from(subtle::ConstantTimeEq::ct_eq(
            username,
            self.username.as_bytes(),
        ));
        let password = any(
            passwords,
            password,
            "the user name or the password is another",
        );
        match username {
            true => password,
            false => Err(Fault::refused("the user name or the password is another")),
        }
    }

    pub fn needs_signing_secret(&self) -> bool {
        self.passwords.are_signing_secrets()
    }
}

fn texts(
    compiler: &mut Compiler,
    path: &FieldPath,
    sources: &[api::KeySource],
    entry: &EventTypeEntry,
) -> Keys<Sensitive> {
    Keys::compile(compiler, path, sources, entry, |text| {
        Ok(vec![Sensitive::new(text)])
    })
}

fn any(keys: &Usable<'_, Sensitive>, presented: &[u8], cause: &'static str) -> Result<(), Fault> {
    // Every key is compared, so the time does not tell which of them matched.
    let matched = keys.iter().fold(false, |matched, key| {
        matched | equal(key.expose(), presented)
    });
    match matched {
        true => Ok(()),
        false => Err(Fault::refused(cause)),
    }
}
