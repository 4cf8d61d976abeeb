//! The whole way of a request, in the order in which the gateway must do things.
//!
//! Handshakes, method, authentication over the raw bytes, splitting, then each item on its own.
//! Nothing here decides whether an event was seen before, and nothing is stored.

use http::{Method, StatusCode};
use jiff::Timestamp;

use super::answer::Response;
use super::authentication::{Authentication, Scopes, Trust};
use super::compiler::Compiler;
use super::customer::CustomerDirectory;
use super::handshake::Handshakes;
use super::interpret::{Interpretation, Interpreter, StillRefused};
use super::lifecycle::Lifecycle;
use super::pool::Pool;
use super::request::{Request, View};
use super::split::{Item, SplitError, split};
use super::variables::{Auth, Names};
use super::verdict::{Accepted, AuthenticationFailure, ItemOutcome, Outcome, Rejection, Verdict};
use crate::api::{self, FieldPath, LifecycleAction, ObjectReference, OnInvalid, Problem, Webhook};
use crate::configuration::{EventTypeEntry, LiveRegistration, WebhookFields};
use crate::event::{DeadLetter, Event};
use crate::expression::{Path, PathRoot, Scope};

/// The methods that `Allow` names where a type lists none: those that real apps use.
const DEFAULT_ALLOW: &str = "GET, POST, PUT, PATCH, DELETE";

/// Most levels of `events.from`; no known app nests its events deeper than two.
const MAX_LEVELS: usize = 8;

/// One type, ready to receive: everything compiled once.
#[derive(Debug)]
pub struct Receiver {
    methods: Option<Vec<Method>>,
    allow: String,
    max_body_bytes: u32,
    max_events: u32,
    handshakes: Handshakes,
    authentication: Authentication,
    lifecycle: Lifecycle,
    fields: WebhookFields,
    paths: Vec<Path>,
    interpreter: Interpreter,
    respond: Option<Response>,
    warnings: Vec<Problem>,
}

/// How far a request as a whole is trusted.
enum Trusted {
    /// For all its items.
    Wholly(Auth),
    /// Each item has to show it; these entries have failed already.
    ByItem(Vec<AuthenticationFailure>),
}

/// What is known of an accepted request beside its items.
struct Known<'a> {
    /// What authentication found out; `None` where there was nothing to authenticate.
    auth: Option<&'a Auth>,
    /// What it gave notice of.
    notices: Vec<LifecycleAction>,
}

