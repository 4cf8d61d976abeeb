//! The public listener, the ingest handler and the admin listener.
