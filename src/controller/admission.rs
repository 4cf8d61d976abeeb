//! Whether an object would work, asked by the API server before it takes it (a validating webhook).
//! Pure but for [`keep_trusted`].
//!
//! The code is the one of `tidegate check`. One object is looked at by itself: what it refers to may
//! be applied after it, so that is never a reason to refuse, and statuses tell of it. What is there
//! already and broken can still have its metadata changed, and go.

mod trust;

use std::sync::Arc;

use jiff::Timestamp;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use trust::keep_trusted;

use crate::api::{
    AppEventType, Customer, EventGateway, EventSubscription, ObjectReference, Problem, Resources,
};
use crate::compile::{Identity, Installation, Kind, State, compile_all, in_cluster_url, name_of};
use crate::event::ObjectName;
use crate::outbound::PrivateAddresses;

/// Problems that are told of one object; one is usually all that anybody wants to read.
const MOST_TOLD: usize = 20;

/// Bytes of a warning: clients cut longer ones off.
const LONGEST_WARNING: usize = 250;

/// Answers an AdmissionReview; `None`: it is none.
#[must_use]
pub fn review(review: &Value) -> Option<Value> {
    let request = review.get("request")?;
    let uid = request["uid"].as_str()?;
    let verdict = judge(request);
    let mut response = json!({"uid": uid, "allowed": verdict.refusal.is_none()});
    if let Some(message) = verdict.refusal {
        response["status"] = json!({"code": 422, "reason": "Invalid", "message": message});
    }
    if !verdict.warnings.is_empty() {
        response["warnings"] = json!(verdict.warnings);
    }
    Some(json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    }))
}

#[derive(Default)]
struct Judgement {
    refusal: Option<String>,
    warnings: Vec<String>,
}

fn judge(request: &Value) -> Judgement {
    let object = &request["object"];
    let before = &request["oldObject"];
    let is_going = object["metadata"]["deletionTimestamp"].is_string();
    let is_same = before.is_object()
        && before["spec"] == object["spec"]
        && before["metadata"]["annotations"] == object["metadata"]["annotations"];
    if !object.is_object() || is_going || is_same {
        return Judgement::default();
    }
    let judged = match request["kind"]["kind"].as_str() {
        Some("AppEventType") => read::<AppEventType>(object).map(|object| {
            let name = name_of(&object);
            let resources = Resources {
                event_types: vec![Arc::new(object)],
                ..Resources::default()
            };
            compiled(Kind::AppEventType, &name, &resources)
        }),
        Some("Customer") => read::<Customer>(object).map(|object| {
            let name = name_of(&object);
            let resources = Resources {
                customers: vec![Arc::new(object)],
                ..Resources::default()
            };
            compiled(Kind::Customer, &name, &resources)
        }),
        Some("EventSubscription") => read::<EventSubscription>(object).map(|object| {
            let name = name_of(&object);
            let resources = Resources {
                invalid: references(&object, &name).into(),
                subscriptions: vec![Arc::new(object)],
                ..Resources::default()
            };
            compiled(Kind::EventSubscription, &name, &resources)
        }),
        Some("EventGateway") => read::<EventGateway>(object).map(|object| {
            let name = name_of(&object);
            let resources = Resources {
                gateways: vec![Arc::new(object)],
                ..Resources::default()
            };
            compiled(Kind::EventGateway, &name, &resources)
        }),
        // The webhook's configuration asks for nothing else.
        _ => Ok(Judgement::default()),
    };
    judged.unwrap_or_else(|refusal| Judgement {
        refusal: Some(refusal),
        warnings: Vec::new(),
    })
}

fn read<K: DeserializeOwned + Resource>(object: &Value) -> Result<K, String> {
    K::deserialize(object).map_err(|error| format!("it cannot be read: {error}"))
}

/// What an EventSubscription refers to, as something that is there and of which nothing is known.
fn references(object: &EventSubscription, name: &ObjectName) -> [ObjectReference; 2] {
    let spec = &object.spec;
    let event_type = &spec.event_type_ref;
    let namespace = event_type.namespace.as_ref().unwrap_or(&name.namespace);
    let customer = spec.customer_ref.as_ref().map(|it| it.name.clone());
    let customer = ObjectName::new(&name.namespace, customer.unwrap_or_default());
    [
        Kind::AppEventType.reference(&ObjectName::new(namespace, &event_type.name)),
        Kind::Customer.reference(&customer),
    ]
}

fn compiled(kind: Kind, name: &ObjectName, resources: &Resources) -> Judgement {
    let installation = Installation {
        // No gateway is compiled for, so none of these ends up anywhere.
        default_gateway: ObjectName::new(&name.namespace, "default"),
        private_addresses: &PrivateAddresses::NONE,
        unusable_paths: &[],
        webhook_token: &|_| "token".to_owned(),
        service_url: &in_cluster_url,
        identity: &|_, _| Identity {
            uid: String::new(),
            since: Timestamp::UNIX_EPOCH,
        },
    };
    let all = compile_all(resources, &installation);
    let is_it = |it: &&crate::compile::Verdict| it.kind == kind && it.name == *name;
    let Some(verdict) = all.verdicts.iter().find(is_it) else {
        return Judgement::default();
    };
    let told = |is_wanted: fn(&Problem) -> bool| -> Vec<String> {
        let problems = verdict.problems.iter().filter(|it| is_wanted(it));
        let texts = problems.map(|it| format!("{}: {}", it.path.as_str(), it.message));
        texts.take(MOST_TOLD).collect()
    };
    match verdict.state {
        State::Invalid => Judgement {
            refusal: Some(told(Problem::is_error).join("; ")),
            warnings: Vec::new(),
        },
        State::Ready => Judgement {
            refusal: None,
            warnings: told(|problem| !problem.is_error())
                .into_iter()
                .map(|text| text[..text.floor_char_boundary(LONGEST_WARNING)].to_owned())
                .collect(),
        },
        // What is said then is about what it waits for, of which nothing is known here.
        State::Waiting { .. } => Judgement::default(),
    }
}

#[cfg(test)]
mod tests;
