//! Objects with every default written out, for people who want to see what counts.
//!
//! More than an API server fills in: it may fill in nothing below a list. What
//! a default depends on (the object's name, other fields) is resolved; what
//! has no default stays out.

use super::{
    AppEventType, AuthenticationEntry, Credentials, Customer, Deduplication, DeletionPolicy,
    Digest, EventGateway, EventSubscription, GatewayNamespaces, Hmac, Jwt, NamespacesFrom,
    OnInvalid, OutgoingRequest, RequestLimits, Response, Rollout, SignatureTimestamp,
    StandardWebhooks, Step, Subscription, Template, TypeNamespaces,
};

/// Status of a handshake's answer that names none.
const HANDSHAKE_STATUS: u16 = 200;

/// Status of the answer to a good request where the type answers itself but names no status.
const ACCEPTED_STATUS: u16 = 202;

impl Response {
    /// `status` of the answer to a handshake, by default 200.
    #[must_use]
    pub fn handshake_status(&self) -> u16 {
        self.status.unwrap_or(HANDSHAKE_STATUS)
    }

    /// `status` of the answer to a good request, by default 202.
    #[must_use]
    pub fn accepted_status(&self) -> u16 {
        self.status.unwrap_or(ACCEPTED_STATUS)
    }
}

impl AppEventType {
    /// CloudEvents `type` of the events: `spec.type`, by default the object's name.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.spec
            .type_
            .as_deref()
            .or(self.metadata.name.as_deref())
            .unwrap_or_default()
    }

    /// The type with every default written out.
    #[must_use]
    pub fn effective(&self) -> Self {
        let mut effective = self.clone();
        let on_invalid: OnInvalid = self.spec.on_invalid();
        let spec = &mut effective.spec;
        spec.type_ = Some(self.event_type().to_owned());
        spec.on_invalid = Some(on_invalid);
        for variant in &mut spec.variants {
            variant.on_invalid.get_or_insert(on_invalid);
        }
        spec.allowed_namespaces
            .get_or_insert_with(TypeNamespaces::default)
            .from
            .get_or_insert(NamespacesFrom::Same);
        if let Some(global) = &mut spec.global_webhook {
            global.on_unknown_customer = Some(global.on_unknown_customer());
        }
        let registration = spec
            .global_webhook
            .as_mut()
            .and_then(|global| global.registration.as_deref_mut());
        let mut subscriptions: Vec<_> = spec.subscription.iter_mut().chain(registration).collect();
        subscriptions
            .iter_mut()
            .for_each(|subscription| fill_subscription(subscription));
        if !subscriptions.is_empty() {
            // Without registrations there is nothing to delete.
            spec.deletion_policy
                .get_or_insert(DeletionPolicy::Unsubscribe);
        }

        let webhook = &mut spec.webhook;
        webhook.max_body_bytes = Some(webhook.max_body_bytes());
        webhook.max_events = Some(webhook.max_events());
        webhook.authentication.iter_mut().for_each(fill_entry);
        for handshake in &mut webhook.handshakes {
            handshake.respond.status = Some(handshake.respond.handshake_status());
            let inherited = &webhook.authentication;
            handshake
                .authentication
                .get_or_insert_with(|| inherited.clone())
                .iter_mut()
                .for_each(fill_entry);
        }
        if let Some(respond) = &mut webhook.respond {
            respond.status = Some(respond.accepted_status());
        }
        if webhook.deduplication.is_some() || webhook.events.id.is_some() {
            let deduplication = webhook.deduplication();
            webhook.deduplication = Some(Deduplication {
                by: Some(deduplication.by()),
                window: Some(deduplication.window()),
            });
        }
        effective
    }
}

impl Customer {
    /// The customer with every default written out.
    #[must_use]
    pub fn effective(&self) -> Self {
        let mut effective = self.clone();
        effective.spec.id = Some(self.id().to_owned());
        effective
    }
}

