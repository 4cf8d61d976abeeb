//! From stored events to sinks: routing, queues, retries, dead letters.
