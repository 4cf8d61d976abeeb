//! Which gateway a type belongs to, and whether that one admits it.

use super::lookup::{Lookup, Waiting, name_of};
use super::{Environment, Kind, Others};
use crate::api::condition::reason;
use crate::api::{AppEventType, EventGateway};
use crate::event::ObjectName;

/// Which gateway a type belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The one that is compiled for.
    Here,
    /// Another one, which admits it.
    Elsewhere(ObjectName),
    /// One that does not admit it.
    Refused {
        /// That one.
        by: ObjectName,
        /// What to say.
        why: Waiting,
    },
    /// One that is not there, or cannot be used.
    Missing(Waiting),
}

impl Home {
    /// The home of a type: the gateway that it names, else the default one.
    pub fn of(lookup: &Lookup<'_>, kind: &AppEventType) -> Self {
        let environment = lookup.environment;
        let name = name_of(kind);
        let wanted = kind.spec.gateway_ref.as_ref().map(|reference| {
            let namespace = reference.namespace.as_ref().unwrap_or(&name.namespace);
            ObjectName::new(namespace, &reference.name)
        });
        let is_alone = environment.others == Others::Told;
        let is_named = wanted.is_some();
        let wanted = wanted.unwrap_or_else(|| environment.default_gateway.clone());
        let gateways = &lookup.resources.gateways;
        let Some(gateway) = gateways
            .iter()
            .find(|gateway| name_of::<EventGateway>(gateway) == wanted)
        else {
            if is_alone && !is_named {
                // Without an EventGateway, as on a developer's machine, the defaults serve.
                return Self::Here;
            }
            let message = match lookup.is_invalid(Kind::EventGateway, &wanted) {
                true => format!("EventGateway {wanted} cannot be used yet; see there"),
                false if is_named => format!("EventGateway {wanted} does not exist"),
                false => format!(
                    "EventGateway {wanted}, the installation's default, does not exist, and \
                     spec.gatewayRef names no other"
                ),
            };
            return Self::Missing((reason::GATEWAY_NOT_FOUND, message));
        };
        let allowed = gateway.spec.allowed_namespaces.as_ref();
        let selector = allowed.and_then(|allowed| allowed.selector.as_ref());
        let from = gateway.spec.namespaces_from();
        if !lookup.admits(&wanted.namespace, from, selector, &name.namespace) {
            let message = format!(
                "EventGateway {wanted} does not admit namespace {} (its allowedNamespaces)",
                name.namespace
            );
            let why = (reason::NOT_ALLOWED, message);
            return Self::Refused { by: wanted, why };
        }
        match wanted == environment.gateway {
            true => Self::Here,
            false => Self::Elsewhere(wanted),
        }
    }

    /// Whether a compilation in this environment speaks of it.
    pub fn is_spoken_of(&self, environment: &Environment<'_>) -> bool {
        match (environment.others, self) {
            (Others::Told, _) | (_, Self::Here) => true,
            (Others::LeftOut { .. }, Self::Elsewhere(_)) => false,
            // The URI of one that is not admitted any more goes on being answered 503 there.
            (Others::LeftOut { .. }, Self::Refused { by, .. }) => *by == environment.gateway,
            (Others::LeftOut { speaks_of_homeless }, Self::Missing(_)) => speaks_of_homeless,
        }
    }
}
