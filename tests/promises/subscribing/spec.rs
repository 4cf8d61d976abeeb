//! Manifests that subscribe at the app of the tests, in every way that a type can.

use serde_json::{Value, json};

use crate::support::model_app::Handshake;

/// Where the signing secret comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secret {
    #[default]
    Generated,
    FromResponse,
    FromHandshake,
    CustomerField,
}

/// How a registration is kept from expiring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    Update,
    Recreate,
}

/// What the manifests say. By default all of a well-behaved app's API is used.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Names of the customers, which are the app's tenants.
    pub customers: Vec<String>,
    /// Those of them for whom nobody subscribes.
    pub without_subscription: Vec<String>,
    /// What follows `token-<tenant>` in a tenant's token.
    pub token: String,
    pub secret: Secret,
    pub handshake: Option<Handshake>,
    /// The request sets the app's one URL.
    pub set_url: bool,
    /// The request is a PUT of a webhook with a name, which each number has another of.
    pub put_by_name: bool,
    pub prepare: bool,
    pub enable: bool,
    pub credentials: bool,
    pub lookup: bool,
    pub settle: &'static str,
    pub lookup_every: Option<&'static str>,
    pub renewal: Option<Renewal>,
    pub idempotent: bool,
    /// The app answers 409 where there is a registration already.
    pub conflict: bool,
    pub change: Option<&'static str>,
    pub rollout: Option<Value>,
    pub limits: Value,
    pub give_up_after: Option<&'static str>,
    /// A member of the request's body.
    pub label: Value,
    /// A header of the request.
    pub header: String,
    /// Put before the path of the request's URL.
    pub url_query: String,
    /// So many customers are in a file.
    pub customers_in_a_file: usize,
    /// Where events are delivered.
    pub sink: String,
    /// Where the app is, and where it gives access tokens.
    pub app: String,
    pub login: String,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            customers: Vec::new(),
            without_subscription: Vec::new(),
            token: "-one".to_owned(),
            secret: Secret::Generated,
            handshake: None,
            set_url: false,
            put_by_name: false,
            prepare: false,
            enable: false,
            credentials: false,
            lookup: true,
            settle: "1s",
            lookup_every: None,
            renewal: None,
            idempotent: false,
            conflict: false,
            change: None,
            rollout: None,
            give_up_after: None,
            limits: limits("60s"),
            label: json!("first"),
            header: "one".to_owned(),
            url_query: String::new(),
            customers_in_a_file: 1,
            sink: String::new(),
            app: String::new(),
            login: String::new(),
        }
    }
}

impl Spec {
    /// For these customers.
    pub fn of(customers: &[&str]) -> Self {
        Self {
            customers: customers.iter().map(|name| (*name).to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The files of a folder, by name.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut files = vec![("type.yaml".to_owned(), documents(&[self.event_type()]))];
        for customers in self.customers.chunks(self.customers_in_a_file) {
            let mut all = Vec::new();
            for customer in customers {
                all.extend([self.customer(customer), self.customer_secret(customer)]);
                if !self.without_subscription.contains(customer) {
                    all.push(self.event_subscription(customer));
                }
            }
            files.push((format!("{}.yaml", customers[0]), documents(&all)));
        }
        files
    }

    fn event_type(&self) -> Value {
        json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "AppEventType",
            "metadata": {"name": "contacts"},
            "spec": {
                "schema": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
                "webhook": self.webhook(),
                "subscription": self.subscription(),
            },
        })
    }

    fn webhook(&self) -> Value {
        let key = match self.secret {
            Secret::CustomerField => json!({"customerField": "signing"}),
            _ => json!({"signingSecret": {}}),
        };
        let handshakes = match self.handshake {
            None => json!([]),
            Some(Handshake::Secret) => json!([{
                "when": "'x-hook-secret' in request.headers",
                "authentication": [{"none": {}}],
                "respond": {"headers": {"X-Hook-Secret": "$(request.headers['x-hook-secret'])"}},
                "capture": {"signingSecret": "request.headers['x-hook-secret']"},
            }]),
            Some(Handshake::Token) => json!([{
                "when": "'validationToken' in request.query",
                "authentication": [{"none": {}}],
                "respond": {
                    "headers": {"Content-Type": "text/plain"},
                    "text": "$(request.query['validationToken'][0])",
                },
            }]),
        };
        let mut lifecycle = vec![
            json!({"when": "item.lifecycle == 'resubscribe'", "action": "Resubscribe"}),
            json!({"when": "item.lifecycle == 'gone'", "action": "Gone"}),
        ];
        if self.renewal.is_some() {
            lifecycle.push(json!({"when": "item.lifecycle == 'renew'", "action": "Renew"}));
        }
        json!({
            "authentication": [{"hmac": {
                "keys": [key], "signature": "request.headers['x-signature']", "prefix": "sha256=",
            }}],
            "handshakes": handshakes,
            "events": {"id": "item.id"},
            "lifecycle": lifecycle,
        })
    }

