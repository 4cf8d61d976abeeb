//! Pods that are only values connect, take what they are sent, and are waited for or not.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::configuration::stream::Members;
use crate::configuration::stream::report::{Acknowledgement, HealthReport, RefusedEntry};
use crate::configuration::stream::{Batch, EntryKey, Revision};
use crate::configuration::{
    GatewayEntry, RegistrationEntry, RegistrationState, RouteEntry, Sensitive, SubscriptionHealth,
};

fn hub() -> Hub {
    Hub::new(Parts {
        epoch: 7,
        clock: Arc::new(|| Timestamp::UNIX_EPOCH),
    })
}

fn name(name: &str) -> ObjectName {
    ObjectName::new("crm", name)
}

fn caller(gateway: &str, pod: &str) -> Caller {
    Caller {
        gateway: name(gateway),
        pod: pod.into(),
    }
}

/// A gateway that serves the event type `contact` at so many routes.
fn served(routes: u32) -> Served {
    let routes = (0..routes).map(|number| {
        Arc::new(RouteEntry {
            path: format!("/crm/{number}"),
            event_type: name("contact"),
        })
    });
    Served {
        configuration: Arc::new(Configuration {
            gateway: GatewayEntry {
                public_url: "https://hooks.example.com".into(),
                requests_per_second: None,
                connections: 100,
                undelivered_share: 20,
                replay_retention: Duration::ZERO,
                trusted_proxies: Vec::new(),
            },
            event_types: Vec::new(),
            routes: routes.collect(),
            customers: Vec::new(),
            subscriptions: Vec::new(),
        }),
        token_key: Sensitive::from("key"),
        members: Arc::new(Members {
            addresses: Vec::new(),
        }),
        partings: Arc::default(),
        log_capacity: 1 << 30,
    }
}

fn registration(number: u32) -> RegistrationChange {
    RegistrationChange::Set(RegistrationEntry {
        subscription: name("acme"),
        number,
        path: format!("/h/token/{number}"),
        event_type: name("contact"),
        state: RegistrationState::Removed,
    })
}

/// What a session is sent next, at once.
async fn sent(session: &mut Session) -> Option<Batch> {
    match session.next(Duration::ZERO).await {
        Next::Send(batch) => Some(batch),
        Next::Nothing => None,
        Next::Over => panic!("the session is over"),
    }
}

