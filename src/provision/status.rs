//! What people see of a record: the status of its UpstreamSubscription.
//!
//! Made anew from the record each time, and never read back. Nothing sensitive is in it: requests
//! and answers were masked before they came into the record, and the token of a webhook URI is
//! shown as `***`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::plan::{Turn, expiring_soon_at, has_expired, is_of, is_readdressed, needs_turn};
use super::record::{Phase, Record, Registration, Trouble, TroubleKind};
use super::{Desired, Masker, masker, without_token};
use crate::api::condition::{RECONCILING, STALLED, SUBSCRIBED, reason};
use crate::api::{
    ReceivedResponse, RegistrationAttempt, RegistrationStatus, SentRequest, SubscriptionState,
    UpstreamSubscriptionStatus,
};

/// After so many refusals in a row it is most likely somebody's turn to change something.
const FAILED_AFTER_REFUSALS: u32 = 3;

/// The status of an UpstreamSubscription. `observedGeneration` is left to whoever keeps the object,
/// and the times of transitions are all `now`: see [`keep_transitions`].
#[must_use]
pub fn status(
    record: Option<&Record>,
    desired: Option<&Desired>,
    turn: Turn,
    now: Timestamp,
) -> UpstreamSubscriptionStatus {
    let Some(record) = record else {
        return pending(desired.is_some(), now);
    };
    if desired.is_some_and(|desired| !is_of(record, desired)) {
        let message = "the record of this name belongs to another subscription";
        return UpstreamSubscriptionStatus {
            state: Some(SubscriptionState::Failed),
            conditions: vec![
                condition(SUBSCRIBED, false, reason::NOT_OURS, message, now),
                condition(STALLED, true, reason::NOT_OURS, message, now),
            ],
            ..UpstreamSubscriptionStatus::default()
        };
    }
    let view = View {
        record,
        desired,
        turn,
        now,
    };
    let newest = record.current().or(record.registrations.last());
    let mut registrations = Vec::new();
    let (mut request, mut response) = (None, None);
    for registration in &record.registrations {
        let is_newest = newest.is_some_and(|newest| newest.number == registration.number);
        let is_shown = registration.since.is_some() || registration.id.is_some();
        if is_newest || is_shown {
            let masker = masker(&record.inputs, &registration.into(), None);
            if is_newest {
                (request, response) = shown_exchange(&masker, registration);
            }
            if is_shown {
                registrations.push(shown(&masker, registration));
            }
        }
    }
    UpstreamSubscriptionStatus {
        observed_generation: None,
        conditions: view.conditions(),
        state: view.state(),
        registrations,
        webhook_uri: newest
            .and_then(|newest| {
                newest
                    .webhook_uri
                    .as_ref()
                    .or(newest.global_webhook_uri.as_ref())
            })
            .map(|uri| without_token(uri)),
        request,
        response,
        attempt: newest.filter(|newest| is_under_way(newest)).map(attempt),
        last_error: view.trouble().map(|trouble| trouble.error.clone()),
        last_event_time: record.last_event_at.map(|at| at.to_string()),
    }
}

/// Keeps the times of conditions whose status is what it was.
pub fn keep_transitions(before: &[Condition], after: &mut [Condition]) {
    for condition in after {
        let known = before.iter().find(|known| known.type_ == condition.type_);
        if let Some(known) = known.filter(|known| known.status == condition.status) {
            condition.last_transition_time = known.last_transition_time.clone();
        }
    }
}

fn pending(is_desired: bool, now: Timestamp) -> UpstreamSubscriptionStatus {
    if !is_desired {
        return UpstreamSubscriptionStatus::default();
    }
    let message = "no request was sent yet";
    UpstreamSubscriptionStatus {
        state: Some(SubscriptionState::Pending),
        conditions: vec![
            condition(SUBSCRIBED, false, reason::SUBSCRIBING, message, now),
            condition(RECONCILING, true, reason::SUBSCRIBING, message, now),
        ],
        ..UpstreamSubscriptionStatus::default()
    }
}

struct View<'a> {
    record: &'a Record,
    desired: Option<&'a Desired>,
    turn: Turn,
    now: Timestamp,
}

