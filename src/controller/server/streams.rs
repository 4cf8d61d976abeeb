//! The stream: who a pod is, what it has, and from then on what changes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::refusal::Refusal;
use super::sessions::Handle;
use super::{Leading, Link, Shared, read_up_to};
use crate::configuration::Sensitive;
use crate::configuration::stream::{Frame, Hello, PROTOCOL_VERSION, Ping, Welcome};
use crate::controller::hub::{AuthenticateError, Caller, Hub, Next, Session};

/// Small lines are put together up to so many bytes.
const CHUNK: usize = 64 << 10;

/// Answers with the stream.
pub async fn stream(
    State(shared): State<Arc<Shared>>,
    Extension(link): Extension<Arc<Link>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let leading = shared.leading.clone();
    let hub = shared.hub()?;
    let caller = authenticated(&shared, &headers)
        .await
        .inspect_err(|refusal| {
            tracing::warn!(%refusal, "a request for the configuration stream is refused");
        })?;
    let hello = hello(&shared, &caller, body).await.inspect_err(|refusal| {
        let Caller { gateway, pod } = &caller;
        tracing::warn!(%gateway, pod, %refusal, "a gateway's pod is refused");
    })?;
    link.is_known.store(true, Ordering::Relaxed);
    let session = hub.connect(caller, hello.hashes.0);
    let (handle, secret) = shared.sessions.open(session.teller());
    let welcome = Frame::Welcome(Welcome {
        version: PROTOCOL_VERSION,
        session: secret,
        epoch: hub.epoch(),
    });
    tokio::spawn(watch_over(
        hub.clone(),
        session.teller(),
        shared.bounds.silence,
        link,
    ));
    let age = shared.bounds.stream;
    let age = age - age.mul_f64(rand::random::<f64>() / 4.0);
    let outgoing = Outgoing {
        hub,
        session,
        leading,
        stopping: shared.stopping.clone(),
        lines: VecDeque::from([welcome.line()]),
        ends_at: Instant::now() + age,
        ping: shared.bounds.ping,
        _handle: handle,
    };
    let lines = futures_util::stream::unfold(outgoing, |mut outgoing| async {
        let chunk = outgoing.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), outgoing))
    });
    let mut response = Body::from_stream(lines).into_response();
    let json_lines = HeaderValue::from_static("application/jsonl");
    response.headers_mut().insert(CONTENT_TYPE, json_lines);
    Ok(response)
}

async fn authenticated(shared: &Shared, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let token = bearer(headers).ok_or(Refusal::NoToken)?;
    let check = async {
        // It is never closed.
        let _place = shared.authentications.acquire().await;
        shared.authenticate.authenticate(&token).await
    };
    match timeout(shared.bounds.authentication_timeout, check).await {
        Ok(caller) => Ok(caller?),
        Err(_) => Err(Refusal::Token(AuthenticateError::Unavailable(
            "the API server did not answer in time".into(),
        ))),
    }
}

/// The token of a request.
pub fn bearer(headers: &HeaderMap) -> Option<Sensitive> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    let is_token = scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty();
    is_token.then(|| Sensitive::new(token))
}

async fn hello(shared: &Shared, caller: &Caller, body: Body) -> Result<Hello, Refusal> {
    let _place = shared.hellos.try_acquire().map_err(|_| Refusal::Busy)?;
    let hello: Hello =
        read_up_to(body, shared.bounds.hello_bytes, shared.bounds.body_timeout).await?;
    if hello.version != PROTOCOL_VERSION {
        return Err(Refusal::Version(hello.version));
    }
    let gateway = caller.gateway.to_string();
    if hello.gateway != gateway {
        return Err(Refusal::Gateway {
            token: gateway,
            said: hello.gateway,
        });
    }
    if hello.pod != caller.pod {
        return Err(Refusal::Pod {
            token: caller.pod.clone(),
            said: hello.pod,
        });
    }
    Ok(hello)
}

/// Cuts the connection of a pod that is not heard of any more: it may be one that does not read
/// either, so that writing to it would wait for as long as the network hopes.
async fn watch_over(
    hub: Hub,
    teller: crate::controller::hub::Teller,
    most: Duration,
    link: Arc<Link>,
) {
    while let Some(silence) = hub.silence(&teller) {
        if silence >= most {
            tracing::warn!(
                gateway = %teller.caller.gateway,
                pod = teller.caller.pod,
                "nothing was heard of a gateway's pod for too long; its connection is cut"
            );
            link.cut.notify_one();
            return;
        }
        tokio::time::sleep(most - silence).await;
    }
}

/// What a pod is sent, as the body of an answer.
struct Outgoing {
    hub: Hub,
    session: Session,
    leading: watch::Receiver<Leading>,
    stopping: watch::Receiver<bool>,
    lines: VecDeque<Bytes>,
    ends_at: Instant,
    ping: Duration,
    _handle: Handle,
}

impl Outgoing {
    /// The next bytes; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.may_go_on() {
                return None;
            }
            if let Some(chunk) = self.chunk() {
                return Some(chunk);
            }
            let next = tokio::select! {
                biased;
                changed = self.leading.changed() => {
                    changed.ok()?;
                    continue;
                }
                changed = self.stopping.changed() => {
                    changed.ok()?;
                    continue;
                }
                next = self.session.next(self.ping) => next,
            };
            match next {
                Next::Over => return None,
                Next::Nothing => self.lines.push_back(Frame::Ping(Ping {}).line()),
                Next::Send(batch) => self.lines.extend(batch.lines()),
            }
        }
    }

    fn may_go_on(&mut self) -> bool {
        // Between two revisions only: what has begun is not begun once more.
        let is_too_old = self.lines.is_empty() && self.ends_at <= Instant::now();
        let leads = match &*self.leading.borrow_and_update() {
            Leading::Here(hub) => hub.is_same(&self.hub),
            Leading::Elsewhere(_) => false,
        };
        leads && !is_too_old && !*self.stopping.borrow_and_update()
    }

    fn chunk(&mut self) -> Option<Bytes> {
        let first = self.lines.pop_front()?;
        if first.len() >= CHUNK {
            return Some(first);
        }
        let mut chunk = BytesMut::with_capacity(CHUNK.min(first.len() * (1 + self.lines.len())));
        chunk.extend_from_slice(&first);
        while let Some(line) = self.lines.front()
            && chunk.len() + line.len() <= CHUNK
        {
            chunk.extend_from_slice(line);
            self.lines.pop_front();
        }
        Some(chunk.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_counts() {
        let check = |value: &str, expected: Option<&str>| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer(&headers), expected.map(Sensitive::from), "{value}");
        };
        check("Bearer abc", Some("abc"));
        check("bearer abc", Some("abc"));
        check("Bearer ", None);
        check("Bearer", None);
        check("Basic abc", None);
        check("", None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
