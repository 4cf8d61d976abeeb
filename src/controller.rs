//! The controller: resources of a cluster in, configuration for gateway pods out.

pub mod hub;
