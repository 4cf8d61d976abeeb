//! What an expression may name at its place: variables with their known
//! shapes, which of them are sensitive, and what is deliberately out of reach.
//!
//! A scope is data. Each place in a manifest has a constructor here; a later
//! variable is one more [`Member`], not one more rule in the compiler.

use std::borrow::Cow;
use std::sync::Arc;

use super::suggestion::closest;

/// What is known of a variable's or field's value when an expression is compiled.
#[derive(Debug, Clone)]
pub enum Shape {
    /// Nothing is known: any field may exist.
    Any,
    /// A value without fields: text, bytes, a number, a time.
    Scalar,
    /// A map whose keys are always lower case, so that naming another never finds anything.
    LowerCaseKeys,
    /// Exactly these fields.
    Fields(Vec<Member>),
}

/// A variable of a scope, or a field of a shape.
#[derive(Debug, Clone)]
pub struct Member {
    name: Cow<'static, str>,
    shape: Shape,
    sensitive: bool,
    unavailable: Option<Cow<'static, str>>,
}

impl Member {
    /// A member of which `shape` is known.
    pub fn new(name: impl Into<Cow<'static, str>>, shape: Shape) -> Self {
        Self {
            name: name.into(),
            shape,
            sensitive: false,
            unavailable: None,
        }
    }

    /// A member whose value is secret: whatever an expression makes of it is secret too.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// A name that is known but cannot be used here; `reason` is the whole error message.
    pub fn unavailable(
        name: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            unavailable: Some(reason.into()),
            ..Self::new(name, Shape::Any)
        }
    }

    fn holds_sensitive(&self) -> bool {
        self.sensitive
            || match &self.shape {
                Shape::Fields(members) => members.iter().any(Self::holds_sensitive),
                Shape::Any | Shape::Scalar | Shape::LowerCaseKeys => false,
            }
    }
}

/// The names an expression may use.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    members: Vec<Member>,
    sensitive_allowed: bool,
    forbidden_functions: Vec<(&'static str, &'static str)>,
}

impl Scope {
    /// A scope without any variable.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A handshake's `when` and answer: `request`.
    #[must_use]
    pub fn handshake() -> Self {
        Self::empty()
            .with(request())
            .without("item", "`item` does not exist in a handshake: a handshake is answered before the request is split")
            .without("parent", "`parent` does not exist in a handshake: a handshake is answered before the request is split")
            .without("auth", "`auth` does not exist in a handshake: a handshake is answered before the request is authenticated")
            .without_customer()
    }

    /// The expressions and messages of an authentication entry's methods: `request`, `item`, `parent`.
    #[must_use]
    pub fn authentication() -> Self {
        Self::empty()
            .with(request())
            .with(Member::new("item", Shape::Any))
            .with(Member::new("parent", Shape::Any))
            .without(
                "auth",
                "`auth` exists only after authentication: use it in `require` or in `events`",
            )
            .without_customer()
    }

    /// The `message` of a digest: what authentication has, and the key as sensitive bytes in `key`.
    #[must_use]
    pub fn digest_message() -> Self {
        Self::authentication()
            .with(Member::new("key", Shape::Scalar).sensitive())
            .allowing_sensitive()
    }

    /// What comes after a request was authenticated: `request`, `item`, `parent`, `auth`.
    #[must_use]
    pub fn events() -> Self {
        Self::empty()
            .with(request())
            .with(Member::new("item", Shape::Any))
            .with(Member::new("parent", Shape::Any))
            .with(Member::new(
                "auth",
                Shape::Fields(vec![
                    Member::new("method", Shape::Scalar),
                    Member::new("claims", Shape::Any),
                ]),
            ))
            .without_customer()
    }

    /// The answer to a good request: `request` and `auth`, as there may be many items or none.
    #[must_use]
    pub fn respond() -> Self {
        Self::events()
            .without(
                "item",
                "`item` does not exist in the answer: there is one answer for all items",
            )
            .without(
                "parent",
                "`parent` does not exist in the answer: there is one answer for all items",
            )
    }

    /// A subscription's `filter` and a variant's `when`: `event`.
    #[must_use]
    pub fn event() -> Self {
        let scalar = |name| Member::new(name, Shape::Scalar);
        Self::empty().with(Member::new(
            "event",
            Shape::Fields(vec![
                scalar("id"),
                scalar("source"),
                scalar("type"),
                scalar("subject"),
                scalar("time"),
                scalar("customer"),
                Member::new("data", Shape::Any),
                Member::new("extensions", Shape::LowerCaseKeys),
            ]),
        ))
    }

