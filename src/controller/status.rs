//! Conditions from verdicts: the same rules for every resource. Pure.
//!
//! `Ready` means accepted and live in the gateway. Once it is, it stays so while pods come and go:
//! only what concerns the object itself takes it away. What is `Stalled` waits for a change of the
//! object or of one it names; what is `Reconciling` waits for us.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::condition::{READY, RECONCILING, STALLED, reason};
use crate::compile::{State, Verdict};
use crate::provision::keep_transitions;

/// The longest message, in bytes; the API server takes 32 KiB.
const LONGEST_MESSAGE: usize = 2_048;

/// What is known of an object when its status is made.
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'a> {
    /// What compilation says; `None`: it was never readable.
    pub verdict: Option<&'a Verdict>,
    /// Why it cannot be read, if it cannot.
    pub malformed: Option<&'a str>,
    /// Whether it is served in an earlier form because this one is broken.
    pub served_as_before: bool,
    /// Whether it is live.
    pub programming: &'a Programming,
}

/// Whether something is live in its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Programming {
    /// In every pod that is connected.
    Everywhere,
    /// It is on its way to some pod.
    UnderWay,
    /// No pod is connected.
    NoPod,
    /// A pod could not take it: why.
    Refused(String),
    /// It does not have to be live anywhere.
    NotNeeded,
}

/// `Ready`, and `Stalled` or `Reconciling` where they are true. `before` are the conditions that
/// the object has now.
#[must_use]
pub fn conditions(
    before: &[Condition],
    generation: Option<i64>,
    judgement: Judgement<'_>,
    now: Timestamp,
) -> Vec<Condition> {
    let Judgement {
        verdict,
        malformed,
        served_as_before,
        programming,
    } = judgement;
    let suffix = match served_as_before {
        true => "; its last good form goes on being served",
        false => "",
    };
    let stalled = |why: &str, message: &str| {
        let message = format!("{message}{suffix}");
        vec![
            condition(READY, false, why, &message, generation, now),
            condition(STALLED, true, why, &message, generation, now),
        ]
    };
    let reconciling = |why: &str, message: &str| {
        vec![
            condition(READY, false, why, message, generation, now),
            condition(RECONCILING, true, why, message, generation, now),
        ]
    };
    let ready = |message: &str| {
        let why = reason::PROGRAMMED;
        vec![condition(READY, true, why, message, generation, now)]
    };
    let mut conditions = match (malformed, verdict) {
        (Some(error), _) => stalled(
            reason::INVALID,
            &format!("this version of Tidegate cannot read the object: {error}"),
        ),
        (None, None) => reconciling(reason::PROGRAMMING, "it was not looked at yet"),
        (None, Some(verdict)) => match (&verdict.state, programming) {
            (State::Invalid, _) => stalled(reason::INVALID, &problems(verdict)),
            (State::Waiting { reason, message }, _) => stalled(reason, message),
            (State::Ready, Programming::Refused(why)) => stalled(reason::REFUSED_BY_GATEWAY, why),
            (State::Ready, Programming::NotNeeded) => ready("accepted"),
            (State::Ready, Programming::Everywhere) => ready("accepted, and live in the gateway"),
            (State::Ready, Programming::UnderWay | Programming::NoPod)
                if is_ready(before, generation) =>
            {
                ready("accepted, and live in the gateway")
            }
            (State::Ready, Programming::UnderWay) => {
                reconciling(reason::PROGRAMMING, "it is on its way to the gateway")
            }
            (State::Ready, Programming::NoPod) => reconciling(
                reason::GATEWAY_NOT_CONNECTED,
                "no pod of the gateway is connected yet",
            ),
        },
    };
    keep_transitions(before, &mut conditions);
    conditions
}

/// A condition as it is from now on.
#[must_use]
pub fn condition(
    type_: &str,
    status: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let end = message.floor_char_boundary(LONGEST_MESSAGE);
    Condition {
        type_: type_.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message[..end].to_owned(),
        last_transition_time: Time(seconds(now)),
        observed_generation: generation,
    }
}

