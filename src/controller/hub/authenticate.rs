//! Who is at the other end of a connection: a seam, so that tests need no API server.

use futures_util::future::BoxFuture;

use crate::configuration::Sensitive;
use crate::event::ObjectName;

/// Tells whose a token is.
pub trait Authenticate: Send + Sync + 'static {
    /// Whose it is. The token must be meant for the configuration stream, and be in force.
    fn authenticate<'a>(
        &'a self,
        token: &'a Sensitive,
    ) -> BoxFuture<'a, Result<Caller, AuthenticateError>>;
}

/// A gateway's pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The EventGateway it belongs to.
    pub gateway: ObjectName,
    /// The pod's name, in the gateway's namespace.
    pub pod: String,
}

/// Why it is not known whose a token is. Messages hold nothing of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// The token is not valid, not meant for this, or not one of a gateway's pod.
    #[error("the token is refused: {0}")]
    Refused(String),
    /// Nobody could be asked; it may be asked again.
    #[error("failed to check the token: {0}")]
    Unavailable(String),
}
