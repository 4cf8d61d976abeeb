//! A process that drives `plan` against a model app, with everything that can go wrong on the way.
//!
//! It does what a driver does: stores, sends, settles, waits. What is stored and what the process
//! remembers are apart, so that it can crash between any two of them.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::app::{App, Arriving};
use super::dice::Dice;
use super::invariants::may_be_made;
use super::scenarios::{Scenario, Wish, content, subscription};
use super::weather::{Fate, Weather};
use crate::configuration::{CaptureAnswer, Captured, Sensitive};
use crate::provision::plan::{
    Action, Context, Seeds, Shown, Turn, Waiting, captured, opened, plan, settle,
};
use crate::provision::record::{self, Attempt};
use crate::provision::{Desired, Outcome, Record, RequestKind};

pub struct World {
    pub knows: bool,
    pub wish: Wish,
    pub is_desired: bool,
    desired: Option<(Wish, Desired)>,
    pub app: App,
    pub dice: Dice,
    pub weather: Weather,
    pub turn: Turn,
    /// What is on disk.
    pub stored: Option<Record>,
    /// What the process knows.
    pub record: Option<Record>,
    pub unsent: Option<Attempt>,
    /// Requests of a process that died, still on their way.
    pub on_the_way: Vec<(Timestamp, Arriving)>,
    pub real: Timestamp,
    /// How far our clock is off.
    pub skew: SignedDuration,
    pub sends: u64,
    /// How many records there were: each has a token of its own.
    pub records: u32,
    pub writes: u64,
    /// Stores since the last thing that came from outside.
    pub idle_writes: u32,
    /// What happened last, for whoever reads a failure.
    pub trace: Vec<String>,
    /// The kinds of states that the record was in.
    pub seen: BTreeSet<String>,
}

impl World {
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let real: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        Self {
            knows: scenario.knows,
            wish: Wish::of(subscription(&scenario.subscription)),
            is_desired: true,
            desired: None,
            app: App::new(scenario.rules, real),
            dice: Dice(seed),
            weather: Weather::Fair,
            turn: Turn::Granted,
            stored: None,
            record: None,
            unsent: None,
            on_the_way: Vec::new(),
            real,
            skew: SignedDuration::ZERO,
            sends: 0,
            records: 0,
            writes: 0,
            idle_writes: 0,
            trace: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.real + self.skew
    }

    /// What is desired. The same value until the wish changes, as a configuration gives it.
    fn desired(&mut self) -> Desired {
        if let Some((wish, desired)) = &self.desired
            && *wish == self.wish
        {
            return desired.clone();
        }
        let desired = self.wish.desired();
        self.desired = Some((self.wish.clone(), desired.clone()));
        desired
    }

    pub fn tell(&mut self, what: String) {
        self.trace.push(format!("{} {what}", self.now()));
    }

    /// How the history ended.
    pub fn story(&self) -> String {
        let last = &self.trace[self.trace.len().saturating_sub(40)..];
        let stored = self.stored.as_ref().map(summary);
        let ours: Vec<String> = self
            .app
            .ours(self.real)
            .map(|it| format!("{it:?}"))
            .collect();
        format!(
            "{}\nstored: {stored:?}\nat the app: {}",
            last.join("\n"),
            ours.join("\n")
        )
    }

    fn seeds(&mut self) -> Seeds {
        let mut secret = [0; 96];
        secret.fill_with(|| self.dice.roll().to_le_bytes()[0]);
        Seeds {
            attempt_id: format!("a{:x}", self.dice.roll()),
            token: format!("t{}", self.records),
            secret,
            jitter: self.dice.unit(),
        }
    }

    /// What `plan` says now.
    pub fn planned(&mut self) -> Action {
        let seeds = self.seeds();
        let desired = self.is_desired.then(|| self.desired());
        let context = Context {
            now: self.now(),
            unsent: self.unsent.as_ref(),
            turn: self.turn,
            seeds: &seeds,
        };
        plan(desired.as_ref(), self.record.as_ref(), &context)
    }

