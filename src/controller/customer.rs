//! The status of a Customer. Pure.

use jiff::Timestamp;

use super::decide::Decision;
use super::progress::{Progress, worst};
use super::status::{Judgement, conditions};
use super::world::Known;
use crate::api::{Customer, CustomerStatus};
use crate::compile::Kind;
use crate::configuration::stream::EntryKey;
use crate::event::ObjectName;

/// The status that the customer is to have.
pub fn status(
    name: &ObjectName,
    known: &Known<Customer>,
    decision: &Decision,
    progress: &Progress,
    now: Timestamp,
) -> CustomerStatus {
    let kind = Kind::Customer;
    let key = EntryKey::Customer(name.clone());
    let gateways = decision.customers_at.get(&name.namespace);
    let gateways = gateways.into_iter().flatten();
    let programming = worst(gateways.map(|gateway| progress.of(gateway, &key)));
    let before = known.present.as_ref().ok();
    let before = before.and_then(|it| it.status.as_ref());
    let judgement = Judgement {
        verdict: decision.verdict(kind, name),
        malformed: known.malformed(),
        served_as_before: decision.served_as_before.contains(&kind.reference(name)),
        programming: &programming,
    };
    let generation = known.generation();
    let before_conditions = before.map_or(&[][..], |it| &it.conditions);
    CustomerStatus {
        observed_generation: generation,
        conditions: conditions(before_conditions, generation, judgement, now),
    }
}
