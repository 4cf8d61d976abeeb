//! Looks after EventGateways: their objects in the cluster, and their status.
//!
//! What a gateway needs is applied when the EventGateway, what is known of all gateways, or its
//! StatefulSet was changed by somebody, and else only once in a while; looking costs no write. The
//! status follows the pods, at most every few seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::decide::Decision;
use super::event_gateway::{self, Known, Look, Reconciled, Settings};
use super::hub::GatewayObservation;
use super::merge_patch::merge_patch;
use super::orphans;
use super::progress::Progress;
use super::status::{News, news};
use super::statuses::StatusWrite;
use super::world::World;
use super::write::Writer;
use crate::api::condition::reason;
use crate::api::{EventGateway, EventGatewayStatus};
use crate::compile::{Kind, State};
use crate::configuration::stream::Retirement;
use crate::event::ObjectName;
use crate::provision::driver::View;

/// The status follows at most so often: a configuration may change many times a second.
const FOLLOWS: Duration = Duration::from_secs(2);

/// Pods come and go without our being told.
const LOOKS: Duration = Duration::from_secs(10);

/// What somebody changed without our noticing is set right by then.
const APPLIES: Duration = Duration::from_secs(60 * 60);

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a look.
#[derive(Debug)]
pub struct Looked {
    name: ObjectName,
    outcome: Option<Outcome>,
}

#[derive(Debug)]
struct Outcome {
    status: EventGatewayStatus,
    /// Whether everything was applied, or there was nothing to apply.
    is_applied: bool,
    stateful_set: Option<i64>,
}

/// Looks after all EventGateways.
pub struct Gateways {
    client: Client,
    settings: Settings,
    writer: Writer,
    looked: mpsc::UnboundedSender<Looked>,
    states: BTreeMap<ObjectName, One>,
    is_due: bool,
    is_to_write: bool,
}

/// What objects are applied of: the EventGateway's uid and generation, the authority, and the pods that may go.
type AppliedOf = (String, Option<i64>, String, Vec<String>);

/// One of them.
#[derive(Default)]
struct One {
    is_under_way: bool,
    /// When it was looked at last, and when everything was applied last.
    looked_at: Option<Instant>,
    applied_at: Option<Instant>,
    /// Of what it was applied.
    applied: Option<AppliedOf>,
    /// The generation of the StatefulSet after that.
    stateful_set: Option<i64>,
    /// Nothing before this.
    not_before: Option<Instant>,
    wanted: Option<EventGatewayStatus>,
    written: Option<(Value, Option<String>)>,
    /// What was told of an annotation that says nothing.
    problem: Option<String>,
}

impl Gateways {
    /// What comes of looks is told to `looked`.
    #[must_use]
    pub fn new(
        client: Client,
        settings: Settings,
        writer: Writer,
        looked: mpsc::UnboundedSender<Looked>,
    ) -> Self {
        Self {
            client,
            settings,
            writer,
            looked,
            states: BTreeMap::new(),
            is_due: true,
            is_to_write: false,
        }
    }

    /// Something changed that may be about any of them.
    pub fn look_at_all(&mut self) {
        self.is_due = true;
    }

    /// Another authority signs the configuration server's certificate.
    pub fn set_ca(&mut self, ca: String) {
        if self.settings.ca != ca {
            self.settings.ca = ca;
            self.is_due = true;
        }
    }