impl View<'_> {
    fn state(&self) -> Option<SubscriptionState> {
        let record = self.record;
        if self.desired.is_none() {
            return (!record.registrations.is_empty()).then_some(SubscriptionState::Unsubscribing);
        }
        if let Some(serving) = serving(self.record, self.now) {
            let is_due = serving.renew_at.is_some_and(|at| at <= self.now);
            return Some(if is_due || serving.notice.is_some() {
                SubscriptionState::Renewing
            } else {
                SubscriptionState::Active
            });
        }
        if self.is_refused() {
            return Some(SubscriptionState::Failed);
        }
        let current = record.current();
        let waits =
            current.is_none_or(|current| matches!(current.phase, Phase::Waiting | Phase::Unsure));
        Some(if waits {
            SubscriptionState::Pending
        } else {
            SubscriptionState::Subscribing
        })
    }

    fn is_refused(&self) -> bool {
        let making = self.record.making.as_ref();
        making.is_some_and(|making| making.refusals >= FAILED_AFTER_REFUSALS)
    }

    /// What goes wrong, the worst first.
    fn trouble(&self) -> Option<&Trouble> {
        let record = self.record;
        let of_registrations = || {
            record
                .registrations
                .iter()
                .rev()
                .find_map(|it| it.trouble.as_ref())
        };
        record
            .making
            .as_ref()
            .or_else(of_registrations)
            .or(record.watch.trouble.as_ref())
    }

    fn conditions(&self) -> Vec<Condition> {
        let (subscribed, why, message) = self.subscribed();
        let mut conditions = vec![condition(SUBSCRIBED, subscribed, why, &message, self.now)];
        if let Some((why, message)) = self.stalled() {
            conditions.push(condition(STALLED, true, why, &message, self.now));
        } else if let Some((why, message)) = self.reconciling() {
            conditions.push(condition(RECONCILING, true, why, &message, self.now));
        }
        conditions
    }

    fn subscribed(&self) -> (bool, &'static str, String) {
        let orphans = self.orphans();
        if self.desired.is_none() {
            let message = format!("it is no longer wanted{orphans}");
            return (false, reason::UNSUBSCRIBING, message);
        }
        let Some(serving) = serving(self.record, self.now) else {
            let (why, message) = self.progress();
            return (false, why, format!("{message}{orphans}"));
        };
        let soon = expiring_soon_at(serving).filter(|at| *at <= self.now);
        if let (Some(_), Some(expires_at)) = (soon, serving.expires_at) {
            let message = format!(
                "registration {} expires at {expires_at}{orphans}",
                serving.number
            );
            return (true, reason::EXPIRING_SOON, message);
        }
        if let Some(last) = quiet_since(self.record, self.now) {
            let message = format!("nothing was received since {last}{orphans}");
            return (true, reason::QUIET_TOO_LONG, message);
        }
        let allowed = self
            .desired
            .is_some_and(|desired| desired.allow_re_registration);
        if !allowed && is_readdressed(&self.record.inputs, serving) {
            let message = format!(
                "the app still calls the former URL; the annotation \
                 tidegate.dev/allow-re-registration=true on its type makes it register anew{orphans}"
            );
            return (true, reason::PUBLIC_URL_CHANGED, message);
        }
        let message = format!(
            "the app sends events to registration {}{orphans}",
            serving.number
        );
        (true, reason::SUBSCRIBED, message)
    }

    /// What may stand at the app without anybody looking after it belongs where people look first.
    fn orphans(&self) -> String {
        match self.record.orphans.len() {
            0 => String::new(),
            _ => {
                let numbers: Vec<String> = self.record.orphans.iter().map(orphan).collect();
                format!("; may still stand at the app: {}", numbers.join(", "))
            }
        }
    }

    fn stalled(&self) -> Option<(&'static str, String)> {
        let desired = self.desired?;
        let needs_turn = needs_turn(self.record, desired, self.now);
        (needs_turn && self.turn == Turn::Stopped).then(|| {
            let message = "too many registrations could not be changed; \
                           edit the AppEventType to try again";
            (reason::ROLLOUT_STOPPED, message.to_owned())
        })
    }

    fn reconciling(&self) -> Option<(&'static str, String)> {
        let record = self.record;
        let Some(desired) = self.desired else {
            let message = "the registrations are being removed".to_owned();
            return (!record.registrations.is_empty()).then_some((reason::UNSUBSCRIBING, message));
        };
        if needs_turn(record, desired, self.now) && self.turn == Turn::Waiting {
            let message = "its request changed, and others come first".to_owned();
            return Some((reason::WAITING_FOR_TURN, message));
        }
        let is_settled = record.registrations.len() == 1
            && record
                .registrations
                .iter()
                .all(|it| it.is_active() && it.trouble.is_none() && it.notice.is_none())
            && record.making.is_none();
        (!is_settled).then(|| self.progress())
    }

    /// How making it, or keeping it, goes.
    fn progress(&self) -> (&'static str, String) {
        if let Some(trouble) = self.trouble() {
            let why = match trouble.kind {
                TroubleKind::Refused => reason::APP_REFUSED,
                TroubleKind::NotSent => reason::REQUEST_NOT_SENT,
                TroubleKind::NoAnswer => reason::APP_UNREACHABLE,
                TroubleKind::Unfinished => reason::NOT_WORKING,
            };
            let message = format!("{}; tried again at {}", trouble.error, trouble.retry_at);
            return (why, message);
        }
        let current = self.record.current();
        match current.map(|current| &current.phase) {
            Some(Phase::Resolving(_) | Phase::Unsure) => (
                reason::ANSWER_LOST,
                "whether the app has made the registration is being found out".to_owned(),
            ),
            Some(Phase::AwaitingSecret { .. }) => (
                reason::WAITING_FOR_SECRET,
                "the handshake that brings the signing secret has not come yet".to_owned(),
            ),
            Some(Phase::Active) => (
                reason::SUBSCRIBING,
                "the former registrations are being removed, or this one renewed".to_owned(),
            ),
            _ => (
                reason::SUBSCRIBING,
                "the registration is being made".to_owned(),
            ),
        }
    }
}

