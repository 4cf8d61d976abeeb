//! What conditions say of each resource, for its page in docs/reference. Pure.

use super::{DELIVERING, READY, RECONCILING, STALLED, SUBSCRIBED, reason};

/// A reason that a condition may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentedReason {
    /// The condition's type.
    pub condition: &'static str,
    /// The condition's status that it goes with.
    pub status: &'static str,
    /// The other condition that is true at the same time with the same reason, if any.
    pub with: Option<&'static str>,
    /// The reason.
    pub reason: &'static str,
    /// What it means, and what to do.
    pub meaning: &'static str,
}

/// All of a resource, by its kind.
#[must_use]
pub fn documented_reasons(kind: &str) -> Vec<DocumentedReason> {
    let groups: &[&[DocumentedReason]] = match kind {
        "AppEventType" => &[&LIVE, &VALUES, &TYPE],
        "Customer" => &[&LIVE, &VALUES, &CUSTOMER],
        "EventSubscription" => &[&LIVE, &VALUES, &SUBSCRIPTION, &DELIVERY],
        "EventGateway" => &[&GATEWAY],
        "UpstreamSubscription" => &[&UPSTREAM],
        _ => &[],
    };
    groups.concat()
}

/// Which changes of a resource are Kubernetes Events, too.
#[must_use]
pub fn documented_events(kind: &str) -> &'static str {
    match kind {
        "EventSubscription" => {
            "That it becomes `Ready`, or `Stalled`, and that `Delivering` changes, is a Kubernetes Event, too, with the same reason; a Warning where it is for the worse."
        }
        "EventGateway" => {
            "That it becomes `Ready`, or `Stalled`, is a Kubernetes Event, too, with the same reason; so is, as the Warning `Orphaned`, what may be left at an app."
        }
        "UpstreamSubscription" => {
            "That something goes wrong is a Kubernetes Event, too, a Warning with the same reason; and that it goes well again."
        }
        _ => {
            "That it becomes `Ready`, or `Stalled`, is a Kubernetes Event, too, with the same reason; a Warning where it is for the worse."
        }
    }
}

const fn row(
    (condition, status): (&'static str, &'static str),
    with: Option<&'static str>,
    reason: &'static str,
    meaning: &'static str,
) -> DocumentedReason {
    DocumentedReason {
        condition,
        status,
        with,
        reason,
        meaning,
    }
}

const fn ready(why: &'static str, meaning: &'static str) -> DocumentedReason {
    row((READY, "True"), None, why, meaning)
}

const fn stalled(why: &'static str, meaning: &'static str) -> DocumentedReason {
    row((READY, "False"), Some(STALLED), why, meaning)
}

const fn reconciling(why: &'static str, meaning: &'static str) -> DocumentedReason {
    row((READY, "False"), Some(RECONCILING), why, meaning)
}

/// A condition that may be true whatever `Ready` says.
const fn also(
    condition: &'static str,
    why: &'static str,
    meaning: &'static str,
) -> DocumentedReason {
    row((condition, "True"), None, why, meaning)
}

const fn not_delivering(why: &'static str, meaning: &'static str) -> DocumentedReason {
    row((DELIVERING, "False"), None, why, meaning)
}

const fn subscribed(why: &'static str, meaning: &'static str) -> DocumentedReason {
    row((SUBSCRIBED, "True"), None, why, meaning)
}

const fn subscribing(why: &'static str, meaning: &'static str) -> DocumentedReason {
    row((SUBSCRIBED, "False"), Some(RECONCILING), why, meaning)
}

/// What gateways serve.
const LIVE: [DocumentedReason; 5] = [
    ready(
        reason::PROGRAMMED,
        "it is accepted, and live in every connected pod of its gateway",
    ),
    reconciling(reason::PROGRAMMING, "it is on its way to the gateway; wait"),
    reconciling(
        reason::GATEWAY_NOT_CONNECTED,
        "no pod of its gateway is connected: `kubectl describe eventgateway` says why",
    ),
    stalled(
        reason::REFUSED_BY_GATEWAY,
        "a pod could not take it: it runs another version, or has reached a limit that the message names",
    ),
    stalled(
        reason::INVALID,
        "something in it is wrong; the message says where and what to write. Was it good before, its last good form goes on being served",
    ),
];

