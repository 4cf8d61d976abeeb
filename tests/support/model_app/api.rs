//! The API: which request does what, in which mood.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::moods::{Fault, Handshake, Moods, Op, SecretFrom};
use super::{Asked, End, Go, Hook, Shared, Stage};

/// The id of the one webhook of an app whose URL is set.
const THE_URL: &str = "the-url";

type Answer = (u16, Value);

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(take).with_state(shared)
}

/// What one request is about.
struct Asking {
    tenant: String,
    op: Op,
    /// The registration's id.
    id: String,
    page: usize,
    /// Whether it is about the one URL of an app that has one.
    is_set: bool,
    headers: HeaderMap,
    body: Value,
}

impl Asking {
    fn read(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Self {
        let path: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
        let (op, id) = match (method.as_str(), &path[1..]) {
            ("POST", ["hooks"]) => (Op::Create, ""),
            ("PUT", ["hooks", name]) => (Op::Create, *name),
            ("PUT", ["hook"]) => (Op::Create, THE_URL),
            ("GET", ["hooks"] | ["hook"]) => (Op::List, ""),
            ("POST", ["hooks", id, "enable"]) => (Op::Enable, *id),
            ("PATCH", ["hooks", id]) => (Op::Renew, *id),
            ("DELETE", ["hooks", id]) => (Op::Delete, *id),
            ("DELETE", ["hook"]) => (Op::Delete, THE_URL),
            ("POST", ["token"]) => (Op::Token, ""),
            ("POST", ["prepare"]) => (Op::Prepare, ""),
            _ => (Op::Other, ""),
        };
        let page = uri.query().and_then(|query| query.strip_prefix("page="));
        Self {
            tenant: path[0].to_owned(),
            op,
            id: id.to_owned(),
            page: page.and_then(|page| page.parse().ok()).unwrap_or(0),
            is_set: path.get(1) == Some(&"hook"),
            headers: headers.clone(),
            body: serde_json::from_slice(body).unwrap_or_default(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asking = Asking::read(&method, &uri, &headers, &body);
    let (tenant, op) = (asking.tenant.clone(), asking.op);
    let hangs_up = shared.hangs_up.load(Ordering::Relaxed);
    let number = {
        let mut state = shared.state();
        let hook = state.ledger.get(&asking.id);
        let is_foreign = hook.is_some_and(|hook| hook.is_foreign);
        state.ledger.ask(Asked {
            op,
            tenant: tenant.clone(),
            at: Instant::now(),
            line: format!("{method} {uri}"),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            status: None,
            answered_at: None,
            is_about_foreign: is_foreign,
        })
    };
    // On its own, because this future ends when the one who asked is killed.
    let work = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move {
            let answer = work(&shared, &asking).await;
            if let Some(answer) = &answer {
                let status = answer.status().as_u16();
                shared.state().ledger.answer(number, status);
            }
            // By then the answer is on its way, or whoever asked is gone.
            let told = Arc::clone(&shared);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                told.gates.pass(&tenant, op, Stage::Answered).await
            });
            answer
        }
    });
    let Some(mut answer) = work.await.unwrap() else {
        return std::future::pending().await;
    };
    if hangs_up {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert("connection", close);
    }
    answer
}

/// `None`: the app has lost it.
async fn work(shared: &Arc<Shared>, asking: &Asking) -> Option<Response> {
    let (tenant, op) = (asking.tenant.as_str(), asking.op);
    if shared.gates.pass(tenant, op, Stage::Received).await == Go::Nowhere {
        return None;
    }
    let fault = {
        let mut state = shared.state();
        let of = |(one, other, _): &(String, Op, Fault)| one == tenant && *other == op;
        let position = state.faults.iter().position(of);
        position.map(|position| state.faults.remove(position).2)
    };
    match fault {
        Some(Fault::Refused(status)) => return Some(answer((status, json!({"error": "refused"})))),
        Some(Fault::RefusedWithEcho) => {
            return Some(answer((400, json!({"error": echo(asking, None)}))));
        }
        Some(Fault::TooMany(seconds)) => {
            let headers = [("retry-after", seconds.to_string())];
            return Some((StatusCode::TOO_MANY_REQUESTS, headers).into_response());
        }
        Some(Fault::ErrorInside200) => {
            let body = json!({"data": null, "errors": ["something is not right"]});
            return Some(answer((200, body)));
        }
        Some(Fault::DoneBut500 | Fault::DoneButGarbage | Fault::AnsweredAfter(_)) | None => {}
    }
    let mut done = done(shared, asking).await;
    if shared.moods(tenant).echo && done.1.is_object() {
        let id = done.1["data"]["id"].as_str().unwrap_or_default();
        let known = { shared.state() }
            .ledger
            .get(id)
            .map(|hook| hook.secret.clone());
        done.1["debug"] = echo(asking, known.as_deref());
    }
    if shared.gates.pass(tenant, op, Stage::Done).await == Go::Nowhere {
        return None;
    }
    Some(match fault {
        Some(Fault::DoneBut500) => answer((500, json!({"error": "something went wrong"}))),
        Some(Fault::DoneButGarbage) => (StatusCode::OK, "<html>").into_response(),
        Some(Fault::AnsweredAfter(late)) => {
            tokio::time::sleep(late).await;
            answer(done)
        }
        _ => answer(done),
    })
}

