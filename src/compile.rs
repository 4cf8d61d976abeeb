//! Resources → configuration entries, with what is wrong and where. Pure.
//!
//! The same code decides for `tidegate check`, for `tidegate dev` and for a controller, so that
//! what one accepts no other refuses. It makes an entry of every object that can be used and a
//! [`Verdict`] on every object; it never stops at the first problem. Keeping the last good form of
//! a broken object is the caller's: it hands in that form instead.

mod claims;
mod customer;
mod event_type;
mod gateway;
mod home;
mod keys;
mod last_good;
mod lookup;
mod provisioning;
mod several;
mod subscription;
mod upstream;
mod verdict;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::Resources;
use crate::configuration::Configuration;
use crate::event::ObjectName;
use crate::outbound::PrivateAddresses;
use crate::provision::Desired;

pub use last_good::{Judged, WithLastGood, with_last_good};
pub use lookup::name_of;
pub use several::{Installation, OfAllGateways, compile_all};
pub use subscription::event_type_of;
pub use verdict::{Detail, Kind, State, Verdict};

pub(crate) use keys::key_sources;

use lookup::Lookup;
use upstream::Upstream;

/// What compilation needs to know beyond the resources. The functions must be pure.
pub struct Environment<'a> {
    /// The base of every webhook URI, without a slash at its end.
    pub public_url: &'a str,
    /// The gateway that is compiled for.
    pub gateway: ObjectName,
    /// The installation's default gateway: used by types without a `gatewayRef`.
    pub default_gateway: ObjectName,
    /// What becomes of objects that belong to another gateway.
    pub others: Others,
    /// At which private addresses sinks may be, beside Services of their own namespace.
    pub private_addresses: &'a PrivateAddresses,
    /// The paths of types that cannot be used and never could: they answer 503 rather than 404.
    pub unusable_paths: &'a [(ObjectName, String)],
    /// The token of a type's unguessable webhook URI.
    pub webhook_token: &'a dyn Fn(&ObjectName) -> String,
    /// The base URL of a Service's port, such as `http://orders.shop.svc:80`, by HTTPS if the last
    /// argument says so; or why there is none.
    pub service_url: &'a dyn Fn(&ObjectName, u16, bool) -> Result<String, String>,
    /// When an object came to be, and what tells it from another of the same name.
    pub identity: &'a dyn Fn(Kind, &ObjectName) -> Identity,
}

/// What becomes of objects that belong to another gateway than the one that is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// There is only this gateway, as in `dev` and `check`: they are told so, and whoever names no
    /// gateway belongs here also where nobody declared one.
    Told,
    /// There are several, each compiled for by itself: this compilation does not speak of them.
    LeftOut {
        /// Whether it speaks of what belongs to no gateway at all. Exactly one of them must.
        speaks_of_homeless: bool,
    },
}

/// The base URL of a Service's port inside a cluster.
///
/// # Errors
/// None: whether there is such a Service shows when it is called.
pub fn in_cluster_url(service: &ObjectName, port: u16, by_https: bool) -> Result<String, String> {
    let scheme = if by_https { "https" } else { "http" };
    let ObjectName { namespace, name } = service;
    Ok(format!("{scheme}://{name}.{namespace}.svc:{port}"))
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

/// Compiles everything that the gateway `environment.gateway` serves.
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
