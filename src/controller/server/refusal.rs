//! Why a pod's request is not answered as it wishes: a status and a sentence that says what to do.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;

use super::super::hub::AuthenticateError;
use crate::configuration::stream::PROTOCOL_VERSION;

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another process leads.
    #[error("this controller does not lead{}; connect again to reach the one that does", named(.0))]
    NotLeading(Option<String>),
    /// There is no token.
    #[error("send the ServiceAccount token as `Authorization: Bearer …`")]
    NoToken,
    /// Nobody knows whose the token is.
    #[error(transparent)]
    Token(#[from] AuthenticateError),
    /// The session is over, or never was.
    #[error("the stream that this belongs to has ended; connect again")]
    NoSession,
    /// The pod says that it is of another gateway than its token does.
    #[error(
        "the token is one of the EventGateway {token}, and the pod says it belongs to {said}: check --gateway and the ServiceAccount of the pod"
    )]
    Gateway {
        /// By its token.
        token: String,
        /// By what it says.
        said: String,
    },
    /// The pod says that it is another one than its token does.
    #[error("the token is the pod {token}'s, and the pod says it is {said}: check --pod")]
    Pod {
        /// By its token.
        token: String,
        /// By what it says.
        said: String,
    },
    /// The two cannot understand each other.
    #[error(
        "the gateway speaks version {0} of the configuration stream, this controller version {PROTOCOL_VERSION}: run both in the same version of Tidegate"
    )]
    Version(u32),
    /// A registration that is not the gateway's.
    #[error("there is no such registration at this gateway")]
    NoRegistration,
    /// The body is not what it should be.
    #[error("the body is not what this address takes")]
    Body,
    /// The body is larger than it may be.
    #[error("the body is too large")]
    TooLarge,
    /// The body did not come in time.
    #[error("the body did not come in time")]
    TooSlow,
    /// Too much is going on.
    #[error("too many pods are connecting at this moment")]
    Busy,
    /// It could not be stored.
    #[error("it cannot be stored at this moment")]
    NotStored,
}

fn named(leader: &Option<String>) -> String {
    leader
        .as_ref()
        .map_or_else(String::new, |leader| format!(", {leader} does"))
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotLeading(_)
            | Self::Token(AuthenticateError::Unavailable(_))
            | Self::Busy
            | Self::NotStored => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoToken | Self::Token(AuthenticateError::Refused(_)) | Self::NoSession => {
                StatusCode::UNAUTHORIZED
            }
            Self::Gateway { .. } | Self::Pod { .. } | Self::NoRegistration => StatusCode::FORBIDDEN,
            Self::Version(_) => StatusCode::CONFLICT,
            Self::Body => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut body = json!({"error": self.to_string()});
        if let Self::NotLeading(leader) = &self {
            body["notLeading"] = json!({"leader": leader});
        }
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
