//! The declarations and apps that the model test runs against: one for each way in which apps let
//! us know, or do not let us know, what stands there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::app::Rules;
use crate::api::{DeletionPolicy, Subscription};
use crate::configuration::Sensitive;
use crate::event::ObjectName;
use crate::provision::{CustomerInputs, Desired, Fields, Inputs, WebhookFields};

/// One declaration and the app that it is for.
pub struct Scenario {
    pub name: &'static str,
    pub subscription: Value,
    pub rules: Rules,
    /// Whether the app lets us know what stands there: then at most one does.
    pub knows: bool,
}

pub fn subscription(value: &Value) -> Subscription {
    let mut whole = json!({
        "request": {"url": "https://app.example/hooks", "body": {"target": "$(webhookUri)"}},
        "unsubscribe": {"steps": [{"name": "delete", "request": {
            "method": "DELETE", "url": "https://app.example/hooks/$(path(subscription.id))"}}]},
    });
    for (name, member) in value.as_object().unwrap() {
        if member.is_null() {
            whole.as_object_mut().unwrap().remove(name);
        } else {
            whole[name] = member.clone();
        }
    }
    serde_json::from_value(whole).unwrap()
}

pub fn lookup() -> Value {
    json!({"request": {"method": "GET", "url": "https://app.example/hooks"},
           "id": "response.body.filter(w, w.target == webhookUri).map(w, w.id)"})
}

fn with(mut base: Value, name: &str, value: Value) -> Value {
    base[name] = value;
    base
}

pub fn scenarios() -> Vec<Scenario> {
    let every = || with(lookup(), "every", json!("24h"));
    let step = |name: &str| json!({"name": name, "request": {"url": "https://app.example/step"}});
    let put = json!({"method": "PUT", "url": "https://app.example/hook", "body": {"url": "$(webhookUri)"}});
    let unset = json!({"steps": [{"name": "unset", "request": {"method": "DELETE", "url": "https://app.example/hook"}}]});
    let by_uri = json!({"steps": [{"name": "remove", "request": {
        "url": "https://app.example/subscriptions/remove", "form": {"callback": "$(webhookUri)"}}}]});
    let hours = |hours| Some(Duration::from_hours(hours));
    let rules = Rules::default();
    let lag = Duration::from_secs(5);
    vec![
        Scenario {
            name: "a list, with pages, that lags",
            subscription: json!({"lookup": every()}),
            rules: Rules {
                lag,
                page: 2,
                ..rules
            },
            knows: true,
        },
        Scenario {
            name: "secret only in the answer, list, lifetimes and renewal",
            subscription: json!({"lookup": lookup(), "signingSecret": {"fromResponse": "response.body.secret"},
                "renewal": {"before": "2h", "request": {"method": "PATCH", "url": "https://app.example/hooks/$(subscription.id)"}}}),
            rules: Rules {
                says_secret: true,
                lifetime: hours(12),
                ..rules
            },
            knows: true,
        },
        Scenario {
            name: "handshake during the request, list that lags, follow-ups",
            subscription: json!({"lookup": every(), "signingSecret": {"fromHandshake": {}},
                "followUps": [step("verify"), step("enable")]}),
            rules: Rules {
                shakes_hands: true,
                lag,
                ..rules
            },
            knows: true,
        },
        Scenario {
            name: "handshake after the answer, which does not always come",
            subscription: json!({"lookup": lookup(), "signingSecret": {"fromHandshake": {}}}),
            rules: Rules {
                shakes_hands_late: true,
                ..rules
            },
            knows: true,
        },
        Scenario {
            name: "conflict on repetition, list",
            subscription: json!({"lookup": lookup(), "signingSecret": {"generate": {}},
                "response": {"conflict": "response.status == 422"}, "prepare": [step("one"), step("two")]}),
            rules: Rules {
                conflicts: true,
                lag,
                ..rules
            },
            knows: true,
        },
        Scenario {
            name: "idempotent by attempt id, no list",
            subscription: json!({"signingSecret": {"fromResponse": "response.body.secret"},
                "request": {"url": "https://app.example/hooks", "idempotent": true,
                    "headers": {"Idempotency-Key": "$(attempt.id)"}, "body": {"target": "$(webhookUri)"}}}),
            rules: Rules {
                idempotent: true,
                says_secret: true,
                ..rules
            },
            knows: true,
        },
        Scenario {
            name: "recreated before it expires, removed by URI, list",
            subscription: json!({"lookup": lookup(), "unsubscribe": by_uri, "renewal": {"before": "1h", "mode": "Recreate"}}),
            rules: Rules {
                removes_by_uri: true,
                lifetime: hours(8),
                ..rules
            },
            knows: true,
        },
        Scenario {
            name: "one URL, set by PUT",
            subscription: json!({"request": put, "unsubscribe": unset, "signingSecret": {"generate": {"encoding": "Whsec"}}}),
            rules: Rules {
                sets_url: true,
                ..rules
            },
            knows: true,
        },
        Scenario {
            name: "one URL, set by PUT, with follow-ups and a list",
            subscription: json!({"request": put, "unsubscribe": unset, "lookup": every(), "followUps": [step("enable")]}),
            rules: Rules {
                sets_url: true,
                ..rules
            },
            knows: true,
        },
        Scenario {
            name: "no list, nothing idempotent",
            subscription: json!({"unsubscribe": {"giveUpAfter": "10m", "steps": [
                {"name": "deactivate", "request": {"url": "https://app.example/hooks/$(subscription.id)/off"}},
                {"name": "delete", "request": {"method": "DELETE", "url": "https://app.example/hooks/$(subscription.id)"}}]}}),
            rules,
            knows: false,
        },
        Scenario {
            name: "said to be idempotent, but a repetition is a conflict, no list",
            subscription: json!({"response": {"conflict": "response.status == 409"},
                "request": {"url": "https://app.example/hooks", "idempotent": true,
                    "body": {"target": "$(webhookUri)"}}}),
            rules: Rules {
                conflicts: true,
                ..rules
            },
            knows: false,
        },
        Scenario {
            name: "one URI for all customers, told apart by a name",
            subscription: json!({"lookup": {"request": {"method": "GET", "url": "https://app.example/hooks"},
                "id": "response.body.filter(w, w.name == customer.id).map(w, w.id)", "onFound": "Adopt"},
                "request": {"url": "https://app.example/hooks", "body": {"target": "$(globalWebhookUri)"}}}),
            rules: Rules {
                by_name: true,
                ..rules
            },
            knows: true,
        },
        Scenario {
            name: "nothing removes it",
            subscription: json!({"lookup": lookup(), "unsubscribe": null}),
            rules,
            knows: true,
        },
    ]
}