fn taken(revision: Revision) -> Acknowledgement {
    Acknowledgement {
        revision: Some(revision),
        refused: Vec::new(),
        further: 0,
        retirement: None,
        unsent: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_gets_its_own_gateways_entries_first_all_then_changes() {
    let hub = hub();
    let mut early = hub.connect(caller("a", "a-0"), Vec::new());
    assert!(
        sent(&mut early).await.is_none(),
        "nobody has said yet what it serves"
    );
    hub.set(&name("a"), served(3));
    hub.set(&name("b"), served(1));
    let first = sent(&mut early).await.unwrap();
    assert_eq!((first.put.len(), first.resumed), (3 + 5, true));
    hub.set(&name("a"), served(4));
    let change = sent(&mut early).await.unwrap();
    assert_eq!((change.put.len(), change.resumed), (1, false));
    assert!(change.revision > first.revision);
    hub.set(&name("a"), served(4));
    assert!(sent(&mut early).await.is_none(), "the same is no change");

    // What it has is not sent again.
    let mut hashes: Vec<_> = first.put.iter().map(|item| item.hash).collect();
    hashes.push(change.put[0].hash);
    let mut again = hub.connect(caller("a", "a-0"), hashes);
    assert_eq!(sent(&mut again).await.unwrap().put.len(), 0);
    assert!(
        matches!(early.next(Duration::ZERO).await, Next::Over),
        "one stream for each pod"
    );
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_published_once_every_connected_pod_has_taken_it() {
    let hub = hub();
    hub.set(&name("a"), served(1));
    let mut pods = [
        hub.connect(caller("a", "a-0"), Vec::new()),
        hub.connect(caller("a", "a-1"), Vec::new()),
    ];
    let stranger = hub.connect(caller("b", "b-0"), Vec::new());
    for pod in &mut pods {
        let revision = sent(pod).await.unwrap().revision;
        assert!(hub.acknowledge(&pod.teller(), taken(revision)));
    }
    let publisher = hub.clone();
    let publishing = tokio::spawn(async move { publisher.publish(vec![registration(1)]).await });
    tokio::task::yield_now().await;
    for pod in &mut pods {
        assert!(!publishing.is_finished());
        let batch = sent(pod).await.unwrap();
        assert_eq!(batch.put.len(), 1);
        hub.acknowledge(&pod.teller(), taken(batch.revision));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    publishing.await.unwrap().unwrap();
    drop(stranger);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_take_it_is_named_and_one_that_is_cut_off_is_not_waited_for() {
    let hub = hub();
    hub.set(&name("a"), served(1));
    let deaf = hub.connect(caller("a", "a-0"), Vec::new());
    let error = hub.publish(vec![registration(1)]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the gateway's pods a-0 have not taken it within 5 s"
    );
    let publisher = hub.clone();
    let publishing = tokio::spawn(async move { publisher.publish(vec![registration(2)]).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!publishing.is_finished());
    // Long after the hub began nobody is waited for who is not there.
    tokio::time::sleep(PODS_ARRIVE).await;
    drop(deaf);
    let start = Instant::now();
    hub.publish(vec![registration(3)]).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn soon_after_a_change_of_leader_pods_are_waited_for() {
    let hub = hub();
    // Before anybody says what there is, registrations are only noted.
    hub.publish(vec![registration(1)]).await.unwrap();
    hub.set(&name("a"), served(1));
    let publisher = hub.clone();
    let publishing = tokio::spawn(async move { publisher.publish(vec![registration(2)]).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!publishing.is_finished());
    let mut pod = hub.connect(caller("a", "a-0"), Vec::new());
    let batch = sent(&mut pod).await.unwrap();
    assert_eq!(batch.put.len(), 5 + 1 + 2);
    hub.acknowledge(&pod.teller(), taken(batch.revision));
    publishing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_of_another_leaders_revision_is_none() {
    let hub = hub();
    hub.set(&name("a"), served(1));
    let pod = hub.connect(caller("a", "a-0"), Vec::new());
    let revision = Revision {
        epoch: 6,
        counter: 900,
    };
    assert!(hub.acknowledge(&pod.teller(), taken(revision)));
    assert!(hub.publish(vec![registration(1)]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_pods_tell_is_observed_and_goes_with_them() {
    let hub = hub();
    let observations = hub.observations();
    let pod = hub.connect(caller("a", "a-1"), Vec::new());
    assert!(
        observations.borrow().gateways.is_empty(),
        "nobody has said what it serves"
    );
    hub.set(&name("a"), served(1));
    let other = hub.connect(caller("a", "a-0"), Vec::new());
    let of_a = || Arc::clone(&observations.borrow().gateways[&name("a")]);
    let revision = of_a().revision;
    assert_eq!(
        revision,
        Revision {
            epoch: 7,
            counter: 1
        }
    );
    let names: Vec<_> = of_a().pods.iter().map(|pod| pod.name.clone()).collect();
    assert_eq!(names, ["a-0", "a-1"]);
    assert_eq!(of_a().taken_by_all(), None);
    hub.acknowledge(&other.teller(), taken(revision));
    assert_eq!(of_a().taken_by_all(), None);
    let refused = RefusedEntry {
        kind: "EventType".into(),
        name: "crm/contact".into(),
        problems: vec!["it is too new".into()],
    };
    let acknowledgement = Acknowledgement {
        revision: Some(revision),
        refused: vec![refused],
        further: 0,
        retirement: None,
        unsent: Vec::new(),
    };
    hub.acknowledge(&pod.teller(), acknowledgement);
    assert_eq!(of_a().taken_by_all(), Some(revision));
    let expected = Refused {
        key: EntryKey::EventType(name("contact")),
        problems: vec!["it is too new".into()],
    };
    assert_eq!(*of_a().pods[1].refused, [expected]);
    let teller = pod.teller();
    drop(pod);
    assert_eq!(of_a().pods.len(), 1);
    assert!(
        !hub.acknowledge(&teller, taken(revision)),
        "its session is over"
    );
    hub.remove(&name("a"));
    assert!(observations.borrow().gateways.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pod_may_tell_of_its_own_gateways_registrations_only() {
    let hub = hub();
    hub.set(&name("a"), served(1));
    hub.set(
        &name("b"),
        Served {
            configuration: other_type(),
            ..served(1)
        },
    );
    hub.publish(vec![registration(1)]).await.unwrap();
    let (pod, other) = (
        hub.connect(caller("a", "a-0"), Vec::new()),
        hub.connect(caller("b", "b-0"), Vec::new()),
    );
    let check = |pod: &Session, number: u32, expected: bool| {
        let reports = hub.reports(&pod.teller(), &name("acme"), number);
        assert_eq!(reports.is_some(), expected, "{number}");
    };
    check(&pod, 1, true);
    check(&pod, 2, false);
    check(&other, 1, false);
}

fn other_type() -> Arc<Configuration> {
    let mut configuration = (*served(0).configuration).clone();
    configuration.routes.push(Arc::new(RouteEntry {
        path: "/crm/orders".into(),
        event_type: name("order"),
    }));
    Arc::new(configuration)
}

#[tokio::test(start_paused = true)]
async fn the_health_of_a_subscription_that_nobody_declared_is_not_kept() {
    let hub = hub();
    hub.set(&name("a"), served(1));
    let pod = hub.connect(caller("a", "a-0"), Vec::new());
    let health = SubscriptionHealth {
        delivering: false,
        reason: "SinkFailing".into(),
        message: "it answers 500".into(),
        undelivered: 3,
        oldest_undelivered: Some(Timestamp::UNIX_EPOCH),
        dead_letters: 1,
        last_delivered: None,
    };
    let report = HealthReport {
        items: vec![(name("invoicing"), health)],
    };
    assert!(hub.report_health(&pod.teller(), report));
    let observations = hub.observations();
    let of_a = Arc::clone(&observations.borrow().gateways[&name("a")]);
    assert!(of_a.pods[0].health.is_empty());
}
