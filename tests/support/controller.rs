//! The controller's side of the configuration path, in the test's own process: the real hub and the
//! real server over real TLS, told by the test what gateways serve; who a token belongs to is known
//! without an API server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tidegate::configuration::stream::{Members, Retirement};
use tidegate::configuration::{Configuration, Sensitive};
use tidegate::controller::certificates::{self, Certificates};
use tidegate::controller::hub::{
    self, Authenticate, AuthenticateError, Caller, GatewayObservation, Hub, Served,
};
use tidegate::controller::server::{self, Bounds, Identity, Leading, Server};
use tidegate::event::ObjectName;
use tokio::sync::watch;

use super::dev::free_address;

/// The gateway that tests are about.
pub fn gateway() -> ObjectName {
    ObjectName::new("tidegate", "default")
}

/// The key of the tokens in webhook URIs.
pub const TOKEN_KEY: &str = "the key of the tokens in webhook URIs";

/// A controller at an address that stays the same when it stops and another one takes over.
pub struct Controller {
    pub address: SocketAddr,
    pub certificates: Certificates,
    pub tokens: Arc<Tokens>,
    pub leading: watch::Sender<Leading>,
    hub: Hub,
    server: Option<Server>,
}

/// Whose tokens are.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<String, Caller>>);

impl Tokens {
    /// A token of a gateway's pod.
    pub fn issue(&self, gateway: &ObjectName, pod: &str) -> String {
        let token = format!("token of {gateway} {pod}").replace(' ', ".");
        let caller = Caller {
            gateway: gateway.clone(),
            pod: pod.to_owned(),
        };
        self.0.lock().unwrap().insert(token.clone(), caller);
        token
    }
}

impl Authenticate for Tokens {
    fn authenticate<'a>(
        &'a self,
        token: &'a Sensitive,
    ) -> BoxFuture<'a, Result<Caller, AuthenticateError>> {
        let token = String::from_utf8_lossy(token.expose()).into_owned();
        let caller = self.0.lock().unwrap().get(&token).cloned();
        let refused = || AuthenticateError::Refused("nobody has issued it".into());
        Box::pin(std::future::ready(caller.ok_or_else(refused)))
    }
}

fn names() -> [String; 2] {
    ["localhost".into(), "127.0.0.1".into()]
}

/// The hub of a leader.
pub fn hub_of(epoch: u64) -> Hub {
    Hub::new(hub::Parts {
        epoch,
        clock: Arc::new(Timestamp::now),
    })
}

impl Controller {
    /// Starts one that leads in this epoch, and serves nothing yet.
    pub async fn start(epoch: u64) -> Self {
        let mut certificates = Certificates::default();
        certificates::make(&mut certificates, &names(), Timestamp::now()).unwrap();
        let hub = hub_of(epoch);
        let mut controller = Self {
            address: free_address(),
            certificates,
            tokens: Arc::default(),
            leading: watch::Sender::new(Leading::Here(hub.clone())),
            hub,
            server: None,
        };
        controller.listen().await;
        controller
    }

    /// Listens again.
    pub async fn listen(&mut self) {
        let serving = self.certificates.serving.as_ref().unwrap();
        let server = Server::start(server::Parts {
            listen: self.address,
            identity: Identity::new(&serving.certificate, &serving.key).unwrap(),
            leading: self.leading.subscribe(),
            authenticate: Arc::clone(&self.tokens) as Arc<dyn Authenticate>,
            bounds: Bounds::default(),
        });
        self.server = Some(server.await.unwrap());
    }

    /// Goes away.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// What is served, and who takes it.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Another hub leads from now on, at the same address.
    pub fn lead(&mut self, hub: Hub) {
        self.hub = hub.clone();
        self.leading.send_replace(Leading::Here(hub));
    }

    /// Serves a configuration.
    pub fn set(&self, configuration: Configuration) {
        self.hub.set(&gateway(), served(configuration));
    }

    /// Serves a configuration with pods that take over what others have at these addresses.
    pub fn set_members(&self, configuration: Configuration, members: &[&super::gateway::Gateway]) {
        let addresses = members.iter().map(|pod| pod.probes.to_string());
        let members = Arc::new(Members {
            addresses: addresses.collect(),
        });
        let served = Served {
            members,
            ..served(configuration)
        };
        self.hub.set(&gateway(), served);
    }

    /// How far a pod is with going.
    pub fn retirement(&self, pod: &str) -> Option<Retirement> {
        let observed = self.observed()?;
        observed.pods.iter().find(|it| it.name == pod)?.retirement
    }

    /// What is known of the gateway.
    pub fn observed(&self) -> Option<Arc<GatewayObservation>> {
        let observations = self.hub.observations();
        let observations = observations.borrow();
        observations.gateways.get(&gateway()).cloned()
    }

    /// Whether so many pods are connected, and all have taken what is served.
    pub fn is_taken_by(&self, pods: usize) -> bool {
        self.observed().is_some_and(|observed| {
            observed.pods.len() == pods && observed.taken_by_all() == Some(observed.revision)
        })
    }
}

/// What a gateway serves.
pub fn served(configuration: Configuration) -> Served {
    Served {
        configuration: Arc::new(configuration),
        token_key: Sensitive::from(TOKEN_KEY),
        members: Arc::new(Members {
            addresses: Vec::new(),
        }),
        partings: Arc::default(),
        log_capacity: 64 << 20,
    }
}
