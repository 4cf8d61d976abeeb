//! The status of an AppEventType. Pure.

use jiff::Timestamp;
use serde_json::Value;

use super::decide::Decision;
use super::progress::Progress;
use super::status::{Judgement, Programming, conditions};
use super::world::Known;
use crate::api::{AppEventType, AppEventTypeStatus};
use crate::compile::{Detail, Kind};
use crate::configuration::stream::EntryKey;
use crate::event::ObjectName;
use crate::provision::without_token;

/// UpstreamSubscriptions of one type: how many there are, and how many are subscribed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub all: u32,
    /// Those that are subscribed.
    pub ready: u32,
}

/// The status that the type is to have.
pub fn status(
    name: &ObjectName,
    known: &Known<AppEventType>,
    decision: &Decision,
    progress: &Progress,
    counts: Option<Counts>,
    now: Timestamp,
) -> AppEventTypeStatus {
    let kind = Kind::AppEventType;
    let verdict = decision.verdict(kind, name);
    let home = decision.homes.get(name);
    let programming = match home {
        Some(gateway) => progress.of(gateway, &EntryKey::EventType(name.clone())),
        None => Programming::NoPod,
    };
    let before = known.present.as_ref().ok();
    let before = before.and_then(|it| it.status.as_ref());
    let judgement = Judgement {
        verdict,
        malformed: known.malformed(),
        served_as_before: decision.served_as_before.contains(&kind.reference(name)),
        programming: &programming,
    };
    let generation = known.generation();
    let before_conditions = before.map_or(&[][..], |it| &it.conditions);
    let detail = verdict.map(|verdict| &verdict.detail);
    let (route, generated_schema) = match detail {
        Some(Detail::EventType {
            route,
            generated_schema,
            ..
        }) => (route.as_ref(), generated_schema.as_ref()),
        _ => (None, None),
    };
    let base = home.and_then(|gateway| decision.configurations.get(gateway));
    let base = base.map(|it| it.gateway.public_url.trim_end_matches('/'));
    let declares = before_or_good(known).is_some_and(|it| {
        let global = it.spec.global_webhook.as_ref();
        it.spec.subscription.is_some() || global.is_some_and(|it| it.registration.is_some())
    });
    let counts = counts.or(declares.then(Counts::default));
    AppEventTypeStatus {
        observed_generation: generation,
        conditions: conditions(before_conditions, generation, judgement, now),
        schema: match generated_schema {
            Some(Value::Object(schema)) => Some(schema.clone()),
            _ => None,
        },
        global_webhook_uri: base
            .zip(route)
            .map(|(base, route)| without_token(&format!("{base}{route}"))),
        upstream_subscriptions: counts.map(|it| it.all),
        ready: counts.map(|it| it.ready),
    }
}

fn before_or_good(known: &Known<AppEventType>) -> Option<&AppEventType> {
    let present = known.present.as_ref().ok();
    present.or(known.last_good.as_ref()).map(|it| &**it)
}