/// What is desired, as the world of the test knows it.
#[derive(Clone, PartialEq)]
pub struct Wish {
    pub subscription: Subscription,
    /// What the request renders to: a change of it is a change of the request.
    pub version: u32,
    /// A token that is rotated without any change of the request.
    pub token: u32,
    pub public_url: &'static str,
    pub allow_re_registration: bool,
    pub policy: DeletionPolicy,
}

impl Wish {
    pub fn of(subscription: Subscription) -> Self {
        Self {
            subscription,
            version: 1,
            token: 1,
            public_url: "https://hooks.example",
            allow_re_registration: false,
            policy: DeletionPolicy::Unsubscribe,
        }
    }

    pub fn desired(&self) -> Desired {
        let event_type = ObjectName::new("crm", "contact-created");
        let customer = CustomerInputs {
            name: ObjectName::new("crm", "acme"),
            id: "acme".into(),
            fields: Fields {
                plain: BTreeMap::new(),
                sensitive: BTreeMap::from([(
                    "token".into(),
                    Sensitive::from(format!("t{}", self.token).as_str()),
                )]),
            },
        };
        let app = Fields {
            plain: BTreeMap::from([("version".into(), json!(self.version))]),
            sensitive: BTreeMap::new(),
        };
        Desired {
            name: ObjectName::new("crm", "contact-created-acme-1"),
            inputs: Arc::new(Inputs {
                event_type,
                type_: "contact.created".into(),
                global: false,
                subscription: Arc::new(self.subscription.clone()),
                deletion_policy: self.policy,
                public_url: self.public_url.into(),
                global_webhook_path: Some("/crm/contacts".into()),
                webhook_fields: WebhookFields::default(),
                app,
                customer: Some(customer),
            }),
            request_hash: format!("h{}", self.version),
            allow_re_registration: self.allow_re_registration,
        }
    }
}

/// What a request says, rendered from the record's own inputs.
pub fn content(inputs: &Inputs) -> String {
    inputs.app.plain["version"].to_string()
}