/// What refers to Secrets and ConfigMaps.
const VALUES: [DocumentedReason; 2] = [
    stalled(
        reason::SECRET_NOT_FOUND,
        "a Secret that it names, or the key in it, is missing or empty: make it; nothing else has to be done",
    ),
    stalled(
        reason::CONFIG_MAP_NOT_FOUND,
        "a ConfigMap that it names, or the key in it, is missing: make it",
    ),
];

const TYPE: [DocumentedReason; 3] = [
    stalled(
        reason::GATEWAY_NOT_FOUND,
        "the EventGateway that `gatewayRef` names, or the installation's default one, does not exist",
    ),
    stalled(
        reason::NOT_ALLOWED,
        "that EventGateway's `allowedNamespaces` do not admit this namespace",
    ),
    stalled(
        reason::PATH_TAKEN,
        "an older type of the namespace has this `globalWebhook.path`: write another one",
    ),
];

const CUSTOMER: [DocumentedReason; 1] = [stalled(
    reason::CUSTOMER_TAKEN,
    "an older Customer of the namespace has the same id, or the same value of a field that a global webhook finds customers by",
)];

const SUBSCRIPTION: [DocumentedReason; 7] = [
    stalled(
        reason::EVENT_TYPE_NOT_FOUND,
        "the AppEventType that `eventTypeRef` names does not exist",
    ),
    stalled(
        reason::EVENT_TYPE_NOT_READY,
        "that AppEventType cannot be used: see there. What this subscription has not got is kept",
    ),
    stalled(
        reason::NOT_ALLOWED,
        "that AppEventType's `allowedNamespaces` do not admit this namespace",
    ),
    stalled(
        reason::CUSTOMER_NOT_FOUND,
        "the Customer that `customerRef` names does not exist in this namespace",
    ),
    stalled(
        reason::CUSTOMER_TAKEN,
        "that Customer cannot be used, because an older one has its id: see there",
    ),
    stalled(
        reason::SECRET_INVALID,
        "a value from a Secret cannot be what it is used for, a header or a certificate say; the message names it, and never the value",
    ),
    stalled(
        reason::SERVICE_NOT_FOUND,
        "`sink.service` cannot be called from where this runs: `tidegate dev` needs `--service NAME=URL`",
    ),
];

const DELIVERY: [DocumentedReason; 6] = [
    also(
        DELIVERING,
        reason::DELIVERING,
        "events flow, or would if there were any",
    ),
    not_delivering(reason::SUSPENDED, "`suspend` is true; events are kept"),
    not_delivering(
        reason::HELD,
        "something that sending needs is missing or wrong, and the message says what; events are kept",
    ),
    not_delivering(
        reason::SINK_FAILING,
        "the sink refuses events or cannot be reached; they are tried again, and the message has the last answer",
    ),
    not_delivering(
        reason::SHARE_EXCEEDED,
        "what is undelivered fills this subscription's share of the log, and the oldest become dead letters: mend the sink, or raise `storage.size` of the gateway",
    ),
    not_delivering(
        reason::FILTER_FAILING,
        "the filter could not decide about ten events or more, which were not delivered: `tidegate events` shows what they look like",
    ),
];

const GATEWAY: [DocumentedReason; 7] = [
    ready(reason::PROGRAMMED, "as many pods as wanted take requests"),
    reconciling(
        reason::PODS_NOT_READY,
        "fewer pods than wanted take requests: `kubectl get pods` and `kubectl describe pod` say what they wait for",
    ),
    stalled(
        reason::INVALID,
        "its name cannot be that of pods and volumes",
    ),
    stalled(
        reason::NOT_APPLIED,
        "the API server does not accept an object that it needs, or one of that name belongs to somebody else; the message names it. With `Reconciling` in place of `Stalled`: it is tried again",
    ),
    also(
        STALLED,
        reason::NOT_AS_SPECIFIED,
        "it asks for what cannot be done to what there is, another storage class say; all else is done",
    ),
    also(
        RECONCILING,
        reason::HANDING_OVER,
        "pods that are not wanted any more hand over what they have not delivered, and go then; the message says how much is left",
    ),
    also(
        RECONCILING,
        reason::PODS_NOT_READY,
        "pods are being replaced, or have not come back yet",
    ),
];

