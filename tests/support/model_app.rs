//! An app with an API for webhooks, in the test's own process: it does what real apps do, in moods
//! that are set per tenant and can be combined, and takes note of everything.
//!
//! It goes on with what it was asked for when whoever asked is killed, as a server elsewhere does.
//! Requests can be held at a [`Stage`], so that a test knows what has happened and what has not when
//! it kills. Registrations that are not ours stand beside ours, to be left alone.

mod api;
mod door;
mod gate;
mod ledger;
mod moods;
mod send;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use self::door::Door;
use self::gate::Gates;
pub use self::gate::{Gate, Go, Stage};
use self::ledger::Ledger;
pub use self::ledger::{Asked, End, Hook, Sent};
pub use self::moods::{Fault, Handshake, Moods, Op, SecretFrom};

/// An app on a loopback address. It stops when dropped, and sees then that it is unharmed.
pub struct ModelApp {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    door: Door,
    /// Where access tokens are had; it is never shut.
    login: Door,
}

struct Shared {
    url: String,
    /// Whether a connection carries one request only.
    hangs_up: AtomicBool,
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
        // One that nobody's outgoing connection is given while the door is being shut.
        let address = crate::support::dev::free_address();
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            url: format!("http://{address}"),
            hangs_up: AtomicBool::new(false),
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
        let login = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address,
            door: Door::open(listener, api::router(Arc::clone(&shared))),
            login: Door::open(login, api::router(Arc::clone(&shared))),
            shared,
        }
    }

    /// The same as [`ModelApp::url`] for access tokens: elsewhere, as with real apps.
    pub fn login_url(&self) -> String {
        format!("http://{}", self.login.address)
    }

    /// Lets nobody in: no new connection comes about, so that whoever wants something sends nothing.
    /// From now on a connection carries one request only.
    pub async fn shut(&self) {
        self.hang_up_each_time();
        self.door.shut().await;
    }

    /// From now on a connection carries one request only, so that after its answer nothing can be
    /// sent while the door is shut.
    pub fn hang_up_each_time(&self) {
        self.shared.hangs_up.store(true, Ordering::Relaxed);
    }

    /// Lets everybody in again.
    pub async fn unshut(&self) {
        self.door.unshut().await;
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

    /// How many registrations stand for each tenant, and how many requests to the API there were of
    /// it: for so many tenants that looking at each by itself takes long.
    pub fn counts(&self) -> BTreeMap<String, (usize, usize)> {
        let mut state = self.shared.state();
        state.ledger.expire();
        let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for hook in state.ledger.hooks() {
            let stands = hook.ended.is_none() && !hook.is_foreign;
            counts.entry(hook.tenant.clone()).or_default().0 += usize::from(stands);
        }
        for asked in state.ledger.asked() {
            counts.entry(asked.tenant.clone()).or_default().1 += 1;
        }
        counts
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

    /// Whether an event of a tenant was answered that it is taken.
    pub fn is_acknowledged(&self, tenant: &str, event_id: &str) -> bool {
        let sent = self.sent(tenant);
        sent.iter()
            .any(|sent| sent.event_id == event_id && matches!(sent.status, Some(200..300)))
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
        let statuses = self.try_notify(tenant, what).await;
        statuses.into_iter().map(Option::unwrap).collect()
    }

    /// The same, where somebody may be killed over it: `None` is no answer.
    pub async fn try_notify(&self, tenant: &str, what: &str) -> Vec<Option<u16>> {
        send::notify(&self.shared, tenant, what).await
    }

    /// What must be true of every app in the end: it has given up no webhook of ours, and those of
    /// others are as they were.
    ///
    /// # Panics
    /// When it is not.
    pub fn assert_unharmed(&self) {
        let (hooks, asked) = {
            let state = self.shared.state();
            (state.ledger.hooks().to_vec(), state.ledger.asked().to_vec())
        };
        for hook in hooks {
            if hook.is_foreign {
                assert!(hook.ended.is_none(), "a foreign one was touched: {hook:?}");
            }
            assert!(
                hook.disabled.is_none(),
                "the app gave up a webhook: {hook:?}"
            );
        }
        let meddled: Vec<_> = asked.iter().filter(|it| it.is_about_foreign).collect();
        assert!(meddled.is_empty(), "{meddled:?}");
    }
}

impl Drop for ModelApp {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_unharmed();
        }
    }
}
