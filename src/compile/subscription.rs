//! EventSubscription → its entry.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::claims::Claims;
use super::customer::Customers as KnownCustomers;
use super::event_type::EventTypes;
use super::lookup::{Lookup, Waiting, name_of, selects};
use super::{Detail, Kind, Others, Verdict};
use crate::api::condition::reason;
use crate::api::{self, EventSubscriptionSpec, FieldPath, ObjectReference, Problem};
use crate::configuration::{
    ClientCertificate, Customers, DeliverySettings, Format, Header, Ordering, SigningKey, Sink,
    SubscriptionEntry, Tls,
};
use crate::delivery::sink::{headers, signing};
use crate::event::{CustomerKey, ObjectName};
use crate::expression::{Expression, Scope};
use crate::outbound::AddressPolicy;

pub(super) fn compile(
    lookup: &Lookup<'_>,
    types: &EventTypes,
    customers: &KnownCustomers<'_>,
    verdicts: &mut Vec<Verdict>,
) -> Vec<Arc<SubscriptionEntry>> {
    let mut entries = Vec::new();
    let mut found = Vec::new();
    let claims = Claims::new(types, customers);
    for subscription in &lookup.resources.subscriptions {
        let name = name_of::<api::EventSubscription>(subscription);
        let place = Place::of(lookup, subscription);
        if place == Place::Elsewhere {
            continue;
        }
        let mut draft = Draft {
            lookup,
            object: Kind::EventSubscription.reference(&name),
            name: &name,
            problems: Vec::new(),
            waiting: None,
            missing: 0,
            held: None,
        };
        let entry = draft.entry(&subscription.spec, types, customers);
        if let Some(entry) = &entry {
            draft.claims(entry, types, customers, &claims);
        }
        let Draft {
            problems,
            waiting,
            missing,
            ..
        } = draft;
        let selected = entry.as_ref().and_then(|entry| match &entry.customers {
            Customers::All => None,
            Customers::Only(customers) => Some(customers.len()),
        });
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        if let Some(entry) = entry
            && errors == missing
        {
            entries.push(Arc::new(match place {
                Place::Nowhere => without_credentials(entry),
                Place::Here | Place::Elsewhere => entry,
            }));
        }
        if place == Place::Nowhere && !lookup.speaks_of_homeless() {
            continue;
        }
        let detail = Detail::Subscription {
            customers: selected,
        };
        found.push(Verdict::new(
            Kind::EventSubscription,
            name,
            problems,
            waiting,
            detail,
        ));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    verdicts.extend(found);
    entries
}

/// Where a subscription's events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the gateway that is compiled for.
    Here,
    /// At another one.
    Elsewhere,
    /// Nobody knows: its type is not there, or cannot be read.
    Nowhere,
}

impl Place {
    fn of(lookup: &Lookup<'_>, subscription: &api::EventSubscription) -> Self {
        let event_type = event_type_of(subscription);
        if lookup.event_type(&event_type).is_some() {
            match lookup.speaks_of_type(&event_type) {
                true => Self::Here,
                false => Self::Elsewhere,
            }
        } else if lookup.environment.others == Others::Told {
            Self::Here
        } else {
            Self::Nowhere
        }
    }
}

/// The type that a subscription names.
#[must_use]
pub fn event_type_of(subscription: &api::EventSubscription) -> ObjectName {
    let reference = &subscription.spec.event_type_ref;
    let own = subscription.metadata.namespace.as_ref();
    let namespace = reference.namespace.as_ref().or(own);
    ObjectName::new(namespace.cloned().unwrap_or_default(), &reference.name)
}

/// What a gateway may know of a subscription that perhaps is not its own. Without an entry the
/// events that it keeps for it would go; sending it cannot, so it needs nothing to send with.
fn without_credentials(mut entry: SubscriptionEntry) -> SubscriptionEntry {
    entry.sink.headers.clear();
    entry.sink.signing = None;
    entry.sink.tls = Tls::default();
    entry
        .held
        .get_or_insert_with(|| format!("AppEventType {} cannot be used yet", entry.event_type));
    entry
}

/// One subscription on its way to an entry, with what was found so far.
struct Draft<'a> {
    lookup: &'a Lookup<'a>,
    name: &'a ObjectName,
    object: ObjectReference,
    problems: Vec<Problem>,
    waiting: Option<Waiting>,
    /// How many of the errors say that an object it refers to is not there. Such a subscription has
    /// an entry all the same: without one it would count as deleted, and what is undelivered would
    /// go although nobody deleted it.
    missing: usize,
    /// Why nothing is sent for now, although events are kept.
    held: Option<String>,
}