    /// When to look again.
    pub fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let all = self.states.values().filter(|one| !one.is_under_way);
        let next = all.map(|one| one.next_look(self.is_due, now)).min();
        next.unwrap_or(now + LOOKS)
    }

    /// Takes in what came of a look.
    pub fn finished(&mut self, looked: Looked) {
        let Looked { name, outcome } = looked;
        let Some(one) = self.states.get_mut(&name) else {
            return;
        };
        let now = Instant::now();
        one.is_under_way = false;
        one.looked_at = Some(now);
        match outcome {
            Some(outcome) => {
                if outcome.is_applied {
                    one.stateful_set = one.stateful_set.or(outcome.stateful_set);
                    if one.stateful_set != outcome.stateful_set {
                        // Somebody else changed it.
                        one.applied = None;
                    }
                } else {
                    one.applied = None;
                    one.not_before = Some(now + PAUSE);
                }
                one.wanted = Some(outcome.status);
            }
            None => one.not_before = Some(now + PAUSE),
        }
        self.is_to_write = true;
    }

    /// Looks at those that are due. `orphaned` are the subscriptions of which something may be left
    /// at an app.
    pub fn look(
        &mut self,
        world: &World,
        decision: &Decision,
        progress: &Progress,
        orphaned: impl FnOnce() -> Vec<View>,
    ) {
        let now = Instant::now();
        self.states
            .retain(|name, _| world.gateways.get(name).is_some());
        for (name, _) in world.gateways.iter() {
            self.states.entry(name.clone()).or_default();
        }
        let due: BTreeSet<ObjectName> = self
            .states
            .iter()
            .filter(|(_, one)| !one.is_under_way && one.next_look(self.is_due, now) <= now)
            .map(|(name, _)| name.clone())
            .collect();
        self.is_due = self.is_due && due.len() < self.states.len();
        if std::mem::take(&mut self.is_to_write) {
            self.write(world);
        }
        if due.is_empty() {
            return;
        }
        let orphans = orphans::listed(&orphaned(), decision);
        for name in due {
            let Some(known) = world.gateways.get(&name) else {
                continue;
            };
            let form = known.present.as_ref().ok().or(known.last_good.as_ref());
            let Some(gateway) = form.map(Arc::clone) else {
                // Nothing of it was ever understood: it is looked at again when it changes, or after a while.
                if let Some(one) = self.states.get_mut(&name) {
                    one.looked_at = Some(now);
                }
                continue;
            };
            let observation = progress.observations.gateways.get(&name);
            let taken = observation.and_then(|it| it.taken_by_all());
            let facts = Known {
                invalid: invalid(decision, &name),
                configuration_revision: taken.map(|it| it.to_string()),
                orphans: orphans.get(&name).cloned().unwrap_or_default(),
                retirements: observation.map(|it| retirements(it)).unwrap_or_default(),
            };
            self.tell_of_new_orphans(&gateway, &facts);
            self.tell_of_problem(&name, &gateway);
            self.begin(name, gateway, facts, now);
        }
    }

    fn begin(&mut self, name: ObjectName, gateway: Arc<EventGateway>, known: Known, now: Instant) {
        let Some(one) = self.states.get_mut(&name) else {
            return;
        };
        let metadata = &gateway.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        let gone = known.retirements.iter().filter(|(_, it)| it.is_done);
        let gone = gone.map(|(pod, _)| pod.clone()).collect();
        let wanted = (uid, metadata.generation, self.settings.ca.clone(), gone);
        let is_late = one.applied_at.is_none_or(|at| at + APPLIES <= now);
        let is_full = metadata.deletion_timestamp.is_none()
            && (is_late || one.applied.as_ref() != Some(&wanted));
        if is_full {
            one.applied_at = Some(now);
            one.applied = Some(wanted);
            one.stateful_set = None;
        }
        one.is_under_way = true;
        let (client, settings) = (self.client.clone(), self.settings.clone());
        let looked = self.looked.clone();
        tokio::spawn(async move {
            let look = one_look(&client, &gateway, &settings, known, is_full);
            let outcome = match tokio::time::timeout(PATIENCE, look).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    tracing::warn!(gateway = %name, "looking after an EventGateway took too long; it is tried again");
                    None
                }
            };
            // Nobody listens any more once the process stops.
            let _ = looked.send(Looked { name, outcome });
        });
    }

    /// Has statuses written that are another than what the objects have.
    fn write(&mut self, world: &World) {
        for (name, one) in &mut self.states {
            let Some(known) = world.gateways.get(name) else {
                continue;
            };
            let (Some(wanted), Ok(present)) = (&one.wanted, &known.present) else {
                continue;
            };
            if wanted.observed_generation != known.generation() {
                continue;
            }
            let present = present.status.clone().unwrap_or_default();
            let mut wanted = wanted.clone();
            for condition in &mut wanted.conditions {
                let time = &mut condition.last_transition_time.0;
                *time = Timestamp::from_second(time.as_second()).unwrap_or(*time);
            }
            crate::provision::keep_transitions(&present.conditions, &mut wanted.conditions);
            let values = serde_json::to_value(&present)
                .and_then(|from| Ok(merge_patch(&from, &serde_json::to_value(&wanted)?)));
            // A status is made of texts and numbers, which all can be written as JSON.
            let Ok(Some(patch)) = values else { continue };
            let written = (patch.clone(), known.metadata().resource_version.clone());
            if one.written.as_ref() == Some(&written) {
                continue;
            }
            one.written = Some(written);
            self.writer.write(StatusWrite {
                kind: Kind::EventGateway,
                name: name.clone(),
                uid: known.uid().to_owned(),
                patch,
                news: news(&present.conditions, &wanted.conditions),
            });
        }
    }

    /// Tells once of an annotation that says nothing.
    fn tell_of_problem(&mut self, name: &ObjectName, gateway: &EventGateway) {
        let problem = orphans::removed_until(gateway, Timestamp::now()).err();
        let Some(one) = self.states.get_mut(name) else {
            return;
        };
        if let Some(message) = problem.clone().filter(|_| one.problem != problem) {
            let told = News {
                reason: reason::INVALID.to_owned(),
                message,
                is_bad: true,
            };
            self.writer.tell(gateway, &told);
        }
        one.problem = problem;
    }

    fn tell_of_new_orphans(&self, gateway: &EventGateway, known: &Known) {
        let listed = gateway.status.as_ref().map(|it| &it.orphans);
        for orphan in &known.orphans {
            let is_new = !listed.is_some_and(|listed| listed.contains(orphan));
            if is_new && listed.is_none_or(|it| it.len() < crate::api::MAX_LISTED_ORPHANS) {
                let of = orphan.customer.as_ref();
                let of = of.map(|it| format!(" of Customer {}/{it}", orphan.namespace));
                let message = format!(
                    "a registration{} for AppEventType {} may be left at its app ({}); look after \
                     it there, it is listed in status.orphans",
                    of.unwrap_or_default(),
                    orphan.event_type_ref.name,
                    orphan.reason
                );
                let told = News {
                    reason: reason::ORPHANED.to_owned(),
                    message,
                    is_bad: true,
                };
                self.writer.tell(gateway, &told);
            }
        }
    }
}