impl Receiver {
    /// Compiles a type. Keys may be missing: then requests that need them are answered 503.
    ///
    /// # Errors
    /// All that is wrong with the type, each with its field and, inside a text, its place. Warnings
    /// are among them.
    pub fn compile(entry: &EventTypeEntry) -> Result<Self, Vec<Problem>> {
        let mut compiler = Compiler::new(ObjectReference::new(
            "AppEventType",
            &entry.name.namespace,
            &entry.name.name,
        ));
        let webhook = FieldPath::from("spec.webhook");
        let Webhook {
            methods,
            max_body_bytes: _,
            max_events: _,
            authentication,
            handshakes,
            events: _,
            lifecycle,
            respond,
            deduplication: _,
        } = &entry.webhook;
        let methods = methods
            .as_ref()
            .map(|methods| compile_methods(&mut compiler, &webhook, methods));
        let paths = compile_paths(&mut compiler, &webhook, entry);
        let levels = paths.len();
        let scope = |scope| of_registration(with_levels(scope, levels), entry);
        let scopes = Scopes {
            methods: scope(Scope::authentication()),
            digest_message: scope(Scope::digest_message()),
            require: scope(Scope::events()),
        };
        let authentication = Authentication::compile(
            &mut compiler,
            &webhook.field("authentication"),
            authentication,
            entry,
            &scopes,
        );
        let handshakes = Handshakes::compile(
            &mut compiler,
            &webhook.field("handshakes"),
            handshakes,
            entry,
            &authentication,
        );
        let lifecycle = Lifecycle::compile(
            &mut compiler,
            &webhook.field("lifecycle"),
            lifecycle,
            entry,
            &scope(Scope::events()),
        );
        let respond = respond.as_ref().map(|respond| {
            let path = webhook.field("respond");
            let default = StatusCode::ACCEPTED;
            let scope = of_registration(Scope::respond(), entry);
            let response = Response::compile(&mut compiler, &path, respond, &scope, default);
            if !response.is_success() {
                compiler.error(
                    &path.field("status"),
                    "respond.status must be 200 to 299, because it tells the app that its events are safe",
                );
            }
            response
        });
        let interpreter = Interpreter::compile(&mut compiler, entry, &scope(Scope::events()));
        let (problems, fields) = compiler.into_found();
        if problems.iter().any(Problem::is_error) {
            return Err(problems);
        }
        let allow = match &methods {
            None => DEFAULT_ALLOW.to_owned(),
            Some(methods) => methods
                .iter()
                .map(Method::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        };
        Ok(Self {
            methods,
            allow,
            max_body_bytes: entry.webhook.max_body_bytes(),
            max_events: entry.webhook.max_events(),
            handshakes,
            authentication,
            lifecycle,
            fields,
            paths,
            interpreter,
            respond,
            warnings: problems,
        })
    }

    /// What works, but probably not as it is meant; keys that cannot be decoded among it.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The fields of a customer that the type's `webhook` names: a registration has to bring those.
    #[must_use]
    pub fn customer_fields(&self) -> &WebhookFields {
        &self.fields
    }

    /// The status of what a good request gets.
    #[must_use]
    pub fn acknowledgement(&self) -> StatusCode {
        let respond = self.respond.as_ref();
        respond.map_or(StatusCode::ACCEPTED, |respond| respond.bare().status)
    }

    /// The largest body in bytes, also after decompression.
    #[must_use]
    pub fn max_body_bytes(&self) -> u32 {
        self.max_body_bytes
    }

    /// What becomes of a request. `registration` is the one that its URI belongs to, `now` when it
    /// arrived; `ids` makes ids for events that carry none.
    pub fn receive(
        &self,
        request: &Request,
        registration: Option<&LiveRegistration>,
        now: Timestamp,
        customers: &dyn CustomerDirectory,
        ids: &mut dyn FnMut() -> String,
    ) -> Verdict {
        let view = View::new(request, registration);
        let size = request.body.len().max(request.raw_body.len());
        let mut pool = Pool::new(size, self.max_body_bytes);
        let handshakes = &self.handshakes;
        if let Some(verdict) = handshakes.shake(&view, &self.authentication, &mut pool, now) {
            return verdict;
        }
        if !self.allows(&request.method) {
            return Verdict::MethodNotAllowed {
                allow: self.allow.clone(),
            };
        }
        let names = Names::new(&view, &view);
        let by_item = self.authentication.has_per_item();
        let trusted = match self.authentication.check_request(names, &mut pool, now) {
            Trust::Passed(auth) => Trusted::Wholly(auth),
            Trust::Failed(failures) | Trust::KeyMissing(failures) if by_item => {
                Trusted::ByItem(failures)
            }
            Trust::Failed(failures) => return Verdict::Unauthenticated(failures),
            Trust::KeyMissing(failures) => return Verdict::KeyMissing(failures),
        };
        let limit = self.max_events as usize;
        let reads = self.interpreter.reads_items() || !self.lifecycle.is_empty();
        let items = match split(&view, &self.paths, limit, reads) {
            Ok(items) => items,
            Err(SplitError::TooMany) => return Verdict::TooManyEvents,
            Err(SplitError::Malformed) => {
                return self.malformed(&view, &trusted, &mut pool, now, customers, ids);
            }
        };
        self.take(&view, &items, &trusted, &mut pool, now, customers, ids)
    }

    /// The event that a dead letter is by now, which this type refused at the door: its schema may
    /// have been mended since, its customer declared.
    ///
    /// # Errors
    /// When it still is none, or when only the request could tell.
    pub fn reconsider(
        &self,
        letter: &DeadLetter,
        now: Timestamp,
        customers: &dyn CustomerDirectory,
    ) -> Result<Event, StillRefused> {
        self.interpreter
            .reconsider(letter, now, customers, self.max_body_bytes)
    }

    fn allows(&self, method: &Method) -> bool {
        match &self.methods {
            None => *method != Method::HEAD && *method != Method::OPTIONS,
            Some(methods) => methods.contains(method),
        }
    }

    fn malformed(
        &self,
        view: &View<'_>,
        trusted: &Trusted,
        pool: &mut Pool,
        now: Timestamp,
        customers: &dyn CustomerDirectory,
        ids: &mut dyn FnMut() -> String,
    ) -> Verdict {
        let auth = match trusted {
            // What is not even an event, from somebody who showed nothing, is not kept.
            Trusted::Wholly(auth) if auth.method != "none" => auth,
            _ => return Verdict::MalformedBody,
        };
        if self.interpreter.on_invalid() == OnInvalid::Reject {
            return Verdict::MalformedBody;
        }
        let mut context = Interpretation::new(view, pool, now, customers, ids);
        let outcome = self
            .interpreter
            .malformed(&Item::unread(view), &mut context);
        let known = Known {
            auth: Some(auth),
            notices: Vec::new(),
        };
        self.accepted(view, vec![outcome], known, pool)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where all of a request meets"
    )]
    fn take(
        &self,
        view: &View<'_>,
        items: &[Item],
        trusted: &Trusted,
        pool: &mut Pool,
        now: Timestamp,
        customers: &dyn CustomerDirectory,
        ids: &mut dyn FnMut() -> String,
    ) -> Verdict {
        let mut context = Interpretation::new(view, pool, now, customers, ids);
        let mut outcomes = Vec::with_capacity(items.len());
        let mut first_auth = None;
        let mut failures = Vec::new();
        let mut notices = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let checked;
            let auth = match trusted {
                Trusted::Wholly(auth) => auth,
                Trusted::ByItem(_) => {
                    let names = Names::new(view, view).with_item(item);
                    match self.authentication.check_item(names, context.pool, now) {
                        Trust::Passed(auth) => {
                            checked = auth;
                            &checked
                        }
                        Trust::Failed(causes) => {
                            if failures.is_empty() {
                                failures = causes;
                            }
                            outcomes.push(ItemOutcome::Refused);
                            continue;
                        }
                        // Our own fault must not make the others final: the sender tries all again.
                        Trust::KeyMissing(causes) => return Verdict::KeyMissing(causes),
                    }
                }
            };
            if first_auth.is_none() {
                first_auth = Some(auth.clone());
            }
            let names = Names::new(view, view).with_item(item).with_auth(auth);
            if let Some(action) = self.lifecycle.notice(&names, context.pool) {
                if !notices.contains(&action) {
                    notices.push(action);
                }
                outcomes.push(ItemOutcome::Skipped);
                continue;
            }
            if let Some(registration) = view.registration() {
                registration.forget();
            }
            let rejected = context.rejected();
            match self
                .interpreter
                .interpret(view, item, index, auth, &mut context)
            {
                Ok(outcome) if spoiled(view, &outcome, context.rejected() > rejected) => {
                    return Verdict::RegistrationIncomplete;
                }
                Ok(outcome) => outcomes.push(outcome),
                Err(_) => return Verdict::TooManyEvents,
            }
        }
        if let Some(rejection) = context.into_rejection() {
            return Verdict::Rejected(Rejection {
                notices,
                ..rejection
            });
        }
        if !items.is_empty() && first_auth.is_none() {
            if let Trusted::ByItem(causes) = trusted {
                failures.splice(0..0, causes.iter().cloned());
            }
            return Verdict::Unauthenticated(failures);
        }
        let auth = match (&first_auth, trusted) {
            (Some(auth), _) | (None, Trusted::Wholly(auth)) => Some(auth),
            (None, Trusted::ByItem(_)) => None,
        };
        self.accepted(view, outcomes, Known { auth, notices }, pool)
    }

    fn accepted(
        &self,
        view: &View<'_>,
        items: Vec<ItemOutcome>,
        Known { auth, notices }: Known<'_>,
        pool: &mut Pool,
    ) -> Verdict {
        let nothing = Auth::nothing();
        let names = Names::new(view, view).with_auth(auth.unwrap_or(&nothing));
        let (answer, answer_failure) = match &self.respond {
            None => (None, None),
            Some(respond) => match respond.render(&names, pool) {
                Ok(answer) => (Some(answer), None),
                // The events are good: an answer that cannot be rendered must not lose them.
                Err(reason) => (Some(respond.bare()), Some(reason)),
            },
        };
        Verdict::Accepted(Accepted {
            items,
            notices,
            authenticated: auth.is_some(),
            answer,
            answer_failure,
        })
    }
}

