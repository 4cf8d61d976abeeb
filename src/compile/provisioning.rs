//! What a type says about subscribing at its app, compiled: and what `webhook` and that must be to
//! each other.

use std::sync::Arc;

use super::lookup::{Lookup, Waiting};
use crate::api::{
    AppEventTypeSpec, DeletionPolicy, FieldPath, KeySource, ObjectReference, Problem, Subscription,
    Webhook,
};
use crate::configuration::WebhookFields;
use crate::event::ObjectName;
use crate::provision::{Fields, Program, Surroundings, has_own_uri};

/// How one type subscribes.
pub(super) struct Provisioning {
    pub event_type: ObjectName,
    /// CloudEvents `type` of its events.
    pub type_: String,
    pub deletion_policy: DeletionPolicy,
    /// For each customer.
    pub subscription: Option<Declared>,
    /// For the global webhook.
    pub registration: Option<Declared>,
    /// The path of the global webhook, if it has one and may have it.
    pub global_webhook_path: Option<String>,
    /// What requests are judged by of a customer, as `webhook` names it.
    pub webhook_fields: WebhookFields,
    pub app: Fields,
    /// Why `app` is not whole.
    pub app_waiting: Option<Waiting>,
    /// Whether another public URL may make it register anew.
    pub allow_re_registration: bool,
}

/// A subscription with its program.
pub(super) struct Declared {
    pub spec: Arc<Subscription>,
    /// `None`: something is wrong with it, or with the type.
    pub program: Option<Arc<Program>>,
}

/// Annotation of an AppEventType that lets its registrations be made anew at another public URL.
pub(super) const ALLOW_RE_REGISTRATION: &str = "tidegate.dev/allow-re-registration";

impl Provisioning {
    /// Compiles it; `None` where the type declares neither.
    pub fn compile(
        lookup: &Lookup<'_>,
        name: &ObjectName,
        spec: &AppEventTypeSpec,
        mut webhook_fields: WebhookFields,
        sources: &[(FieldPath, &KeySource)],
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let global = spec.global_webhook.as_ref();
        let registration = global.and_then(|global| global.registration.as_deref());
        if spec.subscription.is_none() && registration.is_none() {
            return None;
        }
        let object = ObjectReference::new("AppEventType", &name.namespace, &name.name);
        let mut declared = |subscription: &Subscription, global: bool| {
            let surroundings = Surroundings {
                global,
                has_global_webhook: spec.global_webhook.is_some(),
            };
            let (program, found) = Program::check(object.clone(), subscription, surroundings);
            problems.extend(found);
            let path = FieldPath::from(match global {
                true => "spec.globalWebhook.registration",
                false => "spec.subscription",
            });
            judge(
                &object,
                &path,
                subscription,
                &spec.webhook,
                sources,
                problems,
            );
            Declared {
                spec: Arc::new(subscription.clone()),
                program: program.map(Arc::new),
            }
        };
        let subscription = spec.subscription.as_ref().map(|one| declared(one, false));
        let registration = registration.map(|one| declared(one, true));
        shared_uri(
            &object,
            subscription.iter().chain(&registration),
            sources,
            problems,
        );
        let (app, app_waiting) =
            lookup.fields(&name.namespace, &spec.app.fields, &spec.app.fields_from);
        let secret = spec.subscription.as_ref();
        let secret = secret.and_then(|one| one.signing_secret.as_ref());
        let field = secret.and_then(|secret| secret.customer_field.clone());
        webhook_fields.keys.extend(field);
        Some(Self {
            event_type: name.clone(),
            type_: spec.type_.clone().unwrap_or_else(|| name.name.clone()),
            deletion_policy: spec.deletion_policy(),
            subscription,
            registration,
            global_webhook_path: None,
            webhook_fields,
            app,
            app_waiting,
            allow_re_registration: false,
        })
    }

    /// Something else is wrong with the type: nothing is requested until it is not.
    pub fn cannot_be_used(&mut self) {
        for declared in self.subscription.iter_mut().chain(&mut self.registration) {
            declared.program = None;
        }
    }
}

/// What a subscription and the webhook must be to each other.
fn judge(
    object: &ObjectReference,
    path: &FieldPath,
    subscription: &Subscription,
    webhook: &Webhook,
    sources: &[(FieldPath, &KeySource)],
    problems: &mut Vec<Problem>,
) {
    if let Some(secret) = &subscription.signing_secret {
        let used = sources.iter().any(|(_, source)| {
            source.signing_secret.is_some()
                || (secret.customer_field.is_some()
                    && source.customer_field == secret.customer_field)
        });
        if !used {
            let message = "no authentication entry uses it: name it as a key, keys: \
                           [{signingSecret: {}}]";
            problems.push(Problem::warning(
                object,
                path.field("signingSecret"),
                message,
            ));
        }
    }
    let captured = webhook.handshakes.iter().any(|handshake| {
        let capture = handshake.capture.as_ref();
        capture.is_some_and(|capture| capture.expires_at.is_some())
    });
    if let Some(renewal) = &subscription.renewal
        && renewal.before.is_some()
        && !captured
        && subscription.response.expires_at.is_none()
    {
        let message = "nothing says when a registration expires: write response.expiresAt, or \
                       every instead of before";
        problems.push(Problem::error(
            object,
            path.field("renewal").field("before"),
            message,
        ));
    }
}

/// Where registrations have no URIs of their own, requests to the one URI tell nothing of them.
fn shared_uri<'a>(
    object: &ObjectReference,
    declared: impl IntoIterator<Item = &'a Declared>,
    sources: &[(FieldPath, &KeySource)],
    problems: &mut Vec<Problem>,
) {
    if declared
        .into_iter()
        .any(|declared| has_own_uri(&declared.spec))
    {
        return;
    }
    for (path, source) in sources {
        if source.is_of_registration() {
            let message = "requests come to the global webhook's URI, because the Subscription \
                           Request names globalWebhookUri and not webhookUri: so nothing tells \
                           whose key this would be; use a key of the app, secretKeyRef or appField";
            problems.push(Problem::error(object, path.clone(), message));
        }
    }
}
