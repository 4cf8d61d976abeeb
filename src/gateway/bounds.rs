//! Every bound of the gateway in one place, so that none is forgotten and tests can shorten them.
//!
//! The defaults suit a pod that faces the internet. What a platform team may change is in the EventGateway and not here:
//! `limits.connections` and `limits.requestsPerSecond` arrive with the configuration.

use std::time::Duration;

/// The limits of one gateway process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From the first byte of a request (or from accepting the connection) to the end of its
    /// headers.
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// How long a body may come at any speed; afterwards [`Bounds::body_bytes_per_second`] holds.
    pub body_grace: Duration,
    /// The slowest a body may come after the grace: slower senders only hold places.
    pub body_bytes_per_second: u32,
    /// How long a connection may stay open between requests. Longer than the 60 s that common
    /// load balancers keep idle connections, so that they and not we close first: a request sent
    /// into a connection that is just being closed is lost.
    pub idle_timeout: Duration,
    /// How long it may take to store what a request to a registration's URI tells (a captured
    /// secret, a notice), and to make it live. The deadlines of real handshakes are 3 to 10 s, and
    /// apps try again after a 503.
    pub report_timeout: Duration,
    /// How long draining waits for open requests.
    pub drain_timeout: Duration,
    /// Connections open at the same time; one client address may hold half of them.
    pub connections: usize,
    /// Bytes of a request's head. Common servers allow 8 to 32 KiB.
    pub header_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Requests open at the same time on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of all bodies that are in memory at the same time.
    pub body_memory: usize,
    /// Keys that the deduplication index remembers.
    pub deduplication_keys: usize,
    /// Requests that `/v1/requests` remembers.
    pub request_log: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_grace: Duration::from_secs(5),
            body_bytes_per_second: 256,
            idle_timeout: Duration::from_secs(75),
            report_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(25),
            connections: 10_000,
            header_bytes: 32 * 1024,
            headers: 100,
            streams: 128,
            body_memory: 256 * 1024 * 1024,
            deduplication_keys: 2_000_000,
            request_log: 1_000,
        }
    }
}