/// Whether an item came to nothing because of what its registration lacks. A dead letter for such
/// a reason is final, so while the app has yet to tell it, the sender shall come again; a refusal is
/// never the answer to a fault of ours.
fn spoiled(view: &View<'_>, outcome: &ItemOutcome, rejected: bool) -> bool {
    let Some(registration) = view.registration() else {
        return false;
    };
    let is_dead = |outcome: &Outcome| matches!(outcome, Outcome::DeadLetter(_));
    let died = match outcome {
        ItemOutcome::Events(outcomes) => outcomes.iter().any(is_dead),
        ItemOutcome::Skipped | ItemOutcome::Refused => false,
    };
    rejected && registration.lacks_something() || died && registration.is_too_new()
}

/// `customer` and `subscription` exist where the type has registrations.
pub(super) fn of_registration(scope: Scope, entry: &EventTypeEntry) -> Scope {
    match entry.registrations.exist() {
        true => scope.with_registration(entry.registrations.per_customer),
        false => scope,
    }
}

fn compile_methods(
    compiler: &mut Compiler,
    webhook: &FieldPath,
    methods: &[String],
) -> Vec<Method> {
    let path = webhook.field("methods");
    if methods.is_empty() {
        compiler.error(&path, "name at least one method");
    }
    let mut compiled = Vec::new();
    for (index, method) in methods.iter().enumerate() {
        match Method::from_bytes(method.as_bytes()) {
            Ok(parsed) if !method.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                compiled.push(parsed)
            }
            _ => compiler.error(
                &path.index(index),
                "this is no method; methods are written in capitals",
            ),
        }
    }
    compiled
}

