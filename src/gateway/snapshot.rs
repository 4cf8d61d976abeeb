//! What is served at one moment: made from a configuration as a whole, and never changed.
//!
//! A request takes one snapshot and looks at nothing else, so no request sees a part of one
//! configuration and a part of another. Building one does no I/O; what did not change since the
//! one before is taken over, so an edit of one type compiles one type.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::client_address::TrustedProxies;
use super::path;
use crate::api::Problem;
use crate::configuration::{Configuration, CustomerEntry, EventTypeEntry, GatewayEntry};
use crate::event::ObjectName;
use crate::webhook::{CustomerIndex, Receiver};

/// What is served at one moment.
pub struct Snapshot {
    /// The gateway itself.
    pub gateway: GatewayEntry,
    /// From whom forwarding headers are believed.
    pub trusted: TrustedProxies,
    /// The declared customers.
    pub customers: Arc<CustomerIndex>,
    customer_entries: Vec<Arc<CustomerEntry>>,
    rate: Option<Arc<Rate>>,
    routes: HashMap<Box<str>, Arc<ServedType>>,
    types: HashMap<ObjectName, Arc<ServedType>>,
}

/// One event type, ready for requests.
pub struct ServedType {
    /// The AppEventType.
    pub name: ObjectName,
    /// Judges its requests; `None`: the type was never good.
    pub good: Option<Good>,
}

/// An event type that can be used.
#[derive(Clone)]
pub struct Good {
    /// What it was made from.
    pub entry: Arc<EventTypeEntry>,
    /// Judges its requests.
    pub receiver: Arc<Receiver>,
}

/// An entry that could not be taken into use. An earlier form of it stays in use.
#[derive(Clone, Debug)]
pub struct RefusedEntry {
    /// The AppEventType.
    pub name: ObjectName,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

impl Snapshot {
    /// Makes a snapshot of `configuration`, taking over from `previous` what did not change.
    ///
    /// It takes time in proportion to what changed (compiling) and to the number of URIs (a map),
    /// so it is not for a thread that serves requests.
    pub fn build(
        previous: Option<&Self>,
        configuration: &Configuration,
    ) -> (Self, Vec<RefusedEntry>) {
        let Configuration {
            gateway,
            event_types,
            routes,
            customers,
            // Delivery's part.
            subscriptions: _,
        } = configuration;
        let mut refused = Vec::new();
        let mut types = HashMap::with_capacity(event_types.len());
        for entry in event_types {
            let before = previous.and_then(|previous| previous.types.get(&entry.name));
            let served = serve(before, entry, &mut refused);
            types.insert(entry.name.clone(), served);
        }
        let mut served_routes = HashMap::with_capacity(routes.len());
        for route in routes {
            let served = types.entry(route.event_type.clone()).or_insert_with(|| {
                Arc::new(ServedType {
                    name: route.event_type.clone(),
                    good: None,
                })
            });
            served_routes.insert(path::normal_form(&route.path).into(), Arc::clone(served));
        }
        let snapshot = Self {
            trusted: TrustedProxies::new(gateway.trusted_proxies.clone()),
            customers: match previous {
                Some(previous) if previous.customer_entries == *customers => {
                    Arc::clone(&previous.customers)
                }
                _ => Arc::new(CustomerIndex::new(customers)),
            },
            customer_entries: customers.clone(),
            rate: rate(previous, gateway.requests_per_second),
            routes: served_routes,
            types,
            gateway: gateway.clone(),
        };
        (snapshot, refused)
    }

    /// The type that serves a path, given in [`path::normal_form`].
    pub fn route(&self, path: &str) -> Option<&Arc<ServedType>> {
        self.routes.get(path)
    }

    /// The event type of that name, if it is served here.
    pub fn event_type(&self, name: &ObjectName) -> Option<&Arc<ServedType>> {
        self.types.get(name)
    }

    /// Counts a request against `limits.requestsPerSecond`.
    ///
    /// # Errors
    /// How long to wait, when there are too many.
    pub fn admit(&self) -> Result<(), Duration> {
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        rate.limiter
            .check()
            .map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }

    /// The types that are served.
    pub fn types(&self) -> impl Iterator<Item = &Arc<ServedType>> {
        self.types.values()
    }
}

fn serve(
    before: Option<&Arc<ServedType>>,
    entry: &Arc<EventTypeEntry>,
    refused: &mut Vec<RefusedEntry>,
) -> Arc<ServedType> {
    let good_before = before.and_then(|before| Some((before, before.good.as_ref()?)));
    if let Some((before, good)) = good_before
        && good.entry == *entry
    {
        return Arc::clone(before);
    }
    match Receiver::compile(entry) {
        Ok(receiver) => Arc::new(ServedType {
            name: entry.name.clone(),
            good: Some(Good {
                entry: Arc::clone(entry),
                receiver: Arc::new(receiver),
            }),
        }),
        Err(problems) => {
            refused.push(RefusedEntry {
                name: entry.name.clone(),
                problems,
            });
            match good_before {
                Some((before, _)) => Arc::clone(before),
                None => Arc::new(ServedType {
                    name: entry.name.clone(),
                    good: None,
                }),
            }
        }
    }
}

/// Requests a second; a second's worth may come at once.
struct Rate {
    per_second: NonZeroU32,
    limiter: DefaultDirectRateLimiter,
}

fn rate(previous: Option<&Snapshot>, per_second: Option<u32>) -> Option<Arc<Rate>> {
    let per_second = NonZeroU32::new(per_second?)?;
    if let Some(rate) = previous.and_then(|previous| previous.rate.as_ref())
        && rate.per_second == per_second
    {
        return Some(Arc::clone(rate));
    }
    Some(Arc::new(Rate {
        per_second,
        limiter: RateLimiter::direct(Quota::per_second(per_second)),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::{configuration, event_type, open};
    use super::*;

    fn good(snapshot: &Snapshot, path: &str) -> Option<Arc<Receiver>> {
        let served = snapshot.route(path).expect(path);
        served.good.as_ref().map(|good| Arc::clone(&good.receiver))
    }

    #[test]
    fn what_did_not_change_is_taken_over() {
        let webhook = json!({"authentication": open()});
        let types = |max: u32| {
            configuration(vec![
                event_type("a", webhook.clone(), json!({})),
                event_type(
                    "b",
                    json!({"authentication": open(), "maxBodyBytes": max}),
                    json!({}),
                ),
            ])
        };
        let (first, _) = Snapshot::build(None, &types(10));
        let (second, _) = Snapshot::build(Some(&first), &types(20));
        let same = |path| Arc::ptr_eq(&good(&first, path).unwrap(), &good(&second, path).unwrap());
        assert!(same("/shop/a"));
        assert!(!same("/shop/b"));
        assert!(Arc::ptr_eq(&first.customers, &second.customers));
    }

    #[test]
    fn a_type_that_cannot_be_taken_serves_as_before_or_is_unusable() {
        let types = |expression: &str| {
            let webhook = json!({"authentication": open(), "events": {"id": expression}});
            configuration(vec![event_type("a", webhook, json!({}))])
        };
        let (never, refused) = Snapshot::build(None, &types("item.("));
        assert_eq!(
            (refused[0].name.to_string().as_str(), refused.len()),
            ("shop/a", 1)
        );
        assert!(good(&never, "/shop/a").is_none());
        let (fine, refused) = Snapshot::build(Some(&never), &types("item.id"));
        assert!(refused.is_empty());
        let (broken, refused) = Snapshot::build(Some(&fine), &types("item.("));
        assert_eq!(refused.len(), 1);
        let receivers = [
            good(&fine, "/shop/a").unwrap(),
            good(&broken, "/shop/a").unwrap(),
        ];
        assert!(Arc::ptr_eq(&receivers[0], &receivers[1]));
    }

    #[test]
    fn the_rate_goes_on_over_edits_of_other_things() {
        let mut configuration = configuration(Vec::new());
        configuration.gateway.requests_per_second = Some(1);
        let (first, _) = Snapshot::build(None, &configuration);
        assert!(first.admit().is_ok());
        let (second, _) = Snapshot::build(Some(&first), &configuration);
        assert!(second.admit().is_err());
        configuration.gateway.requests_per_second = Some(2);
        let (third, _) = Snapshot::build(Some(&second), &configuration);
        assert!(third.admit().is_ok() && third.admit().is_ok() && third.admit().is_err());
        configuration.gateway.requests_per_second = None;
        let (fourth, _) = Snapshot::build(Some(&third), &configuration);
        assert!((0..100).all(|_| fourth.admit().is_ok()));
    }
}