/// Times of conditions have whole seconds: a fraction would be another value after a write.
fn seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn is_ready(conditions: &[Condition], generation: Option<i64>) -> bool {
    let ready = conditions.iter().find(|it| it.type_ == READY);
    ready.is_some_and(|it| it.status == "True" && it.observed_generation == generation)
}

/// Every error in one text, with the field it is about.
fn problems(verdict: &Verdict) -> String {
    let errors = verdict.problems.iter().filter(|it| it.is_error());
    let texts: Vec<String> = errors
        .map(|it| match it.path.as_str() {
            "" => it.message.clone(),
            path => format!("{path}: {}", it.message),
        })
        .collect();
    texts.join("; ")
}

/// What changed about `Ready` in a way that people care about: the reason, the message and whether
/// it is bad news.
#[must_use]
pub fn news(before: &[Condition], after: &[Condition]) -> Option<News> {
    let ready = |all: &[Condition]| all.iter().find(|it| it.type_ == READY).cloned();
    let after_ready = ready(after)?;
    let is_stalled = is_stalled(after);
    let before_ready = ready(before);
    let is_same = before_ready.is_some_and(|before| {
        before.status == after_ready.status && before.reason == after_ready.reason
    });
    // That work is under way is nothing to tell.
    let is_news = !is_same && (is_stalled || after_ready.status == "True");
    is_news.then_some(News {
        reason: after_ready.reason,
        message: after_ready.message,
        is_bad: is_stalled,
    })
}

/// The same of objects of which there may be thousands: nobody wants to be told that each of them went well
/// from the start, so that there is trouble, and that it is over, is all.
#[must_use]
pub fn trouble(before: &[Condition], after: &[Condition]) -> Option<News> {
    match (is_stalled(before), is_stalled(after)) {
        (_, true) => news(before, after),
        (true, false) => {
            let ready = after.iter().find(|it| it.type_ == READY)?;
            Some(News {
                reason: ready.reason.clone(),
                message: ready.message.clone(),
                is_bad: false,
            })
        }
        (false, false) => None,
    }
}

/// Whether an object waits for a change of itself or of one it names.
fn is_stalled(conditions: &[Condition]) -> bool {
    conditions.iter().any(|it| it.type_ == STALLED)
}

