//! What apps are like, and what a type says about each.

use serde_json::json;
use std::time::Duration;

use super::spec::{Renewal, Secret, Spec};
use crate::support::command::tidegate;
use crate::support::model_app::{Fault, Handshake, ModelApp, Moods, Op, SecretFrom};

/// One kind of app, and how it is declared.
#[derive(Clone, Copy)]
pub struct Mood {
    pub name: &'static str,
    spec: fn(&mut Spec),
    moods: fn(&mut Moods),
    /// What goes wrong once whenever something is registered.
    pub fault: Option<Fault>,
    /// Whether the app tells us enough to know what became of a lost answer. Where it does not, a
    /// registration may be left over, and is listed.
    pub is_knowable: bool,
    /// Whether webhooks of others, with URLs much like ours, stand beside ours.
    foreign: bool,
}

impl Mood {
    const fn new(name: &'static str, spec: fn(&mut Spec), moods: fn(&mut Moods)) -> Self {
        Self {
            name,
            spec,
            moods,
            fault: None,
            is_knowable: true,
            foreign: false,
        }
    }

    const fn failing(name: &'static str, fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::new(name, |_| {}, |_| {})
        }
    }

    /// What its type says.
    pub fn spec(&self, spec: Spec) -> Spec {
        let mut spec = spec;
        (self.spec)(&mut spec);
        spec
    }

    /// Makes a tenant of the app so.
    pub fn apply(&self, app: &ModelApp, tenant: &str, listen: std::net::SocketAddr) {
        app.set(tenant, self.moods);
        if self.foreign {
            for path in ["/h/1", "/h/another-token/1", "/h/another-token/11", "/"] {
                app.add_foreign(tenant, &format!("http://{listen}{path}"));
            }
        }
    }

    /// Whether what goes wrong is that the app says no.
    pub fn is_refusing(&self) -> bool {
        matches!(self.fault, Some(Fault::ErrorInside200 | Fault::TooMany(_)))
    }

    /// Lets the next registration go wrong. A refusal only the first: it is not tried again at once.
    pub fn go_wrong(&self, app: &ModelApp, tenant: &str) {
        let is_first = app.count(tenant, Op::Create) == 0;
        match self.fault {
            Some(Fault::ErrorInside200) if !is_first => {}
            Some(fault) => app.next(tenant, Op::Create, fault),
            None => {}
        }
    }
}

/// How long registrations last where they expire.
const AN_HOUR: Option<Duration> = Some(Duration::from_secs(3600));

/// Every kind of app. Steps and renewals are combined with what can go wrong about them: where the
/// answer alone holds something, where lists are of little use, where the app asks back.
pub const MOODS: &[Mood] = &[
    Mood::new("well-behaved, with steps and a token", steps, |moods| {
        (moods.needs_enabling, moods.needs_token) = (true, true);
    }),
    Mood::new(
        "lists lag behind, and what is on them expires",
        |spec| (spec.settle, spec.renewal) = ("6s", Some(Renewal::Update)),
        |moods| (moods.list_lag, moods.lifetime) = (Duration::from_secs(5), AN_HOUR),
    ),
    Mood {
        foreign: true,
        ..Mood::new(
            "lists come in pages, with steps",
            |spec| (spec.prepare, spec.enable) = (true, true),
            |moods| (moods.page, moods.needs_enabling) = (Some(1), true),
        )
    },
    Mood {
        foreign: true,
        ..Mood::new("webhooks of others look like ours", |_| {}, |_| {})
    },
    Mood {
        is_knowable: false,
        ..Mood::new(
            "there is no list",
            |spec| spec.lookup = false,
            |moods| moods.no_list = true,
        )
    },
    Mood::new(
        "there is no list, but requests may be repeated",
        |spec| (spec.lookup, spec.idempotent) = (false, true),
        |moods| (moods.no_list, moods.idempotent) = (true, true),
    ),
    Mood::new(
        "the secret is only in the answer, and all is made anew before it expires",
        |spec| (spec.secret, spec.renewal) = (Secret::FromResponse, Some(Renewal::Recreate)),
        |moods| (moods.secret, moods.lifetime) = (SecretFrom::Answer, AN_HOUR),
    ),
    Mood::new(
        "the secret is the customer's, with steps",
        |spec| {
            (spec.prepare, spec.enable) = (true, true);
            spec.secret = Secret::CustomerField;
        },
        |moods| moods.needs_enabling = true,
    ),
    Mood::new(
        "the secret comes in a handshake while the request is open, and it expires",
        |spec| {
            (spec.secret, spec.renewal) = (Secret::FromHandshake, Some(Renewal::Update));
            spec.handshake = Some(Handshake::Secret);
        },
        |moods| (moods.handshake, moods.lifetime) = (Some(Handshake::Secret), AN_HOUR),
    ),
    Mood::new(
        "the target is validated while the request is open, with steps",
        |spec| {
            (spec.prepare, spec.enable) = (true, true);
            spec.handshake = Some(Handshake::Token);
        },
        |moods| {
            (moods.handshake, moods.needs_enabling) = (Some(Handshake::Token), true);
        },
    ),
    Mood::new(
        "a repeated registration is a conflict, with steps",
        |spec| (spec.conflict, spec.prepare, spec.enable) = (true, true, true),
        |moods| (moods.conflict, moods.needs_enabling) = (true, true),
    ),
    Mood::new("one URL is set", |spec| spec.set_url = true, |_| {}),
    Mood::new(
        "registrations expire and are renewed",
        |spec| spec.renewal = Some(Renewal::Update),
        |moods| moods.lifetime = AN_HOUR,
    ),
    Mood::new(
        "registrations expire and are made anew",
        |spec| spec.renewal = Some(Renewal::Recreate),
        |moods| moods.lifetime = AN_HOUR,
    ),
    Mood::failing("500 after it is done", Fault::DoneBut500),
    Mood::failing("an answer that nobody can read", Fault::DoneButGarbage),
    Mood::failing("an error inside 200", Fault::ErrorInside200),
    Mood::failing("429", Fault::TooMany(1)),
    Mood::failing(
        "the answer comes after the deadline",
        Fault::AnsweredAfter(Duration::from_secs(10)),
    ),
];

fn steps(spec: &mut Spec) {
    (spec.prepare, spec.enable, spec.credentials) = (true, true, true);
    spec.label = json!({"nested": ["first"]});
}

#[test]
fn every_kind_of_app_can_be_declared() {
    let folder = tempfile::tempdir().unwrap();
    for mood in MOODS {
        let spec = Spec {
            app: "http://127.0.0.1:9".to_owned(),
            login: "http://127.0.0.1:9".to_owned(),
            sink: "http://127.0.0.1:9/events".to_owned(),
            ..mood.spec(Spec::of(&["acme"]))
        };
        for (name, text) in spec.files() {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let ran = tidegate(&["check", folder.path().to_str().unwrap()]);
        // Whoever cannot know what became of a lost answer is warned.
        let is_quiet = ran.stdout.is_empty();
        assert_eq!(
            (ran.code, is_quiet),
            (0, mood.is_knowable),
            "{}: {ran:?}",
            mood.name
        );
    }
}
