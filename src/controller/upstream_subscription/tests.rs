//! What happens to an UpstreamSubscription, as a table of situations.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::{EventTypeReference, LocalReference, UpstreamSubscriptionSpec};
use crate::event::ObjectName;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn object() -> UpstreamSubscription {
    let spec = UpstreamSubscriptionSpec {
        event_type_ref: EventTypeReference {
            name: "contacts".into(),
            namespace: None,
        },
        customer_ref: Some(LocalReference {
            name: "acme".into(),
        }),
    };
    let mut object = UpstreamSubscription::new("contacts-acme-1", spec);
    object.metadata.namespace = Some("crm".into());
    object
}

fn view(state: Option<SubscriptionState>, is_wanted: bool) -> View {
    let mut object = object();
    object.status = Some(UpstreamSubscriptionStatus {
        state,
        conditions: vec![condition(SUBSCRIBED, true, "Subscribed", "m", None, at(5))],
        ..UpstreamSubscriptionStatus::default()
    });
    View {
        name: ObjectName::new("crm", "contacts-acme-1"),
        event_type: ObjectName::new("crm", "contacts"),
        customer: Some((ObjectName::new("crm", "acme"), "acme".into())),
        object,
        webhook_uri: None,
        orphans: Vec::new(),
        is_wanted,
    }
}

fn owner() -> OwnerReference {
    OwnerReference {
        kind: "Customer".into(),
        name: "acme".into(),
        uid: "u7".into(),
        ..OwnerReference::default()
    }
}

/// The object as it stands in the cluster after `Apply` and `Status`.
fn settled(view: &View) -> Known<UpstreamSubscription> {
    let mut object = wanted(view, Some(&owner()));
    object.metadata.uid = Some("u1".into());
    object.metadata.generation = Some(1);
    let mut status = view.status();
    status.observed_generation = Some(1);
    for condition in &mut status.conditions {
        condition.observed_generation = Some(1);
    }
    object.status = Some(status);
    known(object)
}

fn known(object: UpstreamSubscription) -> Known<UpstreamSubscription> {
    Known {
        present: Ok(Arc::new(object)),
        last_good: None,
    }
}

fn deleted(known: Known<UpstreamSubscription>) -> Known<UpstreamSubscription> {
    let mut object = (**known.present.as_ref().unwrap()).clone();
    object.metadata.deletion_timestamp = Some(Time(at(10)));
    self::known(object)
}

fn namespace(deleted_at: Option<i64>) -> NamespaceState {
    NamespaceState {
        deleted_at: deleted_at.map(at),
        ..NamespaceState::default()
    }
}

/// What happens, in one word.
fn happens(
    view: Option<&View>,
    has_record: bool,
    known: Option<&Known<UpstreamSubscription>>,
    namespace: Option<&NamespaceState>,
    now: i64,
) -> String {
    let owner = owner();
    in_a_word(step(Facts {
        view,
        has_record,
        known,
        namespace,
        owner: Some(&owner),
        not_made_until: None,
        now: at(now),
    }))
}

fn in_a_word(step: Step) -> String {
    match step {
        Step::Nothing(None) => "nothing".into(),
        Step::Nothing(Some(at)) => format!("nothing until {}", at.as_second()),
        Step::Apply(_) => "apply".into(),
        Step::Status(status) => match status.conditions.iter().find(|it| it.type_ == STALLED) {
            Some(stalled) => format!("status {}", stalled.reason),
            None => "status".into(),
        },
        Step::Release => "release".into(),
        Step::Delete => "delete".into(),
    }
}

#[test]
fn an_object_is_made_kept_right_and_removed() {
    let here = namespace(None);
    let active = view(Some(SubscriptionState::Active), true);
    let here = Some(&here);
    assert_eq!(happens(Some(&active), true, None, here, 20), "apply");
    let as_it_is = settled(&active);
    let is =
        |known: &Known<UpstreamSubscription>| happens(Some(&active), true, Some(known), here, 20);
    assert_eq!(is(&as_it_is), "nothing");
    // Another state, and what somebody forged.
    let pending = view(Some(SubscriptionState::Pending), true);
    assert_eq!(
        happens(Some(&pending), true, Some(&as_it_is), here, 20),
        "status"
    );
    let forged = |change: fn(&mut UpstreamSubscription)| {
        let mut object = (**as_it_is.present.as_ref().unwrap()).clone();
        change(&mut object);
        known(object)
    };
    for change in [
        (|it| it.metadata.finalizers = None) as fn(&mut UpstreamSubscription),
        |it| it.metadata.owner_references = None,
        |it| it.spec.customer_ref = None,
        |it| it.metadata.labels = None,
    ] {
        assert_eq!(is(&forged(change)), "apply");
    }
    assert_eq!(is(&forged(|it| it.status = None)), "status");
    // What others add is theirs.
    let added = forged(|it| {
        let labels = it.metadata.labels.get_or_insert_default();
        labels.insert("team".into(), "blue".into());
    });
    assert_eq!(is(&added), "nothing");
    // Nothing of it is left at the app.
    assert_eq!(happens(None, true, Some(&as_it_is), here, 20), "delete");
}