const UPSTREAM: [DocumentedReason; 15] = [
    subscribed(reason::SUBSCRIBED, "a registration stands at the app"),
    subscribed(
        reason::EXPIRING_SOON,
        "it stands, expires before long, and could not be renewed: `status.lastError` says why",
    ),
    subscribed(
        reason::QUIET_TOO_LONG,
        "it stands as far as is known, and nothing came for longer than `quietPeriod`: see whether the app still has it",
    ),
    subscribed(
        reason::PUBLIC_URL_CHANGED,
        "the app still calls the URL of before: the annotation `tidegate.dev/allow-re-registration=true` on the type has it registered anew",
    ),
    subscribing(
        reason::SUBSCRIBING,
        "it is being made, or a former one removed",
    ),
    also(
        RECONCILING,
        reason::WAITING_FOR_TURN,
        "the type was edited, and others of the same rollout come first; what stands goes on",
    ),
    subscribing(
        reason::WAITING_FOR_SECRET,
        "the app's handshake, which brings the signing secret, is waited for",
    ),
    subscribing(
        reason::ANSWER_LOST,
        "whether the app carried out a request is being found out before another one is sent",
    ),
    subscribing(
        reason::APP_REFUSED,
        "the app said no; `status.response` has its answer. It is tried again, later and later",
    ),
    subscribing(
        reason::APP_UNREACHABLE,
        "the app gave no answer, or none that says what happened; it is tried again",
    ),
    subscribing(
        reason::REQUEST_NOT_SENT,
        "the request could not be made or sent: a value that a template needs is missing, or the host is not allowed",
    ),
    subscribing(
        reason::NOT_WORKING,
        "the app made it, and a later step, or the handshake, did not come about; it is made anew",
    ),
    also(
        STALLED,
        reason::ROLLOUT_STOPPED,
        "the type was edited, and that failed for too many customers, so the others were left as they are: edit the type again",
    ),
    subscribing(
        reason::UNSUBSCRIBING,
        "it is being removed; `unsubscribe.giveUpAfter` bounds how long that is tried",
    ),
    row(
        (SUBSCRIBED, "False"),
        Some(STALLED),
        reason::NOT_OURS,
        "somebody else made the object, or the record belongs to another one: delete the object",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [&str; 5] = [
        "AppEventType",
        "Customer",
        "EventSubscription",
        "EventGateway",
        "UpstreamSubscription",
    ];

    /// The reasons that are declared, read off the source: a constant cannot be listed.
    fn declared() -> Vec<&'static str> {
        let source = include_str!("../condition.rs");
        let (_, reasons) = source.split_once("pub mod reason").unwrap();
        let lines = reasons.lines().filter(|line| line.contains("pub const"));
        lines.map(|line| line.split('"').nth(1).unwrap()).collect()
    }

    #[test]
    fn every_reason_is_told_of_some_resource_and_none_is_made_up() {
        let told: Vec<DocumentedReason> = KINDS.into_iter().flat_map(documented_reasons).collect();
        let declared = declared();
        assert!(declared.len() > 30, "{declared:?}");
        for reason in &declared {
            // That one is an Event's alone.
            let is_told = told.iter().any(|it| it.reason == *reason) || *reason == reason::ORPHANED;
            assert!(is_told, "{reason} is on no page");
        }
        for it in &told {
            assert!(declared.contains(&it.reason), "{}", it.reason);
        }
    }

    #[test]
    fn nothing_is_told_twice_of_a_resource() {
        for kind in KINDS {
            let mut all: Vec<_> = documented_reasons(kind)
                .iter()
                .map(|it| (it.condition, it.status, it.reason))
                .collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{kind}");
        }
    }
}
