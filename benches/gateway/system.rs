//! The product's parts, put together as `tidegate dev` does it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tidegate::configuration::{Configuration, NoReports, Sensitive};
use tidegate::delivery::dead_letters::{self, DeadLetters};
use tidegate::delivery::sink::HttpSinks;
use tidegate::delivery::{self, Delivery, Settings};
use tidegate::event_log::{self, EventLog, FileStorage};
use tidegate::gateway::{self, Bounds, Gateway};
use tidegate::outbound::Outbound;
use tokio::runtime::Runtime;

/// The key of the webhook URIs' tokens.
pub const TOKEN_KEY: &str = "the key of the tokens";

/// The log's capacity, as where nobody says another.
const CAPACITY: u64 = 1 << 30;

/// A gateway with its log and its delivery, on a runtime of its own.
pub struct System {
    pub runtime: Runtime,
    pub log: EventLog,
    pub delivery: Delivery,
    dead_letters: DeadLetters,
    gateway: Gateway,
}

impl System {
    /// Starts on an empty folder and serves `configuration`.
    pub fn start(folder: &Path, configuration: &Configuration) -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let system = runtime.block_on(open(folder));
        let (log, dead_letters, delivery, gateway) = system;
        let system = Self {
            runtime,
            log,
            delivery,
            dead_letters,
            gateway,
        };
        system.apply(configuration);
        system
    }

    /// Serves another configuration.
    pub fn apply(&self, configuration: &Configuration) {
        self.delivery.configure(settings(configuration));
        let subscriptions = self.delivery.apply(&configuration.subscriptions);
        self.runtime
            .block_on(subscriptions)
            .expect("the subscriptions are good");
        let refused = self.gateway.apply(configuration);
        assert!(refused.is_empty(), "{refused:?}");
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.public_address()
    }

    /// Stops in an orderly way.
    pub fn stop(self) {
        self.runtime.block_on(async {
            self.gateway.drain().await;
            self.delivery.drain(Duration::from_secs(10)).await;
            self.log.close().await;
            self.dead_letters.close().await;
        });
    }
}

async fn open(folder: &Path) -> (EventLog, DeadLetters, Delivery, Gateway) {
    let options = event_log::Options::for_capacity(CAPACITY);
    let (log, _) =
        EventLog::open(FileStorage::new(folder.join("log")), options).expect("the log opens");
    let storage = FileStorage::new(folder.join("dead-letters"));
    let options = dead_letters::Options::for_storage(CAPACITY);
    let (dead_letters, _) =
        DeadLetters::open(storage, options, Timestamp::now()).expect("the dead letters open");
    let mut registry = Registry::with_prefix("tidegate");
    let sinks = HttpSinks::new(Outbound::new(None));
    let (clock, random) = delivery::Parts::system();
    let parts = delivery::Parts {
        log: log.clone(),
        state: folder.join("state"),
        dead_letters: Arc::new(dead_letters.clone()),
        build_sender: Arc::new(move |entry| sinks.build(entry)),
        settings: Settings {
            undelivered_share: 100,
            replay_retention: Duration::ZERO,
        },
        clock,
        random,
    };
    let delivery = Delivery::open(parts, &mut registry).expect("delivery opens");
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let gateway = Gateway::start(gateway::Parts {
        listen: loopback,
        probes: None,
        admin: loopback,
        bounds: Bounds::default(),
        token_key: Sensitive::from(TOKEN_KEY),
        reports: Arc::new(NoReports),
        log: log.clone(),
        dead_letters: dead_letters.clone(),
        delivery: delivery.clone(),
        registry,
        beside_probes: axum::Router::new(),
    });
    let gateway = gateway.await.expect("the gateway starts");
    (log, dead_letters, delivery, gateway)
}

fn settings(configuration: &Configuration) -> Settings {
    Settings {
        undelivered_share: configuration.gateway.undelivered_share,
        replay_retention: configuration.gateway.replay_retention,
    }
}
