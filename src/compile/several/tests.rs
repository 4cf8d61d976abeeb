//! What goes to which gateway, and what is said of what goes to none.

use jiff::Timestamp;

use super::*;
use crate::api::condition::reason;
use crate::manifest::{Manifests, load};
use crate::outbound::PrivateAddresses;

const TYPE: &str = "example: {id: a}, webhook: {authentication: [{none: {}}]}, globalWebhook: {}";

fn compiled(manifests: &str) -> OfAllGateways {
    let loaded = Manifests::new([load("test.yaml", manifests)]);
    assert!(
        loaded.problems.iter().all(|it| !it.problem.is_error()),
        "{:#?}",
        loaded.problems
    );
    let identity = |_: Kind, name: &ObjectName| Identity {
        uid: name.to_string(),
        since: Timestamp::UNIX_EPOCH,
    };
    compile_all(
        &loaded.resources,
        &Installation {
            default_gateway: ObjectName::new("tidegate", "default"),
            private_addresses: &PrivateAddresses::NONE,
            unusable_paths: &[],
            webhook_token: &|name| name.to_string(),
            service_url: &super::super::in_cluster_url,
            identity: &identity,
        },
    )
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "---\napiVersion: tidegate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    )
}

fn gateway(name: &str, more: &str) -> String {
    object(
        "EventGateway",
        name,
        &format!("publicUrl: 'https://hooks.example'{more}"),
    )
}

/// The event types and subscriptions that a gateway gets, and the reason of each object that waits.
fn seen(all: &OfAllGateways) -> (Vec<String>, Vec<String>) {
    let entries = all.configurations.iter().map(|(name, configuration)| {
        let types = configuration
            .event_types
            .iter()
            .map(|it| it.name.to_string());
        let subscriptions = configuration
            .subscriptions
            .iter()
            .map(|it| it.name.to_string());
        let all: Vec<String> = types.chain(subscriptions).collect();
        format!("{name}: {}", all.join(" "))
    });
    let waits = all
        .verdicts
        .iter()
        .filter_map(|verdict| match &verdict.state {
            State::Waiting { reason, .. } => Some(format!("{} {reason}", verdict.name)),
            State::Invalid => Some(format!("{} invalid", verdict.name)),
            State::Ready => None,
        });
    (entries.collect(), waits.collect())
}

#[test]
fn a_gateway_gets_what_belongs_to_it_and_nothing_else() {
    let sink = "sink: {uri: 'https://sink.example', headers: {A: {value: s3cr3t}}}";
    let manifests = [
        gateway("tidegate/default", ""),
        gateway("shop/own", ""),
        object(
            "AppEventType",
            "shop/orders",
            &format!("gatewayRef: {{name: own}}, {TYPE}"),
        ),
        object("AppEventType", "crm/contacts", TYPE),
        object(
            "EventSubscription",
            "shop/a",
            &format!("eventTypeRef: {{name: orders}}, {sink}"),
        ),
        object(
            "EventSubscription",
            "crm/b",
            &format!("eventTypeRef: {{name: contacts}}, {sink}"),
        ),
        // Its type has gone: whoever keeps events for it goes on keeping them.
        object(
            "EventSubscription",
            "crm/c",
            &format!("eventTypeRef: {{name: gone}}, {sink}"),
        ),
    ];
    let all = compiled(&manifests.concat());
    let (entries, waits) = seen(&all);
    assert_eq!(
        entries,
        [
            "shop/own: shop/orders shop/a crm/c",
            "tidegate/default: crm/contacts crm/b crm/c"
        ]
    );
    assert_eq!(waits, ["crm/c invalid"]);
    for configuration in all.configurations.values() {
        let lost = configuration
            .subscriptions
            .iter()
            .find(|it| it.name.name == "c")
            .unwrap();
        assert!(
            lost.held.is_some() && lost.sink.headers.is_empty(),
            "{lost:?}"
        );
    }
    let home = |name: &str| all.homes.get(&ObjectName::new("shop", name)).cloned();
    assert_eq!(home("orders"), Some(ObjectName::new("shop", "own")));
}

#[test]
fn a_type_without_a_gateway_that_admits_it_is_told_why_once() {
    let own = format!("gatewayRef: {{name: closed, namespace: tidegate}}, {TYPE}");
    let none = format!("gatewayRef: {{name: none}}, {TYPE}");
    let manifests = [
        gateway("tidegate/closed", ", allowedNamespaces: {from: Same}"),
        gateway("tidegate/other", ""),
        object("AppEventType", "shop/a", &own),
        object("AppEventType", "shop/b", &none),
        // Nobody declared the default gateway.
        object("AppEventType", "shop/c", TYPE),
    ];
    let (entries, waits) = seen(&compiled(&manifests.concat()));
    assert_eq!(entries, ["tidegate/closed: ", "tidegate/other: "]);
    assert_eq!(
        waits,
        [
            format!("shop/a {}", reason::NOT_ALLOWED),
            format!("shop/b {}", reason::GATEWAY_NOT_FOUND),
            format!("shop/c {}", reason::GATEWAY_NOT_FOUND),
        ]
    );
}

#[test]
fn without_a_gateway_everything_is_judged_and_nothing_served() {
    let customer = object("Customer", "shop/acme", "");
    let all = compiled(&format!(
        "{}{customer}",
        object("AppEventType", "shop/a", TYPE)
    ));
    assert!(all.configurations.is_empty());
    assert_eq!(all.verdicts.len(), 2);
}
