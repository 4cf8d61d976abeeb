//! The public listener, the ingest handler and the admin listener.

mod body;
mod bounds;
mod client_address;
mod deduplication;
mod listener;
mod path;
mod places;
mod problem;
pub mod token;

pub use bounds::Bounds;
