//! The contract between what decides (`dev` now, the controller later) and what serves (the
//! gateway): small entries, each complete in itself.
//!
//! `compile` makes entries from resources; `gateway` and `delivery` know nothing else. An entry
//! carries the keys it needs and nothing else that is sensitive. Every entry serialises, so that
//! the same values can travel over a configuration stream; comparing two entries tells whether
//! anything has to be built anew.

mod event_type;
mod health;
mod network;
mod registration;
mod sensitive;
pub mod stream;
mod subscription;

use std::sync::Arc;

pub use event_type::{
    CustomerEntry, EventTypeEntry, GatewayEntry, KeyEntry, Registrations, RouteEntry, VariantEntry,
};
pub use health::SubscriptionHealth;
pub use network::{Network, NetworkError};
pub use registration::{
    CaptureAnswer, Captured, LiveRegistration, NoReports, NotStored, RegistrationChange,
    RegistrationCustomer, RegistrationEntry, RegistrationState, Reports, WebhookFields,
};
pub use sensitive::Sensitive;
pub use subscription::{
    ClientCertificate, Customers, DeliverySettings, Format, Header, Ordering, SigningKey, Sink,
    SubscriptionEntry, Tls,
};

/// Everything one gateway serves, at one moment. It is applied as a whole: no request sees a part
/// of one configuration and a part of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// The gateway itself.
    pub gateway: GatewayEntry,
    /// The event types that can be used.
    pub event_types: Vec<Arc<EventTypeEntry>>,
    /// The webhook URIs; paths are unique.
    pub routes: Vec<Arc<RouteEntry>>,
    /// The customers; ids are unique in their namespace.
    pub customers: Vec<Arc<CustomerEntry>>,
    /// The subscriptions.
    pub subscriptions: Vec<Arc<SubscriptionEntry>>,
}
