//! Requests that are answered and never become events, and what is kept of them for the
//! registration that is being made.
//!
//! A handshake runs before authentication, so its expressions read small bodies only. One with a
//! `capture` exists only while its registration's capture is open: at any other time, and on a URI
//! that belongs to no registration, it does not match and the request goes on as any other.
//! Whether a captured value is the first is not decided here.

use http::StatusCode;
use jiff::Timestamp;

use super::answer::Response;
use super::authentication::{Authentication, Scopes, Trust};
use super::compiler::Compiler;
use super::pool::Pool;
use super::request::{Unauthenticated, View};
use super::variables::Names;
use super::verdict::Verdict;
use crate::api::{self, FieldPath};
use crate::configuration::{Captured, EventTypeEntry, Sensitive};
use crate::expression::{EvaluationError, Expression, Scope};

/// Longest signing secret that is captured; real ones have at most some hundred bytes.
const MAX_SECRET_BYTES: usize = 4 << 10;

/// The handshakes of a type, in the order in which they are tried.
#[derive(Debug)]
pub struct Handshakes(Vec<Handshake>);

#[derive(Debug)]
struct Handshake {
    index: usize,
    when: Expression,
    authentication: Option<Authentication>,
    respond: Response,
    capture: Option<Capture>,
}

#[derive(Debug)]
struct Capture {
    signing_secret: Option<Expression>,
    expires_at: Option<Expression>,
}

impl Handshakes {
    /// Compiles those at `path`; `default` is what authenticates one that says nothing else.
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        specs: &[api::Handshake],
        entry: &EventTypeEntry,
        default: &Authentication,
    ) -> Self {
        let mut handshakes = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let path = path.index(index);
            handshakes.extend(Handshake::compile(
                compiler, &path, index, spec, entry, default,
            ));
        }
        let captures = |spec: &api::Handshake| {
            let capture = spec.capture.as_ref();
            capture.is_some_and(|capture| capture.signing_secret.is_some())
        };
        if entry.registrations.from_handshake && !specs.iter().any(captures) {
            compiler.error(
                path,
                "signingSecret.fromHandshake needs a handshake whose capture takes the signingSecret",
            );
        }
        Self(handshakes)
    }

    /// What becomes of a request that is a handshake; `None`: it is none.
    pub fn shake(
        &self,
        view: &View<'_>,
        default: &Authentication,
        pool: &mut Pool,
        now: Timestamp,
    ) -> Option<Verdict> {
        let early = Unauthenticated(view);
        let names = Names::new(view, &early);
        let open = view.registration().is_some_and(|it| it.live().capture_open);
        let handshake = self
            .0
            .iter()
            .filter(|handshake| open || handshake.capture.is_none())
            .find(|handshake| {
                pool.evaluate(|budget| handshake.when.evaluate_bool(&names, budget))
                    .unwrap_or(false)
            })?;
        let authentication = handshake.authentication.as_ref().unwrap_or(default);
        let trust = authentication.check_request(Names::new(view, view), pool, now);
        Some(match trust {
            Trust::Failed(failures) => Verdict::Unauthenticated(failures),
            Trust::KeyMissing(failures) => Verdict::KeyMissing(failures),
            Trust::Passed(_) => handshake.answer(view, &names, pool),
        })
    }
}