fn compile_paths(
    compiler: &mut Compiler,
    webhook: &FieldPath,
    entry: &EventTypeEntry,
) -> Vec<Path> {
    let path = webhook.field("events").field("from");
    let Some(from) = &entry.webhook.events.from else {
        return Vec::new();
    };
    let sources = from.as_slice();
    if sources.is_empty() || sources.len() > MAX_LEVELS {
        compiler.error(&path, "write one path, or a list of 1 to 8");
        return Vec::new();
    }
    let mut compiled = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let path = match from {
            api::Paths::One(_) => path.clone(),
            api::Paths::Many(_) => path.index(index),
        };
        let Some(parsed) = compiler.path(&path, source) else {
            continue;
        };
        match (index, parsed.root()) {
            (0, PathRoot::Item) => {
                compiler.error(&path, "the first path begins with request.body");
            }
            (1.., PathRoot::Body) => {
                compiler.error(
                    &path,
                    "a further path begins with item, the element of the path before",
                );
            }
            _ => {}
        }
        compiled.push(parsed);
    }
    compiled
}

/// `parent` exists with more than one level only.
fn with_levels(scope: Scope, levels: usize) -> Scope {
    match levels {
        0 | 1 => scope.without(
            "parent",
            "`parent` is the element around `item`: it needs a second path in events.from",
        ),
        _ => scope,
    }
}