/// What is told as a Kubernetes Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// A constant of [`crate::api::condition::reason`].
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// Whether it is a Warning.
    pub is_bad: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Problem;
    use crate::compile::{Detail, Kind};
    use crate::event::ObjectName;

    fn verdict(state: State) -> Verdict {
        let name = ObjectName::new("shop", "orders");
        let object = Kind::AppEventType.reference(&name);
        let problems = match &state {
            State::Invalid => vec![
                Problem::error(&object, "spec.schema", "is no schema"),
                Problem::warning(&object, "spec.type", "is odd"),
            ],
            _ => Vec::new(),
        };
        Verdict {
            kind: Kind::AppEventType,
            name,
            state,
            problems,
            detail: Detail::None,
        }
    }

    fn told(conditions: &[Condition]) -> String {
        let all: Vec<String> = conditions
            .iter()
            .map(|it| format!("{}={} {}: {}", it.type_, it.status, it.reason, it.message))
            .collect();
        all.join(" | ")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_verdict_becomes_conditions_as_kstatus_reads_them() {
        let check = |state: State, programming: Programming, as_before: bool, expected: &str| {
            let verdict = verdict(state);
            let judgement = Judgement {
                verdict: Some(&verdict),
                malformed: None,
                served_as_before: as_before,
                programming: &programming,
            };
            let conditions = conditions(&[], Some(3), judgement, at(1));
            assert_eq!(told(&conditions), expected);
            assert!(
                conditions
                    .iter()
                    .all(|it| it.observed_generation == Some(3))
            );
        };
        check(
            State::Ready,
            Programming::Everywhere,
            false,
            "Ready=True Programmed: accepted, and live in the gateway",
        );
        check(
            State::Ready,
            Programming::NoPod,
            false,
            "Ready=False GatewayNotConnected: no pod of the gateway is connected yet | \
             Reconciling=True GatewayNotConnected: no pod of the gateway is connected yet",
        );
        check(
            State::Invalid,
            Programming::Everywhere,
            true,
            "Ready=False Invalid: spec.schema: is no schema; its last good form goes on being \
             served | Stalled=True Invalid: spec.schema: is no schema; its last good form goes on \
             being served",
        );
        check(
            State::Ready,
            Programming::Refused("too large".into()),
            false,
            "Ready=False RefusedByGateway: too large | Stalled=True RefusedByGateway: too large",
        );
    }

    #[test]
    fn what_is_ready_stays_so_while_pods_come_and_go_and_until_it_changes() {
        let verdict = verdict(State::Ready);
        let now = |before: &[Condition], generation: i64, programming: Programming, second: i64| {
            let judgement = Judgement {
                verdict: Some(&verdict),
                malformed: None,
                served_as_before: false,
                programming: &programming,
            };
            conditions(before, Some(generation), judgement, at(second))
        };
        let first = now(&[], 1, Programming::Everywhere, 1);
        let later = now(&first, 1, Programming::NoPod, 5);
        assert_eq!(first, later);
        let edited = now(&later, 2, Programming::UnderWay, 9);
        assert!(
            told(&edited).starts_with("Ready=False Programming"),
            "{edited:?}"
        );
        assert_eq!(edited[0].last_transition_time.0, at(9));
        let live = now(&edited, 2, Programming::Everywhere, 11);
        assert_eq!(live[0].last_transition_time.0, at(11));
        let again = now(&live, 3, Programming::Everywhere, 20);
        assert_eq!(again[0].last_transition_time.0, at(11));
        assert_eq!(again[0].observed_generation, Some(3));
    }

    #[test]
    fn only_what_people_care_about_is_news() {
        let ready = |status: bool, why: &str| condition(READY, status, why, "m", None, at(1));
        let stalled = |why: &str| condition(STALLED, true, why, "m", None, at(1));
        let check = |before: &[Condition], after: &[Condition], expected: Option<(&str, bool)>| {
            let news = news(before, after);
            let found = news.as_ref().map(|it| (it.reason.as_str(), it.is_bad));
            assert_eq!(found, expected, "{before:?} {after:?}");
        };
        check(
            &[],
            &[ready(true, "Programmed")],
            Some(("Programmed", false)),
        );
        check(
            &[ready(true, "Programmed")],
            &[ready(true, "Programmed")],
            None,
        );
        check(&[], &[ready(false, "Programming")], None);
        let invalid = [ready(false, "Invalid"), stalled("Invalid")];
        check(
            &[ready(true, "Programmed")],
            &invalid,
            Some(("Invalid", true)),
        );
        check(&invalid, &invalid, None);
    }

    #[test]
    fn of_thousands_trouble_is_news_and_that_it_is_over() {
        let ready = |status: bool, why: &str| condition(READY, status, why, "m", None, at(1));
        let stalled = |why: &str| condition(STALLED, true, why, "m", None, at(1));
        let (none, live) = (Vec::new(), vec![ready(true, "Programmed")]);
        let under_way = vec![ready(false, "Programming")];
        let missing = vec![ready(false, "SecretNotFound"), stalled("SecretNotFound")];
        let invalid = vec![ready(false, "Invalid"), stalled("Invalid")];
        let cases = [
            (&none, &live, None),
            (&none, &under_way, None),
            (&under_way, &live, None),
            (&live, &under_way, None),
            (&none, &missing, Some(("SecretNotFound", true))),
            (&live, &invalid, Some(("Invalid", true))),
            (&invalid, &missing, Some(("SecretNotFound", true))),
            (&missing, &missing, None),
            (&missing, &under_way, Some(("Programming", false))),
            (&missing, &live, Some(("Programmed", false))),
        ];
        for (before, after, expected) in cases {
            let news = trouble(before, after);
            let found = news.as_ref().map(|it| (it.reason.as_str(), it.is_bad));
            assert_eq!(found, expected, "{before:?} {after:?}");
        }
    }
}
