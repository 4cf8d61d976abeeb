//! Why there was no answer, in one sentence for a person.
//!
//! The sentences are our own: a library's text can hold the URL with its query, or what the other
//! side sent. Nothing of a request's headers or of either body is in them.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use super::ResolveError;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// What kind of fault.
    pub kind: UnansweredKind,
    /// Whether the request surely never left: the connection it would have gone over was not made.
    pub not_sent: bool,
    /// One sentence for a person.
    pub message: String,
}

/// The kinds of [`Unanswered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnansweredKind {
    /// Nothing came in time.
    Timeout,
    /// No connection: name resolution, refused, reset, broken off.
    Connection,
    /// The TLS handshake failed.
    Tls,
    /// The address is one that must not be reached.
    Address,
    /// A fault of our own.
    Internal,
}

impl Unanswered {
    /// Nothing came from the `peer` ("sink", "app") within `limit`. The request may have left.
    pub fn timed_out(peer: &str, limit: Duration) -> Self {
        Self {
            kind: UnansweredKind::Timeout,
            not_sent: false,
            message: format!("the {peer} gave no answer within {limit:?}"),
        }
    }

    /// What is behind a client's error: the first cause in the chain that says something. `peer`
    /// is what the other side is called.
    pub fn of(peer: &str, error: &reqwest::Error) -> Self {
        let (kind, message) = cause(peer, error);
        Self {
            kind,
            // Connecting includes the name, the proxy and the handshake. A client that refuses to
            // build a request has not sent it either.
            not_sent: error.is_connect() || error.is_builder(),
            message,
        }
    }
}

type Cause = (UnansweredKind, String);

fn cause(peer: &str, error: &reqwest::Error) -> Cause {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = explain(peer, error) {
            return found;
        }
        cause = error.source();
    }
    if error.is_timeout() {
        return slow_connection(peer);
    }
    if error.is_builder() {
        let message = "the request could not be built".to_owned();
        return (UnansweredKind::Internal, message);
    }
    connection(format!("the connection to the {peer} failed"))
}

fn connection(message: String) -> Cause {
    (UnansweredKind::Connection, message)
}

fn slow_connection(peer: &str) -> Cause {
    let message = format!("connecting to the {peer} took too long");
    (UnansweredKind::Timeout, message)
}

fn explain(peer: &str, error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref::<ResolveError>() {
        return Some(resolve(peer, error));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        let message = format!("TLS with the {peer} failed: {}", tls(error));
        return Some((UnansweredKind::Tls, message));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // What an I/O error wraps is not among its sources.
        let inner = error.get_ref();
        return inner
            .and_then(|inner| explain(peer, inner as &(dyn Error + 'static)))
            .or_else(|| io(peer, error));
    }
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_incomplete_message() || error.is_closed() {
        Some(connection(format!(
            "the {peer} closed the connection without an answer"
        )))
    } else if error.is_parse() {
        Some(connection(format!("the {peer}'s answer is not valid HTTP")))
    } else if error.is_canceled() {
        Some(connection(format!("the {peer} broke the connection off")))
    } else {
        None
    }
}

fn resolve(peer: &str, error: &ResolveError) -> Cause {
    match error {
        ResolveError::Lookup(_) => {
            connection(format!("the {peer}'s host name could not be resolved"))
        }
        ResolveError::Empty => connection(format!("the {peer}'s host name has no address")),
        // Without the address: who may declare URLs need not learn the cluster's addresses.
        ResolveError::Forbidden(refused) => (
            UnansweredKind::Address,
            format!(
                "the {peer}'s host name leads to {}, where requests must not go",
                refused.kind
            ),
        ),
    }
}

fn io(peer: &str, error: &io::Error) -> Option<Cause> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            Some(connection(format!("the {peer} refused the connection")))
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => {
            Some(connection(format!("the {peer} broke the connection off")))
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some(connection(
            format!("the {peer}'s address cannot be reached"),
        )),
        io::ErrorKind::TimedOut => Some(slow_connection(peer)),
        _ => match error
            .raw_os_error()
            .map(rustix::io::Errno::from_raw_os_error)
        {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => Some((
                UnansweredKind::Internal,
                "no connection could be opened: too many open files".to_owned(),
            )),
            _ => None,
        },
    }
}

fn tls(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            // The second: signed by another authority of the same name, as when one was renewed.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is of an unknown authority"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another host name"
            }
            CertificateError::Revoked => "its certificate is revoked",
            _ => "its certificate is not acceptable",
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => "it asks for a client certificate",
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA => "it does not accept our client certificate",
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
                "it offers no protocol version or cipher that we accept"
            }
            AlertDescription::UnrecognisedName => "it does not know its own host name",
            _ => "it ended the handshake",
        },
        rustls::Error::PeerIncompatible(_) => {
            "it offers no protocol version or cipher that we accept"
        }
        rustls::Error::InvalidMessage(_) => "it does not speak TLS",
        _ => "the handshake failed",
    }
}