#[test]
fn an_object_without_a_record_is_told_and_left_alone() {
    let here = namespace(None);
    let here = Some(&here);
    let active = view(Some(SubscriptionState::Active), true);
    let foreign = settled(&active);
    assert_eq!(
        happens(None, false, Some(&foreign), here, 20),
        "status NotOurs"
    );
    // Nobody waits for it where somebody deletes it.
    let deleted = deleted(foreign);
    assert_eq!(happens(None, false, Some(&deleted), here, 20), "release");
}

#[test]
fn one_that_is_deleted_goes_once_nothing_of_it_is_left() {
    let here = namespace(None);
    let here = Some(&here);
    let active = view(Some(SubscriptionState::Active), true);
    let removing = view(Some(SubscriptionState::Unsubscribing), false);
    let known = deleted(settled(&active));
    assert_eq!(
        happens(Some(&removing), true, Some(&known), here, 20),
        "status"
    );
    assert_eq!(happens(None, true, Some(&known), here, 20), "release");
    // What it could not remove is listed elsewhere.
    let orphaned = view(None, false);
    assert_eq!(
        happens(Some(&orphaned), true, Some(&known), here, 20),
        "release"
    );
}

#[test]
fn a_namespace_that_is_deleted_waits_for_a_minute_and_gets_no_new_objects() {
    let going = namespace(Some(10));
    let going = Some(&going);
    let removing = view(Some(SubscriptionState::Unsubscribing), false);
    let known = deleted(settled(&removing));
    let now = |now| happens(Some(&removing), true, Some(&known), going, now);
    assert_eq!(now(69), "nothing until 70");
    assert_eq!(now(70), "release");
    assert_eq!(happens(Some(&removing), true, None, going, 80), "nothing");
    assert_eq!(happens(Some(&removing), true, None, None, 80), "nothing");
}

#[test]
fn another_trouble_is_news_and_so_is_its_end_and_nothing_else() {
    let of = |type_: &str, status: bool, reason: &str| {
        vec![condition(type_, status, reason, "m", None, at(1))]
    };
    let told = |before: &[Condition], after: &[Condition]| {
        news(before, after).map(|news| (news.reason, news.is_bad))
    };
    let new = of(SUBSCRIBED, false, reason::SUBSCRIBING);
    let refused = of(SUBSCRIBED, false, reason::APP_REFUSED);
    let unreachable = of(SUBSCRIBED, false, reason::APP_UNREACHABLE);
    let up = of(SUBSCRIBED, true, reason::SUBSCRIBED);
    let mut stopped = up.clone();
    stopped.extend(of(STALLED, true, reason::ROLLOUT_STOPPED));
    let bad = |reason: &str| Some((reason.to_owned(), true));
    assert_eq!(told(&[], &new), None);
    assert_eq!(told(&new, &up), None);
    assert_eq!(told(&new, &refused), bad(reason::APP_REFUSED));
    assert_eq!(told(&refused, &refused), None);
    assert_eq!(told(&refused, &unreachable), bad(reason::APP_UNREACHABLE));
    let good = Some((reason::SUBSCRIBED.to_owned(), false));
    assert_eq!(told(&unreachable, &up), good);
    assert_eq!(told(&up, &stopped), bad(reason::ROLLOUT_STOPPED));
}

#[test]
fn an_object_is_not_made_while_nothing_can_be_said_of_it() {
    let of = |state: Option<SubscriptionState>, error: Option<&str>, is_wanted: bool| {
        let mut view = view(state, is_wanted);
        view.object.status.as_mut().unwrap().last_error = error.map(str::to_owned);
        view
    };
    use SubscriptionState::{Active, Failed, Pending, Subscribing, Unsubscribing};
    for (state, error, is_wanted, expected) in [
        (None, None, true, true),
        (Some(Pending), None, true, true),
        (Some(Subscribing), None, true, true),
        // What went wrong is said at once, and so is what somebody may have to remove.
        (Some(Pending), Some("the app answered 503"), true, false),
        (Some(Failed), None, true, false),
        (Some(Active), None, true, false),
        (Some(Unsubscribing), None, false, false),
        (None, None, false, false),
    ] {
        let found = is_settling(&of(state, error, is_wanted));
        assert_eq!(found, expected, "{state:?} {error:?}");
    }
    let mut stalled = of(Some(Pending), None, true);
    let conditions = &mut stalled.object.status.as_mut().unwrap().conditions;
    conditions.push(condition(STALLED, true, "NotOurs", "m", None, at(5)));
    assert!(!is_settling(&stalled));

    let pending = of(Some(Pending), None, true);
    let here = namespace(None);
    let made = |known: Option<&Known<UpstreamSubscription>>, now: i64| {
        in_a_word(step(Facts {
            view: Some(&pending),
            has_record: true,
            known,
            namespace: Some(&here),
            owner: Some(&owner()),
            not_made_until: Some(at(30)),
            now: at(now),
        }))
    };
    assert_eq!(made(None, 29), "nothing until 30");
    assert_eq!(made(None, 30), "apply");
    // Once it is there, it says what there is to say.
    let active = view(Some(Active), true);
    assert_eq!(made(Some(&settled(&active)), 20), "status");
}
