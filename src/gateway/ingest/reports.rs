//! What a request to a registration's URI brings for whoever provisions: something to keep, a
//! notice, a sign of life.
//!
//! The first two are answered only once they are stored. That takes at most as long as this waits,
//! or the sender is asked to come again; what was begun may still be stored then, and the same
//! value again is told so.

use http::StatusCode;
use jiff::Timestamp;
use tokio::time::timeout;

use super::super::outcome::{EventCounts, Outcome};
use super::super::path;
use super::super::problem::Problem;
use super::super::registrations::Registration;
use super::answers::rendered;
use super::case::Case;
use super::{Conclusion, Ingest, over};
use crate::api::LifecycleAction;
use crate::configuration::{CaptureAnswer, Captured};
use crate::webhook::Answer;

impl Ingest {
    /// Answers a handshake once what it brings is kept.
    pub(super) async fn capture(
        &self,
        case: Case,
        handshake: usize,
        captured: Captured,
        answer: Answer,
    ) -> Result<Conclusion, Box<Conclusion>> {
        let Some(registration) = case.registration.clone() else {
            return Err(not_reported("a capture without a registration"));
        };
        let Registration {
            subscription,
            number,
            ..
        } = &*registration;
        let kept = self.reports.captured(subscription, *number, captured);
        match timeout(self.bounds.report_timeout, kept).await {
            Ok(CaptureAnswer::Taken) => Ok(Conclusion {
                outcome: Outcome::Handshake,
                response: rendered(answer),
                counts: EventCounts::default(),
                detail: None,
            }),
            Ok(CaptureAnswer::Refused) => Err(Conclusion::refused(
                Outcome::Unauthenticated,
                Problem::new(StatusCode::UNAUTHORIZED, "the request is not authenticated"),
            )
            .because(format!(
                "handshakes[{handshake}].capture: another value was taken before"
            ))),
            Ok(CaptureAnswer::Closed) => {
                // The registration may have become another one while we asked.
                let now = self.registrations.get(&path::normal_form(case.path()));
                let now = now.unwrap_or(registration);
                if let Some(over) = over(&now, None) {
                    return Err(over);
                }
                let case = case.closed(now);
                let (verdict, case) = self.judge(case).await?;
                self.carry_out(verdict, case).await
            }
            Ok(CaptureAnswer::Unavailable) => Err(not_reported("what was captured is not stored")),
            Err(_) => Err(not_reported("what was captured is not stored in time")),
        }
    }

    /// Tells of a request that was authenticated.
    pub(super) fn received(&self, registration: Option<&Registration>) {
        if let Some(registration) = registration {
            let Registration {
                subscription,
                number,
                ..
            } = registration;
            self.reports
                .received(subscription, *number, Timestamp::now());
        }
    }

    /// Tells what a request gave notice of. On a URI that belongs to no registration there is
    /// nothing to tell.
    pub(super) async fn notice(
        &self,
        registration: Option<&Registration>,
        notices: Vec<LifecycleAction>,
    ) -> Result<(), Box<Conclusion>> {
        let Some(registration) = registration else {
            return Ok(());
        };
        for action in notices {
            let Registration {
                subscription,
                number,
                ..
            } = registration;
            let noticed = self.reports.noticed(subscription, *number, action);
            match timeout(self.bounds.report_timeout, noticed).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(not_reported("a notice is not stored")),
                Err(_) => return Err(not_reported("a notice is not stored in time")),
            }
        }
        Ok(())
    }
}

/// 503: it was not stored for sure, so it shall come again.
fn not_reported(detail: &'static str) -> Box<Conclusion> {
    Conclusion::refused(
        Outcome::NotReported,
        Problem::unavailable("what the request tells cannot be stored at this moment"),
    )
    .because(detail.to_owned())
}