impl One {
    fn next_look(&self, is_due: bool, now: Instant) -> Instant {
        let soonest = self.not_before.unwrap_or(now);
        let next = match self.looked_at {
            None => now,
            Some(at) if is_due => at + FOLLOWS,
            Some(at) => at + LOOKS,
        };
        next.max(soonest)
    }
}

async fn one_look(
    client: &Client,
    gateway: &EventGateway,
    settings: &Settings,
    known: Known,
    is_full: bool,
) -> Option<Outcome> {
    let now = Timestamp::now();
    if is_full {
        let key: [u8; 32] = rand::random();
        let Reconciled {
            status,
            stateful_set,
            error,
        } = event_gateway::reconcile(client, gateway, settings, known, &key, now).await;
        if let Some(error) = &error {
            tracing::warn!(gateway = gateway.metadata.name, %error, "failed to carry out an EventGateway; it is tried again");
        }
        return Some(Outcome {
            status,
            is_applied: error.is_none(),
            stateful_set,
        });
    }
    match event_gateway::look(client, gateway, settings, known, now).await {
        Ok(Look {
            status,
            stateful_set,
            is_to_scale,
        }) => Some(Outcome {
            status,
            is_applied: !is_to_scale,
            stateful_set,
        }),
        Err(error) => {
            tracing::warn!(gateway = gateway.metadata.name, %error, "failed to look at an EventGateway; it is tried again");
            None
        }
    }
}

/// What compilation finds wrong with a gateway.
fn invalid(decision: &Decision, name: &ObjectName) -> Option<String> {
    let verdict = decision.verdict(Kind::EventGateway, name)?;
    if verdict.state != State::Invalid {
        return None;
    }
    let errors = verdict.problems.iter().filter(|it| it.is_error());
    let texts: Vec<String> = errors
        .map(|it| format!("{}: {}", it.path.as_str(), it.message))
        .collect();
    Some(texts.join("; "))
}

/// How far pods are that are to go.
fn retirements(observation: &GatewayObservation) -> BTreeMap<String, Retirement> {
    let pods = observation.pods.iter();
    pods.filter_map(|pod| Some((pod.name.clone(), pod.retirement?)))
        .collect()
}