/// All that was asked, and what the app knows, as it may stand in somebody's log.
fn echo(asking: &Asking, known: Option<&str>) -> Value {
    let secret = known.unwrap_or_else(|| asking.body["secret"].as_str().unwrap_or_default());
    let token = asking.header("authorization").unwrap_or_default();
    let token = token.trim_start_matches("Bearer ");
    let encoded = [secret, token].map(|value| {
        let form: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let base64 = STANDARD.encode(format!("user:{value}"));
        json!([
            value,
            hex::encode(value),
            base64,
            form,
            format!("<{value}>")
        ])
    });
    json!({"asked": asking.body, "known": encoded})
}

fn answer((status, body): Answer) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let body = if status == StatusCode::NO_CONTENT {
        String::new()
    } else {
        body.to_string()
    };
    (status, [("content-type", "application/json")], body).into_response()
}

/// Does it.
async fn done(shared: &Arc<Shared>, asking: &Asking) -> Answer {
    let moods = shared.moods(&asking.tenant);
    let given = asking.header("authorization").unwrap_or_default();
    let mut expected = format!("Bearer token-{}", asking.tenant);
    if moods.needs_token && asking.op != Op::Token {
        expected = format!("Bearer access-{}", asking.tenant);
    }
    // A token may be refreshed: what follows the tenant's name is another one's.
    if !given.starts_with(&expected) {
        return (401, json!({"error": "the token is wrong"}));
    }
    let not_found = (404, json!({"error": "there is no such webhook"}));
    match asking.op {
        Op::Create => create(shared, asking, &moods).await,
        Op::List if moods.no_list => (405, json!({"error": "there are no lists"})),
        Op::List => list(shared, asking, &moods),
        Op::Token => {
            let random = uuid::Uuid::new_v4().simple();
            let token = format!("access-{}-{random}", asking.tenant);
            let mut state = shared.state();
            state
                .access_tokens
                .push((asking.tenant.clone(), token.clone()));
            (200, json!({"access_token": token, "expires_in": 3600}))
        }
        Op::Prepare => (
            200,
            json!({"data": {"group": format!("g-{}", asking.tenant)}}),
        ),
        Op::Other => (404, json!({"error": "there is nothing here"})),
        Op::Enable | Op::Renew | Op::Delete => {
            let mut state = shared.state();
            state.ledger.expire();
            let id = match asking.id.as_str() {
                THE_URL => {
                    let live = state.ledger.live(&asking.tenant);
                    live.first().map(|hook| hook.id.clone()).unwrap_or_default()
                }
                id => id.to_owned(),
            };
            let is_there = |hook: &&mut Hook| hook.tenant == asking.tenant && hook.ended.is_none();
            let Some(hook) = state.ledger.get(&id).filter(is_there) else {
                return not_found;
            };
            match asking.op {
                Op::Enable => hook.is_enabled = true,
                Op::Renew => {
                    hook.expires = moods.lifetime.map(|lifetime| Instant::now() + lifetime);
                }
                _ => {
                    state.ledger.end(&id, Instant::now(), End::Deleted);
                    return (204, Value::Null);
                }
            }
            (200, json!({"data": shown(hook), "errors": []}))
        }
    }
}

