//! What is wanted at the apps' own APIs: one subscription for each customer that somebody selects for
//! a type, and one for each global webhook that is registered by API.
//!
//! What is not wanted any more is removed at the app, so this is careful about what it does not
//! know: where something is missing or broken, a subscription is held rather than given up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::customer::Customers;
use super::event_type::EventTypes;
use super::lookup::{Lookup, Waiting, name_of, selects};
use super::provisioning::{Declared, Provisioning};
use super::subscription::event_type_of;
use super::{Kind, State, Verdict};
use crate::api::condition::reason;
use crate::api::{Customer, EventSubscription, Problem};
use crate::event::ObjectName;
use crate::provision::{CustomerInputs, Desired, Inputs, WebhookFields, subscription_name};

/// The wishes, and what is merely held.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    pub desired: BTreeMap<ObjectName, Arc<Desired>>,
    pub held: BTreeSet<ObjectName>,
}

/// How many customers a message about an EventSubscription names.
const NAMED: usize = 3;

pub(super) fn compile(
    lookup: &Lookup<'_>,
    types: &EventTypes,
    customers: &Customers<'_>,
    verdicts: &mut [Verdict],
) -> Upstream {
    let mut verdicts = Verdicts::new(verdicts);
    let mut collector = Collector {
        lookup,
        types,
        customers,
        upstream: Upstream::default(),
        made: BTreeMap::new(),
    };
    for provisioning in types.provisioning.values() {
        collector.registration(provisioning, &mut verdicts);
    }
    for invalid in &lookup.resources.invalid {
        if invalid.kind == Kind::AppEventType.as_str() && lookup.speaks_of_homeless() {
            let name = ObjectName::new(&invalid.namespace, &invalid.name);
            collector
                .upstream
                .held
                .insert(subscription_name(&name, None));
        }
    }
    for subscription in &lookup.resources.subscriptions {
        collector.subscription(subscription, &mut verdicts);
    }
    let Upstream { desired, mut held } = collector.upstream;
    held.retain(|name| !desired.contains_key(name));
    Upstream { desired, held }
}

struct Collector<'a> {
    lookup: &'a Lookup<'a>,
    types: &'a EventTypes,
    customers: &'a Customers<'a>,
    upstream: Upstream,
    /// What was found about each pair already: several EventSubscriptions may select it.
    made: BTreeMap<ObjectName, Found>,
}

/// What is to be said about one customer of a type.
#[derive(Clone, Default)]
struct Found {
    /// Why nothing can be requested for it.
    waiting: Option<Waiting>,
    /// What works, but perhaps not as meant.
    doubt: Option<String>,
}

impl<'a> Collector<'a> {
    /// The registration of a type's global webhook.
    fn registration(&mut self, provisioning: &Provisioning, verdicts: &mut Verdicts<'_>) {
        let Some(declared) = &provisioning.registration else {
            return;
        };
        let name = subscription_name(&provisioning.event_type, None);
        let found = self.wish(provisioning, declared, name, None);
        let Some((why, message)) = found.waiting else {
            return;
        };
        let verdict = verdicts.of(Kind::AppEventType, &provisioning.event_type);
        // What is wrong with the type itself is said there already.
        if let Some(verdict) = verdict.filter(|verdict| verdict.state == State::Ready) {
            say(verdict, "spec.globalWebhook.registration", (why, message));
        }
    }