impl EventSubscription {
    /// The subscription with every default written out.
    #[must_use]
    pub fn effective(&self) -> Self {
        let mut effective = self.clone();
        let spec = &mut effective.spec;
        if spec.event_type_ref.namespace.is_none() {
            spec.event_type_ref
                .namespace
                .clone_from(&self.metadata.namespace);
        }
        spec.sink.format = Some(spec.sink.format());
        if let Some(service) = &mut spec.sink.service {
            service.path = Some(service.path().to_owned());
        }
        let delivery = &mut spec.delivery;
        delivery.timeout = Some(delivery.timeout());
        delivery.max_attempts = Some(delivery.max_attempts());
        delivery.max_age = Some(delivery.max_age());
        delivery.max_in_flight = Some(delivery.max_in_flight());
        delivery.ordering = Some(delivery.ordering());
        delivery.backoff.initial = Some(delivery.backoff.initial());
        delivery.backoff.max = Some(delivery.backoff.max());
        effective
    }
}

impl EventGateway {
    /// The gateway with every default written out but `storage.size`, which depends on where it runs.
    #[must_use]
    pub fn effective(&self) -> Self {
        let mut effective = self.clone();
        let spec = &mut effective.spec;
        spec.replicas = Some(spec.replicas());
        spec.storage.replay_retention = Some(spec.storage.replay_retention());
        spec.limits.connections = Some(spec.limits.connections());
        spec.limits.undelivered_share = Some(spec.limits.undelivered_share());
        spec.allowed_namespaces
            .get_or_insert_with(GatewayNamespaces::default)
            .from
            .get_or_insert(NamespacesFrom::All);
        effective
    }
}

fn fill_subscription(subscription: &mut Subscription) {
    let change = subscription.change();
    let on_found = subscription.on_found();
    let Subscription {
        change: written_change,
        limits,
        hosts: _,
        signing_secret,
        credentials,
        defaults: _,
        prepare,
        request,
        response: _,
        follow_ups,
        lookup,
        renewal,
        unsubscribe,
        rollout,
        quiet_period: _,
    } = subscription;
    *written_change = Some(change);
    *limits = RequestLimits {
        requests_per_second: Some(limits.requests_per_second()),
        concurrency: Some(limits.concurrency()),
        timeout: Some(limits.timeout()),
    };
    if let Some(generate) = signing_secret
        .as_mut()
        .and_then(|secret| secret.generate.as_mut())
    {
        generate.bytes = Some(generate.bytes());
        generate.encoding = Some(generate.encoding());
    }
    if let Some(Credentials { request, .. }) = credentials {
        fill_request(request);
    }
    fill_request(request);
    for Step { request, .. } in prepare.iter_mut().chain(follow_ups) {
        fill_request(request);
    }
    if let Some(lookup) = lookup {
        fill_request(&mut lookup.request);
        lookup.settle = Some(lookup.settle());
        lookup.on_found = Some(on_found);
    }
    if let Some(renewal) = renewal {
        renewal.mode = Some(renewal.mode());
        renewal.request.iter_mut().for_each(fill_request);
    }
    if let Some(unsubscribe) = unsubscribe {
        for Step { request, .. } in &mut unsubscribe.steps {
            fill_request(request);
        }
        unsubscribe.gone = Some(unsubscribe.gone().to_vec());
        unsubscribe.give_up_after = Some(unsubscribe.give_up_after());
    }
    *rollout = Rollout {
        max_concurrent: Some(rollout.max_concurrent()),
        stop_after_failures: Some(rollout.stop_after_failures()),
    };
}

fn fill_request(request: &mut OutgoingRequest) {
    request.method = Some(request.method().to_owned());
    request.idempotent = Some(request.idempotent());
}

fn fill_entry(entry: &mut AuthenticationEntry) {
    let AuthenticationEntry {
        hmac,
        digest,
        token: _,
        basic: _,
        standard_webhooks,
        jwt,
        none: _,
        require: _,
    } = entry;
    hmac.iter_mut().for_each(fill_hmac);
    digest.iter_mut().for_each(fill_digest);
    standard_webhooks
        .iter_mut()
        .for_each(fill_standard_webhooks);
    jwt.iter_mut().for_each(fill_jwt);
}

fn fill_hmac(hmac: &mut Hmac) {
    hmac.algorithm = Some(hmac.algorithm());
    hmac.key_encoding = Some(hmac.key_encoding());
    hmac.encoding = Some(hmac.encoding());
    hmac.message = Some(Template::from(hmac.message()));
    if let Some(timestamp) = &mut hmac.timestamp {
        fill_timestamp(timestamp);
    }
}

fn fill_timestamp(timestamp: &mut SignatureTimestamp) {
    timestamp.format = Some(timestamp.format());
    timestamp.tolerance = Some(timestamp.tolerance());
}

