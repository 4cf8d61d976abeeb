//! The UpstreamSubscriptions of a cluster: what is to happen to each object, from what the driver
//! shows, from what is there, and from the time. Pure.
//!
//! The objects are for people. What stands in them is never read back, with one exception: that
//! somebody deletes one means "unsubscribe, and register anew". An object without a record of ours
//! is not acted on, whatever it says.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference};
use kube::Resource;

use super::status::{News, condition};
use super::world::{Known, NamespaceState};
use crate::api::condition::{READY, STALLED, SUBSCRIBED, reason};
use crate::api::{SubscriptionState, UpstreamSubscription, UpstreamSubscriptionStatus};
use crate::provision::driver::View;
use crate::provision::keep_transitions;

/// Keeps an object until nothing of it is left at the app.
pub const FINALIZER: &str = "tidegate.dev/unsubscribe";

/// How long a namespace that is being deleted waits for the app; the work then goes on from the
/// record.
pub const NAMESPACE_WAITS: SignedDuration = SignedDuration::from_secs(60);

/// What is known of one subscription.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What the driver shows; `None`: nothing of it is left, or it is none of ours.
    pub view: Option<&'a View>,
    /// Whether there is a record.
    pub has_record: bool,
    /// The object.
    pub known: Option<&'a Known<UpstreamSubscription>>,
    /// Its namespace; `None`: it is not there.
    pub namespace: Option<&'a NamespaceState>,
    /// Who owns the object: the Customer, or the type.
    pub owner: Option<&'a OwnerReference>,
    /// Until when it need not be made, because nothing can be said of it yet ([`is_settling`]).
    pub not_made_until: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// What is to happen to the object.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing now; at that time perhaps.
    Nothing(Option<Timestamp>),
    /// It is made what it is to be, but for its status.
    Apply(Box<UpstreamSubscription>),
    /// Its status is written.
    Status(Box<UpstreamSubscriptionStatus>),
    /// The finalizer goes.
    Release,
    /// It goes, its finalizer first.
    Delete,
}

/// Whether somebody deletes the object, or its whole namespace: it is not wanted until it is gone.
pub fn is_withdrawn(known: Option<&Known<UpstreamSubscription>>) -> bool {
    known.is_some_and(|known| known.metadata().deletion_timestamp.is_some())
}

/// What is to happen next.
pub fn step(facts: Facts<'_>) -> Step {
    let Facts {
        view,
        has_record,
        known,
        namespace,
        owner,
        not_made_until,
        now,
    } = facts;
    let deleted_at = namespace.and_then(|it| it.deleted_at);
    let Some(known) = known else {
        let can_be_made = namespace.is_some() && deleted_at.is_none();
        return match view {
            // What only lists orphans has no object any more: it would never go.
            Some(view) if can_be_made && is_shown(view) => {
                match not_made_until.filter(|until| *until > now) {
                    Some(until) => Step::Nothing(Some(until)),
                    None => Step::Apply(Box::new(wanted(view, owner))),
                }
            }
            _ => Step::Nothing(None),
        };
    };
    let has_finalizer = has_finalizer(known);
    if is_withdrawn(Some(known)) {
        let Some(view) = view.filter(|view| is_shown(view)) else {
            return match has_finalizer {
                true => Step::Release,
                false => Step::Nothing(None),
            };
        };
        if !has_finalizer {
            return Step::Nothing(None);
        }
        if let Some(since) = deleted_at {
            let until = since.checked_add(NAMESPACE_WAITS).unwrap_or(since);
            return match until <= now {
                true => Step::Release,
                false => with_status(known, view).unwrap_or(Step::Nothing(Some(until))),
            };
        }
        return with_status(known, view).unwrap_or(Step::Nothing(None));
    }
    match view {
        Some(view) if is_shown(view) => {
            let wanted = wanted(view, owner);
            match is_as_wanted(known, &wanted) {
                false => Step::Apply(Box::new(wanted)),
                true => with_status(known, view).unwrap_or(Step::Nothing(None)),
            }
        }
        _ if has_record => Step::Delete,
        _ => not_ours(known, now),
    }
}

/// What somebody should look at.
const TROUBLES: [&str; 9] = [
    reason::APP_REFUSED,
    reason::APP_UNREACHABLE,
    reason::EXPIRING_SOON,
    reason::NOT_OURS,
    reason::NOT_WORKING,
    reason::PUBLIC_URL_CHANGED,
    reason::QUIET_TOO_LONG,
    reason::REQUEST_NOT_SENT,
    reason::ROLLOUT_STOPPED,
];

