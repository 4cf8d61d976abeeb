//! Tidegate: app events on Kubernetes.
//!
//! Platform teams declare which events an app can emit; Tidegate receives the
//! webhooks that carry them, verifies and splits them, stores every event
//! durably before it answers, and delivers each as a CloudEvent.
//!
//! The modules are the architecture; `ARCHITECTURE.md` draws it. Pure modules
//! (`api`, `expression`, `schema`, `webhook`, `compile`, `configuration`,
//! `event`) do no I/O, read no clock and no environment.

pub mod api;
pub mod compile;
pub mod configuration;
pub mod controller;
pub mod delivery;
pub mod dev;
pub mod durable;
pub mod engine;
pub mod event;
pub mod event_log;
pub mod expression;
pub mod gateway;
pub mod manifest;
pub mod outbound;
pub mod pod;
pub mod provision;
pub mod schema;
pub mod telemetry;
pub mod webhook;
