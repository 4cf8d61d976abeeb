//! Resources → configuration entries, with what is wrong and where. Pure.
//!
//! The same code decides for `tidegate check`, for `tidegate dev` and for a controller, so that
//! what one accepts no other refuses. It makes an entry of every object that can be used and a
//! [`Verdict`] on every object; it never stops at the first problem. Keeping the last good form of
//! a broken object is the caller's: it hands in that form instead.

mod customer;
mod event_type;
mod gateway;
mod keys;
mod lookup;
mod provisioning;
mod subscription;
mod upstream;
mod verdict;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::Resources;
use crate::configuration::Configuration;
use crate::event::ObjectName;
use crate::provision::Desired;

pub use lookup::name_of;
pub use verdict::{Detail, Kind, State, Verdict};

use lookup::Lookup;
use upstream::Upstream;

/// What compilation needs to know beyond the resources. The functions must be pure.
pub struct Environment<'a> {
    /// The base of every webhook URI, without a slash at its end.
    pub public_url: &'a str,
    /// The installation's default gateway: used by types without a `gatewayRef`.
    pub default_gateway: ObjectName,
    /// Whether every sink may be at a private address, as on a developer's machine; if not, only
    /// Services may.
    pub private_sinks: bool,
    /// The paths of types that cannot be used and never could: they answer 503 rather than 404.
    pub unusable_paths: &'a [(ObjectName, String)],
    /// The token of a type's unguessable webhook URI.
    pub webhook_token: &'a dyn Fn(&ObjectName) -> String,
    /// The base URL of a Service's port, such as `http://orders.shop.svc:80`; or why there is none.
    pub service_url: &'a dyn Fn(&ObjectName, u16) -> Result<String, String>,
    /// When an object came to be, and what tells it from another of the same name.
    pub identity: &'a dyn Fn(Kind, &ObjectName) -> Identity,
}

/// What tells an object from an earlier or later one of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.creationTimestamp`: of two objects that claim the same, the older has it.
    pub since: Timestamp,
}

/// The outcome: what the gateway is to serve, and what is to be said about each object.
#[derive(Debug)]
pub struct Compiled {
    /// The entries of everything that can be used.
    pub configuration: Configuration,
    /// One for each object, in the order gateways, types, customers, subscriptions.
    pub verdicts: Vec<Verdict>,
    /// The subscriptions that are wanted at the apps' own APIs; names are unique.
    pub upstream: Vec<Arc<Desired>>,
    /// The names of those of which it is not known now what they should be: something that they
    /// need is missing or broken. What stands of them stays as it is, and nothing new is made.
    pub held: BTreeSet<ObjectName>,
}

/// Compiles everything that the gateway `environment.default_gateway` serves.
pub fn compile(resources: &Resources, environment: &Environment<'_>) -> Compiled {
    let lookup = Lookup::new(resources, environment);
    let mut verdicts = Vec::new();
    let gateway = gateway::compile(&lookup, &mut verdicts);
    let types = event_type::compile(&lookup, &mut verdicts);
    let customers = customer::compile(&lookup, &types, &mut verdicts);
    let subscriptions = subscription::compile(&lookup, &types, &customers, &mut verdicts);
    let Upstream { desired, held } = upstream::compile(&lookup, &types, &customers, &mut verdicts);
    let configuration = Configuration {
        gateway,
        event_types: types.entries,
        routes: types.routes,
        customers: customers.entries,
        subscriptions,
    };
    Compiled {
        configuration,
        verdicts,
        upstream: desired.into_values().collect(),
        held,
    }
}
