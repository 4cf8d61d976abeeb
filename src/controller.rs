//! The controller: resources of a cluster in, configuration for gateway pods out.

pub mod certificates;
pub mod event_gateway;
pub mod hub;
pub mod release;
pub mod server;
