//! What one gateway serves, and what changes when it is to serve something else.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::Entry;
use super::key::EntryKey;
use super::members::Members;
use super::partings::Partings;
use crate::configuration::{Configuration, Sensitive};

/// What one gateway serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// Its configuration.
    pub configuration: Arc<Configuration>,
    /// The key of the tokens in its webhook URIs.
    pub token_key: Sensitive,
    /// Bytes that the log of one pod may take.
    pub log_capacity: u64,
    /// The pods that there shall be.
    pub members: Arc<Members>,
    /// What pods are to do with EventSubscriptions that they are not sent any more.
    pub partings: Arc<Partings>,
}

/// One change: an entry that is new or another one, or `None` where it is gone.
pub type Change = (EntryKey, Option<Entry>);

/// The changes that lead from one to the other.
///
/// Entries that both share are told apart by their address, so that one change among a hundred
/// thousand costs a hundred thousand comparisons of two pointers.
#[must_use]
pub fn changes(before: Option<&Served>, after: &Served) -> Vec<Change> {
    let mut changes = Vec::new();
    if before.is_some_and(|before| Arc::ptr_eq(&before.configuration, &after.configuration)) {
        keys(before, after, &mut changes);
        return changes;
    }
    let nothing = (&[][..], &[][..], &[][..], &[][..]);
    let (event_types, routes, customers, subscriptions) = before.map_or(nothing, |before| {
        let Configuration {
            gateway: _,
            event_types,
            routes,
            customers,
            subscriptions,
        } = &*before.configuration;
        (event_types, routes, customers, subscriptions)
    });
    let after_all = &after.configuration;
    let before_gateway = before.map(|before| &before.configuration.gateway);
    if before_gateway != Some(&after_all.gateway) {
        let entry = Entry::Gateway(Arc::new(after_all.gateway.clone()));
        changes.push((EntryKey::Gateway, Some(entry)));
    }
    keys(before, after, &mut changes);
    list(
        event_types,
        &after_all.event_types,
        Entry::EventType,
        &mut changes,
    );
    list(routes, &after_all.routes, Entry::Route, &mut changes);
    list(
        customers,
        &after_all.customers,
        Entry::Customer,
        &mut changes,
    );
    let subscriptions_after = &after_all.subscriptions;
    list(
        subscriptions,
        subscriptions_after,
        Entry::Subscription,
        &mut changes,
    );
    changes
}

fn keys(before: Option<&Served>, after: &Served, changes: &mut Vec<Change>) {
    if before.map(|before| &before.token_key) != Some(&after.token_key) {
        let entry = Entry::TokenKey(after.token_key.clone());
        changes.push((EntryKey::TokenKey, Some(entry)));
    }
    if before.map(|before| before.log_capacity) != Some(after.log_capacity) {
        let entry = Entry::LogCapacity(after.log_capacity);
        changes.push((EntryKey::LogCapacity, Some(entry)));
    }
    if before.map(|before| &before.members) != Some(&after.members) {
        let entry = Entry::Members(Arc::clone(&after.members));
        changes.push((EntryKey::Members, Some(entry)));
    }
    if before.map(|before| &before.partings) != Some(&after.partings) {
        let entry = Entry::Partings(Arc::clone(&after.partings));
        changes.push((EntryKey::Partings, Some(entry)));
    }
}

/// What differs in the middle; most edits touch one place of a list.
fn list<T: PartialEq>(
    before: &[Arc<T>],
    after: &[Arc<T>],
    entry: fn(Arc<T>) -> Entry,
    changes: &mut Vec<Change>,
) {
    let same = |(one, other): &(&Arc<T>, &Arc<T>)| Arc::ptr_eq(one, other) || one == other;
    let front = before.iter().zip(after).take_while(same).count();
    let (before, after) = (&before[front..], &after[front..]);
    let back = before.iter().rev().zip(after.iter().rev());
    let back = back.take_while(same).count();
    let before = &before[..before.len() - back];
    let after = &after[..after.len() - back];
    let key = |item: &Arc<T>| entry(Arc::clone(item)).key();
    let mut rest: HashMap<EntryKey, &Arc<T>> =
        before.iter().map(|item| (key(item), item)).collect();
    for item in after {
        let key = key(item);
        let known = rest.remove(&key);
        if !known.is_some_and(|known| same(&(known, item))) {
            changes.push((key, Some(entry(Arc::clone(item)))));
        }
    }
    changes.extend(rest.into_keys().map(|key| (key, None)));
}