    /// Carries out one action; says what it was.
    pub fn drive(&mut self) -> Action {
        let action = self.planned();
        self.tell(match &action {
            Action::Store(record) => format!("store {}", summary(record)),
            other => format!("{other:?}"),
        });
        match &action {
            Action::Store(record) => {
                self.idle_writes += 1;
                assert!(self.idle_writes <= 4, "it stores without end");
                match self.foul(40) {
                    Some(0) => self.crash(),
                    Some(1) => {
                        self.store((**record).clone());
                        self.crash();
                    }
                    _ => self.store((**record).clone()),
                }
            }
            Action::Send {
                number,
                kind,
                deadline,
            } => {
                self.idle_writes = 0;
                self.send(*number, kind, *deadline);
            }
            Action::Wait { until, because } => {
                assert!(*because != Waiting::NotOurs);
                let again = self.planned();
                assert_eq!(again, action, "it waits for another thing when asked again");
                if let Some(until) = *until {
                    assert!(self.now() < until, "it waits for what has passed");
                }
            }
            Action::Forget => {
                assert!(self.stored.as_ref().is_some_and(|it| it.orphans.is_empty()));
                self.record = None;
                self.stored = None;
                self.records += 1;
            }
            Action::Nothing => assert!(self.record.is_none() && !self.is_desired),
        }
        action
    }

    /// A number from 0 to 3, once in so many times where the weather is foul.
    fn foul(&mut self, once_in: u64) -> Option<u64> {
        let hit = self.weather == Weather::Foul && self.dice.below(once_in) == 0;
        hit.then(|| self.dice.below(3))
    }

    pub fn store(&mut self, next: Record) {
        // What is not written does not survive; what is written reads back as it was.
        let is_same = self
            .stored
            .as_ref()
            .is_some_and(|stored| next.is_stored_like(stored));
        if !is_same {
            self.writes += 1;
            let bytes = record::write(&next).unwrap();
            self.stored = Some(record::read(&bytes).unwrap());
        }
        if let Some(attempt) = opened(self.record.as_ref(), &next) {
            self.unsent = Some(attempt.clone());
        }
        for registration in &next.registrations {
            let leaving = registration
                .leaving
                .as_ref()
                .map(|it| format!("{:?}", it.why));
            let kinds = [Some(format!("{:?}", registration.phase)), leaving];
            let twin = registration.twin_of.map(|_| "Twin".to_owned());
            let notice = registration.notice.map(|it| format!("{it:?}"));
            for kind in kinds.into_iter().chain([twin, notice]).flatten() {
                let name = kind.split([' ', '(']).next().unwrap_or_default();
                self.seen.insert(name.to_owned());
            }
        }
        for orphan in &next.orphans {
            self.seen.insert(format!("{:?}", orphan.why));
        }
        self.record = Some(next);
    }

    pub fn crash(&mut self) {
        self.record.clone_from(&self.stored);
        self.unsent = None;
        self.idle_writes = 0;
    }

    fn send(&mut self, number: u32, kind: &RequestKind, deadline: Timestamp) {
        self.sends += 1;
        if *kind == RequestKind::Subscribe {
            let unsent = self.unsent.take();
            let record = self.stored.as_ref().unwrap();
            let stored = &record.registration(number).unwrap().attempt;
            assert_eq!(
                unsent.map(|it| it.id).as_ref(),
                Some(&stored.id),
                "it sends what is not stored"
            );
            may_be_made(record, number);
        }
        if self.weather == Weather::Down {
            self.seen.insert("AskedWhileDown".into());
        }
        let request = self.arriving(number, kind);
        let fate = self.weather.fate(&mut self.dice);
        self.tell(format!("{kind:?} of {number}: {fate:?}"));
        let error = || "no".to_owned();
        let none = None;
        let outcome = match fate {
            Fate::Answered => self.arrive(&request),
            Fate::DoneThenFailed => {
                self.arrive(&request);
                Outcome::Unknown {
                    error: error(),
                    retry_after: none,
                }
            }
            Fate::Failed => Outcome::Unknown {
                error: error(),
                retry_after: none,
            },
            Fate::TimedOut => {
                if self.weather != Weather::Down && self.dice.below(2) == 0 {
                    self.delay(request, deadline);
                }
                self.pass(Duration::try_from(deadline.duration_since(self.now())).unwrap());
                Outcome::Unknown {
                    error: error(),
                    retry_after: none,
                }
            }
            Fate::Refused => Outcome::Refused {
                error: error(),
                retry_after: none,
            },
            Fate::Throttled => Outcome::Refused {
                error: error(),
                retry_after: Some(Duration::from_secs(self.dice.below(100))),
            },
            Fate::NotSent => Outcome::NotSent {
                error: error(),
                retry_after: none,
            },
            Fate::CrashBefore => return self.crash(),
            Fate::CrashOpen => {
                self.crash();
                return self.delay(request, deadline);
            }
            Fate::CrashAfter => {
                self.arrive(&request);
                return self.crash();
            }
        };
        let jitter = self.dice.unit();
        let record = self.record.as_ref().unwrap();
        let next = settle(
            record,
            number,
            kind,
            &outcome,
            Shown::default(),
            self.now(),
            jitter,
        );
        match self.foul(40) {
            Some(0) => self.crash(),
            _ => self.store(next),
        }
    }

