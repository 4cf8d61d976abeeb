//! What may be left at apps: at which gateway it is listed, and until when somebody has removed it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::decide::Decision;
use super::world::World;
use crate::api::{EventGateway, EventTypeReference, OrphanStatus};
use crate::event::ObjectName;
use crate::provision::driver::View;

/// On an EventGateway: everything that was listed there until this time (RFC 3339) has been removed at its app.
pub const REMOVED_UNTIL: &str = "tidegate.dev/orphans-removed-until";

/// Orphans by the gateway that lists them.
pub fn listed(views: &[View], decision: &Decision) -> BTreeMap<ObjectName, Vec<OrphanStatus>> {
    let mut all: BTreeMap<ObjectName, Vec<OrphanStatus>> = BTreeMap::new();
    for view in views {
        let Some(gateway) = gateway_of(view, decision) else {
            continue;
        };
        let listed = view.orphans.iter().map(|orphan| OrphanStatus {
            event_type_ref: EventTypeReference {
                name: view.event_type.name.clone(),
                namespace: Some(view.event_type.namespace.clone()),
            },
            customer: view.customer.as_ref().map(|(name, _)| name.name.clone()),
            namespace: view.name.namespace.clone(),
            number: orphan.number,
            last_number: (orphan.last_number != orphan.number).then_some(orphan.last_number),
            id: orphan.id.clone(),
            reason: format!("{:?}", orphan.why),
            since: orphan.since.to_string(),
        });
        all.entry(gateway.clone()).or_default().extend(listed);
    }
    all
}

/// The subscriptions of which somebody has removed something, and until when.
pub fn removed(
    views: &[View],
    decision: &Decision,
    world: &World,
    now: Timestamp,
) -> Vec<(ObjectName, Timestamp)> {
    let removed = views.iter().filter_map(|view| {
        let gateway = world.gateways.get(gateway_of(view, decision)?)?;
        let until = removed_until(gateway.present.as_ref().ok()?, now).ok()??;
        let is_any = view.orphans.iter().any(|orphan| orphan.since <= until);
        is_any.then(|| (view.name.clone(), until))
    });
    removed.collect()
}

/// What the annotation says, if it is there.
///
/// # Errors
/// A text for people, when it is no time that has passed.
pub fn removed_until(gateway: &EventGateway, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let annotations = gateway.metadata.annotations.as_ref();
    let Some(text) = annotations.and_then(|all| all.get(REMOVED_UNTIL)) else {
        return Ok(None);
    };
    match text.trim().parse::<Timestamp>() {
        Ok(until) if until <= now => Ok(Some(until)),
        Ok(_) => Err(format!(
            "the annotation {REMOVED_UNTIL} is {text:?}, which is still to come: write the time at which the orphans were removed"
        )),
        Err(error) => Err(format!(
            "the annotation {REMOVED_UNTIL} is {text:?}, which is no time ({error}): write one like 2026-01-31T12:00:00Z"
        )),
    }
}

/// The gateway of a subscription's type; of types that have none, the first.
fn gateway_of<'a>(view: &View, decision: &'a Decision) -> Option<&'a ObjectName> {
    let home = decision.homes.get(&view.event_type);
    home.or(decision.configurations.keys().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_that_has_passed_says_something() {
        let now: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
        let said = |text: Option<&str>| {
            let annotations = text.map(|text| serde_json::json!({REMOVED_UNTIL: text}));
            let gateway = serde_json::json!({
                "apiVersion": "tidegate.dev/v1alpha1", "kind": "EventGateway",
                "metadata": {"name": "default", "annotations": annotations},
                "spec": {"publicUrl": "https://hooks.example.com"},
            });
            removed_until(&serde_json::from_value(gateway).unwrap(), now)
        };
        assert_eq!(said(None), Ok(None));
        assert_eq!(said(Some("2026-05-01T12:00:00Z")), Ok(Some(now)));
        assert_eq!(said(Some("2026-05-01T14:00:00+02:00")), Ok(Some(now)));
        for (text, expected) in [
            ("2026-05-01T12:00:01Z", "still to come"),
            ("yesterday", "no time"),
            ("", "no time"),
        ] {
            let error = said(Some(text)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
