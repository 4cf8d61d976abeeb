//! The limits of the configuration listener.

use std::time::Duration;

/// How much the listener takes. Whoever reaches it is in the cluster, and need not be a friend.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Connections at the same time: a pod has two.
    pub connections: usize,
    /// From connecting to the end of the TLS handshake, and for the head of each request.
    pub header_timeout: Duration,
    /// For the body of a request.
    pub body_timeout: Duration,
    /// For checking a token, the waiting for others' checks included.
    pub authentication_timeout: Duration,
    /// Tokens that are checked at the same time: each is a request to the API server.
    pub authentications: usize,
    /// Bytes of what a pod says first: room for the hashes of two million entries.
    pub hello_bytes: usize,
    /// How many may say that at the same time; each is held in memory.
    pub hellos: usize,
    /// Bytes of an acknowledgement or a report.
    pub report_bytes: usize,
    /// How long a stream says nothing before it says that nothing has changed.
    pub ping: Duration,
    /// How long nothing is heard of a pod before it counts as gone.
    pub silence: Duration,
    /// How long a stream lasts; then the pod shows its token anew, and goes on where it was. A
    /// quarter of it may be taken off, so that not all pods come at once.
    pub stream: Duration,
    /// How long open requests may go on when the listener stops.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 1_024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            authentication_timeout: Duration::from_secs(10),
            authentications: 16,
            hello_bytes: 48 << 20,
            hellos: 8,
            report_bytes: 4 << 20,
            ping: Duration::from_secs(5),
            silence: Duration::from_secs(20),
            stream: Duration::from_secs(30 * 60),
            drain: Duration::from_secs(5),
        }
    }
}
