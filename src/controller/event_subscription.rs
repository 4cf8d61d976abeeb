//! The status of an EventSubscription: whether it is live, and how delivery goes at all pods
//! together. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::decide::Decision;
use super::progress::Progress;
use super::status::{Judgement, Programming, condition, conditions};
use super::world::Known;
use crate::api::condition::DELIVERING;
use crate::api::{EventSubscription, EventSubscriptionStatus};
use crate::compile::{Detail, Kind, event_type_of};
use crate::configuration::SubscriptionHealth;
use crate::configuration::stream::EntryKey;
use crate::event::ObjectName;
use crate::provision::keep_transitions;

/// Events that wait for less than this are on their way; to show them would be a write for nearly
/// every event.
const SHOWN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The status that a subscription is to have.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The status.
    pub status: EventSubscriptionStatus,
    /// When that is another one if nothing happens until then.
    pub another_at: Option<Timestamp>,
}

/// The status that the subscription is to have.
pub fn status(
    name: &ObjectName,
    known: &Known<EventSubscription>,
    decision: &Decision,
    progress: &Progress,
    now: Timestamp,
) -> Shown {
    let kind = Kind::EventSubscription;
    let verdict = decision.verdict(kind, name);
    let object = known.present.as_ref().ok().or(known.last_good.as_ref());
    let home = object.and_then(|it| decision.homes.get(&event_type_of(it)));
    let programming = match home {
        Some(gateway) => progress.of(gateway, &EntryKey::Subscription(name.clone())),
        None => Programming::NoPod,
    };
    let before = known.present.as_ref().ok();
    let before = before.and_then(|it| it.status.as_ref());
    let judgement = Judgement {
        verdict,
        malformed: known.malformed(),
        served_as_before: decision.served_as_before.contains(&kind.reference(name)),
        programming: &programming,
    };
    let generation = known.generation();
    let before_conditions = before.map_or(&[][..], |it| &it.conditions);
    let mut conditions = conditions(before_conditions, generation, judgement, now);
    let health: Vec<&SubscriptionHealth> = home
        .and_then(|gateway| progress.observations.gateways.get(gateway))
        .into_iter()
        .flat_map(|gateway| &gateway.pods)
        .filter_map(|pod| pod.health.get(name))
        .collect();
    conditions.extend(delivering(before_conditions, &health, generation, now));
    let customers = match verdict.map(|verdict| &verdict.detail) {
        Some(Detail::Subscription { customers }) => *customers,
        _ => None,
    };
    let dead_letters = health.iter().map(|it| it.dead_letters).sum::<u64>();
    let (oldest_undelivered, another_at) = oldest(&health, now);
    let before_letters = before.and_then(|it| it.dead_letters);
    let status = EventSubscriptionStatus {
        observed_generation: generation,
        conditions,
        customers: customers.and_then(|count| i64::try_from(count).ok()),
        dead_letters: match health.is_empty() {
            // Nobody is there to ask.
            true => before_letters,
            false => i64::try_from(dead_letters).ok(),
        },
        oldest_undelivered: oldest_undelivered.map(|at| at.to_string()),
    };
    Shown { status, another_at }
}

/// The time of the oldest event that waits, once it has waited for long enough to be shown, or else when it
/// will have.
fn oldest(
    health: &[&SubscriptionHealth],
    now: Timestamp,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let Some(oldest) = health.iter().filter_map(|it| it.oldest_undelivered).min() else {
        return (None, None);
    };
    let shown_at = oldest.checked_add(SHOWN_AFTER).unwrap_or(oldest);
    match shown_at > now {
        true => (None, Some(shown_at)),
        false => {
            let second = Timestamp::from_second(oldest.as_second()).unwrap_or(oldest);
            (Some(second), None)
        }
    }
}

/// `Delivering`: the worst of all pods; as it was where none has told anything.
fn delivering(
    before: &[Condition],
    health: &[&SubscriptionHealth],
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Condition> {
    let worst = health.iter().find(|it| !it.delivering).or(health.first());
    let Some(worst) = worst else {
        return before.iter().find(|it| it.type_ == DELIVERING).cloned();
    };
    let (reason, message) = (&worst.reason, &worst.message);
    let mut condition = [condition(
        DELIVERING,
        worst.delivering,
        reason,
        message,
        generation,
        now,
    )];
    keep_transitions(before, &mut condition);
    let [condition] = condition;
    Some(condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(delivering: bool) -> SubscriptionHealth {
        SubscriptionHealth {
            delivering,
            reason: if delivering {
                "Delivering"
            } else {
                "SinkFailing"
            }
            .into(),
            message: "m".into(),
            undelivered: 0,
            oldest_undelivered: None,
            dead_letters: 0,
            last_delivered: None,
        }
    }

    #[test]
    fn an_event_that_waits_is_shown_after_a_minute_though_nothing_happens_until_then() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let waiting = |since: i64| SubscriptionHealth {
            oldest_undelivered: Some(at(since) + SignedDuration::from_millis(300)),
            ..health(true)
        };
        let (early, late, none) = (waiting(100), waiting(130), health(true));
        let shown = |now| oldest(&[&none, &late, &early], at(now));
        let due = at(160) + SignedDuration::from_millis(300);
        assert_eq!(shown(110), (None, Some(due)));
        assert_eq!(shown(160), (None, Some(due)));
        assert_eq!(shown(161), (Some(at(100)), None));
        assert_eq!(oldest(&[&none], at(200)), (None, None));
    }

    #[test]
    fn one_pod_that_cannot_deliver_is_what_people_see() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (good, bad) = (health(true), health(false));
        let shown = |before: &[Condition], health: &[&SubscriptionHealth], second| {
            delivering(before, health, Some(1), at(second))
        };
        assert_eq!(shown(&[], &[], 1), None);
        let first = shown(&[], &[&good, &good], 1).unwrap();
        assert_eq!(
            (first.status.as_str(), first.reason.as_str()),
            ("True", "Delivering")
        );
        let failing = shown(std::slice::from_ref(&first), &[&good, &bad], 5).unwrap();
        assert_eq!(failing.reason, "SinkFailing");
        assert_eq!(failing.last_transition_time.0, at(5));
        // Nobody is connected: what was known last.
        assert_eq!(
            shown(std::slice::from_ref(&failing), &[], 9),
            Some(failing.clone())
        );
    }
}
