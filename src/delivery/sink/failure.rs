//! Why there was no answer, in one sentence for a person.
//!
//! The sentences are our own: a library's text can hold the URL with its query, or what the other
//! side sent. Nothing of a request's headers or of either body is in them.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use crate::delivery::sender::{Failure, FailureKind};
use crate::outbound::ResolveError;

/// The failure of an attempt that had no answer within `limit`.
pub(super) fn timed_out(limit: Duration) -> Failure {
    failure(
        FailureKind::Timeout,
        format!("the sink gave no answer within {limit:?}"),
    )
}

/// The failure behind a client's error: the first cause in the chain that says something.
pub(super) fn of(error: &reqwest::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = explain(error) {
            return failure;
        }
        cause = error.source();
    }
    if error.is_timeout() {
        return failure(FailureKind::Timeout, "connecting to the sink took too long");
    }
    if error.is_builder() {
        return failure(FailureKind::Internal, "the request could not be built");
    }
    failure(FailureKind::Connection, "the connection to the sink failed")
}

fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure {
        kind,
        status: None,
        message: message.into(),
    }
}

fn explain(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(error) = error.downcast_ref::<ResolveError>() {
        return Some(resolve(error));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(failure(FailureKind::Tls, tls(error)));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // What an I/O error wraps is not among its sources.
        let inner = error.get_ref();
        return inner
            .and_then(|inner| explain(inner as &(dyn Error + 'static)))
            .or_else(|| io(error));
    }
    let error = error.downcast_ref::<hyper::Error>()?;
    let message = if error.is_incomplete_message() || error.is_closed() {
        "the sink closed the connection without an answer"
    } else if error.is_parse() {
        "the sink's answer is not valid HTTP"
    } else if error.is_canceled() {
        "the sink broke the connection off"
    } else {
        return None;
    };
    Some(failure(FailureKind::Connection, message))
}

fn resolve(error: &ResolveError) -> Failure {
    match error {
        ResolveError::Lookup(_) => failure(
            FailureKind::Connection,
            "the sink's host name could not be resolved",
        ),
        ResolveError::Empty => failure(
            FailureKind::Connection,
            "the sink's host name has no address",
        ),
        // Without the address: who may declare sinks need not learn the cluster's addresses.
        ResolveError::Forbidden(refused) => failure(
            FailureKind::Address,
            format!(
                "the sink's host name leads to {}, where requests must not go",
                refused.kind
            ),
        ),
    }
}

fn io(error: &io::Error) -> Option<Failure> {
    let connection = |message: &str| Some(failure(FailureKind::Connection, message));
    match error.kind() {
        io::ErrorKind::ConnectionRefused => connection("the sink refused the connection"),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => connection("the sink broke the connection off"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            connection("the sink's address cannot be reached")
        }
        io::ErrorKind::TimedOut => Some(failure(
            FailureKind::Timeout,
            "connecting to the sink took too long",
        )),
        _ => match error
            .raw_os_error()
            .map(rustix::io::Errno::from_raw_os_error)
        {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => Some(failure(
                FailureKind::Internal,
                "no connection could be opened: too many open files",
            )),
            _ => None,
        },
    }
}

fn tls(error: &rustls::Error) -> String {
    let detail = match error {
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
    };
    format!("TLS with the sink failed: {detail}")
}