    /// The subscriptions of the customers that one EventSubscription selects.
    fn subscription(&mut self, subscription: &EventSubscription, verdicts: &mut Verdicts<'_>) {
        let name = name_of(subscription);
        let spec = &subscription.spec;
        if spec.customer_ref.is_none() && spec.customer_selector.is_none() {
            return;
        }
        let event_type = event_type_of(subscription);
        if !self.lookup.speaks_of_type(&event_type) {
            return;
        }
        let (known, unknown) = self.selected(&name.namespace, subscription);
        let hold = |customers: &mut dyn Iterator<Item = &ObjectName>, held: &mut BTreeSet<_>| {
            held.extend(customers.map(|one| subscription_name(&event_type, Some(one))));
        };
        let mut all = known.iter().map(|(name, _)| name).chain(&unknown);
        let Some(object) = self.lookup.event_type(&event_type) else {
            if self.lookup.is_invalid(Kind::AppEventType, &event_type) {
                hold(&mut all, &mut self.upstream.held);
            }
            return;
        };
        let allowed = object.spec.allowed_namespaces.as_ref();
        let selector = allowed.and_then(|allowed| allowed.selector.as_ref());
        let from = object.spec.namespaces_from();
        if object.spec.subscription.is_none()
            || !self
                .lookup
                .admits(&event_type.namespace, from, selector, &name.namespace)
        {
            return;
        }
        let verdict = verdicts.of(Kind::EventSubscription, &name);
        let broken = verdict
            .as_ref()
            .is_none_or(|verdict| verdict.state == State::Invalid);
        let provisioning = self.types.provisioning.get(&event_type);
        let declared = provisioning.and_then(|one| one.subscription.as_ref());
        let (Some(provisioning), Some(declared), false) = (provisioning, declared, broken) else {
            hold(&mut all, &mut self.upstream.held);
            return;
        };
        hold(&mut unknown.iter(), &mut self.upstream.held);
        let mut waiting: Vec<(ObjectName, Waiting)> = Vec::new();
        let mut doubts: Vec<(ObjectName, String)> = Vec::new();
        for (customer_name, customer) in known {
            let name = subscription_name(&event_type, Some(&customer_name));
            let found = match self.made.get(&name) {
                Some(found) => found.clone(),
                None => {
                    let customer = Some((&customer_name, customer));
                    let found = self.wish(provisioning, declared, name.clone(), customer);
                    self.made.insert(name, found.clone());
                    found
                }
            };
            waiting.extend(
                found
                    .waiting
                    .map(|waiting| (customer_name.clone(), waiting)),
            );
            doubts.extend(found.doubt.map(|doubt| (customer_name, doubt)));
        }
        let Some(verdict) = verdict else { return };
        let path = match spec.customer_ref {
            Some(_) => "spec.customerRef",
            None => "spec.customerSelector",
        };
        if let Some((_, (why, _))) = waiting.first() {
            let why = *why;
            let of = waiting
                .iter()
                .map(|(name, (_, message))| (name, message.as_str()));
            say(verdict, path, (why, listed(of, waiting.len())));
        }
        if !doubts.is_empty() {
            let of = doubts
                .iter()
                .map(|(name, message)| (name, message.as_str()));
            let message = listed(of, doubts.len());
            let object = Kind::EventSubscription.reference(&name);
            verdict
                .problems
                .push(Problem::warning(&object, path, message));
        }
    }

