//! The contract between what decides (`dev` now, the controller later) and what serves (the
//! gateway): small entries, each complete in itself.
//!
//! `compile` makes entries from resources; `gateway` and `delivery` know nothing else. An entry
//! carries the keys it needs and nothing else that is sensitive. Every entry serialises, so that
//! the same values can travel over a configuration stream; comparing two entries tells whether
//! anything has to be built anew.

mod sensitive;
mod subscription;

pub use sensitive::Sensitive;
pub use subscription::{
    ClientCertificate, Customers, DeliverySettings, Format, Header, Ordering, SigningKey, Sink,
    SubscriptionEntry, Tls,
};