impl Handshake {
    fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        index: usize,
        spec: &api::Handshake,
        entry: &EventTypeEntry,
        default: &Authentication,
    ) -> Option<Self> {
        const NO_ITEM: &str =
            "a handshake is answered before the request is split: there is no `item`";
        let api::Handshake {
            when,
            authentication,
            respond,
            capture,
        } = spec;
        let of_registration = |scope| super::receiver::of_registration(scope, entry);
        let scope = of_registration(Scope::handshake());
        let when = compiler.expression(&path.field("when"), when, &scope);
        let without_items = |scope: Scope| {
            let scope = scope.without("item", NO_ITEM).without("parent", NO_ITEM);
            of_registration(scope)
        };
        let scopes = Scopes {
            methods: without_items(Scope::authentication()),
            digest_message: without_items(Scope::digest_message()),
            require: without_items(Scope::events()),
        };
        let authentication = authentication.as_ref().map(|entries| {
            let path = path.field("authentication");
            Authentication::compile(compiler, &path, entries, entry, &scopes)
        });
        let respond = Response::compile(
            compiler,
            &path.field("respond"),
            respond,
            &scope,
            StatusCode::OK,
        );
        let capture = capture.as_ref().map(|capture| {
            let trusted = authentication.as_ref().unwrap_or(default);
            if capture.signing_secret.is_some() && trusted.needs_signing_secret() {
                compiler.error(
                    &path.field("authentication"),
                    "this handshake brings the signing secret, so nothing signs it; write [{none: {}}], and only the first who knows the URI is taken, while the registration is being made",
                );
            }
            Capture::compile(compiler, &path.field("capture"), capture, entry, &scope)
        });
        Some(Self {
            index,
            when: when?,
            authentication,
            respond,
            capture,
        })
    }

    /// The answer is made before anything is kept, so that nothing is kept of what gets none.
    fn answer(&self, view: &View<'_>, names: &Names<'_, '_>, pool: &mut Pool) -> Verdict {
        let registration = view.registration();
        if let Some(registration) = registration {
            registration.forget();
        }
        let made = self.respond.render(names, pool).and_then(|answer| {
            let captured = self.capture.as_ref();
            let captured = captured.map(|capture| capture.take(names, pool));
            Ok((answer, captured.transpose()?))
        });
        match made {
            Ok((answer, None)) => Verdict::Handshake(answer),
            Ok((answer, Some(captured))) => Verdict::Capture {
                handshake: self.index,
                captured,
                answer,
            },
            Err(_) if registration.is_some_and(|it| it.lacks_something()) => {
                Verdict::RegistrationIncomplete
            }
            Err(reason) => Verdict::HandshakeFailed {
                handshake: self.index,
                reason,
            },
        }
    }
}

impl Capture {
    fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        spec: &api::Capture,
        entry: &EventTypeEntry,
        scope: &Scope,
    ) -> Self {
        let api::Capture {
            signing_secret,
            expires_at,
        } = spec;
        if signing_secret.is_none() && expires_at.is_none() {
            compiler.error(path, "write signingSecret or expiresAt");
        }
        if !entry.registrations.exist() {
            compiler.error(
                path,
                "capture keeps something for a registration: it needs a subscription, or a registration of the global webhook",
            );
        } else if signing_secret.is_some() && !entry.registrations.from_handshake {
            compiler.error(
                &path.field("signingSecret"),
                "a captured signing secret is taken where the subscription says signingSecret: {fromHandshake: {}}",
            );
        }
        Self {
            signing_secret: compiler.optional(
                &path.field("signingSecret"),
                signing_secret.as_ref(),
                scope,
            ),
            expires_at: compiler.optional(&path.field("expiresAt"), expires_at.as_ref(), scope),
        }
    }

    /// The error names the field and holds nothing of the request.
    fn take(&self, names: &Names<'_, '_>, pool: &mut Pool) -> Result<Captured, String> {
        let signing_secret = self.signing_secret.as_ref().map(|expression| {
            pool.evaluate(|budget| {
                let value = expression.evaluate(names, budget)?;
                let text = value.as_str().map(str::as_bytes);
                text.filter(|text| !text.is_empty() && text.len() <= MAX_SECRET_BYTES)
                    .map(Sensitive::new)
                    .ok_or(EvaluationError::InvalidArgument {
                        reason: "it is no text of 1 to 4,096 bytes",
                    })
            })
            .map_err(|error| format!("capture.signingSecret: {error}"))
        });
        let expires_at = self.expires_at.as_ref().map(|expression| {
            pool.evaluate(|budget| {
                let value = expression.evaluate(names, budget)?;
                value
                    .as_timestamp()
                    .ok_or(EvaluationError::InvalidArgument {
                        reason: "it is no timestamp",
                    })
            })
            .map_err(|error| format!("capture.expiresAt: {error}"))
        });
        Ok(Captured {
            signing_secret: signing_secret.transpose()?,
            expires_at: expires_at.transpose()?,
        })
    }
}