    /// The customers that are selected: those that can be used, and the names of those that are
    /// there and cannot, or of which it is not known whether they are selected.
    fn selected(
        &self,
        namespace: &str,
        subscription: &EventSubscription,
    ) -> (Vec<(ObjectName, &'a Customer)>, Vec<ObjectName>) {
        let spec = &subscription.spec;
        let reference = spec.customer_ref.as_ref();
        let is_selected = |customer: &Customer| match (reference, &spec.customer_selector) {
            (Some(reference), _) => customer.metadata.name.as_ref() == Some(&reference.name),
            (None, Some(selector)) => selects(
                selector,
                customer
                    .metadata
                    .labels
                    .as_ref()
                    .unwrap_or(&BTreeMap::new()),
            ),
            (None, None) => false,
        };
        let (lookup, customers) = (self.lookup, self.customers);
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        if let Some(reference) = reference
            && let name = ObjectName::new(namespace, &reference.name)
            && let Some(customer) = customers.object(&name)
        {
            return (vec![(name, customer)], unknown);
        }
        for customer in &lookup.resources.customers {
            if customer.metadata.namespace.as_deref() != Some(namespace) || !is_selected(customer) {
                continue;
            }
            let name = name_of::<Customer>(customer);
            match customers.key(&name) {
                Some(_) => known.push((name, &**customer)),
                None => unknown.push(name),
            }
        }
        let invalid = lookup.resources.invalid.iter();
        unknown.extend(
            invalid
                .filter(|object| {
                    object.kind == Kind::Customer.as_str() && object.namespace == namespace
                })
                .filter(|object| reference.is_none_or(|reference| reference.name == object.name))
                .map(|object| ObjectName::new(&object.namespace, &object.name)),
        );
        (known, unknown)
    }

    /// Wishes for one subscription, or holds it and says why.
    fn wish(
        &mut self,
        provisioning: &Provisioning,
        declared: &Declared,
        name: ObjectName,
        customer: Option<(&ObjectName, &Customer)>,
    ) -> Found {
        let mut found = Found::default();
        let Some(program) = &declared.program else {
            found.waiting = Some((
                reason::EVENT_TYPE_NOT_READY,
                format!(
                    "AppEventType {} cannot be used yet; see there",
                    provisioning.event_type
                ),
            ));
            self.upstream.held.insert(name);
            return found;
        };
        found.waiting.clone_from(&provisioning.app_waiting);
        let mut webhook_fields = WebhookFields::default();
        let customer = customer.map(|(name, customer)| {
            let (fields, waiting) = self.lookup.fields(
                &name.namespace,
                &customer.spec.fields,
                &customer.spec.fields_from,
            );
            found.waiting = found.waiting.take().or(waiting);
            webhook_fields = provisioning.webhook_fields.clone();
            found.doubt = webhook_fields
                .shown
                .iter()
                .find(|field| fields.sensitive.contains_key(*field))
                .map(|field| {
                    format!(
                        "webhook of AppEventType {} reads customer.fields.{field}, which comes \
                         from a Secret and does not travel to the gateway: requests are answered \
                         503; name it as a key instead, {{customerField: {field}}}",
                        provisioning.event_type
                    )
                });
            webhook_fields
                .shown
                .retain(|field| !fields.sensitive.contains_key(field));
            CustomerInputs {
                name: name.clone(),
                id: customer.id().to_owned(),
                fields,
            }
        });
        let inputs = Inputs {
            event_type: provisioning.event_type.clone(),
            type_: provisioning.type_.clone(),
            global: customer.is_none(),
            subscription: Arc::clone(&declared.spec),
            deletion_policy: provisioning.deletion_policy,
            public_url: (self.lookup.environment.public_url)
                .trim_end_matches('/')
                .to_owned(),
            global_webhook_path: provisioning.global_webhook_path.clone(),
            webhook_fields,
            app: provisioning.app.clone(),
            customer,
        };
        if found.waiting.is_none() {
            found.waiting = program
                .try_out(&inputs)
                .err()
                .map(|error| (reason::REQUEST_NOT_SENT, error.to_string()));
        }
        if found.waiting.is_some() {
            self.upstream.held.insert(name);
            return found;
        }
        let desired = Desired {
            name: name.clone(),
            request_hash: program.request_hash(&inputs),
            inputs: Arc::new(inputs),
            allow_re_registration: provisioning.allow_re_registration,
        };
        self.upstream.desired.insert(name, Arc::new(desired));
        found
    }
}

/// The verdicts, found by name without a search: there may be one for each of many customers.
struct Verdicts<'v> {
    verdicts: &'v mut [Verdict],
    positions: HashMap<(Kind, ObjectName), usize>,
}

impl<'v> Verdicts<'v> {
    fn new(verdicts: &'v mut [Verdict]) -> Self {
        let positions = verdicts
            .iter()
            .enumerate()
            .map(|(position, verdict)| ((verdict.kind, verdict.name.clone()), position))
            .collect();
        Self {
            verdicts,
            positions,
        }
    }

    fn of(&mut self, kind: Kind, name: &ObjectName) -> Option<&mut Verdict> {
        let position = *self.positions.get(&(kind, name.clone()))?;
        self.verdicts.get_mut(position)
    }
}

/// Adds what is missing: a warning, and the reason of the state if there is none yet.
fn say(verdict: &mut Verdict, path: &str, (why, message): Waiting) {
    let object = verdict.kind.reference(&verdict.name);
    verdict
        .problems
        .push(Problem::warning(&object, path, message.clone()));
    if verdict.state == State::Ready {
        verdict.state = State::Waiting {
            reason: why,
            message,
        };
    }
}

/// One sentence about several customers.
fn listed<'m>(of: impl Iterator<Item = (&'m ObjectName, &'m str)>, count: usize) -> String {
    let mut text: Vec<String> = of
        .take(NAMED)
        .map(|(name, message)| format!("Customer {name}: {message}"))
        .collect();
    if count > NAMED {
        text.push(format!("and {} more", count - NAMED));
    }
    text.join("; ")
}

#[cfg(test)]
mod tests;
