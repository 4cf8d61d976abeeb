//! Sends one request of a subscription and says what came of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Inner;
use super::state::Key;
use super::tokens::{NoToken, Token};
use crate::event::ObjectName;
use crate::provision::client::{Call, NoReply, Reply};
use crate::provision::limits::{Health, HostName, Permit};
use crate::provision::plan::Shown;
use crate::provision::{Answer, Known, Outcome, Outgoing, Program, Record, RequestKind};

/// A request that comes next, with all that it is made from.
#[derive(Clone)]
pub(super) struct Ahead {
    pub record: Arc<Record>,
    pub program: Result<Arc<Program>, String>,
    pub number: u32,
    pub kind: RequestKind,
}

/// One request over the network.
pub(super) struct Exchange<'a> {
    pub outgoing: &'a Outgoing,
    pub program: &'a Program,
    pub event_type: &'a ObjectName,
    pub timeout: Duration,
}

/// What a request needs before it can go.
pub(super) struct Prepared {
    /// The token, or the outcome of a request that cannot have one.
    pub token: Result<Option<Token>, Outcome>,
    /// A place among the requests to its host; `None` where no request can be made.
    pub permit: Option<Permit>,
}

impl Prepared {
    /// Whether this is what a request to the host needs.
    pub fn is_for(&self, host: Option<&HostName>) -> bool {
        self.token.is_err() || self.permit.as_ref().map(Permit::host) == host
    }
}

impl Ahead {
    /// The host that the request goes to; `None` where none can be made.
    pub fn host(&self, now: Timestamp) -> Option<HostName> {
        // A host cannot depend on a token.
        let token = crate::configuration::Sensitive::from("-");
        let program = self.program.as_ref().ok()?;
        let registration = self.record.registration(self.number)?;
        let (inputs, known) = (&self.record.inputs, Known::from(registration));
        let url = program.url(&self.kind, inputs, &known, Some(&token), now);
        Some(HostName::of(&url.ok()?))
    }

    fn render(
        &self,
        token: Option<&crate::configuration::Sensitive>,
        now: Timestamp,
    ) -> Result<Outgoing, String> {
        let program = self.program.as_ref().map_err(Clone::clone)?;
        let registration = self
            .record
            .registration(self.number)
            .ok_or("there is no such registration any more")?;
        program
            .render(
                &self.kind,
                &self.record.inputs,
                &Known::from(registration),
                token,
                now,
            )
            .map_err(|error| error.to_string())
    }
}

/// What the end of an exchange says about the host.
pub(super) fn health_of(result: &Result<Reply, NoReply>) -> Health {
    match result {
        Ok(reply) if reply.status == 429 || reply.status >= 500 => Health::Bad(reply.retry_after),
        Ok(_) => Health::Good,
        Err(error) if error.is_hosts_fault => Health::Bad(None),
        Err(_) => Health::Unknown,
    }
}

fn not_sent(error: impl Into<String>) -> (Outcome, Shown) {
    let outcome = Outcome::NotSent {
        error: error.into(),
        retry_after: None,
    };
    (outcome, Shown::default())
}

impl Inner {
    /// Waits for the token that a request needs, then for a place among those to its host.
    ///
    /// # Errors
    /// The host that is paused, if one is.
    pub(super) async fn prepare(&self, ahead: &Ahead) -> Result<Prepared, HostName> {
        let inputs = &ahead.record.inputs;
        let token = match &ahead.program {
            Ok(program) => match self.token(program, inputs).await {
                Ok(token) => Ok(token),
                Err(NoToken::Outcome(outcome)) => Err(outcome),
                Err(NoToken::Paused(host)) => return Err(host),
            },
            Err(_) => Ok(None),
        };
        let host = match &token {
            Ok(_) => ahead.host(self.now()),
            Err(_) => None,
        };
        let permit = match host {
            Some(host) => {
                let limits = &inputs.subscription.limits;
                self.hosts.know(&host, &inputs.event_type, limits);
                Some(self.hosts.permit(&host).await.map_err(|_| host)?)
            }
            None => None,
        };
        Ok(Prepared { token, permit })
    }

    /// Sends a request, once, and reads its answer.
    pub(super) async fn send(
        &self,
        ahead: &Ahead,
        prepared: Prepared,
        deadline: Timestamp,
    ) -> (Outcome, Shown) {
        let Prepared { token, permit } = prepared;
        let token = match token {
            Ok(token) => token,
            Err(outcome) => return (outcome, Shown::default()),
        };
        let secret = token.as_ref().map(|token| &token.value);
        let now = self.now();
        let outgoing = match ahead.render(secret, now) {
            Ok(outgoing) => outgoing,
            Err(error) => return not_sent(error),
        };
        let (Ok(program), Some(registration)) =
            (&ahead.program, ahead.record.registration(ahead.number))
        else {
            return not_sent("there is no such registration any more");
        };
        let Some(permit) = permit.filter(|it| *it.host() == HostName::of(&outgoing.url)) else {
            // What the URL is made of changed in this very moment; it is planned again.
            return not_sent("the request's host changed while it was waited for");
        };
        let inputs = &ahead.record.inputs;
        let left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
        let timeout = inputs.subscription.limits.timeout().duration().min(left);
        if timeout.is_zero() {
            return not_sent("there was no time left to send it");
        }
        let result = self
            .exchange(Exchange {
                outgoing: &outgoing,
                program,
                event_type: &inputs.event_type,
                timeout,
            })
            .await;
        permit.done(health_of(&result));
        let mut shown = Shown {
            request: Some(outgoing.shown),
            response: None,
        };
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => {
                let NoReply {
                    not_sent, message, ..
                } = error;
                let (error, retry_after) = (message, None);
                let outcome = if not_sent {
                    Outcome::NotSent { error, retry_after }
                } else {
                    Outcome::Unknown { error, retry_after }
                };
                return (outcome, shown);
            }
        };
        if let (401, Some(token)) = (reply.status, &token) {
            self.tokens.refused(token).await;
        }
        let answer = Answer {
            status: reply.status,
            headers: reply.headers,
            body: reply.body,
            retry_after: reply.retry_after,
        };
        // A handshake may have brought the secret meanwhile, which the answer may repeat.
        let latest = self.latest(&ahead.record.name);
        let latest = latest.as_ref().and_then(|it| it.registration(ahead.number));
        let known = Known::from(latest.unwrap_or(registration));
        let (outcome, response) =
            program.read(&ahead.kind, inputs, &known, secret, &answer, self.now());
        shown.response = Some(response);
        (outcome, shown)
    }

    fn latest(&self, name: &ObjectName) -> Option<Arc<Record>> {
        let state = self.lock();
        state.keys.get(name).and_then(Key::latest).cloned()
    }

    pub(super) async fn exchange(&self, exchange: Exchange<'_>) -> Result<Reply, NoReply> {
        let Exchange {
            outgoing,
            program,
            event_type,
            timeout,
        } = exchange;
        let is_allowed = |url: &url::Url| program.hosts.check(url).is_ok();
        self.caller
            .call(Call {
                method: &outgoing.method,
                url: &outgoing.url,
                headers: &outgoing.headers,
                body: &outgoing.body,
                is_allowed: &is_allowed,
                namespace: &event_type.namespace,
                timeout,
            })
            .await
    }
}
