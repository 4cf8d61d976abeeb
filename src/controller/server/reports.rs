//! What pods tell: acknowledgements, what came in for registrations, how it goes with subscriptions.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Json, Response};

use super::refusal::Refusal;
use super::{Shared, read};
use crate::configuration::CaptureAnswer;
use crate::configuration::stream::report::{
    Acknowledgement, CapturedAnswer, CapturedReport, HealthReport, MOST_REFUSED, MOST_REPORTED,
    NoticedReport, ReceivedReport,
};

/// How long what a handshake brought may take until it is stored and live everywhere.
const LONGEST_CAPTURE: Duration = Duration::from_secs(5);

/// How long a notice may take until it is stored.
const LONGEST_NOTICE: Duration = Duration::from_secs(10);

pub async fn acknowledgement(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let (hub, teller) = shared.teller(&headers)?;
    let acknowledgement: Acknowledgement = read(body, &shared.bounds).await?;
    if acknowledgement.refused.len() > MOST_REFUSED {
        return Err(Refusal::TooLarge);
    }
    match hub.acknowledge(&teller, acknowledgement) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::NoSession),
    }
}

pub async fn captured(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (hub, teller) = shared.teller(&headers)?;
    let report: CapturedReport = read(body, &shared.bounds).await?;
    let (subscription, number) = (report.subscription.clone(), report.number);
    let reports = hub.reports(&teller, &subscription, number);
    let reports = reports.ok_or(Refusal::NoRegistration)?;
    let captured = reports.captured(&subscription, number, report.into());
    let answer = tokio::time::timeout(LONGEST_CAPTURE, captured).await;
    let answer = answer.unwrap_or(CaptureAnswer::Unavailable);
    Ok(Json(CapturedAnswer { answer }).into_response())
}

pub async fn noticed(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let (hub, teller) = shared.teller(&headers)?;
    let report: NoticedReport = read(body, &shared.bounds).await?;
    let NoticedReport {
        subscription,
        number,
        action,
    } = &report;
    let reports = hub.reports(&teller, subscription, *number);
    let reports = reports.ok_or(Refusal::NoRegistration)?;
    let noticed = reports.noticed(subscription, *number, *action);
    match tokio::time::timeout(LONGEST_NOTICE, noticed).await {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(_)) | Err(_) => Err(Refusal::NotStored),
    }
}

pub async fn received(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let (hub, teller) = shared.teller(&headers)?;
    let report: ReceivedReport = read(body, &shared.bounds).await?;
    if report.items.len() > MOST_REPORTED {
        return Err(Refusal::TooLarge);
    }
    for item in report.items {
        // One that is gone meanwhile is no mistake of the pod's.
        if let Some(reports) = hub.reports(&teller, &item.subscription, item.number) {
            reports.received(&item.subscription, item.number, item.at);
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

pub async fn health(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let (hub, teller) = shared.teller(&headers)?;
    let report: HealthReport = read(body, &shared.bounds).await?;
    if report.items.len() > MOST_REPORTED {
        return Err(Refusal::TooLarge);
    }
    match hub.report_health(&teller, report) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::NoSession),
    }
}
