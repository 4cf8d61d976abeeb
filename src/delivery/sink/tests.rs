//! Sinks: exact bytes of every form, signatures, TLS, and what becomes of every kind of answer.

mod connections;
mod messages;
mod requests;
mod server;
mod signatures;