async fn create(shared: &Arc<Shared>, asking: &Asking, moods: &Moods) -> Answer {
    let tenant = &asking.tenant;
    let Some(target) = asking.body["target"].as_str() else {
        return (422, json!({"error": "target is missing"}));
    };
    let key = asking
        .header("idempotency-key")
        .filter(|_| moods.idempotent);
    if let Some(key) = key {
        let mut state = shared.state();
        let live = state.ledger.live(tenant);
        let before = live
            .iter()
            .find(|hook| hook.idempotency_key.as_deref() == Some(key));
        if let Some(hook) = before {
            return (201, json!({"data": shown(hook), "errors": []}));
        }
    }
    if moods.conflict {
        let mut state = shared.state();
        let live = state.ledger.live(tenant);
        if live.iter().any(|hook| hook.target == target) {
            return (409, json!({"error": "it exists already"}));
        }
    }
    let random = uuid::Uuid::new_v4().simple().to_string();
    let mut secret = match moods.secret {
        SecretFrom::Request => asking.body["secret"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        SecretFrom::Answer => format!("app-made-{random}{}", moods.secret_end),
    };
    let is_willing = match moods.handshake {
        None => true,
        Some(Handshake::Secret) => {
            secret = format!("hand-over-{random}{}", moods.secret_end);
            let header = HeaderValue::from_bytes(secret.as_bytes()).unwrap();
            let asked = shared.client.post(target).header("x-hook-secret", header);
            let answer = asked.send().await;
            answer.is_ok_and(|answer| {
                answer.status().is_success()
                    && answer
                        .headers()
                        .get("x-hook-secret")
                        .is_some_and(|header| *header == *secret)
            })
        }
        Some(Handshake::Token) => {
            let token = format!("Validation: {random} & more");
            let query: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
            let url = format!("{target}?validationToken={query}");
            let asked = shared.client.post(url);
            let asked = asked.header("content-type", "text/plain").body("");
            match asked.send().await {
                Ok(answer) if answer.status().is_success() => {
                    answer.text().await.is_ok_and(|text| text == token)
                }
                _ => false,
            }
        }
    };
    if !is_willing {
        return (
            422,
            json!({"error": "the target did not answer the handshake"}),
        );
    }
    let mut state = shared.state();
    let is_replaced = |hook: &Hook| {
        let is_same = moods.upsert && hook.target == target;
        asking.is_set || is_same || hook.id == asking.id
    };
    // With thousands of tenants it would take long to look at what cannot be replaced.
    let may_replace = asking.is_set || moods.upsert || !asking.id.is_empty();
    let mut replaced = if may_replace {
        state.ledger.live(tenant)
    } else {
        Vec::new()
    };
    replaced.retain(is_replaced);
    let made = Instant::now();
    for hook in replaced {
        state.ledger.end(&hook.id, made, End::Replaced);
    }
    let key = key.map(str::to_owned);
    let hook = state
        .ledger
        .add(tenant, target, &secret, false, moods.lifetime, key);
    hook.is_enabled = !moods.needs_enabling;
    hook.body = asking.body.clone();
    hook.made = made;
    if !asking.id.is_empty() && !asking.is_set {
        hook.id.clone_from(&asking.id);
    }
    let mut data = shown(hook);
    if moods.secret == SecretFrom::Answer {
        data["secret"] = json!(secret);
    }
    (201, json!({"data": data, "errors": []}))
}

fn list(shared: &Arc<Shared>, asking: &Asking, moods: &Moods) -> Answer {
    let listed = shared.state().ledger.listed(&asking.tenant, moods.list_lag);
    let size = moods.page.unwrap_or(usize::MAX).min(listed.len().max(1));
    let mut pages = listed.chunks(size).skip(asking.page);
    let data: Vec<Value> = pages.next().unwrap_or_default().iter().map(shown).collect();
    let next = pages.next().map(|_| {
        let (url, tenant, page) = (&shared.url, &asking.tenant, asking.page + 1);
        format!("{url}/{tenant}/hooks?page={page}")
    });
    (200, json!({"data": data, "next": next}))
}

fn shown(hook: &Hook) -> Value {
    let expires = hook.expires.map(|expires| {
        let left = expires.saturating_duration_since(Instant::now());
        let at = jiff::Timestamp::try_from(SystemTime::now() + left).unwrap();
        at.to_string()
    });
    json!({"id": hook.id, "target": hook.target, "enabled": hook.is_enabled, "expires": expires})
}
