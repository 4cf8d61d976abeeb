//! The rules about how Tidegate subscribes at an app.

use serde_json::{Value, json};

use super::{event_type, good};

/// A type with a subscription, changed.
fn subscribing(change: impl FnOnce(&mut Value)) -> (&'static str, Value) {
    event_type(|spec| {
        spec["subscription"] = json!({"request": {"url": "https://a.example"}});
        change(spec);
    })
}

/// A type whose global webhook has a registration, changed.
fn registering(change: impl FnOnce(&mut Value)) -> (&'static str, Value) {
    event_type(|spec| {
        spec["globalWebhook"] = json!({"registration": {"request": {"url": "https://a.example"}}});
        change(spec);
    })
}

/// A type whose subscription has one more field.
fn with(name: &str, value: Value) -> (&'static str, Value) {
    subscribing(|spec| spec["subscription"][name] = value)
}

fn handshake(capture: Value) -> Value {
    json!([{"when": "true", "respond": {}, "capture": capture}])
}

/// Calls `bad` with an object for each rule that it breaks.
pub fn check(bad: &mut impl FnMut((&'static str, Value), &str, &str)) {
    good(subscribing(|_| {}));
    good(registering(|_| {}));
    keys(bad);
    signing_secrets(bad);
    captures_and_notices(bad);
    lookups_and_renewals(bad);
    spans(bad);
}

fn keys(bad: &mut impl FnMut((&'static str, Value), &str, &str)) {
    let keyed = |source: Value| {
        subscribing(|spec| {
            spec["webhook"]["authentication"][0]["token"]["keys"] = json!([source]);
        })
    };
    let at = "spec.webhook.authentication[0].token.keys[0]";
    let words = "exactly one of secretKeyRef, appField, signingSecret and customerField";
    good(keyed(json!({"appField": "a"})));
    good(keyed(json!({"signingSecret": {}})));
    good(keyed(json!({"customerField": "a"})));
    good(keyed(json!({"secretKeyRef": {"name": "a", "key": "b"}})));
    bad(keyed(json!({})), at, words);
    bad(
        keyed(json!({"signingSecret": {}, "customerField": "a"})),
        at,
        words,
    );
    bad(
        keyed(json!({"appField": "a", "secretKeyRef": {"name": "a", "key": "b"}})),
        at,
        words,
    );
}

fn signing_secrets(bad: &mut impl FnMut((&'static str, Value), &str, &str)) {
    good(with("signingSecret", json!({"generate": {}})));
    good(with("signingSecret", json!({"fromResponse": "a"})));
    good(with("signingSecret", json!({"customerField": "a"})));
    for secret in [
        json!({}),
        json!({"generate": {}, "fromResponse": "a"}),
        json!({"customerField": "a", "generate": {}}),
    ] {
        bad(
            with("signingSecret", secret),
            "spec.subscription.signingSecret",
            "exactly one of generate, fromResponse, fromHandshake and customerField",
        );
    }
    bad(
        registering(|spec| {
            spec["globalWebhook"]["registration"]["signingSecret"] = json!({"customerField": "a"});
        }),
        "spec.globalWebhook",
        "belongs to no customer",
    );

    let shaken = |secret: Value, capture: Value| {
        subscribing(|spec| {
            spec["subscription"]["signingSecret"] = secret;
            spec["webhook"]["handshakes"] = handshake(capture);
        })
    };
    let words = "needs a handshake whose capture takes the signingSecret";
    good(shaken(
        json!({"fromHandshake": {}}),
        json!({"signingSecret": "a"}),
    ));
    bad(
        shaken(json!({"fromHandshake": {}}), json!({"expiresAt": "a"})),
        "spec",
        words,
    );
    bad(
        with("signingSecret", json!({"fromHandshake": {}})),
        "spec",
        words,
    );
    let registered = |handshakes: Value| {
        registering(|spec| {
            spec["globalWebhook"]["registration"]["signingSecret"] = json!({"fromHandshake": {}});
            spec["webhook"]["handshakes"] = handshakes;
        })
    };
    good(registered(handshake(json!({"signingSecret": "a"}))));
    bad(
        registered(json!([])),
        "spec",
        "globalWebhook.registration.signingSecret: fromHandshake needs",
    );
}

fn captures_and_notices(bad: &mut impl FnMut((&'static str, Value), &str, &str)) {
    let capture = json!({"expiresAt": "a"});
    good(subscribing(|spec| {
        spec["webhook"]["handshakes"] = handshake(capture.clone());
    }));
    good(registering(|spec| {
        spec["webhook"]["handshakes"] = handshake(capture.clone());
    }));
    for global in [json!(null), json!({})] {
        bad(
            event_type(|spec| {
                if global.is_object() {
                    spec["globalWebhook"] = global;
                }
                spec["webhook"]["handshakes"] = handshake(capture.clone());
            }),
            "spec",
            "keeps something for a registration",
        );
    }
    bad(
        subscribing(|spec| spec["webhook"]["handshakes"] = handshake(json!({}))),
        "spec.webhook.handshakes[0].capture",
        "write signingSecret or expiresAt",
    );

    let notice = |action: &str| json!([{"when": "true", "action": action}]);
    for action in ["Resubscribe", "Gone"] {
        good(subscribing(|spec| {
            spec["webhook"]["lifecycle"] = notice(action);
        }));
        good(registering(|spec| {
            spec["webhook"]["lifecycle"] = notice(action);
        }));
    }
    good(event_type(|spec| spec["webhook"]["lifecycle"] = json!([])));
    bad(
        event_type(|spec| spec["webhook"]["lifecycle"] = notice("Gone")),
        "spec",
        "lifecycle is about registrations",
    );
    let recreated = json!({"every": "1h", "mode": "Recreate"});
    good(subscribing(|spec| {
        spec["subscription"]["renewal"] = recreated.clone();
        spec["webhook"]["lifecycle"] = notice("Renew");
    }));
    good(registering(|spec| {
        spec["globalWebhook"]["registration"]["renewal"] = recreated.clone();
        spec["webhook"]["lifecycle"] = notice("Renew");
    }));
    let words = "action: Renew needs renewal";
    let renewing = |spec: &mut Value| spec["webhook"]["lifecycle"] = notice("Renew");
    bad(subscribing(renewing), "spec", words);
    bad(registering(renewing), "spec", words);
}

fn lookups_and_renewals(bad: &mut impl FnMut((&'static str, Value), &str, &str)) {
    let found = |on_found: &str, secret: Value, removable: bool| {
        subscribing(|spec| {
            let request = json!({"url": "https://a.example"});
            let subscription = &mut spec["subscription"];
            subscription["lookup"] =
                json!({"request": request.clone(), "id": "a", "onFound": on_found});
            subscription["signingSecret"] = secret;
            if removable {
                subscription["unsubscribe"] = json!({"steps": [{"name": "a", "request": request}]});
            }
        })
    };
    good(found("Adopt", json!({"generate": {}}), false));
    good(found("Replace", json!({"fromResponse": "a"}), true));
    bad(
        found("Adopt", json!({"fromResponse": "a"}), true),
        "spec.subscription",
        "must not be Adopt",
    );
    bad(
        found("Replace", json!({"generate": {}}), false),
        "spec.subscription",
        "needs unsubscribe",
    );

    let at = "spec.subscription.renewal";
    let request = json!({"url": "https://a.example"});
    good(with(
        "renewal",
        json!({"every": "1h", "request": request, "response": {}}),
    ));
    good(with(
        "renewal",
        json!({"every": "1h", "mode": "Update", "request": request}),
    ));
    good(with("renewal", json!({"every": "1h", "mode": "Recreate"})));
    for renewal in [
        json!({"mode": "Recreate"}),
        json!({"before": "1h", "every": "1h", "mode": "Recreate"}),
    ] {
        bad(
            subscribing(|spec| {
                spec["subscription"]["renewal"] = renewal;
                spec["subscription"]["response"] = json!({"expiresAt": "a"});
            }),
            at,
            "exactly one of before and every",
        );
    }
    for renewal in [
        json!({"every": "1h"}),
        json!({"every": "1h", "mode": "Recreate", "request": request}),
    ] {
        bad(with("renewal", renewal), at, "Recreate has none");
    }
    bad(
        with(
            "renewal",
            json!({"every": "1h", "mode": "Recreate", "response": {}}),
        ),
        at,
        "so mode Recreate has none",
    );

    let before = json!({"before": "1h", "mode": "Recreate"});
    good(subscribing(|spec| {
        spec["subscription"]["renewal"] = before.clone();
        spec["subscription"]["response"] = json!({"expiresAt": "a"});
    }));
    good(registering(|spec| {
        spec["globalWebhook"]["registration"]["renewal"] = before.clone();
        spec["webhook"]["handshakes"] = handshake(json!({"expiresAt": "a"}));
    }));
    bad(
        with("renewal", before.clone()),
        "spec",
        "subscription.renewal.before needs to know",
    );
    bad(
        subscribing(|spec| {
            spec["subscription"]["renewal"] = before.clone();
            spec["subscription"]["response"] = json!({"id": "a"});
        }),
        "spec",
        "subscription.renewal.before needs to know",
    );
    bad(
        registering(|spec| {
            spec["globalWebhook"]["registration"]["renewal"] = before.clone();
            spec["webhook"]["handshakes"] = handshake(json!({"signingSecret": "a"}));
        }),
        "spec",
        "globalWebhook.registration.renewal.before needs to know",
    );
}

fn spans(bad: &mut impl FnMut((&'static str, Value), &str, &str)) {
    let request = json!({"url": "https://a.example"});
    good(with("quietPeriod", json!("1ms")));
    bad(
        with("quietPeriod", json!("0h")),
        "spec.subscription",
        "quietPeriod must be longer",
    );
    good(with("limits", json!({"timeout": "1ms"})));
    bad(
        with("limits", json!({"timeout": "0s"})),
        "spec.subscription.limits",
        "timeout must be longer",
    );
    let looked_up = |every: &str| {
        with(
            "lookup",
            json!({"request": request, "id": "a", "settle": "0s", "every": every}),
        )
    };
    good(looked_up("1h"));
    bad(
        looked_up("0ms"),
        "spec.subscription.lookup",
        "every must be longer",
    );
    bad(
        with("renewal", json!({"every": "0s", "mode": "Recreate"})),
        "spec.subscription.renewal",
        "every must be longer",
    );
    bad(
        subscribing(|spec| {
            spec["subscription"]["renewal"] = json!({"before": "0s", "mode": "Recreate"});
            spec["subscription"]["response"] = json!({"expiresAt": "a"});
        }),
        "spec.subscription.renewal",
        "before must be longer",
    );
    let removed = |span: &str| {
        with(
            "unsubscribe",
            json!({"steps": [{"name": "a", "request": request}], "giveUpAfter": span}),
        )
    };
    good(removed("1m"));
    bad(
        removed("0s"),
        "spec.subscription.unsubscribe",
        "giveUpAfter must be longer",
    );
}