/// What changed in a way that people care about: another trouble, or none any more. That all goes as
/// it should is not told: of many thousand customers each would have an Event at once.
pub fn news(before: &[Condition], after: &[Condition]) -> Option<News> {
    let trouble = |all: &[Condition]| {
        let mut all = all.iter();
        all.find(|it| TROUBLES.contains(&&*it.reason)).cloned()
    };
    let (was, is) = (trouble(before), trouble(after));
    if let Some(is) = is {
        let is_known = was.is_some_and(|was| was.reason == is.reason);
        return (!is_known).then_some(News {
            reason: is.reason,
            message: is.message,
            is_bad: true,
        });
    }
    was?;
    let subscribed = after.iter().find(|it| it.type_ == SUBSCRIBED)?;
    (subscribed.status == "True").then(|| News {
        reason: subscribed.reason.clone(),
        message: subscribed.message.clone(),
        is_bad: false,
    })
}

/// Whether it is being registered and nothing can be said of that yet: soon there will be more to say.
pub fn is_settling(view: &View) -> bool {
    let is_new = matches!(
        view.state(),
        None | Some(SubscriptionState::Pending | SubscriptionState::Subscribing)
    );
    let has_trouble = view.object.status.as_ref().is_some_and(|status| {
        status.last_error.is_some() || status.conditions.iter().any(|it| it.type_ == STALLED)
    });
    view.is_wanted && is_new && !has_trouble
}

/// Whether the driver shows more than what it could not remove.
fn is_shown(view: &View) -> bool {
    view.is_wanted || view.state().is_some()
}

fn has_finalizer(known: &Known<UpstreamSubscription>) -> bool {
    let finalizers = known.metadata().finalizers.as_ref();
    finalizers.is_some_and(|all| all.iter().any(|it| it == FINALIZER))
}

/// The object as it is to be, without its status.
fn wanted(view: &View, owner: Option<&OwnerReference>) -> UpstreamSubscription {
    let mut object = view.object.clone();
    object.status = None;
    let metadata = object.meta_mut();
    metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    metadata.owner_references = owner.map(|owner| vec![owner.clone()]);
    metadata.labels = Some(
        [(
            "app.kubernetes.io/managed-by".to_owned(),
            "tidegate".to_owned(),
        )]
        .into(),
    );
    object
}

/// Whether everything that we say of the object is so. What others add to it is theirs.
fn is_as_wanted(known: &Known<UpstreamSubscription>, wanted: &UpstreamSubscription) -> bool {
    let Ok(present) = &known.present else {
        return false;
    };
    let has_all = |present: &Option<std::collections::BTreeMap<String, String>>,
                   wanted: &Option<std::collections::BTreeMap<String, String>>| {
        let mut wanted = wanted.iter().flatten();
        wanted.all(|(key, value)| {
            let present = present.as_ref().and_then(|it| it.get(key));
            present == Some(value)
        })
    };
    let owners = |object: &UpstreamSubscription| object.metadata.owner_references.clone();
    let owns = owners(present).unwrap_or_default();
    let mut wanted_owners = owners(wanted).unwrap_or_default().into_iter();
    present.spec == wanted.spec
        && has_finalizer(known)
        && wanted_owners.all(|owner| owns.iter().any(|it| it.uid == owner.uid))
        && has_all(&present.metadata.annotations, &wanted.metadata.annotations)
        && has_all(&present.metadata.labels, &wanted.metadata.labels)
}

/// The status, where it is another than what the object has.
fn with_status(known: &Known<UpstreamSubscription>, view: &View) -> Option<Step> {
    let present = known.present.as_ref().ok();
    let present = present.and_then(|it| it.status.clone()).unwrap_or_default();
    let mut status = view.status();
    status.observed_generation = known.generation();
    for condition in &mut status.conditions {
        condition.observed_generation = known.generation();
        let time = &mut condition.last_transition_time.0;
        *time = Timestamp::from_second(time.as_second()).unwrap_or(*time);
    }
    keep_transitions(&present.conditions, &mut status.conditions);
    (status != present).then(|| Step::Status(Box::new(status)))
}

/// Somebody else made it, or its record was lost: it says so, and nothing else happens.
fn not_ours(known: &Known<UpstreamSubscription>, now: Timestamp) -> Step {
    let present = known.present.as_ref().ok();
    let present = present.and_then(|it| it.status.clone()).unwrap_or_default();
    let message = "Tidegate has no record of this subscription and does not act on it; \
                   UpstreamSubscriptions are made by Tidegate alone, delete this one";
    let of = |type_: &str, status: bool| -> Condition {
        let generation = known.generation();
        condition(type_, status, reason::NOT_OURS, message, generation, now)
    };
    let mut conditions = vec![of(SUBSCRIBED, false), of(STALLED, true)];
    keep_transitions(&present.conditions, &mut conditions);
    let status = UpstreamSubscriptionStatus {
        observed_generation: known.generation(),
        conditions,
        ..UpstreamSubscriptionStatus::default()
    };
    match status == present {
        true => Step::Nothing(None),
        false => Step::Status(Box::new(status)),
    }
}

/// Whether the app sends events, as the object's printer columns show it.
pub fn is_subscribed(view: &View) -> bool {
    let status = view.status();
    let mut conditions = status.conditions.iter();
    conditions.any(|it| matches!(it.type_.as_str(), SUBSCRIBED | READY) && it.status == "True")
}

#[cfg(test)]
mod tests;
