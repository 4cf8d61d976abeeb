//! A model of an app with a webhook API, and of what can happen to its registrations.
//!
//! It knows nothing of plans and records: it gets requests, keeps registrations, and answers.
//! Times here are real ones; our own clock may be off.

use std::time::Duration;

use jiff::Timestamp;

use crate::configuration::Sensitive;
use crate::provision::{Findings, Outcome, RequestKind};

/// How an app behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// One URL, set by a request; not a list of registrations.
    pub sets_url: bool,
    /// A repeated attempt is recognised by its id, and by its content.
    pub idempotent: bool,
    /// A second registration of a URI is refused as a conflict.
    pub conflicts: bool,
    /// Tells registrations apart by a name that requests give; all call one URI.
    pub by_name: bool,
    /// Makes up the secret and says it in the answer.
    pub says_secret: bool,
    /// Makes up the secret and says it in a handshake while the request is open.
    pub shakes_hands: bool,
    /// As `shakes_hands`, but some time after the answer.
    pub shakes_hands_late: bool,
    /// Lists show what was made or removed so much later.
    pub lag: Duration,
    /// How many registrations a page of the list has.
    pub page: usize,
    /// How long registrations last.
    pub lifetime: Option<Duration>,
    /// Removes by URI, not by id.
    pub removes_by_uri: bool,
}

/// A registration at the app.
#[derive(Clone, Debug)]
pub struct AtApp {
    pub id: String,
    pub uri: String,
    pub name: String,
    /// The number of ours that it was made for; `None`: somebody else's.
    pub number: Option<u32>,
    pub attempt: String,
    /// Which version of the request made it.
    pub content: String,
    pub secret: Option<Sensitive>,
    pub made_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// The app made it by itself, at a URI of ours.
    pub is_copy: bool,
}

/// A request as it arrives.
#[derive(Clone, Debug)]
pub struct Arriving {
    pub kind: RequestKind,
    pub number: u32,
    pub uri: String,
    pub name: String,
    pub id: Option<String>,
    pub attempt: String,
    pub content: String,
    pub secret: Option<Sensitive>,
}

pub struct App {
    pub rules: Rules,
    pub all: Vec<AtApp>,
    /// How often a request touched what is not ours. Must stay 0.
    pub touched: u32,
    made: u32,
    shaken: u32,
}

/// What a handshake's answer says: whether our secret was taken.
pub type Handshake<'a> = &'a mut dyn FnMut(u32, &Sensitive) -> bool;

impl App {
    pub fn new(rules: Rules, now: Timestamp) -> Self {
        let mut app = Self {
            rules,
            all: Vec::new(),
            touched: 0,
            made: 0,
            shaken: 0,
        };
        // Neighbours whose URIs begin like ours, end like ours, or are ours but for a character.
        for uri in [
            "https://hooks.example/h/t0/1x",
            "https://hooks.example/h/t/1",
            "https://hooks.example/h/t0",
            "https://hooks.example/h/t0/1?x=/h/t0/1",
            "https://hooks.example.evil/h/t0/1",
        ] {
            app.insert(uri, "somebody", now, |at_app| at_app.number = None);
        }
        app
    }

    fn insert(
        &mut self,
        uri: &str,
        name: &str,
        now: Timestamp,
        with: impl FnOnce(&mut AtApp),
    ) -> usize {
        self.made += 1;
        let mut at_app = AtApp {
            id: format!("wh_{}", self.made),
            uri: uri.to_owned(),
            name: name.to_owned(),
            number: None,
            attempt: String::new(),
            content: String::new(),
            secret: None,
            made_at: now,
            ended_at: None,
            expires_at: None,
            is_copy: false,
        };
        with(&mut at_app);
        self.all.push(at_app);
        self.all.len() - 1
    }

    fn is_live(at_app: &AtApp, now: Timestamp) -> bool {
        at_app.ended_at.is_none() && at_app.expires_at.is_none_or(|at| now < at)
    }