impl Draft<'_> {
    fn error(&mut self, path: impl Into<FieldPath>, message: impl Into<String>) {
        self.problems
            .push(Problem::error(&self.object, path, message));
    }

    /// What is missing now and may come: the first is the state's reason.
    fn wait(&mut self, path: impl Into<FieldPath>, waiting: Waiting) {
        self.problems
            .push(Problem::warning(&self.object, path, waiting.1.clone()));
        self.waiting.get_or_insert(waiting);
    }

    /// A reference to an object that should be among the resources. In a namespace of which nothing
    /// is known it may well exist elsewhere.
    fn missing(&mut self, path: &str, namespace: &str, waiting: Waiting) {
        if self.lookup.namespaces.contains(namespace) {
            self.missing += 1;
            self.held.get_or_insert_with(|| waiting.1.clone());
            self.error(path, waiting.1.clone());
            self.waiting.get_or_insert(waiting);
        } else {
            self.hold(path, waiting);
        }
    }

    /// The entry; `None` where nothing says where to deliver to. What is missing, be it for sending
    /// or an object that is referred to, holds the subscription: its events are kept until it is
    /// there.
    fn entry(
        &mut self,
        spec: &EventSubscriptionSpec,
        types: &EventTypes,
        customers: &KnownCustomers<'_>,
    ) -> Option<SubscriptionEntry> {
        let (event_type, admitted) = self.event_type(spec, types);
        let selected = self.customers(spec, customers);
        self.filter(spec);
        let delivery = self.delivery(&spec.delivery);
        let sink = self.sink(&spec.sink);
        let entry = SubscriptionEntry {
            name: self.name.clone(),
            uid: self.lookup.identity(Kind::EventSubscription, self.name).uid,
            event_type,
            customers: if admitted { selected } else { only([]) },
            filter: spec.filter.as_ref().map(ToString::to_string),
            sink: sink?,
            delivery,
            suspend: spec.suspend,
            held: self.held.take(),
        };
        Some(entry)
    }

    /// What customers claim at a global webhook, and others have.
    fn claims(
        &mut self,
        entry: &SubscriptionEntry,
        types: &EventTypes,
        customers: &KnownCustomers<'_>,
        claims: &Claims<'_>,
    ) {
        let Customers::Only(selected) = &entry.customers else {
            return;
        };
        let Some(event_type) = types.entry(&entry.event_type) else {
            return;
        };
        let mut all = selected.iter();
        if let Some(message) = all.find_map(|key| claims.taken(event_type, customers, key)) {
            let path = FieldPath::from("spec.customerRef");
            self.wait(path, (reason::CUSTOMER_TAKEN, message));
        }
    }

    /// The type's name, and whether events of it may be kept for this subscription from now on.
    fn event_type(
        &mut self,
        spec: &EventSubscriptionSpec,
        types: &EventTypes,
    ) -> (ObjectName, bool) {
        let reference = &spec.event_type_ref;
        let namespace = reference.namespace.as_ref().unwrap_or(&self.name.namespace);
        let name = ObjectName::new(namespace, &reference.name);
        let Some(event_type) = self.lookup.event_type(&name) else {
            if self.lookup.is_invalid(Kind::AppEventType, &name) {
                let message = format!("AppEventType {name} cannot be used yet; see there");
                self.hold("spec.eventTypeRef", (reason::EVENT_TYPE_NOT_READY, message));
                return (name, true);
            }
            let message = format!("AppEventType {name} does not exist");
            self.missing(
                "spec.eventTypeRef",
                namespace,
                (reason::EVENT_TYPE_NOT_FOUND, message),
            );
            return (name, true);
        };
        let spec = &event_type.spec;
        let selector = spec
            .allowed_namespaces
            .as_ref()
            .and_then(|allowed| allowed.selector.as_ref());
        if !self.lookup.admits(
            namespace,
            spec.namespaces_from(),
            selector,
            &self.name.namespace,
        ) {
            let message = format!(
                "AppEventType {name} does not admit namespace {} (its allowedNamespaces)",
                self.name.namespace
            );
            self.hold("spec.eventTypeRef", (reason::NOT_ALLOWED, message));
            return (name, false);
        }
        if types.entry(&name).is_none() {
            let message = format!("AppEventType {name} cannot be used yet; see there");
            self.waiting
                .get_or_insert((reason::EVENT_TYPE_NOT_READY, message));
        }
        (name, true)
    }

    /// Whose events it gets: nobody's while the Customer that it names is not there.
    fn customers(
        &mut self,
        spec: &EventSubscriptionSpec,
        customers: &KnownCustomers<'_>,
    ) -> Customers {
        let namespace = self.name.namespace.as_str();
        if let Some(reference) = &spec.customer_ref {
            let name = ObjectName::new(namespace, &reference.name);
            if let Some(key) = customers.key(&name) {
                return only([key.clone()]);
            }
            if self
                .lookup
                .resources
                .customers
                .iter()
                .any(|one| name_of::<api::Customer>(one) == name)
            {
                let message = format!("another Customer has the id of Customer {name}");
                self.hold("spec.customerRef", (reason::CUSTOMER_TAKEN, message));
            } else if self.lookup.is_invalid(Kind::Customer, &name) {
                let message = format!("Customer {name} cannot be used yet; see there");
                self.hold("spec.customerRef", (reason::CUSTOMER_NOT_FOUND, message));
            } else {
                let message = format!("Customer {name} does not exist");
                let waiting = (reason::CUSTOMER_NOT_FOUND, message);
                self.missing("spec.customerRef", namespace, waiting);
            }
            return only([]);
        }
        let Some(selector) = &spec.customer_selector else {
            return Customers::All;
        };
        let selected = customers
            .labelled(namespace)
            .filter(|(_, labels)| selects(selector, labels))
            .map(|(key, _)| key.clone());
        only(selected)
    }

    fn filter(&mut self, spec: &EventSubscriptionSpec) {
        let Some(filter) = &spec.filter else { return };
        if let Err(error) = Expression::compile(filter, &Scope::event()) {
            let problem = Problem::error(&self.object, "spec.filter", error.message.clone());
            self.problems.push(problem.at(error.range.start));
        }
    }

    fn delivery(&mut self, spec: &api::Delivery) -> DeliverySettings {
        let settings = DeliverySettings {
            timeout: spec.timeout().duration(),
            backoff_initial: spec.backoff.initial().duration(),
            backoff_max: spec.backoff.max().duration(),
            max_attempts: spec.max_attempts(),
            max_age: spec.max_age().duration(),
            max_in_flight: spec.max_in_flight(),
            ordering: match spec.ordering() {
                api::Ordering::None => Ordering::None,
                api::Ordering::PerCustomer => Ordering::PerCustomer,
            },
        };
        for (path, duration) in [
            ("spec.delivery.timeout", settings.timeout),
            ("spec.delivery.backoff.initial", settings.backoff_initial),
            ("spec.delivery.maxAge", settings.max_age),
        ] {
            if duration.is_zero() {
                self.error(path, "must be longer than zero");
            }
        }
        if settings.backoff_max < settings.backoff_initial {
            self.error(
                "spec.delivery.backoff.max",
                "must be at least backoff.initial",
            );
        }
        settings
    }

    fn sink(&mut self, spec: &api::Sink) -> Option<Sink> {
        let path = FieldPath::from("spec.sink");
        let (uri, service) = match (&spec.uri, &spec.service) {
            (Some(uri), _) => {
                if let Err(error) = url::Url::parse(uri) {
                    self.error(path.field("uri"), format!("is no URL: {error}"));
                }
                (uri.clone(), false)
            }
            (None, Some(service)) => {
                let name = ObjectName::new(&self.name.namespace, &service.name);
                let by_https = spec.tls.is_some();
                let base =
                    match (self.lookup.environment.service_url)(&name, service.port, by_https) {
                        Ok(base) => base,
                        Err(message) => {
                            self.hold(path.field("service"), (reason::SERVICE_NOT_FOUND, message));
                            // Never called: the subscription is held.
                            format!(
                                "http://{}.{}.svc:{}",
                                name.name, name.namespace, service.port
                            )
                        }
                    };
                (
                    format!("{}{}", base.trim_end_matches('/'), service.path()),
                    true,
                )
            }
            (None, None) => {
                self.error(path, "needs uri or service");
                return None;
            }
        };
        let headers = self.headers(spec);
        let signing = spec.signing.as_ref().and_then(|signing| {
            let path = FieldPath::from("spec.sink.signing.secretKeyRef");
            match self
                .lookup
                .secret_key(&self.name.namespace, &signing.secret_key_ref)
            {
                Err(waiting) => {
                    self.hold(path, waiting);
                    None
                }
                Ok(key) => match signing::decode_whsec(key.expose()) {
                    Ok(key) => Some(SigningKey(key)),
                    Err(error) => {
                        self.hold(path, (reason::SECRET_INVALID, error.to_string()));
                        None
                    }
                },
            }
        });
        let tls = spec
            .tls
            .as_ref()
            .map(|tls| self.tls(tls))
            .unwrap_or_default();
        let format = match spec.format() {
            api::SinkFormat::Binary => Format::Binary,
            api::SinkFormat::Structured => Format::Structured,
            api::SinkFormat::Raw => Format::Raw,
        };
        let allowed = self.lookup.environment.private_addresses;
        let is_allowed = |url: &url::Url| {
            allowed.policy(url, &self.name.namespace) == AddressPolicy::AllowPrivate
        };
        let may_be_private = service || url::Url::parse(&uri).is_ok_and(|url| is_allowed(&url));
        Some(Sink {
            uri,
            may_be_private,
            format,
            headers,
            signing,
            tls,
        })
    }

    /// Something that sending needs is missing: events are kept until it is there.
    fn hold(&mut self, path: impl Into<FieldPath>, waiting: Waiting) {
        self.held.get_or_insert_with(|| waiting.1.clone());
        self.wait(path, waiting);
    }

    fn headers(&mut self, spec: &api::Sink) -> Vec<Header> {
        let mut headers = Vec::new();
        for (name, source) in &spec.headers {
            let path = FieldPath::from("spec.sink.headers").field(name);
            if let Err(refused) = headers::check_name(name, spec.signing.is_some()) {
                self.error(path, refused.to_string());
                continue;
            }
            let value = match (&source.value, &source.value_from) {
                (Some(value), _) => value.as_str().into(),
                (None, Some(source)) => {
                    match self
                        .lookup
                        .secret_key(&self.name.namespace, &source.secret_key_ref)
                    {
                        Ok(value) => value,
                        Err(waiting) => {
                            self.hold(path, waiting);
                            continue;
                        }
                    }
                }
                (None, None) => {
                    self.error(path, "needs value or valueFrom");
                    continue;
                }
            };
            if http::HeaderValue::from_bytes(value.expose()).is_err() {
                let message = "the value cannot stand in a header: it holds a line break or another control character";
                match source.value {
                    Some(_) => self.error(path, message),
                    None => self.hold(path, (reason::SECRET_INVALID, message.into())),
                }
                continue;
            }
            headers.push(Header {
                name: name.clone(),
                value,
            });
        }
        headers
    }

    fn tls(&mut self, spec: &api::SinkTls) -> Tls {
        let namespace = self.name.namespace.clone();
        let path = FieldPath::from("spec.sink.tls");
        let mut tls = Tls::default();
        if let Some(source) = &spec.ca_bundle_from {
            let bundle = match (&source.config_map_key_ref, &source.secret_key_ref) {
                (Some(key), _) => self
                    .lookup
                    .config_map_key(&namespace, key)
                    .map(str::to_owned),
                (None, Some(key)) => self
                    .lookup
                    .secret_key(&namespace, key)
                    .map(|bundle| String::from_utf8_lossy(bundle.expose()).into_owned()),
                (None, None) => Ok(String::new()),
            };
            match bundle {
                Ok(bundle) => tls.ca_bundle = Some(bundle),
                Err(waiting) => self.hold(path.field("caBundleFrom"), waiting),
            }
        }
        if let Some(source) = &spec.client_certificate_from {
            let key = |key: &str| api::KeyReference {
                name: source.secret_ref.name.clone(),
                key: key.into(),
            };
            let certificate = self.lookup.secret_key(&namespace, &key("tls.crt"));
            let private_key = self.lookup.secret_key(&namespace, &key("tls.key"));
            match (certificate, private_key) {
                (Ok(certificate), Ok(key)) => {
                    let certificate = String::from_utf8_lossy(certificate.expose()).into_owned();
                    tls.client_certificate = Some(ClientCertificate { certificate, key });
                }
                (Err(waiting), _) | (_, Err(waiting)) => {
                    self.hold(path.field("clientCertificateFrom"), waiting);
                }
            }
        }
        tls
    }
}

fn only(customers: impl IntoIterator<Item = CustomerKey>) -> Customers {
    Customers::Only(Arc::new(customers.into_iter().collect::<BTreeSet<_>>()))
}
