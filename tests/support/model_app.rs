//! An app with an API for webhooks, in the test's own process: it does what real apps do, in moods
//! that are set per tenant and can be combined, and takes note of everything.
//!
//! It goes on with what it was asked for when whoever asked is killed, as a server elsewhere does.
//! Requests can be held at a [`Stage`], so that a test knows what has happened and what has not when
//! it kills. Registrations that are not ours stand beside ours, to be left alone.

mod api;
mod gate;
mod ledger;
mod moods;
mod send;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use self::gate::Gates;
pub use self::gate::{Gate, Go, Stage};
use self::ledger::Ledger;
pub use self::ledger::{Asked, End, Hook, Sent};
pub use self::moods::{Fault, Handshake, Moods, Op, SecretFrom};

/// An app on a loopback address. It stops when dropped, and sees then that it is unharmed.
pub struct ModelApp {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    url: String,
    client: reqwest::Client,
    gates: Gates,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    moods: BTreeMap<String, Moods>,
    /// What happens to the next requests of a tenant, in order.
    faults: Vec<(String, Op, Fault)>,
    ledger: Ledger,
    /// By tenant.
    access_tokens: Vec<(String, String)>,
    /// Ids of registrations that it may give up.
    excused: BTreeSet<String>,
    /// How many events of a tenant are on their way, or to be tried again.
    on_their_way: BTreeMap<String, usize>,
    /// How often sending was paused; odd while it is.
    pauses: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn moods(&self, tenant: &str) -> Moods {
        self.state().moods.get(tenant).cloned().unwrap_or_default()
    }
}

