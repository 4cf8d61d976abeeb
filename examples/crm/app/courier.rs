//! Sends events to webhooks: signed, tried again with growing pauses, given up in the end.
//!
//! One thread, a few requests at a time. A target that is slow makes the others wait for seconds,
//! which a real app would not do.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::clock::now;
use super::hmac::hmac_sha256_hex;
use super::http::Target;
use super::webhooks::{Sent, Webhook};

/// An event is tried so often.
const TRIES: u32 = 8;

/// The pause after the first try; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Requests that are open at the same time.
const AT_ONCE: usize = 16;

/// Events that wait; more are dropped, because memory has an end.
const MOST_WAITING: usize = 10_000;

/// One event on its way to one webhook.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub tenant: String,
    pub webhook: Webhook,
    pub event_id: String,
    /// The JSON document.
    pub body: String,
    tries: u32,
    due: Instant,
}

impl Parcel {
    pub fn new(tenant: &str, webhook: Webhook, event_id: &str, body: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            webhook,
            event_id: event_id.to_owned(),
            body: body.to_owned(),
            tries: 0,
            due: Instant::now(),
        }
    }

    /// Sends it, signed over the time and the very bytes of the body.
    fn send(&self) -> Sent {
        let Some(target) = Target::parse(&self.webhook.target) else {
            return Sent::Unwanted;
        };
        let time = now().to_string();
        let signed = format!("{time}.{}", self.body);
        let signature = hmac_sha256_hex(self.webhook.secret.as_bytes(), signed.as_bytes());
        let headers = [
            ("content-type", "application/json"),
            ("user-agent", "example-crm"),
            ("x-crm-webhook", &self.webhook.id),
            ("x-crm-timestamp", &time),
            ("x-crm-signature", &format!("sha256={signature}")),
        ];
        let answer = target.send("POST", "", &headers, &self.body);
        let said = match &answer {
            Ok((status, _)) => format!("answered {status}"),
            Err(error) => format!("not sent: {error}"),
        };
        println!(
            "{}: {} to {}: {said}",
            self.tenant, self.event_id, self.webhook.id
        );
        match answer {
            Ok((200..300, _)) => Sent::Taken,
            Ok((404 | 410, _)) => Sent::Unwanted,
            _ => Sent::Failed,
        }
    }
}

/// Everything that waits to be sent.
#[derive(Debug, Default)]
pub struct Courier {
    waiting: Mutex<Vec<Parcel>>,
    more: Condvar,
}

impl Courier {
    /// Sends parcels as soon as it can.
    pub fn take(&self, parcels: Vec<Parcel>) {
        let mut waiting = self.waiting();
        waiting.extend(parcels);
        waiting.truncate(MOST_WAITING);
        self.more.notify_all();
    }

    /// Sends for ever. `note` hears of each try, and says whether the webhook still wants events.
    pub fn run(&self, note: impl Fn(&Parcel, Sent) -> bool) {
        loop {
            let parcels = self.next();
            let sent: Vec<Sent> = thread::scope(|scope| {
                let tries: Vec<_> = parcels
                    .iter()
                    .map(|parcel| scope.spawn(|| parcel.send()))
                    .collect();
                let sent = tries.into_iter().map(|one| one.join());
                sent.map(|sent| sent.unwrap_or(Sent::Failed)).collect()
            });
            for (mut parcel, sent) in parcels.into_iter().zip(sent) {
                let is_wanted = note(&parcel, sent);
                parcel.tries += 1;
                if sent == Sent::Failed && is_wanted && parcel.tries < TRIES {
                    parcel.due = Instant::now() + FIRST_PAUSE * 2u32.pow(parcel.tries - 1);
                    self.take(vec![parcel]);
                }
            }
        }
    }

    /// Waits until something is due.
    fn next(&self) -> Vec<Parcel> {
        let mut waiting = self.waiting();
        loop {
            let now = Instant::now();
            let (mut due, later): (Vec<_>, Vec<_>) =
                waiting.drain(..).partition(|parcel| parcel.due <= now);
            *waiting = later;
            if !due.is_empty() {
                waiting.extend(due.split_off(due.len().min(AT_ONCE)));
                return due;
            }
            let next = waiting.iter().map(|parcel| parcel.due).min();
            let pause = next.map_or(Duration::from_secs(60), |next| next - now);
            waiting = match self.more.wait_timeout(waiting, pause) {
                Ok((waiting, _)) => waiting,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Parcel>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
