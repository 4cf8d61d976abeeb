//! Real apps' APIs: each request as it is sent, and what their answers mean.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::*;

#[derive(Deserialize)]
struct Provider {
    cases: Vec<Case>,
    #[serde(flatten)]
    setting: Setting,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    request: Wanted,
    /// Another id than the provider's.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    sends: Option<String>,
    #[serde(default)]
    shows: Option<String>,
    #[serde(default)]
    idempotent: Option<bool>,
    #[serde(default)]
    fails: Option<String>,
    #[serde(default)]
    answers: Vec<Answered>,
}

#[derive(Deserialize)]
enum Wanted {
    Credentials,
    Subscribe,
    Lookup,
    NextPage(String),
    Renew,
    Prepare(usize),
    FollowUp(usize),
    Unsubscribe(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Answered {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    retry_after: Option<u64>,
    means: String,
    #[serde(default)]
    shown: Option<Value>,
}

impl Answered {
    fn answer(&self) -> Answer {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let body = match (&self.body, &self.text) {
            (Some(body), _) => body.to_string(),
            (None, text) => text.clone().unwrap_or_default(),
        };
        Answer {
            retry_after: self.retry_after.map(std::time::Duration::from_secs),
            ..answer(self.status, &headers, body)
        }
    }
}

fn check(name: &str, yaml: &str) {
    let provider: Provider = serde_saphyr::from_str(yaml).unwrap();
    assert!(!provider.cases.is_empty(), "{name}");
    for (index, case) in provider.cases.iter().enumerate() {
        let place = format!("{name}, case {index}");
        let mut setting = provider.setting.clone();
        if let Some(id) = &case.id {
            setting.id = Some(id.clone());
        }
        let kind = match &case.request {
            Wanted::Credentials => {
                check_credentials(&place, &setting, case);
                continue;
            }
            Wanted::Subscribe => RequestKind::Subscribe,
            Wanted::Lookup => RequestKind::Lookup(None),
            Wanted::NextPage(page) => RequestKind::Lookup(Some(page.clone())),
            Wanted::Renew => RequestKind::Renew,
            Wanted::Prepare(index) => RequestKind::Prepare(*index),
            Wanted::FollowUp(index) => RequestKind::FollowUp(*index),
            Wanted::Unsubscribe(index) => RequestKind::Unsubscribe(*index),
        };
        check_sent(&place, setting.render(&kind), case);
        for answered in &case.answers {
            let (outcome, shown) = setting.read_answer(&kind, &answered.answer());
            assert_eq!(in_words(&outcome), answered.means, "{place}");
            if let Some(expected) = &answered.shown {
                let shown: Value = serde_json::from_str(shown.body.as_ref().unwrap()).unwrap();
                assert_eq!(shown, *expected, "{place}");
            }
        }
    }
}

fn check_sent(place: &str, sent: Result<Outgoing, RenderError>, case: &Case) {
    match (&case.fails, sent) {
        (Some(expected), Err(error)) => assert_eq!(error.to_string(), *expected, "{place}"),
        (Some(expected), Ok(sent)) => panic!("{place}: {expected}, and not {sent:?}"),
        (None, Err(error)) => panic!("{place}: {error}"),
        (None, Ok(sent)) => {
            let expected = case.sends.as_ref().expect("what is sent");
            assert_eq!(as_text(&sent), normal(expected), "{place}");
            if let Some(expected) = &case.shows {
                assert_eq!(shown_text(&sent.shown), normal(expected), "{place}");
            }
            if let Some(idempotent) = case.idempotent {
                assert_eq!(sent.idempotent, idempotent, "{place}");
            }
        }
    }
}

fn check_credentials(place: &str, setting: &Setting, case: &Case) {
    let (program, inputs) = (setting.program(), setting.inputs());
    let request = program.render_credentials(&inputs, now()).unwrap().unwrap();
    check_sent(place, Ok(request.outgoing), case);
    for answered in &case.answers {
        let words = match program.read_credentials(&inputs, &answered.answer(), now()) {
            Ok(token) => format!(
                "token {} until {}",
                std::str::from_utf8(token.token.expose()).unwrap(),
                variables::whole_seconds(token.use_until),
            ),
            Err(outcome) => in_words(&outcome),
        };
        assert_eq!(words, answered.means, "{place}");
    }
}

/// The expected text with its JSON written as ours is.
fn normal(text: &str) -> String {
    match text.split_once("\n\n") {
        None => text.to_owned(),
        Some((head, body)) => match serde_json::from_str::<Value>(body) {
            Ok(json) => format!("{head}\n\n{json}\n"),
            Err(_) => text.to_owned(),
        },
    }
}

macro_rules! providers {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/provision/tests/providers");
                let file = format!("{folder}/{}.yaml", stringify!($name));
                check(stringify!($name), &std::fs::read_to_string(file).unwrap());
            }
        )*
    };
}

providers! { github stripe shopify jira graph google calendly typeform okta zendesk trello }