impl ModelApp {
    /// Starts on a free port, with all tenants well-behaved.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            url: format!("http://{address}"),
            client: reqwest::Client::builder()
                .no_proxy()
                // Nobody is waited for that long unless the machine stands still.
                .timeout(Duration::from_secs(60))
                .pool_idle_timeout(Duration::from_secs(20))
                .build()
                .unwrap(),
            gates: Gates::default(),
            state: Mutex::default(),
        });
        let app = api::router(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            shared,
            server,
        }
    }

    /// The URL that tenants are below: `<url>/<tenant>/hooks`.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Changes a tenant's moods.
    pub fn set(&self, tenant: &str, change: impl FnOnce(&mut Moods)) {
        change(
            self.shared
                .state()
                .moods
                .entry(tenant.to_owned())
                .or_default(),
        );
    }

    /// What happens to the next such request of a tenant that nothing else was said about.
    pub fn next(&self, tenant: &str, op: Op, fault: Fault) {
        let mut state = self.shared.state();
        state.faults.push((tenant.to_owned(), op, fault));
    }

    /// From now on nothing goes wrong that was said before.
    pub fn recover(&self) {
        self.shared.state().faults.clear();
    }

    /// Holds the next such request of a tenant when it comes to `stage`.
    pub fn gate(&self, tenant: &str, op: Op, stage: Stage) -> Gate {
        self.shared.gates.add(tenant, op, stage)
    }

    /// A registration of somebody else, which must stay as it is.
    pub fn add_foreign(&self, tenant: &str, target: &str) {
        self.shared
            .state()
            .ledger
            .add(tenant, target, "foreign-secret", true, None, None);
    }

    /// Removes a tenant's registrations, as somebody in the app's own console would.
    pub fn forget(&self, tenant: &str) {
        let mut state = self.shared.state();
        let ours = state.ledger.live(tenant);
        for hook in ours {
            state.ledger.end(&hook.id, Instant::now(), End::Forgotten);
        }
    }

    /// The registrations of a tenant that stand, somebody else's not among them.
    pub fn live(&self, tenant: &str) -> Vec<Hook> {
        self.shared.state().ledger.live(tenant)
    }

    /// All registrations that a tenant ever had, somebody else's not among them.
    pub fn all(&self, tenant: &str) -> Vec<Hook> {
        let state = self.shared.state();
        let of = |hook: &&Hook| hook.tenant == tenant && !hook.is_foreign;
        state.ledger.hooks().iter().filter(of).cloned().collect()
    }

    /// All requests to the API of a tenant, in order of arrival.
    pub fn asked(&self, tenant: &str) -> Vec<Asked> {
        let state = self.shared.state();
        let of = |asked: &&Asked| asked.tenant == tenant;
        state.ledger.asked().iter().filter(of).cloned().collect()
    }

    /// How many requests to the API there were, of all tenants.
    pub fn asked_count(&self) -> usize {
        self.shared.state().ledger.asked().len()
    }

    /// How often a tenant was asked for this.
    pub fn count(&self, tenant: &str, op: Op) -> usize {
        self.asked(tenant)
            .iter()
            .filter(|asked| asked.op == op)
            .count()
    }

    /// Every try to send an event to a tenant's webhooks.
    pub fn sent(&self, tenant: &str) -> Vec<Sent> {
        let state = self.shared.state();
        let of = |sent: &&Sent| sent.tenant == tenant;
        state.ledger.sent().iter().filter(of).cloned().collect()
    }

    /// The access tokens that a tenant was given.
    pub fn access_tokens(&self, tenant: &str) -> Vec<String> {
        let state = self.shared.state();
        let of = state
            .access_tokens
            .iter()
            .filter(|(whose, _)| whose == tenant);
        of.map(|(_, token)| token.clone()).collect()
    }

    /// Sends an event to every webhook of a tenant that stands, and tries again as apps do. Returns
    /// how many there were, at once.
    pub fn send(&self, tenant: &str, event_id: &str) -> usize {
        send::send(&self.shared, tenant, event_id)
    }

    /// Whether no event of a tenant is on its way or to be tried again.
    pub fn is_idle(&self, tenant: &str) -> bool {
        let state = self.shared.state();
        state
            .on_their_way
            .get(tenant)
            .is_none_or(|count| *count == 0)
    }

    /// No events are sent until it goes on, and what fails meanwhile is not held against anybody:
    /// for a process that a test is about to kill.
    pub fn pause_sending(&self) {
        let mut state = self.shared.state();
        state.pauses += 1 + state.pauses % 2;
    }

    /// Events are sent again.
    pub fn resume_sending(&self) {
        let mut state = self.shared.state();
        state.pauses += state.pauses % 2;
    }

    /// Tells every webhook of a tenant something about itself (`{"lifecycle": what}`), once; the
    /// answers' statuses.
    pub async fn notify(&self, tenant: &str, what: &str) -> Vec<u16> {
        send::notify(&self.shared, tenant, what).await
    }

    /// Registrations that it may give up: whoever made them says himself, on the orphan list of the
    /// subscription, that they may still stand and that nothing serves them.
    pub fn excuse_orphans(&self, ids: impl IntoIterator<Item = String>) {
        self.shared.state().excused.extend(ids);
    }

    /// What must be true of every app in the end: it has given up no webhook of ours, but for those
    /// on an orphan list, and those of others are as they were.
    ///
    /// # Panics
    /// When it is not.
    pub fn assert_unharmed(&self) {
        let (hooks, asked, excused) = {
            let state = self.shared.state();
            let (hooks, asked) = (state.ledger.hooks(), state.ledger.asked());
            (hooks.to_vec(), asked.to_vec(), state.excused.clone())
        };
        for hook in hooks {
            if hook.is_foreign {
                assert!(hook.ended.is_none(), "a foreign one was touched: {hook:?}");
            }
            assert!(
                hook.disabled.is_none() || excused.contains(&hook.id),
                "the app gave up a webhook, and it is not on the orphan list of its subscription, \
                 which alone would excuse that: {hook:?}, orphans: {excused:?}"
            );
        }
        let meddled: Vec<_> = asked.iter().filter(|it| it.is_about_foreign).collect();
        assert!(meddled.is_empty(), "{meddled:?}");
    }
}

impl Drop for ModelApp {
    fn drop(&mut self) {
        self.server.abort();
        if !std::thread::panicking() {
            self.assert_unharmed();
        }
    }
}
