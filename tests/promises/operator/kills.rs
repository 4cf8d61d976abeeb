//! The scenarios of `subscribing::kills` at an API server: the controller is killed while a request is
//! open, done or not, in every step and at every kind of app, with its records in Secrets and the
//! gateway's pod going on beside it.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

use super::pod::Pod;
use super::subscribing::World;
use crate::promises::subscribing::all_of_so_many;
use crate::promises::subscribing::installation::Installation;
use crate::promises::subscribing::kills::{CUSTOMERS, killed_while_open};
use crate::promises::subscribing::moods::{MOODS, Mood};
use crate::promises::subscribing::spec::{Spec, limits};
use crate::support::dev::free_address;
use crate::support::model_app::ModelApp;

/// Each has processes of its own, and all have one API server.
const AT_ONCE: usize = 7;

/// A controller and the pod of its gateway.
struct Cluster {
    world: World,
    _pod: Pod,
    events: usize,
}

#[test]
fn the_controller_is_killed_while_requests_are_open() {
    let scenarios = MOODS.iter().map(|mood| {
        let scenario = move || async move { killed_while_open(prepare(mood).await, mood).await };
        (mood.name.to_owned(), scenario)
    });
    all_of_so_many(AT_ONCE, scenarios);
}

/// All is declared, the pod runs, and the controller does not.
async fn prepare(mood: &Mood) -> Cluster {
    let spec = Spec {
        limits: limits("5s"),
        ..Spec::of(&CUSTOMERS)
    };
    let listen = free_address();
    let mut world = World::prepare_at(mood.spec(spec), &format!("http://{listen}")).await;
    for customer in CUSTOMERS {
        mood.apply(&world.app, customer, listen);
    }
    world.controller.run().await;
    let pod = Pod::start(&world.controller, "default", listen).await;
    world.controller.kill();
    world.apply().await;
    Cluster {
        world,
        _pod: pod,
        events: 0,
    }
}

impl Cluster {
    /// A dead leader's Lease lasts for another 15 seconds, which nobody here has to wait for.
    async fn release_the_lease(&self) {
        let controller = &self.world.controller;
        let leases: Api<Lease> = Api::namespaced(controller.admin.clone(), &controller.namespace);
        let now = DeleteParams::default();
        match leases.delete("tidegate-controller", &now).await {
            Ok(_) => {}
            // It was killed before it had one.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// What the gateway lists of a customer's.
    async fn orphans(&self, customer: &str) -> Vec<Value> {
        let controller = &self.world.controller;
        let gateway = controller
            .get(&controller.namespace, "EventGateway", "default")
            .await;
        let listed = gateway["status"]["orphans"].as_array();
        let of = listed.into_iter().flatten().filter(|orphan| {
            orphan["customer"] == customer && orphan["namespace"] == *self.world.namespace
        });
        of.map(|orphan| {
            let last = orphan.get("lastNumber").unwrap_or(&orphan["number"]);
            json!({"number": orphan["number"], "lastNumber": last})
        })
        .collect()
    }
}

impl Installation for Cluster {
    fn app(&self) -> &ModelApp {
        &self.world.app
    }

    fn spec(&self) -> &Spec {
        &self.world.spec
    }

    async fn declare(&mut self, change: impl FnOnce(&mut Spec)) {
        change(&mut self.world.spec);
        self.world.apply().await;
        for customer in &self.world.spec.without_subscription {
            self.world.delete("EventSubscription", customer).await;
        }
    }

    async fn spawn(&mut self) {
        self.release_the_lease().await;
        self.world.controller.spawn();
    }

    async fn run(&mut self) {
        self.release_the_lease().await;
        self.world.controller.run().await;
    }

    fn kill(&mut self) {
        self.world.controller.kill();
    }

    async fn subscription(&self, customer: &str) -> Option<Value> {
        let object = self.world.object(customer).await.unwrap_or_default();
        let status = &object["status"];
        Some(json!({
            "state": status["state"],
            "registrations": status["registrations"],
            "orphans": self.orphans(customer).await,
        }))
    }

    /// Taken, that is: the sink is not there, and what was delivered is asked elsewhere.
    async fn arrives(&mut self, customer: &str) {
        self.events += 1;
        let id = format!("{customer}-event-{}", self.events);
        let app = &self.world.app;
        assert!(app.send(customer, &id) > 0, "{customer} has none");
        self.wait(&format!("{id} is acknowledged"), async || {
            app.is_acknowledged(customer, &id)
        })
        .await;
    }

    fn output(&self) -> String {
        self.world.controller.output()
    }
}
