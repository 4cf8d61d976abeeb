//! Transitions one by one: what comes next, and what it is told.

mod changes;
mod handshakes;
mod making;
mod removing;
mod renewal;
mod seen;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::scenarios::{Wish, lookup, subscription};
use crate::provision::plan::{Action, Context, Seeds, Shown, Turn, Waiting, opened, plan, settle};
use crate::provision::record::{Attempt, Phase, Registration};
use crate::provision::{Findings, Outcome, Record, RequestKind};

/// One subscription in the hands of a driver that does what the test says.
pub struct Story {
    pub wish: Wish,
    pub is_desired: bool,
    pub record: Option<Record>,
    pub unsent: Option<Attempt>,
    pub now: Timestamp,
    pub turn: Turn,
    pub writes: u32,
    seeds: u32,
    sent: Option<(u32, RequestKind)>,
}

impl Story {
    pub fn of(declared: &Value) -> Self {
        Self {
            wish: Wish::of(subscription(declared)),
            is_desired: true,
            record: None,
            unsent: None,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            turn: Turn::Granted,
            writes: 0,
            seeds: 0,
            sent: None,
        }
    }

    /// A subscription that stands.
    pub fn standing(declared: &Value) -> Self {
        let mut story = Self::of(declared);
        story.expect("Subscribe");
        story.answer(&made("wh_1"));
        while story.rests() != Waiting::Due {
            story.now += Duration::from_secs(1);
        }
        assert!(story.current().is_active());
        story.writes = 0;
        story
    }

    pub fn record(&self) -> &Record {
        self.record.as_ref().unwrap()
    }

    pub fn current(&self) -> &Registration {
        self.record().current().unwrap()
    }

    pub fn phases(&self) -> Vec<Phase> {
        self.record()
            .registrations
            .iter()
            .map(|it| it.phase.clone())
            .collect()
    }

    pub fn store(&mut self, next: Record) {
        if !self
            .record
            .as_ref()
            .is_some_and(|record| next.is_stored_like(record))
        {
            self.writes += 1;
        }
        if let Some(attempt) = opened(self.record.as_ref(), &next) {
            self.unsent = Some(attempt.clone());
        }
        self.record = Some(next);
    }

    pub fn crash(&mut self) {
        self.unsent = None;
        self.sent = None;
    }

    pub fn planned(&mut self) -> Action {
        self.seeds += 1;
        let seeds = Seeds {
            attempt_id: format!("attempt-{}", self.seeds),
            token: "t0".into(),
            secret: [7; 96],
            jitter: 1.0,
        };
        let desired = self.is_desired.then(|| self.wish.desired());
        let context = Context {
            now: self.now,
            unsent: self.unsent.as_ref(),
            turn: self.turn,
            seeds: &seeds,
        };
        plan(desired.as_ref(), self.record.as_ref(), &context)
    }

    /// Stores until there is something else to do.
    pub fn next(&mut self) -> Action {
        for _ in 0..8 {
            match self.planned() {
                Action::Store(record) => self.store(*record),
                Action::Send {
                    number,
                    kind,
                    deadline,
                } => {
                    if kind == RequestKind::Subscribe {
                        self.unsent = None;
                    }
                    self.sent = Some((number, kind.clone()));
                    return Action::Send {
                        number,
                        kind,
                        deadline,
                    };
                }
                other => return other,
            }
        }
        panic!("it stores without end");
    }

    /// The next request, waiting as long as it takes; `kind` is how it prints.
    pub fn expect(&mut self, kind: &str) -> u32 {
        for _ in 0..20 {
            match self.next() {
                Action::Send {
                    number,
                    kind: found,
                    ..
                } => {
                    assert_eq!(format!("{found:?}"), kind);
                    return number;
                }
                Action::Wait {
                    until: Some(until), ..
                } => self.now = until,
                other => panic!("{other:?} instead of {kind}"),
            }
        }
        panic!("{kind} never comes");
    }

    /// What it waits for, without anything to send.
    pub fn rests(&mut self) -> Waiting {
        match self.next() {
            Action::Wait { because, .. } => because,
            other => panic!("{other:?} instead of rest"),
        }
    }

    pub fn answer(&mut self, outcome: &Outcome) {
        let (number, kind) = self.sent.take().unwrap();
        let record = self.record.as_ref().unwrap();
        let next = settle(
            record,
            number,
            &kind,
            outcome,
            Shown::default(),
            self.now,
            1.0,
        );
        self.store(next);
    }
}

pub fn made(id: &str) -> Outcome {
    Outcome::Succeeded(Findings {
        id: Some(id.into()),
        ..Findings::default()
    })
}

pub fn done() -> Outcome {
    Outcome::Succeeded(Findings::default())
}

pub fn expiring(id: &str, expires_at: Timestamp) -> Outcome {
    Outcome::Succeeded(Findings {
        id: Some(id.into()),
        expires_at: Some(expires_at),
        ..Findings::default()
    })
}

pub fn unknown() -> Outcome {
    Outcome::Unknown {
        error: "500".into(),
        retry_after: None,
    }
}

pub fn refused() -> Outcome {
    Outcome::Refused {
        error: "403".into(),
        retry_after: None,
    }
}

pub fn not_sent() -> Outcome {
    Outcome::NotSent {
        error: "no such host".into(),
        retry_after: None,
    }
}

pub fn found(ids: &[&str]) -> Outcome {
    Outcome::Found {
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        next: None,
    }
}

pub fn listed() -> Value {
    json!({"lookup": lookup()})
}

pub fn put() -> Value {
    json!({"request": {"method": "PUT", "url": "https://app.example/hook", "body": {"url": "$(webhookUri)"}},
           "unsubscribe": {"steps": [{"name": "unset", "request": {"method": "DELETE", "url": "https://app.example/hook"}}]}})
}

/// Steps that remove whatever stands at the URI.
pub fn by_uri() -> Value {
    json!({"steps": [{"name": "remove", "request": {
        "url": "https://app.example/subscriptions", "form": {"callback": "$(webhookUri)"}}}]})
}

pub fn with(mut base: Value, name: &str, value: Value) -> Value {
    base[name] = value;
    base
}
