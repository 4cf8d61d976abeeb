//! EventGateway → its entry.

use super::lookup::{Lookup, name_of};
use super::{Detail, Kind, Others, Verdict};
use crate::api::{EventGateway, EventGatewaySpec, FieldPath, Problem};
use crate::configuration::GatewayEntry;
use crate::event::ObjectName;

/// The entry of the gateway that is compiled for, and a verdict on every gateway it speaks of.
pub(super) fn compile(lookup: &Lookup<'_>, verdicts: &mut Vec<Verdict>) -> GatewayEntry {
    let mut entry = None;
    for gateway in &lookup.resources.gateways {
        let name = name_of::<EventGateway>(gateway);
        let is_meant = name == lookup.environment.gateway;
        if !is_meant && lookup.environment.others != Others::Told {
            continue;
        }
        let mut problems = Vec::new();
        if let Some(problem) = EventGateway::name_problem(&name.name) {
            problems.push(Problem::error(
                &Kind::EventGateway.reference(&name),
                FieldPath::from("metadata.name"),
                problem,
            ));
        }
        let compiled = one(lookup, &name, &gateway.spec, &mut problems);
        if is_meant {
            entry = Some(compiled);
        }
        verdicts.push(Verdict::new(
            Kind::EventGateway,
            name,
            problems,
            None,
            Detail::None,
        ));
    }
    // Without an EventGateway, as on a developer's machine, the defaults serve.
    entry.unwrap_or_else(|| {
        let spec = EventGatewaySpec::new(lookup.environment.public_url.to_owned());
        one(lookup, &lookup.environment.gateway, &spec, &mut Vec::new())
    })
}

fn one(
    lookup: &Lookup<'_>,
    name: &ObjectName,
    spec: &EventGatewaySpec,
    problems: &mut Vec<Problem>,
) -> GatewayEntry {
    let path = FieldPath::from("spec.trustedProxies");
    let mut trusted_proxies = Vec::new();
    for (index, text) in spec.trusted_proxies.iter().enumerate() {
        match text.parse() {
            Ok(network) => trusted_proxies.push(network),
            Err(error) => problems.push(Problem::error(
                &Kind::EventGateway.reference(name),
                path.index(index),
                format!("{text} is no address range: {error}"),
            )),
        }
    }
    GatewayEntry {
        public_url: lookup.environment.public_url.to_owned(),
        requests_per_second: spec.limits.requests_per_second,
        connections: spec.limits.connections(),
        undelivered_share: spec.limits.undelivered_share(),
        replay_retention: spec.storage.replay_retention().duration(),
        trusted_proxies,
    }
}