    fn subscription(&self) -> Value {
        let base = format!("{}/$(customer.id)", self.app);
        let hook = format!("{base}/hooks/$(subscription.id)");
        let token = if self.credentials {
            "Bearer $(credentials.accessToken)"
        } else {
            "Bearer $(customer.fields.token)"
        };
        let mut body = json!({"target": "$(webhookUri)", "label": self.label, "at": "$(now)"});
        if matches!(self.secret, Secret::Generated | Secret::CustomerField) {
            body["secret"] = json!("$(signingSecret)");
        }
        if self.prepare {
            body["group"] = json!("$(steps.group.id)");
        }
        let mut headers = json!({"X-Label": self.header});
        if self.idempotent {
            headers["Idempotency-Key"] = json!("$(attempt.id)");
        }
        let (method, path) = if self.set_url {
            ("PUT", "hook")
        } else if self.put_by_name {
            ("PUT", "hooks/tidegate-$(attempt.number)")
        } else {
            ("POST", "hooks")
        };
        let mut subscription = json!({
            "limits": self.limits,
            "defaults": {"headers": {"Authorization": token}},
            "request": {
                "method": method, "url": format!("{base}/{path}{}", self.url_query), "headers": headers, "body": body,
            },
            "response": {
                "success": "response.status in [200, 201] && response.body.errors.size() == 0",
                "id": "string(response.body.data.id)",
            },
            "unsubscribe": {"steps": [{
                "name": "delete",
                "request": {"method": "DELETE", "url": if self.set_url { format!("{base}/hook") } else { hook.clone() }},
            }]},
        });
        let put = |value: &mut Value, name: &str, part: Option<Value>| {
            if let Some(part) = part {
                value[name] = part;
            }
        };
        let all = &mut subscription;
        let give_up_after = self.give_up_after.map(|after| json!(after));
        put(&mut all["unsubscribe"], "giveUpAfter", give_up_after);
        put(all, "signingSecret", Some(self.signing_secret()));
        put(all, "change", self.change.map(|change| json!(change)));
        put(all, "rollout", self.rollout.clone());
        if self.idempotent {
            all["request"]["idempotent"] = json!(true);
        }
        if self.conflict {
            all["response"]["conflict"] = json!("response.status == 409");
        }
        if self.credentials {
            all["credentials"] = json!({
                "request": {
                    "url": format!("{}/$(customer.id)/token", self.login),
                    "headers": {"Authorization": "Bearer $(customer.fields.token)"},
                },
                "accessToken": "response.body.access_token",
                "expiresIn": "duration(string(response.body.expires_in) + 's')",
            });
        }
        if self.prepare {
            all["prepare"] = json!([{
                "name": "group",
                "request": {"url": format!("{base}/prepare")},
                "response": {"values": {"id": "response.body.data.group"}},
            }]);
        }
        if self.enable {
            let request = json!({"url": format!("{hook}/enable")});
            all["followUps"] = json!([{"name": "enable", "request": request}]);
        }
        if self.lookup && !self.set_url {
            all["lookup"] = json!({
                "request": {"method": "GET", "url": format!("{base}/hooks")},
                "id": "response.body.data.filter(hook, hook.target == webhookUri).map(hook, hook.id)",
                "next": "response.body.next",
                "settle": self.settle,
            });
            let every = self.lookup_every.map(|every| json!(every));
            put(&mut all["lookup"], "every", every);
        }
        if let Some(renewal) = self.renewal {
            all["response"]["expiresAt"] = json!("timestamp(response.body.data.expires)");
            all["renewal"] = match renewal {
                Renewal::Update => {
                    json!({"before": "1h", "request": {"method": "PATCH", "url": hook}})
                }
                Renewal::Recreate => json!({"before": "1h", "mode": "Recreate"}),
            };
        }
        subscription
    }

    fn signing_secret(&self) -> Value {
        match self.secret {
            Secret::Generated => json!({"generate": {}}),
            Secret::FromResponse => json!({"fromResponse": "response.body.data.secret"}),
            Secret::FromHandshake => json!({"fromHandshake": {}}),
            Secret::CustomerField => json!({"customerField": "signing"}),
        }
    }

    fn customer(&self, name: &str) -> Value {
        json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "Customer",
            "metadata": {"name": name},
            "spec": {"fieldsFrom": [{"secretRef": {"name": name}}]},
        })
    }

    fn customer_secret(&self, name: &str) -> Value {
        let token = format!("token-{name}{}", self.token);
        let signing = format!("signing-{name}-0123456789");
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"token": token, "signing": signing},
        })
    }

    fn event_subscription(&self, customer: &str) -> Value {
        json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "EventSubscription",
            "metadata": {"name": customer},
            "spec": {
                "eventTypeRef": {"name": "contacts"},
                "customerRef": {"name": customer},
                "sink": {"uri": self.sink},
                "delivery": {"backoff": {"initial": "50ms", "max": "500ms"}},
            },
        })
    }
}

/// Limits that hold nobody up. An answer that comes later than `timeout` counts as lost, and its
/// request is looked up or repeated: where a test counts requests that must not be because the
/// machine is busy, where it kills it waits for so long.
pub fn limits(timeout: &str) -> Value {
    json!({"timeout": timeout, "requestsPerSecond": 1000, "concurrency": 64})
}

/// JSON documents are YAML documents.
pub fn documents(all: &[Value]) -> String {
    let all: Vec<String> = all.iter().map(Value::to_string).collect();
    all.join("\n---\n")
}