    fn arriving(&self, number: u32, kind: &RequestKind) -> Arriving {
        let record = self.record.as_ref().unwrap();
        let registration = record.registration(number).unwrap();
        let uri = registration
            .webhook_uri
            .as_ref()
            .or(registration.global_webhook_uri.as_ref());
        Arriving {
            kind: kind.clone(),
            number,
            uri: uri.unwrap().clone(),
            name: "acme".into(),
            id: registration.id.clone(),
            attempt: registration.attempt.id.clone(),
            content: content(&record.inputs),
            secret: registration.signing_secret.clone(),
        }
    }

    /// It is carried out at some time before its deadline.
    fn delay(&mut self, request: Arriving, deadline: Timestamp) {
        if request.kind != RequestKind::Subscribe {
            // These do the same whether they are repeated or not, if not long after.
            if self.dice.below(2) == 0 {
                self.arrive(&request);
            }
            return;
        }
        let left = u64::try_from(deadline.duration_since(self.now()).as_secs()).unwrap_or(0);
        let at = self.real + Duration::from_secs(self.dice.below(left.max(1)));
        if self.dice.below(3) > 0 {
            self.on_the_way.push((at, request));
        }
    }

    /// The app carries a request out; a handshake may come back while it does.
    fn arrive(&mut self, request: &Arriving) -> Outcome {
        let fails = self.weather == Weather::Foul && self.dice.below(10) == 0;
        let now = self.now();
        let mut record = self.record.clone();
        let mut is_taken = false;
        let mut handshake = |number: u32, secret: &Sensitive| {
            let Some(known) = record.as_ref().filter(|_| !fails) else {
                return false;
            };
            let value = Captured {
                signing_secret: Some(secret.clone()),
                expires_at: None,
            };
            let (answer, next) = captured(known, number, &value, now);
            if let Some(next) = next {
                record = Some(next);
                is_taken = true;
            }
            answer == CaptureAnswer::Taken
        };
        let outcome = self.app.carry_out(request, self.real, &mut handshake);
        if is_taken && let Some(record) = record {
            self.store(record);
        }
        outcome
    }

    /// An app that shakes hands some time after its answer does so now.
    fn shake_hands(&mut self) {
        let silent = match self.weather {
            Weather::Fair => false,
            Weather::Foul => self.dice.below(3) == 0,
            Weather::Down => true,
        };
        if !self.app.rules.shakes_hands_late || silent {
            return;
        }
        let now = self.now();
        let ours: Vec<(u32, Sensitive)> = self
            .app
            .ours(self.real)
            .filter_map(|it| Some((it.number?, it.secret.clone()?)))
            .collect();
        for (number, secret) in ours {
            let value = Captured {
                signing_secret: Some(secret),
                expires_at: None,
            };
            let record = self.record.as_ref();
            if let Some((_, Some(next))) = record.map(|it| captured(it, number, &value, now)) {
                self.store(next);
            }
        }
    }

    /// Time passes; what was on its way arrives.
    pub fn pass(&mut self, time: Duration) {
        self.shake_hands();
        let until = self.real + time;
        self.on_the_way.sort_by_key(|(at, _)| *at);
        while let Some((at, _)) = self.on_the_way.first()
            && *at <= until
        {
            let (at, request) = self.on_the_way.remove(0);
            self.real = self.real.max(at);
            self.arrive(&request);
        }
        self.real = until;
        self.idle_writes = 0;
    }
}

/// The part of a record that tells what is going on.
fn summary(record: &Record) -> String {
    let registrations = record.registrations.iter().map(|it| {
        format!(
            "{}{} {:?} {:?} id {:?} hash {:?} notice {:?} failures {:?}",
            it.number,
            it.twin_of
                .map(|twin| format!(" (twin of {twin})"))
                .unwrap_or_default(),
            it.phase,
            it.leaving.as_ref().map(|it| it.why),
            it.id,
            it.request_hash,
            it.notice,
            it.trouble.as_ref().map(|it| it.failures),
        )
    });
    let registrations: Vec<String> = registrations.collect();
    let making = record.making.as_ref().map(|it| (it.failures, it.retry_at));
    let orphans: Vec<_> = record
        .orphans
        .iter()
        .map(|it| (it.number, it.last_number, it.id.clone()))
        .collect();
    format!(
        "[{}] making {making:?} orphans {orphans:?}",
        registrations.join("; ")
    )
}