fn fill_digest(digest: &mut Digest) {
    digest.algorithm = Some(digest.algorithm());
    digest.encoding = Some(digest.encoding());
    digest.message = Some(Template::from(digest.message()));
}

fn fill_standard_webhooks(standard_webhooks: &mut StandardWebhooks) {
    standard_webhooks.header_prefix = Some(standard_webhooks.header_prefix().to_owned());
    standard_webhooks.tolerance = Some(standard_webhooks.tolerance());
}

fn fill_jwt(jwt: &mut Jwt) {
    jwt.leeway = Some(jwt.leeway());
    jwt.require_expiry = Some(jwt.require_expiry());
    if let Some(hash) = &mut jwt.body_hash {
        hash.algorithm = Some(hash.algorithm());
        hash.encoding = Some(hash.encoding());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{OnFound, crd_of, fill_defaults};

    fn object(kind: &str, spec: Value) -> Value {
        json!({
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": "a", "namespace": "b"},
            "spec": spec,
        })
    }

    fn check<T: serde::de::DeserializeOwned + serde::Serialize>(
        effective: impl Fn(&T) -> T,
        kind: &str,
        spec: Value,
        expected: Value,
    ) {
        let mut written = object(kind, spec);
        let read = |value: &Value| serde_json::from_value::<T>(value.clone()).unwrap();
        let found = effective(&read(&written));
        assert_eq!(serde_json::to_value(&found).unwrap()["spec"], expected);
        // Twice changes nothing, nor do the defaults that an API server fills in first.
        assert_eq!(
            serde_json::to_value(effective(&found)).unwrap()["spec"],
            expected
        );
        fill_defaults(&mut written, &crd_of(kind).unwrap().schema);
        assert_eq!(
            serde_json::to_value(effective(&read(&written))).unwrap()["spec"],
            expected
        );
    }

    #[test]
    fn every_default_is_written_out() {
        let keys = json!([{"appField": "key"}]);
        let entry = json!({
            "hmac": {
                "algorithm": "SHA256", "keys": keys, "keyEncoding": "Utf8", "signature": "s", "encoding": "Hex",
                "message": "$(request.rawBody)",
                "timestamp": {"value": "t", "format": "Seconds", "tolerance": "5m"},
            },
            "digest": {
                "algorithm": "SHA256", "keys": keys, "signature": "s", "encoding": "Hex",
                "message": "$(key)$(request.rawBody)",
            },
            "token": {"keys": keys},
            "standardWebhooks": {"keys": keys, "headerPrefix": "webhook", "tolerance": "5m"},
            "jwt": {
                "keys": keys, "algorithms": ["HS256"], "leeway": "60s", "requireExpiry": true,
                "bodyHash": {"claim": "c", "algorithm": "SHA256", "encoding": "Hex"},
            },
        });
        let limits = json!({"requestsPerSecond": 20, "concurrency": 8, "timeout": "30s"});
        let rollout = json!({"maxConcurrent": 10, "stopAfterFailures": 5});
        let post = json!({"method": "POST", "url": "u", "idempotent": false});
        check(
            AppEventType::effective,
            "AppEventType",
            json!({
                "example": {},
                "variants": [{"when": "true", "example": {}}],
                "webhook": {
                    "authentication": [{
                        "hmac": {"keys": keys, "signature": "s", "timestamp": {"value": "t"}},
                        "digest": {"keys": keys, "signature": "s"},
                        "token": {"keys": keys},
                        "standardWebhooks": {"keys": keys},
                        "jwt": {"keys": keys, "algorithms": ["HS256"], "bodyHash": {"claim": "c"}},
                    }],
                    "handshakes": [{"when": "true", "respond": {}}],
                    "events": {"id": "item.id"},
                    "respond": {"text": "ok"},
                },
                "globalWebhook": {"registration": {"request": {"method": "PUT", "url": "u"}}},
                "subscription": {
                    "signingSecret": {"generate": {}},
                    "credentials": {"request": {"url": "u"}, "accessToken": "t"},
                    "prepare": [{"name": "a", "request": {"url": "u"}}],
                    "request": {"url": "u"},
                    "followUps": [{"name": "b", "request": {"url": "u"}}],
                    "lookup": {"request": {"method": "GET", "url": "u"}, "id": "i"},
                    "renewal": {"every": "1h", "request": {"url": "u"}},
                    "unsubscribe": {"steps": [{"name": "c", "request": {"method": "DELETE", "url": "u"}}]},
                },
            }),
            json!({
                "type": "a",
                "example": {},
                "onInvalid": "DeadLetter",
                "variants": [{"when": "true", "example": {}, "onInvalid": "DeadLetter"}],
                "webhook": {
                    "maxBodyBytes": 1_048_576,
                    "maxEvents": 1_000,
                    "authentication": [entry],
                    "handshakes": [{"when": "true", "authentication": [entry], "respond": {"status": 200}}],
                    "events": {"id": "item.id"},
                    "respond": {"status": 202, "text": "ok"},
                    "deduplication": {"by": "Id", "window": "24h"},
                },
                "globalWebhook": {
                    "onUnknownCustomer": "Store",
                    "registration": {
                        "change": "InPlace",
                        "limits": limits,
                        "request": {"method": "PUT", "url": "u", "idempotent": true},
                        "rollout": rollout,
                    },
                },
                "subscription": {
                    "change": "Overlap",
                    "limits": limits,
                    "signingSecret": {"generate": {"bytes": 32, "encoding": "Hex"}},
                    "credentials": {"request": post, "accessToken": "t"},
                    "prepare": [{"name": "a", "request": post}],
                    "request": post,
                    "followUps": [{"name": "b", "request": post}],
                    "lookup": {
                        "request": {"method": "GET", "url": "u", "idempotent": true},
                        "id": "i", "settle": "30s", "onFound": "Adopt",
                    },
                    "renewal": {"every": "1h", "mode": "Update", "request": post},
                    "unsubscribe": {
                        "steps": [{"name": "c", "request": {"method": "DELETE", "url": "u", "idempotent": true}}],
                        "gone": [404, 410], "giveUpAfter": "1h",
                    },
                    "rollout": rollout,
                },
                "deletionPolicy": "Unsubscribe",
                "allowedNamespaces": {"from": "Same"},
            }),
        );
        check(
            Customer::effective,
            "Customer",
            json!({}),
            json!({"id": "a"}),
        );
        check(
            EventSubscription::effective,
            "EventSubscription",
            json!({"eventTypeRef": {"name": "t"}, "sink": {"service": {"name": "s", "port": 80}}}),
            json!({
                "eventTypeRef": {"name": "t", "namespace": "b"},
                "sink": {"service": {"name": "s", "port": 80, "path": "/"}, "format": "Binary"},
                "delivery": {
                    "timeout": "15s", "backoff": {"initial": "1s", "max": "10m"}, "maxAttempts": 0, "maxAge": "24h",
                    "maxInFlight": 16, "ordering": "None",
                },
            }),
        );
        check(
            EventGateway::effective,
            "EventGateway",
            json!({"publicUrl": "https://a.example"}),
            json!({
                "publicUrl": "https://a.example",
                "replicas": 2,
                "storage": {"replayRetention": "72h"},
                "limits": {"connections": 10_000, "undeliveredShare": 20},
                "allowedNamespaces": {"from": "All"},
            }),
        );
    }

    #[test]
    fn what_a_lookup_finds_is_replaced_where_its_secret_is_not_known() {
        for (secret, expected) in [
            (json!({"generate": {}}), OnFound::Adopt),
            (json!({"customerField": "a"}), OnFound::Adopt),
            (json!({"fromResponse": "a"}), OnFound::Replace),
            (json!({"fromHandshake": {}}), OnFound::Replace),
        ] {
            let subscription: Subscription = serde_json::from_value(json!({
                "signingSecret": secret,
                "request": {"url": "u"},
                "lookup": {"request": {"url": "u"}, "id": "i"},
            }))
            .unwrap();
            assert_eq!(subscription.on_found(), expected, "{secret}");
        }
    }

    #[test]
    fn equal_content_is_remembered_for_a_shorter_time() {
        let spec = json!({
            "example": {},
            "webhook": {"authentication": [{"none": {}}], "deduplication": {"by": "Content"}},
        });
        let read: AppEventType = serde_json::from_value(object("AppEventType", spec)).unwrap();
        let deduplication =
            serde_json::to_value(read.effective().spec.webhook.deduplication).unwrap();
        assert_eq!(deduplication, json!({"by": "Content", "window": "5m"}));
    }
}