    /// Those of ours that stand.
    pub fn ours(&self, now: Timestamp) -> impl Iterator<Item = &AtApp> {
        let all = self.all.iter();
        all.filter(move |at_app| at_app.number.is_some() && Self::is_live(at_app, now))
    }

    /// Ends one of ours without our doing: by an administrator, or after failures.
    pub fn end(&mut self, id: &str, now: Timestamp) {
        for at_app in &mut self.all {
            if at_app.id == id {
                at_app.ended_at = Some(now);
            }
        }
    }

    /// Makes another of one of ours, as a restored backup might.
    pub fn copy(&mut self, id: &str, now: Timestamp) {
        let found = self.all.iter().find(|at_app| at_app.id == id).cloned();
        if let Some(original) = found {
            self.insert(&original.uri, &original.name, now, |at_app| {
                at_app.number = original.number;
                at_app.content.clone_from(&original.content);
                at_app.secret.clone_from(&original.secret);
                at_app.is_copy = true;
            });
        }
    }

    /// Carries out a request.
    pub fn carry_out(
        &mut self,
        request: &Arriving,
        now: Timestamp,
        handshake: Handshake<'_>,
    ) -> Outcome {
        match &request.kind {
            RequestKind::Subscribe => self.subscribe(request, now, handshake),
            RequestKind::Lookup(page) => self.list(request, page.as_deref(), now),
            RequestKind::Renew => self.renew(request, now),
            RequestKind::FollowUp(_) if self.rules.sets_url => match self.ours(now).next() {
                Some(_) => Outcome::Succeeded(Findings::default()),
                None => refused("404"),
            },
            RequestKind::FollowUp(_) => match self.live(request.id.as_deref(), now) {
                Some(_) => Outcome::Succeeded(Findings::default()),
                None => refused("404"),
            },
            RequestKind::Prepare(_) => Outcome::Succeeded(Findings::default()),
            RequestKind::Unsubscribe(0)
                if request.id.is_none() && !self.rules.removes_by_uri && !self.rules.sets_url =>
            {
                Outcome::NotSent {
                    error: "subscription.id is not known".into(),
                    retry_after: None,
                }
            }
            RequestKind::Unsubscribe(_) => self.unsubscribe(request, now),
        }
    }

    fn subscribe(
        &mut self,
        request: &Arriving,
        now: Timestamp,
        handshake: Handshake<'_>,
    ) -> Outcome {
        let rules = self.rules;
        let is_live = |at_app: &&AtApp| Self::is_live(at_app, now);
        if rules.sets_url {
            let set = self
                .all
                .iter_mut()
                .find(|it| it.number.is_some() && Self::is_live(it, now));
            if let Some(set) = set {
                set.uri.clone_from(&request.uri);
                set.content.clone_from(&request.content);
                set.secret.clone_from(&request.secret);
                set.number = Some(request.number);
                return Outcome::Succeeded(Findings::default());
            }
        }
        if rules.idempotent {
            let known = self
                .all
                .iter()
                .filter(is_live)
                .find(|it| it.attempt == request.attempt);
            if let Some(known) = known {
                return if known.content == request.content {
                    Outcome::Succeeded(self.findings(known))
                } else {
                    refused("the key was used for another request")
                };
            }
        }
        if rules.conflicts
            && self
                .all
                .iter()
                .filter(is_live)
                .any(|it| it.uri == request.uri)
        {
            return Outcome::Conflict("it exists already".into());
        }
        let mut secret = request.secret.clone();
        if rules.says_secret || rules.shakes_hands || rules.shakes_hands_late {
            secret = Some(Sensitive::from(format!("s{}", self.made + 1).as_str()));
        }
        if rules.shakes_hands
            && let Some(secret) = &secret
            && !handshake(request.number, secret)
        {
            return refused("the handshake failed");
        }
        if rules.shakes_hands {
            self.shaken += 1;
            if self.shaken.is_multiple_of(5) {
                // The handshake went well, and yet; the next one brings another secret.
                self.made += 1;
                return refused("too many webhooks");
            }
        }
        let at = self.insert(&request.uri, &request.name, now, |at_app| {
            at_app.number = Some(request.number);
            at_app.attempt.clone_from(&request.attempt);
            at_app.content.clone_from(&request.content);
            at_app.secret = secret;
            at_app.expires_at = rules.lifetime.map(|it| now + it);
        });
        Outcome::Succeeded(self.findings(&self.all[at]))
    }

