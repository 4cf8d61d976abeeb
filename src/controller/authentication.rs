//! Whose a token is: the API server knows (TokenReview).
//!
//! A gateway's pods run as the ServiceAccount `tidegate-gateway-<name>`, and show a projected token
//! that is meant for this server alone: it is of no use at the API server, and theirs none here.

use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, PostParams};

use super::hub::{Authenticate, AuthenticateError, Caller};
use crate::configuration::Sensitive;
use crate::event::ObjectName;

/// Whom the pods' tokens are meant for.
pub const AUDIENCE: &str = "tidegate-configuration";

/// How the ServiceAccounts of gateways begin.
const SERVICE_ACCOUNT: &str = "tidegate-gateway-";

/// What the API server says which pod a token was projected into.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the API server.
#[derive(Clone)]
pub struct TokenReviews {
    client: Client,
}

impl TokenReviews {
    /// Asks it through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Authenticate for TokenReviews {
    fn authenticate<'a>(
        &'a self,
        token: &'a Sensitive,
    ) -> BoxFuture<'a, Result<Caller, AuthenticateError>> {
        Box::pin(async move {
            let Ok(token) = std::str::from_utf8(token.expose()) else {
                let why = "it is no text".to_owned();
                return Err(AuthenticateError::Refused(why));
            };
            let review = TokenReview {
                spec: TokenReviewSpec {
                    audiences: Some(vec![AUDIENCE.to_owned()]),
                    token: Some(token.to_owned()),
                },
                ..TokenReview::default()
            };
            let api: Api<TokenReview> = Api::all(self.client.clone());
            let parameters = PostParams::default();
            let review = api.create(&parameters, &review);
            let review = match tokio::time::timeout(PATIENCE, review).await {
                Ok(Ok(review)) => review,
                // The error of the client does not hold what was sent.
                Ok(Err(error)) => return Err(AuthenticateError::Unavailable(error.to_string())),
                Err(_) => {
                    let why = format!("the API server did not answer within {PATIENCE:?}");
                    return Err(AuthenticateError::Unavailable(why));
                }
            };
            caller(review.status.unwrap_or_default()).map_err(AuthenticateError::Refused)
        })
    }
}

/// Who it is, from what the API server says of a token. Pure.
fn caller(status: TokenReviewStatus) -> Result<Caller, String> {
    if status.authenticated != Some(true) {
        return Err("the API server does not know it, or it is not meant for this server".into());
    }
    // An API server that does not understand audiences would accept any token.
    let audiences = status.audiences.unwrap_or_default();
    if !audiences.iter().any(|audience| audience == AUDIENCE) {
        return Err(format!("it is not meant for {AUDIENCE}"));
    }
    let user = status.user.unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let account = name.strip_prefix("system:serviceaccount:");
    let account = account.and_then(|it| it.split_once(':'));
    let gateway = account.and_then(|(namespace, account)| {
        let name = account.strip_prefix(SERVICE_ACCOUNT)?;
        (!name.is_empty()).then(|| ObjectName::new(namespace, name))
    });
    let Some(gateway) = gateway else {
        return Err(format!("{name} is no gateway's ServiceAccount"));
    };
    let pod = user.extra.unwrap_or_default().remove(POD_NAME);
    let pod = pod.and_then(|names| names.into_iter().next());
    let Some(pod) = pod.filter(|pod| !pod.is_empty()) else {
        return Err("it was not projected into a pod".into());
    };
    Ok(Caller { gateway, pod })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;
    use std::collections::BTreeMap;

    #[test]
    fn only_a_pod_of_a_gateway_with_a_token_meant_for_this_server_is_let_in() {
        let check = |good: bool, audience: &str, user: &str, pod: &str, expected: Option<&str>| {
            let extra = BTreeMap::from([(POD_NAME.to_owned(), vec![pod.to_owned()])]);
            let status = TokenReviewStatus {
                authenticated: Some(good),
                audiences: Some(vec![audience.to_owned()]),
                user: Some(UserInfo {
                    username: Some(user.to_owned()),
                    extra: (!pod.is_empty()).then_some(extra),
                    ..UserInfo::default()
                }),
                ..TokenReviewStatus::default()
            };
            let found = caller(status);
            let shown = found
                .as_ref()
                .ok()
                .map(|it| format!("{} {}", it.gateway, it.pod));
            assert_eq!(shown.as_deref(), expected, "{found:?}");
        };
        let user = "system:serviceaccount:tidegate:tidegate-gateway-default";
        check(
            true,
            AUDIENCE,
            user,
            "pod-0",
            Some("tidegate/default pod-0"),
        );
        check(false, AUDIENCE, user, "pod-0", None);
        check(true, "https://kubernetes.default.svc", user, "pod-0", None);
        check(true, AUDIENCE, user, "", None);
        check(true, AUDIENCE, "admin", "pod-0", None);
        check(true, AUDIENCE, "tidegate-gateway-default", "pod-0", None);
        for account in ["default", "tidegate-gateway-", "x-tidegate-gateway-y"] {
            let user = format!("system:serviceaccount:tidegate:{account}");
            check(true, AUDIENCE, &user, "pod-0", None);
        }
    }
}
