//! Access tokens: obtained once for all customers whose request for one is the same, kept in memory
//! until shortly before they expire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Inner;
use super::send::{Exchange, health_of};
use crate::configuration::Sensitive;
use crate::provision::limits::HostName;
use crate::provision::{AccessToken, Answer, Inputs, Outcome, Program};

/// How long a failure answers for everybody who needs the same token: with thousands of customers
/// nobody asks thousands of times.
const FAILURE_COUNTS: Duration = Duration::from_secs(5);

/// Tokens that are remembered before those are forgotten that have expired.
const TOKENS_TO_SWEEP: usize = 1_024;

#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    /// Held by whoever obtains it; the others wait for what comes of it.
    state: tokio::sync::Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    token: Option<AccessToken>,
    failed: Option<(Instant, Outcome)>,
}

/// A token, and under what it is remembered.
#[derive(Clone)]
pub(super) struct Token {
    pub value: Sensitive,
    key: String,
}

/// Why there is no token.
pub(super) enum NoToken {
    /// The outcome of the request that it was for.
    Outcome(Outcome),
    /// The host that gives tokens is paused.
    Paused(HostName),
}

impl Tokens {
    /// Forgets a token that the app did not take.
    pub async fn refused(&self, token: &Token) {
        let slot = self.lock().get(&token.key).cloned();
        if let Some(slot) = slot {
            let mut state = slot.state.lock().await;
            // Not one that another obtained meanwhile.
            if state
                .token
                .as_ref()
                .is_some_and(|known| known.token == token.value)
            {
                state.token = None;
            }
        }
    }

    fn slot(&self, key: &str, now: Timestamp) -> Arc<Slot> {
        let mut slots = self.lock();
        if slots.len() >= TOKENS_TO_SWEEP && slots.len().is_power_of_two() {
            slots.retain(|_, slot| {
                let state = slot.state.try_lock();
                state.is_ok_and(|state| state.token.as_ref().is_some_and(|it| it.use_until > now))
            });
        }
        Arc::clone(slots.entry(key.to_owned()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        // The map is never left half changed, so a poisoned lock is still good.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The token that requests made from `inputs` need; `None` where they need none.
    pub(super) async fn token(
        &self,
        program: &Program,
        inputs: &Inputs,
    ) -> Result<Option<Token>, NoToken> {
        if !program.needs_credentials() {
            return Ok(None);
        }
        let now = self.now();
        let not_sent = |error: String| {
            NoToken::Outcome(Outcome::NotSent {
                error,
                retry_after: None,
            })
        };
        let request = program
            .render_credentials(inputs, now)
            .map_err(|error| not_sent(error.to_string()))?;
        let Some(request) = request else {
            return Ok(None);
        };
        let key = request.cache_key;
        let slot = self.tokens.slot(&key, now);
        let mut state = slot.state.lock().await;
        if let Some(known) = state.token.as_ref().filter(|known| known.use_until > now) {
            let value = known.token.clone();
            return Ok(Some(Token { value, key }));
        }
        if let Some((at, outcome)) = &state.failed
            && at.elapsed() < FAILURE_COUNTS
        {
            return Err(NoToken::Outcome(outcome.clone()));
        }
        let outgoing = request.outgoing;
        let host = HostName::of(&outgoing.url);
        let limits = &inputs.subscription.limits;
        self.hosts.know(&host, &inputs.event_type, limits);
        let permit = self.hosts.permit(&host).await;
        let permit = permit.map_err(|_| NoToken::Paused(host))?;
        let result = self
            .exchange(Exchange {
                outgoing: &outgoing,
                program,
                event_type: &inputs.event_type,
                timeout: limits.timeout().duration(),
            })
            .await;
        permit.done(health_of(&result));
        let obtained = match result {
            Ok(reply) => {
                let answer = Answer {
                    status: reply.status,
                    headers: reply.headers,
                    body: reply.body,
                    retry_after: reply.retry_after,
                };
                program.read_credentials(inputs, &answer, self.now())
            }
            // Whatever became of this request: the one that the token was for was not sent.
            Err(error) => Err(Outcome::NotSent {
                error: format!("no access token: {error}"),
                retry_after: None,
            }),
        };
        self.metrics.token(obtained.is_ok());
        match obtained {
            Ok(token) => {
                let value = token.token.clone();
                state.token = Some(token);
                state.failed = None;
                Ok(Some(Token { value, key }))
            }
            Err(outcome) => {
                state.failed = Some((Instant::now(), outcome.clone()));
                Err(NoToken::Outcome(outcome))
            }
        }
    }
}
