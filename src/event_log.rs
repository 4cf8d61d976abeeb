//! The durable event log: segmented, append-only, group commit.
