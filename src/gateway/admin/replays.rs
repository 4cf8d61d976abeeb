//! `/v1/replays`: events of the log once more, or dead letters.
//!
//! A replay of events goes on by itself; one of dead letters is done when it is answered, and a
//! letter goes only once its event is stored again.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::lists::{Unanswerable, object_name};
use crate::delivery::dead_letters::DeadLetterId;
use crate::delivery::{ReplayError, ReplayRequest};
use crate::event::DeadLetter;
use crate::gateway::storing;
use crate::webhook::{ItemOutcome, Outcome};

/// Dead letters that one request can name.
const MOST_LETTERS: usize = 1_000;

/// What to replay: dead letters by id, or the events of the log that match.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asked {
    dead_letters: Option<Vec<String>>,
    subscription: Option<String>,
    event_type: Option<String>,
    customer: Option<String>,
    id: Option<String>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// What became of one dead letter.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    dead_letter: String,
    replayed: bool,
    error: Option<String>,
}

/// Begins a replay.
pub async fn begin(
    State(admin): State<Arc<Admin>>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<Response, Unanswerable> {
    let Json(asked) = asked.map_err(|rejection| Unanswerable::asked(rejection.body_text()))?;
    let Asked {
        dead_letters,
        subscription,
        event_type,
        customer,
        id,
        from,
        until,
    } = asked;
    let name = |text: Option<String>| text.map(|text| object_name(&text)).transpose();
    let request = ReplayRequest {
        subscription: name(subscription)?,
        event_type: name(event_type)?,
        customer,
        id,
        from,
        until,
    };
    let Some(letters) = dead_letters else {
        return replay_events(&admin, request).await;
    };
    if request != ReplayRequest::default() {
        return Err(Unanswerable::asked(
            "name dead letters or select events, not both",
        ));
    }
    if letters.len() > MOST_LETTERS {
        return Err(Unanswerable::asked(
            "at most 1,000 dead letters can be replayed at a time",
        ));
    }
    let mut items = Vec::with_capacity(letters.len());
    for letter in letters {
        let error = replay_letter(&admin, &letter).await.err();
        items.push(Replayed {
            dead_letter: letter,
            replayed: error.is_none(),
            error,
        });
    }
    Ok(Json(serde_json::json!({"items": items, "next": null})).into_response())
}

async fn replay_events(admin: &Admin, request: ReplayRequest) -> Result<Response, Unanswerable> {
    match admin.delivery.replay(request).await {
        Ok(id) => {
            let body = Json(serde_json::json!({"id": id.to_string()}));
            Ok((StatusCode::ACCEPTED, body).into_response())
        }
        Err(error @ (ReplayError::UnknownSubscription(_) | ReplayError::TooMany)) => {
            Err(Unanswerable::asked(error.to_string()))
        }
        Err(error) => Err(Unanswerable::failed(error)),
    }
}

async fn replay_letter(admin: &Admin, id: &str) -> Result<(), String> {
    let absent = || "there is no dead letter of this id".to_owned();
    let id: DeadLetterId = id.parse().map_err(|_| absent())?;
    let letter = admin
        .dead_letters
        .get(id)
        .await
        .map_err(|error| error.to_string())?;
    let letter = letter.ok_or_else(absent)?;
    match &letter.verdict.subscription {
        Some(subscription) => {
            let delivered = admin.delivery.redeliver(subscription, &letter.event).await;
            delivered.map_err(|error| error.to_string())?;
        }
        None => take_in(admin, &letter).await?,
    }
    // Should this fail, the letter shows again and its event is delivered all the same.
    admin
        .dead_letters
        .remove(&[id])
        .await
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// Takes a letter that was refused at the door for an event, if it is one by now.
async fn take_in(admin: &Admin, letter: &DeadLetter) -> Result<(), String> {
    let name = &letter.event.attributes.app_event_type;
    let snapshot = admin.ingest.snapshot.load_full();
    let good = snapshot.as_ref().and_then(|snapshot| {
        let good = snapshot.event_type(name)?.good.as_ref()?;
        Some((snapshot.customers.clone(), good.receiver.clone()))
    });
    let (customers, receiver) =
        good.ok_or_else(|| format!("AppEventType {name} is not served any more"))?;
    let now = Timestamp::now();
    let event = receiver
        .reconsider(letter, now, &*customers)
        .map_err(|refused| refused.to_string())?;
    // By way of the index, so that it is not stored twice if the app has sent it again since.
    let items = vec![ItemOutcome::Events(vec![Outcome::Event(event)])];
    let (store, index) = (
        admin.ingest.store.clone(),
        admin.ingest.deduplication.clone(),
    );
    let stored = storing::store(store, index, items, now.as_second()).await;
    stored.map(drop).map_err(|error| error.to_string())
}

/// The replays that run.
pub async fn list(State(admin): State<Arc<Admin>>) -> Response {
    let items: Vec<_> = admin
        .delivery
        .replays()
        .into_iter()
        .map(|replay| {
            let ReplayRequest {
                subscription,
                event_type,
                customer,
                id,
                from,
                until,
            } = replay.request;
            serde_json::json!({
                "id": replay.id.to_string(),
                "replayed": replay.replayed,
                "done": replay.done,
                "end": replay.end,
                "subscription": subscription.map(|name| name.to_string()),
                "eventType": event_type.map(|name| name.to_string()),
                "customer": customer,
                "eventId": id,
                "from": from,
                "until": until,
            })
        })
        .collect();
    Json(serde_json::json!({"items": items, "next": null})).into_response()
}