    /// Adds what the URI of a registration brings: `subscription`, and `customer` where each customer has its own.
    #[must_use]
    pub fn with_registration(self, per_customer: bool) -> Self {
        let scalar = |name| Member::new(name, Shape::Scalar);
        let open = |name| Member::new(name, Shape::Any);
        let scope = self
            .with(Member::new(
                "subscription",
                Shape::Fields(vec![scalar("id"), open("values")]),
            ))
            .without(
                "signingSecret",
                "`signingSecret` is no value here: name it among the keys of an authentication method, as {signingSecret: {}}",
            );
        if !per_customer {
            return scope;
        }
        scope.with(Member::new(
            "customer",
            Shape::Fields(vec![scalar("id"), open("fields")]),
        ))
    }

    /// Adds a variable, in place of one of the same name.
    #[must_use]
    pub fn with(mut self, member: Member) -> Self {
        self.members.retain(|other| other.name != member.name);
        self.members.push(member);
        self
    }

    /// Makes a name an error with its own message.
    #[must_use]
    pub fn without(self, name: &'static str, reason: &'static str) -> Self {
        self.with(Member::unavailable(name, reason))
    }

    /// Makes a function an error with its own message.
    #[must_use]
    pub fn without_function(mut self, name: &'static str, reason: &'static str) -> Self {
        self.forbidden_functions.push((name, reason));
        self
    }

    /// Allows expressions to use sensitive members. Without this, naming one is an error.
    #[must_use]
    pub const fn allowing_sensitive(mut self) -> Self {
        self.sensitive_allowed = true;
        self
    }

    fn without_customer(self) -> Self {
        self.without("customer", "`customer` needs a per-customer subscription")
            .without(
                "subscription",
                "`subscription` needs a per-customer subscription",
            )
            .without(
                "signingSecret",
                "`signingSecret` needs a per-customer subscription",
            )
    }

    pub(super) const fn sensitive_allowed(&self) -> bool {
        self.sensitive_allowed
    }

    pub(super) fn forbidden_function(&self, name: &str) -> Option<&'static str> {
        self.forbidden_functions
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, reason)| *reason)
    }

    /// Follows a path of names. `Ok` says whether what it leads to holds anything sensitive.
    pub(super) fn resolve(&self, path: &[Arc<str>]) -> Result<bool, Unresolved> {
        let mut members = self.members.as_slice();
        for (index, name) in path.iter().enumerate() {
            let Some(member) = members.iter().find(|member| member.name == **name) else {
                return Err(Unresolved {
                    index,
                    message: unknown(&path[..index], name, members),
                });
            };
            if let Some(reason) = &member.unavailable {
                return Err(Unresolved {
                    index,
                    message: reason.to_string(),
                });
            }
            if member.sensitive {
                return Ok(true);
            }
            let next = path.get(index + 1);
            match (&member.shape, next) {
                (_, None) => return Ok(member.holds_sensitive()),
                (Shape::Any, Some(_)) => return Ok(false),
                (Shape::Scalar, Some(field)) => {
                    let message = format!(
                        "`{}` has no fields, so no `{field}`",
                        path[..=index].join(".")
                    );
                    return Err(Unresolved {
                        index: index + 1,
                        message,
                    });
                }
                (Shape::LowerCaseKeys, Some(field)) => {
                    let lower = field.to_lowercase();
                    if *lower != **field {
                        let map = path[..=index].join(".");
                        let message = format!(
                            "names in `{map}` are lower case: write `{lower}`, not `{field}`"
                        );
                        return Err(Unresolved {
                            index: index + 1,
                            message,
                        });
                    }
                    return Ok(false);
                }
                (Shape::Fields(fields), Some(_)) => members = fields,
            }
        }
        Ok(false)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }
}

/// A path that leads nowhere: which of its names is at fault, and the message about it.
#[derive(Debug)]
pub(super) struct Unresolved {
    pub(super) index: usize,
    pub(super) message: String,
}

fn unknown(parents: &[Arc<str>], name: &str, members: &[Member]) -> String {
    let usable = || {
        members
            .iter()
            .filter(|member| member.unavailable.is_none())
            .map(|member| &*member.name)
    };
    let mut message = if parents.is_empty() {
        format!("unknown name `{name}`")
    } else {
        format!("`{}` has no field `{name}`", parents.join("."))
    };
    if let Some(close) = closest(name, usable()) {
        message.push_str(&format!("; did you mean `{close}`?"));
    } else {
        let known: Vec<&str> = usable().collect();
        match (known.is_empty(), parents.is_empty()) {
            (true, _) => {}
            (false, true) => {
                message.push_str(&format!("; the names here are {}", known.join(", ")))
            }
            (false, false) => message.push_str(&format!("; it has {}", known.join(", "))),
        }
    }
    message
}

fn request() -> Member {
    let scalar = |name| Member::new(name, Shape::Scalar);
    Member::new(
        "request",
        Shape::Fields(vec![
            scalar("method"),
            scalar("path"),
            scalar("url"),
            Member::new("query", Shape::Any),
            Member::new("form", Shape::Any),
            Member::new("headers", Shape::LowerCaseKeys),
            Member::new("body", Shape::Any),
            scalar("rawBody"),
            scalar("contentType"),
        ]),
    )
}