    fn findings(&self, at_app: &AtApp) -> Findings {
        Findings {
            id: (!self.rules.sets_url).then(|| at_app.id.clone()),
            expires_at: at_app.expires_at,
            signing_secret: at_app.secret.clone().filter(|_| self.rules.says_secret),
            ..Findings::default()
        }
    }

    fn list(&self, request: &Arriving, page: Option<&str>, now: Timestamp) -> Outcome {
        let then = now - self.rules.lag;
        let shown = |at_app: &&AtApp| {
            at_app.made_at <= then
                && at_app.ended_at.is_none_or(|ended| then < ended)
                && at_app.expires_at.is_none_or(|at| then < at)
        };
        let listed: Vec<&AtApp> = self.all.iter().filter(shown).collect();
        let from: usize = page.map_or(0, |page| page.parse().unwrap());
        let size = if self.rules.page == 0 {
            listed.len().max(1)
        } else {
            self.rules.page
        };
        let by_name = self.rules.by_name;
        let is_asked = |it: &&&AtApp| {
            if by_name {
                it.name == request.name
            } else {
                it.uri == request.uri
            }
        };
        let ids = listed
            .iter()
            .skip(from)
            .take(size)
            .filter(is_asked)
            .map(|it| it.id.clone());
        Outcome::Found {
            ids: ids.collect(),
            next: (from + size < listed.len()).then(|| (from + size).to_string()),
        }
    }

    fn live(&mut self, id: Option<&str>, now: Timestamp) -> Option<&mut AtApp> {
        let found = self
            .all
            .iter_mut()
            .find(|it| Some(it.id.as_str()) == id && Self::is_live(it, now))?;
        if found.number.is_none() {
            self.touched += 1;
        }
        Some(found)
    }

    fn renew(&mut self, request: &Arriving, now: Timestamp) -> Outcome {
        let lifetime = self.rules.lifetime;
        let Some(found) = self.live(request.id.as_deref(), now) else {
            return Outcome::Gone;
        };
        found.expires_at = lifetime.map(|it| now + it);
        Outcome::Succeeded(Findings {
            expires_at: found.expires_at,
            ..Findings::default()
        })
    }

    fn unsubscribe(&mut self, request: &Arriving, now: Timestamp) -> Outcome {
        if matches!(request.kind, RequestKind::Unsubscribe(1)) {
            // The second step of two; the first has removed it.
            return Outcome::Gone;
        }
        if self.rules.removes_by_uri || self.rules.sets_url {
            let sets_url = self.rules.sets_url;
            let mut is_found = false;
            for at_app in &mut self.all {
                let is_asked = if sets_url {
                    at_app.number.is_some()
                } else {
                    at_app.uri == request.uri
                };
                if is_asked && Self::is_live(at_app, now) {
                    at_app.ended_at = Some(now);
                    is_found = true;
                }
            }
            return if is_found {
                Outcome::Succeeded(Findings::default())
            } else {
                Outcome::Gone
            };
        }
        match self.live(request.id.as_deref(), now) {
            Some(found) => {
                found.ended_at = Some(now);
                Outcome::Succeeded(Findings::default())
            }
            None => Outcome::Gone,
        }
    }
}

fn refused(error: &str) -> Outcome {
    Outcome::Refused {
        error: error.to_owned(),
        retry_after: None,
    }
}