fn orphan(orphan: &super::record::Orphan) -> String {
    match (&orphan.id, orphan.number == orphan.last_number) {
        (Some(id), _) => format!("{id} (registration {})", orphan.number),
        (None, true) => format!("registration {}", orphan.number),
        (None, false) => format!("registrations {} to {}", orphan.number, orphan.last_number),
    }
}

/// The last request and the answer to it. They were masked when they were kept, but a secret may
/// have come to be known since.
fn shown_exchange(
    masker: &Masker,
    registration: &Registration,
) -> (Option<SentRequest>, Option<ReceivedResponse>) {
    let body = |body: &Option<String>| body.as_deref().map(|body| masker.text(body));
    let request = registration.request.as_ref().map(|request| SentRequest {
        url: masker.text(&request.url),
        headers: masked(masker, &request.headers),
        body: body(&request.body),
        ..request.clone()
    });
    let response = registration
        .response
        .as_ref()
        .map(|response| ReceivedResponse {
            headers: masked(masker, &response.headers),
            body: body(&response.body),
            ..response.clone()
        });
    (request, response)
}

fn masked(masker: &Masker, headers: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let headers = headers.iter();
    headers
        .map(|(name, value)| (name.clone(), masker.text(value)))
        .collect()
}

/// What an app calls a registration, and what was kept of its answers, may hold what is sensitive.
fn shown(masker: &Masker, registration: &Registration) -> RegistrationStatus {
    let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    RegistrationStatus {
        number: registration.number,
        id: registration.id.as_deref().map(|id| masker.text(id)),
        since: text(registration.since),
        expires_at: text(registration.expires_at),
        renew_at: text(registration.renew_at),
        values: masker.members(&registration.values),
    }
}

fn is_under_way(registration: &Registration) -> bool {
    matches!(
        registration.phase,
        Phase::Subscribing | Phase::Unsure | Phase::Resolving(_)
    )
}

fn attempt(registration: &Registration) -> RegistrationAttempt {
    RegistrationAttempt {
        id: registration.attempt.id.clone(),
        number: registration.number,
        started_at: registration.attempt.started_at.to_string(),
        deadline: registration.attempt.deadline.to_string(),
    }
}

/// The registration whose events come in.
fn serving(record: &Record, now: Timestamp) -> Option<&Registration> {
    let mut newest_first = record.registrations.iter().rev();
    newest_first.find(|registration| {
        let works = match registration.phase {
            Phase::Active => true,
            // Sent again in place: it goes on sending events meanwhile.
            Phase::Subscribing | Phase::FollowingUp { .. } => {
                registration.since.is_some()
                    && !registration.request_hash.is_empty()
                    && registration.is_change
            }
            _ => false,
        };
        registration.leaving.is_none() && works && !has_expired(registration, now)
    })
}

/// Since when nothing was received, if that is longer than `quietPeriod`.
pub(crate) fn quiet_since(record: &Record, now: Timestamp) -> Option<Timestamp> {
    let period = record.inputs.subscription.quiet_period.as_ref()?;
    let last = record.last_event_at.max(serving(record, now)?.since)?;
    let ends = last.checked_add(period.duration()).ok()?;
    (ends <= now).then_some(last)
}

fn condition(type_: &str, status: bool, why: &str, message: &str, now: Timestamp) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: why.to_owned(),
        message: message.to_owned(),
        last_transition_time: Time(now),
        observed_generation: None,
    }
}
